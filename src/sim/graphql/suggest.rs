//! Suggestions: the values that a field has in a namespace.

use std::{cmp::Reverse, collections::BTreeMap};

use serde_json::{Value, json};

use super::{
    inputs::Values,
    out::{Node, Out},
    records::{self, Record},
    session::Session,
};
use crate::sim::json::{int, strings, text};

/// Where suggestions can be taken from: the name in the reference, the kind, and its fields next to the metadata.
const SOURCES: &[(&str, &Record, &[&str])] = &[
    ("asset", &records::ASSETS, &["filters"]),
    ("check_config", &records::CHECKS, &["proxy_entity_name", "command", "subscriptions", "timeout"]),
    (
        "entity",
        &records::ENTITIES,
        &["system/os", "system/platform", "system/platform_family", "system/arch", "subscriptions", "user"],
    ),
    ("event_filter", &records::FILTERS, &[]),
    ("handler", &records::HANDLERS, &["command", "timeout"]),
    ("hook_config", &records::HOOKS, &["command", "timeout"]),
    ("mutator", &records::MUTATORS, &["command", "timeout"]),
    ("pipeline", &records::PIPELINES, &[]),
    ("silenced", &records::SILENCES, &["check", "subscription", "creator"]),
    ("user", &records::USERS, &["username", "groups"]),
];

/// `Query.suggest`: an error comes with an empty list.
pub(super) fn suggest(session: &mut Session<'_>, args: &Values) -> Result<Out, String> {
    let (mut found, error) = match find(session, args) {
        Ok(found) => (found, None),
        Err(text) => (Vec::new(), Some(text)),
    };
    if error.is_none() {
        let limit = int(args, "limit");
        found.truncate(
            usize::try_from(limit)
                .map_err(|_| format!("runtime error: slice bounds out of range [:{limit}]"))?,
        );
    }
    let value = json!({"values": found});
    Ok(match error {
        Some(text) => Out::Flawed(value, text),
        None => Out::Value(value),
    })
}

fn find(session: &mut Session<'_>, args: &Values) -> Result<Vec<String>, String> {
    let reference = text(args, &["ref"]);
    let mut parts = reference.splitn(4, '/');
    let (Some(group), Some(version), Some(name)) = (parts.next(), parts.next(), parts.next()) else {
        return Err("reference to field must take the form :group/:version/:resource/:field/:name".into());
    };
    let field = parts.next().unwrap_or_default();
    let source =
        SOURCES.iter().find(|(known, ..)| *known == name).filter(|_| (group, version) == ("core", "v2"));
    let Some((_, record, fields)) = source else {
        return Err(format!("no mapping found for '{group}/{version}/{name}'"));
    };
    if !is_field(record, fields, field) {
        return Err(format!("could not find field for '{field}'"));
    }
    let nodes = session.load(record, text(args, &["namespace"]))?;
    if let Some(statement) = strings(args, "filters").next() {
        return Err(if statement.contains(':') {
            "no filter could be matched with the given statement".into()
        } else {
            "filters must have the format KEY:VAL".into()
        });
    }
    let wanted = text(args, &["q"]).to_lowercase();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for value in nodes.iter().flat_map(|node| values(node, field)) {
        if !value.is_empty() && value.to_lowercase().contains(&wanted) {
            *counts.entry(value).or_default() += 1;
        }
    }
    let mut found: Vec<(String, usize)> = counts.into_iter().collect();
    match text(args, &["order"]) {
        "FREQUENCY" => found.sort_by_key(|(_, count)| Reverse(*count)),
        // The other way round in Sensu: ALPHA_DESC ascends.
        "ALPHA_ASC" => found.reverse(),
        _ => {}
    }
    Ok(found.into_iter().map(|(value, _)| value).collect())
}

fn is_field(record: &Record, fields: &[&str], field: &str) -> bool {
    let in_metadata =
        matches!(field, "metadata/name" | "metadata/labels") || field.starts_with("metadata/labels/");
    fields.contains(&field) || (in_metadata && record.ty != "User")
}

/// The values at a path: a text, a list of texts, a number, or the keys of the labels.
fn values(node: &Node, field: &str) -> Vec<String> {
    if field == "metadata/labels" {
        let labels = node.part("metadata").and_then(|meta| meta.get("labels")).and_then(Value::as_object);
        return labels.into_iter().flat_map(|labels| labels.keys().cloned()).collect();
    }
    let mut value = None;
    let mut object = Some(node.object());
    // A label may have slashes in its name.
    for key in field.splitn(3, '/') {
        value = object.and_then(|object| object.get(key));
        object = value.and_then(Value::as_object);
    }
    match value {
        Some(Value::String(text)) => vec![text.clone()],
        Some(Value::Number(number)) => vec![number.to_string()],
        Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).map(ToOwned::to_owned).collect(),
        _ => Vec::new(),
    }
}
