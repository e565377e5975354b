use std::fmt;

use serde_json::{Map, Value};

use super::kind::{CORE_V2, Kind, KindError, Scope};
use crate::{cli::text::terminal_safe, types::LOCAL_CLUSTER};

mod integers;
mod names;
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
    metadata: Map<String, Value>,
    spec: Map<String, Value>,
    /// The cluster that it says it is from, as lists show it.
    cluster: Option<String>,
}

/// Why a value is not a resource. The text completes a sentence about the document, such as `has no type`.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum DocumentError {
    /// It is one that cannot be handled, but others can.
    #[error(transparent)]
    Unknown(#[from] KindError),
    /// It is malformed, or lacks something.
    #[error("{0}")]
    Malformed(String),
}

// === impl Document ===

impl Document {
    /// Parses a wrapped resource. One that belongs to a namespace and does not name it gets `namespace`. Top-level keys
    /// that a resource does not have are ignored.
    pub(super) fn parse(value: Value, namespace: &str) -> Result<Self, DocumentError> {
        let Value::Object(mut object) = value else {
            return Err("is not a resource: {type, api_version, metadata, spec} is expected".into());
        };
        let ignored = ignored_keys(&object);
        fold_keys(&mut object, &TOP_LEVEL);
        Self::parse_object(object, namespace).map_err(|error| match (error, misspelled(&ignored)) {
            (DocumentError::Malformed(what), Some((key, meant))) => {
                format!("{what}: is {key:?} meant to be {meant}?").into()
            }
            (error, _) => error,
        })
    }

    fn parse_object(mut object: Map<String, Value>, namespace: &str) -> Result<Self, DocumentError> {
        let type_name = required_text(&object, "type")?;
        let api_version =
            optional_text(&object, "api_version", "api_version")?.unwrap_or_else(|| CORE_V2.into());
        let kind = Kind::of(&api_version, &type_name)?;
        let mut metadata = take_object(&mut object, "metadata")?.unwrap_or_default();
        fold_keys(&mut metadata, &METADATA);
        let mut spec = take_object(&mut object, "spec")?.ok_or("has no spec")?;
        merge_inner_metadata(&mut metadata, &mut spec);
        integers::settle(kind.type_name, &mut spec)?;
        let cluster = optional_text(&object, "cluster", "cluster")?;
        let mut document =
            Self { kind, namespace: String::new(), names: Vec::new(), metadata, spec, cluster };
        document.fill_namespace(namespace)?;
        document.names = document.find_names()?;
        document.qualify()?;
        names::check(kind, &document.namespace, &document.names)?;
        Ok(document)
    }

    /// The other cluster that it is from, if its path cannot name that: it has no namespace.
    pub(super) fn elsewhere(&self) -> Option<&str> {
        self.cluster.as_deref().filter(|_| !self.kind.is_namespaced() && self.kind.type_name != "Namespace")
    }

    /// Qualifies the namespace with the cluster that the document is from.
    fn qualify(&mut self) -> Result<(), String> {
        let Some(cluster) = self.cluster.clone().filter(|_| self.elsewhere().is_none()) else {
            return Ok(());
        };
        let namespace = if self.kind.is_namespaced() { &self.namespace } else { &self.names[0] };
        let qualified = match namespace.split_once('@') {
            Some((_, named)) if named == cluster => return Ok(()),
            None if cluster == LOCAL_CLUSTER => return Ok(()),
            None => format!("{namespace}@{cluster}"),
            Some(_) => {
                return Err(format!(
                    "is of cluster {cluster:?} and of namespace {namespace:?}: give one of them"
                ));
            }
        };
        match self.kind.scope {
            Scope::Namespaced => {
                self.metadata.insert("namespace".into(), qualified.as_str().into());
                self.namespace = qualified;
            }
            Scope::Event => {
                for part in EVENT_PARTS {
                    if let Some(metadata) = metadata_mut(&mut self.spec, part) {
                        metadata.insert("namespace".into(), qualified.as_str().into());
                    }
                }
                self.namespace = qualified;
            }
            Scope::ClusterWide | Scope::Single => {
                self.spec.insert("name".into(), qualified.as_str().into());
                self.names = vec![qualified];
            }
        }
        Ok(())
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

    /// Its metadata.
    pub(super) fn metadata(&self) -> &Map<String, Value> {
        &self.metadata
    }

    /// What it specifies, without metadata.
    pub(super) fn spec(&self) -> &Map<String, Value> {
        &self.spec
    }

    /// The wrapped form.
    pub(super) fn to_value(&self) -> Value {
        wrap(self.kind.type_name, self.kind.api_version, self.metadata.clone(), self.spec.clone())
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
        for part in EVENT_PARTS {
            if let Some(metadata) = metadata_mut(&mut self.spec, part)
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
        f.write_str(self.kind.type_name)?;
        if !self.names.is_empty() {
            write!(f, " {:?}", self.names.join("/"))?;
        }
        if self.namespace.is_empty() { Ok(()) } else { write!(f, " in {}", terminal_safe(&self.namespace)) }
    }
}

/// The metadata of a part of an event.
fn metadata_mut<'a>(spec: &'a mut Map<String, Value>, part: &str) -> Option<&'a mut Map<String, Value>> {
    spec.get_mut(part)?.get_mut("metadata")?.as_object_mut()
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

/// The top-level keys that mean nothing in a resource; anchors may live under them.
pub(super) fn ignored_keys(object: &Map<String, Value>) -> Vec<String> {
    let is_known =
        |key: &str| TOP_LEVEL.iter().chain(&["cluster"]).any(|known| known.eq_ignore_ascii_case(key));
    object.keys().filter(|key| !is_known(key)).cloned().collect()
}

/// A key that is almost one of a resource.
fn misspelled(ignored: &[String]) -> Option<(&str, &'static str)> {
    ignored.iter().find_map(|key| {
        let meant = TOP_LEVEL.iter().find(|known| strsim::osa_distance(known, &key.to_lowercase()) <= 2)?;
        (key.len() > 3).then_some((key.as_str(), *meant))
    })
}

/// Spells these keys as Sensu does, which takes them in any case.
fn fold_keys(object: &mut Map<String, Value>, known: &[&str]) {
    for known in known {
        let other =
            object.keys().find(|key| key.as_str() != *known && key.eq_ignore_ascii_case(known)).cloned();
        if let Some(other) = other.filter(|_| !object.contains_key(*known)) {
            let value = object.shift_remove(&other).unwrap_or_default();
            object.insert((*known).to_owned(), value);
        }
    }
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

impl From<String> for DocumentError {
    fn from(what: String) -> Self {
        Self::Malformed(what)
    }
}

impl From<&str> for DocumentError {
    fn from(what: &str) -> Self {
        Self::Malformed(what.to_owned())
    }
}

/// The keys of a resource.
pub(super) const TOP_LEVEL: [&str; 4] = ["type", "api_version", "metadata", "spec"];
const METADATA: [&str; 5] = ["name", "namespace", "labels", "annotations", "created_by"];

/// What an event is about.
const EVENT_PARTS: [&str; 2] = ["entity", "check"];

/// Sensu's label for what a tool manages.
const MANAGED_BY: &str = "sensu.io/managed_by";
