//! Keeps the lease of a fence alive.

use std::{sync::Arc, time::Duration};

use tokio::{task::AbortHandle, time::sleep};

use crate::etcd::{Client, Error};

/// Keeps one lease alive, beside the task that uses it. Dropping this ends that, and some time later the lease.
pub(super) struct LeaseKeeper {
    ttl: Duration,
    kept: Option<(i64, AbortHandle)>,
}

// === impl LeaseKeeper ===

impl LeaseKeeper {
    /// `ttl` is how long the lease lasts.
    pub(super) fn new(ttl: Duration) -> Self {
        Self { ttl, kept: None }
    }

    /// Keeps this lease alive from now on, and no other.
    pub(super) fn keep(&mut self, client: &Arc<Client>, lease: Option<i64>) {
        if self.kept.as_ref().map(|(id, _)| *id) == lease {
            return;
        }
        self.end();
        self.kept =
            lease.map(|id| (id, tokio::spawn(renew(Arc::clone(client), id, self.ttl)).abort_handle()));
    }

    fn end(&mut self) {
        if let Some((_, task)) = self.kept.take() {
            task.abort();
        }
    }
}

impl Drop for LeaseKeeper {
    fn drop(&mut self) {
        self.end();
    }
}

/// Ends with the lease: the fence goes with it, which its watch and the next write notice.
async fn renew(client: Arc<Client>, id: i64, ttl: Duration) {
    let mut lease = client.keep_alive(id);
    loop {
        let pause = match lease.renew().await {
            Ok(_) => ttl / RENEWALS,
            Err(Error::LeaseNotFound) => return,
            // What is wrong shows when the destination is written to.
            Err(_) => RETRY.min(ttl / RENEWALS),
        };
        sleep(pause).await;
    }
}

/// How many times within its life a lease is renewed.
const RENEWALS: u32 = 3;

/// Before the next attempt after a failure.
const RETRY: Duration = Duration::from_secs(2);
