//! PATCH: the merged document is read onto the stored object, so nothing is ever removed.

use http::header;

use super::{
    Context, Outcome,
    call::decode,
    generic,
    json::{Object, text},
    kinds::Kind,
    reply::{self, Failure},
    schema::Schema,
};

// === impl Context ===

impl Context<'_> {
    pub(super) fn patch(&mut self, kind: &Kind, namespace: Option<&str>, name: &str) -> Outcome {
        let key = generic::key(kind.store, namespace.map(decode).as_deref(), &decode(name));
        let patch = self.read_patch(namespace, name)?;
        let stored = self.state.store.object(&key);
        let mut object = stored.cloned().ok_or_else(|| missing(&key))?;
        self.patch_onto(&mut object, kind.schema, &patch, &key)?;
        (kind.validate)(&mut object).map_err(|e| Failure::router(0, e))?;
        let mut settled = object.clone();
        kind.schema.settle(&mut settled);
        let body = kind.schema.encode(&settled);
        self.state.store.put(&key, object);
        let etag = reply::etag(&body);
        Ok(reply::tagged(body, &etag))
    }

    /// The patch document, which must not move the object.
    pub(super) fn read_patch(&self, namespace: Option<&str>, name: &str) -> Result<Object, Failure> {
        let media = self.call.patch_type();
        match media {
            "application/merge-patch+json" => {}
            "application/json-patch+json" => {
                return Err(Failure::router(
                    1,
                    "JSON Patch is not supported yet. Allowed values: application/merge-patch+json",
                ));
            }
            _ => {
                return Err(Failure::router(
                    1,
                    format!(
                        "invalid Content-Type header: {media}.  Allowed values: application/merge-patch+json"
                    ),
                ));
            }
        }
        let patch = self.call.json_whole()?;
        let patch = patch.as_object().cloned().ok_or_else(|| Failure::router(1, "Invalid JSON Patch"))?;
        for (what, wanted) in [("namespace", namespace), ("name", Some(name))] {
            let found = text(&patch, &["metadata", what]);
            let wanted = wanted.map(decode).unwrap_or_default();
            if !found.is_empty() && found != wanted {
                return Err(Failure::router(
                    1,
                    format!(
                        "the {what} of the resource ({found}) does not match the {what} in the URI ({wanted})"
                    ),
                ));
            }
        }
        Ok(patch)
    }

    /// Applies a patch when `If-Match` and `If-None-Match` agree.
    pub(super) fn patch_onto(
        &self,
        object: &mut Object,
        schema: &Schema,
        patch: &Object,
        key: &str,
    ) -> Result<(), Failure> {
        let current = reply::etag(&schema.encode(object));
        let names = |value: &str| value.split(',').any(|t| matches!(t.trim(), t if t == current || t == "*"));
        let wanted = self.call.header(header::IF_MATCH);
        let unwanted = self.call.header(header::IF_NONE_MATCH);
        if (!wanted.is_empty() && !names(wanted)) || (!unwanted.is_empty() && names(unwanted)) {
            return Err(Failure::router(7, format!("at least one condition failed for the key {key}")));
        }
        let patch = serde_json::Value::Object(patch.clone());
        schema.decode_onto(object, &patch).map_err(|e| Failure::router(1, e))
    }
}

/// The failure of a patch to something that is not there.
pub(super) fn missing(key: &str) -> Failure {
    Failure::router(2, format!("key {key} not found"))
}
