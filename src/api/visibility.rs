use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, time};

use crate::{registry::Registry, types::Snapshot};

/// Waits until a write is visible everywhere in this process: to the API, which reads the registry's view, and to the
/// workers, which route by the clusters in it. Cheap to clone.
#[derive(Clone)]
pub(super) struct Visibility {
    registry: watch::Receiver<Arc<Registry>>,
    workers: Option<Workers>,
}

#[derive(Clone)]
struct Workers {
    newest: watch::Receiver<Arc<Snapshot>>,
    applied: Arc<[watch::Receiver<Arc<Snapshot>>]>,
}

// === impl Visibility ===

impl Visibility {
    /// In the registry's view.
    pub(super) fn new(registry: watch::Receiver<Arc<Registry>>) -> Self {
        Self { registry, workers: None }
    }

    /// And in the workers.
    pub(super) fn with_workers(
        self,
        newest: watch::Receiver<Arc<Snapshot>>,
        applied: impl IntoIterator<Item = watch::Receiver<Arc<Snapshot>>>,
    ) -> Self {
        Self { workers: Some(Workers { newest, applied: applied.into_iter().collect() }), ..self }
    }

    /// Waits for what was written at this revision of the store, so that the client's next request sees it; not for ever.
    pub(super) async fn wait(&self, revision: u64) {
        let mut registry = self.registry.clone();
        let seen = registry.wait_for(|view| view.revision() >= revision);
        if time::timeout(VIEW_TIMEOUT, seen).await.is_err() {
            tracing::warn!(revision, "a change was stored but has not come back from the store's watch yet");
        }
        if let Some(workers) = &self.workers {
            workers.wait().await;
        }
    }
}

// === impl Workers ===

impl Workers {
    async fn wait(&self) {
        let newest = Arc::clone(&self.newest.borrow());
        for worker in self.applied.iter() {
            // Newer will do: a worker that skipped this one will not go back to it.
            let applied = |snapshot: &Arc<Snapshot>| {
                Arc::ptr_eq(snapshot, &newest) || !Arc::ptr_eq(&self.newest.borrow(), &newest)
            };
            if time::timeout(WORKER_TIMEOUT, worker.clone().wait_for(applied)).await.is_err() {
                tracing::warn!("a change was stored, but a worker is too busy to route by it yet");
                return;
            }
        }
    }
}

/// How long an acknowledged write may wait for the watch.
const VIEW_TIMEOUT: Duration = Duration::from_secs(3);

/// How long it may wait for a busy worker.
const WORKER_TIMEOUT: Duration = Duration::from_secs(3);
