use std::sync::Arc;

use futures::StreamExt;

use super::{json, next};
use crate::registry::{EmbeddedStore, Event, MemoryStore, Precondition, Secret, Store, StoreError};

fn is_conflict<T>(result: &Result<T, StoreError>) -> bool {
    matches!(result, Err(StoreError::Conflict))
}

/// Both stores, each empty.
fn both() -> (tempfile::TempDir, [Arc<dyn Store>; 2]) {
    let directory = tempfile::tempdir().unwrap();
    let embedded = EmbeddedStore::open(&directory.path().join("registry.redb")).unwrap();
    (directory, [Arc::new(MemoryStore::new()), Arc::new(embedded)])
}

#[tokio::test]
async fn writes_name_what_they_expect_and_versions_only_grow() {
    let (_directory, stores) = both();
    for store in stores {
        let one = store.put("clusters/a", "1".into(), Precondition::Absent).await.unwrap();
        assert!(is_conflict(&store.put("clusters/a", "2".into(), Precondition::Absent).await));
        let two = store.put("clusters/a", "2".into(), Precondition::Version(one)).await.unwrap();
        assert!(two > one);
        assert!(is_conflict(&store.put("clusters/a", "3".into(), Precondition::Version(one)).await));
        assert!(is_conflict(&store.delete("clusters/a", Precondition::Version(one)).await));
        assert_eq!(store.get("clusters/a").await.unwrap().unwrap().version, two);
        let three = store.delete("clusters/a", Precondition::Version(two)).await.unwrap().unwrap();
        assert!(three > two);
        assert_eq!(store.delete("clusters/a", Precondition::Any).await.unwrap(), None);
        assert!(is_conflict(&store.delete("clusters/a", Precondition::Version(two)).await));
        assert!(is_conflict(&store.put("clusters/b", "1".into(), Precondition::Version(two)).await));
        let again = store.put("clusters/a", "4".into(), Precondition::Absent).await.unwrap();
        assert!(again > three, "a version must not come back");
    }
}

#[tokio::test]
async fn lists_hold_one_prefix_in_order() {
    let (_directory, stores) = both();
    for store in stores {
        for key in ["clusters/b", "clusters0", "cluster", "clusters/a", "etcd-replicators/a"] {
            store.put(key, "x".into(), Precondition::Any).await.unwrap();
        }
        let keys: Vec<_> = store.list("clusters/").await.unwrap().into_iter().map(|e| e.key).collect();
        assert_eq!(keys, ["clusters/a".into(), "clusters/b".into()] as [Arc<str>; 2]);
    }
}

#[tokio::test]
async fn a_watch_begins_with_everything_and_misses_nothing() {
    let (_directory, stores) = both();
    for store in stores {
        store.put("clusters/a", "1".into(), Precondition::Any).await.unwrap();
        let mut events = store.watch();
        let Event::Reset { entries, revision } = next(&mut events).await else { panic!() };
        assert_eq!((entries.len(), revision), (1, 1));
        let version = store.put("clusters/b", "2".into(), Precondition::Any).await.unwrap();
        let Event::Put(entry) = next(&mut events).await else { panic!() };
        assert_eq!((&*entry.key, entry.version), ("clusters/b", version));
        store.delete("clusters/a", Precondition::Any).await.unwrap();
        let deleted = Event::Deleted { key: "clusters/a".into(), revision: version + 1 };
        assert_eq!(next(&mut events).await, deleted);
        drop(store);
        assert_eq!(events.next().await, None, "the watch ends with the store");
    }
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
async fn concurrent_creations_have_one_winner() {
    let (_directory, stores) = both();
    for store in stores {
        let one = |n: u8| {
            let store = Arc::clone(&store);
            async move { store.put("clusters/a", vec![n].into(), Precondition::Absent).await }
        };
        let results = futures::future::join_all((0..20).map(one)).await;
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
        assert_eq!(results.iter().filter(|result| is_conflict(result)).count(), 19);
    }
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
fn what_is_no_registry_is_not_opened_and_not_touched() {
    let directory = tempfile::tempdir().unwrap();
    assert!(matches!(EmbeddedStore::open(directory.path()), Err(StoreError::Open { .. })));
    assert!(matches!(EmbeddedStore::open(&directory.path().join("no/such")), Err(StoreError::Open { .. })));
    let path = directory.path().join("text");
    std::fs::write(&path, "not a database, but somebody's notes\n".repeat(10_000)).unwrap();
    assert!(matches!(EmbeddedStore::open(&path), Err(StoreError::Open { .. })));
    assert!(std::fs::read_to_string(&path).unwrap().starts_with("not a database"));
}
