//! Data to look at, and its life.

use super::store::Store;

pub(super) fn seed(_store: &mut Store, _seed: u64, _now: i64) {}

pub(super) fn tick(_store: &mut Store, _now: i64) {}
