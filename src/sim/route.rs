//! The routing table: which path is what, and which methods it has.

use super::kinds::{self, Kind};

/// A route with its path variables, percent-encoded as they came.
pub(super) enum Target {
    Health,
    Version,
    Metrics,
    Ready,
    TessenMetrics,
    Login,
    TestCredentials,
    Refresh,
    Logout,
    Graphql,
    Tessen,
    ClusterId,
    Members,
    Member(String),
    Namespaces,
    Namespace(String),
    Users,
    User(String),
    UserVerb(String, &'static str),
    UserGroups(String),
    UserGroup(String, String),
    List(&'static Kind, Option<String>),
    One(&'static Kind, Option<String>, String),
    CheckHooks(String, String),
    CheckHook(String, String, String, String),
    Execute(String, String),
    Entities(Option<String>),
    Entity(String, String),
    Events(Option<String>),
    EntityEvents(String, String),
    Event(String, String, String),
    Silences(Option<String>),
    Silence(String, String),
    SilencesBySubscription(String, String),
    SilencesByCheck(Option<String>, String),
}

/// What authorization asks about a request. All parts are percent-encoded as in the path.
pub(super) struct Attributes {
    pub(super) verb: &'static str,
    pub(super) namespace: String,
    pub(super) resource: &'static str,
    pub(super) name: String,
}

/// The clean form of a path; `None` when it already is clean.
pub(super) fn cleaned(path: &str) -> Option<String> {
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            other => segments.push(other),
        }
    }
    let mut clean = String::new();
    for segment in &segments {
        clean.push('/');
        clean.push_str(segment);
    }
    if clean.is_empty() || path.ends_with('/') {
        clean.push('/');
    }
    (clean != path).then_some(clean)
}

/// Finds the route of a path.
pub(super) fn find(path: &str) -> Option<Target> {
    match path {
        "/health" => return Some(Target::Health),
        "/version" => return Some(Target::Version),
        "/metrics" => return Some(Target::Metrics),
        "/ready" => return Some(Target::Ready),
        "/auth" => return Some(Target::Login),
        "/auth/test" => return Some(Target::TestCredentials),
        "/auth/token" => return Some(Target::Refresh),
        "/auth/logout" => return Some(Target::Logout),
        "/graphql" => return Some(Target::Graphql),
        _ => {}
    }
    let segments: Vec<&str> = path.strip_prefix("/api/core/v2/")?.split('/').collect();
    if segments.iter().any(|s| s.is_empty()) {
        return None;
    }
    match segments.as_slice() {
        ["namespaces", ns, rest @ ..] if !rest.is_empty() => namespaced(ns, rest),
        rest => cluster_wide(rest),
    }
}

fn cluster_wide(segments: &[&str]) -> Option<Target> {
    let own = |s: &&str| (*s).to_owned();
    Some(match segments {
        ["tessen"] => Target::Tessen,
        ["tessen", "metrics"] => Target::TessenMetrics,
        ["cluster", "id"] => Target::ClusterId,
        ["cluster", "members"] => Target::Members,
        ["cluster", "members", id] => Target::Member(own(id)),
        ["namespaces"] => Target::Namespaces,
        ["namespaces", ns] => Target::Namespace(own(ns)),
        ["users"] => Target::Users,
        ["users", user] => Target::User(own(user)),
        ["users", user, "groups"] => Target::UserGroups(own(user)),
        ["users", user, "groups", group] => Target::UserGroup(own(user), own(group)),
        ["users", user, verb] => {
            let verbs = ["reinstate", "password", "reset_password", "change_password"];
            Target::UserVerb(own(user), verbs.into_iter().find(|v| v == verb)?)
        }
        ["entities"] => Target::Entities(None),
        ["events"] => Target::Events(None),
        ["silenced"] => Target::Silences(None),
        ["silenced", "checks", check] => Target::SilencesByCheck(None, own(check)),
        [route] => Target::List(kinds::by_route(route)?, None),
        [route, name] => {
            let kind = kinds::by_route(route).filter(|k| !k.namespaced)?;
            Target::One(kind, None, own(name))
        }
        _ => return None,
    })
}

fn namespaced(ns: &str, segments: &[&str]) -> Option<Target> {
    let ns = ns.to_owned();
    let own = |s: &&str| (*s).to_owned();
    Some(match segments {
        ["checks", check, "execute"] => Target::Execute(ns, own(check)),
        ["checks", check, "hooks", _] => Target::CheckHooks(ns, own(check)),
        ["checks", check, "hooks", kind, "hook", hook] => {
            Target::CheckHook(ns, own(check), own(kind), own(hook))
        }
        ["entities"] => Target::Entities(Some(ns)),
        ["entities", name] => Target::Entity(ns, own(name)),
        ["events"] => Target::Events(Some(ns)),
        ["events", entity] => Target::EntityEvents(ns, own(entity)),
        ["events", entity, check] => Target::Event(ns, own(entity), own(check)),
        ["silenced"] => Target::Silences(Some(ns)),
        ["silenced", name] => Target::Silence(ns, own(name)),
        ["silenced", "subscriptions", name] => Target::SilencesBySubscription(ns, own(name)),
        ["silenced", "checks", name] => Target::SilencesByCheck(Some(ns), own(name)),
        [route] => Target::List(kinds::by_route(route).filter(|k| k.namespaced)?, Some(ns)),
        [route, name] => Target::One(kinds::by_route(route).filter(|k| k.namespaced)?, Some(ns), own(name)),
        _ => return None,
    })
}

// === impl Target ===

impl Target {
    /// Whether the route has that method.
    pub(super) fn allows(&self, method: &str) -> bool {
        let methods: &[&str] = match self {
            Self::Metrics => return true,
            Self::TessenMetrics | Self::Graphql | Self::Refresh | Self::Logout | Self::Execute(..) => {
                &["POST"]
            }
            Self::Tessen => &["GET", "PUT"],
            Self::Members | Self::Namespaces | Self::Users => &["GET", "POST"],
            Self::Member(_) | Self::UserGroup(..) => &["PUT", "DELETE"],
            Self::Namespace(_) | Self::Entity(..) => &["GET", "PUT", "PATCH", "DELETE"],
            Self::User(_) | Self::Silence(..) => &["GET", "PUT", "DELETE"],
            Self::UserVerb(..) | Self::CheckHooks(..) => &["PUT"],
            Self::UserGroups(_) | Self::CheckHook(..) => &["DELETE"],
            Self::Event(..) => &["GET", "PUT", "POST", "DELETE"],
            Self::List(kind, ns) if kind.namespaced && ns.is_none() => &["GET"],
            Self::List(..) | Self::Entities(Some(_)) | Self::Events(Some(_)) | Self::Silences(Some(_)) => {
                &["GET", "POST"]
            }
            Self::One(kind, ..) if kind.put => &["GET", "PUT", "PATCH", "DELETE"],
            Self::One(..) => &["GET", "PATCH", "DELETE"],
            _ => &["GET"],
        };
        methods.contains(&method)
    }

