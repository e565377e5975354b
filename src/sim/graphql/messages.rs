//! Errors in Sensu's words. Its library and `apollo-compiler` find the same mistakes and word some of them differently.

use std::collections::BTreeSet;

use apollo_compiler::{
    Name, Node,
    ast::{Argument, Definition, Document, Field, OperationDefinition, OperationType, Selection},
    diagnostic::ToCliReport,
    parser::{LineColumn, SourceSpan},
    validation::DiagnosticList,
};

use super::{
    error::GraphqlError,
    schema::{self, SCHEMA},
};

/// What does not parse, with the line where it stands.
pub(super) fn syntax(text: &str, offset: usize) -> GraphqlError {
    let at = position(text, offset);
    let rest = text.get(offset..).unwrap_or_default();
    let word = rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or_default();
    let problem = match rest.chars().next() {
        None => "Expected Name, found EOF".to_owned(),
        Some(_) if !word.is_empty() => format!("Unexpected Name \"{word}\""),
        Some(sign) => format!("Unexpected {sign}"),
    };
    let LineColumn { line, column } = at;
    let message = format!("Syntax Error GraphQL request ({line}:{column}) {problem}\n\n");
    GraphqlError::new(message + &excerpt(text, at), [at])
}

/// The line of an error between its neighbours, and a mark below.
fn excerpt(text: &str, at: LineColumn) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let width = (at.line + 1).to_string().len();
    let numbered = |number: usize| {
        let line = number.checked_sub(1).and_then(|index| lines.get(index));
        line.map(|line| format!("{number:>width$}: {line}\n")).unwrap_or_default()
    };
    let mark = format!("{}^\n", " ".repeat(1 + width + at.column));
    numbered(at.line.saturating_sub(1)) + &numbered(at.line) + &mark + &numbered(at.line + 1)
}

fn position(text: &str, offset: usize) -> LineColumn {
    let before = text.get(..offset).unwrap_or(text);
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    LineColumn { line: before.matches('\n').count() + 1, column }
}

/// What validation found; empty when Sensu would find nothing.
pub(super) fn validation(document: &Document, found: &DiagnosticList) -> Vec<GraphqlError> {
    let mut errors: Vec<GraphqlError> = Vec::new();
    let mut conflicts = BTreeSet::new();
    for diagnostic in found.iter() {
        let (Some(kind), Some(text)) =
            (diagnostic.error.unstable_error_name(), diagnostic.error.unstable_compat_message())
        else {
            errors.push(diagnostic.to_json().into());
            continue;
        };
        let Some(span) = diagnostic.error.location() else { continue };
        let finding = Finding { document, kind, text, span };
        // Of one conflict, apollo lists each way in which the fields differ; Sensu stops at the first.
        let is_repeated = kind.starts_with("Conflicting") && !conflicts.insert(span.offset());
        if is_repeated && kind == "ConflictingFieldName" {
            errors.retain(|error| !error.message.contains("they return conflicting types"));
        } else if is_repeated {
            continue;
        }
        errors.extend(finding.reworded());
    }
    errors
}

/// One mistake, as apollo has it.
struct Finding<'a> {
    document: &'a Document,
    kind: &'static str,
    /// In the words of graphql-js, which are Sensu's for the most part.
    text: String,
    span: SourceSpan,
}

// === impl Finding ===

impl<'a> Finding<'a> {
    /// The error in Sensu's words; none for what Sensu accepts.
    fn reworded(self) -> Option<GraphqlError> {
        let quoted: Vec<&str> = self.text.split('"').skip(1).step_by(2).collect();
        match (self.kind, quoted.as_slice()) {
            // Sensu takes integers of the machine's size, and says later that it has no subscriptions.
            ("IntCoercionError" | "UndefinedRootOperation", _) => None,
            // Apollo has dropped selections that are unknown, and reports each of those.
            ("MissingSubselection", _)
                if self.field().is_some_and(|(_, field)| !field.selection_set.is_empty()) =>
            {
                None
            }
            ("UndefinedVariable" | "UnusedVariable", [name]) => Some(self.variable(name)),
            ("DisallowedVariableUsage", [name, ..]) => {
                let variables = self.operation().into_iter().flat_map(|operation| &operation.variables);
                let defined = variables.into_iter().find(|variable| variable.name == name[1..]);
                let places = [defined.and_then(Node::location), Some(self.span)];
                let places = places.into_iter().filter_map(|at| self.place(at));
                Some(GraphqlError::new(self.text.clone(), places))
            }
            (_, quoted) => {
                let text = self.words(quoted).unwrap_or_else(|| self.text.clone());
                Some(GraphqlError::new(text, self.place(Some(self.span))))
            }
        }
    }

