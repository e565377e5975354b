//! The fields of `Mutation`, with Sensu's quirks about what is missing.

use serde_json::Value;

use super::{
    apply::{self, check_silence, code_of, standard_error},
    dates,
    ids::Id,
    inputs::Values,
    out::{Node, Out},
    records::{self, Record},
    session::{Refusal, Row, Session},
};
use crate::sim::{
    events, generic,
    json::{self as go, Object, text},
    kinds, silenced,
};

pub(super) const FIELDS: &[Row] = &[
    ("Mutation", "putWrapped", |s, _, args| apply::put_wrapped(s, args)),
    ("Mutation", "createCheck", |s, _, args| create_check(s, input(args))),
    ("Mutation", "updateCheck", |s, _, args| update_check(s, input(args))),
    ("Mutation", "executeCheck", |s, _, args| execute_check(s, input(args))),
    ("Mutation", "resolveEvent", |s, _, args| resolve_event(s, input(args))),
    ("Mutation", "createSilence", |s, _, args| create_silence(s, input(args))),
    ("Mutation", "deleteCheck", |s, _, args| delete(s, input(args), &records::CHECKS)),
    ("Mutation", "deleteEntity", |s, _, args| delete(s, input(args), &records::ENTITIES)),
    ("Mutation", "deleteEvent", |s, _, args| delete_event(s, input(args))),
    ("Mutation", "deleteEventFilter", |s, _, args| delete(s, input(args), &records::FILTERS)),
    ("Mutation", "deleteHandler", |s, _, args| delete(s, input(args), &records::HANDLERS)),
    ("Mutation", "deleteMutator", |s, _, args| delete(s, input(args), &records::MUTATORS)),
    ("Mutation", "deleteSilence", |s, _, args| delete(s, input(args), &records::SILENCES)),
];

type Resolved = Result<Out, String>;

fn input(args: &Values) -> &Object {
    static EMPTY: std::sync::LazyLock<Object> = std::sync::LazyLock::new(Object::new);
    args.get("input").and_then(Value::as_object).unwrap_or(&EMPTY)
}

/// A payload; `clientMutationId` is empty, not null, when the client sent none.
fn payload(ty: &'static str, input: &Object, field: &'static str, out: Out) -> Out {
    let client = Out::text(text(input, &["clientMutationId"]));
    Out::Node(Node::made(ty, vec![("clientMutationId", client), (field, out)]))
}

/// The id of an input; one that is none counts as an empty one.
fn id_of(input: &Object) -> Id {
    Id::parse(text(input, &["id"])).unwrap_or_default()
}

fn create_check(s: &mut Session<'_>, input: &Object) -> Resolved {
    let mut check = kinds::CHECK.zero();
    let (namespace, name) = (text(input, &["namespace"]), text(input, &["name"]));
    go::set_meta(&mut check, "namespace", namespace);
    go::set_meta(&mut check, "name", name);
    copy_properties(&mut check, input)?;
    s.authorize("create", "checks", namespace, name).map_err(Refusal::text)?;
    store_check(s, check, "CreateCheckPayload", input)
}

fn update_check(s: &mut Session<'_>, input: &Object) -> Resolved {
    let id = id_of(input);
    let check = s.get(&records::CHECKS, &id.namespace, &id.name).map_err(Refusal::text)?;
    let mut check = check.ok_or("result must be addressable (a pointer)")?.object().clone();
    copy_properties(&mut check, input)?;
    s.authorize("update", "checks", &id.namespace, &id.name).map_err(Refusal::text)?;
    store_check(s, check, "UpdateCheckPayload", input)
}

/// Stores a check, whether or not there is one of that name.
fn store_check(s: &mut Session<'_>, mut check: Object, ty: &'static str, input: &Object) -> Resolved {
    (kinds::CHECKS.validate)(&mut check).map_err(|e| format!("resource is invalid: {e}"))?;
    go::set_meta(&mut check, "created_by", &s.user_name());
    let namespace = text(&check, &["metadata", "namespace"]).to_owned();
    s.context.require_namespace(&namespace).map_err(|failure| Refusal::from(failure).text())?;
    let key = generic::key("checks", Some(&namespace), text(&check, &["metadata", "name"]));
    s.store_mut().put(&key, check);
    let stored = s.store().object(&key).cloned().unwrap_or_default();
    Ok(payload(ty, input, "check", Out::Node(Node::new("CheckConfig", stored))))
}

