//! Sixty-four bytes at a time: where quotes and brackets stand, as bit masks (bit n = byte n).
//!
//! `wide` gives the vector instructions that a target always has (SSE2, NEON) as safe functions, and plain
//! code elsewhere; `std`'s own are unsafe to call from ordinary code.

use wide::u8x16;

/// Bytes per block.
pub(super) const BLOCK: usize = 64;

/// The raw marks of one block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Marks {
    /// `"`
    pub(super) quotes: u64,
    /// `\`
    pub(super) backslashes: u64,
    /// `{ [ } ]`
    pub(super) brackets: u64,
}

/// What the block before left behind: whether a string is open and whether its last byte escapes the next.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Strings {
    /// All ones inside a string, else zero.
    inside: u64,
    /// 1 when the first byte of the next block is escaped, else 0.
    escape: u64,
}

/// The marks of one block, those inside strings separated from those outside.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block {
    /// Quotes that open or close a string.
    pub(super) quotes: u64,
    /// Brackets outside strings.
    pub(super) brackets: u64,
    /// Bytes inside strings, opening quotes included, closing ones not.
    pub(super) inside: u64,
    /// Backslashes outside strings, where JSON has none.
    pub(super) stray: u64,
}

// === impl Marks ===

impl Marks {
    /// The marks of 64 bytes.
    #[inline]
    pub(super) fn of(block: &[u8; BLOCK]) -> Self {
        Self {
            quotes: mask(block, |lane| lane.simd_eq(u8x16::splat(b'"'))),
            backslashes: mask(block, |lane| lane.simd_eq(u8x16::splat(b'\\'))),
            brackets: mask(block, |lane| {
                let lane = lane | u8x16::splat(0x20);
                lane.simd_eq(u8x16::splat(b'{')) | lane.simd_eq(u8x16::splat(b'}'))
            }),
        }
    }
}

// === impl Strings ===

impl Strings {
    /// Whether the bytes seen so far end inside a string.
    pub(super) const fn open(self) -> bool {
        self.inside != 0
    }

    /// Separates strings from structure in the next `len` bytes (1 to 64; the rest of the block is padding
    /// without marks).
    #[inline]
    pub(super) fn next(&mut self, marks: Marks, len: usize) -> Block {
        let quotes = marks.quotes & !self.escaped(marks.backslashes, len);
        let inside = prefix_xor(quotes) ^ self.inside;
        // Bit 63 smeared over the whole word.
        self.inside = 0_u64.wrapping_sub(inside >> 63);
        Block { quotes, brackets: marks.brackets & !inside, inside, stray: marks.backslashes & !inside }
    }

    /// The bytes that a backslash before them escapes. A run of backslashes escapes what follows it when its
    /// length is odd; adding the odd starts carries a bit through each run and out at its end.
    #[inline]
    fn escaped(&mut self, backslashes: u64, len: usize) -> u64 {
        const EVEN: u64 = 0x5555_5555_5555_5555;
        if backslashes == 0 {
            return std::mem::take(&mut self.escape);
        }
        let backslashes = backslashes & !self.escape;
        let follows = backslashes << 1 | self.escape;
        let odd_starts = backslashes & !EVEN & !follows;
        let (even_runs, overflow) = odd_starts.overflowing_add(backslashes);
        let escaped = (EVEN ^ (even_runs << 1)) & follows;
        self.escape = if len < BLOCK { escaped >> len & 1 } else { u64::from(overflow) };
        escaped
    }
}

/// Each bit becomes the parity of the bits up to and including itself.
#[inline]
const fn prefix_xor(mut bits: u64) -> u64 {
    bits ^= bits << 1;
    bits ^= bits << 2;
    bits ^= bits << 4;
    bits ^= bits << 8;
    bits ^= bits << 16;
    bits ^= bits << 32;
    bits
}

/// The bytes at which a plain run inside a string ends: `"`, `\` and control characters.
#[inline]
pub(super) fn string_stops(block: &[u8; BLOCK]) -> u64 {
    mask(block, |lane| {
        let marks = lane.simd_eq(u8x16::splat(b'"')) | lane.simd_eq(u8x16::splat(b'\\'));
        marks | lane.min(u8x16::splat(0x1f)).simd_eq(lane)
    })
}

/// The bytes that `pick` marks with all ones.
#[inline]
fn mask(block: &[u8; BLOCK], pick: impl Fn(u8x16) -> u8x16) -> u64 {
    let (lanes, _) = block.as_chunks::<16>();
    lanes.iter().rev().fold(0, |bits, lane| bits << 16 | u64::from(pick(u8x16::from(*lane)).to_bitmask()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn slow(block: &[u8; BLOCK], pick: impl Fn(u8) -> bool) -> u64 {
        block.iter().enumerate().map(|(n, b)| u64::from(pick(*b)) << n).sum()
    }

    fn slow_marks(block: &[u8; BLOCK]) -> Marks {
        Marks {
            quotes: slow(block, |b| b == b'"'),
            backslashes: slow(block, |b| b == b'\\'),
            brackets: slow(block, |b| matches!(b, b'{' | b'}' | b'[' | b']')),
        }
    }

    fn slow_stops(block: &[u8; BLOCK]) -> u64 {
        slow(block, |b| b < 0x20 || b == b'"' || b == b'\\')
    }

    #[test]
    fn every_byte_value_is_classed() {
        for byte in 0..=255_u8 {
            let mut block = [b' '; BLOCK];
            for (n, slot) in block.iter_mut().enumerate() {
                if n % 3 == 1 {
                    *slot = byte;
                }
            }
            assert_eq!(Marks::of(&block), slow_marks(&block), "{byte}");
            assert_eq!(string_stops(&block), slow_stops(&block), "{byte}");
        }
    }

    proptest! {
        #[test]
        fn masks_of_any_block_equal_a_byte_loop(bytes in prop::collection::vec(any::<u8>(), BLOCK)) {
            let block: [u8; BLOCK] = bytes.try_into().unwrap();
            prop_assert_eq!(Marks::of(&block), slow_marks(&block));
            prop_assert_eq!(string_stops(&block), slow_stops(&block));
        }

        #[test]
        fn strings_are_followed_over_any_border(
            text in prop::collection::vec(prop::sample::select(b"\"\\\\{]a".to_vec()), 0..300),
            step in 1..=BLOCK,
        ) {
            let (mut inside, mut escaped) = (false, false);
            let mut strings = Strings::default();
            for part in text.chunks(step) {
                let mut block = [b' '; BLOCK];
                block[..part.len()].copy_from_slice(part);
                let seen = strings.next(Marks::of(&block), part.len());
                for (n, byte) in part.iter().enumerate() {
                    let quote = *byte == b'"' && !escaped;
                    escaped = *byte == b'\\' && !escaped;
                    inside ^= quote;
                    let bracket = matches!(byte, b'{' | b']') && !inside;
                    prop_assert_eq!(seen.quotes >> n & 1 == 1, quote);
                    prop_assert_eq!(seen.inside >> n & 1 == 1, inside);
                    prop_assert_eq!(seen.brackets >> n & 1 == 1, bracket);
                }
                prop_assert_eq!(strings.open(), inside);
            }
        }
    }
}
