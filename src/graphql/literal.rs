//! Values that name a cluster: reading them, and taking the cluster out, in the document's text and in variables.

use apollo_parser::{Lexer, TokenKind};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value as Json;

use super::{
    ast::{Span, Value},
    id::{self, Named},
    schema::{Carrier, Schema},
};
use crate::{
    rewrite,
    types::{ClusterName, Shape},
};

/// A change to the document's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Edit {
    pub(super) span: Span,
    pub(super) text: String,
}

/// The clusters that an input names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Names {
    /// The first one.
    pub(super) cluster: Option<ClusterName>,
    /// Whether it names another one as well.
    pub(super) several: bool,
    /// Whether it holds something that cannot be the name of a namespace.
    pub(super) malformed: bool,
}

// === impl Names ===

impl Names {
    /// Adds what one value names; a plain value names the local cluster.
    pub(super) fn add(&mut self, named: &Named) {
        let cluster = match named {
            Named::Nothing => {
                self.malformed = true;
                return;
            }
            Named::Plain => ClusterName::local(),
            Named::Cluster(cluster, _) => cluster.clone(),
        };
        self.merge(&Self { cluster: Some(cluster), ..Self::default() });
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.malformed |= other.malformed;
        self.several |= other.several;
        match (&self.cluster, &other.cluster) {
            (Some(one), Some(another)) => self.several |= one != another,
            (None, Some(_)) => self.cluster.clone_from(&other.cluster),
            _ => {}
        }
    }
}

/// Reads a string that carries a cluster; returns what it names, and the string without the cluster if that differs.
fn unqualify(text: &str, carrier: Carrier) -> (Named, Option<String>) {
    let named = match carrier {
        Carrier::Namespace => id::namespace(text),
        Carrier::Id => id::id(text),
        Carrier::Wrapped => return unqualify_resource(text),
        Carrier::Name if id::is_path_traversal(text) => Named::Nothing,
        Carrier::Name | Carrier::Input(_) => Named::Plain,
    };
    let without = match &named {
        Named::Cluster(_, cut) => Some(format!("{}{}", &text[..cut.start], &text[cut.end..])),
        Named::Plain | Named::Nothing => None,
    };
    (named, without)
}

/// A resource as JSON.
fn unqualify_resource(text: &str) -> (Named, Option<String>) {
    #[derive(Deserialize)]
    struct Kind {
        #[serde(rename = "type")]
        kind: Option<String>,
    }
    let kind = serde_json::from_str::<Kind>(text).ok().and_then(|kind| kind.kind);
    let shape = if kind.as_deref() == Some("Namespace") { Shape::Namespace } else { Shape::Resource };
    let Ok(found) = rewrite::unqualify(&Bytes::copy_from_slice(text.as_bytes()), shape) else {
        return (Named::Nothing, None);
    };
    if found.mixed {
        return (Named::Nothing, None);
    }
    let changed = found.body.as_ref() != text.as_bytes();
    let without = changed.then(|| String::from_utf8_lossy(&found.body).into_owned());
    match found.cluster {
        Some(cluster) => (Named::Cluster(cluster, 0..0), without),
        None if changed => (Named::Cluster(ClusterName::local(), 0..0), without),
        None => (Named::Plain, None),
    }
}

/// Reads a literal of the document: what it names goes to `names`, changes to `edits`, variables in it to `variables`.
pub(super) fn literal(document: &str, value: &Value, carrier: Carrier, schema: &Schema, found: &mut Found) {
    match (value, carrier) {
        (Value::Variable(name), _) => found.variables.push((name.clone(), carrier)),
        (Value::List(items), _) => {
            for item in items {
                literal(document, item, carrier, schema, found);
            }
        }
        (Value::Object(fields), Carrier::Input(ty)) => {
            for (name, value) in fields {
                if let Some(carrier) = schema.ty(ty).input(name).and_then(|input| input.carrier) {
                    literal(document, value, carrier, schema, found);
                }
            }
        }
        (Value::String(span), Carrier::Namespace | Carrier::Id | Carrier::Wrapped | Carrier::Name) => {
            let raw = &document[span.clone()];
            // Sensu refuses what cannot be read.
            let Some(text) = decode(raw) else { return };
            let (named, without) = unqualify(&text, carrier);
            if carrier == Carrier::Name {
                found.names.malformed |= named == Named::Nothing;
                return;
            }
            found.names.add(&named);
            found.texts.push(text.into());
            if let Some(without) = without {
                found
                    .edits
                    .push(Edit { span: span.clone(), text: padded(raw, &Json::from(without).to_string()) });
            }
        }
        _ => {}
    }
}

/// What was found in the arguments of a field.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) names: Names,
    pub(super) edits: Vec<Edit>,
    pub(super) variables: Vec<(Box<str>, Carrier)>,
    /// The strings themselves, as the client means them.
    pub(super) texts: Vec<Box<str>>,
}

