//! Filters (`KEY:VALUE`) and orders of lists.

use std::cmp::{Ordering, Reverse};

use serde_json::Value;

use super::{inputs::Values, out::Node};
use crate::sim::json::{self as go, text};

/// Whether an object passes a filter with a value.
type Test = fn(&Node, &str) -> bool;

enum Filter {
    Text(Test),
    /// The value must be a boolean.
    Flag(fn(&Node) -> bool),
}

/// Type, key of the filter, filter.
const FILTERS: &[(&str, &str, Filter)] = &[
    (
        "CheckConfig",
        "published",
        Filter::Flag(|check| check.object().get("publish") == Some(&Value::Bool(true))),
    ),
    ("CheckConfig", "subscription", Filter::Text(subscribes)),
    ("Entity", "class", Filter::Text(|entity, value| entity.text(&["entity_class"]) == value)),
    ("Entity", "subscription", Filter::Text(subscribes)),
    ("Event", "status", Filter::Text(has_status)),
    ("Event", "check", Filter::Text(|event, value| event.text(&["check", "metadata", "name"]) == value)),
    ("Event", "entity", Filter::Text(|event, value| event.text(&["entity", "metadata", "name"]) == value)),
    (
        "Event",
        "silenced",
        Filter::Flag(|event| {
            event.part("check").is_some_and(|c| go::strings(c, "silenced").next().is_some())
        }),
    ),
    ("EventFilter", "action", Filter::Text(|filter, value| filter.text(&["action"]) == value)),
    ("Handler", "type", Filter::Text(|handler, value| handler.text(&["type"]) == value)),
    ("Silenced", "check", Filter::Text(|silence, value| silence.text(&["check"]) == value)),
    ("Silenced", "subscription", Filter::Text(|silence, value| silence.text(&["subscription"]) == value)),
];

/// Keeps the objects that pass all of the `filters` argument.
///
/// # Errors
///
/// Sensu's text for a filter that it does not have.
pub(super) fn keep(nodes: &mut Vec<Node>, ty: &str, args: &Values) -> Result<(), String> {
    for statement in go::strings(args, "filters") {
        let (key, value) = statement.split_once(':').ok_or("filters must have the format KEY:VAL")?;
        let filter = FILTERS.iter().find(|(owner, name, _)| *owner == ty && *name == key);
        match filter.map(|(_, _, filter)| filter) {
            None => return Err("no filter could be matched with the given statement".into()),
            Some(Filter::Text(test)) => nodes.retain(|node| test(node, value)),
            Some(Filter::Flag(test)) => {
                let wanted = parse_bool(value.trim())?;
                nodes.retain(|node| test(node) == wanted);
            }
        }
    }
    Ok(())
}

fn subscribes(node: &Node, value: &str) -> bool {
    go::strings(node.object(), "subscriptions").any(|subscription| subscription == value)
}

fn has_status(event: &Node, value: &str) -> bool {
    let status = event.part("check").map(|check| go::int(check, "status")).unwrap_or_default();
    match value {
        "passing" => status == 0,
        "warning" => status == 1,
        "critical" => status == 2,
        "unknown" => status > 2,
        "incident" => status > 0,
        _ => false,
    }
}

fn parse_bool(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(format!("strconv.ParseBool: parsing \"{text}\": invalid syntax")),
    }
}

/// Sorts by name, in the order that `..._DESC` reverses.
pub(super) fn sort_by_name(nodes: &mut [Node], ascending: bool) {
    nodes.sort_by(|a, b| if ascending { a.name().cmp(b.name()) } else { b.name().cmp(a.name()) });
}

/// Sorts silences; `ID` is the order of the store.
pub(super) fn sort_silences(nodes: &mut [Node], order: &str) {
    let time = |key: &'static str| move |silence: &Node| go::int(silence.object(), key);
    match order {
        "BEGIN" => nodes.sort_by_key(time("begin")),
        "BEGIN_DESC" => nodes.sort_by_key(|silence| Reverse(time("begin")(silence))),
        "EXPIRE_AT" => nodes.sort_by_key(time("expire_at")),
        "EXPIRE_AT_DESC" => nodes.sort_by_key(|silence| Reverse(time("expire_at")(silence))),
        "ID_DESC" => nodes.sort_by(|a, b| b.name().cmp(a.name())),
        _ => {}
    }
}

/// Sorts events. Severity is critical, warning, unknown, passing; within one, the event that passed most recently comes first.
pub(super) fn sort_events(events: &mut [Node], order: &str) {
    let timestamp = |event: &Node| go::int(event.object(), "timestamp");
    match order {
        "SEVERITY" => events.sort_by(|a, b| severity(a).cmp(&severity(b)).then_with(|| latest_well(a, b))),
        "LASTOK" => events.sort_by(|a, b| passes(a).cmp(&passes(b)).then_with(|| latest_well(a, b))),
        "ENTITY" => events.sort_by_cached_key(names),
        "ENTITY_DESC" => events.sort_by_cached_key(|event| Reverse(names(event))),
        "NEWEST" => events.sort_by_key(|event| Reverse(timestamp(event))),
        _ => events.sort_by_key(timestamp),
    }
}

fn severity(event: &Node) -> u8 {
    match event.part("check").map(|check| go::int(check, "status")) {
        Some(2) => 0,
        Some(1) => 1,
        Some(0) => 3,
        Some(_) => 2,
        None => 4,
    }
}

fn passes(event: &Node) -> bool {
    event.part("check").is_some_and(|check| text(check, &["state"]) == "passing")
}

fn latest_well(a: &Node, b: &Node) -> Ordering {
    let last_ok = |event: &Node| match event.part("check") {
        Some(check) => go::int(check, "last_ok"),
        None => go::int(event.object(), "timestamp"),
    };
    last_ok(b).cmp(&last_ok(a)).then_with(|| names(a).cmp(&names(b)))
}

/// Entity and check in one word, which is what Sensu compares.
fn names(event: &Node) -> String {
    event.text(&["entity", "metadata", "name"]).to_owned() + event.text(&["check", "metadata", "name"])
}
