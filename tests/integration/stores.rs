//! The stores that need no server, under the suite that every store must pass.

use std::sync::Arc;

use fedgate::registry::{EmbeddedStore, MemoryStore, Store};

use crate::store_suite;

/// Both stores, each empty.
fn both() -> (tempfile::TempDir, [Arc<dyn Store>; 2]) {
    let directory = tempfile::tempdir().unwrap();
    let embedded = EmbeddedStore::open(&directory.path().join("registry.redb")).unwrap();
    (directory, [Arc::new(MemoryStore::new()), Arc::new(embedded)])
}

/// Runs functions of the suite on each store.
macro_rules! suite {
    ($($name:ident,)*) => {
        $(#[tokio::test]
        async fn $name() {
            let (_directory, stores) = both();
            for store in stores {
                store_suite::$name(store).await;
            }
        })*
    };
}

suite! {
    writes_name_what_they_expect_and_versions_only_grow,
    lists_hold_one_prefix_in_order,
    a_watch_begins_with_everything_and_misses_nothing,
    concurrent_creations_have_one_winner,
    concurrent_first_calls_agree_on_the_secret,
}
