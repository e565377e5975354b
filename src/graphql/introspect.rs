//! The schema that clients see: the local cluster's own, with the fields that the gateway adds.
//!
//! The local cluster answers introspection. Wherever it lists the fields of a type, the gateway asks for the type's name
//! too, under a key of its own; where that is `Namespace`, it adds `cluster` with the fields that were selected.

use serde_json::{Value as Json, json};

use super::{
    ast::{Document, Field, Selection, SelectionSet},
    literal::Edit,
    schema::{Schema, TypeId},
};

/// Has every selection of a type's fields say the type's name; answers the key.
pub(super) fn ask_names(
    document: &Document,
    schema: &Schema,
    root: TypeId,
    edits: &mut Vec<Edit>,
) -> Option<Box<str>> {
    let mut listing = Listing { document, schema, starts: Vec::new(), keys: Vec::new(), seen: Vec::new() };
    listing.set(root, &document.operation.set);
    if listing.starts.is_empty() {
        return None;
    }
    let mut key = "A".to_owned();
    while listing.keys.contains(&key.as_str()) {
        key.push('0');
    }
    let edit = |at: &usize| Edit { span: *at..*at, text: format!("{key}:name ") };
    edits.extend(listing.starts.iter().map(edit));
    Some(key.into())
}

/// Adds the gateway's fields to the value of an introspection root field. `private` is the key of [`ask_names`].
pub(super) fn complete(
    document: &Document,
    schema: &Schema,
    private: Option<&str>,
    root_key: &str,
    value: &mut Json,
) {
    let Some(private) = private else { return };
    let walk = Walk { document, schema, private };
    let fields = document.fields(&[&document.operation.set]);
    if let Some((_, all)) = fields.iter().find(|(key, _)| *key == root_key)
        && let Some(ty) = field_type(schema, schema.query, all[0])
    {
        walk.value(value, ty, &sets(all));
    }
}

/// The selection sets on types that ask for fields.
struct Listing<'a> {
    document: &'a Document,
    schema: &'a Schema,
    starts: Vec<usize>,
    keys: Vec<&'a str>,
    seen: Vec<(TypeId, usize)>,
}

// === impl Listing ===

impl<'a> Listing<'a> {
    fn set(&mut self, parent: TypeId, set: &'a SelectionSet) {
        if self.seen.contains(&(parent, set.id)) || self.seen.len() >= MAX_SETS {
            return;
        }
        self.seen.push((parent, set.id));
        for item in &set.items {
            match item {
                Selection::Field(field) => {
                    self.keys.push(field.key());
                    let lists = &*field.name == "fields" && &*self.schema.ty(parent).name == "__Type";
                    if lists && !self.starts.contains(&set.start) {
                        self.starts.push(set.start);
                    }
                    if let (Some(ty), Some(set)) = (field_type(self.schema, parent, field), &field.set)
                        && self.schema.ty(ty).name.starts_with("__")
                    {
                        self.set(ty, set);
                    }
                }
                Selection::Inline(inline) => self.set(parent, &inline.set),
                Selection::Spread(spread) => {
                    if let Some(fragment) = self.document.fragment(&spread.name) {
                        self.set(parent, &fragment.set);
                    }
                }
            }
        }
    }
}

fn field_type(schema: &Schema, parent: TypeId, field: &Field) -> Option<TypeId> {
    match &*field.name {
        "__schema" => schema.id("__Schema"),
        "__type" => schema.id("__Type"),
        name => schema.ty(parent).field(name).map(|field| field.base),
    }
}

fn sets<'a>(fields: &[&'a Field]) -> Vec<&'a SelectionSet> {
    fields.iter().filter_map(|field| field.set.as_ref()).collect()
}

struct Walk<'a> {
    document: &'a Document,
    schema: &'a Schema,
    private: &'a str,
}

// === impl Walk ===

impl<'a> Walk<'a> {
    fn value(&self, value: &mut Json, ty: TypeId, sets_here: &[&'a SelectionSet]) {
        match value {
            Json::Array(items) => items.iter_mut().for_each(|item| self.value(item, ty, sets_here)),
            Json::Object(members) => {
                let named = members.shift_remove(self.private);
                let is_namespace = named.as_ref().and_then(Json::as_str) == Some("Namespace");
                for (key, fields) in self.document.fields(sets_here) {
                    let below = sets(&fields);
                    let (Some(member), Some(ty)) =
                        (members.get_mut(key), field_type(self.schema, ty, fields[0]))
                    else {
                        continue;
                    };
                    self.value(member, ty, &below);
                    if let (true, "fields", Json::Array(items)) = (is_namespace, &*fields[0].name, member) {
                        items.push(self.project(&cluster_field(), &below));
                    }
                }
            }
            _ => {}
        }
    }

    /// Applies a selection to a complete value.
    fn project(&self, value: &Json, sets_here: &[&'a SelectionSet]) -> Json {
        match value {
            Json::Array(items) => items.iter().map(|item| self.project(item, sets_here)).collect(),
            Json::Object(members) => self
                .document
                .fields(sets_here)
                .into_iter()
                .map(|(key, fields)| {
                    let member = members.get(&*fields[0].name).unwrap_or(&Json::Null);
                    (key.to_owned(), self.project(member, &sets(&fields)))
                })
                .collect::<serde_json::Map<_, _>>()
                .into(),
            other => other.clone(),
        }
    }
}

/// `Namespace.cluster`, as introspection describes a field.
fn cluster_field() -> Json {
    let ty = |kind: &str, name: Json, inner: Json| {
        json!({
            "__typename": "__Type", "kind": kind, "name": name, "description": null, "fields": null,
            "interfaces": null, "possibleTypes": null, "enumValues": null, "inputFields": null, "ofType": inner,
        })
    };
    json!({
        "__typename": "__Field",
        "name": "cluster",
        "description": "The cluster that the namespace belongs to, as the federation gateway calls it.",
        "args": [],
        "type": ty("NON_NULL", Json::Null, ty("SCALAR", "String".into(), Json::Null)),
        "isDeprecated": false,
        "deprecationReason": null,
    })
}

/// Most pairs of type and selection set that are visited.
const MAX_SETS: usize = 2_000;
