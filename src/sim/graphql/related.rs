//! Fields of stored objects that Sensu computes, or looks up elsewhere.

use std::cmp::Reverse;

use serde_json::{Value, json};

use super::{
    filters,
    inputs::Values,
    out::{Node, Out},
    records::{self, Record},
    session::{Refusal, Row, Session},
};
use crate::sim::{
    entities,
    json::{self as go, Object, text},
};

pub(super) const FIELDS: &[Row] = &[
    ("CheckConfig", "checkHooks", |_, node, _| Ok(hook_lists(node))),
    ("CheckConfig", "handlers", |s, node, _| named(s, node, &records::HANDLERS, "handlers")),
    ("CheckConfig", "outputMetricHandlers", |s, node, _| {
        named(s, node, &records::HANDLERS, "output_metric_handlers")
    }),
    ("CheckConfig", "runtimeAssets", |s, node, _| named(s, node, &records::ASSETS, "runtime_assets")),
    ("CheckConfig", "isSilenced", |s, node, _| any(&check_silences(s, node)?)),
    ("CheckConfig", "silences", |s, node, _| check_silences(s, node).map(Out::nodes)),
    ("Check", "nodeId", |_, node, _| Ok(Out::Value(records::check_id(node)))),
    ("Check", "checkHooks", |_, node, _| Ok(hook_lists(node))),
    ("Check", "handlers", |s, node, _| named(s, node, &records::HANDLERS, "handlers")),
    ("Check", "outputMetricHandlers", |s, node, _| {
        named(s, node, &records::HANDLERS, "output_metric_handlers")
    }),
    ("Check", "runtimeAssets", |s, node, _| named(s, node, &records::ASSETS, "runtime_assets")),
    ("Check", "isSilenced", |_, node, _| Ok(Out::Value(is_marked(node.object()).into()))),
    ("Check", "silences", |s, node, _| named(s, node, &records::SILENCES, "silenced")),
    ("Check", "history", |_, node, args| {
        let history = node.object().get("history").and_then(Value::as_array).cloned().unwrap_or_default();
        let first = usize::try_from(go::int(args, "first")).unwrap_or_default();
        Ok(Out::List(history.into_iter().take(first).map(Out::Value).collect()))
    }),
    ("Check", "output", |_, node, args| Ok(Out::text(output(node.text(&["output"]), args)))),
    ("Hook", "config", |_, node, _| Ok(Out::Node(Node { ty: "HookConfig", data: node.data.clone() }))),
    ("Entity", "metadata", |_, node, _| Ok(redacted_meta(node.object()))),
    ("Entity", "status", |s, node, _| entity_status(s, node)),
    ("Entity", "events", entity_events),
    ("Entity", "related", entity_related),
    ("Entity", "isSilenced", |s, node, _| any(&entity_silences(s, node)?)),
    ("Entity", "silences", |s, node, _| entity_silences(s, node).map(Out::nodes)),
    ("Process", "created", |_, _, _| Ok(Out::Value(0.into()))),
    ("Process", "memoryPercent", |_, _, _| Ok(Out::Value(0.into()))),
    ("Event", "namespace", |_, node, _| Ok(Out::text(node.text(&["entity", "metadata", "namespace"])))),
    ("Event", "isIncident", |_, node, _| Ok(Out::Value((status(node) != 0).into()))),
    ("Event", "isNewIncident", |_, node, _| {
        // Sensu looks at the oldest entry of the history.
        let oldest = history(node).first().copied();
        Ok(Out::Value((status(node) != 0 && oldest == Some(0)).into()))
    }),
    ("Event", "isResolution", |_, node, _| {
        let past = history(node);
        let before = past.len().checked_sub(2).map(|index| past[index]);
        Ok(Out::Value((status(node) == 0 && before.is_some_and(|b| b != 0)).into()))
    }),
    ("Event", "wasSilenced", |_, node, _| Ok(Out::Value(node.part("check").is_some_and(is_marked).into()))),
    ("Event", "isSilenced", |s, node, _| any(&event_silences(s, node)?)),
    ("Event", "silences", |s, node, _| event_silences(s, node).map(Out::nodes)),
    ("Event", "silenced", |_, _, _| Err("unable to coerce value for field 'silenced'".into())),
    ("EventFilter", "action", |_, node, _| Ok(Out::text(&node.text(&["action"]).to_uppercase()))),
    ("EventFilter", "runtimeAssets", |s, node, _| named(s, node, &records::ASSETS, "runtime_assets")),
    ("Handler", "mutator", |s, node, _| {
        let mutator = node.text(&["mutator"]);
        if mutator.is_empty() {
            return Ok(Out::NULL);
        }
        s.fetch(&records::MUTATORS, node.namespace(), mutator).map(Out::from)
    }),
    ("Handler", "handlers", |s, node, _| named(s, node, &records::HANDLERS, "handlers")),
    ("Mutator", "type", |_, node, _| {
        Ok(Out::text(Some(node.text(&["type"])).filter(|ty| !ty.is_empty()).unwrap_or("pipe")))
    }),
    ("Silenced", "check", |s, node, _| {
        let check = s.get(&records::CHECKS, node.namespace(), node.text(&["check"]));
        check.or_else(Refusal::or_nothing).map(Out::from)
    }),
    ("CoreV3EntityConfig", "metadata", |_, node, _| Ok(redacted_meta(node.object()))),
    ("CoreV3EntityConfig", "state", |s, node, _| {
        s.fetch(&records::ENTITY_STATES, node.namespace(), node.name()).map(Out::from)
    }),
    ("CoreV3EntityConfig", "toCoreV2Entity", entity_of),
    ("CoreV3EntityState", "metadata", |_, node, _| Ok(redacted_meta(node.object()))),
    ("CoreV3EntityState", "config", |s, node, _| {
        s.fetch(&records::ENTITY_CONFIGS, node.namespace(), node.name()).map(Out::from)
    }),
    ("CoreV3EntityState", "toCoreV2Entity", entity_of),
];