/// Copies what a check's inputs name; Sensu has no field for `assets`.
fn copy_properties(check: &mut Object, input: &Object) -> Result<(), String> {
    const PROPERTIES: [(&str, &str, &str); 7] = [
        ("command", "command", "Command"),
        ("interval", "interval", "Interval"),
        ("lowFlapThreshold", "low_flap_threshold", "LowFlapThreshold"),
        ("highFlapThreshold", "high_flap_threshold", "HighFlapThreshold"),
        ("subscriptions", "subscriptions", "Subscriptions"),
        ("handlers", "handlers", "Handlers"),
        ("publish", "publish", "Publish"),
    ];
    let Some(given) = input.get("props").and_then(Value::as_object) else { return Ok(()) };
    for (name, field, go_name) in PROPERTIES {
        let Some(value) = given.get(name) else { continue };
        if value.as_i64().is_some_and(|number| number < 0) {
            return Err(format!(
                "1 error(s) decoding:\n\n* cannot parse '{go_name}', {value} overflows uint"
            ));
        }
        // An empty list changes nothing.
        if value.as_array().is_none_or(|items| !items.is_empty()) {
            check.insert(field.to_owned(), value.clone());
        }
    }
    Ok(())
}

#[expect(clippy::unnecessary_wraps, reason = "the shape of a resolver's result")]
fn execute_check(s: &mut Session<'_>, input: &Object) -> Resolved {
    let id = id_of(input);
    let asked = s.authorize("create", "checks", &id.namespace, &id.name);
    let found = asked.and_then(|()| {
        let key = generic::key("checks", Some(&id.namespace), &id.name);
        let problem = match s.store().contains(&key) {
            _ if id.name.is_empty() => "code = 0 desc = resource is invalid: must specify name",
            false => "code = 2 desc = not found",
            true => return Ok(()),
        };
        Err(Refusal::Other(format!("error: {problem}")))
    });
    let errors = found.err().map(|refusal| {
        let code = code_of(&refusal);
        standard_error(code, "id", &refusal.text())
    });
    Ok(payload("ExecuteCheckPayload", input, "errors", Out::List(errors.into_iter().collect())))
}

/// Namespace, entity and check of an event's id.
fn event_id(input: &Object) -> Result<(String, String, String), String> {
    let id = Id::parse(text(input, &["id"]))?;
    if id.resource != records::EVENTS.id {
        return Err("given id does not appear to reference event".into());
    }
    let (entity, check) = id.event_names()?;
    Ok((id.namespace, entity, check))
}

fn resolve_event(s: &mut Session<'_>, input: &Object) -> Resolved {
    let (namespace, entity, check) = event_id(input)?;
    let event = s.event(&namespace, &entity, &check).map_err(Refusal::text)?;
    let event = event.ok_or("runtime error: invalid memory address or nil pointer dereference")?;
    let mut event = event.object().clone();
    let now = s.now();
    if let Some(Value::Object(check)) = event.get_mut("check")
        && go::int(check, "status") > 0
    {
        check.insert("status".into(), 0.into());
        check.insert("output".into(), format!("Resolved manually with {}", text(input, &["source"])).into());
        check.insert("executed".into(), now.into());
        event.insert("timestamp".into(), now.into());
        s.authorize("update", "events", &namespace, "").map_err(Refusal::text)?;
        let user = s.user_name();
        go::set_meta(&mut event, "created_by", &user);
        for part in ["check", "entity"] {
            if let Some(Value::Object(part)) = event.get_mut(part) {
                go::set_meta(part, "created_by", &user);
            }
        }
        // What is answered is the event before it goes its usual way.
        events::store(s.store_mut(), event.clone(), now);
    }
    Ok(payload("ResolveEventPayload", input, "event", Out::Node(Node::new("Event", event))))
}

