//! From text to [`Document`], with bounds on tokens and nesting checked before anything is built.

use std::{collections::HashMap, ops::Range};

use apollo_parser::{
    Lexer, Parser, SyntaxKind, TokenKind,
    cst::{self, CstNode},
};

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
    /// Not one well-formed executable operation: the local cluster has the right words for it.
    NotUnderstood,
    /// Larger than the gateway looks at.
    Limit(Limit),
}

/// Reads a document.
pub(super) fn parse(text: &str) -> Result<Document, ParseError> {
    check_tokens(text)?;
    let tree = Parser::new(text).recursion_limit(limits::NESTING).parse();
    if tree.errors().len() > 0 {
        return Err(ParseError::NotUnderstood);
    }
    let mut reader = Reader { text, sets: 0 };
    reader.document(&tree.document()).ok_or(ParseError::NotUnderstood)
}

/// Counts tokens and brackets, and looks for fragments that contain themselves, without building anything.
fn check_tokens(text: &str) -> Result<(), ParseError> {
    let mut tokens = 0;
    let mut depth = 0_usize;
    let mut spreads = Spreads::default();
    for (raw, token) in Lexer::new(text).enumerate() {
        if raw > limits::RAW_TOKENS {
            return Err(ParseError::Limit(Limit::Tokens));
        }
        if let Ok(token) = &token {
            spreads.see(token);
        }
        match token.map(|token| token.kind()) {
            Ok(TokenKind::Whitespace | TokenKind::Comma | TokenKind::Comment | TokenKind::Eof) => continue,
            Ok(TokenKind::LCurly | TokenKind::LParen | TokenKind::LBracket) => depth += 1,
            Ok(TokenKind::RCurly | TokenKind::RParen | TokenKind::RBracket) => {
                depth = depth.saturating_sub(1);
            }
            _ => {}
        }
        tokens += 1;
        if tokens > limits::TOKENS {
            return Err(ParseError::Limit(Limit::Tokens));
        }
        if depth > limits::NESTING {
            return Err(ParseError::Limit(Limit::Depth));
        }
    }
    if spreads.have_a_cycle() { Err(ParseError::Limit(Limit::Cycle)) } else { Ok(()) }
}

/// Turns the lossless tree into the planner's own. `None` wherever something is missing.
struct Reader<'a> {
    text: &'a str,
    sets: usize,
}

// === impl Reader ===

