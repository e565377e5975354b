//! The rules of each kind, with the texts of Sensu.

use serde_json::Value;

use crate::sim::json::{self, Object, text};

type Rule = Result<(), String>;

fn word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn matches(text: &str, legal: impl Fn(char) -> bool) -> Rule {
    if text.is_empty() {
        Err("must not be empty".into())
    } else if text.chars().all(legal) {
        Ok(())
    } else {
        Err("cannot contain spaces or special characters".into())
    }
}

/// `[\w.\-:]+`.
pub(in crate::sim) fn name(text: &str) -> Rule {
    matches(text, |c| word(c) || matches!(c, '.' | '-' | ':'))
}

/// `[\w/_.\-:]+`.
pub(in crate::sim) fn asset_name(text: &str) -> Rule {
    matches(text, |c| word(c) || matches!(c, '.' | '-' | ':' | '/'))
}

/// `[\w.\-]+(:?[\w.\-]+)?`.
pub(in crate::sim) fn subscription_name(text: &str) -> Rule {
    name(text)?;
    let colons = text.matches(':').count();
    if colons > 1 || text.starts_with(':') || text.ends_with(':') {
        return Err("cannot contain spaces or special characters".into());
    }
    Ok(())
}

/// `[a-z0-9_.\-]+`.
pub(in crate::sim) fn username(text: &str) -> Rule {
    matches(text, |c| (c.is_ascii_alphanumeric() && !c.is_ascii_uppercase()) || matches!(c, '_' | '.' | '-'))
}

fn named(object: &Object, what: &str, rule: impl Fn(&str) -> Rule) -> Rule {
    rule(text(object, &["metadata", "name"])).map_err(|e| format!("{what} {e}"))
}

fn has_namespace(object: &Object) -> Rule {
    if text(object, &["metadata", "namespace"]).is_empty() {
        return Err("namespace must be set".into());
    }
    Ok(())
}

fn has_no_namespace(object: &Object, what: &str) -> Rule {
    if text(object, &["metadata", "namespace"]).is_empty() {
        return Ok(());
    }
    Err(format!("{what} cannot have a namespace"))
}

fn is_empty(object: &Object, key: &str) -> bool {
    object.get(key).and_then(Value::as_array).is_none_or(Vec::is_empty)
}

pub(super) fn api_key(object: &mut Object) -> Rule {
    if text(object, &["username"]).is_empty() {
        return Err("username must not be empty".into());
    }
    Ok(())
}

pub(super) fn asset(object: &mut Object) -> Rule {
    named(object, "asset name", asset_name)?;
    has_namespace(object)?;
    if !is_empty(object, "builds") {
        return Ok(());
    }
    if text(object, &["sha512"]).is_empty() {
        return Err("SHA-512 checksum cannot be empty".into());
    }
    if text(object, &["sha512"]).len() < 128 {
        return Err("SHA-512 checksum must be at least 128 characters".into());
    }
    if text(object, &["url"]).is_empty() {
        return Err("URL cannot be empty".into());
    }
    Ok(())
}

pub(super) fn check(object: &mut Object) -> Rule {
    named(object, "check name", name)?;
    let interval = json::int(object, "interval");
    let cron = !text(object, &["cron"]).is_empty();
    if cron && interval > 0 {
        return Err("must only specify either an interval or a cron schedule".into());
    }
    if !cron && interval == 0 {
        return Err("check interval must be greater than 0 or a valid cron schedule must be provided".into());
    }
    has_namespace(object)
}

pub(super) fn filter(object: &mut Object) -> Rule {
    named(object, "filter name", name)?;
    if !matches!(text(object, &["action"]), "allow" | "deny") {
        return Err(format!("action '{}' is not valid", text(object, &["action"])));
    }
    if is_empty(object, "expressions") {
        return Err("filter must have one or more expressions".into());
    }
    has_namespace(object)
}