    /// What authorization asks; `None` where authentication is enough.
    pub(super) fn attributes(&self, method: &str, user: &str) -> Option<Attributes> {
        let (namespace, resource, name) = self.subject(method, user)?;
        let mut attributes = Attributes {
            verb: match method {
                "POST" => "create",
                "GET" => "get",
                "DELETE" => "delete",
                _ => "update",
            },
            namespace: namespace.cloned().unwrap_or_default(),
            resource,
            name,
        };
        let misread = matches!(self, Self::Silence(_, name) if name.starts_with("checks"));
        if misread {
            attributes.name = "checks".into();
        }
        if attributes.verb == "get" && (attributes.name.is_empty() || misread) {
            attributes.verb = "list";
        }
        Some(attributes)
    }

    fn subject(&self, method: &str, user: &str) -> Option<(Option<&String>, &'static str, String)> {
        let none = String::new();
        Some(match self {
            Self::Namespaces | Self::Namespace(_) if method == "GET" => return None,
            Self::Namespaces => (None, "namespaces", none),
            Self::Namespace(name) => (None, "namespaces", name.clone()),
            Self::Users => (None, "users", none),
            Self::User(name) if name == user && method == "GET" => (None, "localselfuser", name.clone()),
            Self::UserVerb(name, "password" | "change_password") if name == user => {
                (None, "localselfuser", name.clone())
            }
            Self::User(name)
            | Self::UserVerb(name, _)
            | Self::UserGroups(name)
            | Self::UserGroup(name, _) => (None, "users", name.clone()),
            Self::List(kind, ns) => (ns.as_ref(), kind.route, none),
            Self::One(kind, ns, name) => (ns.as_ref(), kind.route, name.clone()),
            Self::CheckHooks(ns, name) | Self::CheckHook(ns, name, ..) | Self::Execute(ns, name) => {
                (Some(ns), "checks", name.clone())
            }
            Self::Entities(ns) => (ns.as_ref(), "entities", none),
            Self::Entity(ns, name) => (Some(ns), "entities", name.clone()),
            Self::Events(ns) => (ns.as_ref(), "events", none),
            Self::EntityEvents(ns, _) => (Some(ns), "events", none),
            Self::Event(ns, entity, check) => (Some(ns), "events", format!("{entity}/{check}")),
            Self::Silences(ns) => (ns.as_ref(), "silenced", none),
            Self::Silence(ns, name) => (Some(ns), "silenced", name.clone()),
            Self::SilencesBySubscription(ns, name) => (Some(ns), "silenced", format!("subscriptions/{name}")),
            Self::SilencesByCheck(ns, name) => (ns.as_ref(), "silenced", format!("checks/{name}")),
            Self::Member(id) => (None, "", id.clone()),
            _ => (None, "", none),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_literal_dots_and_slashes_are_cleaned() {
        for (path, clean) in
            [("//a", "/a"), ("/a/./b", "/a/b"), ("/a/../b", "/b"), ("/a//", "/a/"), ("/..", "/")]
        {
            assert_eq!(cleaned(path).as_deref(), Some(clean), "{path}");
        }
        for path in ["/", "/a", "/a/", "/a/%2e%2e/b", "/a/..%2Fb"] {
            assert_eq!(cleaned(path), None, "{path}");
        }
    }

    #[test]
    fn kinds_are_routed_where_they_exist() {
        for path in ["checks", "namespaces/a/checks/b", "clusterroles/a", "namespaces/a/events/b/c"] {
            assert!(find(&format!("/api/core/v2/{path}")).is_some(), "{path}");
        }
        for path in ["namespaces/a/clusterroles", "checks/a", "clusterroles/a/b", "namespaces/a/", "nope"] {
            assert!(find(&format!("/api/core/v2/{path}")).is_none(), "{path}");
        }
    }
}
