//! Go structs as tables: how JSON is read onto one, and how it is written.
//!
//! An object in the store always has every field of its table, in the table's order, so that reading a patch
//! onto it behaves as Go's decoder does on an existing struct.

use serde_json::Value;

use super::json::{self, Object};

/// The Go type of a field.
#[derive(Clone, Copy)]
pub(super) enum Type {
    Str,
    Bool,
    I32,
    I64,
    U32,
    F64,
    /// `[]string`.
    Strs,
    /// `map[string]string`.
    StrMap,
    Struct(&'static Schema),
    /// A pointer to a struct, null when absent.
    Ptr(&'static Schema),
    List(&'static Schema),
    /// A list of one-key maps, the shape of check hooks.
    Any,
}

/// One field of a struct.
#[derive(Clone, Copy)]
pub(super) struct Field {
    pub(super) name: &'static str,
    ty: Type,
    omit: bool,
    never_null: bool,
}

/// A struct: its Go name and its fields in order.
pub(super) struct Schema {
    pub(super) go: &'static str,
    pub(super) fields: &'static [Field],
}

/// Where in a document the decoder is, for error texts.
#[derive(Clone, Copy)]
struct At<'a> {
    owner: &'static str,
    path: &'a str,
}

pub(super) const fn field(name: &'static str, ty: Type) -> Field {
    Field { name, ty, omit: false, never_null: false }
}

// === impl Field ===

impl Field {
    /// Left out when empty.
    pub(super) const fn omit(mut self) -> Self {
        self.omit = true;
        self
    }

    /// An absent list is written `[]`.
    pub(super) const fn never_null(mut self) -> Self {
        self.never_null = true;
        self
    }

    fn zero(&self) -> Value {
        match self.ty {
            Type::Str => Value::String(String::new()),
            Type::Bool => Value::Bool(false),
            Type::I32 | Type::I64 | Type::U32 | Type::F64 => 0.into(),
            Type::Strs | Type::StrMap | Type::Ptr(_) | Type::List(_) | Type::Any => Value::Null,
            Type::Struct(schema) => Value::Object(schema.zero()),
        }
    }

    fn read(&self, onto: &mut Value, value: &Value, at: At<'_>) -> Result<(), String> {
        if value.is_null() {
            return Ok(());
        }
        match (self.ty, value) {
            (Type::Str, Value::String(_)) | (Type::Bool, Value::Bool(_)) | (Type::Any, Value::Array(_)) => {
                *onto = value.clone();
            }
            (Type::I32 | Type::I64 | Type::U32 | Type::F64, Value::Number(n)) => {
                if !fits(self.ty, n) {
                    return Err(mismatch(&format!("number {n}"), self.go_type(), at));
                }
                *onto = value.clone();
            }
            (Type::Strs, Value::Array(items)) => {
                let mut list = Vec::with_capacity(items.len());
                for item in items {
                    match item {
                        Value::String(_) => list.push(item.clone()),
                        Value::Null => list.push("".into()),
                        other => return Err(mismatch(json::type_word(other), "string", at)),
                    }
                }
                *onto = Value::Array(list);
            }
            (Type::StrMap, Value::Object(entries)) => {
                let mut map = std::mem::take(onto).as_object().cloned().unwrap_or_default();
                for (key, item) in entries {
                    match item {
                        Value::String(_) => drop(map.insert(key.clone(), item.clone())),
                        // Go would store "" for a fresh map; a merge patch has removed the key before.
                        Value::Null => {}
                        other => return Err(mismatch(json::type_word(other), "string", at)),
                    }
                }
                *onto = Value::Object(map);
            }
            (Type::Struct(schema) | Type::Ptr(schema), Value::Object(entries)) => {
                if !onto.is_object() {
                    *onto = Value::Object(schema.zero());
                }
                if let Value::Object(object) = onto {
                    schema.read_fields(object, entries, at.path)?;
                }
            }
            (Type::List(schema), Value::Array(items)) => *onto = read_list(schema, items, at)?,
            (_, other) => return Err(mismatch(json::type_word(other), self.go_type(), at)),
        }
        Ok(())
    }

    fn go_type(&self) -> &'static str {
        match self.ty {
            Type::Str => "string",
            Type::Bool => "bool",
            Type::I32 => "int32",
            Type::I64 => "int64",
            Type::U32 => "uint32",
            Type::F64 => "float64",
            Type::Strs => "[]string",
            Type::StrMap => "map[string]string",
            Type::Struct(s) | Type::Ptr(s) | Type::List(s) => s.go,
            Type::Any => "[]v2.HookList",
        }
    }
}

// === impl Schema ===

impl Schema {
    /// The struct with every field at its zero value.
    pub(super) fn zero(&self) -> Object {
        self.fields.iter().map(|f| (f.name.to_owned(), f.zero())).collect()
    }

    /// Reads a document into a fresh struct.
    pub(super) fn decode(&self, value: &Value) -> Result<Object, String> {
        let mut object = self.zero();
        self.decode_onto(&mut object, value)?;
        Ok(object)
    }

    /// Reads a document onto an existing struct, as Go does: nulls and unknown keys change nothing.
    pub(super) fn decode_onto(&self, onto: &mut Object, value: &Value) -> Result<(), String> {
        match value {
            Value::Null => Ok(()),
            Value::Object(entries) => self.read_fields(onto, entries, ""),
            other => Err(format!(
                "json: cannot unmarshal {} into Go value of type v2.{}",
                json::type_word(other),
                self.go
            )),
        }
    }