/// Takes the clusters out of a variable's value; returns whether it has changed.
pub(super) fn variable(value: &mut Json, carrier: Carrier, schema: &Schema, names: &mut Names) -> bool {
    match (value, carrier) {
        (Json::Array(items), _) => {
            items.iter_mut().fold(false, |changed, item| variable(item, carrier, schema, names) | changed)
        }
        (Json::Object(fields), Carrier::Input(ty)) => {
            let mut changed = false;
            for (name, value) in fields {
                if let Some(carrier) = schema.ty(ty).input(name).and_then(|input| input.carrier) {
                    changed |= variable(value, carrier, schema, names);
                }
            }
            changed
        }
        (Json::String(text), Carrier::Name) => {
            names.malformed |= id::is_path_traversal(text);
            false
        }
        (Json::String(text), Carrier::Namespace | Carrier::Id | Carrier::Wrapped) => {
            let (cluster, without) = unqualify(text, carrier);
            names.add(&cluster);
            without.is_some_and(|without| {
                *text = without;
                true
            })
        }
        _ => false,
    }
}

/// Whether a string of a document, or one in its variables, could lead out of a namespace. For documents that are not
/// planned.
pub(super) fn any_traversal(document: &str, variables: &str) -> bool {
    any_string(document, variables, id::has_traversal)
}

/// Whether `is` holds for any string of a document or of its variables; it is taken to hold for one that cannot be read.
pub(super) fn any_string(document: &str, variables: &str, is: fn(&str) -> bool) -> bool {
    let tokens = Lexer::new(document).filter_map(Result::ok);
    let mut strings = tokens.filter(|token| token.kind() == TokenKind::StringValue);
    let in_document = strings.any(|token| decode(token.data()).is_none_or(|text| is(&text)));
    in_document || serde_json::from_str(variables).map_or(true, |value: Json| any_value(&value, is))
}

fn any_value(value: &Json, is: fn(&str) -> bool) -> bool {
    match value {
        Json::String(text) => is(text),
        Json::Array(items) => items.iter().any(|item| any_value(item, is)),
        Json::Object(members) => members.values().any(|member| any_value(member, is)),
        _ => false,
    }
}

/// The value of a string literal, quotes included (GraphQL, "String Value").
fn decode(raw: &str) -> Option<String> {
    match raw.strip_prefix(BLOCK).and_then(|rest| rest.strip_suffix(BLOCK)) {
        Some(block) => Some(block_value(&block.replace("\\\"\"\"", BLOCK))),
        // Its escapes are those of JSON, except for one that Sensu does not support.
        None => serde_json::from_str(raw).ok(),
    }
}

/// GraphQL, "Block String Semantics".
fn block_value(raw: &str) -> String {
    let raw = raw.replace("\r\n", "\n").replace('\r', "\n");
    let blank = |line: &str| line.chars().all(|c| matches!(c, ' ' | '\t'));
    let indent_of = |line: &str| line.len() - line.trim_start_matches([' ', '\t']).len();
    let lines: Vec<&str> = raw.split('\n').collect();
    let indent = lines.iter().skip(1).filter(|line| !blank(line)).map(|line| indent_of(line)).min();
    let indent = indent.unwrap_or_default();
    let mut lines: Vec<&str> = lines
        .iter()
        .enumerate()
        .map(|(n, line)| if n == 0 { *line } else { line.get(indent..).unwrap_or_default() })
        .collect();
    while lines.last().is_some_and(|line| blank(line)) {
        lines.pop();
    }
    let start = lines.iter().take_while(|line| blank(line)).count();
    lines[start..].join("\n")
}

/// The new text padded with white space, so that what follows keeps its line and column.
pub(super) fn padded(old: &str, new: &str) -> String {
    let mut text = new.to_owned();
    match old.rsplit_once('\n') {
        Some((before, last)) => {
            text.extend(std::iter::repeat_n('\n', before.matches('\n').count() + 1));
            text.extend(std::iter::repeat_n(' ', last.len()));
        }
        None => text.extend(std::iter::repeat_n(' ', old.len().saturating_sub(new.len()))),
    }
    text
}

const BLOCK: &str = "\"\"\"";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn string_literals_are_read_as_graphql_reads_them() {
        assert_eq!(decode(r#""a\u0040b\"""#).as_deref(), Some("a@b\""));
        assert_eq!(decode("\"\"\"\n    a\n      b\n\n  \"\"\"").as_deref(), Some("a\n  b"));
        assert_eq!(decode("\"\"\"a \\\"\"\" b\"\"\"").as_deref(), Some("a \"\"\" b"));
        assert_eq!(decode(r#""\u{41}""#), None);
    }

    #[test]
    fn what_follows_an_edited_literal_keeps_its_place() {
        assert_eq!(padded("\"default@alpha\"", "\"default\""), "\"default\"      ");
        assert_eq!(padded("\"\"\"\n x@a\n  \"\"\"", "\"x\""), "\"x\"\n\n     ");
    }

    #[test]
    fn resources_in_strings_name_their_cluster() {
        let (named, without) =
            unqualify(r#"{"type":"CheckConfig","metadata":{"namespace":"a@alpha"}}"#, Carrier::Wrapped);
        assert!(matches!(named, Named::Cluster(cluster, _) if cluster.as_str() == "alpha"));
        assert_eq!(without.unwrap(), r#"{"type":"CheckConfig","metadata":{"namespace":"a"}}"#);
        let (named, without) =
            unqualify(r#"{"type":"Namespace","spec":{"name":"a@alpha"}}"#, Carrier::Wrapped);
        assert!(matches!(named, Named::Cluster(..)));
        assert_eq!(without.unwrap(), r#"{"type":"Namespace","spec":{"name":"a"}}"#);
        assert_eq!(unqualify("{bad", Carrier::Wrapped), (Named::Plain, None));
    }
}
