//! Whether an answer is the recorded one.

use std::fmt::{Display, Write};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::{
    bindings::{Bindings, mask_ids},
    fixture::{Exchange, Response},
    http::Received,
    token,
};

/// One thing that is not as recorded.
#[derive(Debug)]
pub(crate) struct Difference {
    pub(crate) what: String,
    pub(crate) expected: String,
    pub(crate) actual: String,
}

/// Compares status, headers and body, leaving out what the exchange calls volatile.
pub(crate) fn compare(
    exchange: &Exchange,
    recorded: &Response,
    actual: &Received,
    bindings: &Bindings,
) -> Vec<Difference> {
    let mut differences = Vec::new();
    if recorded.status != actual.status {
        let with_body = format!("{}: {}", actual.status, actual.text());
        differences.push(Difference::new("status", recorded.status, with_body));
    }
    compare_headers(exchange, recorded, actual, bindings, &mut differences);
    compare_body(exchange, recorded, actual, bindings, &mut differences);
    differences
}

// === impl Difference ===

impl Difference {
    pub(crate) fn new(what: impl Display, expected: impl Display, actual: impl Display) -> Self {
        Self { what: format!("{what}"), expected: format!("{expected}"), actual: format!("{actual}") }
    }
}

fn compare_headers(
    exchange: &Exchange,
    recorded: &Response,
    actual: &Received,
    bindings: &Bindings,
    differences: &mut Vec<Difference>,
) {
    let names = |headers: &[(String, String)]| {
        let mut names: Vec<_> =
            headers.iter().map(|(name, _)| name.clone()).filter(|name| is_compared(name)).collect();
        names.sort();
        names
    };
    let (expected, got) = (names(&recorded.headers), names(&actual.headers));
    if expected != got {
        differences.push(Difference::new("header names", expected.join(", "), got.join(", ")));
    }
    for (name, value) in recorded.headers.iter().filter(|(name, _)| is_compared(name)) {
        let Some((_, got)) = actual.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)) else {
            continue;
        };
        let volatile = exchange.volatile.iter().any(|v| v.strip_prefix("header:") == Some(name.as_str()));
        let expected = bindings.fill(value);
        let equal = match name.as_str() {
            "Etag" => is_etag(got),
            "Location" if volatile => mask_ids(&expected) == mask_ids(got),
            "Sensu-Continue" if volatile => exchange.continue_decoded.as_deref().is_none_or(|decoded| {
                URL_SAFE_NO_PAD
                    .decode(got)
                    .is_ok_and(|got| mask_ids(decoded) == mask_ids(&String::from_utf8_lossy(&got)))
            }),
            _ => volatile || expected == *got,
        };
        if !equal {
            differences.push(Difference::new(format_args!("header {name}"), expected, got));
        }
    }
}

fn is_compared(name: &str) -> bool {
    !UNCOMPARED.iter().any(|uncompared| name.eq_ignore_ascii_case(uncompared))
}

/// A hash in hexadecimal without leading zeros; which hash is the server's affair.
fn is_etag(value: &str) -> bool {
    value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).is_some_and(|hash| {
        (1..=16).contains(&hash.len()) && hash.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    })
}

fn compare_body(
    exchange: &Exchange,
    recorded: &Response,
    actual: &Received,
    bindings: &Bindings,
    differences: &mut Vec<Difference>,
) {
    let loose = !exchange.unordered.is_empty() || exchange.volatile.iter().any(|v| !v.starts_with("header:"));
    if let Some(text) = recorded.text.as_ref().filter(|_| !loose) {
        let (expected, got) = (bindings.fill(text), actual.text());
        if expected != got {
            differences.push(Difference::new("body", expected, got));
        }
        return;
    }
    if let Some(json) = &recorded.json {
        compare_json(exchange, recorded, json, actual, bindings, differences);
        return;
    }
    // A body that was recorded by its length alone.
    let length = recorded.header("Content-Length").unwrap_or("0");
    if recorded.text.is_none() && length != actual.body.len().to_string() {
        let got = format!("{}: {}", actual.body.len(), actual.text());
        differences.push(Difference::new("body length", length, got));
    }
}