    /// Sensu's text where it differs, made of what apollo's has in quotes.
    fn words(&self, quoted: &[&str]) -> Option<String> {
        let text = &self.text;
        Some(match (self.kind, quoted) {
            ("UndefinedField", [field, ty]) => text.clone() + &field_suggestion(ty, field),
            ("UndefinedDefinition", [name]) => {
                text.clone() + &did_you_mean(name, SCHEMA.types.keys().map(Name::as_str))
            }
            ("UndefinedDirective", _) => text.replace("\"@", "\""),
            ("UndefinedArgument", [name, coordinate]) => unknown_argument(name, coordinate),
            ("RequiredArgument", _) => text.replace("required, but it was not", "required but not"),
            ("MissingSubselection", [field, parent, ..]) => {
                let ty = &schema::field(parent, field)?.ty;
                format!("Field \"{field}\" of type \"{ty}\" must have a sub selection.")
            }
            ("SubselectionOnScalarType" | "SubselectionOnEnumType", _) => {
                let (parent, field) = self.field()?;
                let ty = &schema::field(parent?, &field.name)?.ty;
                format!("Field \"{}\" of type \"{ty}\" must not have a sub selection.", field.name)
            }
            ("UnsupportedValueType", _) => {
                let (argument, ty) = self.argument()?;
                let Argument { name, value } = &**argument;
                format!(
                    "Argument \"{name}\" has invalid value {value}.\nExpected type \"{ty}\", found {value}."
                )
            }
            ("ConflictingFieldName", [key, one, other]) => format!(
                "Fields \"{key}\" conflict because {one} and {other} are different fields. {OTHER_ALIASES}"
            ),
            ("ConflictingFieldType", _) => {
                let (head, types) = text.split_once(" types ")?;
                format!("{head} types {}", types.replace('"', ""))
            }
            _ => return None,
        })
    }

    /// A variable that is used and not defined, or the other way round.
    fn variable(&self, name: &str) -> GraphqlError {
        let operation = self.operation();
        let owner = operation.and_then(|operation| operation.name.as_ref());
        let owner =
            |word: &str| owner.map(|name| format!(" {word} operation \"{name}\"")).unwrap_or_default();
        if self.kind == "UnusedVariable" {
            let text = format!("Variable \"{name}\" is never used{}.", owner("in"));
            return GraphqlError::new(text, self.place(Some(self.span)));
        }
        let places = [Some(self.span), operation.and_then(Node::location)];
        let text = format!("Variable \"{name}\" is not defined{}.", owner("by"));
        GraphqlError::new(text, places.into_iter().filter_map(|at| self.place(at)))
    }

    fn place(&self, span: Option<SourceSpan>) -> Option<LineColumn> {
        span?.line_column(&self.document.sources)
    }

    fn contains(&self, outer: Option<SourceSpan>) -> bool {
        outer.is_some_and(|outer| (outer.offset()..outer.end_offset()).contains(&self.span.offset()))
    }

