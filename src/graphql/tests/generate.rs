//! Valid queries over a recorded schema, read as raw JSON so that nothing of the code under test is trusted.

use std::{collections::HashMap, fmt::Write as _};

use fastrand::Rng;
use serde_json::{Map, Value as Json, json};

/// Stands where a cluster's suffix may stand.
pub(super) const MARK: &str = "%%";

/// A query, with [`MARK`] behind each namespace.
#[derive(Debug)]
pub(super) struct Generated {
    pub(super) text: String,
    pub(super) variables: Json,
    /// The root keys, and the namespace or id that each was given.
    pub(super) placed: Vec<(String, String)>,
}

// === impl Generated ===

impl Generated {
    pub(super) fn text(&self, suffix: &str) -> String {
        self.text.replace(MARK, suffix)
    }

    /// The text without marks, with white space so that everything stands where `text(suffix)` has it.
    pub(super) fn padded(&self, suffix: &str) -> String {
        let mut text = self.text.clone();
        while let Some(at) = text.find(MARK) {
            text.replace_range(at..at + MARK.len(), "");
            let quote = at + text[at..].find('"').expect("a mark stands in a string");
            let quotes = text[quote..].bytes().take_while(|b| *b == b'"').count();
            text.insert_str(quote + quotes, &" ".repeat(suffix.len()));
        }
        text
    }

    pub(super) fn variables(&self, suffix: &str) -> Json {
        serde_json::from_str(&self.variables.to_string().replace(MARK, suffix)).unwrap()
    }
}

/// Names that root fields ask for.
pub(super) struct Pool {
    pub(super) namespaces: Vec<&'static str>,
    /// By root field.
    pub(super) names: HashMap<&'static str, Vec<&'static str>>,
    pub(super) ids: Vec<String>,
    /// Whether `Namespace.cluster` may be asked for.
    pub(super) own_field: bool,
}

pub(super) struct Generator<'a> {
    types: HashMap<&'a str, &'a Json>,
    pool: &'a Pool,
    random: Rng,
    count: usize,
    fragments: String,
    declared: Vec<String>,
    variables: Map<String, Json>,
    placed: Vec<(String, String)>,
}

// === impl Generator ===

impl<'a> Generator<'a> {
    pub(super) fn new(schema: &'a Json, pool: &'a Pool, seed: u64) -> Self {
        let types = schema["data"]["__schema"]["types"].as_array().unwrap();
        let types = types.iter().map(|ty| (ty["name"].as_str().unwrap(), ty)).collect();
        Self {
            types,
            pool,
            random: Rng::with_seed(seed),
            count: 0,
            fragments: String::new(),
            declared: Vec::new(),
            variables: Map::new(),
            placed: Vec::new(),
        }
    }

    pub(super) fn query(mut self, roots: &[&str]) -> Generated {
        let mut body = String::new();
        for _ in 0..self.random.usize(1..4) {
            let root = roots[self.random.usize(..roots.len())];
            body.push_str(&self.root(root));
        }
        if self.random.usize(..4) == 0 {
            body.push_str(" __typename");
        }
        if self.random.usize(..5) == 0 {
            let name = self.fresh("R");
            let _ = write!(self.fragments, "\nfragment {name} on Query {{{body}}}");
            body = format!("...{name}");
        }
        let declared =
            if self.declared.is_empty() { String::new() } else { format!("({})", self.declared.join(", ")) };
        let text = format!("query Q{declared} {{{body} }}{}", self.fragments);
        Generated { text, variables: Json::Object(self.variables), placed: self.placed }
    }

    fn fresh(&mut self, kind: &str) -> String {
        self.count += 1;
        format!("{kind}{}", self.count)
    }

    fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.random.usize(..of.len())].clone()
    }

    fn chance(&mut self, one_in: usize) -> bool {
        self.random.usize(..one_in) == 0
    }

    /// A string argument, inline or as a variable.
    fn string(&mut self, ty: &str, value: &str) -> String {
        if self.chance(2) {
            return if self.chance(6) { format!("\"\"\"{value}\"\"\"") } else { json!(value).to_string() };
        }
        let name = self.fresh("v");
        self.declared.push(format!("${name}: {ty}"));
        self.variables.insert(name.clone(), json!(value));
        format!("${name}")
    }

    fn root(&mut self, root: &str) -> String {
        let alias = self.fresh("r");
        let namespace = format!("{}{MARK}", self.pick(&self.pool.namespaces));
        let mut named = if matches!(root, "viewer" | "versions") { String::new() } else { namespace.clone() };
        let arguments = match root {
            "viewer" | "versions" => String::new(),
            "namespace" => format!("(name: {})", self.string("String!", &namespace)),
            "node" | "wrappedNode" => {
                let id = self.pick(&self.pool.ids);
                named.clone_from(&id);
                format!("(id: {})", self.string("ID!", &id))
            }
            "suggest" => {
                let namespace = self.string("String!", &namespace);
                format!(
                    "(ref: \"core/v2/check_config/metadata/name\", namespace: {namespace}, order: ALPHA_DESC)"
                )
            }
            "event" => {
                let all = self.pool.names["event"].clone();
                let (entity, check) = self.pick(&all).split_once('/').unwrap();
                let namespace = self.string("String!", &namespace);
                format!(
                    "(entity: {}, namespace: {namespace}, check: \"{check}\")",
                    self.string("String!", entity)
                )
            }
            _ => {
                let all = self.pool.names[root].clone();
                let name = self.pick(&all);
                let namespace = self.string("String!", &namespace);
                format!("(namespace: {namespace}, name: {})", self.string("String!", name))
            }
        };
        self.placed.push((alias.clone(), named));
        let ty = self.field_type("Query", root);
        let selection = if self.is_composite(&ty) { self.selection(&ty, 5) } else { String::new() };
        format!(" {alias}: {root}{arguments}{}{selection}", self.directive())
    }

    fn field(&self, ty: &str, field: &str) -> &'a Json {
        let fields = self.types[ty]["fields"].as_array().unwrap();
        fields.iter().find(|f| f["name"] == field).unwrap()
    }

    fn field_type(&self, ty: &str, field: &str) -> String {
        base(&self.field(ty, field)["type"])
    }

    fn is_composite(&self, ty: &str) -> bool {
        matches!(self.types[ty]["kind"].as_str(), Some("OBJECT" | "INTERFACE" | "UNION"))
    }

    fn directive(&mut self) -> String {
        match self.random.usize(..20) {
            0 => " @include(if: true)".to_owned(),
            1 => " @skip(if: false)".to_owned(),
            2 => {
                let name = self.fresh("d");
                let value = self.random.bool();
                self.declared.push(format!("${name}: Boolean!"));
                self.variables.insert(name.clone(), json!(value));
                format!(" @include(if: ${name})")
            }
            _ => String::new(),
        }
    }

    /// A selection set, braces included.
    fn selection(&mut self, ty: &str, depth: usize) -> String {
        let mut out = String::from(" {");
        let fields: Vec<&Json> = self.types[ty]["fields"].as_array().into_iter().flatten().collect();
        for _ in 0..self.random.usize(1..6) {
            if fields.is_empty() {
                break;
            }
            let field = self.pick(&fields);
            // Seconds that are left, which run.
            if field["name"] != "expire" {
                out.push_str(&self.selected(field, depth, false));
            }
        }
        if self.chance(3) {
            out.push_str(" __typename");
        }
        if ty == "Namespace" && self.pool.own_field && self.chance(3) {
            out.push_str(if self.chance(2) { " cluster" } else { " own: cluster" });
        }
        let possible: Vec<String> = self.types[ty]["possibleTypes"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|ty| ty["name"].as_str().unwrap().to_owned())
            .collect();
        if !possible.is_empty() {
            for _ in 0..self.random.usize(0..4) {
                let concrete = self.pick(&possible);
                out.push_str(&self.on_concrete(&concrete, depth));
            }
        }
        if depth > 0 && self.chance(4) {
            let name = self.fresh("F");
            let inner = self.selection(ty, depth - 1);
            let _ = write!(self.fragments, "\nfragment {name} on {ty}{inner}");
            let _ = write!(out, " ...{name}{}", self.directive());
        }
        if depth > 0 && self.chance(8) {
            let inner = self.selection(ty, depth - 1);
            let condition = if self.chance(5) { String::new() } else { format!(" on {ty}") };
            let _ = write!(out, " ...{condition}{}{inner}", self.directive());
        }
        if out == " {" {
            out.push_str(" __typename");
        }
        out.push_str(" }");
        out
    }

    /// A fragment on one of several types, with a key that means one thing here and another there.
    fn on_concrete(&mut self, ty: &str, depth: usize) -> String {
        let fields: Vec<&Json> = self.types[ty]["fields"].as_array().unwrap().iter().collect();
        let mut out = format!(" ... on {ty} {{ __typename");
        for field in ["name", "namespace"] {
            let plain = json!({"kind": "NON_NULL", "name": null,
                "ofType": {"kind": "SCALAR", "name": "String", "ofType": null}});
            let fits = fields
                .iter()
                .any(|f| f["name"] == field && f["type"]["ofType"]["name"] == plain["ofType"]["name"]);
            if fits && self.chance(2) {
                let _ = write!(out, " x: {field}");
                break;
            }
        }
        let field = self.pick(&fields);
        out.push_str(&self.selected(field, depth, true));
        out.push_str(" }");
        out
    }

    /// One field. Without an alias it has no arguments, so that it merges with its like.
    fn selected(&mut self, field: &Json, depth: usize, unique: bool) -> String {
        let name = field["name"].as_str().unwrap();
        let ty = base(&field["type"]);
        let aliased = unique || self.chance(4);
        if self.is_composite(&ty) && depth == 0 {
            return String::new();
        }
        let alias = if aliased { format!("{}: ", self.fresh("a")) } else { String::new() };
        let arguments = if aliased { self.arguments(field) } else { String::new() };
        let directive = if aliased { self.directive() } else { String::new() };
        let selection = if self.is_composite(&ty) { self.selection(&ty, depth - 1) } else { String::new() };
        format!(" {alias}{name}{arguments}{directive}{selection}")
    }

    fn arguments(&mut self, field: &Json) -> String {
        let mut out = Vec::new();
        for argument in field["args"].as_array().unwrap() {
            let name = argument["name"].as_str().unwrap();
            let ty = base(&argument["type"]);
            let value = match (name, &*ty) {
                ("limit" | "first" | "last", _) => self.random.u8(1..20).to_string(),
                ("offset", _) => self.random.u8(0..3).to_string(),
                ("filters", _) if self.chance(8) => "[\"bogus:1\"]".to_owned(),
                ("orderBy", enumeration) => {
                    let values = self.types[enumeration]["enumValues"].as_array().unwrap();
                    self.pick(values)["name"].as_str().unwrap().to_owned()
                }
                _ => continue,
            };
            if self.chance(2) {
                out.push(format!("{name}: {value}"));
            }
        }
        if out.is_empty() { String::new() } else { format!("({})", out.join(", ")) }
    }
}

/// The name of a type without lists and non-null marks.
fn base(ty: &Json) -> String {
    match ty["name"].as_str() {
        Some(name) => name.to_owned(),
        None => base(&ty["ofType"]),
    }
}
