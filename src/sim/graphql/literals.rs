//! What is wrong with literals that `apollo-compiler` lets pass and Sensu's library does not: times, and two values for one
//! field of an input.

use std::collections::HashMap;

use apollo_compiler::{
    Name, Node,
    ast::{Argument, Definition, Document, OperationType, Selection, Type, Value},
    parser::LineColumn,
    schema::ExtendedType,
};

use super::{dates, error::GraphqlError, schema};

/// The errors of a document that is valid otherwise.
pub(super) fn errors(document: &Document) -> Vec<GraphqlError> {
    let mut found = Vec::new();
    for definition in &document.definitions {
        let (ty, set) = match definition {
            Definition::OperationDefinition(operation) => {
                let is_query = operation.operation_type == OperationType::Query;
                (if is_query { "Query" } else { "Mutation" }, &operation.selection_set)
            }
            Definition::FragmentDefinition(fragment) => {
                (fragment.type_condition.as_str(), &fragment.selection_set)
            }
            _ => continue,
        };
        selections(document, ty, set, &mut found);
    }
    found
}

fn selections(document: &Document, ty: &str, set: &[Selection], found: &mut Vec<GraphqlError>) {
    for selection in set {
        match selection {
            Selection::Field(field) => {
                let Some(definition) = schema::field(ty, &field.name) else { continue };
                for argument in &field.arguments {
                    if let Some(declared) = definition.argument_by_name(&argument.name) {
                        found.extend(misfit(document, argument, &declared.ty));
                    }
                    found.extend(repeated(document, &argument.value));
                }
                selections(document, definition.ty.inner_named_type(), &field.selection_set, found);
            }
            Selection::InlineFragment(inline) => {
                let ty = inline.type_condition.as_ref().map_or(ty, Name::as_str);
                selections(document, ty, &inline.selection_set, found);
            }
            Selection::FragmentSpread(_) => {}
        }
    }
}

/// An argument with something in it that is no time and should be one.
fn misfit(document: &Document, argument: &Argument, ty: &Type) -> Option<GraphqlError> {
    let problems = problems(&argument.value, ty);
    let shown = argument.value.serialize().no_indent();
    let text = format!("Argument \"{}\" has invalid value {shown}.\n{}", argument.name, problems.join("\n"));
    let at = argument.value.location().and_then(|span| span.line_column(&document.sources));
    (!problems.is_empty()).then(|| GraphqlError::new(text, at))
}

fn problems(value: &Value, ty: &Type) -> Vec<String> {
    match (value, schema::named(ty)) {
        (Value::Object(given), Some(ExtendedType::InputObject(ty))) => {
            let mut all = Vec::new();
            for (name, field) in &ty.fields {
                let given = given.iter().find(|(given, _)| given == name);
                let below = given.map(|(_, value)| problems(value, &field.ty)).unwrap_or_default();
                all.extend(below.into_iter().map(|problem| format!("In field \"{name}\": {problem}")));
            }
            all
        }
        (Value::Variable(_) | Value::Null, _) => Vec::new(),
        (Value::String(text), Some(ty)) if ty.name() == "DateTime" && dates::parse(text).is_some() => {
            Vec::new()
        }
        (value, Some(ty)) if ty.name() == "DateTime" => {
            vec![format!("Expected type \"DateTime\", found {value}.")]
        }
        _ => Vec::new(),
    }
}

/// Fields that have a value already. Sensu does not look into objects in objects.
fn repeated(document: &Document, value: &Node<Value>) -> Vec<GraphqlError> {
    let Value::Object(fields) = &**value else { return Vec::new() };
    let place = |name: &Name| name.location().and_then(|span| span.line_column(&document.sources));
    let mut first: HashMap<&Name, Option<LineColumn>> = HashMap::new();
    let mut found = Vec::new();
    for (name, _) in fields {
        if let Some(first) = first.get(name) {
            let text = format!("There can be only one input field named \"{name}\".");
            found.push(GraphqlError::new(text, first.iter().copied().chain(place(name))));
        } else {
            first.insert(name, place(name));
        }
    }
    found
}
