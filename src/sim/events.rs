//! Events: names filled from the URL, stored next to the entity they are about.

use base64::Engine;
use http::StatusCode;
use serde_json::{Value, json};

use super::{
    Context, Outcome,
    call::{CURSOR, decode},
    entities, generic,
    json::{self, Object, text},
    kinds,
    reply::{self, Failure},
    route::Target,
    store::{Page, Range, Store},
};

pub(super) const ROOT: &str = "/sensu.io/events/";
const HISTORY_LENGTH: usize = 21;

/// An event as it is shown: its entity without secrets.
fn show(event: &Object) -> String {
    let mut shown = event.clone();
    if let Some(Value::Object(entity)) = event.get("entity") {
        shown.insert("entity".into(), Value::Object(entities::redacted(entity)));
    }
    kinds::EVENT.encode(&shown)
}

/// Stores a checked event: fills what Sensu computes, and continues the history of the one before.
pub(super) fn store(store: &mut Store, mut event: Object, now: i64) {
    let Some(Value::Object(mut check)) = event.get("check").cloned() else { return };
    let Some(Value::Object(entity)) = event.get("entity").cloned() else { return };
    let namespace = text(&entity, &["metadata", "namespace"]).to_owned();
    let entity_name = text(&entity, &["metadata", "name"]).to_owned();
    let key = format!("{ROOT}{namespace}/{entity_name}/{}", text(&check, &["metadata", "name"]));
    let entity_key = format!("/sensu.io/entity_configs/{namespace}/{entity_name}");
    if !store.contains(&entity_key) {
        let mut proxy = entity;
        proxy.insert("entity_class".into(), "proxy".into());
        entities::subscribe_to_self(&mut proxy);
        store.put(&entity_key, proxy);
    }
    if let Some(entity) = store.object(&entity_key) {
        event.insert("entity".into(), Value::Object(entity.clone()));
    }
    let before = store.object(&key).and_then(|e| e.get("check")).and_then(Value::as_object);
    advance(&mut check, before);
    event.insert("check".into(), Value::Object(check));
    event.insert("metrics".into(), Value::Null);
    event.insert("pipelines".into(), Value::Null);
    if json::int(&event, "timestamp") == 0 {
        event.insert("timestamp".into(), now.into());
    }
    if text(&event, &["id"]).is_empty() {
        event.insert("id".into(), uuid::Uuid::new_v4().to_string().into());
    }
    store.put(&key, event);
}

/// State, occurrences and history of a check result after the one before.
fn advance(check: &mut Object, before: Option<&Object>) {
    let status = json::int(check, "status");
    let executed = check.get("executed").cloned().unwrap_or_default();
    let history_of = |o: &Object| o.get("history").and_then(Value::as_array).cloned().unwrap_or_default();
    let mut history = before.map_or_else(|| history_of(check), history_of);
    let previous = history.last().and_then(|h| h.get("status")).and_then(Value::as_i64);
    history.push(json!({"status": status, "executed": executed}));
    let surplus = history.len().saturating_sub(HISTORY_LENGTH);
    history.drain(..surplus);
    let same = previous == Some(status);
    let count = before.map_or(0, |b| json::int(b, "occurrences"));
    let occurrences = if same { count.saturating_add(1) } else { 1 };
    let peak = before.map_or(0, |b| json::int(b, "occurrences_watermark"));
    let watermark = if previous == Some(0) && status != 0 { 1 } else { peak.max(occurrences) };
    let last_ok = if status == 0 { executed } else { before.map_or(0, |b| json::int(b, "last_ok")).into() };
    check.insert("history".into(), history.into());
    check.insert("state".into(), if status == 0 { "passing" } else { "failing" }.into());
    check.insert("occurrences".into(), occurrences.into());
    check.insert("occurrences_watermark".into(), watermark.into());
    check.insert("last_ok".into(), last_ok);
}

// === impl Context ===

