use proptest::prelude::*;

use super::{content::HISTORY, *};
use crate::etcd::{Error, proto::KeyValue};

const KEYSPACE: &str = "/a/";

fn kv(key: &str, value: &str, revision: i64) -> KeyValue {
    KeyValue { key: key.into(), value: value.into(), mod_revision: revision, ..KeyValue::default() }
}

fn load(entries: &[(&str, &str, i64)]) -> Vec<Event> {
    let items = entries.iter().map(|(key, value, revision)| Event::Item(kv(key, value, *revision)));
    let base = entries.iter().map(|(_, _, revision)| *revision).max().unwrap_or(1);
    [Event::Reset].into_iter().chain(items).chain([Event::ResetDone { revision: base }]).collect()
}

fn interrupted() -> Event {
    Event::Interrupted { error: Error::NoSpace, retry_in: std::time::Duration::ZERO }
}

fn value(cache: &ReplicaCache, key: &str) -> Option<String> {
    cache.read().get(key.as_bytes()).map(|entry| String::from_utf8(entry.value.to_vec()).unwrap())
}

/// A cache of keyspaces that are complete and followed. Also for the tests of other modules.
pub(in crate::replication) fn cache_of<'a>(
    keyspaces: &[&'static str],
    entries: impl IntoIterator<Item = (&'a [u8], &'a [u8], i64)>,
) -> Arc<ReplicaCache> {
    let cache = ReplicaCache::new();
    let entries: Vec<_> = entries.into_iter().collect();
    for keyspace in keyspaces {
        let open = cache.open(keyspace);
        let in_keyspace = entries.iter().filter(|(key, _, _)| key.starts_with(keyspace.as_bytes()));
        let items = in_keyspace.map(|&(key, value, mod_revision)| {
            Event::Item(KeyValue {
                key: key.into(),
                value: value.into(),
                mod_revision,
                ..KeyValue::default()
            })
        });
        cache.apply(open, [Event::Reset].into_iter().chain(items).chain([Event::ResetDone { revision: 1 }]));
    }
    cache
}

#[test]
fn lost_watches_are_counted_and_compactions_are_not() {
    let cache = ReplicaCache::new();
    let keyspace = cache.open(KEYSPACE);
    let compacted =
        Event::Interrupted { error: Error::Compacted { oldest: None }, retry_in: std::time::Duration::ZERO };
    cache.apply(keyspace, load(&[]).into_iter().chain([interrupted(), compacted, interrupted()]));
    cache.close(KEYSPACE);
    assert_eq!(cache.read().failures(&[KEYSPACE, "/b/", KEYSPACE]), 2);
}

#[test]
fn a_keyspace_counts_from_its_first_load_to_the_loss_of_its_watch() {
    let cache = ReplicaCache::new();
    let state = || cache.read().sync_state([&KEYSPACE]);
    assert_eq!(state(), SyncState::Incomplete(None));
    let keyspace = cache.open(KEYSPACE);
    cache.apply(keyspace, [interrupted()]);
    assert!(matches!(state(), SyncState::Incomplete(Some(_))));
    cache.apply(keyspace, load(&[("/a/1", "x", 1)]));
    assert_eq!(state(), SyncState::Current);
    cache.apply(keyspace, [interrupted()]);
    assert!(matches!(state(), SyncState::Stale(_)));
    cache.apply(keyspace, [Event::Resumed { revision: 1 }]);
    assert_eq!(state(), SyncState::Current);
    // During another load the old content stays, but does not count as current.
    cache.apply(keyspace, [Event::Reset, Event::Item(kv("/a/2", "y", 5))]);
    assert!(matches!(state(), SyncState::Stale(_)));
    assert_eq!((value(&cache, "/a/1"), value(&cache, "/a/2")), (Some("x".into()), None));
    cache.apply(keyspace, [Event::ResetDone { revision: 5 }]);
    assert_eq!((value(&cache, "/a/1"), value(&cache, "/a/2")), (None, Some("y".into())));
    // Events of an old mirror no longer count once its keyspace was opened again.
    cache.open(KEYSPACE);
    cache.apply(keyspace, load(&[("/a/3", "z", 9)]));
    assert_eq!(state(), SyncState::Incomplete(None));
    assert_eq!(value(&cache, "/a/3"), None);
}

