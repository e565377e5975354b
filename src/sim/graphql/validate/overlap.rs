//! Fields with one response key must be mergeable.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    super::{
        GraphqlError,
        schema::{Kind, Ref, SCHEMA, Type},
        syntax::{Action, At, Document, Field, Selection},
    },
    find, type_of,
};

/// A field with the type it is selected on.
type Selected<'a> = (Option<&'static Type>, &'a Field);

/// The fields of one level, by response key.
type Level<'a> = BTreeMap<&'a str, Vec<Selected<'a>>>;

/// Two fields that conflict: their key, why, and where each is with the fields below that lead there.
struct Conflict<'a> {
    key: &'a str,
    reason: String,
    first: Vec<At>,
    second: Vec<At>,
}

/// Reports the first conflict of each operation. How much is compared is bounded: a document that is more entangled
/// than that passes.
pub(super) fn check(document: &Document, errors: &mut Vec<GraphqlError>) {
    for operation in &document.operations {
        let root = match operation.action {
            Action::Mutation => SCHEMA.get("Mutation"),
            _ => SCHEMA.get("Query"),
        };
        let mut finder = Finder { document, budget: LARGEST_WORK };
        if let Some(Conflict { key, reason, first, second }) = finder.within(root, &operation.selections) {
            let text = format!(
                "Fields \"{key}\" conflict because {reason}. Use different aliases on the fields to fetch both if this was intentional."
            );
            errors.push(GraphqlError::new(text, first.into_iter().chain(second)));
        }
    }
}

fn gather<'a>(
    document: &'a Document,
    parent: Option<&'static Type>,
    selections: &'a [Selection],
    level: &mut Level<'a>,
    visited: &mut BTreeSet<&'a str>,
) {
    for selection in selections {
        match selection {
            Selection::Field(field) => {
                let key = field.alias.as_ref().unwrap_or(&field.name);
                level.entry(key).or_default().push((parent, field));
            }
            Selection::Inline { on, selections, .. } => {
                let ty = on.as_deref().map_or(parent, |on| SCHEMA.get(on));
                gather(document, ty, selections, level, visited);
            }
            Selection::Spread { name, .. } => {
                if let Some(fragment) = find(document, name).filter(|_| visited.insert(name)) {
                    gather(document, SCHEMA.get(&fragment.on), &fragment.selections, level, visited);
                }
            }
        }
    }
}

struct Finder<'a> {
    document: &'a Document,
    budget: usize,
}

// === impl Finder ===

impl<'a> Finder<'a> {
    fn level(&self, parent: Option<&'static Type>, selections: &'a [Selection]) -> Level<'a> {
        let mut level = Level::new();
        gather(self.document, parent, selections, &mut level, &mut BTreeSet::new());
        level
    }

    /// A conflict among the fields of one selection, or within one of them.
    fn within(&mut self, parent: Option<&'static Type>, selections: &'a [Selection]) -> Option<Conflict<'a>> {
        let level = self.level(parent, selections);
        for (key, fields) in &level {
            for (index, first) in fields.iter().enumerate() {
                for second in &fields[index + 1..] {
                    if let Some(conflict) = self.between(key, *first, *second) {
                        return Some(conflict);
                    }
                }
            }
        }
        level.values().flatten().find_map(|selected| {
            self.budget = self.budget.checked_sub(1)?;
            self.within(below(selected), &selected.1.selections)
        })
    }

    /// A conflict of two fields with one key, or of two below them.
    fn between(&mut self, key: &'a str, a: Selected<'a>, b: Selected<'a>) -> Option<Conflict<'a>> {
        self.budget = self.budget.checked_sub(1)?;
        if let Some(reason) = difference(&a, &b) {
            return Some(Conflict { key, reason, first: vec![a.1.at], second: vec![b.1.at] });
        }
        let level = self.level(below(&a), &a.1.selections);
        let other = self.level(below(&b), &b.1.selections);
        for (inner, fields) in &level {
            for first in fields {
                for second in other.get(inner).into_iter().flatten() {
                    if let Some(conflict) = self.between(inner, *first, *second) {
                        let Conflict { key: inner, reason, first, second } = conflict;
                        return Some(Conflict {
                            key,
                            reason: format!("subfields \"{inner}\" conflict because {reason}"),
                            first: [vec![a.1.at], first].concat(),
                            second: [vec![b.1.at], second].concat(),
                        });
                    }
                }
            }
        }
        None
    }
}

/// The type that the selections of a field are made on.
fn below((parent, field): &Selected<'_>) -> Option<&'static Type> {
    parent.and_then(|ty| ty.field(&field.name)).and_then(|field| type_of(&field.input.ty))
}

/// Why two fields cannot both be the value of a key.
fn difference((parent_a, a): &Selected<'_>, (parent_b, b): &Selected<'_>) -> Option<String> {
    let object = |ty: Option<&'static Type>| ty.filter(|ty| ty.kind == Kind::Object).map(|ty| ty.name);
    // Of two object types, one applies at most.
    let apart = match (object(*parent_a), object(*parent_b)) {
        (Some(a), Some(b)) => a != b,
        _ => false,
    };
    if !apart && a.name != b.name {
        return Some(format!("{} and {} are different fields", a.name, b.name));
    }
    let same =
        a.arguments.len() == b.arguments.len() && a.arguments.iter().all(|arg| b.arguments.contains(arg));
    if !apart && !same {
        return Some("they have differing arguments".into());
    }
    let ty = |parent: Option<&'static Type>, field: &Field| -> Option<&'static Ref> {
        parent.and_then(|ty| ty.field(&field.name)).map(|field| &field.input.ty)
    };
    let (a, b) = (ty(*parent_a, a)?, ty(*parent_b, b)?);
    differ(a, b).then(|| format!("they return conflicting types {a} and {b}"))
}

/// Whether values of two types can look different: other lists, other nullability, other scalars.
fn differ(a: &Ref, b: &Ref) -> bool {
    match (a, b) {
        (Ref::List(a), Ref::List(b)) | (Ref::NonNull(a), Ref::NonNull(b)) => differ(a, b),
        (Ref::Named(a), Ref::Named(b)) => {
            let is_leaf = |name: &str| SCHEMA.get(name).is_some_and(|ty| !ty.is_composite());
            (is_leaf(a) || is_leaf(b)) && a != b
        }
        _ => true,
    }
}

const LARGEST_WORK: usize = 100_000;