pub(super) fn handler(object: &mut Object) -> Rule {
    named(object, "handler name", name)?;
    match text(object, &["type"]) {
        "pipe" | "set" | "grpc" => {}
        "tcp" | "udp" if object.get("socket").is_some_and(Value::is_object) => {}
        "tcp" | "udp" => return Err("tcp and udp handlers need a valid socket".into()),
        "" => return Err("empty handler type".into()),
        other => return Err(format!("unknown handler type: {other}")),
    }
    has_namespace(object)
}

pub(super) fn hook(object: &mut Object) -> Rule {
    named(object, "hook name", name)?;
    if text(object, &["command"]).is_empty() {
        return Err("command cannot be empty".into());
    }
    if json::int(object, "timeout") == 0 {
        return Err("hook timeout must be greater than 0".into());
    }
    has_namespace(object)
}

pub(super) fn mutator(object: &mut Object) -> Rule {
    named(object, "mutator name", name)?;
    match text(object, &["type"]) {
        "" | "pipe" if text(object, &["command"]).is_empty() => Err("mutator command must be set".into()),
        "javascript" if text(object, &["eval"]).is_empty() => Err("mutator eval must be set".into()),
        "" | "pipe" | "javascript" => has_namespace(object),
        other => Err(format!("unknown mutator type: {other}")),
    }
}

pub(super) fn pipeline(object: &mut Object) -> Rule {
    named(object, "name", name)?;
    has_namespace(object)
}

pub(super) fn role(object: &mut Object) -> Rule {
    named(object, "the Role name", subscription_name)?;
    has_namespace(object)?;
    if is_empty(object, "rules") {
        return Err("a Role must have at least one rule".into());
    }
    Ok(())
}

pub(super) fn cluster_role(object: &mut Object) -> Rule {
    named(object, "the ClusterRole name", subscription_name)?;
    has_no_namespace(object, "ClusterRole")?;
    if is_empty(object, "rules") {
        return Err("a ClusterRole must have at least one rule".into());
    }
    Ok(())
}

pub(super) fn role_binding(object: &mut Object) -> Rule {
    named(object, "the RoleBinding name", subscription_name)?;
    has_namespace(object)?;
    binding(object, "a RoleBinding must have at least one subject")?;
    match text(object, &["role_ref", "type"]) {
        "ClusterRole" | "Role" => Ok(()),
        other => {
            Err(format!("roleRef type \"{other}\" is invalid, expected either \"ClusterRole\" or \"Role\""))
        }
    }
}

pub(super) fn cluster_role_binding(object: &mut Object) -> Rule {
    named(object, "the ClusterRoleBinding name", subscription_name)?;
    has_no_namespace(object, "ClusterRoleBinding")?;
    binding(object, "a ClusterRoleBinding must have at least one subject")?;
    match text(object, &["role_ref", "type"]) {
        "ClusterRole" => Ok(()),
        _ => Err("ClusterRoleBinding can only reference a ClusterRole".into()),
    }
}

/// Subjects and the first letters of the types, which Sensu writes in upper case.
fn binding(object: &mut Object, no_subject: &str) -> Rule {
    if is_empty(object, "subjects") {
        return Err(no_subject.into());
    }
    if let Some(Value::Object(role)) = object.get_mut("role_ref") {
        capitalize(role);
    }
    let subjects = object.get_mut("subjects").and_then(Value::as_array_mut);
    for subject in subjects.into_iter().flatten().filter_map(Value::as_object_mut) {
        capitalize(subject);
        let kind = text(subject, &["type"]);
        if !matches!(kind, "Group" | "User") {
            return Err(format!("subject type \"{kind}\" is invalid, expected either \"Group\" or \"User\""));
        }
    }
    Ok(())
}

fn capitalize(object: &mut Object) {
    if let Some(Value::String(kind)) = object.get_mut("type")
        && let Some(first) = kind.get_mut(..1)
    {
        first.make_ascii_uppercase();
    }
}
