//! Validation of documents, with Sensu's texts.

mod fields;
mod overlap;
mod variables;

use std::collections::BTreeSet;

use super::{
    GraphqlError,
    execute::find,
    schema::{Ref, SCHEMA, Type},
    syntax::{At, Document, Selection},
};

/// Sensu's limit on how deep selections may lie in each other, which holds even without validation.
const DEEPEST: usize = 15;

/// The first field that lies too deep; fragments do not count as a level.
pub(super) fn depth(document: &Document) -> Option<GraphqlError> {
    let too_deep = |at| GraphqlError::new("Max depth exceeded", [at]);
    document
        .operations
        .iter()
        .find_map(|operation| deepest(document, &operation.selections, 1, &mut BTreeSet::new()).map(too_deep))
}

fn deepest<'a>(
    document: &'a Document,
    selections: &'a [Selection],
    level: usize,
    visited: &mut BTreeSet<&'a str>,
) -> Option<At> {
    selections.iter().find_map(|selection| match selection {
        Selection::Field(field) if level > DEEPEST => Some(field.at),
        Selection::Spread { at, .. } | Selection::Inline { at, .. } if level > DEEPEST => Some(*at),
        Selection::Field(field) => deepest(document, &field.selections, level + 1, visited),
        Selection::Inline { selections, .. } => deepest(document, selections, level, visited),
        Selection::Spread { name, .. } => {
            let fragment = find(document, name).filter(|_| visited.insert(name))?;
            deepest(document, &fragment.selections, level, visited)
        }
    })
}

/// Everything that is wrong with a document.
pub(super) fn check(document: &Document) -> Vec<GraphqlError> {
    let mut errors = Vec::new();
    check_names(document, &mut errors);
    fields::check(document, &mut errors);
    check_fragments(document, &mut errors);
    variables::check(document, &mut errors);
    if errors.is_empty() {
        // Fields that do not exist would conflict with each other once more.
        overlap::check(document, &mut errors);
    }
    errors
}

/// Operations and fragments must be told apart by their names.
fn check_names(document: &Document, errors: &mut Vec<GraphqlError>) {
    let mut seen: Vec<(&str, At)> = Vec::new();
    for operation in &document.operations {
        // Those without a name have one name, too.
        let (name, at) = match &operation.name {
            Some(name) => (name.as_str(), document.token_at(operation.at, 1)),
            None => ("", operation.at),
        };
        match seen.iter().find(|(known, _)| *known == name) {
            Some((_, first)) => {
                let text = format!("There can only be one operation named \"{name}\".");
                errors.push(GraphqlError::new(text, [*first, at]));
            }
            None => seen.push((name, at)),
        }
        if name.is_empty() && document.operations.len() > 1 {
            let text = "This anonymous operation must be the only defined operation.";
            errors.push(GraphqlError::new(text, [at]));
        }
    }
    let mut seen: Vec<(&str, At)> = Vec::new();
    for fragment in &document.fragments {
        let at = document.token_at(fragment.at, 1);
        match seen.iter().find(|(known, _)| *known == fragment.name) {
            Some((_, first)) => {
                let text = format!("There can only be one fragment named \"{}\".", fragment.name);
                errors.push(GraphqlError::new(text, [*first, at]));
            }
            None => seen.push((&fragment.name, at)),
        }
    }
}

/// Fragments must be used.
fn check_fragments(document: &Document, errors: &mut Vec<GraphqlError>) {
    let mut used = BTreeSet::new();
    for operation in &document.operations {
        reach(document, &operation.selections, &mut used);
    }
    for fragment in document.fragments.iter().filter(|f| !used.contains(f.name.as_str())) {
        let text = format!("Fragment \"{}\" is never used.", fragment.name);
        errors.push(GraphqlError::new(text, [fragment.at]));
    }
}

/// Whether a fragment leads to itself. The validation of a real backend does not come back from that: it uses up its
/// stack, and the process ends.
pub(super) fn is_endless(document: &Document) -> bool {
    document.fragments.iter().any(|fragment| {
        let mut used = BTreeSet::new();
        reach(document, &fragment.selections, &mut used);
        used.contains(fragment.name.as_str())
    })
}

/// The fragments that selections lead to.
fn reach<'a>(document: &'a Document, selections: &'a [Selection], used: &mut BTreeSet<&'a str>) {
    for selection in selections {
        match selection {
            Selection::Field(field) => reach(document, &field.selections, used),
            Selection::Inline { selections, .. } => reach(document, selections, used),
            Selection::Spread { name, .. } => {
                if used.insert(name)
                    && let Some(fragment) = find(document, name)
                {
                    reach(document, &fragment.selections, used);
                }
            }
        }
    }
}

/// The type that a field's selections are made on.
fn type_of(ty: &Ref) -> Option<&'static Type> {
    SCHEMA.get(ty.name())
}

/// `Did you mean "a" or "b"?`, after a space; empty without any name that is near.
fn did_you_mean<'a>(written: &str, names: impl Iterator<Item = &'a str>) -> String {
    let mut near: Vec<(usize, &str)> = names
        .map(|name| (distance(written, name), name))
        .filter(|(distance, name)| *distance <= (written.len() / 2).max(name.len() / 2).max(1))
        .collect();
    near.sort_unstable();
    let near: Vec<String> = near.iter().take(5).map(|(_, name)| format!("\"{name}\"")).collect();
    match near.as_slice() {
        [] => String::new(),
        [only] => format!(" Did you mean {only}?"),
        [first, second] => format!(" Did you mean {first} or {second}?"),
        [most @ .., last] => format!(" Did you mean {}, or {last}?", most.join(", ")),
    }
}

/// How many changes of a letter turn one word into the other; an exchange of two neighbours is one.
fn distance(a: &str, b: &str) -> usize {
    strsim::osa_distance(a, b)
}
