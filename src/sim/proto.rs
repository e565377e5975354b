//! Just enough protobuf to read what is copied from cluster to cluster: RBAC, namespaces, users and API keys.

use serde_json::Value;

use super::{json::Object, kinds, schema::Schema};

/// Field numbers by struct.
fn field_name(schema: &Schema, number: u64) -> Option<&'static str> {
    let names: &[(u64, &'static str)] = match schema.go {
        "Namespace" => &[(1, "name")],
        "User" => &[(1, "username"), (2, "password"), (3, "groups"), (4, "disabled"), (5, "password_hash")],
        "APIKey" => &[(1, "metadata"), (2, "username"), (3, "created_at")],
        "ObjectMeta" => {
            &[(1, "name"), (2, "namespace"), (3, "labels"), (4, "annotations"), (5, "created_by")]
        }
        "Rule" => &[(1, "verbs"), (2, "resources"), (3, "resource_names")],
        "Subject" | "RoleRef" => &[(1, "type"), (2, "name")],
        "ClusterRole" => &[(1, "rules"), (3, "metadata")],
        "Role" => &[(1, "rules"), (4, "metadata")],
        "ClusterRoleBinding" => &[(1, "subjects"), (2, "role_ref"), (4, "metadata")],
        "RoleBinding" => &[(1, "subjects"), (2, "role_ref"), (5, "metadata")],
        _ => &[],
    };
    names.iter().find(|(n, _)| *n == number).map(|(_, name)| *name)
}

fn child(name: &str) -> Option<&'static Schema> {
    match name {
        "metadata" => Some(&kinds::META),
        "rules" => Some(&kinds::RULE),
        "subjects" => Some(&kinds::SUBJECT),
        "role_ref" => Some(&kinds::ROLE_REF),
        _ => None,
    }
}

/// Reads a message; `None` when it does not decode.
pub(super) fn decode(schema: &Schema, mut bytes: &[u8]) -> Option<Object> {
    let mut object = schema.zero();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes)?;
        let name = field_name(schema, tag >> 3);
        match tag & 7 {
            0 => {
                let number = varint(&mut bytes)?;
                if let Some(slot) = name.and_then(|n| object.get_mut(n)) {
                    *slot = if slot.is_boolean() { (number != 0).into() } else { number.into() };
                }
            }
            2 => {
                let length = usize::try_from(varint(&mut bytes)?).ok()?;
                let (value, rest) = bytes.split_at_checked(length)?;
                bytes = rest;
                if let Some(name) = name {
                    set(object.get_mut(name)?, name, value)?;
                }
            }
            _ => return None,
        }
    }
    Some(object)
}

fn set(slot: &mut Value, name: &str, bytes: &[u8]) -> Option<()> {
    match name {
        "metadata" | "role_ref" => *slot = Value::Object(decode(child(name)?, bytes)?),
        "rules" | "subjects" => push(slot, Value::Object(decode(child(name)?, bytes)?)),
        "labels" | "annotations" => {
            // A map entry is a message of key 1 and value 2, as Subject is of type and name.
            let entry = decode(&kinds::SUBJECT, bytes)?;
            if !slot.is_object() {
                *slot = Value::Object(Object::new());
            }
            let key = entry.get("type")?.as_str()?.to_owned();
            slot.as_object_mut()?.insert(key, entry.get("name")?.clone());
        }
        _ => {
            let text = Value::String(String::from_utf8(bytes.to_vec()).ok()?);
            if slot.is_string() {
                *slot = text;
            } else {
                push(slot, text);
            }
        }
    }
    Some(())
}

fn push(slot: &mut Value, value: Value) {
    match slot {
        Value::Array(items) => items.push(value),
        other => *other = Value::Array(vec![value]),
    }
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0u64;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// What the first field of an object reads as when it is taken for a namespace, whose name is field 1.
pub(super) fn first_field(schema: &Schema, object: &Object) -> Option<String> {
    let text = |key: &str| object.get(key).and_then(Value::as_str).map(ToOwned::to_owned);
    match schema.go {
        "User" => text("username"),
        "CheckConfig" => text("command"),
        "Namespace" => text("name"),
        "Asset" => text("url"),
        "Role" | "ClusterRole" => {
            let rules = object.get("rules")?.as_array()?;
            rules.last().and_then(Value::as_object).map(encode_rule)
        }
        "Event" => None,
        // Everything else starts with its metadata, whose first field is the name.
        _ => {
            let meta = object.get("metadata")?.as_object()?;
            let mut out = String::new();
            for (number, key) in [(1, "name"), (2, "namespace")] {
                write_text(&mut out, number, meta.get(key).and_then(Value::as_str).unwrap_or_default());
            }
            Some(out)
        }
    }
}

fn encode_rule(rule: &Object) -> String {
    let mut out = String::new();
    for (number, key) in [(1, "verbs"), (2, "resources"), (3, "resource_names")] {
        for text in super::json::strings(rule, key) {
            write_text(&mut out, number, text);
        }
    }
    out
}

fn write_text(out: &mut String, number: u8, text: &str) {
    if !text.is_empty() {
        out.push(char::from(number << 3 | 2));
        out.push(char::from(u8::try_from(text.len()).unwrap_or(127)));
        out.push_str(text);
    }
}

/// A binding read as a role: subjects and rules share their field numbers, the rest is lost.
pub(super) fn binding_as_role(schema: &Schema, binding: &Object) -> Option<Object> {
    if !matches!(schema.go, "ClusterRoleBinding" | "RoleBinding") {
        return None;
    }
    let mut role = kinds::CLUSTER_ROLE.zero();
    let subjects = binding.get("subjects").and_then(Value::as_array)?;
    let rules = subjects.iter().map(|subject| {
        let mut entry = kinds::RULE.zero();
        for (from, to) in [("type", "verbs"), ("name", "resources")] {
            entry.insert(to.into(), Value::Array(vec![subject.get(from).cloned().unwrap_or_default()]));
        }
        Value::Object(entry)
    });
    role.insert("rules".into(), rules.collect());
    Some(role)
}
