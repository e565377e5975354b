//! Namespaces: created with their pipeline role, visible by rights, readable by everybody.

use base64::Engine;
use http::StatusCode;
use serde_json::{Value, json};

use super::{
    Context, Outcome,
    call::{CURSOR, decode},
    generic,
    json::{Object, text},
    kinds, patch, proto,
    rbac::{self, Visible},
    reply::{self, Failure},
    route::Target,
    store::{Page, Range, Store, Stored},
};

const ROOT: &str = "/sensu.io/namespaces/";

/// Stores a namespace and, when it is new, its pipeline role and binding.
pub(super) fn create(store: &mut Store, name: &str, created_by: &str) {
    let key = format!("{ROOT}{name}");
    if store.contains(&key) {
        return;
    }
    store.put(&key, std::iter::once(("name".to_owned(), name.into())).collect());
    let meta = json!({"name": "system:pipeline", "namespace": name, "created_by": created_by});
    let role = json!({"rules": [{"verbs": ["get", "list"], "resources": ["events"]}], "metadata": meta});
    let binding = json!({
        "subjects": [{"type": "Group", "name": "system:pipeline"}],
        "role_ref": {"type": "Role", "name": "system:pipeline"},
        "metadata": meta,
    });
    for (kind, value) in [(&kinds::ROLES, role), (&kinds::ROLE_BINDINGS, binding)] {
        if let Ok(object) = kind.schema.decode(&value) {
            store.put(&generic::key(kind.store, Some(name), "system:pipeline"), object);
        }
    }
}

/// Whether a namespace holds nothing but its pipeline role and binding.
fn is_empty(store: &Store, name: &str) -> bool {
    let inside = format!("/{name}/");
    let mut content = store.keys("/sensu.io/").filter(|key| {
        let rest = key.strip_prefix("/sensu.io/").unwrap_or_default();
        let rest = rest.strip_prefix("rbac/").unwrap_or(rest);
        rest.find('/').is_some_and(|at| rest[at..].starts_with(&inside)) && !key.ends_with("/system:pipeline")
    });
    content.next().is_none()
}

// === impl Context ===

impl Context<'_> {
    pub(super) fn namespace_route(&mut self, target: &Target) -> Outcome {
        match (target, self.call.method.as_str()) {
            (Target::Namespace(name), "GET") => self.get_namespace(&decode(name)),
            (Target::Namespace(name), "PUT") => self.write_namespace(Some(&decode(name))),
            (Target::Namespace(name), "PATCH") => self.patch_namespace(name),
            (Target::Namespace(name), _) => self.delete_namespace(&decode(name)),
            (_, "GET") => self.list_namespaces(),
            _ => self.write_namespace(None),
        }
    }

    fn list_namespaces(&mut self) -> Outcome {
        let (limit, after) = (self.call.limit(), self.call.after());
        let range = Range { root: ROOT, prefix: ROOT, after: &after, limit };
        let Page { items, more } = self.state.store.page(&range).map_err(|key| generic::undecodable(&key))?;
        let names: Vec<&str> = items.iter().map(|(_, o)| text(o, &["name"])).collect();
        let visible = rbac::visible(&self.state.store, self.user)
            .map_err(|e| Failure::router(0, format!("error listing namespaces: {e}")))?;
        let shown: Vec<&str> = match &visible {
            Visible::All => names.clone(),
            Visible::Named(some) => names.iter().copied().filter(|n| some.iter().any(|s| s == *n)).collect(),
        };
        if shown.is_empty() && !matches!(visible, Visible::All) {
            return Err(Failure::router(0, "request unauthorized"));
        }
        let cursor = match names.last() {
            Some(last) if more || limit < 0 => Some(CURSOR.encode(format!("{last}\0"))),
            None if limit < 0 => return Err(Failure::Crash),
            _ => None,
        };
        let body = generic::array(shown.into_iter().map(|n| json!({"name": n}).to_string()));
        Ok(reply::continued(reply::ok(body), cursor))
    }

    /// Needs no permission, and the key may go up a directory: whatever is there is read as a namespace.
    fn get_namespace(&mut self, name: &str) -> Outcome {
        let key = generic::key("namespaces", None, name);
        let undecodable = || {
            let text = format!("could not decode the key {key}: proto: wrong wireType = 0 for field Name");
            Failure::router(0, text)
        };
        let object = match self.state.store.get(&key) {
            None => return Err(Failure::not_found()),
            Some(Stored::Raw(_)) => return Err(undecodable()),
            Some(Stored::Object(object)) => object,
        };
        let schema = kinds::schema_of_key(&key).ok_or_else(Failure::not_found)?;
        let name = proto::first_field(schema, object).ok_or_else(undecodable)?;
        Ok(show(&name))
    }

    fn write_namespace(&mut self, url: Option<&str>) -> Outcome {
        let body = self.call.json(1)?;
        let object = kinds::NAMESPACE.decode(&body).map_err(|e| Failure::router(1, e))?;
        let name = text(&object, &["name"]);
        if let Some(url) = url.filter(|u| *u != name) {
            let text =
                format!("the name of the resource ({name}) does not match the name of the URI ({url})");
            return Err(Failure::router(1, text));
        }
        kinds::name(name).map_err(|e| Failure::router(1, format!("namespace name {e}")))?;
        if url.is_none() && self.state.store.contains(&format!("{ROOT}{name}")) {
            return Err(Failure::router(3, "resource already exists"));
        }
        create(&mut self.state.store, name, &self.user.name);
        Ok(reply::done(StatusCode::CREATED))
    }

    /// Accepted, but there is nothing to change in a namespace.
    fn patch_namespace(&mut self, raw: &str) -> Outcome {
        let name = decode(raw);
        let patched: Object = self.read_patch(None, raw)?;
        let key = generic::key("namespaces", None, &name);
        let mut object = self.state.store.object(&key).cloned().ok_or_else(|| patch::missing(&key))?;
        self.patch_onto(&mut object, &kinds::NAMESPACE, &patched, &key)?;
        Ok(show(&name))
    }

    fn delete_namespace(&mut self, name: &str) -> Outcome {
        let key = format!("{ROOT}{name}");
        if !self.state.store.contains(&key) {
            return Err(Failure::not_found());
        }
        if !is_empty(&self.state.store, name) {
            return Err(Failure::router(0, "resource is invalid: namespace is not empty"));
        }
        self.state.store.remove(&key);
        for kind in [&kinds::ROLES, &kinds::ROLE_BINDINGS] {
            self.state.store.remove(&generic::key(kind.store, Some(name), "system:pipeline"));
        }
        Ok(reply::done(StatusCode::NO_CONTENT))
    }
}

fn show(name: &str) -> reply::Reply {
    let object = std::iter::once(("name".to_owned(), Value::from(name))).collect();
    let body = kinds::NAMESPACE.encode(&object);
    let etag = reply::etag(&body);
    reply::tagged(body, &etag)
}
