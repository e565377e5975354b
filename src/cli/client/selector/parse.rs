//! The language of the selectors.

/// `FIELD OPERATOR VALUE`, or `VALUE in FIELD`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Requirement {
    field: String,
    pub(super) operator: Operator,
    pub(super) side: Side,
}

/// What the field is compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// One of these.
    Values(Vec<String>),
    /// This one, which stands before a field that is a list.
    Value(String),
}

/// How they are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Is,
    IsNot,
    In,
    NotIn,
    Matches,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    /// A word, or what is in quotes.
    Text(String),
    Operator(Operator),
    And,
    Open,
    Comma,
    Close,
}

// === impl Requirement ===

impl Requirement {
    pub(super) fn field(&self) -> &str {
        &self.field
    }
}

/// Reads what `&&` joins. The error is a sentence.
pub(super) fn requirements(text: &str) -> Result<Vec<Requirement>, String> {
    let tokens = tokens(text)?;
    tokens.split(|token| *token == Token::And).map(requirement).collect()
}

fn requirement(tokens: &[Token]) -> Result<Requirement, String> {
    let (field, operator, side) = match tokens {
        [
            Token::Text(value),
            Token::Operator(operator @ (Operator::In | Operator::NotIn)),
            Token::Text(field),
        ] => (field, *operator, Side::Value(value.clone())),
        [Token::Text(field), Token::Operator(operator), Token::Text(value)] => {
            (field, *operator, Side::Values(vec![value.clone()]))
        }
        [
            Token::Text(field),
            Token::Operator(operator @ (Operator::In | Operator::NotIn)),
            Token::Open,
            values @ ..,
            Token::Close,
        ] => (field, *operator, Side::Values(items(values)?)),
        _ => return Err(EXPECTED.to_owned()),
    };
    Ok(Requirement { field: field.clone(), operator, side })
}

fn items(tokens: &[Token]) -> Result<Vec<String>, String> {
    if tokens.is_empty() {
        return Ok(Vec::new());
    }
    let item = |part: &[Token]| match part {
        [Token::Text(text)] => Ok(text.clone()),
        _ => Err(EXPECTED.to_owned()),
    };
    tokens.split(|token| *token == Token::Comma).map(item).collect()
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let (token, length) = match first {
            '[' => (Token::Open, 1),
            ']' => (Token::Close, 1),
            ',' => (Token::Comma, 1),
            '"' | '\'' => quoted(rest, first)?,
            _ if rest.starts_with("&&") => (Token::And, 2),
            _ if rest.starts_with("==") => (Token::Operator(Operator::Is), 2),
            _ if rest.starts_with("!=") => (Token::Operator(Operator::IsNot), 2),
            _ => word(rest)?,
        };
        tokens.push(token);
        rest = rest[length..].trim_start();
    }
    Ok(tokens)
}

fn quoted(rest: &str, quote: char) -> Result<(Token, usize), String> {
    let mut value = String::new();
    let mut chars = rest.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            c if c == quote => return Ok((Token::Text(value), at + c.len_utf8())),
            '\\' => value.extend(chars.next().map(|(_, c)| c)),
            c => value.push(c),
        }
    }
    Err(format!("a {quote} is missing at the end"))
}

fn word(rest: &str) -> Result<(Token, usize), String> {
    let is_end = |c: char| c.is_whitespace() || matches!(c, '[' | ']' | ',' | '"' | '\'' | '=' | '!' | '&');
    let length = rest.find(is_end).unwrap_or(rest.len());
    let token = match &rest[..length] {
        "" => return Err(EXPECTED.to_owned()),
        "in" => Token::Operator(Operator::In),
        "notin" => Token::Operator(Operator::NotIn),
        "matches" => Token::Operator(Operator::Matches),
        word => Token::Text(word.to_owned()),
    };
    Ok((token, length))
}

const EXPECTED: &str = "FIELD OPERATOR VALUE is expected, with ==, !=, in, notin or matches between them, and && between several";
