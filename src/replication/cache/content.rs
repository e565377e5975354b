use std::{
    collections::{BTreeMap, VecDeque},
    ops::Bound,
    sync::Arc,
};

use bytes::Bytes;

use super::{Entry, OpenKeyspace, OwnWrite, SyncState};
use crate::etcd::{Error, Event, explain, proto::KeyValue};

/// What a [`ReplicaCache`](super::ReplicaCache) holds. Planning reads it under one lock, so that it sees one moment.
#[derive(Default)]
pub(in crate::replication) struct Content {
    entries: BTreeMap<Bytes, Entry>,
    keyspaces: BTreeMap<&'static str, Keyspace>,
    /// Keys that changed, oldest first; the last one is number `changes`.
    history: VecDeque<Bytes>,
    changes: u64,
    /// Grows whenever a load begins: results of writes made before are not applied to its keyspace.
    epoch: u64,
    /// How often the watch of each keyspace was lost or could not be opened.
    failures: BTreeMap<&'static str, u64>,
}

/// What changed since a reader last looked.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::replication) enum Changes {
    Keys(Vec<Bytes>),
    /// More than the history holds.
    Everything,
}

#[derive(Default)]
struct Keyspace {
    id: u64,
    complete: bool,
    followed: bool,
    trouble: Option<Arc<str>>,
    /// The epoch in which the last load began.
    begun: u64,
    loading: BTreeMap<Bytes, Entry>,
    /// The watch has delivered everything up to this revision.
    seen_until: i64,
    /// Keys deleted by our own writes whose event has not arrived: older changes of them are obsolete.
    gone: BTreeMap<Bytes, i64>,
}

// === impl Content ===

impl Content {
    pub(in crate::replication) fn get(&self, key: &[u8]) -> Option<&Entry> {
        self.entries.get(key)
    }

