//! The routes that all generic kinds share, and those of checks and API keys.

use base64::Engine;
use http::StatusCode;
use serde_json::Value;

use super::{
    Context, Outcome,
    call::{CURSOR, decode},
    json::{self, Object, text},
    kinds::{self, Kind},
    proto,
    reply::{self, Failure},
    store::{self, Page, Range, Stored},
};

/// The store key of an object; `..` in a name goes up a directory.
pub(super) fn key(store: &str, namespace: Option<&str>, name: &str) -> String {
    store::join(&["sensu.io", store, namespace.unwrap_or_default(), name])
}

/// The body must name what the URL names; nothing is filled in.
pub(super) fn check_meta(
    object: &Object,
    namespace: Option<&str>,
    name: Option<&str>,
) -> Result<(), Failure> {
    for (what, wanted) in [("namespace", namespace), ("name", name)] {
        let found = text(object, &["metadata", what]);
        if let Some(wanted) = wanted.filter(|w| *w != found) {
            return Err(Failure::router(
                1,
                format!(
                    "the {what} of the resource ({found}) does not match the {what} of the URI ({wanted})"
                ),
            ));
        }
    }
    Ok(())
}

/// Joins encoded objects to an array.
pub(super) fn array(items: impl Iterator<Item = String>) -> String {
    let mut body = String::from("[");
    for (i, item) in items.enumerate() {
        if i > 0 {
            body.push(',');
        }
        body.push_str(&item);
    }
    body.push(']');
    body
}

/// The failure of a list that runs into something it cannot decode.
pub(super) fn undecodable(key: &str) -> Failure {
    Failure::router(
        0,
        format!("could not decode the key {key}: proto: wrong wireType = 2 for field Metadata"),
    )
}

// === impl Context ===

