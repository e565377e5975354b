//! The stores that need no server, under the suite that every store must pass.

use std::sync::Arc;

use fedgate::registry::{EmbeddedStore, MemoryStore, Store};

use crate::store_suite;

/// Runs a function of the suite on both stores, each empty.
async fn on_both(test: impl AsyncFn(Arc<dyn Store>)) {
    let directory = tempfile::tempdir().unwrap();
    test(Arc::new(MemoryStore::new())).await;
    test(Arc::new(EmbeddedStore::open(&directory.path().join("registry.redb")).unwrap())).await;
}

store_suite::suite!(on_both);
