//! A GraphQL server with made-up data: every value follows from its path in the answer, so that the same question has the
//! same answer however it is asked. It can answer as a cluster (plain names) or as the federation (qualified ones).

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value as Json, json};

use super::super::{
    ast::{Document, Field, Selection, SelectionSet, Value},
    parse,
    schema::{Schema, TypeId},
};

/// Answers documents.
pub(super) struct Server<'a> {
    pub(super) schema: &'a Schema,
    /// Whose data it is; other clusters have other data.
    pub(super) cluster: &'a str,
    /// Whether names and ids carry the cluster, as the gateway's answers do.
    pub(super) qualified: bool,
}

struct Run<'a> {
    server: &'a Server<'a>,
    document: &'a Document,
    variables: &'a serde_json::Map<String, Json>,
    text: &'a str,
}

// === impl Server ===

impl Server<'_> {
    /// The `data` of the answer.
    pub(super) fn answer(&self, text: &str, variables: &Json) -> Json {
        let document = parse::parse(text).unwrap_or_else(|e| panic!("{e:?}: {text}")).document;
        let none = serde_json::Map::new();
        let run = Run {
            server: self,
            document: &document,
            variables: variables.as_object().unwrap_or(&none),
            text,
        };
        let root = match document.operation.kind {
            super::super::ast::OperationKind::Mutation => self.schema.mutation.unwrap(),
            _ => self.schema.query,
        };
        run.object(root, &[&document.operation.set], &mut Vec::new())
    }

    fn suffix(&self) -> String {
        if self.qualified && self.cluster != "local-cluster" {
            format!("@{}", self.cluster)
        } else {
            String::new()
        }
    }
}

// === impl Run ===

impl Run<'_> {
    fn object(&self, ty: TypeId, sets: &[&SelectionSet], path: &mut Vec<String>) -> Json {
        let mut fields: BTreeMap<&str, Vec<&Field>> = BTreeMap::new();
        for set in sets {
            self.collect(ty, set, &mut fields);
        }
        let members = fields.into_iter().map(|(key, fields)| {
            path.push(key.to_owned());
            let value = self.field(ty, &fields, path);
            path.pop();
            (key.to_owned(), value)
        });
        Json::Object(members.collect())
    }

    fn collect<'b>(
        &'b self,
        ty: TypeId,
        set: &'b SelectionSet,
        fields: &mut BTreeMap<&'b str, Vec<&'b Field>>,
    ) {
        for item in &set.items {
            let directives = match item {
                Selection::Field(field) => &field.directives,
                Selection::Inline(inline) => &inline.directives,
                Selection::Spread(spread) => &spread.directives,
            };
            let left_out = directives.iter().any(|directive| {
                let value = match &directive.arguments[0].1 {
                    Value::Boolean(value) => *value,
                    Value::Variable(name) => self.variables[&**name] == json!(true),
                    other => panic!("{other:?}"),
                };
                value == (&*directive.name == "skip")
            });
            if left_out {
                continue;
            }
            match item {
                Selection::Field(field) => fields.entry(field.key()).or_default().push(field),
                Selection::Inline(inline) => {
                    if inline.condition.as_ref().is_none_or(|condition| self.is(ty, condition)) {
                        self.collect(ty, &inline.set, fields);
                    }
                }
                Selection::Spread(spread) => {
                    let fragment = self.document.fragment(&spread.name).expect("a fragment that is there");
                    if self.is(ty, &fragment.condition) {
                        self.collect(ty, &fragment.set, fields);
                    }
                }
            }
        }
    }

    fn is(&self, ty: TypeId, condition: &str) -> bool {
        let condition = self.server.schema.id(condition).expect("a type that is there");
        self.server.schema.ty(condition).possible.contains(&ty)
    }

    fn field(&self, ty: TypeId, fields: &[&Field], path: &mut Vec<String>) -> Json {
        let schema = self.server.schema;
        let field = fields[0];
        if &*field.name == "__typename" {
            return json!(schema.ty(ty).name);
        }
        if schema.ty(ty).name == "Namespace".into() && &*field.name == "cluster" {
            assert!(self.server.qualified, "a cluster was asked for a field that only the gateway has");
            return json!(self.server.cluster);
        }
        let definition =
            schema.ty(ty).field(&field.name).unwrap_or_else(|| panic!("no field {}", field.name));
        if !self.server.qualified {
            self.check_arguments(field);
        }
        let seed = seed(path, self.server.cluster);
        if !definition.non_null && path.len() > 1 && seed.is_multiple_of(9) {
            return Json::Null;
        }
        let sets: Vec<&SelectionSet> = fields.iter().filter_map(|field| field.set.as_ref()).collect();
        if !definition.list {
            return self.value(definition.base, &field.name, ty, &sets, path);
        }
        let items = (0..seed % 3).map(|index| {
            path.push(index.to_string());
            let item = self.value(definition.base, &field.name, ty, &sets, path);
            path.pop();
            item
        });
        items.collect()
    }

    fn value(
        &self,
        ty: TypeId,
        field: &str,
        parent: TypeId,
        sets: &[&SelectionSet],
        path: &mut Vec<String>,
    ) -> Json {
        let schema = self.server.schema;
        let seed = seed(path, self.server.cluster);
        if !sets.is_empty() {
            let possible = &schema.ty(ty).possible;
            let concrete = possible[usize::try_from(seed).unwrap() % possible.len()];
            return self.object(concrete, sets, path);
        }
        let suffix = self.server.suffix();
        match (&*schema.ty(ty).name, field) {
            ("ID", _) => json!(id(seed, &suffix)),
            ("String", "namespace") => json!(format!("ns{}{suffix}", seed % 5)),
            ("String", "name") if &*schema.ty(parent).name == "Namespace" => {
                json!(format!("ns{}{suffix}", seed % 5))
            }
            ("JSON", "toJSON" | "wrappedNode") => resource(seed, &suffix),
            ("Int" | "Uint", _) => json!(seed % 1000),
            ("Float", _) => json!(1.5),
            ("Boolean", _) => json!(seed.is_multiple_of(2)),
            ("JSON", _) => json!({"namespace": "left alone", "id": "srn:checks:left:alone"}),
            _ => json!(format!("text {seed} \"\\ {{[ \u{1f600}")),
        }
    }

    /// A cluster must not see another's name, nor its own.
    fn check_arguments(&self, field: &Field) {
        for (_, value) in &field.arguments {
            match value {
                Value::Variable(name) => {
                    let text = self.variables.get(&**name).map(Json::to_string).unwrap_or_default();
                    assert!(!text.contains('@'), "{text} reached a cluster");
                }
                Value::String(span) => {
                    let text = &self.text[span.clone()];
                    assert!(!text.contains('@'), "{text} reached a cluster");
                }
                _ => {}
            }
        }
    }
}