#[expect(clippy::unnecessary_wraps, reason = "the shape of a resolver's result")]
fn any(silences: &[Node]) -> Result<Out, String> {
    Ok(Out::Value((!silences.is_empty()).into()))
}

/// The objects of a kind, in the node's namespace, whose names a list of the node has; in their own order.
fn named(s: &mut Session<'_>, node: &Node, record: &'static Record, list: &str) -> Result<Out, String> {
    let all = s.load(record, node.namespace())?;
    let wanted = |other: &&Node| go::strings(node.object(), list).any(|name| name == other.name());
    Ok(Out::nodes(all.iter().filter(wanted).cloned()))
}

/// One-key maps as records.
fn hook_lists(check: &Node) -> Out {
    let lists = check.object().get("check_hooks").and_then(Value::as_array);
    let entries = lists.into_iter().flatten().filter_map(Value::as_object).flatten();
    Out::Value(entries.map(|(kind, hooks)| json!({"type": kind, "hooks": hooks})).collect())
}

/// Bytes from the start or the end of the output, not cutting a character in two.
fn output<'a>(text: &'a str, args: &Values) -> &'a str {
    let mut text = text;
    let length = |key: &str| usize::try_from(go::int(args, key)).ok().filter(|n| *n > 0);
    if let Some(first) = length("first") {
        let end = (0..=first.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
        text = &text[..end.unwrap_or_default()];
    }
    if let Some(last) = length("last") {
        let start = (text.len().saturating_sub(last)..=text.len()).find(|at| text.is_char_boundary(*at));
        text = &text[start.unwrap_or_default()..];
    }
    text
}

fn redacted_meta(entity: &Object) -> Out {
    Out::Value(entities::redacted(entity).remove("metadata").unwrap_or_default())
}

fn is_marked(check: &Object) -> bool {
    go::strings(check, "silenced").next().is_some()
}

/// The status of an event's check; 0 without one.
fn status(event: &Node) -> i64 {
    event.part("check").map(|check| go::int(check, "status")).unwrap_or_default()
}

fn history(event: &Node) -> Vec<i64> {
    let entries = event.part("check").and_then(|check| check.get("history")).and_then(Value::as_array);
    entries.into_iter().flatten().filter_map(Value::as_object).map(|entry| go::int(entry, "status")).collect()
}

fn is_any(text: &str) -> bool {
    matches!(text, "" | "*")
}

