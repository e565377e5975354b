//! Entries for fuzzers: positions that clients hand back, and pages cut out of lists that clusters send.

use super::page::fuzzing;

/// Whatever a token holds is read back as it is written, or refused.
///
/// # Panics
/// When a property does not hold.
pub fn positions(data: &[u8]) {
    fuzzing::positions(data);
}

/// Pages of a list, cut as the first byte says, hold together what one page of everything holds, wherever its chunks end.
///
/// # Panics
/// When a property does not hold.
pub fn pages(data: &[u8]) {
    fuzzing::pages(data);
}
