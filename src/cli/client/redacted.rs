//! Values that Sensu hides. It shows the labels and annotations of an entity whose names are in its `redact`, or in a list
//! of its own, as `REDACTED`, and takes that word for the value when it comes back.
//!
//! A PUT replaces all of the entity, so what it leaves out is lost as well. A PATCH keeps what it does not mention: with one
//! the old values stay, as long as no label has to go, which a PATCH cannot do.

use std::fmt;

use http::Method;
use serde_json::{Map, Value, json};

use super::{
    document::Document,
    http::Gateway,
    kind::Kind,
    value::{list, text},
};

use crate::cli::Failure;

/// How a resource is written.
#[derive(Debug, PartialEq)]
pub(super) enum Write {
    /// All of it.
    Put,
    /// Only what is in the value.
    Patch(Value),
}

/// A label or an annotation that is written as `REDACTED`, and hidden on the server.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Hidden {
    map: &'static str,
    key: String,
}

/// Whether the document has such a value, so that the server must be asked.
pub(super) fn is_suspect(document: &Document) -> bool {
    let Some(metadata) = metadata_of(document) else { return false };
    MAPS.iter().any(|map| entries(metadata.get(*map)).any(|(_, value)| value == REDACTED))
}

/// Whether the server puts an entity of its own in the place of the one that comes with an event: so it does unless an agent
/// sends it. Then nothing is lost.
pub(super) async fn is_kept_by_server(document: &Document, gateway: &Gateway) -> Result<bool, Failure> {
    let (Some(entity), true) = (document.spec().get("entity"), document.kind.type_name == "Event") else {
        return Ok(false);
    };
    let proxy =
        document.spec().get("check").map(|check| text(&check["proxy_entity_name"])).unwrap_or_default();
    if entity["entity_class"] == "agent" || !proxy.is_empty() {
        return Ok(!proxy.is_empty());
    }
    let kind = Kind::named("entity").map_err(|error| Failure::new(1, error))?;
    let path = kind.item_path(&document.namespace, &document.names[..1]);
    Ok(gateway.send(Method::GET, &path, None, None).await?.status.is_success())
}

/// How to write the document so that no hidden value of what the server has is lost: as a PATCH, if one keeps them all and the
/// user wants to `keep` them. The error says what would be lost, and what to do about it: `option` tells how to keep it.
pub(super) fn write(document: &Document, server: &Value, keep: bool, option: &str) -> Result<Write, String> {
    let hidden = overwritten(document, server);
    if hidden.is_empty() {
        return Ok(Write::Put);
    }
    let advice = match keeping(document, server, &hidden) {
        Ok(patch) if keep => return Ok(Write::Patch(patch)),
        Ok(_) => format!("write the values, or {option}"),
        Err(what) => what,
    };
    Err(format!("REDACTED would overwrite what Sensu hides in {}: {advice}", named(&hidden)))
}

/// The values that the document would overwrite, with what the server has.
fn overwritten(document: &Document, server: &Value) -> Vec<Hidden> {
    let entity = if document.kind.type_name == "Event" { &server["entity"] } else { server };
    let redact: Vec<String> = list(&entity["redact"]).iter().map(text).collect();
    let metadata = metadata_of(document);
    let mut found = Vec::new();
    for map in MAPS {
        for (key, value) in entries(metadata.and_then(|metadata| metadata.get(map))) {
            if value == REDACTED && entity["metadata"][map][key] == REDACTED && is_hidden(key, &redact) {
                found.push(Hidden { map, key: key.clone() });
            }
        }
    }
    found
}

/// The document as a PATCH that keeps the hidden values. The error says what stands in the way.
fn keeping(document: &Document, server: &Value, hidden: &[Hidden]) -> Result<Value, String> {
    if document.kind.type_name != "Entity" {
        return Err(
            "Sensu cannot keep those of an event: write the values, or leave the event out".to_owned()
        );
    }
    let mut metadata = metadata_of(document).cloned().unwrap_or_default();
    for map in MAPS {
        let ours = metadata.get(map).cloned().unwrap_or_default();
        if let Some((key, _)) =
            entries(Some(&server["metadata"][map])).find(|(key, _)| ours.get(key).is_none())
        {
            return Err(format!(
                "Sensu cannot keep them and remove {map}.{key}: write the values, or keep {map}.{key}"
            ));
        }
    }
    for Hidden { map, key } in hidden {
        if let Some(Value::Object(entries)) = metadata.get_mut(*map) {
            entries.shift_remove(key);
        }
    }
    metadata.retain(|_, value| !value.is_null());
    let mut patch = Map::new();
    patch.insert("metadata".into(), metadata.into());
    // A PUT sets what is left out to these.
    for (field, empty) in [
        ("entity_class", json!("")),
        ("user", json!("")),
        ("subscriptions", json!([])),
        ("deregister", json!(false)),
        ("deregistration", json!({"handler": ""})),
        ("keepalive_handlers", json!([])),
        ("redact", json!([])),
    ] {
        let given = document.spec().get(field).filter(|value| !value.is_null() && **value != json!({}));
        patch.insert(field.into(), given.cloned().unwrap_or(empty));
    }
    Ok(patch.into())
}

