//! What every store does, whatever it keeps its entries in. Each function needs an empty store.

use std::{sync::Arc, time::Duration};

use fedgate::registry::{Event, Events, Precondition, Secret, Store, StoreError};
use futures::StreamExt;

/// Declares a test for each function of the suite, which `$run` is given to be run on its stores.
macro_rules! suite {
    ($run:ident) => {
        crate::store_suite::suite! { $run:
            writes_name_what_they_expect_and_versions_only_grow,
            lists_hold_one_prefix_in_order,
            a_watch_begins_with_everything_and_misses_nothing,
            concurrent_creations_have_one_winner,
            concurrent_first_calls_agree_on_the_secret,
        }
    };
    ($run:ident: $($name:ident,)*) => {
        $(#[tokio::test]
        async fn $name() {
            $run(crate::store_suite::$name).await;
        })*
    };
}
pub(crate) use suite;

fn is_conflict<T>(result: &Result<T, StoreError>) -> bool {
    matches!(result, Err(StoreError::Conflict))
}

/// The next event, which must come.
pub(crate) async fn next(events: &mut Events) -> Event {
    let event = tokio::time::timeout(Duration::from_secs(60), events.next()).await;
    event.expect("no event").expect("the watch has ended")
}

pub(crate) async fn writes_name_what_they_expect_and_versions_only_grow(store: Arc<dyn Store>) {
    assert_eq!(store.get("clusters/a").await.unwrap(), None);
    let one = store.put("clusters/a", "1".into(), Precondition::Absent).await.unwrap();
    assert!(is_conflict(&store.put("clusters/a", "2".into(), Precondition::Absent).await));
    let two = store.put("clusters/a", "2".into(), Precondition::Version(one)).await.unwrap();
    assert!(two > one);
    assert!(is_conflict(&store.put("clusters/a", "3".into(), Precondition::Version(one)).await));
    assert!(is_conflict(&store.delete("clusters/a", Precondition::Version(one)).await));
    assert!(is_conflict(&store.delete("clusters/a", Precondition::Absent).await));
    let entry = store.get("clusters/a").await.unwrap().unwrap();
    assert_eq!((&*entry.key, &*entry.value, entry.version), ("clusters/a", &b"2"[..], two));
    let three = store.delete("clusters/a", Precondition::Version(two)).await.unwrap().unwrap();
    assert!(three > two);
    assert_eq!(store.delete("clusters/a", Precondition::Any).await.unwrap(), None);
    assert_eq!(store.delete("clusters/a", Precondition::Absent).await.unwrap(), None);
    assert!(is_conflict(&store.delete("clusters/a", Precondition::Version(two)).await));
    for none in [two, 0, u64::MAX] {
        assert!(is_conflict(&store.put("clusters/b", "1".into(), Precondition::Version(none)).await));
    }
    let again = store.put("clusters/a", "4".into(), Precondition::Absent).await.unwrap();
    assert!(again > three, "a version must not come back");
}

pub(crate) async fn lists_hold_one_prefix_in_order(store: Arc<dyn Store>) {
    for key in ["clusters/b", "clusters0", "cluster", "clusters/a", "etcd-replicators/a"] {
        store.put(key, "x".into(), Precondition::Any).await.unwrap();
    }
    let keys: Vec<_> = store.list("clusters/").await.unwrap().into_iter().map(|e| e.key).collect();
    assert_eq!(keys, ["clusters/a".into(), "clusters/b".into()] as [Arc<str>; 2]);
    assert_eq!(store.list("").await.unwrap().len(), 5);
}

pub(crate) async fn a_watch_begins_with_everything_and_misses_nothing(store: Arc<dyn Store>) {
    let first = store.put("clusters/a", "1".into(), Precondition::Any).await.unwrap();
    let mut events = store.watch();
    let Event::Reset { entries, revision } = next(&mut events).await else { panic!() };
    assert_eq!((entries.len(), &*entries[0].key, revision), (1, "clusters/a", first));
    let version = store.put("clusters/b", "2".into(), Precondition::Any).await.unwrap();
    let Event::Put(entry) = next(&mut events).await else { panic!() };
    assert_eq!((&*entry.key, entry.version), ("clusters/b", version));
    let deleted = store.delete("clusters/a", Precondition::Any).await.unwrap().unwrap();
    assert!(deleted > version);
    let event = Event::Deleted { key: "clusters/a".into(), revision: deleted };
    assert_eq!(next(&mut events).await, event);
    drop(store);
    assert_eq!(events.next().await, None, "the watch ends with the store");
}

pub(crate) async fn concurrent_creations_have_one_winner(store: Arc<dyn Store>) {
    let one = |n: u8| {
        let store = Arc::clone(&store);
        async move { store.put("clusters/a", vec![n].into(), Precondition::Absent).await }
    };
    let results = futures::future::join_all((0..20).map(one)).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    assert_eq!(results.iter().filter(|result| is_conflict(result)).count(), 19);
}

pub(crate) async fn concurrent_first_calls_agree_on_the_secret(store: Arc<dyn Store>) {
    let made = futures::future::join_all((0..5).map(|_| Secret::get_or_create(&*store))).await;
    let secrets: Vec<_> = made.into_iter().map(Result::unwrap).collect();
    assert!(secrets.iter().all(|secret| *secret == secrets[0]));
    let entry = store.get("secrets/continue").await.unwrap().unwrap();
    assert_eq!(&*entry.value, secrets[0].as_bytes());
}
