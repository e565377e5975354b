//! What a request is about to change: for its audit line, whatever becomes of it.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, Method, header};

use crate::{
    graphql,
    routing::{BodyRule, Route},
    telemetry::Change,
};

/// What the head says. A GraphQL request's body says it: see [`of_graphql`].
pub(super) fn of_head(route: &Route, method: &Method, headers: &HeaderMap) -> Option<Change> {
    match route {
        Route::Forward(forward) if forward.body != BodyRule::GraphQl => {
            let path = forward.target.split('?').next().unwrap_or_default();
            match path {
                "/auth" => Some(Change { login: user(headers), ..Change::new("login") }),
                "/auth/logout" => Some(Change::new("logout")),
                // Nothing changes: a password is tried, a token renewed.
                "/auth/test" | "/auth/token" => None,
                _ => writes(method),
            }
        }
        Route::Federation(_) => writes(method),
        _ => None,
    }
}

/// What a GraphQL request's body says.
pub(super) fn of_graphql(body: &[u8]) -> Option<Change> {
    let mutations = graphql::mutations(body);
    (!mutations.is_empty()).then(|| Change { mutations, ..Change::new("mutation") })
}

fn writes(method: &Method) -> Option<Change> {
    (!matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)).then(|| Change::new("write"))
}

/// The user name of `Authorization: Basic`.
fn user(headers: &HeaderMap) -> Option<String> {
    let encoded = headers.get(header::AUTHORIZATION)?.as_bytes().strip_prefix(b"Basic ")?;
    let decoded = STANDARD.decode(encoded).ok()?;
    let (user, _) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    Some(user.chars().take(LONGEST_NAME).collect())
}

/// Longest user name that is logged, in characters.
const LONGEST_NAME: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        routing::route,
        types::{ListScope, Snapshot},
    };

    fn action(method: &str, target: &str) -> Option<&'static str> {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let route = route(&method, target, &Snapshot::new([]), ListScope::All).route.unwrap();
        of_head(&route, &method, &HeaderMap::new()).map(|change| change.action)
    }

    #[test]
    fn what_changes_something_is_known_by_its_head() {
        for (method, target, expected) in [
            ("PUT", "/api/core/v2/namespaces/default/checks/x", Some("write")),
            ("DELETE", "/api/core/v2/users/x", Some("write")),
            ("PATCH", "/api/core/v2/namespaces/default/checks/x", Some("write")),
            ("GET", "/api/core/v2/namespaces/default/checks/x", None),
            ("GET", "/api/core/v2/checks", None),
            ("POST", "/api/enterprise/federation/v1/clusters", Some("write")),
            ("GET", "/api/enterprise/federation/v1/clusters", None),
            ("GET", "/auth", Some("login")),
            ("GET", "/auth/test", None),
            ("POST", "/auth/token", None),
            ("POST", "/auth/logout", Some("logout")),
            ("GET", "/health", None),
        ] {
            assert_eq!(action(method, target), expected, "{method} {target}");
        }
    }

    #[test]
    fn only_the_name_of_a_login_is_taken() {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, "Basic YWRtaW46UEBzc3cwcmQh".parse().unwrap());
        assert_eq!(user(&headers).as_deref(), Some("admin"));
        for other in ["Basic ", "Basic ???", "Basic YWRtaW4=", "Bearer YWRtaW46eA=="] {
            headers.insert(header::AUTHORIZATION, other.parse().unwrap());
            assert_eq!(user(&headers), None, "{other}");
        }
    }
}
