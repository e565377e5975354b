//! Documents: parsed by a crate, kept as a tree of our own, with Sensu's texts for what does not parse.

use graphql_parser::{
    Pos,
    query::{self, Definition, OperationDefinition, TypeCondition},
};

use super::{
    GraphqlError,
    problems::{from_parser, next_token, null_refused, offset_of, position_of},
    schema::Ref,
};

/// Where something begins, both counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct At {
    pub(super) line: usize,
    pub(super) column: usize,
}

#[derive(Debug, Default)]
pub(super) struct Document {
    text: String,
    pub(super) operations: Vec<Operation>,
    pub(super) fragments: Vec<Fragment>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Query,
    Mutation,
    Subscription,
}

#[derive(Debug)]
pub(super) struct Operation {
    pub(super) action: Action,
    pub(super) name: Option<String>,
    pub(super) variables: Vec<Variable>,
    pub(super) directives: Vec<Directive>,
    pub(super) selections: Vec<Selection>,
    pub(super) at: At,
}

#[derive(Debug)]
pub(super) struct Variable {
    pub(super) name: String,
    pub(super) ty: Ref,
    pub(super) default: Option<Literal>,
    pub(super) at: At,
}

#[derive(Debug)]
pub(super) struct Fragment {
    pub(super) name: String,
    pub(super) on: String,
    pub(super) selections: Vec<Selection>,
    pub(super) at: At,
}

#[derive(Debug)]
pub(super) enum Selection {
    Field(Field),
    /// `at` is where the dots are, `name_at` where the name is.
    Spread {
        name: String,
        directives: Vec<Directive>,
        at: At,
        name_at: At,
    },
    Inline {
        on: Option<String>,
        directives: Vec<Directive>,
        selections: Vec<Selection>,
        at: At,
    },
}

#[derive(Debug)]
pub(super) struct Field {
    pub(super) alias: Option<String>,
    pub(super) name: String,
    pub(super) arguments: Vec<(String, Literal)>,
    pub(super) directives: Vec<Directive>,
    pub(super) selections: Vec<Selection>,
    pub(super) at: At,
    /// Where the selections begin.
    pub(super) selections_at: At,
}

#[derive(Debug)]
pub(super) struct Directive {
    pub(super) name: String,
    pub(super) arguments: Vec<(String, Literal)>,
    pub(super) at: At,
}

/// A value as written. Sensu's parser has no `null`.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Literal {
    Variable(String),
    Int(i64),
    Float(f64),
    String(String),
    Bool(bool),
    Enum(String),
    List(Vec<Literal>),
    Object(Vec<(String, Literal)>),
}

/// Parses a document. Text without any token is a document without operations, as in Sensu.
pub(super) fn parse(text: &str) -> Result<Document, GraphqlError> {
    if next_token(text, 0).is_none() {
        return Ok(Document::default());
    }
    let parsed = query::parse_query::<String>(text).map_err(|e| from_parser(text, &e.to_string()))?;
    let reader = Reader { text };
    let mut document = Document { text: text.to_owned(), ..Document::default() };
    for definition in parsed.definitions {
        match definition {
            Definition::Operation(operation) => document.operations.push(reader.operation(operation)?),
            Definition::Fragment(fragment) => document.fragments.push(reader.fragment(fragment)?),
        }
    }
    Ok(document)
}

/// Reads the value that stands for a default in the schema.
pub(super) fn parse_literal(text: &str) -> Option<Literal> {
    let document = parse(&format!("{{a(b:{text})}}")).ok()?;
    match document.operations.into_iter().next()?.selections.into_iter().next()? {
        Selection::Field(field) => field.arguments.into_iter().next().map(|(_, value)| value),
        _ => None,
    }
}

// === impl Document ===

impl Document {
    /// Where the token stands that comes `count` tokens after another one.
    pub(super) fn token_at(&self, from: At, count: usize) -> At {
        self.tokens(from).nth(count).map_or(from, |(start, _)| position_of(&self.text, start))
    }

    /// Where the type of a variable stands, and where its default.
    pub(super) fn variable_parts_at(&self, variable: At) -> (At, At) {
        let equals = self.tokens(variable).position(|(_, token)| token == "=");
        (self.token_at(variable, 3), equals.map_or(variable, |count| self.token_at(variable, count + 1)))
    }

