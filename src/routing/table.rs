use http::Method;

use super::{
    BodyRule, Endpoint, Forward, Kind, List, NameRule, Request, Route, RouteError, Scope, decode,
    path::unqualified,
    query::{self, ListQuery, Select, pairs},
};
use crate::types::ClusterName;

/// How strictly a path asks for credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthScope {
    /// `/api`, `/c/*/api`: none is refused.
    Api,
    /// `/graphql`: none is passed on as it is.
    GraphQl,
}

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
pub fn auth_scope(path: &str) -> Option<AuthScope> {
    let path = match path.strip_prefix("/c/").and_then(|rest| rest.split_once('/')) {
        Some((_, rest)) if rest == "api" || rest.starts_with("api/") => return Some(AuthScope::Api),
        Some((_, "graphql")) => return Some(AuthScope::GraphQl),
        _ => path,
    };
    if path.starts_with("/api/enterprise/authentication/") {
        return None;
    }
    if path == "/api" || path.starts_with("/api/") {
        return Some(AuthScope::Api);
    }
    (path == "/graphql").then_some(AuthScope::GraphQl)
}

pub(super) fn route(request: &Request<'_>) -> Result<Route, RouteError> {
    let segments: Vec<&str> = request.path[1..].split('/').collect();
    match segments.as_slice() {
        ["c", cluster, head, ..] if is_raw_head(head) => raw(request, cluster),
        ["livez"] => Ok(Route::Gateway(Endpoint::Live)),
        ["readyz" | "ready"] => Ok(Route::Gateway(Endpoint::Ready)),
        ["metrics"] | ["api", "core", "v2", "tessen", "metrics"] => Err(RouteError::NotFound),
        ["graphql"] => Ok(Route::GraphQl),
        ["auth" | "health" | "version"]
        | ["auth", "test" | "token" | "logout"]
        | ["api", "enterprise", "authentication", ..] => Ok(local_raw(request)),
        ["api", "enterprise", "federation", "v1", ..] => Ok(Route::Gateway(Endpoint::Federation)),
        ["api", "core", "v2", rest @ ..] => core(request, rest),
        ["api", _, _, "namespaces", ns, rest @ ..] => namespaced(request, ns, rest),
        ["api", ..] => Ok(local_raw(request)),
        _ => Ok(Route::Web),
    }
}

fn is_raw_head(segment: &str) -> bool {
    matches!(segment, "api" | "auth" | "graphql" | "health" | "version" | "ready")
}

/// `/c/{cluster}/…`: the prefix goes, everything else stays.
fn raw(request: &Request<'_>, cluster: &str) -> Result<Route, RouteError> {
    let decoded = decode(cluster)?;
    let name: ClusterName = match &*decoded {
        "~" => ClusterName::local(),
        name => name.parse().map_err(|_| RouteError::NotRegistered { cluster: name.to_owned() })?,
    };
    let name = request.registered(name.as_str())?;
    let prefix = format!("/c/{cluster}");
    let path = &request.path[prefix.len()..];
    if path == "/api/core/v2/tessen/metrics" {
        return Err(RouteError::NotFound);
    }
    Ok(Route::Forward(Forward {
        cluster: name,
        target: join(path, request.query.unwrap_or_default()),
        body: raw_body_rule(request.method, path)?,
        prefix: Some(prefix),
        qualify: None,
    }))
}

/// Raw paths are not rewritten, but what Sensu believes of a body against its path is checked there too.
fn raw_body_rule(method: &Method, path: &str) -> Result<BodyRule, RouteError> {
    let segments: Vec<&str> = path[1..].split('/').collect();
    if segments[0] == "graphql" {
        return Ok(BodyRule::GraphQl);
    }
    let ["api", _, _, "namespaces", ns, rest @ ..] = segments.as_slice() else { return Ok(BodyRule::Raw) };
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
    Route::Forward(Forward {
        cluster: ClusterName::local(),
        target: join(request.path, request.query.unwrap_or_default()),
        prefix: None,
        body: BodyRule::Raw,
        qualify: None,
    })
}

/// What follows `/api/core/v2`.
fn core(request: &Request<'_>, rest: &[&str]) -> Result<Route, RouteError> {
    let get = *request.method == Method::GET;
    match rest {
        ["namespaces"] if get => list(request, request.path, Kind::Namespace, None),
        ["namespaces"] => Ok(Route::Forward(Forward {
            cluster: ClusterName::local(),
            target: join(request.path, request.query.unwrap_or_default()),
            prefix: None,
            body: BodyRule::ChoosesCluster,
            qualify: Some(Kind::Namespace),
        })),
        ["namespaces", name] => one_namespace(request, name),
        ["namespaces", ns, rest @ ..] => namespaced(request, ns, rest),
        ["silenced", "checks", _] if get => list(request, request.path, Kind::Resource, None),
        [kind] if get && NAMESPACED.contains(kind) => list(request, request.path, Kind::Resource, None),
        [kind] if get && CLUSTER_WIDE.contains(kind) => {
            let asked = ListQuery::parse_selection(request.query)?;
            if asked { list(request, request.path, Kind::Resource, None) } else { Ok(local_raw(request)) }
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
        body: BodyRule::Namespaced { kind: Kind::Namespace, must_equal: None, name: NameRule::Any },
        qualify: namespace.cluster.is_some().then_some(Kind::Namespace),
        cluster: namespace.cluster.unwrap_or_else(ClusterName::local),
    }))
}

/// `/api/{group}/{version}/namespaces/{ns}/…`.
fn namespaced(request: &Request<'_>, segment: &str, rest: &[&str]) -> Result<Route, RouteError> {
    let namespace = request.namespace(segment)?;
    let path = replace_segment(request.path, segment);
    if *request.method == Method::GET && is_list(rest) {
        return list(request, &path, Kind::Resource, namespace.cluster);
    }
    let must_equal = must_equal(request.method, rest, &namespace.namespace);
    let name = name_rule(request.method, rest)?;
    Ok(Route::Forward(Forward {
        target: join(&path, request.query.unwrap_or_default()),
        prefix: None,
        body: BodyRule::Namespaced { kind: Kind::Resource, must_equal, name },
        qualify: namespace.cluster.is_some().then_some(Kind::Resource),
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
    kind: Kind,
    only: Option<ClusterName>,
) -> Result<Route, RouteError> {
    let query = ListQuery::parse(request.query)?;
    let everywhere = only.is_none()
        && match query.select {
            Some(Select::All) => true,
            Some(Select::Named(_)) => false,
            None => request.default_scope == Scope::All,
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
    Ok(Route::List(List { members, everywhere, target: join(path, &query.rest), kind, strict: query.strict }))
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
