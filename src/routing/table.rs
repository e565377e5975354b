use std::borrow::Cow;

use http::Method;

use super::{
    BodyRule, Forward, List, NameRule, Probe, Request, Route, RouteError, decode,
    path::{RAW, unqualified},
    query::{self, ListQuery, Select},
};
use crate::types::{AuthScope, ClusterName, ListScope, Paging, Shape};

/// Namespaced kinds of `core/v2`, those with an all-namespaces list.
const NAMESPACED: [&str; 12] = [
    "assets",
    "checks",
    "entities",
    "events",
    "filters",
    "handlers",
    "hooks",
    "mutators",
    "pipelines",
    "rolebindings",
    "roles",
    "silenced",
];

/// Cluster-wide kinds that fan out only when `clusters=` asks for it.
const CLUSTER_WIDE: [&str; 4] = ["apikeys", "clusterrolebindings", "clusterroles", "users"];

/// Where credentials are looked at before anything else. Judged on the raw path, before it is checked.
pub(super) fn auth_scope(segments: &[&str]) -> AuthScope {
    match segments {
        ["api", "enterprise", "authentication", _, ..] => AuthScope::Open,
        ["api", ..] | ["c", _, "api", ..] => AuthScope::Api,
        ["graphql"] | ["c", _, "graphql"] => AuthScope::GraphQl,
        _ => AuthScope::Open,
    }
}

pub(super) fn route(request: &Request<'_>) -> Result<Route, RouteError> {
    match request.segments {
        ["c", cluster, rest @ ..] if is_raw(rest) => raw(request, cluster, rest),
        ["livez"] => Ok(Route::Probe(Probe::Live)),
        ["readyz" | "ready"] => Ok(Route::Probe(Probe::Ready)),
        ["metrics"] | ["api", "core", "v2", "tessen", "metrics"] => Err(RouteError::NotFound),
        ["graphql"] if *request.method == Method::POST => Ok(Route::GraphQl),
        // Sensu answers other methods, too, with a page or an error of its own.
        ["graphql"] => Ok(local(request, BodyRule::GraphQl)),
        ["auth" | "health" | "version"]
        | ["auth", "test" | "token" | "logout"]
        | ["api", "enterprise", "authentication", ..] => Ok(local_raw(request)),
        ["api", "enterprise", "federation", "v1", rest @ ..] => Ok(Route::Federation(rest.join("/"))),
        ["api", "core", "v2", rest @ ..] => core(request, rest),
        ["api", _, _, "namespaces", ns, rest @ ..] if !ns.is_empty() => namespaced(request, ns, rest),
        ["api", ..] => Ok(local_raw(request)),
        _ => Ok(Route::Web),
    }
}

/// Whether a path is one of the REST API, the gateway's or a cluster's.
fn is_api(segments: &[&str]) -> bool {
    matches!(segments, ["api", ..] | ["c", _, "api", ..])
}

fn is_raw(rest: &[&str]) -> bool {
    rest.first().is_some_and(|first| RAW.contains(first))
}

/// `/c/{cluster}/{rest}`: the prefix goes, everything else stays.
fn raw(request: &Request<'_>, cluster: &str, rest: &[&str]) -> Result<Route, RouteError> {
    let decoded = decode(cluster)?;
    let name: ClusterName = match &*decoded {
        "~" => ClusterName::local(),
        name => name.parse().map_err(|_| RouteError::NotRegistered { cluster: name.to_owned() })?,
    };
    let name = request.registered(name.as_str())?;
    let prefix = format!("/c/{cluster}");
    let path = &request.path[prefix.len()..];
    if rest == ["api", "core", "v2", "tessen", "metrics"] {
        return Err(RouteError::NotFound);
    }
    Ok(Route::Forward(Forward {
        cluster: name,
        target: join(path, request.query.unwrap_or_default()),
        body: raw_body_rule(request.method, rest)?,
        prefix: Some(prefix),
        qualify: None,
    }))
}