/// The silences of a namespace that have begun and that `matches` takes, by subscription and check.
fn silences(
    s: &mut Session<'_>,
    namespace: &str,
    matches: impl Fn(&str, &str) -> bool,
) -> Result<Vec<Node>, String> {
    let all = s.load(&records::SILENCES, namespace)?;
    let now = s.now();
    let applies = |silence: &&Node| {
        go::int(silence.object(), "begin") <= now
            && matches(silence.text(&["subscription"]), silence.text(&["check"]))
    };
    Ok(all.iter().filter(applies).cloned().collect())
}

fn check_silences(s: &mut Session<'_>, node: &Node) -> Result<Vec<Node>, String> {
    silences(s, node.namespace(), |subscription, check| {
        (check == node.name() && is_any(subscription))
            || (is_any(check) && go::strings(node.object(), "subscriptions").any(|own| own == subscription))
    })
}

fn entity_silences(s: &mut Session<'_>, node: &Node) -> Result<Vec<Node>, String> {
    silences(s, node.namespace(), |subscription, check| {
        is_any(check) && go::strings(node.object(), "subscriptions").any(|own| own == subscription)
    })
}

/// The namespace is the event's own, and the entity's does not stand in for it: without one, all namespaces count.
fn event_silences(s: &mut Session<'_>, node: &Node) -> Result<Vec<Node>, String> {
    let (Some(check), Some(entity)) = (node.part("check"), node.part("entity")) else {
        return Ok(Vec::new());
    };
    let name = text(check, &["metadata", "name"]);
    let own = format!("entity:{}", text(entity, &["metadata", "name"]));
    // The check of a proxy entity subscribes for the agent that runs it: then the entity's own subscriptions count.
    let by_proxy = !text(check, &["proxy_entity_name"]).is_empty();
    let has = |object: &Object, wanted: &str| go::strings(object, "subscriptions").any(|own| own == wanted);
    silences(s, node.namespace(), |subscription, silenced| {
        let subscribed = is_any(subscription)
            || subscription == own
            || (has(entity, subscription) && (by_proxy || has(check, subscription)));
        subscribed && (is_any(silenced) || silenced == name)
    })
}

/// The events of an entity; none when the caller may not see any.
fn events_of(s: &mut Session<'_>, entity: &Node) -> Result<Vec<Node>, String> {
    let all = s.load(&records::EVENTS, entity.namespace())?;
    let own = |event: &&Node| event.text(&["entity", "metadata", "name"]) == entity.name();
    Ok(all.iter().filter(own).cloned().collect())
}

/// The worst status of its events, -1 without any.
fn entity_status(s: &mut Session<'_>, node: &Node) -> Result<Out, String> {
    let worst = events_of(s, node)?.iter().map(status).max().unwrap_or(-1);
    Ok(Out::Value(worst.min(i32::MAX.into()).into()))
}

fn entity_events(s: &mut Session<'_>, node: &Node, args: &Values) -> Result<Out, String> {
    let mut events = events_of(s, node)?;
    filters::keep(&mut events, "Event", args)?;
    filters::sort_events(&mut events, text(args, &["orderBy"]));
    Ok(Out::nodes(events))
}

/// Other entities of the namespace, those first that have most in common with it.
fn entity_related(s: &mut Session<'_>, node: &Node, args: &Values) -> Result<Out, String> {
    let all = s.load(&records::ENTITIES, node.namespace())?;
    let traits = |entity: &Node| {
        let mut traits: Vec<String> =
            go::strings(entity.object(), "subscriptions").map(ToOwned::to_owned).collect();
        traits.push(entity.text(&["entity_class"]).to_owned());
        traits.push(entity.text(&["system", "platform"]).to_owned());
        traits
    };
    let own = traits(node);
    let mut others: Vec<Node> = all.iter().filter(|other| other.name() != node.name()).cloned().collect();
    others.sort_by_cached_key(|other| Reverse(traits(other).iter().filter(|t| own.contains(t)).count()));
    others.truncate(usize::try_from(go::int(args, "limit")).unwrap_or_default());
    Ok(Out::nodes(others))
}

fn entity_of(s: &mut Session<'_>, node: &Node, _: &Values) -> Result<Out, String> {
    let entity = s.get(&records::ENTITIES, node.namespace(), node.name());
    entity.map(Out::from).map_err(Refusal::text)
}
