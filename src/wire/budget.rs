//! How many bytes the process may hold in memory, by kind of work.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// A bound on the bytes that a kind of work holds in memory, over the whole process.
///
/// Bytes are counted after they have arrived, so the bound is passed by at most one read of each task that adds to it.
#[derive(Debug)]
pub struct Budget {
    max_bytes: usize,
    held: AtomicUsize,
}

/// What one task holds of a [`Budget`]; given back when dropped.
#[derive(Debug)]
pub struct Held {
    budget: Arc<Budget>,
    /// Atomic because the futures of one task share it, not because threads do.
    bytes: AtomicUsize,
}

// === impl Budget ===

impl Budget {
    /// A budget of that many bytes, nothing of it held.
    pub fn new(max_bytes: usize) -> Arc<Self> {
        Arc::new(Self { max_bytes, held: AtomicUsize::new(0) })
    }

    /// Bytes that may be held.
    pub fn max_bytes(&self) -> usize {
        self.max_bytes
    }

    /// Bytes held at this moment.
    pub fn held_bytes(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// Whether all of it is held.
    pub fn is_exhausted(&self) -> bool {
        self.held_bytes() >= self.max_bytes
    }

    /// A share of it that holds nothing yet.
    pub fn hold(self: &Arc<Self>) -> Held {
        Held { budget: Arc::clone(self), bytes: AtomicUsize::new(0) }
    }
}

// === impl Held ===

impl Held {
    /// Counts bytes that are in memory now. Answers whether they fit into the budget; they count in either case.
    pub fn add(&self, bytes: usize) -> bool {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.budget.held.fetch_add(bytes, Ordering::Relaxed) + bytes <= self.budget.max_bytes
    }

    /// Gives some of the bytes back, at most those held.
    pub fn release(&mut self, bytes: usize) {
        let own = self.bytes.get_mut();
        let bytes = bytes.min(*own);
        *own -= bytes;
        self.budget.held.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Whether all of the budget is held.
    pub fn is_exhausted(&self) -> bool {
        self.budget.is_exhausted()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.budget.held.fetch_sub(*self.bytes.get_mut(), Ordering::Relaxed);
    }
}

/// Bytes of request bodies that are being read or forwarded: some 500 of the largest.
pub const REQUEST_BODY_BYTES: usize = 256 << 20;

/// Bytes of GraphQL answers that wait for those of other clusters: 16 requests that each merge 4 answers of the largest
/// size, or thousands of ordinary ones.
pub const GRAPHQL_ANSWER_BYTES: usize = 256 << 20;

/// Bytes of list answers that members have sent before it was their turn: the default of `limits.read-ahead-bytes`.
pub const LIST_READ_AHEAD_BYTES: usize = 256 << 20;

/// Bytes that answers hold while they are compressed: some 64 at once. Others are sent as they are.
pub const COMPRESSION_BYTES: usize = 64 << 20;

/// Most bytes of bodies that the process holds with the default configuration: what the memory limit of its container
/// must leave room for, apart from connections and caches.
///
/// It is the sum of four parts, and not one pool, so that a flood of one kind of work takes nothing from the others. A
/// body counts in one part only.
pub const MAX_HELD_BYTES: usize =
    REQUEST_BODY_BYTES + GRAPHQL_ANSWER_BYTES + LIST_READ_AHEAD_BYTES + COMPRESSION_BYTES;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_is_given_back() {
        let budget = Budget::new(10);
        let mut one = budget.hold();
        let other = budget.hold();
        assert!(one.add(6) && other.add(4));
        assert!(budget.is_exhausted());
        assert!(!one.add(1), "over the bound, and counted all the same");
        assert_eq!(budget.held_bytes(), 11);
        one.release(2);
        other.add(1);
        drop(one);
        assert_eq!(budget.held_bytes(), 5);
        drop(other);
        assert_eq!(budget.held_bytes(), 0);
    }

    #[test]
    fn no_more_is_given_back_than_was_held() {
        let budget = Budget::new(10);
        let (mut one, other) = (budget.hold(), budget.hold());
        assert!(one.add(2) && other.add(3));
        one.release(9);
        assert_eq!(budget.held_bytes(), 3);
    }
}
