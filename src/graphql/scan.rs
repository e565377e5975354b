//! The bytes of an answer: where strings end, and what has been emitted of a chunk.

use bytes::{BufMut, BytesMut};

/// A chunk on its way to the output.
pub(super) struct Copy<'a> {
    pub(super) chunk: &'a [u8],
    pub(super) out: &'a mut BytesMut,
    /// All before was emitted or dropped.
    pub(super) done: usize,
}

// === impl Copy ===

impl Copy<'_> {
    pub(super) fn flush(&mut self, to: usize, mute: bool) {
        if !mute && to > self.done {
            self.out.put_slice(&self.chunk[self.done..to]);
        }
        self.done = self.done.max(to);
    }
}

/// A string with something inserted.
pub(super) fn quoted(out: &mut BytesMut, text: &[u8], insert: &[u8], at: usize) {
    out.put_u8(b'"');
    out.put_slice(&text[..at]);
    out.put_slice(insert);
    out.put_slice(&text[at..]);
    out.put_u8(b'"');
}

/// The end of a string's text: behind its closing quote, or the chunk's end.
pub(super) fn string_end(chunk: &[u8], mut at: usize, escape: &mut bool) -> (usize, bool) {
    if std::mem::take(escape) {
        at += 1;
    }
    while let Some(step) = quote_or_backslash(chunk.get(at..).unwrap_or_default()) {
        at += step + 1;
        if chunk[at - 1] == b'"' {
            return (at, true);
        }
        if at == chunk.len() {
            *escape = true;
            return (at, false);
        }
        at += 1;
    }
    (chunk.len(), false)
}

/// The first quote or backslash. Most strings are short, and a call of memchr costs more than they do.
#[inline]
fn quote_or_backslash(text: &[u8]) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    // Sets the high bit of the lowest zero byte, and perhaps of bytes above it.
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word & HIGH;
    let (words, rest) = text.as_chunks::<8>();
    for (index, word) in words.iter().enumerate().take(NEAR) {
        let word = u64::from_le_bytes(*word);
        let found = zeros(word ^ (ONES * 0x22)) | zeros(word ^ (ONES * 0x5c));
        if found != 0 {
            return Some(index * 8 + found.trailing_zeros() as usize / 8);
        }
    }
    if words.len() > NEAR {
        return memchr::memchr2(b'"', b'\\', &text[NEAR * 8..]).map(|at| NEAR * 8 + at);
    }
    let at = rest.iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
    Some(words.len() * 8 + at)
}

/// Words of a string that are looked at before memchr is called.
const NEAR: usize = 4;

pub(super) const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}
