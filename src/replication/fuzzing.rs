//! Entries for a fuzzer: each takes any bytes and panics when a property does not hold.

use super::record::{self, Fence};
use crate::corev2::ROOT;

/// Checks that a fence that is read is written so that it reads the same, and that the record of an object leads back
/// to it.
///
/// # Panics
///
/// When a property does not hold.
pub fn records(data: &[u8]) {
    if let Some(fence) = Fence::parse(data) {
        assert_eq!(Fence::parse(&fence.to_bytes()), Some(fence));
    }
    let object = [ROOT.as_bytes(), data].concat();
    let prefix = record::owned_prefix("store");
    let record = record::record_of(&prefix, &object);
    assert_eq!(record::object_of(&prefix, &record).as_deref(), Some(&*object));
    assert_eq!(record::object_of(&record::owned_prefix("other"), &record), None);
}