fn compare_json(
    exchange: &Exchange,
    recorded: &Response,
    json: &Value,
    actual: &Received,
    bindings: &Bindings,
    differences: &mut Vec<Difference>,
) {
    let Ok(got) = serde_json::from_slice::<Value>(&actual.body) else {
        differences.push(Difference::new("body", json, actual.text()));
        return;
    };
    let mut expected = json!({"json": json});
    fill_strings(&mut expected, bindings);
    let mut got = json!({"json": got});
    if let Some(tokens) = &recorded.tokens {
        got["tokens"] = decode_pair(&got["json"], tokens);
        expected["tokens"] = tokens.clone();
    }
    for side in [&mut expected, &mut got] {
        for pointer in &exchange.volatile {
            each(side, pointer, &mut |value| *value = json!("volatile"));
        }
        for pointer in &exchange.unordered {
            each(side, pointer, &mut sort);
        }
    }
    let before = differences.len();
    diff(&mut String::new(), &expected, &got, differences);
    // Equal so far means equal but for the order of keys, which clients see in tables and diffs.
    let (expected, got) = (expected.to_string(), got.to_string());
    if differences.len() == before && expected != got {
        differences.push(Difference::new("order of keys", expected, got));
    }
}

/// The token pair of a body in the fixtures' form. A time to live that is about right counts as the recorded one.
fn decode_pair(body: &Value, recorded: &Value) -> Value {
    let decode = |kind: &str| {
        let mut parts = token::decode(body[format!("{kind}_token")].as_str()?)?;
        let expected = recorded[kind]["seconds_to_exp"].as_i64()?;
        let now = i64::try_from(token::now()).ok()?;
        let left = parts["claims"]["exp"].as_i64()? - now;
        let close = (left - expected).abs() <= CLOCK_SLACK_SECONDS;
        parts["seconds_to_exp"] = json!(if close { expected } else { left });
        Some(parts)
    };
    json!({"access": decode("access"), "refresh": decode("refresh")})
}

fn fill_strings(value: &mut Value, bindings: &Bindings) {
    match value {
        Value::String(text) => *text = bindings.fill(text),
        Value::Array(items) => items.iter_mut().for_each(|item| fill_strings(item, bindings)),
        Value::Object(map) => map.values_mut().for_each(|item| fill_strings(item, bindings)),
        _ => {}
    }
}

/// Calls `change` on whatever `pointer` (RFC 6901, with `*` for every member) leads to.
fn each(value: &mut Value, pointer: &str, change: &mut impl FnMut(&mut Value)) {
    let Some(rest) = pointer.strip_prefix('/') else {
        if pointer.is_empty() {
            change(value);
        }
        return;
    };
    let (segment, rest) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    let key = segment.replace("~1", "/").replace("~0", "~");
    match value {
        Value::Object(map) if key == "*" => map.values_mut().for_each(|member| each(member, rest, change)),
        Value::Object(map) => map.get_mut(&key).into_iter().for_each(|member| each(member, rest, change)),
        Value::Array(items) if key == "*" => items.iter_mut().for_each(|item| each(item, rest, change)),
        Value::Array(items) => {
            if let Some(item) = key.parse::<usize>().ok().and_then(|at| items.get_mut(at)) {
                each(item, rest, change);
            }
        }
        _ => {}
    }
}

fn sort(value: &mut Value) {
    if let Value::Array(items) = value {
        items.sort_by_cached_key(Value::to_string);
    }
}

