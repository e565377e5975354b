use std::sync::Arc;

use super::{
    json,
    suite::{self, next},
};
use crate::{
    error::Classify as _,
    registry::{EmbeddedStore, Event, MemoryStore, Precondition, Secret, Store, StoreError},
};

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
                suite::$name(store).await;
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

#[tokio::test]
async fn a_slow_watcher_is_given_everything_anew() {
    let store = MemoryStore::new();
    let mut events = store.watch();
    for n in 0..1000 {
        store.put(&format!("clusters/{n}"), "x".into(), Precondition::Any).await.unwrap();
    }
    assert!(matches!(next(&mut events).await, Event::Reset { revision: 0, .. }));
    let Event::Reset { entries, revision } = next(&mut events).await else { panic!() };
    assert_eq!((entries.len(), revision), (1000, 1000));
}

#[tokio::test]
async fn the_secret_is_made_once_and_survives() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("registry.redb");
    let store = EmbeddedStore::open(&path).unwrap();
    let first = Secret::get_or_create(&store).await.unwrap();
    assert_eq!(Secret::get_or_create(&store).await.unwrap(), first);
    drop(store);
    let store = EmbeddedStore::open(&path).unwrap();
    assert_eq!(Secret::get_or_create(&store).await.unwrap(), first);
    assert_ne!(Secret::get_or_create(&MemoryStore::new()).await.unwrap(), first);
    assert_eq!(format!("{first:?}"), "Secret");
}

#[tokio::test]
async fn a_file_is_its_owners_and_opened_once() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("registry.redb");
    let store = EmbeddedStore::open(&path).unwrap();
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let error = EmbeddedStore::open(&path).err().unwrap().to_string();
    assert!(error.contains("registry.redb"), "{error}");
    let version = store.put("clusters/a", json("a", "https://a"), Precondition::Any).await.unwrap();
    drop(store);
    let store = EmbeddedStore::open(&path).unwrap();
    assert_eq!(store.get("clusters/a").await.unwrap().unwrap().version, version);
}

#[test]
fn only_a_lost_answer_leaves_a_client_in_doubt() {
    for (error, in_doubt) in
        [(StoreError::Unknown("lost".into()), true), (StoreError::Unavailable("down".into()), false)]
    {
        let reply = error.reply();
        assert_eq!((reply.status.as_u16(), reply.retry_after), (503, Some(5)));
        assert_eq!(reply.message.contains("may or may not have happened"), in_doubt);
    }
}

#[test]
fn a_file_that_was_half_made_is_made_anew() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("registry.redb");
    std::fs::write(directory.path().join("registry.redb.new"), vec![0; 10_000]).unwrap();
    drop(EmbeddedStore::open(&path).unwrap());
    let names: Vec<_> =
        std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["registry.redb"]);
}

#[test]
fn of_gateways_that_start_at_once_one_has_the_file() {
    let directory = tempfile::tempdir().unwrap();
    for round in 0..20 {
        let path = directory.path().join(format!("{round}.redb"));
        let opened: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| EmbeddedStore::open(&path))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(opened.iter().filter(|opened| opened.is_ok()).count() <= 1);
        drop(opened);
        EmbeddedStore::open(&path).unwrap();
    }
}

#[test]
fn what_is_no_registry_is_not_opened_and_not_touched() {
    let directory = tempfile::tempdir().unwrap();
    assert!(matches!(EmbeddedStore::open(directory.path()), Err(StoreError::Open { .. })));
    assert!(matches!(EmbeddedStore::open(&directory.path().join("no/such")), Err(StoreError::Open { .. })));
    let path = directory.path().join("text");
    std::fs::write(&path, "not a database, but somebody's notes\n".repeat(10_000)).unwrap();
    assert!(matches!(EmbeddedStore::open(&path), Err(StoreError::Open { .. })));
    assert!(std::fs::read_to_string(&path).unwrap().starts_with("not a database"));
}
