//! What resolvers give to the executor.

use std::rc::Rc;

use serde_json::Value;

use crate::sim::json::Object;

/// The value of a field before its selections are applied.
#[derive(Clone)]
pub(super) enum Out {
    /// A scalar, or an object or list whose types are in the schema.
    Value(Value),
    Node(Node),
    List(Vec<Out>),
    /// A value that comes with an error; it replaces whatever was selected.
    Flawed(Value, String),
}

/// An object with its type.
#[derive(Clone)]
pub(super) struct Node {
    pub(super) ty: &'static str,
    pub(super) data: Data,
}

#[derive(Clone)]
pub(super) enum Data {
    /// A stored object, or a part of one.
    Object(Rc<Object>),
    /// Fields by name, without a stored object.
    Fields(Rc<Vec<(&'static str, Out)>>),
}

// === impl Out ===

impl Out {
    pub(super) const NULL: Self = Self::Value(Value::Null);

    pub(super) fn text(text: &str) -> Self {
        Self::Value(text.into())
    }

    /// A list of nodes.
    pub(super) fn nodes(nodes: impl IntoIterator<Item = Node>) -> Self {
        Self::List(nodes.into_iter().map(Self::Node).collect())
    }

    pub(super) fn is_null(&self) -> bool {
        matches!(self, Self::Value(Value::Null))
    }
}

impl From<Option<Node>> for Out {
    fn from(node: Option<Node>) -> Self {
        node.map_or(Self::NULL, Self::Node)
    }
}

// === impl Node ===

impl Node {
    pub(super) fn new(ty: &'static str, object: Object) -> Self {
        Self { ty, data: Data::Object(Rc::new(object)) }
    }

    /// A node of a type without stored fields.
    pub(super) fn made(ty: &'static str, fields: Vec<(&'static str, Out)>) -> Self {
        Self { ty, data: Data::Fields(Rc::new(fields)) }
    }

    /// The stored object; an empty one for a node that has none.
    pub(super) fn object(&self) -> &Object {
        static EMPTY: std::sync::LazyLock<Object> = std::sync::LazyLock::new(Object::new);
        match &self.data {
            Data::Object(object) => object,
            Data::Fields(_) => &EMPTY,
        }
    }

    /// A string at a path of keys; empty when there is none.
    pub(super) fn text(&self, path: &[&str]) -> &str {
        crate::sim::json::text(self.object(), path)
    }

    /// The name in its metadata, or its own.
    pub(super) fn name(&self) -> &str {
        let keys: [&[&str]; 3] = [&["metadata", "name"], &["name"], &["username"]];
        keys.into_iter().map(|path| self.text(path)).find(|name| !name.is_empty()).unwrap_or_default()
    }

    pub(super) fn namespace(&self) -> &str {
        self.text(&["metadata", "namespace"])
    }

    /// A part of it as an object.
    pub(super) fn part(&self, key: &str) -> Option<&Object> {
        self.object().get(key).and_then(Value::as_object)
    }
}