/// The fields as a person reads them.
fn named(hidden: &[Hidden]) -> String {
    hidden.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

// === impl Hidden ===

/// `labels.password`
impl fmt::Display for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.map, self.key)
    }
}

fn metadata_of(document: &Document) -> Option<&Map<String, Value>> {
    match document.kind.type_name {
        "Entity" => Some(document.metadata()),
        "Event" => document.spec().get("entity")?.get("metadata")?.as_object(),
        _ => None,
    }
}

fn entries(map: Option<&Value>) -> impl Iterator<Item = (&String, &Value)> {
    map.and_then(Value::as_object).into_iter().flatten()
}

/// As Sensu decides: neither case nor, mostly, what is no letter counts.
fn is_hidden(key: &str, redact: &[String]) -> bool {
    let key = plain(key);
    match redact {
        [] => DEFAULT.iter().any(|field| plain(field) == key),
        fields => fields.iter().any(|field| plain(field) == key),
    }
}

fn plain(text: &str) -> String {
    let text = text.to_lowercase();
    if text.chars().all(|c| c.is_ascii_lowercase() || c.is_numeric()) {
        return text;
    }
    text.chars().filter(char::is_ascii_lowercase).collect()
}

const REDACTED: &str = "REDACTED";
const MAPS: [&str; 2] = ["labels", "annotations"];

/// What Sensu hides of an entity without a list of its own.
const DEFAULT: [&str; 9] = [
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

#[cfg(test)]
mod tests {
    use super::*;

    fn entity(labels: &Value, redact: &Value) -> Value {
        json!({"metadata": {"name": "e", "namespace": "default", "labels": labels}, "entity_class": "proxy", "redact": redact})
    }

    fn document(bare: &Value) -> Document {
        let mut spec = bare.clone();
        let metadata = spec["metadata"].take();
        Document::parse(json!({"type": "Entity", "metadata": metadata, "spec": spec}), "default").unwrap()
    }

    #[test]
    fn fields_are_hidden_as_sensu_hides_them() {
        let hides = |key: &str, list: &[&str]| {
            is_hidden(key, &list.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        for key in ["password", "Password", "PASS-WORD", "api_key", "apiKey", "API.KEY", "secret"] {
            assert!(hides(key, &[]), "{key}");
        }
        for key in ["passwords", "token", "region", ""] {
            assert!(!hides(key, &[]), "{key}");
        }
        assert!(hides("Snmp-Community", &["snmp_community"]) && !hides("password", &["snmp_community"]));
    }

    #[test]
    fn only_what_the_server_hides_is_overwritten() {
        let both = json!({"password": "REDACTED", "region": "REDACTED", "other": "x"});
        let server = entity(&both, &json!([]));
        let ours = document(&entity(&both, &json!([])));
        assert!(is_suspect(&ours));
        assert_eq!(named(&overwritten(&ours, &server)), "labels.password");
        for shown in [json!({}), json!({"password": "x"})] {
            assert_eq!(overwritten(&ours, &entity(&shown, &json!([]))), []);
        }
        assert!(!is_suspect(&document(&entity(&json!({"password": "x"}), &json!([])))));
    }

    #[test]
    fn a_patch_mentions_all_but_what_is_hidden() {
        let server = entity(&json!({"password": "REDACTED", "a": "b"}), &json!(["password"]));
        let ours =
            document(&entity(&json!({"password": "REDACTED", "a": "c", "new": "d"}), &json!(["password"])));
        let hidden = overwritten(&ours, &server);
        let patch = keeping(&ours, &server, &hidden).unwrap();
        let expected = json!({"metadata": {"name": "e", "namespace": "default", "labels": {"a": "c", "new": "d"}},
            "entity_class": "proxy", "user": "", "subscriptions": [], "deregister": false,
            "deregistration": {"handler": ""}, "keepalive_handlers": [], "redact": ["password"]});
        assert_eq!(patch, expected);
        let fewer = document(&entity(&json!({"password": "REDACTED"}), &json!(["password"])));
        let error = keeping(&fewer, &server, &hidden).unwrap_err();
        assert_eq!(error, "Sensu cannot keep them and remove labels.a: write the values, or keep labels.a");
    }
}
