//! Properties for fuzzers, and for the smoke tests next to them.

use http::HeaderValue;

use super::{
    Verb, exchange,
    table::{Kind, Table},
};
use crate::types::Principal;

/// No stored value panics, and none grants anything to whom it does not name.
pub fn stored_value(data: &[u8]) {
    let mut table = Table::default();
    table.put(Kind::Role, b"all", br#"{"rules":[{"verbs":["*"],"resources":["*"]}]}"#);
    table.put(Kind::Role, data, data);
    table.put(Kind::Binding, data, data);
    let stranger = Principal { subject: "\u{1}".into(), groups: vec!["\u{2}".into()], expires_at: 0 };
    let names_stranger = data.iter().any(|byte| matches!(byte, 1 | 2)) || data.contains(&b'\\');
    let decided = table.rules().decide(&stranger, Verb::Update, "clusters", "alpha");
    assert!(names_stranger || decided != Ok(true));
    table.delete(Kind::Binding, data);
    assert_eq!(table.rules().decide(&stranger, Verb::Update, "clusters", "alpha"), Ok(false));
}

/// Whatever a header holds, the target that is requested has it as one path segment.
pub fn api_key(data: &[u8]) {
    let Ok(header) = HeaderValue::from_bytes(data) else { return };
    if let Some(key) = exchange::key_of(&header) {
        let target = exchange::target("apikeys", key);
        let segment = target.strip_prefix("/api/core/v2/apikeys/");
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || b == b'%';
        assert!(segment.is_some_and(|segment| !segment.is_empty() && segment.bytes().all(is_plain)));
        assert!(!matches!(key, "." | "..") && !key.contains('/'));
    }
}