fn id(seed: u64, suffix: &str) -> String {
    match seed % 6 {
        0 => format!("srn:checks:ns{}{suffix}:c{seed}", seed % 5),
        1 => format!("srn:events:ns{}{suffix}:check/WyJhIiwiYiJd?x=1", seed % 5),
        2 => format!("srn:namespaces:ns{}{suffix}", seed % 5),
        3 => "srn:clusterroles:system:user".to_owned(),
        4 => format!("srn:silences:ns{}{suffix}:linux:%2A", seed % 5),
        _ => "no id".to_owned(),
    }
}

fn resource(seed: u64, suffix: &str) -> Json {
    let namespace = format!("ns{}{suffix}", seed % 5);
    if seed.is_multiple_of(4) {
        return json!({
            "type": "Namespace", "metadata": {"name": namespace, "namespace": "left alone"}, "spec": {"name": namespace},
        });
    }
    json!({
        "type": "Event", "api_version": "core/v2",
        "metadata": {"namespace": namespace, "name": "x", "labels": {"namespace": "left alone"}},
        "spec": {
            "entity": {"metadata": {"namespace": namespace}},
            "check": {"metadata": {"namespace": namespace}, "namespace": "left alone"},
            "name": "left alone",
        },
    })
}

/// The same for the same path; private keys do not count.
fn seed(path: &[String], cluster: &str) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in path.join("/").bytes().chain(cluster.bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash >> 16
}

/// The body of a request, as a server reads it.
pub(super) fn request(body: &[u8]) -> (String, Json) {
    let body: HashMap<String, Json> = serde_json::from_slice(body).unwrap();
    (body["query"].as_str().unwrap().to_owned(), body.get("variables").cloned().unwrap_or_default())
}
