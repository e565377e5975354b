//! Entities: written to the namespace of the body, shown without their secrets.

use base64::{Engine, engine::general_purpose::STANDARD};
use http::StatusCode;
use serde_json::Value;

use super::{
    Context, Outcome,
    call::{CURSOR, decode},
    generic,
    json::{self, Object, Reader, text},
    kinds, patch,
    reply::{self, Failure},
    route::Target,
    store::{Page, Range},
};

const ROOT: &str = "/sensu.io/entity_configs/";

/// Where states lie that have no entity. Those of entities are not stored.
const STATES: &str = "/sensu.io/entity_states/";

/// The entity without the labels and annotations that its `redact` names, or the list that stands in for an empty one.
pub(super) fn redacted(entity: &Object) -> Object {
    let mut shown = entity.clone();
    let mut hidden: Vec<String> = json::strings(entity, "redact").map(letters).collect();
    if hidden.is_empty() {
        hidden = DEFAULT_REDACT.map(letters).to_vec();
    }
    let Some(Value::Object(meta)) = shown.get_mut("metadata") else { return shown };
    for map in ["labels", "annotations"] {
        for (key, value) in meta.get_mut(map).and_then(Value::as_object_mut).into_iter().flatten() {
            if hidden.contains(&letters(key)) {
                *value = "REDACTED".into();
            }
        }
    }
    shown
}

/// A name as Sensu compares it: of one that is not only letters and digits, the letters.
fn letters(name: &str) -> String {
    let name = name.to_lowercase();
    if name.chars().all(|c| c.is_ascii_lowercase() || c.is_numeric()) {
        return name;
    }
    name.chars().filter(char::is_ascii_lowercase).collect()
}

const DEFAULT_REDACT: [&str; 9] = [
    "password",
    "passwd",
    "pass",
    "api_key",
    "api_token",
    "access_key",
    "secret_key",
    "private_key",
    "secret",
];

/// Sensu's rules for an entity.
pub(super) fn validate(entity: &Object) -> Result<(), String> {
    kinds::name(text(entity, &["metadata", "name"])).map_err(|e| format!("entity name {e}"))?;
    kinds::name(text(entity, &["entity_class"])).map_err(|e| format!("entity class {e}"))?;
    if text(entity, &["metadata", "namespace"]).is_empty() {
        return Err("namespace must be set".into());
    }
    Ok(())
}

/// Adds the subscription that every entity has under its own name.
pub(super) fn subscribe_to_self(entity: &mut Object) {
    let own = format!("entity:{}", text(entity, &["metadata", "name"]));
    let mut list = entity.get("subscriptions").and_then(Value::as_array).cloned().unwrap_or_default();
    if !list.iter().any(|s| s.as_str() == Some(&own)) {
        list.push(own.into());
    }
    entity.insert("subscriptions".into(), Value::Array(list));
}

// === impl Context ===

