//! Text from elsewhere, made safe for a terminal.

use std::{borrow::Cow, fmt::Write as _};

use unicode_width::UnicodeWidthChar;

/// Escapes what a terminal would interpret or not show: control characters, and those that change the direction of
/// text. One line stays one line.
pub(super) fn terminal_safe(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_unsafe) {
        return text.into();
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if is_unsafe(c) => {
                let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.into()
}

/// JSON with the same characters escaped as JSON escapes them. They occur only inside of strings, since line breaks
/// and tabs outside of them are left alone.
pub(super) fn terminal_safe_json(text: &str) -> Cow<'_, str> {
    let is_unsafe = |c: char| is_unsafe(c) && !matches!(c, '\n' | '\t' | '\r');
    if !text.chars().any(is_unsafe) {
        return text.into();
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if is_unsafe(c) {
            let _ = write!(out, "\\u{:04x}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    out.into()
}

/// Columns that a text takes on a terminal.
pub(super) fn width(text: &str) -> usize {
    text.chars().map(|c| c.width().unwrap_or(0)).sum()
}

/// At most so many columns, with an ellipsis in place of what is cut.
pub(super) fn fit(text: &str, columns: usize) -> Cow<'_, str> {
    if width(text) <= columns {
        return text.into();
    }
    let mut used = 1;
    let mut cut = String::new();
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used > columns {
            break;
        }
        cut.push(c);
    }
    cut.push('…');
    cut.into()
}

/// A text in lines of at most so many columns, broken at its spaces; only a longer word has a longer line.
pub(super) fn wrap(text: &str, columns: usize) -> String {
    let mut lines = String::with_capacity(text.len());
    let mut used = 0;
    for word in text.split(' ') {
        let width = width(word);
        if used > 0 && used + 1 + width > columns {
            lines.push('\n');
            used = 0;
        } else if !lines.is_empty() {
            lines.push(' ');
            used += 1;
        }
        lines.push_str(word);
        used += width;
    }
    lines
}

/// Every such character is in the basic plane.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_interpret_is_escaped() {
        let text = "a\u{1b}[31mb\u{9b}31m\r\n\tc\u{7}\u{202e}d\u{7f}";
        assert_eq!(terminal_safe(text), "a\\u{1b}[31mb\\u{9b}31m\\r\\n\\tc\\u{7}\\u{202e}d\\u{7f}");
        assert_eq!(terminal_safe("ärger 中"), "ärger 中");
        let json = serde_json::to_string_pretty(&serde_json::json!({ "x": text })).unwrap();
        let safe = terminal_safe_json(&json);
        assert!(!safe.contains(['\u{1b}', '\u{9b}', '\u{202e}', '\u{7f}']), "{safe}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&safe).unwrap()["x"], text);
    }

    #[test]
    fn width_is_that_of_the_terminal() {
        assert_eq!((width("abc"), width("中文"), width("e\u{301}")), (3, 4, 1));
        assert_eq!(fit("abcdef", 4), "abc…");
        assert_eq!(fit("中文字", 4), "中…");
        assert_eq!(fit("abcd", 4), "abcd");
        assert_eq!(wrap("one two three", 7), "one two\nthree");
        assert_eq!(wrap("one two three", 4), "one\ntwo\nthree");
        assert_eq!(wrap("中文 字", 4), "中文\n字");
        assert_eq!(wrap("", 4), "");
    }
}
