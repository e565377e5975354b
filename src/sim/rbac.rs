//! Authorization: bindings in key order, the first allowing rule wins, and nothing is denied by a rule.

use serde_json::Value;

use super::{
    call,
    json::{self, Object, text},
    route::Attributes,
    store::Store,
};

/// Who asks.
#[derive(Clone, Debug, Default)]
pub(super) struct User {
    pub(super) name: String,
    pub(super) groups: Vec<String>,
}

pub(super) const CLUSTER_ROLES: &str = "/sensu.io/rbac/clusterroles/";
pub(super) const CLUSTER_ROLE_BINDINGS: &str = "/sensu.io/rbac/clusterrolebindings/";
pub(super) const ROLES: &str = "/sensu.io/rbac/roles/";
pub(super) const ROLE_BINDINGS: &str = "/sensu.io/rbac/rolebindings/";

/// Whether the rules allow the request.
///
/// # Errors
///
/// Sensu's text when a binding does not decode or a matching one names a role that does not exist.
pub(super) fn allows(store: &Store, user: &User, asked: &Attributes) -> Result<bool, String> {
    let allowing = |rule: &Object| rule_allows(rule, asked);
    if visit(store, user, CLUSTER_ROLE_BINDINGS, allowing)? {
        return Ok(true);
    }
    if asked.namespace.is_empty() && asked.resource != "namespaces" {
        return Ok(false);
    }
    let prefix = if asked.resource == "namespaces" {
        ROLE_BINDINGS.to_owned()
    } else {
        format!("{ROLE_BINDINGS}{}/", call::decode(&asked.namespace))
    };
    visit(store, user, &prefix, allowing)
}

fn rule_allows(rule: &Object, asked: &Attributes) -> bool {
    let has = |key, wanted: &str| json::strings(rule, key).any(|v| v == "*" || v == wanted);
    let named = match rule.get("resource_names").and_then(Value::as_array) {
        Some(names) if !names.is_empty() => names.iter().any(|n| n.as_str() == Some(&asked.name)),
        _ => true,
    };
    has("verbs", asked.verb) && has("resources", asked.resource) && named
}

/// Calls `stop` with every rule that the user's bindings give, until it says so.
fn visit(
    store: &Store,
    user: &User,
    prefix: &str,
    mut stop: impl FnMut(&Object) -> bool,
) -> Result<bool, String> {
    for binding in store.objects(prefix)? {
        if is_subject(binding, user) && rules(store, binding)?.any(&mut stop) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn is_subject(binding: &Object, user: &User) -> bool {
    let subjects = binding.get("subjects").and_then(Value::as_array);
    subjects.into_iter().flatten().filter_map(Value::as_object).any(|subject| {
        let name = text(subject, &["name"]);
        match text(subject, &["type"]) {
            "User" => name == user.name,
            "Group" => user.groups.iter().any(|g| g == name),
            _ => false,
        }
    })
}

fn rules<'a>(store: &'a Store, binding: &Object) -> Result<impl Iterator<Item = &'a Object>, String> {
    let kind = text(binding, &["role_ref", "type"]);
    let name = text(binding, &["role_ref", "name"]);
    let key = if kind == "Role" {
        format!("{ROLES}{}/{name}", text(binding, &["metadata", "namespace"]))
    } else {
        format!("{CLUSTER_ROLES}{name}")
    };
    let role = store
        .object(&key)
        .ok_or_else(|| format!("could not retrieve the {kind} {name}: key {key} not found"))?;
    Ok(role.get("rules").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_object))
}

/// The namespaces a caller may see: all of them, or those named, in the order of the bindings that show them.
pub(super) enum Visible {
    All,
    Named(Vec<String>),
}

/// Which namespaces the list shows.
///
/// # Errors
///
/// As [`allows`].
pub(super) fn visible(store: &Store, user: &User) -> Result<Visible, String> {
    let mut names = Vec::new();
    if visit(store, user, CLUSTER_ROLE_BINDINGS, |rule| match revealed(rule) {
        Some(shown) => {
            let all = shown.is_empty();
            names.extend(shown.into_iter().map(ToOwned::to_owned));
            all
        }
        None => false,
    })? {
        return Ok(Visible::All);
    }
    for binding in store.objects(ROLE_BINDINGS)? {
        if is_subject(binding, user) && rules(store, binding)?.any(gets) {
            names.push(text(binding, &["metadata", "namespace"]).to_owned());
        }
    }
    let mut seen = std::collections::BTreeSet::new();
    names.retain(|name| seen.insert(name.clone()));
    Ok(Visible::Named(names))
}

/// Whether the caller may see a namespace.
///
/// # Errors
///
/// As [`allows`].
pub(super) fn sees(store: &Store, user: &User, namespace: &str) -> Result<bool, String> {
    let shows =
        |rule: &Object| revealed(rule).is_some_and(|shown| shown.is_empty() || shown.contains(&namespace));
    Ok(visit(store, user, CLUSTER_ROLE_BINDINGS, shows)?
        || visit(store, user, &format!("{ROLE_BINDINGS}{namespace}/"), gets)?)
}

fn gets(rule: &Object) -> bool {
    json::strings(rule, "verbs").any(|v| v == "*" || v == "get")
}

/// The namespaces that a cluster-wide rule shows: none, some, or all, which is an empty list.
fn revealed(rule: &Object) -> Option<Vec<&str>> {
    if !gets(rule) {
        return None;
    }
    let resources: Vec<&str> = json::strings(rule, "resources").collect();
    if resources.iter().any(|r| matches!(*r, "*" | "namespaces")) {
        return Some(json::strings(rule, "resource_names").collect());
    }
    resources.iter().any(|r| REVEALING.contains(r)).then(Vec::new)
}

/// The resources of which one is enough to see every namespace.
const REVEALING: [&str; 9] =
    ["assets", "checks", "entities", "events", "filters", "handlers", "hooks", "mutators", "silenced"];
