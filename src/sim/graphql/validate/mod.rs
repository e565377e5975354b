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
        match &operation.name {
            Some(name) => match seen.iter().find(|(known, _)| known == name) {
                Some((_, first)) => {
                    let text = format!("There can only be one operation named \"{name}\".");
                    errors.push(GraphqlError::new(text, [*first, operation.at]));
                }
                None => seen.push((name, operation.at)),
            },
            None if document.operations.len() > 1 => {
                let text = "This anonymous operation must be the only defined operation.";
                errors.push(GraphqlError::new(text, [operation.at]));
            }
            None => {}
        }
    }
    let mut seen: Vec<(&str, At)> = Vec::new();
    for fragment in &document.fragments {
        match seen.iter().find(|(known, _)| *known == fragment.name) {
            Some((_, first)) => {
                let text = format!("There can only be one fragment named \"{}\".", fragment.name);
                errors.push(GraphqlError::new(text, [*first, fragment.at]));
            }
            None => seen.push((&fragment.name, fragment.at)),
        }
    }
}

/// Fragments must be used, and not within themselves.
fn check_fragments(document: &Document, errors: &mut Vec<GraphqlError>) {
    let mut used = BTreeSet::new();
    for operation in &document.operations {
        reach(document, &operation.selections, &mut used);
    }
    for fragment in document.fragments.iter().filter(|f| !used.contains(f.name.as_str())) {
        let text = format!("Fragment \"{}\" is never used.", fragment.name);
        errors.push(GraphqlError::new(text, [fragment.at]));
    }
    let mut done = BTreeSet::new();
    for fragment in &document.fragments {
        let mut trail = vec![(fragment.name.as_str(), fragment.at)];
        cycles(document, &fragment.selections, &mut trail, &mut done, errors);
        done.insert(fragment.name.as_str());
    }
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

fn cycles<'a>(
    document: &'a Document,
    selections: &'a [Selection],
    trail: &mut Vec<(&'a str, At)>,
    done: &mut BTreeSet<&'a str>,
    errors: &mut Vec<GraphqlError>,
) {
    for selection in selections {
        match selection {
            Selection::Field(field) => cycles(document, &field.selections, trail, done, errors),
            Selection::Inline { selections, .. } => cycles(document, selections, trail, done, errors),
            Selection::Spread { name, at, .. } => {
                if let Some(start) = trail.iter().position(|(known, _)| known == name) {
                    if done.insert(name) {
                        let via: Vec<&str> = trail[start + 1..].iter().map(|(name, _)| *name).collect();
                        let via =
                            if via.is_empty() { String::new() } else { format!(" via {}", via.join(", ")) };
                        let text = format!("Cannot spread fragment \"{name}\" within itself{via}.");
                        let places = trail[start + 1..].iter().map(|(_, at)| *at).chain([*at]);
                        errors.push(GraphqlError::new(text, places));
                    }
                } else if let Some(fragment) = find(document, name).filter(|_| !done.contains(name.as_str()))
                {
                    trail.push((name, *at));
                    cycles(document, &fragment.selections, trail, done, errors);
                    trail.pop();
                    done.insert(name);
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