/// Raw paths are not rewritten, but what Sensu believes of a body against its path is checked there too.
fn raw_body_rule(method: &Method, segments: &[&str]) -> Result<BodyRule, RouteError> {
    let (ns, rest) = match segments {
        ["graphql", ..] => return Ok(BodyRule::GraphQl),
        ["api", _, _, "namespaces", ns, rest @ ..] => (ns, rest),
        _ => return Ok(BodyRule::Raw),
    };
    match (must_equal(method, rest, &decode(ns)?), name_rule(method, rest)?) {
        (None, NameRule::Any) => Ok(BodyRule::Raw),
        (must_equal, name) => Ok(BodyRule::Checked { must_equal, name }),
    }
}

/// The namespace that a body must name, for the kinds whose namespace Sensu takes from the body.
fn must_equal(method: &Method, rest: &[&str], namespace: &str) -> Option<String> {
    let trusting = matches!(rest, ["entities" | "events", ..]) && writes(method);
    trusting.then(|| namespace.to_owned())
}

fn name_rule(method: &Method, rest: &[&str]) -> Result<NameRule, RouteError> {
    Ok(match rest {
        ["entities", name] if writes(method) => NameRule::Equals(decode(name)?.into_owned()),
        [_, ..] if writes(method) => NameRule::Components,
        _ => NameRule::Any,
    })
}

fn local_raw(request: &Request<'_>) -> Route {
    local(request, BodyRule::Raw)
}

fn local(request: &Request<'_>, body: BodyRule) -> Route {
    Route::Forward(Forward {
        cluster: ClusterName::local(),
        target: join(request.path, &one_query(request)),
        prefix: None,
        body,
        qualify: None,
    })
}

/// The query of a request that is no list for the gateway. A client's `continue` reaches no cluster: Sensu believes what it
/// decodes to, across namespaces.
fn one_query<'a>(request: &Request<'a>) -> Cow<'a, str> {
    let query = request.query.unwrap_or_default();
    if is_api(request.segments) { query::without_token(query) } else { Cow::Borrowed(query) }
}

/// What follows `/api/core/v2`.
fn core(request: &Request<'_>, rest: &[&str]) -> Result<Route, RouteError> {
    let get = *request.method == Method::GET;
    match rest {
        ["namespaces"] if get => list(request, request.path, Form::NAMESPACES, None),
        ["namespaces"] => Ok(Route::Forward(Forward {
            cluster: ClusterName::local(),
            target: join(request.path, &one_query(request)),
            prefix: None,
            body: BodyRule::ChoosesCluster,
            qualify: Some(Shape::Namespace),
        })),
        // With a slash at its end it is another path, as everywhere: one that no cluster answers.
        ["namespaces", ""] => Ok(local_raw(request)),
        ["namespaces", name] => one_namespace(request, name),
        ["namespaces", ns, rest @ ..] => namespaced(request, ns, rest),
        ["silenced", "checks", _] if get => list(request, request.path, Form::of(rest), None),
        [kind] if get && NAMESPACED.contains(kind) => list(request, request.path, Form::of(rest), None),
        [kind] if get && CLUSTER_WIDE.contains(kind) => {
            let query = ListQuery::parse(request.query)?;
            if query.select.is_some() {
                list(request, request.path, Form::of(rest), None)
            } else if query.page.is_everything() {
                Ok(local_raw(request))
            } else {
                list(request, request.path, Form::LOCAL, Some(ClusterName::local()))
            }
        }
        _ => Ok(local_raw(request)),
    }
}

/// `/api/core/v2/namespaces/{name}`: the namespace object itself.
fn one_namespace(request: &Request<'_>, segment: &str) -> Result<Route, RouteError> {
    let namespace = request.namespace(segment)?;
    let path = replace_segment(request.path, segment);
    Ok(Route::Forward(Forward {
        target: join(&path, &one_query(request)),
        prefix: None,
        body: BodyRule::Namespaced { shape: Shape::Namespace, must_equal: None, name: NameRule::Any },
        qualify: namespace.cluster.is_some().then_some(Shape::Namespace),
        cluster: namespace.cluster.unwrap_or_else(ClusterName::local),
    }))
}