fn delete_event(s: &mut Session<'_>, input: &Object) -> Resolved {
    let (namespace, entity, check) = event_id(input)?;
    s.authorize("delete", "events", &namespace, &format!("{entity}:{check}")).map_err(Refusal::text)?;
    if entity.is_empty() || check.is_empty() {
        return Err("couldn't delete event: resource is invalid: must specify entity and check name".into());
    }
    s.store_mut().remove(&format!("{}{namespace}/{entity}/{check}", events::ROOT));
    Ok(deleted(input, text(input, &["id"])))
}

fn deleted(input: &Object, id: &str) -> Out {
    payload("DeleteRecordPayload", input, "deletedId", Out::text(id))
}

/// Deletes by id. Mutators and filters look at the id's resource, the others do not; a check or silence that is
/// not there counts as deleted; the ids of entities and silences come back as they were sent.
fn delete(s: &mut Session<'_>, input: &Object, record: &'static Record) -> Resolved {
    let id = id_of(input);
    let article = match record.ty {
        "Mutator" => Some("a mutator"),
        "EventFilter" => Some("a event filter"),
        _ => None,
    };
    if let Some(article) = article.filter(|_| id.resource != record.id) {
        return Err(format!("given ID must be {article}"));
    }
    s.authorize("delete", record.rbac, &id.namespace, &id.name).map_err(Refusal::text)?;
    if id.name.is_empty() && matches!(record.ty, "CheckConfig" | "Entity") {
        return Err("resource is invalid: must specify name".into());
    }
    let key = generic::key(record.store, Some(&id.namespace), &id.name);
    let found = s.store_mut().remove(&key);
    if !found && !matches!(record.ty, "CheckConfig" | "Silenced") {
        return Err(format!("key {} not found", key.replace("/entity_configs/", "/entity_states/")));
    }
    if record.ty == "Entity" {
        s.store_mut().remove_prefix(&format!("{}{}/{}/", events::ROOT, id.namespace, id.name));
    }
    match record.ty {
        "Entity" | "Silenced" => Ok(deleted(input, text(input, &["id"]))),
        _ => Ok(deleted(input, &id.to_string())),
    }
}

fn create_silence(s: &mut Session<'_>, input: &Object) -> Resolved {
    let failed = |text: String| format!("couldn't update silenced entry: {text}");
    let namespace = text(input, &["namespace"]).to_owned();
    let mut silence = read_silence(input, s.now());
    check_silence(&silence).map_err(failed)?;
    let until = go::int(&silence, "expire_at");
    // What it gets without an end; one that is set comes afterwards.
    silenced::complete(&mut silence, &s.user_name(), s.now())
        .map_err(|failure| Refusal::from(failure).text())?;
    let name = text(&silence, &["metadata", "name"]).to_owned();
    s.authorize("update", "silenced", &namespace, &name).map_err(Refusal::text)?;
    if until - s.now() > silenced::LONGEST_SECONDS {
        return Err(failed(silenced::TOO_LONG.into()));
    }
    if until > 0 {
        silence.insert("expire_at".into(), until.into());
    }
    let known = s.context.require_namespace(&namespace);
    known.map_err(|failure| failed(Refusal::from(failure).text()))?;
    let key = generic::key("silenced", Some(&namespace), &name);
    s.store_mut().put(&key, silence.clone());
    Ok(payload("CreateSilencePayload", input, "silence", Out::Node(Node::new("Silenced", silence))))
}

/// The silence that an input describes; times that are over do not count. Sensu takes the seconds of `expire` for a
/// time, which has long been over.
fn read_silence(input: &Object, now: i64) -> Object {
    let mut silence = kinds::SILENCED.zero();
    go::set_meta(&mut silence, "namespace", text(input, &["namespace"]));
    for key in ["check", "subscription"] {
        silence.insert(key.into(), text(input, &[key]).into());
    }
    let Some(given) = input.get("props").and_then(Value::as_object) else { return silence };
    let time = |key: &str| dates::parse(text(given, &[key])).filter(|time| *time > now).unwrap_or_default();
    let until = match time("expireAt") {
        0 => go::int(given, "expire").max(0),
        until => until,
    };
    let on_resolve = given.get("expireOnResolve").cloned().unwrap_or_default();
    silence.insert("reason".into(), text(given, &["reason"]).into());
    silence.insert("begin".into(), time("begin").into());
    silence.insert("expire_at".into(), until.into());
    silence.insert("expire_on_resolve".into(), on_resolve);
    silence
}
