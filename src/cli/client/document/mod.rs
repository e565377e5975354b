use std::fmt;

use serde_json::{Map, Value};

use super::kind::{CORE_V2, Kind, Scope};
use crate::cli::text::terminal_safe;

#[cfg(test)]
mod tests;

/// One resource in Sensu's wrapped form, checked as far as possible without the server.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Document {
    /// What it is.
    pub(super) kind: &'static Kind,
    /// Where it belongs; empty unless the kind is namespaced.
    pub(super) namespace: String,
    /// Its name; entity and check of an event.
    pub(super) names: Vec<String>,
    type_name: String,
    metadata: Map<String, Value>,
    spec: Map<String, Value>,
}

// === impl Document ===

impl Document {
    /// Parses a wrapped resource. One that belongs to a namespace and does not name it gets `namespace`.
    ///
    /// The error completes a sentence about the document, such as `has no type`.
    pub(super) fn parse(value: Value, namespace: &str) -> Result<Self, String> {
        let Value::Object(mut object) = value else {
            return Err("is not a resource: {type, api_version, metadata, spec} is expected".into());
        };
        let type_name = required_text(&object, "type")?;
        let api_version =
            optional_text(&object, "api_version", "api_version")?.unwrap_or_else(|| CORE_V2.into());
        let kind = Kind::of(&api_version, &type_name).map_err(|error| error.to_string())?;
        if let Some(key) = object.keys().find(|key| !TOP_LEVEL.contains(&key.as_str())) {
            return Err(format!("has an unknown key {key:?}: expected {}", TOP_LEVEL.join(", ")));
        }
        let mut metadata = take_object(&mut object, "metadata")?.unwrap_or_default();
        let mut spec = take_object(&mut object, "spec")?.ok_or("has no spec")?;
        merge_inner_metadata(&mut metadata, &mut spec);
        let mut document =
            Self { kind, namespace: String::new(), names: Vec::new(), type_name, metadata, spec };
        document.fill_namespace(namespace)?;
        document.names = document.find_names()?;
        if let Some(name) = document.names.iter().find(|name| matches!(name.as_str(), "" | "." | "..")) {
            return Err(format!("has the name {name:?}, which a path cannot hold"));
        }
        Ok(document)
    }

    /// Path of the resource in the API.
    pub(super) fn path(&self) -> String {
        self.kind.item_path(&self.namespace, &self.names)
    }

    /// The body of a PUT, as Sensu's own client sends it: bare for Sensu's own kinds, wrapped for others.
    pub(super) fn body(&self) -> Value {
        if self.kind.is_federation() {
            return self.to_value();
        }
        let mut bare = self.spec.clone();
        if self.has_metadata() {
            bare.insert("metadata".into(), Value::Object(self.metadata.clone()));
        }
        Value::Object(bare)
    }

    /// The wrapped form.
    pub(super) fn to_value(&self) -> Value {
        wrap(&self.type_name, self.kind.api_version, self.metadata.clone(), self.spec.clone())
    }

    /// Sets the label by which Sensu's tools recognize what was created from a file, unless an agent manages the
    /// resource. Only for Sensu's own kinds: the label is Sensu's.
    pub(super) fn label_as_managed(&mut self) {
        if self.kind.is_federation() || !self.has_metadata() {
            return;
        }
        let labels = self.metadata.entry("labels").or_insert_with(|| Map::new().into());
        if labels.is_null() {
            *labels = Map::new().into();
        }
        if let Value::Object(labels) = labels
            && labels.get(MANAGED_BY).and_then(Value::as_str) != Some("sensu-agent")
        {
            labels.insert(MANAGED_BY.into(), "sensuctl".into());
        }
    }

    /// Whether both are the same resource.
    pub(super) fn is_same_as(&self, other: &Self) -> bool {
        self.kind.type_name == other.kind.type_name
            && self.namespace == other.namespace
            && self.names == other.names
    }

    /// Whether Sensu keeps metadata with this kind.
    fn has_metadata(&self) -> bool {
        !matches!(self.kind.type_name, "Namespace" | "User" | "TessenConfig")
    }

    fn fill_namespace(&mut self, default: &str) -> Result<(), String> {
        if !self.kind.is_namespaced() {
            return Ok(());
        }
        let own = optional_text(&self.metadata, "namespace", "metadata.namespace")?;
        if self.kind.scope != Scope::Event {
            self.namespace = own.unwrap_or_else(|| default.to_owned());
            self.metadata.insert("namespace".into(), self.namespace.as_str().into());
            return Ok(());
        }
        // The entity's namespace decides; the event's own is only present if its sender has set it.
        let of_entity = match self.spec.get("entity").and_then(|entity| entity.get("metadata")) {
            Some(Value::Object(metadata)) => {
                optional_text(metadata, "namespace", "spec.entity.metadata.namespace")?
            }
            _ => None,
        };
        self.namespace = of_entity.or(own).unwrap_or_else(|| default.to_owned());
        for part in ["entity", "check"] {
            let metadata = self.spec.get_mut(part).and_then(|part| part.get_mut("metadata"));
            if let Some(Value::Object(metadata)) = metadata
                && metadata.get("namespace").and_then(Value::as_str).unwrap_or_default().is_empty()
            {
                metadata.insert("namespace".into(), self.namespace.as_str().into());
            }
        }
        Ok(())
    }