    /// Where an argument of a field or directive stands, and where its value; the parser does not tell. Of several
    /// arguments with the name, it is the one after `skipped` others.
    pub(super) fn argument_at(&self, owner: At, name: &str, mut skipped: usize) -> (At, At) {
        let mut depth = 0_usize;
        let mut tokens = self.tokens(owner);
        while let Some((start, token)) = tokens.next() {
            match token {
                "(" | "{" | "[" => depth += 1,
                ")" | "}" | "]" => depth = depth.saturating_sub(1),
                _ if token == name && depth == 1 && tokens.next().is_some_and(|(_, t)| t == ":") => {
                    if skipped == 0 {
                        let value = tokens.next().map_or(owner, |(start, _)| position_of(&self.text, start));
                        return (position_of(&self.text, start), value);
                    }
                    skipped -= 1;
                }
                _ => {}
            }
        }
        (owner, owner)
    }

    /// Where a variable is used first, from a place on.
    pub(super) fn variable_at(&self, from: At, name: &str) -> At {
        let mut tokens = self.tokens(from);
        while let Some((start, token)) = tokens.next() {
            if token == "$" && tokens.next().is_some_and(|(_, token)| token == name) {
                return position_of(&self.text, start);
            }
        }
        from
    }

    fn tokens(&self, from: At) -> impl Iterator<Item = (usize, &str)> {
        let mut offset = offset_of(&self.text, from).unwrap_or(self.text.len());
        std::iter::from_fn(move || {
            let (start, token) = next_token(&self.text, offset)?;
            offset = start + token.len();
            Some((start, token))
        })
    }
}

// === impl Literal ===

impl std::fmt::Display for Literal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Variable(name) => write!(f, "${name}"),
            Self::Int(number) => write!(f, "{number}"),
            Self::Float(number) => write!(f, "{number}"),
            Self::String(text) => write!(f, "{text:?}"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Enum(name) => f.write_str(name),
            Self::List(items) => {
                let items: Vec<_> = items.iter().map(ToString::to_string).collect();
                write!(f, "[{}]", items.join(", "))
            }
            Self::Object(fields) => {
                let fields: Vec<_> = fields.iter().map(|(name, value)| format!("{name}: {value}")).collect();
                write!(f, "{{{}}}", fields.join(", "))
            }
        }
    }
}

/// Turns the parser's tree into ours.
struct Reader<'a> {
    text: &'a str,
}

type Read<T> = Result<T, GraphqlError>;

// === impl Reader ===