impl Context<'_> {
    pub(super) fn event_route(&mut self, target: &Target) -> Outcome {
        let method = self.call.method.as_str();
        match target {
            Target::Events(None) => self.list_events("", ""),
            Target::Events(Some(ns)) if method == "GET" => self.list_events(&decode(ns), ""),
            Target::Events(Some(ns)) => self.write_event(&decode(ns), None),
            Target::EntityEvents(ns, entity) => self.list_events(&decode(ns), &decode(entity)),
            Target::Event(ns, entity, check) => {
                let (ns, entity, check) = (decode(ns), decode(entity), decode(check));
                match method {
                    "GET" => {
                        let event = self.find_event(&ns, &entity, &check)?;
                        let etag = reply::etag(&kinds::EVENT.encode(event));
                        Ok(reply::tagged(show(event), &etag))
                    }
                    "DELETE" => {
                        // The existence check is by prefix, the deletion is exact.
                        self.find_event(&ns, &entity, &check)?;
                        self.state.store.remove(&format!("{ROOT}{ns}/{entity}/{check}"));
                        Ok(reply::done(StatusCode::NO_CONTENT))
                    }
                    _ => self.write_event(&ns, Some((&entity, &check))),
                }
            }
            _ => Err(Failure::not_found()),
        }
    }

    /// The first event whose check name starts with `check`.
    pub(super) fn find_event(&self, namespace: &str, entity: &str, check: &str) -> Result<&Object, Failure> {
        let prefix = format!("{ROOT}{namespace}/{entity}/{check}");
        let key = self.state.store.keys(&prefix).next().ok_or_else(Failure::not_found)?;
        self.state.store.object(key).ok_or_else(|| generic::undecodable(key))
    }

    fn list_events(&mut self, namespace: &str, entity: &str) -> Outcome {
        let mut prefix = ROOT.to_owned();
        for part in [namespace, entity].into_iter().filter(|p| !p.is_empty()) {
            prefix.push_str(part);
            prefix.push('/');
        }
        let (limit, after) = (self.call.limit(), self.call.after());
        let range = Range { root: ROOT, prefix: &prefix, after: &after, limit };
        let Page { items, more } = self.state.store.page(&range).map_err(|_| {
            Failure::router(0, "could not decode the key : proto: wrong wireType = 2 for field Timestamp")
        })?;
        let cursor = match items.last() {
            Some((key, event)) if more || limit < 0 => {
                let rest = key.strip_prefix(&prefix).unwrap_or(key);
                // Sensu believes what the event says of itself, even where it lies in another namespace.
                let cursor = match (text(event, &["metadata", "namespace"]), rest.split_once('/')) {
                    (claimed, Some((_, rest))) if namespace.is_empty() && !claimed.is_empty() => {
                        format!("/{claimed}/{rest}\0")
                    }
                    _ if namespace.is_empty() => format!("/{rest}\0"),
                    _ => format!("{rest}\0"),
                };
                Some(CURSOR.encode(cursor))
            }
            _ => None,
        };
        let body = generic::array(items.into_iter().map(|(_, event)| show(event)));
        Ok(reply::continued(reply::ok(body), cursor))
    }

    fn write_event(&mut self, namespace: &str, url: Option<(&str, &str)>) -> Outcome {
        let body = self.call.json(1)?;
        let mut event = kinds::EVENT.decode(&body).map_err(|e| Failure::router(1, e))?;
        let has = |event: &Object, key: &str| event.get(key).is_some_and(Value::is_object);
        if !has(&event, "entity") {
            return Err(Failure::router(1, "event must contain an entity"));
        }
        if !has(&event, "check") {
            // Sensu looks at the check of an event with metrics without asking whether there is one.
            return Err(if has(&event, "metrics") {
                Failure::Crash
            } else {
                Failure::router(1, "event must contain a check or metrics")
            });
        }
        for (part, name) in [("entity", url.map(|u| u.0)), ("check", url.map(|u| u.1))] {
            if let Some(Value::Object(object)) = event.get_mut(part) {
                fill(object, "namespace", Some(namespace))?;
                fill(object, "name", name)?;
                if part == "entity" && text(object, &["entity_class"]).is_empty() {
                    object.insert("entity_class".into(), "proxy".into());
                }
                let valid = if part == "entity" {
                    entities::validate(object).map_err(|e| format!("entity is invalid: {e}"))
                } else {
                    kinds::name(text(object, &["metadata", "name"]))
                        .map_err(|e| format!("check is invalid: check name {e}"))
                };
                valid.map_err(|e| Failure::router(1, e))?;
                json::set_meta(object, "created_by", &self.user.name);
            }
        }
        json::set_meta(&mut event, "created_by", &self.user.name);
        // Accepted before it is known whether it can be stored.
        if self.require_namespace(namespace).is_ok() {
            store(&mut self.state.store, event, self.now);
        }
        Ok(reply::done(StatusCode::CREATED))
    }
}

/// Takes a missing name from the URL; a present one must be the same.
fn fill(object: &mut Object, what: &str, url: Option<&str>) -> Result<(), Failure> {
    let Some(url) = url else { return Ok(()) };
    let found = text(object, &["metadata", what]);
    if found.is_empty() {
        json::set_meta(object, what, url);
    } else if found != url {
        let text =
            format!("the {what} of the resource ({found}) does not match the {what} of the URI ({url})");
        return Err(Failure::router(1, text));
    }
    Ok(())
}