fn diff(pointer: &mut String, expected: &Value, actual: &Value, differences: &mut Vec<Difference>) {
    let length = pointer.len();
    match (expected, actual) {
        (Value::Object(a), Value::Object(b)) => {
            for key in a.keys().chain(b.keys().filter(|key| !a.contains_key(*key))) {
                pointer.push('/');
                pointer.push_str(key);
                match (a.get(key), b.get(key)) {
                    (Some(a), Some(b)) => diff(pointer, a, b, differences),
                    (a, b) => differences.push(Difference::new(&*pointer, shown(a), shown(b))),
                }
                pointer.truncate(length);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (at, (a, b)) in a.iter().zip(b).enumerate() {
                let _ = write!(pointer, "/{at}");
                diff(pointer, a, b, differences);
                pointer.truncate(length);
            }
        }
        (a, b) if a != b => differences.push(Difference::new(&*pointer, a, b)),
        _ => {}
    }
}

fn shown(value: Option<&Value>) -> String {
    value.map_or_else(|| "(absent)".to_owned(), Value::to_string)
}

const UNCOMPARED: [&str; 3] = ["Date", "Content-Length", "Transfer-Encoding"];
const CLOCK_SLACK_SECONDS: i64 = 5;

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(volatile: &[&str], unordered: &[&str]) -> Exchange {
        serde_json::from_value(json!({"name": "x", "volatile": volatile, "unordered": unordered})).unwrap()
    }

    fn recorded(json: Option<Value>, text: Option<&str>) -> Response {
        let headers = json!([["Content-Type", "application/json"], ["Etag", "\"12ab\""], ["Date", "then"]]);
        let mut response = json!({"status": 200, "headers": headers});
        if let Some(json) = json {
            response["json"] = json;
        }
        if let Some(text) = text {
            response["text"] = json!(text);
        }
        serde_json::from_value(response).unwrap()
    }

    fn answer(body: &str) -> Received {
        let headers = [("Content-Type", "application/json"), ("Etag", "\"ff\""), ("Content-Length", "9")];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        Received { status: 200, headers, body: body.as_bytes().to_vec() }
    }

    fn found(exchange: &Exchange, recorded: &Response, actual: &Received) -> Vec<String> {
        compare(exchange, recorded, actual, &Bindings::default()).into_iter().map(|d| d.what).collect()
    }

    #[test]
    fn a_text_differs_by_one_byte_even_where_the_json_is_equal() {
        let recorded = recorded(Some(json!({"a": 1})), Some("{\"a\":1}"));
        assert!(found(&exchange(&[], &[]), &recorded, &answer("{\"a\":1}")).is_empty());
        assert_eq!(found(&exchange(&[], &[]), &recorded, &answer("{\"a\":1}\n")), ["body"]);
        assert!(found(&exchange(&["/json/a"], &[]), &recorded, &answer("{\"a\":2}\n")).is_empty());
    }

    #[test]
    fn volatile_members_must_be_there_but_may_have_any_value() {
        let recorded = recorded(Some(json!([{"id": "x", "n": 9_007_199_254_740_993_u64}])), None);
        let exchange = exchange(&["/json/0/id"], &[]);
        assert!(found(&exchange, &recorded, &answer(r#"[{"id":"y","n":9007199254740993}]"#)).is_empty());
        assert_eq!(found(&exchange, &recorded, &answer(r#"[{"n":9007199254740993}]"#)), ["/json/0/id"]);
        assert_eq!(
            found(&exchange, &recorded, &answer(r#"[{"id":"y","n":9007199254740992}]"#)),
            ["/json/0/n"]
        );
    }

    #[test]
    fn keys_have_an_order_and_arrays_too_unless_stated() {
        let recorded = recorded(Some(json!({"a": [1, 2], "b": null})), None);
        assert!(found(&exchange(&[], &[]), &recorded, &answer(r#"{"a":[1,2],"b":null}"#)).is_empty());
        assert_eq!(
            found(&exchange(&[], &[]), &recorded, &answer(r#"{"b":null,"a":[1,2]}"#)),
            ["order of keys"]
        );
        assert_eq!(
            found(&exchange(&[], &[]), &recorded, &answer(r#"{"a":[2,1],"b":null}"#)),
            ["/json/a/0", "/json/a/1"]
        );
        assert!(
            found(&exchange(&[], &["/json/a"]), &recorded, &answer(r#"{"a":[2,1],"b":null}"#)).is_empty()
        );
    }

    #[test]
    fn status_and_headers_are_compared_by_name_as_written_and_value() {
        let recorded = recorded(None, Some(""));
        let mut actual = answer("");
        actual.status = 201;
        actual.headers[0].1 = "text/plain".to_owned();
        actual.headers[1].0 = "ETag".to_owned();
        assert_eq!(
            found(&exchange(&[], &[]), &recorded, &actual),
            ["status", "header names", "header Content-Type"]
        );
        let mut actual = answer("");
        actual.headers[1].1 = "\"XYZ\"".to_owned();
        assert_eq!(found(&exchange(&[], &[]), &recorded, &actual), ["header Etag"]);
    }

    #[test]
    fn an_entity_tag_stands_for_one_content() {
        let (exchange, recorded) = (exchange(&[], &[]), recorded(None, Some("")));
        let mut bindings = Bindings::default();
        assert!(bindings.learn(&exchange, &recorded, &answer("")).is_empty());
        let mut changed = answer("");
        changed.headers[1].1 = "\"fe\"".to_owned();
        assert_eq!(bindings.learn(&exchange, &recorded, &changed).len(), 1);
        let other = json!({"status": 200, "headers": [["Etag", "\"34cd\""]]});
        let other: Response = serde_json::from_value(other).unwrap();
        assert_eq!(bindings.learn(&exchange, &other, &changed).len(), 1);
    }
}
