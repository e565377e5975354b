use std::{future::Future, pin::pin, sync::Arc, time::Duration};

use tokio::{
    sync::Semaphore,
    time::{Instant, timeout, timeout_at},
};

/// In the extensions of requests that are sent together, such as those of one list to all clusters: no more than
/// `AT_ONCE` of them open a connection at a time.
///
/// A TLS handshake costs milliseconds of a core and has a deadline of its own. A thousand that begin together each last as
/// long as all of them, and miss it. One that waits for the network makes way for the next after `PATIENCE`, so that hung
/// clusters hold up no others. Requests of other clients are not in this queue.
#[derive(Clone, Debug)]
pub struct Openings(Arc<Semaphore>);

// === impl Openings ===

impl Openings {
    /// For one set of requests.
    pub fn new() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE)))
    }

    /// Starts to open a connection when it is its turn, or at the deadline.
    pub(super) async fn in_turn<F: Future>(&self, deadline: Instant, open: F) -> F::Output {
        let turn = timeout_at(deadline, self.0.acquire()).await;
        let mut open = pin!(open);
        if let Ok(opened) = timeout(PATIENCE, open.as_mut()).await {
            return opened;
        }
        drop(turn);
        open.await
    }
}

impl Default for Openings {
    fn default() -> Self {
        Self::new()
    }
}

/// Connections that are opened at a time.
pub(super) const AT_ONCE: usize = 64;

/// How long one of them is waited for by those behind it.
pub(super) const PATIENCE: Duration = Duration::from_millis(100);