    fn find_names(&mut self) -> Result<Vec<String>, String> {
        let in_metadata = optional_text(&self.metadata, "name", "metadata.name")?;
        let in_spec = |key: &str| optional_text(&self.spec, key, &format!("spec.{key}"));
        let name = match (self.kind.type_name, self.kind.scope) {
            (_, Scope::Single) => return Ok(Vec::new()),
            (_, Scope::Event) => return self.event_names(),
            ("Namespace", _) => self.name_in_spec("name", in_metadata)?,
            ("User", _) => self.name_in_spec("username", in_metadata)?,
            ("Silenced", _) if in_metadata.is_none() => match (in_spec("subscription")?, in_spec("check")?) {
                (None, None) => return Err("has no name: give spec.subscription, spec.check or both".into()),
                (subscription, check) => {
                    let half = |half: Option<String>| half.unwrap_or_else(|| "*".into());
                    let name = format!("{}:{}", half(subscription), half(check));
                    self.metadata.insert("name".into(), name.as_str().into());
                    name
                }
            },
            _ => in_metadata.ok_or("has no metadata.name")?,
        };
        Ok(vec![name])
    }

    /// For kinds whose name is part of the spec. A file may give it there or in the metadata.
    fn name_in_spec(&mut self, key: &str, in_metadata: Option<String>) -> Result<String, String> {
        let field = format!("spec.{key}");
        let name = optional_text(&self.spec, key, &field)?.or(in_metadata);
        let name = name.ok_or_else(|| format!("has no {field}"))?;
        self.spec.insert(key.into(), name.as_str().into());
        Ok(name)
    }

    fn event_names(&self) -> Result<Vec<String>, String> {
        let name = |part: &str| {
            let field = format!("spec.{part}.metadata.name");
            match self.spec.get(part).and_then(|part| part.get("metadata")) {
                Some(Value::Object(metadata)) => optional_text(metadata, "name", &field)?,
                _ => None,
            }
            .ok_or_else(|| format!("has no {field}"))
        };
        Ok(vec![name("entity")?, name("check")?])
    }
}

/// `Cluster "alpha"`, or `CheckConfig "cpu" in default@alpha`.
impl fmt::Display for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.type_name)?;
        if !self.names.is_empty() {
            write!(f, " {:?}", self.names.join("/"))?;
        }
        if self.namespace.is_empty() { Ok(()) } else { write!(f, " in {}", terminal_safe(&self.namespace)) }
    }
}

/// The wrapped form of an item of a list, which the API shows bare for Sensu's own kinds.
pub(super) fn wrapped(kind: &Kind, item: Value) -> Value {
    let Value::Object(mut bare) = item else { return item };
    if bare.contains_key("api_version") && bare.contains_key("spec") {
        return Value::Object(bare);
    }
    let metadata = match bare.shift_remove("metadata") {
        Some(Value::Object(metadata)) => metadata,
        _ => Map::new(),
    };
    let name = match kind.type_name {
        "Namespace" => bare.get("name"),
        "User" => bare.get("username"),
        _ => None,
    };
    let metadata = match name {
        Some(name) => Map::from_iter([("name".to_owned(), name.clone())]),
        None => metadata,
    };
    wrap(kind.type_name, kind.api_version, metadata, bare)
}

/// The wrapped form without what only answers have, so that it can be created again and then changes nothing.
pub(super) fn for_dump(kind: &Kind, mut item: Value) -> Value {
    if let Value::Object(object) = &mut item {
        if kind.is_federation() {
            if let Some(Value::Object(metadata)) = object.get_mut("metadata") {
                metadata.shift_remove("created_by");
            }
        } else {
            object.shift_remove("cluster");
        }
    }
    wrapped(kind, item)
}

fn wrap(type_name: &str, api_version: &str, metadata: Map<String, Value>, spec: Map<String, Value>) -> Value {
    let mut object = Map::new();
    object.insert("type".into(), type_name.into());
    object.insert("api_version".into(), api_version.into());
    object.insert("metadata".into(), metadata.into());
    object.insert("spec".into(), spec.into());
    object.into()
}

/// Moves metadata in the spec to the outer one, which wins; labels and annotations are merged.
fn merge_inner_metadata(outer: &mut Map<String, Value>, spec: &mut Map<String, Value>) {
    let Some(Value::Object(inner)) = spec.get("metadata").filter(|inner| inner.is_object()) else { return };
    for (key, value) in inner.clone() {
        match (outer.get_mut(&key), value) {
            (Some(Value::Object(labels)), Value::Object(more)) => {
                for (label, value) in more {
                    labels.entry(label).or_insert(value);
                }
            }
            (Some(_), _) => {}
            (None, value) => {
                outer.insert(key, value);
            }
        }
    }
    spec.shift_remove("metadata");
}

fn take_object(object: &mut Map<String, Value>, key: &str) -> Result<Option<Map<String, Value>>, String> {
    match object.shift_remove(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(map)) => Ok(Some(map)),
        Some(_) => Err(format!("has a {key} that is not an object")),
    }
}

fn required_text(object: &Map<String, Value>, key: &str) -> Result<String, String> {
    optional_text(object, key, key)?.ok_or_else(|| format!("has no {key}"))
}

fn optional_text(object: &Map<String, Value>, key: &str, field: &str) -> Result<Option<String>, String> {
    match object.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone()).filter(|text| !text.is_empty())),
        Some(_) => Err(format!("has a {field} that is not text: put it in quotes")),
    }
}

const TOP_LEVEL: [&str; 4] = ["type", "api_version", "metadata", "spec"];

/// Sensu's label for what a tool manages.
const MANAGED_BY: &str = "sensu.io/managed_by";
