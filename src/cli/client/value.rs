//! JSON of uncertain shape: what is missing, or of another type, reads as empty.

use serde_json::Value;

/// The value at a JSON pointer; null if there is none.
pub(super) fn at<'a>(value: &'a Value, pointer: &str) -> &'a Value {
    value.pointer(pointer).unwrap_or(&Value::Null)
}

/// A scalar as a person reads it; nothing for null.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// The items of an array.
pub(super) fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// The items of an array as text, with commas between them.
pub(super) fn joined(value: &Value) -> String {
    list(value).iter().map(text).collect::<Vec<_>>().join(",")
}
