use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::time::Instant;

/// Remembers that a read of the store has timed out, so that the next requests use the last view at once. Cheap to clone.
///
/// A store that hangs, unlike one that is gone, is noticed by its watch only after a while.
#[derive(Clone, Debug, Default)]
pub(super) struct StoreStallMemo {
    last: Arc<Mutex<Option<Instant>>>,
}

// === impl StoreStallMemo ===

impl StoreStallMemo {
    pub(super) fn note(&self) {
        *self.last.lock() = Some(Instant::now());
    }

    pub(super) fn is_recent(&self) -> bool {
        self.last.lock().is_some_and(|last| last.elapsed() < RECENT)
    }
}

/// After this one request tries again.
const RECENT: Duration = Duration::from_secs(10);