impl Context<'_> {
    pub(super) fn list(&mut self, kind: &Kind, namespace: Option<&str>) -> Outcome {
        let root = format!("/sensu.io/{}/", kind.store);
        let prefix = match namespace {
            Some(ns) => format!("{root}{}/", decode(ns)),
            None => root.clone(),
        };
        let (limit, after) = (self.call.limit(), self.call.after());
        let range = Range { root: &root, prefix: &prefix, after: &after, limit };
        let Page { items, more } = self.state.store.page(&range).map_err(|key| undecodable(&key))?;
        let cursor = if more || limit < 0 {
            // Sensu takes the last item for the cursor, and crashes when there is none.
            let (_, last) = items.last().ok_or(Failure::Crash)?;
            let name = text(last, &["metadata", "name"]);
            let owner = text(last, &["metadata", "namespace"]);
            Some(CURSOR.encode(match namespace {
                None if kind.namespaced => format!("{owner}/{name}\0"),
                _ => format!("{name}\0"),
            }))
        } else {
            None
        };
        let body = array(items.into_iter().map(|(_, object)| kind.schema.encode(object)));
        Ok(reply::continued(reply::ok(body), cursor))
    }

    pub(super) fn get(&mut self, kind: &Kind, namespace: Option<&str>, name: &str) -> Outcome {
        let key = key(kind.store, namespace.map(decode).as_deref(), &decode(name));
        let object = match self.state.store.get(&key) {
            None => return Err(Failure::not_found()),
            Some(Stored::Raw(_)) => return Err(undecodable(&key)),
            Some(Stored::Object(object)) => object,
        };
        let body = kind.schema.encode(&misread(kind, &key, object)?);
        let etag = reply::etag(&body);
        Ok(reply::tagged(body, &etag))
    }

    /// POST (no name) or PUT.
    pub(super) fn write(&mut self, kind: &Kind, namespace: Option<&str>, name: Option<&str>) -> Outcome {
        let (namespace, name) = (namespace.map(decode), name.map(decode));
        let body = self.call.json(1)?;
        let mut object = kind.schema.decode(&body).map_err(|e| Failure::router(1, e))?;
        check_meta(&object, namespace.as_deref(), name.as_deref())?;
        (kind.validate)(&mut object).map_err(|e| Failure::router(1, format!("resource is invalid: {e}")))?;
        json::set_meta(&mut object, "created_by", &self.user.name);
        let key = key(kind.store, namespace.as_deref(), text(&object, &["metadata", "name"]));
        if let Some(namespace) = &namespace {
            self.require_namespace(namespace)?;
        }
        if name.is_none() && self.state.store.contains(&key) {
            return Err(Failure::router(3, "resource already exists"));
        }
        self.state.store.put(&key, object);
        Ok(reply::done(StatusCode::CREATED))
    }

    pub(super) fn delete(&mut self, kind: &Kind, namespace: Option<&str>, name: &str) -> Outcome {
        let key = key(kind.store, namespace.map(decode).as_deref(), &decode(name));
        if self.state.store.remove(&key) {
            Ok(reply::done(StatusCode::NO_CONTENT))
        } else {
            Err(Failure::not_found())
        }
    }

    /// POST of API keys: the server chooses the key.
    pub(super) fn grant_api_key(&mut self) -> Outcome {
        let text_error = |code: StatusCode| move |e: String| Failure::Text(code, e);
        let internal = text_error(StatusCode::INTERNAL_SERVER_ERROR);
        let body = json::parse(self.call.content(), json::Reader::Stream).map_err(internal)?;
        let mut object = kinds::API_KEYS.schema.decode(&body).map_err(internal)?;
        if !self.state.store.contains(&format!("/sensu.io/users/{}", text(&object, &["username"]))) {
            return Err(Failure::Text(StatusCode::BAD_REQUEST, "user does not exist".into()));
        }
        let id = uuid::Uuid::new_v4().to_string();
        json::set_meta(&mut object, "name", &id);
        json::set_meta(&mut object, "created_by", &self.user.name);
        object.insert("created_at".into(), self.now.into());
        self.state.store.put(&format!("/sensu.io/apikeys/{id}"), object);
        Ok(reply::located(reply::empty(StatusCode::CREATED), &format!("{}/{id}", self.call.target())))
    }

    /// PUT of a hook list: the type is the one in the body.
    pub(super) fn add_hooks(&mut self, namespace: &str, check: &str) -> Outcome {
        let body = self.call.json(0)?;
        let added = body.as_object().and_then(|o| o.iter().next()).map(|(k, v)| (k.clone(), v.clone()));
        let (hook_type, hooks) = added.ok_or_else(|| Failure::router(0, "invalid hook list"))?;
        let check = self.check_mut(namespace, check)?;
        let mut lists = check.get("check_hooks").and_then(Value::as_array).cloned().unwrap_or_default();
        let entry: Object = std::iter::once((hook_type.clone(), hooks)).collect();
        match lists.iter_mut().find(|list| list.get(&hook_type).is_some()) {
            Some(list) => *list = Value::Object(entry),
            None => lists.push(Value::Object(entry)),
        }
        check.insert("check_hooks".into(), Value::Array(lists));
        Ok(reply::done(StatusCode::CREATED))
    }

    pub(super) fn remove_hook(&mut self, namespace: &str, check: &str, kind: &str, hook: &str) -> Outcome {
        let (kind, hook) = (decode(kind), decode(hook));
        let check = self.check_mut(namespace, check)?;
        let lists = check.get_mut("check_hooks").and_then(Value::as_array_mut);
        let lists = lists.ok_or_else(Failure::not_found)?;
        let names = lists.iter_mut().find_map(|l| l.get_mut(&kind)).and_then(Value::as_array_mut);
        let names = names.ok_or_else(Failure::not_found)?;
        let before = names.len();
        names.retain(|n| n.as_str() != Some(&hook));
        if names.len() == before {
            return Err(Failure::not_found());
        }
        lists.retain(|l| !l.get(&kind).and_then(Value::as_array).is_some_and(Vec::is_empty));
        if lists.is_empty() {
            check.insert("check_hooks".into(), Value::Null);
        }
        Ok(reply::done(StatusCode::NO_CONTENT))
    }

    pub(super) fn execute(&mut self, namespace: &str, check: &str) -> Outcome {
        self.call.json(0)?;
        self.check_mut(namespace, check)?;
        Ok(reply::plain(StatusCode::ACCEPTED, format!("{{\"issued\":{}}}", self.now)))
    }

    fn check_mut(&mut self, namespace: &str, check: &str) -> Result<&mut Object, Failure> {
        let key = key("checks", Some(&decode(namespace)), &decode(check));
        self.state.store.object_mut(&key).ok_or_else(Failure::not_found)
    }
}

/// An object read as another kind, which encoded slashes make possible. Most pairs do not decode.
fn misread(kind: &Kind, key: &str, object: &Object) -> Result<Object, Failure> {
    let actual = kinds::schema_of_key(key);
    if actual.is_some_and(|schema| std::ptr::eq(schema, kind.schema)) {
        return Ok(object.clone());
    }
    let as_rules = |schema: &super::schema::Schema| proto::binding_as_role(schema, object);
    if kind.route == "clusterroles"
        && let Some(role) = actual.and_then(as_rules)
    {
        return Ok(role);
    }
    Err(Failure::router(
        0,
        format!("could not decode the key {key}: proto: wrong wireType = 0 for field Handlers"),
    ))
}