    fn read_fields(&self, onto: &mut Object, entries: &Object, path: &str) -> Result<(), String> {
        for (key, value) in entries {
            let exact = self.fields.iter().find(|f| f.name == key);
            let Some(field) = exact.or_else(|| self.fields.iter().find(|f| f.name.eq_ignore_ascii_case(key)))
            else {
                continue;
            };
            let inner =
                if path.is_empty() { field.name.to_owned() } else { format!("{path}.{}", field.name) };
            let slot = onto.entry(field.name).or_insert(Value::Null);
            field.read(slot, value, At { owner: self.go, path: &inner })?;
        }
        Ok(())
    }

    /// Writes the struct in field order.
    pub(super) fn encode(&self, object: &Object) -> String {
        let mut out = String::with_capacity(256);
        self.write(&mut out, object);
        out
    }

    pub(super) fn write(&self, out: &mut String, object: &Object) {
        out.push('{');
        let mut first = true;
        for field in self.fields {
            let value = object.get(field.name).unwrap_or(&Value::Null);
            if field.omit && is_empty(value) {
                continue;
            }
            if !first {
                out.push(',');
            }
            first = false;
            json::write_string(out, field.name);
            out.push(':');
            write_field(out, field, value);
        }
        out.push('}');
    }

    /// What a trip through the store does to it: empty lists and maps come back as null.
    pub(super) fn settle(&self, object: &mut Object) {
        for field in self.fields {
            let Some(value) = object.get_mut(field.name) else { continue };
            match (field.ty, &mut *value) {
                (Type::Struct(schema) | Type::Ptr(schema), Value::Object(inner)) => schema.settle(inner),
                (_, Value::Array(items)) if items.is_empty() => *value = Value::Null,
                (Type::StrMap, Value::Object(map)) if map.is_empty() => *value = Value::Null,
                (Type::List(schema), Value::Array(items)) => {
                    items.iter_mut().filter_map(Value::as_object_mut).for_each(|i| schema.settle(i));
                }
                _ => {}
            }
        }
    }
}

fn read_list(schema: &'static Schema, items: &[Value], at: At<'_>) -> Result<Value, String> {
    let mut list = Vec::with_capacity(items.len());
    for item in items {
        let mut object = schema.zero();
        match item {
            Value::Null => {}
            Value::Object(entries) => schema.read_fields(&mut object, entries, at.path)?,
            other => return Err(mismatch(json::type_word(other), schema.go, at)),
        }
        list.push(Value::Object(object));
    }
    Ok(Value::Array(list))
}

fn mismatch(found: &str, wanted: &str, at: At<'_>) -> String {
    let dotted = if wanted.chars().next().is_some_and(char::is_uppercase) { "v2." } else { "" };
    format!(
        "json: cannot unmarshal {found} into Go struct field {}.{} of type {dotted}{wanted}",
        at.owner, at.path
    )
}

fn fits(ty: Type, number: &serde_json::Number) -> bool {
    match ty {
        Type::I32 => number.as_i64().is_some_and(|n| i32::try_from(n).is_ok()),
        Type::I64 => number.as_i64().is_some(),
        Type::U32 => number.as_u64().is_some_and(|n| u32::try_from(n).is_ok()),
        _ => true,
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Number(n) => n.as_f64() == Some(0.0),
        Value::String(s) => s.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Bool(true) => false,
    }
}

fn write_field(out: &mut String, field: &Field, value: &Value) {
    match (field.ty, value) {
        (Type::Struct(schema) | Type::Ptr(schema), Value::Object(object)) => schema.write(out, object),
        (Type::List(schema), Value::Array(items)) => {
            out.push('[');
            for (i, item) in items.iter().filter_map(Value::as_object).enumerate() {
                if i > 0 {
                    out.push(',');
                }
                schema.write(out, item);
            }
            out.push(']');
        }
        (Type::F64, Value::Number(n)) => json::write_float(out, n),
        (_, Value::Null) if field.never_null => out.push_str("[]"),
        _ => json::write_value(out, value),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::sim::kinds::{CHECK, META, PIPELINE};

    #[test]
    fn type_errors_read_as_those_of_go() {
        let error = |value| CHECK.decode(&value).unwrap_err();
        assert_eq!(error(json!([])), "json: cannot unmarshal array into Go value of type v2.CheckConfig");
        assert_eq!(
            error(json!({"interval": -1})),
            "json: cannot unmarshal number -1 into Go struct field CheckConfig.interval of type uint32"
        );
        assert_eq!(
            error(json!({"metadata": {"name": 1}})),
            "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.name of type string"
        );
    }

    #[test]
    fn a_patch_adds_to_maps_replaces_lists_and_removes_nothing() {
        let mut meta = META.decode(&json!({"name": "a", "labels": {"x": "1"}})).unwrap();
        META.decode_onto(&mut meta, &json!({"labels": {"y": "2", "x": null}, "name": null})).unwrap();
        assert_eq!(META.encode(&meta), r#"{"name":"a","labels":{"x":"1","y":"2"}}"#);
    }

    #[test]
    fn the_store_turns_empty_lists_to_null() {
        let mut pipeline = PIPELINE.decode(&json!({"workflows": []})).unwrap();
        assert_eq!(PIPELINE.encode(&pipeline), r#"{"metadata":{},"workflows":[]}"#);
        PIPELINE.settle(&mut pipeline);
        assert_eq!(PIPELINE.encode(&pipeline), r#"{"metadata":{},"workflows":null}"#);
    }
}