impl Reader<'_> {
    fn document(&mut self, tree: &cst::Document) -> Option<Document> {
        let mut operation = None;
        let mut fragments: Vec<Fragment> = Vec::new();
        let mut by_name = HashMap::new();
        for definition in tree.definitions() {
            match definition {
                cst::Definition::OperationDefinition(found) if operation.is_none() => {
                    operation = Some(self.operation(&found)?);
                }
                cst::Definition::FragmentDefinition(found) => {
                    let fragment = self.fragment(&found)?;
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

    fn operation(&mut self, found: &cst::OperationDefinition) -> Option<Operation> {
        let kind = match found.operation_type() {
            None => OperationKind::Query,
            Some(kind) if kind.query_token().is_some() => OperationKind::Query,
            Some(kind) if kind.mutation_token().is_some() => OperationKind::Mutation,
            Some(_) => OperationKind::Subscription,
        };
        let list = found.variable_definitions();
        let variables = list.iter().flat_map(cst::VariableDefinitions::variable_definitions);
        Some(Operation {
            kind,
            name: match found.name() {
                Some(name) => Some(self.name(Some(name))?),
                None => None,
            },
            variables_span: list.as_ref().map(span),
            variables: variables.map(|variable| self.variable(&variable)).collect::<Option<_>>()?,
            directives: self.directives(found.directives().as_ref())?,
            set: self.set(&found.selection_set()?)?,
        })
    }

    fn variable(&self, found: &cst::VariableDefinition) -> Option<Variable> {
        found.ty()?;
        let default = match found.default_value() {
            Some(default) => Some(self.value(&default.value()?)?),
            None => None,
        };
        Some(Variable { name: self.name(found.variable()?.name())?, span: span(found), default })
    }

    fn fragment(&mut self, found: &cst::FragmentDefinition) -> Option<Fragment> {
        Some(Fragment {
            name: self.name(found.fragment_name()?.name())?,
            condition: self.name(found.type_condition()?.named_type()?.name())?,
            span: span(found),
            directives: self.directives(found.directives().as_ref())?,
            set: self.set(&found.selection_set()?)?,
        })
    }

    fn set(&mut self, found: &cst::SelectionSet) -> Option<SelectionSet> {
        let id = self.sets;
        self.sets += 1;
        let start = usize::from(found.l_curly_token()?.text_range().end());
        let items = found.selections().map(|item| self.selection(&item)).collect::<Option<Vec<_>>>()?;
        (!items.is_empty()).then_some(SelectionSet { id, start, items })
    }

    fn selection(&mut self, found: &cst::Selection) -> Option<Selection> {
        Some(match found {
            cst::Selection::Field(field) => Selection::Field(self.field(field)?),
            cst::Selection::FragmentSpread(spread) => Selection::Spread(Spread {
                span: span(spread),
                name: self.name(spread.fragment_name()?.name())?,
                directives: self.directives(spread.directives().as_ref())?,
            }),
            cst::Selection::InlineFragment(inline) => Selection::Inline(Inline {
                span: span(inline),
                condition: match inline.type_condition() {
                    Some(condition) => Some(self.name(condition.named_type()?.name())?),
                    None => None,
                },
                directives: self.directives(inline.directives().as_ref())?,
                set: self.set(&inline.selection_set()?)?,
            }),
        })
    }

    fn field(&mut self, found: &cst::Field) -> Option<Field> {
        let alias = match found.alias() {
            Some(alias) => Some(self.name(alias.name())?),
            None => None,
        };
        let name = found.name()?;
        Some(Field {
            span: span(found),
            alias,
            name_span: span(&name),
            name: self.name(Some(name))?,
            arguments: self.arguments(found.arguments().as_ref())?,
            directives: self.directives(found.directives().as_ref())?,
            set: match found.selection_set() {
                Some(set) => Some(self.set(&set)?),
                None => None,
            },
        })
    }

    fn directives(&self, found: Option<&cst::Directives>) -> Option<Vec<Directive>> {
        let all = found.into_iter().flat_map(cst::Directives::directives);
        all.map(|directive| {
            Some(Directive {
                name: self.name(directive.name())?,
                arguments: self.arguments(directive.arguments().as_ref())?,
            })
        })
        .collect()
    }

    fn arguments(&self, found: Option<&cst::Arguments>) -> Option<Vec<(Box<str>, Value)>> {
        let all = found.into_iter().flat_map(cst::Arguments::arguments);
        all.map(|argument| Some((self.name(argument.name())?, self.value(&argument.value()?)?))).collect()
    }

    fn value(&self, found: &cst::Value) -> Option<Value> {
        Some(match found {
            cst::Value::Variable(variable) => Value::Variable(self.name(variable.name())?),
            cst::Value::StringValue(string) => Value::String(string_span(string)?),
            cst::Value::BooleanValue(boolean) => Value::Boolean(boolean.true_token().is_some()),
            cst::Value::ListValue(list) => {
                Value::List(list.values().map(|value| self.value(&value)).collect::<Option<_>>()?)
            }
            cst::Value::ObjectValue(object) => {
                let field =
                    |field: cst::ObjectField| Some((self.name(field.name())?, self.value(&field.value()?)?));
                Value::Object(object.object_fields().map(field).collect::<Option<_>>()?)
            }
            cst::Value::FloatValue(_)
            | cst::Value::IntValue(_)
            | cst::Value::NullValue(_)
            | cst::Value::EnumValue(_) => Value::Other,
        })
    }

    fn name(&self, found: Option<cst::Name>) -> Option<Box<str>> {
        self.text.get(span(&found?)).map(Into::into)
    }
}

/// From the first to the last token that is not ignored.
fn span(node: &impl CstNode) -> Span {
    let tokens =
        || node.syntax().descendants_with_tokens().filter_map(apollo_parser::SyntaxElement::into_token);
    let counts =
        |kind: SyntaxKind| !matches!(kind, SyntaxKind::WHITESPACE | SyntaxKind::COMMENT | SyntaxKind::COMMA);
    let first = node.syntax().first_token().filter(|token| counts(token.kind()));
    let first = first.or_else(|| tokens().find(|token| counts(token.kind())));
    let mut last = node.syntax().last_token();
    while let Some(token) = &last
        && !counts(token.kind())
    {
        last = token.prev_token();
    }
    match (first, last) {
        (Some(first), Some(last)) => first.text_range().start().into()..last.text_range().end().into(),
        _ => range(node.syntax().text_range()),
    }
}

fn string_span(node: &cst::StringValue) -> Option<Span> {
    let mut tokens =
        node.syntax().children_with_tokens().filter_map(apollo_parser::SyntaxElement::into_token);
    tokens.find(|token| token.kind() == SyntaxKind::STRING).map(|token| range(token.text_range()))
}

fn range(range: apollo_parser::TextRange) -> Range<usize> {
    range.start().into()..range.end().into()
}
