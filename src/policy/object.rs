//! Objects as Sensu's API shows them, and when two of them are equal.
//!
//! What a cluster sets by itself does not count: who created an object, the order of keys, and members that are left out
//! or have their zero value, which are the same to Sensu. Neither does the label that says where a copy is from.

use std::fmt;

use aws_lc_rs::digest;
use bytes::Bytes;
use serde_json::{Map, Value};

use crate::corev2::{Type, difference::is_zero, protect::is_vital};

/// Which object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key {
    pub(super) kind: Type,
    /// Empty for what belongs to none.
    pub(super) namespace: String,
    pub(super) name: String,
}

/// An object of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Object {
    pub(super) key: Key,
    /// As it is to be written, without label and creator.
    pub(super) json: Bytes,
    pub(super) digest: Digest,
    /// The federation that it was copied by.
    pub(super) origin: Option<String>,
    /// Who created it.
    pub(super) creator: String,
    /// What it grants to whom, if it is a binding.
    pub(super) binding: Option<Binding>,
}

/// Equal for equal objects.
pub(super) type Digest = [u8; 32];

/// What a binding says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Binding {
    /// The role; `None` if no role can have that name.
    pub(super) role: Option<Key>,
    /// Whether it has a subject without whom nobody can repair the cluster.
    pub(super) is_vital: bool,
    /// Whether the gateway itself is a subject.
    pub(super) admits_us: bool,
}

// === impl Key ===

impl Key {
    pub(super) fn new(kind: Type, namespace: &str, name: &str) -> Self {
        Self { kind, namespace: namespace.to_owned(), name: name.to_owned() }
    }
}

impl fmt::Display for Key {
    /// For messages, cut.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cut = |text: &str| text.escape_debug().take(MAX_SHOWN).collect::<String>();
        f.write_str(self.kind.name())?;
        if !self.namespace.is_empty() {
            write!(f, " {}/", cut(&self.namespace))?;
            return f.write_str(&cut(&self.name));
        }
        write!(f, " {}", cut(&self.name))
    }
}

// === impl Object ===

impl Object {
    /// Reads an item of a list. `None` for one that Sensu's API could not address: it is left alone.
    pub(super) fn read(kind: Type, item: &str) -> Option<Self> {
        let Ok(Value::Object(mut object)) = serde_json::from_str(item) else { return None };
        if kind == Type::Namespace {
            return Self::namespace(&object);
        }
        let metadata = object.get_mut("metadata")?.as_object_mut()?;
        let text = |metadata: &Map<String, Value>, key: &str| {
            metadata.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let key = Key { kind, namespace: text(metadata, "namespace"), name: text(metadata, "name") };
        let creator = text(metadata, "created_by");
        metadata.remove("created_by");
        let mut origin = None;
        if let Some(Value::Object(labels)) = metadata.get_mut("labels") {
            origin = labels.remove(LABEL).map(|it| it.as_str().unwrap_or_default().to_owned());
            if labels.is_empty() {
                metadata.remove("labels");
            }
        }
        key.is_addressable().then(|| {
            let binding = kind.is_binding().then(|| Binding::read(&key, &object));
            let json = Value::Object(object);
            let digest = digest_of(&json);
            Self { key, json: json.to_string().into(), digest, origin, creator, binding }
        })
    }

    /// A namespace has a name, and nothing else.
    fn namespace(object: &Map<String, Value>) -> Option<Self> {
        let key = Key::new(Type::Namespace, "", object.get("name")?.as_str()?);
        let json = serde_json::json!({"name": key.name});
        let digest = digest_of(&json);
        key.is_addressable().then(|| Self {
            key,
            json: json.to_string().into(),
            digest,
            origin: None,
            creator: String::new(),
            binding: None,
        })
    }

    /// The body that makes a copy of it.
    pub(super) fn copy_of(&self, federation: &str) -> Bytes {
        if self.key.kind == Type::Namespace {
            return self.json.clone();
        }
        labelled(serde_json::from_slice(&self.json).unwrap_or_default(), federation)
    }
}

impl Key {
    /// Whether a path leads to it and to nothing else.
    fn is_addressable(&self) -> bool {
        let is_part = |part: &str| {
            !matches!(part, "" | "." | "..") && !part.contains('/') && !part.contains(char::is_control)
        };
        let is_name =
            if self.kind.has_paths() { self.name.split('/').all(is_part) } else { is_part(&self.name) };
        is_name
            && if self.kind.is_namespaced() { is_part(&self.namespace) } else { self.namespace.is_empty() }
    }