impl Context<'_> {
    pub(super) fn entity_route(&mut self, target: &Target) -> Outcome {
        let method = self.call.method.as_str();
        match target {
            Target::Entities(ns) if method == "GET" => self.list_entities(ns.as_deref()),
            Target::Entities(_) => self.write_entity(true),
            Target::Entity(ns, name) => match method {
                "GET" => {
                    let key = generic::key("entity_configs", Some(&decode(ns)), &decode(name));
                    let entity = self.state.store.object(&key).ok_or_else(Failure::not_found)?;
                    let etag = reply::etag(&kinds::ENTITY.encode(entity));
                    Ok(reply::tagged(kinds::ENTITY.encode(&redacted(entity)), &etag))
                }
                "PUT" => self.write_entity(false),
                "PATCH" => self.patch_entity(ns, name),
                _ => self.delete_entity(&decode(ns), &decode(name)),
            },
            _ => Err(Failure::not_found()),
        }
    }

    /// What is listed are the configs; the states only have their say in the cursor. Of a list that is at its end the cursor
    /// is left out, so that it begins again with the next page while the other one goes on: items repeat.
    fn list_entities(&mut self, namespace: Option<&str>) -> Outcome {
        let within = namespace.map(|ns| format!("{}/", decode(ns))).unwrap_or_default();
        let (limit, after) = (self.call.limit(), cursor_of(&self.call.after())?);
        let prefix = format!("{ROOT}{within}");
        let range = Range { root: ROOT, prefix: &prefix, after: &after.config, limit };
        let Page { items, more } = self.state.store.page(&range).map_err(|key| generic::undecodable(&key))?;
        let config = if more || limit < 0 {
            let (last, _) = items.last().ok_or(Failure::Crash)?;
            format!("{}\0", last.strip_prefix(&prefix).unwrap_or_default())
        } else {
            String::new()
        };
        let cursor = Cursor { config, state: self.next_state(&within, &after.state, limit) };
        let body = generic::array(items.into_iter().map(|(_, e)| kinds::ENTITY.encode(&redacted(e))));
        Ok(reply::continued(reply::ok(body), cursor.encode()))
    }

    /// The cursor among the states: one for each entity, and those written past the API.
    fn next_state(&self, within: &str, after: &str, limit: i64) -> String {
        let store = &self.state.store;
        let mut states: Vec<&str> = [ROOT, STATES]
            .iter()
            .flat_map(|root| {
                let keys = store.keys(&format!("{root}{within}"));
                keys.filter_map(move |key| key.strip_prefix(root)?.strip_prefix(within))
            })
            .filter(|key| *key >= after)
            .collect();
        states.sort_unstable();
        states.dedup();
        let most = usize::try_from(limit).ok().filter(|limit| *limit > 0).unwrap_or(usize::MAX);
        if states.len() > most || limit < 0 {
            states.truncate(most);
            states.last().map(|last| format!("{last}\0")).unwrap_or_default()
        } else {
            String::new()
        }
    }

    /// POST and PUT: neither looks at the URL.
    fn write_entity(&mut self, new: bool) -> Outcome {
        let body = self.call.json(0)?;
        let entity = kinds::ENTITY.decode(&body).map_err(|e| Failure::router(0, e))?;
        validate(&entity).map_err(|e| Failure::router(1, e))?;
        let namespace = text(&entity, &["metadata", "namespace"]).to_owned();
        self.require_namespace(&namespace)?;
        let key = format!("{ROOT}{namespace}/{}", text(&entity, &["metadata", "name"]));
        if new && self.state.store.contains(&key) {
            return Err(Failure::router(3, "resource already exists"));
        }
        let body = kinds::ENTITY.encode(&entity);
        self.state.store.put(&key, entity);
        Ok(reply::ok(body))
    }

    /// Patches the half of the entity that Sensu calls its config, and answers that.
    fn patch_entity(&mut self, namespace: &str, name: &str) -> Outcome {
        let key = generic::key("entity_configs", Some(&decode(namespace)), &decode(name));
        let patch = self.read_patch(Some(namespace), name)?;
        let mut entity = self.state.store.object(&key).cloned().ok_or_else(|| patch::missing(&key))?;
        let schema = &kinds::ENTITY_CONFIG;
        let mut config: Object = schema
            .fields
            .iter()
            .map(|f| (f.name.to_owned(), entity.get(f.name).cloned().unwrap_or_default()))
            .collect();
        self.patch_onto(&mut config, schema, &patch, &key)?;
        subscribe_to_self(&mut config);
        schema.settle(&mut config);
        for (field, value) in &config {
            entity.insert(field.clone(), value.clone());
        }
        validate(&entity).map_err(|e| Failure::router(0, e))?;
        self.state.store.put(&key, entity);
        let body = schema.encode(&config);
        let etag = reply::etag(&body);
        Ok(reply::tagged(body, &etag))
    }

    /// Deletes the entity and its events.
    fn delete_entity(&mut self, namespace: &str, name: &str) -> Outcome {
        if !self.state.store.remove(&generic::key("entity_configs", Some(namespace), name)) {
            return Err(Failure::not_found());
        }
        self.state.store.remove_prefix(&format!("/sensu.io/events/{namespace}/{name}/"));
        Ok(reply::done(StatusCode::NO_CONTENT))
    }
}

/// The positions in the two lists that an entity is put together from; empty for the beginning.
#[derive(Default)]
struct Cursor {
    config: String,
    state: String,
}

impl Cursor {
    /// As Sensu writes it; `None` when both lists have ended.
    fn encode(&self) -> Option<String> {
        let halves = [("ConfigContinue", &self.config), ("StateContinue", &self.state)];
        let halves: Vec<String> = halves
            .iter()
            .filter(|(_, half)| !half.is_empty())
            .map(|(key, half)| format!("\"{key}\":\"{}\"", STANDARD.encode(half)))
            .collect();
        (!halves.is_empty()).then(|| CURSOR.encode(format!("{{{}}}", halves.join(","))))
    }
}

fn cursor_of(text_form: &str) -> Result<Cursor, Failure> {
    if text_form.is_empty() {
        return Ok(Cursor::default());
    }
    let pair = json::parse(text_form.as_bytes(), Reader::Whole)
        .map_err(|e| Failure::router(0, format!("resource is invalid: {e}")))?;
    let half = |key: &str| {
        let half = pair.as_object().map(|p| text(p, &[key])).unwrap_or_default();
        String::from_utf8_lossy(&STANDARD.decode(half).unwrap_or_default()).into_owned()
    };
    Ok(Cursor { config: half("ConfigContinue"), state: half("StateContinue") })
}