#[test]
fn what_changed_is_remembered_up_to_a_bound() {
    let cache = ReplicaCache::new();
    let keyspace = cache.open(KEYSPACE);
    cache.apply(keyspace, load(&[("/a/1", "x", 1)]));
    let before = cache.read().changes();
    assert_eq!(cache.read().since(before), Changes::Keys(vec![]));
    cache.apply(
        keyspace,
        [Event::Put(kv("/a/1", "y", 2)), Event::Delete { key: b"/a/1".to_vec(), revision: 3 }],
    );
    assert_eq!(cache.read().since(before), Changes::Keys(vec!["/a/1".into(), "/a/1".into()]));
    // Repeated or old events change nothing.
    let before = cache.read().changes();
    cache.apply(keyspace, [Event::Delete { key: b"/a/1".to_vec(), revision: 3 }]);
    assert_eq!(cache.read().since(before), Changes::Keys(vec![]));
    // A load reports only values that differ.
    cache.apply(keyspace, load(&[("/a/2", "x", 4)]));
    let before = cache.read().changes();
    cache.apply(keyspace, load(&[("/a/2", "x", 5), ("/a/3", "x", 5)]));
    assert_eq!(cache.read().since(before), Changes::Keys(vec!["/a/3".into()]));
    let puts = (0..=HISTORY).map(|n| Event::Put(kv("/a/1", "z", 10 + i64::try_from(n).unwrap())));
    cache.apply(keyspace, puts);
    assert_eq!(cache.read().since(before), Changes::Everything);
    cache.close(KEYSPACE);
    assert_eq!(cache.read().since(before), Changes::Everything);
}

#[test]
fn an_own_write_counts_at_once_and_its_echo_and_older_news_do_not() {
    let cache = ReplicaCache::new();
    let keyspace = cache.open(KEYSPACE);
    cache.apply(keyspace, load(&[("/a/1", "x", 1)]));
    let epoch = cache.read().epoch();
    let put = |value: &'static str| OwnWrite::Put("/a/1".into(), value.into());
    // A load of another keyspace does not matter; that one will show by itself what is written to it.
    let other = cache.open("/b/");
    cache.apply(other, [Event::Reset]);
    let before = cache.read().changes();
    cache.wrote(epoch, 5, [put("ours"), OwnWrite::Put("/b/1".into(), "ours".into())]);
    assert_eq!(value(&cache, "/b/1"), None);
    cache.apply(keyspace, [Event::Put(kv("/a/1", "older", 4)), Event::Put(kv("/a/1", "ours", 5))]);
    assert_eq!(value(&cache, "/a/1"), Some("ours".into()));
    cache.wrote(epoch, 7, [OwnWrite::Deleted("/a/1".into())]);
    cache.apply(keyspace, [Event::Put(kv("/a/1", "older", 6)), Event::Progress { revision: 6 }]);
    assert_eq!(value(&cache, "/a/1"), None);
    assert_eq!(cache.read().since(before), Changes::Keys(vec![]));
    cache.apply(keyspace, [Event::Put(kv("/a/1", "newer", 8))]);
    assert_eq!(value(&cache, "/a/1"), Some("newer".into()));
    // A load that began after the write was sent shows it or its end: the write itself is not entered.
    cache.apply(keyspace, load(&[("/a/1", "newest", 9)]));
    cache.wrote(epoch, 20, [put("lost")]);
    assert_eq!(value(&cache, "/a/1"), Some("newest".into()));
}

proptest! {
    /// Whether the answer to a write or the watch is faster, the newest wins.
    #[test]
    fn the_newest_of_watch_and_own_writes_wins(
        ops in proptest::collection::vec((0..3_usize, any::<bool>(), any::<bool>()), 1..30),
        order in any::<u64>(),
    ) {
        let cache = ReplicaCache::new();
        let keyspace = cache.open(KEYSPACE);
        cache.apply(keyspace, load(&[]));
        let epoch = cache.read().epoch();
        let keys = ["/a/1", "/a/2", "/a/3"];
        // The watch reports everything in order. Responses to writes come in their own, before or after.
        let mut random = fastrand::Rng::with_seed(order);
        let mut pending: Vec<Event> = Vec::new();
        let mut answers: Vec<(i64, OwnWrite)> = Vec::new();
        for (n, (key, is_put, is_own)) in ops.iter().enumerate() {
            let revision = 10 + i64::try_from(n).unwrap();
            let key = keys[*key];
            let text = format!("v{n}");
            if *is_own {
                let write = match is_put {
                    true => OwnWrite::Put(key.into(), text.clone().into()),
                    false => OwnWrite::Deleted(key.into()),
                };
                answers.push((revision, write));
            }
            pending.push(match is_put {
                true => Event::Put(kv(key, &text, revision)),
                false => Event::Delete { key: key.into(), revision },
            });
            for _ in 0..2 {
                if random.bool() {
                    cache.apply(keyspace, pending.drain(..));
                }
                if random.bool() {
                    answers.drain(..).for_each(|(revision, write)| cache.wrote(epoch, revision, [write]));
                }
            }
        }
        cache.apply(keyspace, pending.drain(..));
        answers.drain(..).for_each(|(revision, write)| cache.wrote(epoch, revision, [write]));
        for key in keys {
            let last = ops.iter().enumerate().rev().find(|(_, (index, _, _))| keys[*index] == key);
            let expected = last.filter(|(_, (_, is_put, _))| *is_put).map(|(n, _)| format!("v{n}"));
            prop_assert_eq!(value(&cache, key), expected);
        }
    }
}
