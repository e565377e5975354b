//! The strings of a document as Sensu's lexer reads them.
//!
//! Other lexers read fewer strings, and what they do not read they do not show. A name in such a string would reach Sensu
//! without having been looked at, so everything that judges names goes by these.

use std::ops::Range;

/// A string literal, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Literal {
    /// From its first quote to behind its last.
    pub(super) span: Range<usize>,
    /// Its text; nothing when it has half of a surrogate pair, which Sensu replaces, and which has no meaning.
    pub(super) text: Option<String>,
}

/// All strings of a document, to where Sensu would stop reading and refuse the document.
pub(super) fn literals(document: &str) -> Vec<Literal> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(step) = document[at..].find(['"', '#']) {
        at += step;
        if document[at..].starts_with('#') {
            at += document[at..].find(ends_comment).unwrap_or(document.len() - at);
            continue;
        }
        let Some((text, length)) = read(&document[at..]) else { break };
        found.push(Literal { span: at..at + length, text });
        at += length;
    }
    found
}

/// The document with a plain string of the same length in place of each of its strings.
pub(super) fn masked(document: &str) -> String {
    let mut text = String::with_capacity(document.len());
    let mut done = 0;
    for Literal { span, .. } in literals(document) {
        text.push_str(&document[done..span.start]);
        text.push('"');
        text.extend(std::iter::repeat_n('x', span.len() - 2));
        text.push('"');
        done = span.end;
    }
    text.push_str(&document[done..]);
    text
}

/// The text of one literal, quotes included. `None` for what is not one, and for half of a surrogate pair.
pub(super) fn decode(raw: &str) -> Option<String> {
    let (text, length) = read(raw)?;
    text.filter(|_| length == raw.len())
}

/// Reads the literal that a text begins with: its own text, and its length. `None` where Sensu reports an error.
fn read(text: &str) -> Option<(Option<String>, usize)> {
    let (value, rest) = match text.strip_prefix(BLOCK) {
        Some(rest) => block(rest).map(|(value, rest)| (Some(value), rest))?,
        None => quoted(text.strip_prefix('"')?)?,
    };
    Some((value, text.len() - rest.len()))
}

/// A string after its opening quote: its text, and what follows it.
fn quoted(mut rest: &str) -> Option<(Option<String>, &str)> {
    let mut value = String::new();
    let mut halves = false;
    loop {
        let end = rest.find(|c| matches!(c, '"' | '\\') || (c < ' ' && c != '\t'))?;
        value.push_str(&rest[..end]);
        let special = rest.as_bytes()[end];
        rest = &rest[end + 1..];
        match special {
            b'"' => return Some(((!halves).then_some(value), rest)),
            b'\\' => {}
            _ => return None,
        }
        let escape = rest.chars().next()?;
        rest = &rest[escape.len_utf8()..];
        match escape {
            '"' | '/' | '\\' => value.push(escape),
            'b' => value.push('\u{8}'),
            'f' => value.push('\u{c}'),
            'n' => value.push('\n'),
            'r' => value.push('\r'),
            't' => value.push('\t'),
            'u' => {
                let code = hex(rest)?;
                rest = &rest[4..];
                if let Some(c) = char::from_u32(code) {
                    value.push(c);
                    continue;
                }
                // Sensu replaces either half on its own, whole pairs too.
                value.push(char::REPLACEMENT_CHARACTER);
                match rest.strip_prefix("\\u").and_then(hex) {
                    Some(0xdc00..=0xdfff) if code < 0xdc00 => {
                        value.push(char::REPLACEMENT_CHARACTER);
                        rest = &rest[6..];
                    }
                    _ => halves = true,
                }
            }
            _ => return None,
        }
    }
}

/// The first four bytes as hexadecimal digits.
fn hex(text: &str) -> Option<u32> {
    let digits = text.get(..4)?;
    digits.chars().try_fold(0, |code, digit| Some(code << 4 | digit.to_digit(16)?))
}

/// A block string after its opening quotes: its text, and what follows it.
fn block(text: &str) -> Option<(String, &str)> {
    let mut raw = String::new();
    let mut rest = text;
    loop {
        let end = rest.find(BLOCK)?;
        match rest[..end].strip_suffix('\\') {
            Some(before) => {
                raw.push_str(before);
                raw.push_str(BLOCK);
            }
            None => raw.push_str(&rest[..end]),
        }
        let escaped = rest[..end].ends_with('\\');
        rest = &rest[end + BLOCK.len()..];
        if !escaped {
            break;
        }
    }
    let refused = raw.chars().any(|c| c < ' ' && !matches!(c, '\t' | '\n' | '\r'));
    (!refused).then(|| (block_value(&raw), rest))
}

/// The value of a block string. Other than the specification has it, Sensu takes the common indentation off the first line,
/// too, whatever stands there.
fn block_value(raw: &str) -> String {
    let raw = raw.replace("\r\n", "\n").replace('\r', "\n");
    let indent_of = |line: &str| line.len() - line.trim_start_matches([' ', '\t']).len();
    let mut lines: Vec<&[u8]> = raw.split('\n').map(str::as_bytes).collect();
    let indents = raw.split('\n').skip(1).map(|line| (indent_of(line), line.len()));
    let common = indents.filter(|(indent, length)| indent < length).map(|(indent, _)| indent).min();
    for line in &mut lines {
        *line = line.get(common.unwrap_or_default()..).unwrap_or(line);
    }
    let blank = |line: &&[u8]| line.iter().all(|byte| matches!(byte, b' ' | b'\t'));
    let start = lines.iter().take_while(|line| blank(line)).count();
    let end = lines.len() - lines[start..].iter().rev().take_while(|line| blank(line)).count();
    String::from_utf8_lossy(&lines[start..end].join(&b'\n')).into_owned()
}

/// What ends a comment.
fn ends_comment(c: char) -> bool {
    c < ' ' && c != '\t'
}

const BLOCK: &str = "\"\"\"";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn string_literals_are_read_as_sensu_reads_them() {
        assert_eq!(decode(r#""a\u0040b\"""#).as_deref(), Some("a@b\""));
        assert_eq!(decode("\"\"\"\n    a\n      b\n\n  \"\"\"").as_deref(), Some("a\n  b"));
        assert_eq!(decode("\"\"\"a \\\"\"\" b\"\"\"").as_deref(), Some("a \"\"\" b"));
        assert_eq!(decode("\"\ta\"").as_deref(), Some("\ta"), "a tab needs no escape");
        assert_eq!(decode(r#""\ud83d\ude00""#).as_deref(), Some("\u{fffd}\u{fffd}"));
        assert_eq!(decode("\"\"\"xx../a\n  b\"\"\"").as_deref(), Some("../a\nb"));
        for bad in
            [r#""\u{41}""#, r#""\x""#, "\"\n\"", "\"a", "\"\u{1}\"", r#""\ud800""#, r#""\udc00\ud800""#]
        {
            assert_eq!(decode(bad), None, "{bad}");
        }
    }

    #[test]
    fn every_string_is_found_to_where_the_document_is_refused() {
        let texts = |document| -> Vec<Option<String>> {
            literals(document).into_iter().map(|literal| literal.text).collect()
        };
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(texts("{a(b:\"\\ud800/..\",c:\"x\") #\"\n d(e:\"\")}"), [None, text("x"), text("")]);
        assert_eq!(texts("# \"a\r\"b\" \"\\x\" \"c\""), [text("b")]);
        assert_eq!(masked("{a(b:\"\\ud800\")...F}#\"x\""), "{a(b:\"xxxxxx\")...F}#\"x\"");
    }
}
