//! In which fields two objects differ, as Sensu's API shows them.
//!
//! Values are shown only where they cannot be secrets: of what roles and bindings grant. Commands, environments, headers
//! and annotations of other types often hold passwords, so only the path of such a field is named.

use serde_json::{Map, Value};

use super::Type;
use crate::types::FieldDifference;

/// Whether a member of an object means the same as none. An empty object may mean something: a check with
/// `proxy_requests` is another one than without.
pub fn is_zero(key: &str, value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty() && matches!(key, "labels" | "annotations" | "headers"),
        Value::Bool(true) => false,
    }
}

/// The fields in which a copy differs from its original; none for objects that mean the same. At most [`MAX_FIELDS`].
pub fn fields(kind: Type, original: &Value, copy: &Value) -> Vec<FieldDifference> {
    let mut found = Found { shows_values: kind.is_role() || kind.is_binding(), fields: Vec::new() };
    found.walk(String::new(), original, copy);
    found.fields
}

struct Found {
    shows_values: bool,
    fields: Vec<FieldDifference>,
}

// === impl Found ===

impl Found {
    fn walk(&mut self, path: String, original: &Value, copy: &Value) {
        if self.fields.len() >= MAX_FIELDS || is_same(original, copy) {
            return;
        }
        match (original, copy) {
            (Value::Object(a), Value::Object(b)) => {
                let mut keys: Vec<&String> = a.keys().chain(b.keys()).collect();
                keys.sort_unstable();
                keys.dedup();
                for key in keys {
                    let path = member(&path, key);
                    match (counted(a, key), counted(b, key)) {
                        (None, None) => {}
                        (one, other) => {
                            self.walk(path, one.unwrap_or(&Value::Null), other.unwrap_or(&Value::Null));
                        }
                    }
                }
            }
            (Value::Array(a), Value::Array(b))
                if a.len() == b.len() && a.iter().chain(b).all(Value::is_object) =>
            {
                for (index, (one, other)) in a.iter().zip(b).enumerate() {
                    self.walk(format!("{path}[{index}]"), one, other);
                }
            }
            _ => {
                let is_shown = self.shows_values && SHOWN.iter().any(|shown| path.starts_with(shown));
                let values = is_shown.then(|| (brief(original), brief(copy)));
                self.fields.push(FieldDifference { path, values });
            }
        }
    }
}

/// A member that counts.
fn counted<'a>(object: &'a Map<String, Value>, key: &str) -> Option<&'a Value> {
    object.get(key).filter(|value| !is_zero(key, value))
}

fn is_same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            let has_all = |a: &Map<String, Value>, b: &Map<String, Value>| {
                let mut members = a.iter().filter(|(key, value)| !is_zero(key, value));
                members.all(|(key, value)| counted(b, key).is_some_and(|other| is_same(value, other)))
            };
            has_all(a, b) && has_all(b, a)
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_same(a, b))
        }
        _ => a == b,
    }
}

fn member(path: &str, key: &str) -> String {
    let is_plain = !key.is_empty()
        && key.len() <= MAX_KEY
        && key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
    match (path, is_plain) {
        ("", true) => key.to_owned(),
        (path, true) => format!("{path}.{key}"),
        (path, false) => {
            let cut: String = key.chars().take(MAX_KEY).collect();
            format!("{path}[{}]", Value::from(cut))
        }
    }
}

/// A value, unless it is so long that it would hide the others.
fn brief(value: &Value) -> Value {
    let text = value.to_string();
    if text.len() <= MAX_VALUE { value.clone() } else { format!("({} bytes)", text.len()).into() }
}

/// What roles and bindings grant.
const SHOWN: [&str; 3] = ["rules", "subjects", "role_ref"];

/// Most fields of an object that are named.
pub const MAX_FIELDS: usize = 32;

/// Longest value that is shown, in bytes of JSON.
const MAX_VALUE: usize = 300;

const MAX_KEY: usize = 100;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn paths(kind: Type, original: &Value, copy: &Value) -> Vec<String> {
        fields(kind, original, copy).into_iter().map(|field| field.path).collect()
    }

    #[test]
    fn fields_are_named_as_deep_as_they_differ() {
        let original = json!({
            "metadata": {"name": "r", "labels": {"a": "1", "b/c": "2"}, "annotations": {}},
            "rules": [{"verbs": ["get"], "resources": ["checks"]}, {"verbs": ["list"], "resources": ["*"]}],
        });
        let mut copy = original.clone();
        copy["rules"][1]["verbs"] = json!(["list", "get"]);
        copy["metadata"]["labels"]["b/c"] = "3".into();
        copy["metadata"]["labels"]["d"] = "4".into();
        copy["new"] = false.into();
        assert_eq!(
            paths(Type::Role, &original, &copy),
            [r#"metadata.labels["b/c"]"#, "metadata.labels.d", "rules[1].verbs"]
        );
        copy["rules"] = json!([{"verbs": ["get"], "resources": ["checks"]}]);
        assert!(paths(Type::Role, &original, &copy).contains(&"rules".to_owned()));
        assert_eq!(paths(Type::Role, &original, &original), [""; 0]);
    }

    #[test]
    fn values_are_shown_of_what_is_granted_and_of_nothing_else() {
        let role =
            |verb: &str| json!({"rules": [{"verbs": [verb]}], "metadata": {"annotations": {"token": verb}}});
        let found = fields(Type::ClusterRole, &role("get"), &role("*"));
        assert_eq!(found[0].path, "metadata.annotations.token");
        assert_eq!(found[0].values, None);
        assert_eq!(found[1].values, Some((json!(["get"]), json!(["*"]))));
        for (kind, field) in [
            (Type::CheckConfig, "command"),
            (Type::Handler, "env_vars"),
            (Type::Asset, "headers"),
            (Type::User, "password_hash"),
            (Type::Mutator, "rules"),
        ] {
            let object = |secret: &str| json!({field: [{"x": secret}]});
            let found = fields(kind, &object("hunter2"), &object("hunter3"));
            assert!(!found.is_empty() && found.iter().all(|field| field.values.is_none()), "{found:?}");
            assert!(!format!("{found:?}").contains("hunter"));
        }
    }

    #[test]
    fn what_is_found_has_a_bound() {
        let object = |n: usize| {
            let members = (0..1000).map(|i| (format!("{i}"), json!(n)));
            json!({"rules": [{"verbs": vec!["x"; n]}], "labels": Value::Object(members.collect())})
        };
        let found = fields(Type::Role, &object(1), &object(2000));
        assert_eq!(found.len(), MAX_FIELDS);
        let role = |n: usize| json!({"rules": [{"verbs": vec!["x"; n]}]});
        let found = fields(Type::Role, &role(1), &role(2000));
        assert_eq!(found[0].values, Some((json!(["x"]), json!("(8001 bytes)"))));
        let long = "k".repeat(5000);
        assert!(paths(Type::Role, &json!({&long: 1}), &json!({}))[0].len() < 200);
    }
}
