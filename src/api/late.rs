use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::time::Instant;

/// Remembers that the store has let somebody wait in vain, so that not everybody does. Cheap to clone.
///
/// A store that hangs, unlike one that is gone, is noticed by its watch only after a while.
#[derive(Clone, Debug, Default)]
pub(super) struct Late {
    last: Arc<Mutex<Option<Instant>>>,
}

// === impl Late ===

impl Late {
    pub(super) fn note(&self) {
        *self.last.lock() = Some(Instant::now());
    }

    pub(super) fn is_recent(&self) -> bool {
        self.last.lock().is_some_and(|last| last.elapsed() < RECENT)
    }
}

/// After this one request tries again.
const RECENT: Duration = Duration::from_secs(10);