    /// The operation that it is in; of one in a fragment, the first.
    fn operation(&self) -> Option<&'a Node<OperationDefinition>> {
        let mut all = self.document.definitions.iter().filter_map(Definition::as_operation_definition);
        let mut first = all.clone();
        all.find(|operation| self.contains(operation.location())).or_else(|| first.next())
    }

    /// The innermost field that it is in, and the type that is selected on.
    fn field(&self) -> Option<(Option<&'a str>, &'a Node<Field>)> {
        let definitions = || self.document.definitions.iter();
        let operations = definitions().filter_map(Definition::as_operation_definition);
        let of_operations = operations.map(|operation| {
            let root = if operation.operation_type == OperationType::Mutation { "Mutation" } else { "Query" };
            (root, &operation.selection_set)
        });
        let fragments = definitions().filter_map(Definition::as_fragment_definition);
        let of_fragments = fragments.map(|it| (it.type_condition.as_str(), &it.selection_set));
        of_operations.chain(of_fragments).find_map(|(ty, set)| self.field_in(Some(ty), set))
    }

    fn field_in(
        &self,
        ty: Option<&'a str>,
        set: &'a [Selection],
    ) -> Option<(Option<&'a str>, &'a Node<Field>)> {
        set.iter().filter(|selection| self.contains(selection.location())).find_map(|selection| {
            match selection {
                Selection::Field(field) => {
                    let below = ty.and_then(|ty| schema::field(ty, &field.name));
                    let below = below.map(|field| field.ty.inner_named_type().as_str());
                    self.field_in(below, &field.selection_set).or(Some((ty, field)))
                }
                Selection::InlineFragment(inline) => self
                    .field_in(inline.type_condition.as_ref().map(Name::as_str).or(ty), &inline.selection_set),
                Selection::FragmentSpread(_) => None,
            }
        })
    }

    /// The argument of a field that it is in, and the argument's type.
    fn argument(&self) -> Option<(&'a Node<Argument>, &'static str)> {
        let (parent, field) = self.field()?;
        let argument = field.arguments.iter().find(|argument| self.contains(argument.location()))?;
        let declared = schema::field(parent?, &field.name)?.argument_by_name(&argument.name)?;
        Some((argument, declared.ty.inner_named_type()))
    }
}

const OTHER_ALIASES: &str = "Use different aliases on the fields to fetch both if this was intentional.";

fn unknown_argument(name: &str, coordinate: &str) -> String {
    let Some((ty, field)) = coordinate.split_once('.') else {
        let directive = coordinate.split('(').next().unwrap_or_default();
        return format!("Unknown argument \"{name}\" on directive \"{directive}\".");
    };
    let declared = schema::field(ty, field).into_iter().flat_map(|field| &field.arguments);
    let hint = did_you_mean(name, declared.map(|argument| argument.name.as_str()));
    format!("Unknown argument \"{name}\" on field \"{field}\" of type \"{ty}\".{hint}")
}

/// Where a field that a type does not have may be found: on its implementations, or under another name.
fn field_suggestion(ty: &str, name: &str) -> String {
    let owners: Vec<_> = schema::implementations(ty)
        .into_iter()
        .filter(|object| schema::field(object, name).is_some())
        .collect();
    if !owners.is_empty() {
        return format!(" Did you mean to use an inline fragment on {}?", alternatives(&owners));
    }
    let fields =
        SCHEMA.get_object(ty).map(|ty| &ty.fields).or_else(|| Some(&SCHEMA.get_interface(ty)?.fields));
    did_you_mean(name, fields.into_iter().flat_map(|fields| fields.keys()).map(Name::as_str))
}

/// `Did you mean "a" or "b"?`, after a space; empty without any name that is near.
fn did_you_mean<'a>(written: &str, names: impl Iterator<Item = &'a str>) -> String {
    let mut near: Vec<(usize, &str)> = names
        .map(|name| (strsim::osa_distance(written, name), name))
        .filter(|(distance, name)| *distance <= (written.len() / 2).max(name.len() / 2).max(1))
        .collect();
    near.sort_unstable();
    let near: Vec<&str> = near.into_iter().map(|(_, name)| name).collect();
    if near.is_empty() { String::new() } else { format!(" Did you mean {}?", alternatives(&near)) }
}

/// At most five names: `"a"`, `"a" or "b"`, `"a", "b", or "c"`.
fn alternatives(names: &[&str]) -> String {
    let names: Vec<String> = names.iter().take(5).map(|name| format!("\"{name}\"")).collect();
    match names.as_slice() {
        [first, second] => format!("{first} or {second}"),
        [most @ .., last] if !most.is_empty() => format!("{}, or {last}", most.join(", ")),
        names => names.concat(),
    }
}
