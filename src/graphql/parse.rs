//! From text to [`Document`], with bounds on tokens and nesting checked before anything is built.

use std::collections::HashMap;

use apollo_compiler::{
    Name, Node,
    ast::{self as tree, Definition},
    parser::{Parser, SourceSpan},
};
use apollo_parser::{Lexer, TokenKind};

use super::{
    ast::{
        Directive, Document, Field, Fragment, Inline, Operation, OperationKind, Selection, SelectionSet,
        Span, Spread, Value, Variable,
    },
    cycle::Spreads,
    limits::{self, Limit},
};

/// Why a document is not planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ParseError {
    /// Not one well-formed, valid operation: the local cluster reports what is wrong with it.
    NotUnderstood,
    /// Larger than the gateway accepts.
    Limit(Limit),
}

/// A document, in the form the planner uses and in the form that is validated.
#[derive(Debug)]
pub(super) struct Parsed {
    pub(super) document: Document,
    pub(super) tree: tree::Document,
}

/// Reads a document.
pub(super) fn parse(text: &str) -> Result<Parsed, ParseError> {
    let tokens = check_tokens(text)?;
    let parsed = Parser::new().recursion_limit(limits::NESTING).parse_ast(text, "request");
    let tree = parsed.map_err(|_| ParseError::NotUnderstood)?;
    let mut reader = Reader { tokens: &tokens, sets: 0 };
    let document = reader.document(&tree).ok_or(ParseError::NotUnderstood)?;
    Ok(Parsed { document, tree })
}

/// Counts tokens and brackets, and looks for fragments that contain themselves, without building anything.
///
/// Returns the spans of the significant tokens.
fn check_tokens(text: &str) -> Result<Vec<Span>, ParseError> {
    let mut tokens = Vec::new();
    let mut depth = 0_usize;
    let mut spreads = Spreads::default();
    for (raw, token) in Lexer::new(text).enumerate() {
        if raw > limits::RAW_TOKENS {
            return Err(ParseError::Limit(Limit::Tokens));
        }
        if let Ok(token) = &token {
            spreads.see(token);
        }
        let span = token.as_ref().map_or(0..0, |token| token.index()..token.index() + token.data().len());
        match token.map(|token| token.kind()) {
            Ok(TokenKind::Whitespace | TokenKind::Comma | TokenKind::Comment | TokenKind::Eof) => continue,
            Ok(TokenKind::LCurly | TokenKind::LParen | TokenKind::LBracket) => depth += 1,
            Ok(TokenKind::RCurly | TokenKind::RParen | TokenKind::RBracket) => {
                depth = depth.saturating_sub(1);
            }
            _ => {}
        }
        tokens.push(span);
        if tokens.len() > limits::TOKENS {
            return Err(ParseError::Limit(Limit::Tokens));
        }
        if depth > limits::NESTING {
            return Err(ParseError::Limit(Limit::Depth));
        }
    }
    if spreads.have_a_cycle() { Err(ParseError::Limit(Limit::Cycle)) } else { Ok(tokens) }
}

/// Converts the syntax tree into the planner's own. `None` wherever something is missing.
struct Reader<'a> {
    /// The spans of the significant tokens, in order.
    tokens: &'a [Span],
    sets: usize,
}

// === impl Reader ===