    /// The body of a role of this name that grants nothing. Sensu refuses one without rules.
    pub(super) fn emptied(&self, federation: &str) -> Bytes {
        labelled(self.emptied_json(), federation)
    }

    /// Of such a role.
    pub(super) fn emptied_digest(&self) -> Digest {
        digest_of(&self.emptied_json())
    }

    fn emptied_json(&self) -> Value {
        let mut metadata = serde_json::json!({"name": self.name});
        if !self.namespace.is_empty() {
            metadata["namespace"] = self.namespace.as_str().into();
        }
        serde_json::json!({"rules": [{"verbs": ["get"], "resources": []}], "metadata": metadata})
    }
}

fn labelled(mut json: Value, federation: &str) -> Bytes {
    if let Some(Value::Object(metadata)) = json.get_mut("metadata") {
        let labels = metadata.entry("labels").or_insert_with(|| Value::Object(Map::new()));
        if !labels.is_object() {
            *labels = Value::Object(Map::new());
        }
        labels[LABEL] = federation.into();
    }
    json.to_string().into()
}

// === impl Binding ===

impl Binding {
    fn read(key: &Key, object: &Map<String, Value>) -> Self {
        let text = |value: &Value, name: &str| {
            value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let role_ref = object.get("role_ref").cloned().unwrap_or_default();
        let name = text(&role_ref, "name");
        let role = match (&*text(&role_ref, "type"), key.kind) {
            ("ClusterRole", _) => Some(Key::new(Type::ClusterRole, "", &name)),
            ("Role", Type::RoleBinding) => Some(Key::new(Type::Role, &key.namespace, &name)),
            _ => None,
        };
        let subjects =
            object.get("subjects").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let subjects = || subjects.iter().map(|subject| (text(subject, "type"), text(subject, "name")));
        Self {
            role,
            is_vital: subjects().any(|(kind, name)| is_vital(&kind, &name)),
            admits_us: subjects().any(|(kind, name)| kind == "Group" && name == OUR_GROUP),
        }
    }
}

/// Of the object without what does not count.
fn digest_of(json: &Value) -> Digest {
    let mut context = digest::Context::new(&digest::SHA256);
    feed(json, &mut context);
    let mut digest = [0; 32];
    digest.copy_from_slice(context.finish().as_ref());
    digest
}

fn feed(json: &Value, context: &mut digest::Context) {
    match json {
        Value::Object(map) => {
            context.update(b"{");
            let mut members: Vec<_> = map.iter().filter(|(key, value)| !is_zero(key, value)).collect();
            members.sort_unstable_by_key(|(key, _)| *key);
            for (key, value) in members {
                feed(&Value::from(key.as_str()), context);
                feed(value, context);
            }
            context.update(b"}");
        }
        Value::Array(items) => {
            context.update(b"[");
            for item in items {
                feed(item, context);
            }
            context.update(b"]");
        }
        scalar => {
            context.update(scalar.to_string().as_bytes());
            // Ends it, so that `1` and `2` are not `12`.
            context.update(b",");
        }
    }
}

/// Says that an object is a copy, and of which federation.
pub const LABEL: &str = "fedgate.io/replicated-from";

/// The group whose rights the gateway uses in every cluster: `sensu-backend init` makes it the administrators.
pub const OUR_GROUP: &str = "cluster-admins";

/// Most characters of a name in a message.
const MAX_SHOWN: usize = 100;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn read(kind: Type, item: &Value) -> Object {
        Object::read(kind, &item.to_string()).unwrap()
    }

    fn role(extra: &Value) -> Value {
        let mut role = json!({
            "rules": [{"verbs": ["get"], "resources": ["checks"], "resource_names": null}],
            "metadata": {"name": "r", "namespace": "n", "created_by": "ann"},
        });
        for (key, value) in extra.as_object().unwrap() {
            role[key] = value.clone();
        }
        role
    }

