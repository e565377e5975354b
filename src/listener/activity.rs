//! How many requests of a connection are open, which hyper does not say.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use http::Response;
use http_body::Body as _;
use tokio::time::Instant;

use crate::wire::Body;

/// The requests of one connection.
pub(super) struct Activity {
    begun: Instant,
    open: AtomicUsize,
    /// How many there were.
    requests: AtomicU64,
    /// Whether the last one could not be read, and was reported.
    refused: AtomicBool,
    /// When the last one ended, in milliseconds after the beginning.
    ended: AtomicU64,
}

/// A request until its answer is written, or given up.
pub(super) struct InProgress(Arc<Activity>);

// === impl Activity ===

impl Activity {
    pub(super) fn new() -> Self {
        Self {
            begun: Instant::now(),
            open: AtomicUsize::new(0),
            requests: AtomicU64::new(0),
            refused: AtomicBool::new(false),
            ended: AtomicU64::new(0),
        }
    }

    /// A request has come.
    pub(super) fn request(self: &Arc<Self>) -> InProgress {
        self.open.fetch_add(1, Relaxed);
        self.requests.fetch_add(1, Relaxed);
        InProgress(Arc::clone(self))
    }

    /// How many requests have come.
    pub(super) fn requests(&self) -> u64 {
        self.requests.load(Relaxed)
    }

    /// A request could not be read, and that was reported.
    pub(super) fn refuse(&self) {
        self.refused.store(true, Relaxed);
    }

    /// Whether that has happened.
    pub(super) fn was_refused(&self) -> bool {
        self.refused.load(Relaxed)
    }

    /// Since when there is no request; `None` while there is one.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        let ended = Duration::from_millis(self.ended.load(Relaxed));
        (self.open.load(Relaxed) == 0).then(|| self.begun + ended)
    }
}

// === impl InProgress ===

impl InProgress {
    /// Lasts as long as the answer.
    pub(super) fn until_end_of(self, response: Response<Body>) -> Response<Body> {
        if response.body().is_end_stream() {
            return response;
        }
        response.map(|body| body.holding(self))
    }
}

impl Drop for InProgress {
    fn drop(&mut self) {
        let ended = self.0.begun.elapsed().as_millis();
        self.0.ended.store(u64::try_from(ended).unwrap_or(u64::MAX), Relaxed);
        self.0.open.fetch_sub(1, Relaxed);
    }
}
