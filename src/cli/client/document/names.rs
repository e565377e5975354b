//! Which names Sensu takes, so that a wrong one is found before anything is sent.

use crate::{
    cli::client::kind::Kind,
    types::{ClusterName, NamespaceRef},
};

/// The error completes a sentence about the document.
pub(super) fn check(kind: &Kind, namespace: &str, names: &[String]) -> Result<(), String> {
    if let Some(name) = names.iter().find(|name| matches!(name.as_str(), "" | "." | "..")) {
        return Err(format!("has the name {name:?}, which a path cannot hold"));
    }
    if kind.is_namespaced() {
        check_namespace(namespace)?;
    }
    names.iter().try_for_each(|name| check_name(kind, name))
}

fn check_name(kind: &Kind, name: &str) -> Result<(), String> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    let (is_allowed, allowed) = match kind.type_name {
        "Cluster" => {
            return name.parse::<ClusterName>().map(|_| ()).map_err(|error| format!("is refused: {error}"));
        }
        "Namespace" => return check_namespace(name),
        // Sensu makes these names from other fields, or by itself.
        "Silenced" | "APIKey" | "EtcdReplicator" | "Replicator" => return Ok(()),
        "Asset" => (name.chars().all(|c| is_word(c) || matches!(c, ':' | '/')), "A-Z a-z 0-9 _ . - : /"),
        "User" => (name.chars().all(|c| is_word(c) && !c.is_ascii_uppercase()), "a-z 0-9 _ . -"),
        "Role" | "RoleBinding" | "ClusterRole" | "ClusterRoleBinding" => {
            let mut parts = name.split(':');
            let is_part = |part: &str| !part.is_empty() && part.chars().all(is_word);
            (parts.clone().count() <= 2 && parts.all(is_part), "A-Z a-z 0-9 _ . - and one : within")
        }
        _ => (name.chars().all(|c| is_word(c) || c == ':'), "A-Z a-z 0-9 _ . - :"),
    };
    if is_allowed { Ok(()) } else { Err(format!("has the name {name:?}, but Sensu takes only {allowed}")) }
}

fn check_namespace(text: &str) -> Result<(), String> {
    let parsed = NamespaceRef::parse(text).map_err(|error| format!("is refused: {error}"))?;
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-' | ':');
    if parsed.namespace.chars().all(is_allowed) {
        return Ok(());
    }
    Err(format!("has the namespace {text:?}, but Sensu takes only A-Z a-z 0-9 _ . - :"))
}
