//! Entries for a fuzzer: each takes any bytes and panics when a property does not hold.

use super::token;

/// Checks that only a sealed text is a token, and that changing it anywhere invalidates it.
///
/// # Panics
///
/// When a property does not hold.
pub fn tokens(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    assert_eq!(token::open(KEY, b"context", &text), None);

    let (context, payload) = data.split_at(data.len() / 2);
    let sealed = token::seal(KEY, context, payload);
    let opened = token::open(KEY, context, &sealed);
    assert_eq!(opened.as_deref(), Some(payload));
    assert_eq!(token::open(b"another key", context, &sealed), None);
    assert_eq!(token::open(KEY, &[context, b"x"].concat(), &sealed), None);
    for border in [0, data.len()].into_iter().filter(|border| *border != data.len() / 2) {
        assert_eq!(token::open(KEY, &data[..border], &sealed), None);
    }
    let mut changed = sealed.into_bytes();
    let at = data.iter().map(|byte| usize::from(*byte)).sum::<usize>() % changed.len();
    changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
    assert_eq!(token::open(KEY, context, &String::from_utf8_lossy(&changed)), None);
    changed.truncate(at);
    assert_eq!(token::open(KEY, context, &String::from_utf8_lossy(&changed)), None);
}

const KEY: &[u8] = b"a key for fuzzing";
