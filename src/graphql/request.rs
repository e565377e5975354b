//! A request body as Sensu reads it: one operation or a list of them.

use std::collections::HashMap;

use serde_json::value::RawValue;

/// What a body holds.
#[derive(Debug)]
pub(super) enum Incoming<'a> {
    One(Operation<'a>),
    /// Without the members that are not objects, which Sensu drops.
    Many(Vec<Operation<'a>>),
    /// Nothing that Sensu would answer with 200, or that the gateway can read.
    Other,
}

/// One operation of a body.
#[derive(Debug)]
pub(super) struct Operation<'a> {
    /// The whole object.
    pub(super) raw: &'a str,
    pub(super) query: String,
    /// The query as the client has written it in JSON.
    pub(super) query_raw: &'a str,
    pub(super) variables: HashMap<String, &'a RawValue>,
    pub(super) variables_raw: &'a str,
    pub(super) skip_validation: bool,
}

/// Reads a body. Keys count as Go's maps have them: exactly, the last of several.
pub(super) fn read(body: &[u8]) -> Incoming<'_> {
    let Ok(text) = std::str::from_utf8(body) else { return Incoming::Other };
    match text.trim_start().as_bytes().first() {
        Some(b'{') => {
            let whole = serde_json::from_str::<&RawValue>(text);
            whole.ok().and_then(|raw| operation(raw.get())).map_or(Incoming::Other, Incoming::One)
        }
        Some(b'[') => {
            let Ok(items) = serde_json::from_str::<Vec<&RawValue>>(text) else { return Incoming::Other };
            let objects = items.into_iter().map(RawValue::get).filter(|raw| raw.starts_with('{'));
            objects.map(operation).collect::<Option<_>>().map_or(Incoming::Other, Incoming::Many)
        }
        _ => Incoming::Other,
    }
}

fn operation(raw: &str) -> Option<Operation<'_>> {
    let members: HashMap<String, &RawValue> = serde_json::from_str(raw).ok()?;
    let query_raw = members.get("query").map_or("\"\"", |value| value.get());
    // Go reads more strings than serde_json does; one that only Go reads would not have been inspected.
    let query: String = match serde_json::from_str(query_raw) {
        Ok(query) => query,
        Err(_) if query_raw.starts_with('"') => return None,
        Err(_) => String::new(),
    };
    let variables_raw = members.get("variables").map_or("null", |value| value.get());
    Some(Operation {
        raw,
        query,
        query_raw,
        variables: serde_json::from_str(variables_raw).unwrap_or_default(),
        variables_raw,
        skip_validation: members.get("skip_validation").is_some_and(|value| value.get() == "true"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_read_as_sensu_reads_them() {
        let Incoming::One(one) = read(br#" {"query":"{a}","variables":{"n":1.0},"operationName":"x"}"#)
        else {
            panic!("one operation");
        };
        assert_eq!((one.query.as_str(), one.variables["n"].get()), ("{a}", "1.0"));
        let Incoming::Many(many) = read(br#"[{"query":"a"},1,"x",null,[],{}]"#) else { panic!("several") };
        assert_eq!(many.iter().map(|o| o.query.as_str()).collect::<Vec<_>>(), ["a", ""]);
        assert!(matches!(read(b"[]"), Incoming::Many(none) if none.is_empty()));
        for other in [&b"null"[..], b"", b"1", b"{\"query\":", b"{} x", b"\xff{}"] {
            assert!(matches!(read(other), Incoming::Other));
        }
        let Incoming::One(odd) = read(br#"{"query":5,"variables":"x"}"#) else { panic!("one operation") };
        assert!(odd.query.is_empty() && odd.variables.is_empty());
    }
}
