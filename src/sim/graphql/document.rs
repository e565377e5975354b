//! Documents before they are validated: syntax, and the limits that hold with and without validation.

use std::collections::BTreeSet;

use apollo_compiler::{
    Node,
    ast::{Definition, Directive, Document, FragmentDefinition, OperationDefinition, Selection, Value},
    diagnostic::ToCliReport,
    parser::{Parser, SourceSpan},
};

use super::{error::GraphqlError, messages};

/// Sensu's limit on how deep selections may be nested, which holds even without validation.
const DEEPEST: usize = 15;

/// Parses a document. Text without any token is a document without operations, as in Sensu.
pub(super) fn parse(text: &str) -> Result<Document, GraphqlError> {
    if is_blank(text) {
        return Ok(Document::new());
    }
    let document = match Parser::new().parse_ast(text, "request") {
        Ok(document) => document,
        Err(failed) => {
            if failed.errors.iter().any(|diagnostic| diagnostic.error.to_string().contains("recursion limit"))
            {
                // Deeper than any query that Sensu answers.
                return Err(GraphqlError::new("Max depth exceeded", []));
            }
            let first = failed.errors.iter().next();
            let span = first.and_then(|diagnostic| diagnostic.error.location());
            return Err(messages::syntax(text, span.map_or(0, |span| span.offset())));
        }
    };
    match first_null(&document) {
        // Sensu's parser knows no `null`: it is a name where none may stand.
        Some(span) => Err(messages::syntax(text, span.offset())),
        None => Ok(document),
    }
}

fn is_blank(text: &str) -> bool {
    let is_ignored = |c: char| matches!(c, ' ' | '\t' | '\r' | '\n' | ',' | '\u{feff}');
    text.lines().all(|line| line.split('#').next().unwrap_or_default().chars().all(is_ignored))
}

/// The operations of a document, in order.
pub(super) fn operations(document: &Document) -> impl Iterator<Item = &Node<OperationDefinition>> {
    document.definitions.iter().filter_map(Definition::as_operation_definition)
}

/// The fragments of a document, in order.
pub(super) fn fragments(document: &Document) -> impl Iterator<Item = &Node<FragmentDefinition>> {
    document.definitions.iter().filter_map(Definition::as_fragment_definition)
}

fn fragment<'a>(document: &'a Document, name: &str) -> Option<&'a Node<FragmentDefinition>> {
    fragments(document).find(|fragment| fragment.name == name)
}

/// Where the first selection stands that is nested too deeply; fragments do not count as a level.
pub(super) fn too_deep(document: &Document) -> Option<SourceSpan> {
    let mut visited = BTreeSet::new();
    operations(document).find_map(|operation| deepest(document, &operation.selection_set, 1, &mut visited))
}

fn deepest<'a>(
    document: &'a Document,
    selections: &'a [Selection],
    level: usize,
    visited: &mut BTreeSet<&'a str>,
) -> Option<SourceSpan> {
    selections.iter().find_map(|selection| match selection {
        _ if level > DEEPEST => selection.location(),
        Selection::Field(field) => deepest(document, &field.selection_set, level + 1, visited),
        Selection::InlineFragment(inline) => deepest(document, &inline.selection_set, level, visited),
        Selection::FragmentSpread(spread) => {
            let found =
                fragment(document, &spread.fragment_name).filter(|it| visited.insert(it.name.as_str()))?;
            deepest(document, &found.selection_set, level, visited)
        }
    })
}

/// Whether a fragment leads to itself. A real backend that validates such a document exhausts its stack and ends.
pub(super) fn is_endless(document: &Document) -> bool {
    fragments(document).any(|fragment| {
        let mut used = BTreeSet::new();
        reach(document, &fragment.selection_set, &mut used);
        used.contains(fragment.name.as_str())
    })
}

/// Gathers the fragments that selections lead to.
fn reach<'a>(document: &'a Document, selections: &'a [Selection], used: &mut BTreeSet<&'a str>) {
    for selection in selections {
        match selection {
            Selection::Field(field) => reach(document, &field.selection_set, used),
            Selection::InlineFragment(inline) => reach(document, &inline.selection_set, used),
            Selection::FragmentSpread(spread) => {
                if used.insert(&spread.fragment_name)
                    && let Some(found) = fragment(document, &spread.fragment_name)
                {
                    reach(document, &found.selection_set, used);
                }
            }
        }
    }
}

fn first_null(document: &Document) -> Option<SourceSpan> {
    let in_operations = operations(document).find_map(|operation| {
        let mut defaults = operation.variables.iter().filter_map(|variable| variable.default_value.as_ref());
        defaults
            .find_map(|value| null_in(value, value.location()))
            .or_else(|| null_in_directives(&operation.directives.0))
            .or_else(|| null_in_selections(&operation.selection_set))
    });
    in_operations.or_else(|| fragments(document).find_map(|it| null_in_selections(&it.selection_set)))
}

fn null_in_selections(selections: &[Selection]) -> Option<SourceSpan> {
    selections.iter().find_map(|selection| match selection {
        Selection::Field(field) => field
            .arguments
            .iter()
            .find_map(|argument| null_in(&argument.value, argument.value.location()))
            .or_else(|| null_in_directives(&field.directives.0))
            .or_else(|| null_in_selections(&field.selection_set)),
        Selection::InlineFragment(inline) => {
            null_in_directives(&inline.directives.0).or_else(|| null_in_selections(&inline.selection_set))
        }
        Selection::FragmentSpread(spread) => null_in_directives(&spread.directives.0),
    })
}

fn null_in_directives(directives: &[Node<Directive>]) -> Option<SourceSpan> {
    let mut arguments = directives.iter().flat_map(|directive| &directive.arguments);
    arguments.find_map(|argument| null_in(&argument.value, argument.value.location()))
}

fn null_in(value: &Value, at: Option<SourceSpan>) -> Option<SourceSpan> {
    match value {
        Value::Null => at,
        Value::List(items) => items.iter().find_map(|item| null_in(item, item.location())),
        Value::Object(fields) => fields.iter().find_map(|(_, value)| null_in(value, value.location())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(text: &str) -> String {
        parse(text).unwrap_err().message
    }

    #[test]
    fn syntax_errors_read_as_those_of_sensu() {
        assert_eq!(
            message("{"),
            "Syntax Error GraphQL request (1:2) Expected Name, found EOF\n\n1: {\n    ^\n"
        );
        let two = message("query {\n  a(b: null)\n}");
        assert!(
            two.starts_with("Syntax Error GraphQL request (2:8) Unexpected Name \"null\"\n\n1: query {\n2:")
        );
    }

    #[test]
    fn only_spaces_and_comments_are_an_empty_document() {
        assert!(parse(" \n# none\n").unwrap().definitions.is_empty());
        assert!(parse("").unwrap().definitions.is_empty());
    }

    #[test]
    fn endless_nesting_is_refused() {
        assert_eq!(message(&"{a".repeat(100_000)), "Max depth exceeded");
    }

    proptest! {
        #[test]
        fn any_text_is_parsed_or_refused(text in "[a-z{}()\\[\\]:$@!.,\"\\\\#= \n0-9é-]{0,40}|.{0,30}") {
            let _ = parse(&text);
        }
    }
}