impl Reader<'_> {
    fn document(&mut self, tree: &tree::Document) -> Option<Document> {
        let mut operation = None;
        let mut fragments: Vec<Fragment> = Vec::new();
        let mut by_name = HashMap::new();
        for definition in &tree.definitions {
            match definition {
                Definition::OperationDefinition(found) if operation.is_none() => {
                    operation = Some(self.operation(found)?);
                }
                Definition::FragmentDefinition(found) => {
                    let fragment = self.fragment(found)?;
                    if by_name.insert(fragment.name.clone(), fragments.len()).is_some() {
                        return None;
                    }
                    fragments.push(fragment);
                }
                // Sensu refuses every document with two operations.
                _ => return None,
            }
        }
        Some(Document { operation: operation?, fragments, by_name })
    }

    fn operation(&mut self, found: &tree::OperationDefinition) -> Option<Operation> {
        let variables: Vec<Variable> =
            found.variables.iter().map(|variable| self.variable(variable)).collect::<Option<_>>()?;
        Some(Operation {
            kind: match found.operation_type {
                tree::OperationType::Query => OperationKind::Query,
                tree::OperationType::Mutation => OperationKind::Mutation,
                tree::OperationType::Subscription => OperationKind::Subscription,
            },
            name: found.name.as_ref().map(text),
            variables_span: match (variables.first(), variables.last()) {
                (Some(first), Some(last)) => {
                    Some(self.before(first.span.start)?.start..self.after(last.span.end)?.end)
                }
                _ => None,
            },
            variables,
            directives: self.directives(&found.directives)?,
            set: self.set(&found.selection_set)?,
        })
    }

    fn variable(&self, found: &Node<tree::VariableDefinition>) -> Option<Variable> {
        Some(Variable {
            name: text(&found.name),
            span: self.span(found.location())?,
            default: match &found.default_value {
                Some(default) => Some(self.value(default)?),
                None => None,
            },
        })
    }

    fn fragment(&mut self, found: &Node<tree::FragmentDefinition>) -> Option<Fragment> {
        Some(Fragment {
            name: text(&found.name),
            condition: text(&found.type_condition),
            span: self.span(found.location())?,
            directives: self.directives(&found.directives)?,
            set: self.set(&found.selection_set)?,
        })
    }

    fn set(&mut self, found: &[tree::Selection]) -> Option<SelectionSet> {
        let id = self.sets;
        self.sets += 1;
        let first = self.span(found.first()?.location())?;
        let start = self.before(first.start)?.end;
        let items = found.iter().map(|item| self.selection(item)).collect::<Option<Vec<_>>>()?;
        Some(SelectionSet { id, start, items })
    }

    fn selection(&mut self, found: &tree::Selection) -> Option<Selection> {
        let span = self.span(found.location())?;
        Some(match found {
            tree::Selection::Field(field) => Selection::Field(self.field(field, span)?),
            tree::Selection::FragmentSpread(spread) => Selection::Spread(Spread {
                span,
                name: text(&spread.fragment_name),
                directives: self.directives(&spread.directives)?,
            }),
            tree::Selection::InlineFragment(inline) => Selection::Inline(Inline {
                span,
                condition: inline.type_condition.as_ref().map(text),
                directives: self.directives(&inline.directives)?,
                set: self.set(&inline.selection_set)?,
            }),
        })
    }

    fn field(&mut self, found: &tree::Field, span: Span) -> Option<Field> {
        Some(Field {
            span,
            alias: found.alias.as_ref().map(text),
            name_span: self.span(found.name.location())?,
            name: text(&found.name),
            arguments: self.arguments(&found.arguments)?,
            directives: self.directives(&found.directives)?,
            set: if found.selection_set.is_empty() { None } else { Some(self.set(&found.selection_set)?) },
        })
    }

    fn directives(&self, found: &tree::DirectiveList) -> Option<Vec<Directive>> {
        let directive = |directive: &Node<tree::Directive>| {
            Some(Directive { name: text(&directive.name), arguments: self.arguments(&directive.arguments)? })
        };
        found.iter().map(directive).collect()
    }

    fn arguments(&self, found: &[Node<tree::Argument>]) -> Option<Vec<(Box<str>, Value)>> {
        found.iter().map(|argument| Some((text(&argument.name), self.value(&argument.value)?))).collect()
    }

    fn value(&self, found: &Node<tree::Value>) -> Option<Value> {
        Some(match &**found {
            tree::Value::Variable(name) => Value::Variable(text(name)),
            tree::Value::String(_) => Value::String(self.span(found.location())?),
            tree::Value::Boolean(value) => Value::Boolean(*value),
            tree::Value::List(items) => {
                Value::List(items.iter().map(|item| self.value(item)).collect::<Option<_>>()?)
            }
            tree::Value::Object(fields) => {
                let field =
                    |(name, value): &(Name, Node<tree::Value>)| Some((text(name), self.value(value)?));
                Value::Object(fields.iter().map(field).collect::<Option<_>>()?)
            }
            tree::Value::Float(_) | tree::Value::Int(_) | tree::Value::Null | tree::Value::Enum(_) => {
                Value::Other
            }
        })
    }

    /// From the first to the last significant token of a node, whose own span includes trailing ignored ones.
    fn span(&self, found: Option<SourceSpan>) -> Option<Span> {
        let found = found?;
        let first = self.tokens.partition_point(|token| token.start < found.offset());
        let behind = self.tokens.partition_point(|token| token.end <= found.end_offset());
        (first < behind).then(|| self.tokens[first].start..self.tokens[behind - 1].end)
    }

    /// The last token that ends at or before an offset.
    fn before(&self, offset: usize) -> Option<&Span> {
        let count = self.tokens.partition_point(|token| token.end <= offset);
        self.tokens.get(count.checked_sub(1)?)
    }

    /// The first token that starts at or after an offset.
    fn after(&self, offset: usize) -> Option<&Span> {
        self.tokens.get(self.tokens.partition_point(|token| token.start < offset))
    }
}

fn text(name: &Name) -> Box<str> {
    name.as_str().into()
}