    /// Every entry whose key has this prefix, in the order of keys.
    pub(in crate::replication) fn range<'a>(
        &'a self,
        prefix: &'a [u8],
    ) -> impl Iterator<Item = (&'a Bytes, &'a Entry)> {
        let from = self.entries.range::<[u8], _>((Bound::Included(prefix), Bound::Unbounded));
        from.take_while(move |(key, _)| key.starts_with(prefix))
    }

    /// The first key that is not before this one.
    pub(in crate::replication) fn first_from(&self, from: &[u8]) -> Option<&Bytes> {
        let range = (Bound::Included(from), Bound::Unbounded);
        self.entries.range::<[u8], _>(range).next().map(|(key, _)| key)
    }

    /// Number of the last change.
    pub(in crate::replication) fn changes(&self) -> u64 {
        self.changes
    }

    /// What changed after change number `since`.
    pub(in crate::replication) fn since(&self, since: u64) -> Changes {
        let count = usize::try_from(self.changes.saturating_sub(since)).unwrap_or(usize::MAX);
        match self.history.len().checked_sub(count) {
            Some(skip) => Changes::Keys(self.history.range(skip..).cloned().collect()),
            None => Changes::Everything,
        }
    }

    pub(in crate::replication) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// How often the watches of these keyspaces were lost or could not be opened, for the counters. Never decreases.
    pub(in crate::replication) fn failures(&self, keyspaces: &[&'static str]) -> u64 {
        self.failures.iter().filter(|(name, _)| keyspaces.contains(name)).map(|(_, failures)| failures).sum()
    }

    /// How far these keyspaces can be relied on.
    pub(in crate::replication) fn sync_state<'a>(
        &self,
        keyspaces: impl IntoIterator<Item = &'a &'static str>,
    ) -> SyncState {
        let mut state = SyncState::Current;
        for keyspace in keyspaces {
            let Some(keyspace) = self.keyspaces.get(keyspace) else { return SyncState::Incomplete(None) };
            if !keyspace.complete {
                return SyncState::Incomplete(keyspace.trouble.clone());
            }
            if !keyspace.followed {
                state = SyncState::Stale(
                    keyspace.trouble.clone().unwrap_or_else(|| "it is being read again".into()),
                );
            }
        }
        state
    }

    pub(super) fn open(&mut self, name: &'static str) -> OpenKeyspace {
        self.forget(name);
        let id = self.epoch;
        self.keyspaces.insert(name, Keyspace { id, begun: id, ..Keyspace::default() });
        OpenKeyspace { name, id }
    }

    pub(super) fn forget(&mut self, keyspace: &'static str) {
        self.keyspaces.remove(keyspace);
        self.entries.retain(|key, _| !key.starts_with(keyspace.as_bytes()));
        self.history.clear();
        self.changes += 1;
        self.epoch += 1;
    }

    pub(super) fn apply(&mut self, OpenKeyspace { name, id }: OpenKeyspace, event: Event) {
        let Some(keyspace) = self.keyspaces.get_mut(name).filter(|keyspace| keyspace.id == id) else {
            return;
        };
        match event {
            Event::Reset => {
                keyspace.loading.clear();
                keyspace.followed = false;
                self.epoch += 1;
                keyspace.begun = self.epoch;
            }
            Event::Item(kv) => {
                let (key, entry) = entry_of(kv);
                keyspace.loading.insert(key, entry);
            }
            Event::ResetDone { revision } => {
                let loaded = std::mem::take(&mut keyspace.loading);
                keyspace.seen_until = revision;
                (keyspace.complete, keyspace.followed, keyspace.trouble) = (true, true, None);
                keyspace.gone.clear();
                self.replace(name, loaded);
            }
            Event::Put(kv) => {
                let (key, entry) = entry_of(kv);
                keyspace.seen_until = keyspace.seen_until.max(entry.revision);
                let gone = keyspace.gone.get(&key).copied().unwrap_or_default();
                if self.entries.get(&key).is_none_or(|old| old.revision < entry.revision)
                    && gone < entry.revision
                {
                    self.entries.insert(key.clone(), entry);
                    self.note(key);
                }
            }
            Event::Delete { key, revision } => {
                keyspace.seen_until = keyspace.seen_until.max(revision);
                if self.entries.get(&*key).is_some_and(|old| old.revision < revision) {
                    self.entries.remove(&*key);
                    self.note(key.into());
                }
            }
            Event::Progress { revision } => {
                keyspace.seen_until = keyspace.seen_until.max(revision);
                keyspace.gone.retain(|_, at| *at > revision);
                (keyspace.followed, keyspace.trouble) = (keyspace.complete, None);
            }
            Event::Resumed { .. } => (keyspace.followed, keyspace.trouble) = (keyspace.complete, None),
            Event::Interrupted { error, .. } => {
                // A compaction is part of etcd's life: a load follows at once.
                if !matches!(error, Error::Compacted { .. }) {
                    *self.failures.entry(name).or_default() += 1;
                }
                keyspace.followed = false;
                keyspace.trouble = Some(explain(&error).into());
            }
        }
    }

    pub(super) fn wrote(&mut self, epoch: u64, revision: i64, write: OwnWrite) {
        let (OwnWrite::Put(key, _) | OwnWrite::Deleted(key)) = &write;
        let keyspace = self.keyspaces.iter_mut().find(|(name, _)| key.starts_with(name.as_bytes()));
        // What has not been read yet is going to show it.
        let is_read = |keyspace: &Keyspace| keyspace.complete && keyspace.begun <= epoch;
        let Some((_, keyspace)) = keyspace.filter(|(_, keyspace)| is_read(keyspace)) else { return };
        // The watch may be faster than the answer, and have delivered later changes as well.
        if keyspace.seen_until >= revision {
            return;
        }
        match write {
            OwnWrite::Put(key, value) => {
                keyspace.gone.remove(&key);
                self.entries.insert(key, Entry { value, revision });
            }
            OwnWrite::Deleted(key) => {
                self.entries.remove(&key);
                keyspace.gone.insert(key, revision);
            }
        }
    }

    /// Replaces a keyspace by what was loaded.
    fn replace(&mut self, keyspace: &'static str, loaded: BTreeMap<Bytes, Entry>) {
        let lost: Vec<Bytes> = self
            .range(keyspace.as_bytes())
            .map(|(key, _)| key)
            .filter(|key| !loaded.contains_key(*key))
            .cloned()
            .collect();
        for key in lost {
            self.entries.remove(&key);
            self.note(key);
        }
        for (key, entry) in loaded {
            let old = self.entries.insert(key.clone(), entry);
            if old.as_ref().map(|old| &old.value) != self.entries.get(&key).map(|new| &new.value) {
                self.note(key);
            }
        }
    }

    fn note(&mut self, key: Bytes) {
        self.changes += 1;
        self.history.push_back(key);
        if self.history.len() > HISTORY {
            self.history.pop_front();
        }
    }
}

fn entry_of(kv: KeyValue) -> (Bytes, Entry) {
    // Without the spare capacity of the vectors.
    let bytes = |vec: Vec<u8>| Bytes::from(vec.into_boxed_slice());
    (bytes(kv.key), Entry { value: bytes(kv.value), revision: kv.mod_revision })
}

/// Changes in the history. A reader that is further behind examines everything.
pub(super) const HISTORY: usize = 4096;
