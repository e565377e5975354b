//! JSON the way Go reads and writes it.

use serde_json::{Map, Number, Value};

pub(super) type Object = Map<String, Value>;

/// What stopped a JSON document from being read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Reader {
    /// Go's streaming decoder: only the first value counts.
    Stream,
    /// Go's `Unmarshal`: the whole text is one value.
    Whole,
}

/// Reads one JSON value; the error is the text Go gives.
pub(super) fn parse(bytes: &[u8], reader: Reader) -> Result<Value, String> {
    let mut values = serde_json::Deserializer::from_slice(bytes).into_iter::<Value>();
    let error = match values.next() {
        Some(Ok(value)) => {
            let rest = &bytes[values.byte_offset().min(bytes.len())..];
            match rest.iter().find(|b| !b.is_ascii_whitespace()) {
                Some(byte) if reader == Reader::Whole => {
                    return Err(format!("invalid character '{}' after top-level value", char::from(*byte)));
                }
                _ => return Ok(value),
            }
        }
        Some(Err(error)) => error,
        None if reader == Reader::Stream => return Err("EOF".into()),
        None => return Err("unexpected end of JSON input".into()),
    };
    if error.is_eof() {
        return Err(match reader {
            Reader::Stream => "unexpected EOF".into(),
            Reader::Whole => "unexpected end of JSON input".into(),
        });
    }
    Err(syntax_error(bytes, &error))
}

fn syntax_error(bytes: &[u8], error: &serde_json::Error) -> String {
    let line = bytes.split(|b| *b == b'\n').nth(error.line().saturating_sub(1)).unwrap_or_default();
    let byte = line.get(error.column().saturating_sub(1)).copied().unwrap_or(b' ');
    let text = error.to_string();
    let place = if text.starts_with("key must be a string") || text.starts_with("trailing comma") {
        "looking for beginning of object key string"
    } else if text.starts_with("expected `:`") {
        "after object key"
    } else if text.starts_with("expected `,` or `}`") {
        "after object key:value pair"
    } else if text.starts_with("expected `,` or `]`") {
        "after array element"
    } else {
        "looking for beginning of value"
    };
    format!("invalid character '{}' {place}", char::from(byte))
}

/// The word Go uses for a JSON type in its errors.
pub(super) fn type_word(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Writes a string with Go's HTML-safe escapes.
pub(super) fn write_string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\u{1f}' => {
                out.push_str("\\u");
                for shift in [12, 8, 4, 0] {
                    out.push(char::from_digit(u32::from(c) >> shift & 15, 16).unwrap_or('0'));
                }
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// Writes a float in Go's shortest form: an exponent below 1e-6 and from 1e21 on.
pub(super) fn write_float(out: &mut String, number: &Number) {
    let Some(float) = number.as_f64() else {
        out.push_str(&number.to_string());
        return;
    };
    let size = float.abs();
    if size != 0.0 && !(1e-6..1e21).contains(&size) {
        let text = format!("{float:e}");
        match text.split_once('e') {
            Some((mantissa, exponent)) if !exponent.starts_with('-') => {
                out.push_str(mantissa);
                out.push_str("e+");
                out.push_str(exponent);
            }
            _ => out.push_str(&text),
        }
    } else {
        out.push_str(&float.to_string());
    }
}

/// Writes any value; object keys are sorted, as Go sorts the keys of a map.
pub(super) fn write_value(out: &mut String, value: &Value) {
    write(out, value, true);
}

/// Writes any value; object keys stay in their order, as those of a struct.
pub(super) fn write_in_order(out: &mut String, value: &Value) {
    write(out, value, false);
}

fn write(out: &mut String, value: &Value, sorted: bool) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        Value::Number(n) if n.is_f64() => write_float(out, n),
        Value::Number(n) => out.push_str(&n.to_string()),
        Value::String(s) => write_string(out, s),
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write(out, item, sorted);
            }
            out.push(']');
        }
        Value::Object(map) => {
            let mut keys: Vec<_> = map.iter().collect();
            if sorted {
                keys.sort_by_key(|(k, _)| *k);
            }
            out.push('{');
            for (i, (key, item)) in keys.into_iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_string(out, key);
                out.push(':');
                write(out, item, sorted);
            }
            out.push('}');
        }
    }
}

/// A string at a path of keys; empty when there is none, as Go's zero value.
pub(super) fn text<'a>(object: &'a Object, path: &[&str]) -> &'a str {
    let Some((first, rest)) = path.split_first() else { return "" };
    match object.get(*first) {
        Some(Value::String(s)) if rest.is_empty() => s,
        Some(Value::Object(inner)) => text(inner, rest),
        _ => "",
    }
}

/// An integer at a key; 0 when there is none.
pub(super) fn int(object: &Object, key: &str) -> i64 {
    object.get(key).and_then(Value::as_i64).unwrap_or_default()
}

/// The strings of a list at a key.
pub(super) fn strings<'a>(object: &'a Object, key: &str) -> impl Iterator<Item = &'a str> {
    object.get(key).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

/// Puts a string at `metadata.<key>`.
pub(super) fn set_meta(object: &mut Object, key: &str, value: &str) {
    if let Some(Value::Object(meta)) = object.get_mut("metadata") {
        meta.insert(key.to_owned(), value.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn syntax_errors_read_as_those_of_go() {
        let stream = |text: &str| parse(text.as_bytes(), Reader::Stream);
        let whole = |text: &str| parse(text.as_bytes(), Reader::Whole).unwrap_err();
        assert_eq!(stream("{\"a\": 1} garbage").unwrap()["a"], 1);
        assert_eq!(stream("").unwrap_err(), "EOF");
        assert_eq!(stream("{\"a").unwrap_err(), "unexpected EOF");
        assert_eq!(whole("{"), "unexpected end of JSON input");
        assert_eq!(whole("garbage"), "invalid character 'g' looking for beginning of value");
        assert_eq!(whole("{bad"), "invalid character 'b' looking for beginning of object key string");
        assert_eq!(whole("{} x"), "invalid character 'x' after top-level value");
    }

    #[test]
    fn html_and_line_separators_are_escaped() {
        let mut out = String::new();
        write_string(&mut out, "<a>&\u{2028}\u{1}\u{7f}é\"");
        assert_eq!(out, r#""\u003ca\u003e\u0026\u2028\u0001"#.to_owned() + "\u{7f}é\\\"\"");
    }

    #[test]
    fn floats_are_written_as_go_writes_them() {
        for (text, go) in
            [("1e-07", "1e-7"), ("1e21", "1e+21"), ("0.1234567", "0.1234567"), ("1.0", "1"), ("1.5", "1.5")]
        {
            let mut out = String::new();
            write_value(&mut out, &serde_json::from_str(text).unwrap());
            assert_eq!(out, go);
        }
    }
}
