//! What is wrong with the text of a document, in Sensu's words, and the tokens that this is told by.

use super::{GraphqlError, syntax::At};

/// The first `null` that stands where a value stands is an unexpected name to Sensu.
pub(super) fn null_refused(text: &str) -> GraphqlError {
    let (mut from, mut before) = (0, "");
    while let Some((start, token)) = next_token(text, from) {
        if token == "null" && matches!(before, ":" | "=" | "[" | ",") {
            return syntax_error(text, position_of(text, start), "Unexpected Name \"null\"");
        }
        before = token;
        from = start + token.len();
    }
    syntax_error(text, At { line: 1, column: 1 }, "Unexpected Name \"null\"")
}

/// Says what the parser found wrong in Sensu's words, as far as the parser tells.
pub(super) fn from_parser(text: &str, message: &str) -> GraphqlError {
    let place = message.split("Parse error at ").nth(1).and_then(|rest| rest.lines().next());
    let place = place.and_then(|place| place.split_once(':'));
    let number = |text: &str| text.trim().parse::<usize>().ok();
    let at = place.and_then(|(line, column)| Some(At { line: number(line)?, column: number(column)? }));
    let at = at.unwrap_or(At { line: 1, column: 1 });
    if message.contains("Recursion limit exceeded") {
        // Deeper than any query that Sensu answers.
        return GraphqlError::new("Max depth exceeded", [at]);
    }
    let (at, problem) = problem_at(text, at, message);
    syntax_error(text, at, &problem)
}

/// What Sensu says about a place that the parser stumbled over: it depends on what stands before.
fn problem_at(text: &str, at: At, message: &str) -> (At, String) {
    let offset = offset_of(text, at).unwrap_or(text.len());
    let found = next_token(text, offset).map(|(_, token)| token);
    let (mut before, mut from) = (Vec::new(), 0);
    while let Some((start, token)) = next_token(text, from).filter(|(start, _)| *start < offset) {
        before.push((start, token));
        from = start + token.len();
    }
    let previous = |count: usize| before.len().checked_sub(count).map_or("", |index| before[index].1);
    let count = |sign: &str| before.iter().filter(|(_, token)| *token == sign).count();
    let in_parentheses = count("(") > count(")");
    let token = found.map_or_else(|| "EOF".to_owned(), describe);
    let expected = message.lines().find_map(|line| line.strip_prefix("Expected ")).unwrap_or_default();
    let problem = match (found, previous(1)) {
        (Some(string), _) if string.starts_with('"') && !string[1..].ends_with('"') => {
            let end = text[offset..].find('\n').map_or(text.len(), |length| offset + length);
            return (position_of(text, end), "Unterminated string.".into());
        }
        (Some(sign), _)
            if !sign.starts_with(|c: char| c.is_ascii_alphanumeric() || "!$():=@[]{}|.&-_\"".contains(c)) =>
        {
            format!("Unexpected character \"{sign}\".")
        }
        (Some("}"), "{") => {
            return (position_of(text, before[before.len() - 1].0), "Unexpected empty IN {}".into());
        }
        (_, "..." | "query" | "mutation" | "subscription") => format!("Expected {{, found {token}"),
        (_, ":" | "=" | "[") if in_parentheses => format!("Unexpected {token}"),
        (Some("("), _) if previous(2) == "..." => format!("Expected Name, found {token}"),
        _ => match expected {
            "" => format!("Unexpected {token}"),
            "on" => format!("Expected \"on\", found {token}"),
            list if list.contains("Name") => format!("Expected Name, found {token}"),
            list if list.contains(" or ") || list.contains(',') => format!("Unexpected {token}"),
            one => format!("Expected {one}, found {token}"),
        },
    };
    (at, problem)
}

fn describe(token: &str) -> String {
    match token.as_bytes().first() {
        Some(b'"') => format!("String {token}"),
        Some(byte) if byte.is_ascii_alphabetic() || *byte == b'_' => format!("Name \"{token}\""),
        Some(byte) if byte.is_ascii_digit() || *byte == b'-' => format!("Int \"{token}\""),
        _ => token.to_owned(),
    }
}

fn syntax_error(text: &str, at: At, problem: &str) -> GraphqlError {
    let At { line, column } = at;
    let message = format!("Syntax Error GraphQL request ({line}:{column}) {problem}\n\n");
    GraphqlError::new(message + &excerpt(text, at), [at])
}

/// The line of an error between its neighbours, and a mark below.
fn excerpt(text: &str, at: At) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let width = (at.line + 1).to_string().len();
    let numbered = |number: usize| {
        let line = number.checked_sub(1).and_then(|index| lines.get(index));
        line.map(|line| format!("{number:>width$}: {line}\n")).unwrap_or_default()
    };
    let mark = format!("{}^\n", " ".repeat(1 + width + at.column));
    numbered(at.line.saturating_sub(1)) + &numbered(at.line) + &mark + &numbered(at.line + 1)
}

pub(super) fn position_of(text: &str, offset: usize) -> At {
    let before = &text[..offset];
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    At { line, column }
}

pub(super) fn offset_of(text: &str, at: At) -> Option<usize> {
    let start: usize = text.split_inclusive('\n').take(at.line.saturating_sub(1)).map(str::len).sum();
    let rest = text.get(start..)?;
    Some(start + rest.char_indices().nth(at.column.saturating_sub(1)).map_or(rest.len(), |(index, _)| index))
}

/// The next token from an offset on, roughly: names, numbers, strings, and single signs. Commas count as tokens.
pub(super) fn next_token(text: &str, from: usize) -> Option<(usize, &str)> {
    let mut start = from;
    loop {
        let rest = text.get(start..)?;
        let skipped = rest.len() - rest.trim_start_matches([' ', '\t', '\n', '\r', '\u{feff}']).len();
        start += skipped;
        match text.as_bytes().get(start)? {
            b'#' => start += text[start..].find('\n').unwrap_or(text.len() - start),
            b',' if from == start || skipped > 0 => return Some((start, &text[start..=start])),
            _ => break,
        }
    }
    let rest = &text[start..];
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let length = match rest.chars().next()? {
        '"' => rest[1..].find(['"', '\n']).map_or(rest.len(), |end| end + 2),
        '.' => rest.len() - rest.trim_start_matches('.').len(),
        c if word(c) || c == '-' => 1 + rest[1..].find(|c| !word(c)).unwrap_or(rest.len() - 1),
        c => c.len_utf8(),
    };
    Some((start, &rest[..length.min(rest.len())]))
}
