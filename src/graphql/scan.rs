//! The bytes of an answer: where strings end, and what has been emitted of a chunk.

use bytes::{BufMut, BytesMut};
use wide::u8x16;

/// A chunk on its way to the output.
pub(super) struct ChunkWriter<'a> {
    pub(super) chunk: &'a [u8],
    pub(super) out: &'a mut BytesMut,
    /// Everything before this offset was emitted or dropped.
    pub(super) done: usize,
}

// === impl ChunkWriter ===

impl ChunkWriter<'_> {
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

/// The end of a string's text: after its closing quote, or the end of the chunk.
#[inline]
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

/// The first quote or backslash. Most strings are shorter than a call of memchr is worth.
#[inline]
fn quote_or_backslash(text: &[u8]) -> Option<usize> {
    let (lanes, rest) = text.as_chunks::<16>();
    for (index, lane) in lanes.iter().enumerate().take(NEAR) {
        let lane = u8x16::from(*lane);
        let found = (lane.simd_eq(u8x16::splat(b'"')) | lane.simd_eq(u8x16::splat(b'\\'))).to_bitmask();
        if found != 0 {
            return Some(index * 16 + found.trailing_zeros() as usize);
        }
    }
    if lanes.len() > NEAR {
        return memchr::memchr2(b'"', b'\\', &text[NEAR * 16..]).map(|at| NEAR * 16 + at);
    }
    let at = rest.iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
    Some(lanes.len() * 16 + at)
}

/// Lanes of a string that are searched before memchr is called.
const NEAR: usize = 4;

pub(super) const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}
