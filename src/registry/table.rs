use std::{collections::BTreeMap, ops::Bound, sync::Arc};

use bytes::Bytes;
use futures::{StreamExt, stream};
use parking_lot::Mutex;
use tokio::sync::broadcast::{self, error::RecvError};

use super::{Entry, Event, Events, Precondition, StoreError};

/// The entries of a store in memory, with their watchers. Locked only briefly, never across an await or disk access.
pub(super) struct Table {
    inner: Mutex<Inner>,
}

struct Inner {
    entries: BTreeMap<Arc<str>, Entry>,
    revision: u64,
    down: Option<Arc<str>>,
    events: broadcast::Sender<Event>,
}

/// What a write does.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Put(Bytes),
    Delete,
}

/// A write that passed its precondition, with the revision it will have.
#[derive(Debug)]
pub(super) enum Planned {
    Put(Entry),
    Delete {
        key: Arc<str>,
        revision: u64,
    },
    /// Nothing to delete.
    Nothing,
}

// === impl Table ===

impl Table {
    pub(super) fn new(entries: Vec<Entry>, revision: u64) -> Arc<Self> {
        let entries = entries.into_iter().map(|entry| (Arc::clone(&entry.key), entry)).collect();
        let (events, _) = broadcast::channel(BACKLOG);
        Arc::new(Self { inner: Mutex::new(Inner { entries, revision, down: None, events }) })
    }

    pub(super) fn get(&self, key: &str) -> Option<Entry> {
        self.inner.lock().entries.get(key).cloned()
    }

    pub(super) fn list(&self, prefix: &str) -> Vec<Entry> {
        let inner = self.inner.lock();
        let from = inner.entries.range::<str, _>((Bound::Included(prefix), Bound::Unbounded));
        from.map(|(_, entry)| entry).take_while(|entry| entry.key.starts_with(prefix)).cloned().collect()
    }

    /// Checks a write. There must be no other write between this and [`apply`](Self::apply).
    pub(super) fn plan(
        &self,
        key: &str,
        change: Change,
        expected: Precondition,
    ) -> Result<Planned, StoreError> {
        self.inner.lock().plan(key, change, expected)
    }

    /// Makes a planned write visible.
    pub(super) fn apply(&self, planned: Planned) -> Option<u64> {
        self.inner.lock().apply(planned)
    }

    /// [`plan`](Self::plan) and [`apply`](Self::apply) in one.
    pub(super) fn write(
        &self,
        key: &str,
        change: Change,
        expected: Precondition,
    ) -> Result<Option<u64>, StoreError> {
        let mut inner = self.inner.lock();
        if let Some(reason) = &inner.down {
            return Err(StoreError::unavailable(reason.to_string()));
        }
        let planned = inner.plan(key, change, expected)?;
        Ok(inner.apply(planned))
    }

    /// Reports to the watchers that the store cannot be written.
    pub(super) fn down(&self, reason: &str) {
        let mut inner = self.inner.lock();
        let reason: Arc<str> = reason.into();
        inner.down = Some(Arc::clone(&reason));
        inner.publish(Event::Down(reason));
    }

    /// Whether [`down`](Self::down) was called last.
    pub(super) fn is_down(&self) -> bool {
        self.inner.lock().down.is_some()
    }

    /// Replaces everything; ends [`down`](Self::down).
    pub(super) fn reset(&self, entries: Vec<Entry>, revision: u64) {
        let mut inner = self.inner.lock();
        inner.entries = entries.into_iter().map(|entry| (Arc::clone(&entry.key), entry)).collect();
        inner.revision = revision;
        inner.up();
    }

    /// Ends [`down`](Self::down), with unchanged entries.
    pub(super) fn up(&self) {
        self.inner.lock().up();
    }

    pub(super) fn watch(self: &Arc<Self>) -> Events {
        let (first, receiver) = self.subscribe();
        // The stream holds only the receiver: it ends with the store.
        let table = Arc::downgrade(self);
        let rest = stream::unfold((table, receiver), |(table, mut receiver)| async move {
            match receiver.recv().await {
                Ok(event) => Some((vec![event], (table, receiver))),
                Err(RecvError::Closed) => None,
                Err(RecvError::Lagged(_)) => {
                    let (events, receiver) = table.upgrade()?.subscribe();
                    Some((events, (table, receiver)))
                }
            }
        });
        stream::iter(first).chain(rest.flat_map(stream::iter)).boxed()
    }

    /// Everything as of now, and a receiver of later events.
    fn subscribe(&self) -> (Vec<Event>, broadcast::Receiver<Event>) {
        let inner = self.inner.lock();
        let mut events = vec![inner.all()];
        events.extend(inner.down.clone().map(Event::Down));
        (events, inner.events.subscribe())
    }
}

// === impl Inner ===

impl Inner {
    fn plan(&self, key: &str, change: Change, expected: Precondition) -> Result<Planned, StoreError> {
        let current = self.entries.get(key);
        let met = match expected {
            Precondition::Any => true,
            Precondition::Absent => current.is_none(),
            Precondition::Version(version) => current.is_some_and(|entry| entry.version == version),
        };
        if !met {
            return Err(StoreError::Conflict);
        }
        let revision = self.revision + 1;
        Ok(match (change, current) {
            (Change::Put(value), _) => Planned::Put(Entry { key: key.into(), value, version: revision }),
            (Change::Delete, Some(entry)) => Planned::Delete { key: Arc::clone(&entry.key), revision },
            (Change::Delete, None) => Planned::Nothing,
        })
    }

    fn apply(&mut self, planned: Planned) -> Option<u64> {
        let event = match planned {
            Planned::Nothing => return None,
            Planned::Put(entry) => {
                self.revision = entry.version;
                self.entries.insert(Arc::clone(&entry.key), entry.clone());
                Event::Put(entry)
            }
            Planned::Delete { key, revision } => {
                self.revision = revision;
                self.entries.remove(&key);
                Event::Deleted { key, revision }
            }
        };
        self.publish(event);
        Some(self.revision)
    }

    fn up(&mut self) {
        self.down = None;
        let everything = self.all();
        self.publish(everything);
    }

    fn all(&self) -> Event {
        Event::Reset { entries: self.entries.values().cloned().collect(), revision: self.revision }
    }

    fn publish(&self, event: Event) {
        // No watchers is not an error.
        let _ = self.events.send(event);
    }
}

/// Changes that a slow watcher may be behind before it gets everything again.
const BACKLOG: usize = 256;
