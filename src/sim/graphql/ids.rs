//! Global ids: `srn:resource[:namespace]:[type/]name`.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

/// An id taken apart. An id that is none has empty parts, which Sensu's mutations go on with.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Id {
    pub(super) resource: String,
    pub(super) namespace: String,
    pub(super) subtype: String,
    pub(super) name: String,
    query: String,
}

// === impl Id ===

impl Id {
    pub(super) fn new(resource: &str, namespace: &str, name: &str) -> Self {
        Self {
            resource: resource.to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            ..Self::default()
        }
    }

    /// The id of an event about a check.
    pub(super) fn of_event(namespace: &str, entity: &str, check: &str) -> Self {
        let name = STANDARD.encode(json!([entity, check]).to_string());
        Self { subtype: CHECK.into(), ..Self::new(EVENTS, namespace, &name) }
    }

    /// Takes an id apart.
    ///
    /// # Errors
    ///
    /// Sensu's text for an invalid id.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let (text, query) = text.rsplit_once('?').unwrap_or((text, ""));
        let mut parts = text.splitn(4, ':');
        let (Some(scheme), Some(resource), Some(third)) = (parts.next(), parts.next(), parts.next()) else {
            return Err("given global ID does not appear valid");
        };
        if scheme != "srn" {
            return Err("given string does not appear to be a Sensu global ID");
        }
        let (namespace, last) = match parts.next() {
            Some(last) => (third, last),
            None => ("", third),
        };
        let (subtype, name) = match last.split_once('/') {
            Some((subtype, rest)) => (subtype, rest.split('/').next().unwrap_or_default()),
            None => ("", last),
        };
        let query = query.to_owned();
        Ok(Self { subtype: subtype.to_owned(), query, ..Self::new(resource, namespace, &unescape(name)) })
    }

    /// The entity and the check of an event's id.
    ///
    /// # Errors
    ///
    /// What Go says when it looks for a part that is not there.
    pub(super) fn event_names(&self) -> Result<(String, String), String> {
        let bytes = STANDARD.decode(&self.name).unwrap_or_default();
        let parts: Vec<String> = serde_json::from_slice(&bytes).unwrap_or_default();
        let part = |index: usize| {
            let missing =
                || format!("runtime error: index out of range [{index}] with length {}", parts.len());
            parts.get(index).cloned().ok_or_else(missing)
        };
        let check = if self.subtype == CHECK { part(1) } else { Ok(String::new()) };
        Ok((part(0)?, check?))
    }
}

impl std::fmt::Display for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { resource, namespace, subtype, name, query } = self;
        write!(f, "srn:{resource}")?;
        if !namespace.is_empty() {
            write!(f, ":{namespace}")?;
        }
        f.write_str(":")?;
        if !subtype.is_empty() {
            write!(f, "{subtype}/")?;
        }
        f.write_str(&escape(name))?;
        if query.is_empty() { Ok(()) } else { write!(f, "?{query}") }
    }
}

/// Escapes what Go's path escaping escapes.
fn escape(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~:@&=+$".contains(&byte) {
            out.push(char::from(byte));
        } else {
            use std::fmt::Write;
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// Undoes escaping; empty when that is broken, as in Sensu.
fn unescape(name: &str) -> String {
    if crate::sim::call::has_good_escapes(name) { crate::sim::call::decode(name) } else { String::new() }
}

/// The id of any object as JSON.
pub(super) fn to_value(id: &Id) -> Value {
    id.to_string().into()
}

pub(super) const EVENTS: &str = "events";
const CHECK: &str = "check";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ids_have_sensus_form() {
        assert_eq!(Id::new("silences", "a", "linux:*").to_string(), "srn:silences:a:linux:%2A");
        assert_eq!(Id::new("assets", "a", "x/y").to_string(), "srn:assets:a:x%2Fy");
        assert_eq!(
            Id::of_event("fix-gq", "e1", "c1").to_string(),
            "srn:events:fix-gq:check/WyJlMSIsImMxIl0="
        );
        assert_eq!(Id::new("clusterroles", "", "view").to_string(), "srn:clusterroles:view");
    }

    #[test]
    fn ids_are_taken_apart_as_sensu_does() {
        let id = Id::parse("srn:checks:fix:colon:c1").unwrap();
        assert_eq!((id.namespace.as_str(), id.name.as_str()), ("fix", "colon:c1"));
        let event = Id::parse("srn:events:fix-gq:check/WyJlMSIsImMxIl0=?x=1").unwrap();
        assert_eq!(event.event_names().unwrap(), ("e1".into(), "c1".into()));
        assert!(Id::parse("bogus").is_err());
        let bad = Id::parse("srn:events:a:check/bogus").unwrap().event_names().unwrap_err();
        assert_eq!(bad, "runtime error: index out of range [0] with length 0");
    }

    proptest! {
        #[test]
        fn an_id_reads_back(resource in "[a-z]{1,9}", namespace in "[a-z.-]{1,9}", name in ".{0,20}") {
            let id = Id::new(&resource, &namespace, &name);
            prop_assert_eq!(Id::parse(&id.to_string()).unwrap(), id);
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".{0,40}|srn:[a-z:/%?=]{0,30}") {
            if let Ok(id) = Id::parse(&text) {
                let _ = id.event_names();
            }
        }
    }
}