    #[test]
    fn what_a_cluster_sets_by_itself_makes_no_difference() {
        let first = read(Type::Role, &role(&json!({})));
        for other in [
            json!({"metadata": {"namespace": "n", "name": "r", "created_by": "bob", "labels": null}}),
            json!({"metadata": {"name": "r", "namespace": "n", "labels": {LABEL: "x"}}}),
            json!({"metadata": {"name": "r", "namespace": "n", "annotations": {}}, "new_in_6_14": false}),
            json!({"rules": [{"resource_names": [], "resources": ["checks"], "verbs": ["get"]}]}),
        ] {
            assert_eq!(read(Type::Role, &role(&other)).digest, first.digest, "{other}");
        }
        for other in [
            json!({"metadata": {"name": "r", "namespace": "n", "labels": {"a": "b"}}}),
            json!({"rules": [{"verbs": ["get"], "resources": ["checks"], "resource_names": ["x"]}]}),
            json!({"rules": [{"verbs": ["get"], "resources": []}, {"verbs": [], "resources": ["checks"]}]}),
            json!({"rules": []}),
        ] {
            assert_ne!(read(Type::Role, &role(&other)).digest, first.digest, "{other}");
        }
    }

    #[test]
    fn an_empty_object_is_not_none() {
        let check = |extra: Value| {
            let mut check = json!({"command": "x", "metadata": {"name": "c", "namespace": "n"}});
            check["proxy_requests"] = extra;
            read(Type::CheckConfig, &check).digest
        };
        assert_ne!(check(json!({"splay": false})), check(Value::Null));
        assert_eq!(check(json!({"splay": false})), check(json!({"splay": false, "splay_coverage": 0})));
    }

    #[test]
    fn a_copy_bears_the_label_and_reads_as_its_original() {
        let original = read(Type::Role, &role(&json!({})));
        let copy = original.copy_of("home");
        let copy = Object::read(Type::Role, std::str::from_utf8(&copy).unwrap()).unwrap();
        assert_eq!((copy.origin.as_deref(), copy.digest), (Some("home"), original.digest));
        assert_eq!(copy.json, original.json, "it is not copied onward with the label");
        let emptied =
            Object::read(Type::Role, std::str::from_utf8(&copy.key.emptied("home")).unwrap()).unwrap();
        assert_eq!((emptied.digest, emptied.origin.as_deref()), (copy.key.emptied_digest(), Some("home")));
    }

    #[test]
    fn what_no_path_leads_to_is_left_alone() {
        for (kind, namespace, name, is_read) in [
            (Type::Role, "n", "a", true),
            (Type::Role, "n", "a/b", false),
            (Type::Asset, "n", "a/b", true),
            (Type::Asset, "n", "../b", false),
            (Type::Role, "", "a", false),
            (Type::Role, "..", "a", false),
            (Type::ClusterRole, "n", "a", false),
            (Type::ClusterRole, "", "..", false),
            (Type::ClusterRole, "", "", false),
        ] {
            let item = json!({"metadata": {"name": name, "namespace": namespace}});
            assert_eq!(
                Object::read(kind, &item.to_string()).is_some(),
                is_read,
                "{kind:?} {namespace} {name}"
            );
        }
        assert_eq!(Object::read(Type::Role, "[]"), None);
        assert_eq!(Object::read(Type::Namespace, r#"{"metadata": {"name": "x"}}"#), None);
    }

    #[test]
    fn a_binding_says_whom_it_serves() {
        let binding = |kind: &str, name: &str, role: &str| {
            let item = json!({
                "metadata": {"name": "b", "namespace": "n"}, "role_ref": {"type": role, "name": "r"},
                "subjects": [{"type": "User", "name": "eve"}, {"type": kind, "name": name}],
            });
            read(Type::RoleBinding, &item).binding.unwrap()
        };
        let ours = binding("Group", "cluster-admins", "Role");
        assert_eq!(ours.role, Some(Key::new(Type::Role, "n", "r")));
        assert!(ours.is_vital && ours.admits_us);
        let all = binding("Group", "system:users", "ClusterRole");
        assert_eq!(all.role, Some(Key::new(Type::ClusterRole, "", "r")));
        assert!(all.is_vital && !all.admits_us);
        let other = binding("User", "cluster-admins", "Nothing");
        assert_eq!(other, Binding { role: None, is_vital: false, admits_us: false });
    }

    proptest! {
        #[test]
        fn anything_is_read_or_left_alone(item in ".{0,60}", name in ".{0,9}", namespace in ".{0,9}") {
            let metadata = json!({"metadata": {"name": name, "namespace": namespace, "labels": {LABEL: item}}});
            for kind in Type::ALL {
                Object::read(kind, &item);
                if let Some(object) = Object::read(kind, &metadata.to_string()) {
                    let copy = object.copy_of("f");
                    let copy = Object::read(kind, std::str::from_utf8(&copy).unwrap()).unwrap();
                    prop_assert_eq!((copy.digest, copy.key), (object.digest, object.key));
                }
            }
        }
    }
}
