use super::is_space;

/// The end of what was read so far, so that the key before a value can be read backwards from it.
///
/// Outside strings, white space at the end and before a final `:` is left out. So a key is recognized
/// wherever chunks were cut and however much white space stands around the colon.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct KeyLookback {
    bytes: [u8; LOOKBACK],
    len: usize,
}

/// Enough for `\"namespace":`, the longest key that matters with the byte before it.
const LOOKBACK: usize = 16;

// === impl KeyLookback ===

impl KeyLookback {
    /// As it is after `more`; `in_string` says whether `more` ends inside a string.
    pub(super) fn then(&self, more: &[u8], in_string: bool) -> Self {
        let mut next = *self;
        if in_string {
            next.append(more);
            return next;
        }
        let more = trim_end(more);
        if let Some((b':', key)) = more.split_last() {
            next.append(trim_end(key));
            next.append(b":");
        } else {
            next.append(more);
        }
        next
    }

    /// The key before a value that starts here: what stands between the quotes of `"key":`.
    pub(super) fn key(&self) -> Option<&[u8]> {
        key_before(&self.bytes[..self.len])
    }

    fn append(&mut self, more: &[u8]) {
        let more = &more[more.len().saturating_sub(LOOKBACK)..];
        let kept = self.len.min(LOOKBACK - more.len());
        self.bytes.copy_within(self.len - kept..self.len, 0);
        self.bytes[kept..kept + more.len()].copy_from_slice(more);
        self.len = kept + more.len();
    }
}

/// The key that `text` ends with, when it ends with `"key":` without white space and the key has at most nine
/// bytes, none of them escaped.
#[inline]
pub(super) fn key_before(text: &[u8]) -> Option<&[u8]> {
    let text = text.strip_suffix(b"\":")?;
    let start = text.len().saturating_sub(LOOKBACK - 4);
    let quote = start + text[start..].iter().rposition(|b| *b == b'"')?;
    // In a string value that ends like a key the quote is escaped.
    let escaped = quote > 0 && text[quote - 1] == b'\\';
    (!escaped).then_some(&text[quote + 1..])
}

/// Whether `text` ends with a colon or with white space, that is, whether a value after it may have a key
/// that [`key_before`] does not see.
#[inline]
pub(super) fn spaced(text: &[u8]) -> bool {
    match text {
        [.., last] if is_space(*last) => true,
        [.., before, b':'] => is_space(*before),
        _ => false,
    }
}

fn trim_end(text: &[u8]) -> &[u8] {
    let len = text.iter().rposition(|b| !is_space(*b)).map_or(0, |last| last + 1);
    &text[..len]
}