/// `/api/{group}/{version}/namespaces/{ns}/…`.
fn namespaced(request: &Request<'_>, segment: &str, rest: &[&str]) -> Result<Route, RouteError> {
    let namespace = request.namespace(segment)?;
    let path = replace_segment(request.path, segment);
    if *request.method == Method::GET && is_list(rest) {
        // `default@local-cluster` is how a client that knows no `clusters=` asks for the local list alone.
        let is_qualified = unqualified(segment).len() != segment.len();
        let only = namespace.cluster.or_else(|| is_qualified.then(ClusterName::local));
        return list(request, &path, Form::of(rest), only);
    }
    let must_equal = must_equal(request.method, rest, &namespace.namespace);
    let name = name_rule(request.method, rest)?;
    Ok(Route::Forward(Forward {
        target: join(&path, &one_query(request)),
        prefix: None,
        body: BodyRule::Namespaced { shape: Shape::Resource, must_equal, name },
        qualify: namespace.cluster.is_some().then_some(Shape::Resource),
        cluster: namespace.cluster.unwrap_or_else(ClusterName::local),
    }))
}

/// The forms below a namespace that answer an array.
fn is_list(rest: &[&str]) -> bool {
    matches!(rest, [kind] if !kind.is_empty())
        || matches!(rest, ["events", entity] if !entity.is_empty())
        || matches!(rest, ["silenced", "subscriptions" | "checks", name] if !name.is_empty())
}

/// What kind of list it is.
#[derive(Clone, Copy)]
struct Form {
    shape: Shape,
    paging: Paging,
    label: bool,
}

impl Form {
    /// Sensu cuts their pages before it leaves out what the user may not see.
    const NAMESPACES: Self = Self { shape: Shape::Namespace, paging: Paging::ByKey, label: true };

    /// Resources without a namespace, of the local cluster alone.
    const LOCAL: Self = Self { shape: Shape::Resource, paging: Paging::ByCluster, label: false };

    /// Of resources; `rest` is the path from the kind on.
    fn of(rest: &[&str]) -> Self {
        let paging = match rest {
            // Pages of entities repeat items, and there are none of silences.
            ["entities" | "silenced", ..] => Paging::ByKey,
            ["events"] => Paging::EventsByCluster,
            _ => Paging::ByCluster,
        };
        Self { shape: Shape::Resource, paging, label: true }
    }
}

fn list(
    request: &Request<'_>,
    path: &str,
    form: Form,
    only: Option<ClusterName>,
) -> Result<Route, RouteError> {
    let query = ListQuery::parse(request.query)?;
    let select = match (only, query.select) {
        (Some(cluster), _) => Select::Named(vec![cluster]),
        (None, Some(Select::Named(mut names))) => {
            names.sort();
            names.dedup();
            // A cluster may be removed between two pages, and the others still have theirs.
            let is_resumed = query.page.token.is_some() && request.clusters.is_loaded();
            for name in names.iter().filter(|_| !is_resumed) {
                request.registered(name.as_str())?;
            }
            Select::Named(names)
        }
        (None, None) if request.default_scope == ListScope::Local => {
            Select::Named(vec![ClusterName::local()])
        }
        (None, Some(Select::All) | None) => Select::All,
    };
    let selection = select.to_string();
    let (members, everywhere) = match select {
        Select::Named(names) => (names, false),
        Select::All => (request.clusters.iter().map(|c| c.name.clone()).collect(), true),
    };
    Ok(Route::List(List {
        members,
        everywhere,
        target: join(path, &query.rest),
        shape: form.shape,
        label: form.label,
        strict: query.strict,
        page: query.page,
        paging: form.paging,
        selection,
    }))
}

fn writes(method: &Method) -> bool {
    matches!(*method, Method::POST | Method::PUT | Method::PATCH)
}

/// The path with its namespace segment un-qualified; `segment` must be a slice of `path`'s text.
fn replace_segment(path: &str, segment: &str) -> String {
    let plain = unqualified(segment);
    if plain.len() == segment.len() {
        return path.to_owned();
    }
    match path.find(&format!("/namespaces/{segment}")) {
        Some(at) => {
            let start = at + "/namespaces/".len();
            format!("{}{plain}{}", &path[..start], &path[start + segment.len()..])
        }
        None => path.to_owned(),
    }
}

fn join(path: &str, query: &str) -> String {
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}
