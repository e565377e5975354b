use http::Method;

use super::{
    BodyRule, Forward, List, NameRule, Probe, Request, Route, RouteError, decode,
    path::{RAW, unqualified},
    query::{self, ListQuery, Select, pairs},
};
use crate::types::{AuthScope, ClusterName, ListScope, Shape};

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
        ["api", _, _, "namespaces", ns, rest @ ..] => namespaced(request, ns, rest),
        ["api", ..] => Ok(local_raw(request)),
        _ => Ok(Route::Web),
    }
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
        ["assets", ..] if writes(method) => NameRule::Components,
        _ => NameRule::Any,
    })
}

fn local_raw(request: &Request<'_>) -> Route {
    local(request, BodyRule::Raw)
}

fn local(request: &Request<'_>, body: BodyRule) -> Route {
    Route::Forward(Forward {
        cluster: ClusterName::local(),
        target: join(request.path, request.query.unwrap_or_default()),
        prefix: None,
        body,
        qualify: None,
    })
}

/// What follows `/api/core/v2`.
fn core(request: &Request<'_>, rest: &[&str]) -> Result<Route, RouteError> {
    let get = *request.method == Method::GET;
    match rest {
        ["namespaces"] if get => list(request, request.path, Shape::Namespace, None),
        ["namespaces"] => Ok(Route::Forward(Forward {
            cluster: ClusterName::local(),
            target: join(request.path, request.query.unwrap_or_default()),
            prefix: None,
            body: BodyRule::ChoosesCluster,
            qualify: Some(Shape::Namespace),
        })),
        ["namespaces", name] => one_namespace(request, name),
        ["namespaces", ns, rest @ ..] => namespaced(request, ns, rest),
        ["silenced", "checks", _] if get => list(request, request.path, Shape::Resource, None),
        [kind] if get && NAMESPACED.contains(kind) => list(request, request.path, Shape::Resource, None),
        [kind] if get && CLUSTER_WIDE.contains(kind) => {
            let asked = ListQuery::parse_selection(request.query)?;
            if asked { list(request, request.path, Shape::Resource, None) } else { Ok(local_raw(request)) }
        }
        _ => Ok(local_raw(request)),
    }
}

/// `/api/core/v2/namespaces/{name}`: the namespace object itself.
fn one_namespace(request: &Request<'_>, segment: &str) -> Result<Route, RouteError> {
    let namespace = request.namespace(segment)?;
    let path = replace_segment(request.path, segment);
    Ok(Route::Forward(Forward {
        target: join(&path, request.query.unwrap_or_default()),
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
        return list(request, &path, Shape::Resource, only);
    }
    let must_equal = must_equal(request.method, rest, &namespace.namespace);
    let name = name_rule(request.method, rest)?;
    Ok(Route::Forward(Forward {
        target: join(&path, request.query.unwrap_or_default()),
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

fn list(
    request: &Request<'_>,
    path: &str,
    shape: Shape,
    only: Option<ClusterName>,
) -> Result<Route, RouteError> {
    let query = ListQuery::parse(request.query)?;
    let everywhere = only.is_none()
        && match query.select {
            Some(Select::All) => true,
            Some(Select::Named(_)) => false,
            None => request.default_scope == ListScope::All,
        };
    let members = match (only, query.select) {
        (Some(cluster), _) => vec![cluster],
        (None, Some(Select::Named(mut names))) => {
            names.sort();
            names.dedup();
            for name in &names {
                request.registered(name.as_str())?;
            }
            names
        }
        (None, _) if everywhere => request.clusters.iter().map(|c| c.name.clone()).collect(),
        (None, _) => vec![ClusterName::local()],
    };
    Ok(Route::List(List {
        members,
        everywhere,
        target: join(path, &query.rest),
        shape,
        strict: query.strict,
    }))
}

impl ListQuery {
    /// Whether `clusters=` is there at all.
    fn parse_selection(query: Option<&str>) -> Result<bool, RouteError> {
        for pair in pairs(query) {
            if query::key_of(pair)? == "clusters" {
                return Ok(true);
            }
        }
        Ok(false)
    }
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