impl Reader<'_> {
    fn operation(&self, operation: OperationDefinition<'_, String>) -> Read<Operation> {
        let (action, position, name, variables, directives, set) = match operation {
            OperationDefinition::SelectionSet(set) => {
                (Action::Query, set.span.0, None, Vec::new(), Vec::new(), set)
            }
            OperationDefinition::Query(q) => {
                (Action::Query, q.position, q.name, q.variable_definitions, q.directives, q.selection_set)
            }
            OperationDefinition::Mutation(m) => {
                (Action::Mutation, m.position, m.name, m.variable_definitions, m.directives, m.selection_set)
            }
            OperationDefinition::Subscription(s) => {
                let set = s.selection_set;
                (Action::Subscription, s.position, s.name, s.variable_definitions, s.directives, set)
            }
        };
        Ok(Operation {
            action,
            name,
            variables: variables.into_iter().map(|v| self.variable(v)).collect::<Read<_>>()?,
            directives: self.directives(directives)?,
            selections: self.selections(set)?,
            at: at(position),
        })
    }

    fn variable(&self, variable: query::VariableDefinition<'_, String>) -> Read<Variable> {
        Ok(Variable {
            name: variable.name,
            ty: reference(&variable.var_type),
            default: variable.default_value.map(|value| self.literal(value)).transpose()?,
            at: at(variable.position),
        })
    }

    fn fragment(&self, fragment: query::FragmentDefinition<'_, String>) -> Read<Fragment> {
        let TypeCondition::On(on) = fragment.type_condition;
        Ok(Fragment {
            name: fragment.name,
            on,
            selections: self.selections(fragment.selection_set)?,
            at: at(fragment.position),
        })
    }

    fn selections(&self, set: query::SelectionSet<'_, String>) -> Read<Vec<Selection>> {
        set.items.into_iter().map(|item| self.selection(item)).collect()
    }

    fn selection(&self, item: query::Selection<'_, String>) -> Read<Selection> {
        Ok(match item {
            query::Selection::Field(field) => Selection::Field(Field {
                alias: field.alias,
                name: field.name,
                arguments: self.arguments(field.arguments)?,
                directives: self.directives(field.directives)?,
                selections_at: at(field.selection_set.span.0),
                selections: self.selections(field.selection_set)?,
                at: at(field.position),
            }),
            query::Selection::FragmentSpread(spread) => Selection::Spread {
                name: spread.fragment_name,
                directives: self.directives(spread.directives)?,
                at: self.at_dots(spread.position),
                name_at: at(spread.position),
            },
            query::Selection::InlineFragment(inline) => Selection::Inline {
                on: inline.type_condition.map(|TypeCondition::On(on)| on),
                directives: self.directives(inline.directives)?,
                selections: self.selections(inline.selection_set)?,
                at: self.at_dots(inline.position),
            },
        })
    }

    /// The parser gives the place after the dots.
    fn at_dots(&self, position: Pos) -> At {
        let place = at(position);
        let before = offset_of(self.text, place).map(|offset| self.text[..offset].trim_end());
        let dots = before.and_then(|before| before.strip_suffix("..."));
        dots.map_or(place, |before| position_of(self.text, before.len()))
    }

    fn directives(&self, directives: Vec<query::Directive<'_, String>>) -> Read<Vec<Directive>> {
        let read = |directive: query::Directive<'_, String>| {
            Ok(Directive {
                name: directive.name,
                arguments: self.arguments(directive.arguments)?,
                at: at(directive.position),
            })
        };
        directives.into_iter().map(read).collect()
    }

    fn arguments(&self, arguments: Vec<(String, query::Value<'_, String>)>) -> Read<Vec<(String, Literal)>> {
        arguments.into_iter().map(|(name, value)| Ok((name, self.literal(value)?))).collect()
    }

    fn literal(&self, value: query::Value<'_, String>) -> Read<Literal> {
        Ok(match value {
            query::Value::Variable(name) => Literal::Variable(name),
            query::Value::Int(number) => Literal::Int(number.as_i64().unwrap_or_default()),
            query::Value::Float(number) => Literal::Float(number),
            query::Value::String(text) => Literal::String(text),
            query::Value::Boolean(value) => Literal::Bool(value),
            query::Value::Enum(name) => Literal::Enum(name),
            query::Value::Null => return Err(null_refused(self.text)),
            query::Value::List(items) => {
                Literal::List(items.into_iter().map(|item| self.literal(item)).collect::<Read<_>>()?)
            }
            query::Value::Object(fields) => {
                let fields = fields.into_iter().map(|(name, value)| Ok((name, self.literal(value)?)));
                Literal::Object(fields.collect::<Read<_>>()?)
            }
        })
    }
}

fn at(position: Pos) -> At {
    At { line: position.line, column: position.column }
}

fn reference(ty: &query::Type<'_, String>) -> Ref {
    match ty {
        query::Type::NamedType(name) => Ref::Named(name.clone()),
        query::Type::ListType(inner) => Ref::List(Box::new(reference(inner))),
        query::Type::NonNullType(inner) => Ref::NonNull(Box::new(reference(inner))),
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
        assert!(parse(" \n# none\n").unwrap().operations.is_empty());
        assert!(parse("").unwrap().fragments.is_empty());
    }

    #[test]
    fn endless_nesting_is_refused() {
        assert_eq!(message(&"{a".repeat(100_000)), "Max depth exceeded");
    }

    #[test]
    fn places_are_those_of_the_first_letter() {
        let document = parse("query Q($n:String!){x:namespace(name:$n){name}}").unwrap();
        let operation = &document.operations[0];
        assert_eq!(operation.variables[0].at, At { line: 1, column: 9 });
        let Selection::Field(field) = &operation.selections[0] else { panic!() };
        assert_eq!((field.at.column, field.alias.as_deref()), (21, Some("x")));
    }

    proptest! {
        #[test]
        fn any_text_is_parsed_or_refused(text in "[a-z{}()\\[\\]:$@!.,\"\\\\#= \n0-9é-]{0,40}|.{0,30}") {
            let _ = parse(&text);
        }
    }
}
