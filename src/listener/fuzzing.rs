//! Entries for fuzzers: nothing but the raw bytes of queries may change on the way to hyper, and a PROXY header means the
//! same however it arrives.

use super::{proxy_protocol::parse, query::Encoder};

/// Checks that what the first bytes of a connection mean is decided once, and soon.
///
/// # Panics
/// When a property does not hold.
pub fn proxy_header(data: &[u8]) {
    let mut decided = None;
    for length in 0..=data.len().min(200) {
        let found = parse(&data[..length]);
        match decided {
            None if found == Ok(None) => assert!(length < 107, "undecided after {length} bytes"),
            None => decided = Some(found),
            Some(before) => assert_eq!(found, before, "with {length} bytes"),
        }
        if let Ok(Some(header)) = found {
            assert!((15..=16 + 0xffff).contains(&header.length));
        }
    }
}

/// Checks that arbitrary bytes of a connection pass unchanged but for some that are percent-encoded, however they
/// arrive, and that encoded ones pass unchanged.
///
/// # Panics
/// When a property does not hold.
pub fn queries(data: &[u8]) {
    let encoded = encode(data, &[]);
    let splits: Vec<usize> = data.iter().map(|byte| usize::from(*byte)).collect();
    assert_eq!(encode(data, &splits), encoded);
    let mut rest = encoded.as_slice();
    for byte in data {
        let escape = format!("%{byte:02X}");
        if rest.first() == Some(byte) {
            rest = &rest[1..];
        } else {
            assert!(matches!(byte, b'"' | b'#' | b'<' | b'>' | 0x80..), "{byte:#x}");
            rest = rest.strip_prefix(escape.as_bytes()).expect("the byte or its escape");
        }
    }
    assert!(rest.is_empty());
}

/// What hyper reads when `data` arrives in pieces of these lengths, and then the rest.
pub(super) fn encode(data: &[u8], splits: &[usize]) -> Vec<u8> {
    let mut encoder = Encoder::default();
    let mut read = Vec::new();
    let mut pass = |piece: &[u8]| match encoder.encode(piece) {
        Some(changed) => read.extend(changed),
        None => read.extend_from_slice(piece),
    };
    let mut rest = data;
    for length in splits {
        let (piece, after) = rest.split_at((*length).min(rest.len()));
        pass(piece);
        rest = after;
    }
    pass(rest);
    read
}
