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

/// Reports the first conflict of each operation. How much is compared is bounded: a document that is more entangled
/// than that passes.
pub(super) fn check(document: &Document, errors: &mut Vec<GraphqlError>) {
    for operation in &document.operations {
        let root = match operation.action {
            Action::Mutation => SCHEMA.get("Mutation"),
            _ => SCHEMA.get("Query"),
        };
        let mut level = Level::new();
        gather(document, root, &operation.selections, &mut level, &mut BTreeSet::new());
        let mut budget = LARGEST_WORK;
        if let Some((key, reason, places)) = conflict(document, &level, &mut budget) {
            let text = format!(
                "Fields \"{key}\" conflict because {reason}. Use different aliases on the fields to fetch both if this was intentional."
            );
            errors.push(GraphqlError::new(text, places));
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

/// The first key whose fields conflict: why, and where they are.
fn conflict<'a>(
    document: &'a Document,
    level: &Level<'a>,
    budget: &mut usize,
) -> Option<(&'a str, String, Vec<At>)> {
    for (key, fields) in level {
        let (first, rest) = fields.split_first()?;
        for other in rest {
            *budget = budget.checked_sub(1)?;
            if let Some(reason) = difference(first, other) {
                return Some((key, reason, vec![first.1.at, other.1.at]));
            }
        }
        let mut below = Level::new();
        for (parent, field) in fields {
            *budget = budget.checked_sub(1 + field.selections.len())?;
            let ty = parent.and_then(|ty| ty.field(&field.name)).and_then(|f| type_of(&f.input.ty));
            gather(document, ty, &field.selections, &mut below, &mut BTreeSet::new());
        }
        if let Some((inner, reason, mut places)) = conflict(document, &below, budget) {
            places.splice(0..0, [first.1.at]);
            return Some((key, format!("subfields \"{inner}\" conflict because {reason}"), places));
        }
    }
    None
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
