//! What a mirror of the store's keys in etcd amounts to, as a pure state machine.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use tokio::time::Instant;

use super::{
    Entry, Event,
    etcd::{Layout, Schema},
};
use crate::{
    error::Chain,
    etcd::{self, proto::KeyValue},
};

/// Turns a mirror's events into a store's. Keeps a copy of all entries, which share their memory with those that it
/// told: a watch that comes back without having missed anything is told as a `Reset` too.
pub(super) struct Follow {
    layout: Arc<Layout>,
    contents: Contents,
    /// Of a load that is not complete.
    loading: Option<Contents>,
    revision: u64,
    /// `Down` was told, and no `Reset` since.
    is_down: bool,
    /// An interruption that is not told yet: until when it may pass unnoticed, and what it is.
    interrupted: Option<(Instant, Arc<str>)>,
}

/// All keys of a store.
#[derive(Default)]
struct Contents {
    entries: BTreeMap<Arc<str>, Entry>,
    /// Of keys and values together.
    bytes: usize,
    schema: Schema,
}

/// There is more under the prefix than any registry holds.
#[derive(Debug, PartialEq)]
pub(super) struct TooMuch;

// === impl Follow ===

impl Follow {
    pub(super) fn new(layout: Arc<Layout>) -> Self {
        Self {
            layout,
            contents: Contents::default(),
            loading: None,
            revision: 0,
            is_down: false,
            interrupted: None,
        }
    }

    /// Takes what the mirror tells. After an error the mirror is of no use any more: a new one loads everything.
    pub(super) fn take(
        &mut self,
        event: etcd::Event,
        now: Instant,
        told: &mut VecDeque<Event>,
    ) -> Result<(), TooMuch> {
        match event {
            etcd::Event::Reset => self.loading = Some(Contents::default()),
            etcd::Event::Item(kv) => {
                self.loading.get_or_insert_default().put(&self.layout, kv);
            }
            etcd::Event::ResetDone { revision } => {
                self.contents = self.loading.take().unwrap_or_default();
                // Entries that were written during the load are not told again.
                self.revision = self.contents.newest().max(number(revision));
                self.interrupted = None;
                self.up(told);
            }
            etcd::Event::Put(kv) => self.put(kv, told),
            etcd::Event::Delete { key, revision } => self.delete(&key, number(revision), told),
            etcd::Event::Progress { revision } => self.revision = self.revision.max(number(revision)),
            etcd::Event::Interrupted { error, .. } => {
                self.loading = None;
                let until = self.interrupted.take().map_or(now + GRACE, |(until, _)| until);
                self.interrupted = Some((until, reason(&error)));
            }
            etcd::Event::Resumed { revision } => {
                self.revision = self.revision.max(number(revision));
                self.interrupted = None;
                if self.is_down {
                    self.up(told);
                }
            }
        }
        self.check_size(told)
    }

    /// When [`give_up`](Self::give_up) is due.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.interrupted.as_ref().map(|(until, _)| *until).filter(|_| !self.is_down)
    }

    /// The interruption has lasted too long to be passed over.
    pub(super) fn give_up(&mut self, told: &mut VecDeque<Event>) {
        if let Some((_, reason)) = self.interrupted.take() {
            self.down(reason, told);
        }
    }

    fn put(&mut self, kv: KeyValue, told: &mut VecDeque<Event>) {
        self.revision = self.revision.max(number(kv.mod_revision));
        match self.contents.put(&self.layout, kv) {
            Change::None => {}
            Change::Schema => self.settle(told),
            Change::Entry(_) if self.is_down => {}
            Change::Entry(entry) => told.push_back(Event::Put(entry)),
        }
    }

    fn delete(&mut self, key: &[u8], revision: u64, told: &mut VecDeque<Event>) {
        self.revision = self.revision.max(revision);
        if self.layout.is_schema(key) {
            self.contents.schema = Schema::Absent;
            self.settle(told);
        } else if let Some(key) = self.layout.entry(key)
            && let Some(removed) = self.contents.remove(key)
            && !self.is_down
        {
            told.push_back(Event::Deleted { key: removed.key, revision });
        }
    }

    /// The schema has changed under a running gateway: another version has come, or gone again.
    fn settle(&mut self, told: &mut VecDeque<Event>) {
        if self.is_down || self.layout.refusal(&self.contents.schema).is_some() {
            self.up(told);
        }
    }

    fn up(&mut self, told: &mut VecDeque<Event>) {
        if let Some(refusal) = self.layout.refusal(&self.contents.schema) {
            return self.down(refusal.to_string().into(), told);
        }
        self.is_down = false;
        let entries = self.contents.entries.values().cloned().collect();
        told.push_back(Event::Reset { entries, revision: self.revision });
    }

    fn down(&mut self, reason: Arc<str>, told: &mut VecDeque<Event>) {
        self.is_down = true;
        told.push_back(Event::Down(reason));
    }

    fn check_size(&mut self, told: &mut VecDeque<Event>) -> Result<(), TooMuch> {
        let bytes = self.loading.as_ref().unwrap_or(&self.contents).bytes;
        if bytes <= MAX_BYTES {
            return Ok(());
        }
        self.loading = None;
        self.contents = Contents::default();
        self.interrupted = None;
        let mib = MAX_BYTES >> 20;
        let reason =
            format!("{} holds more than {mib} MiB: check that the prefix is the gateways' own", self.layout);
        self.down(reason.into(), told);
        Err(TooMuch)
    }
}

/// What a key that was written is.
enum Change {
    /// Somebody else's, or nothing new.
    None,
    Schema,
    Entry(Entry),
}

// === impl Contents ===

impl Contents {
    fn put(&mut self, layout: &Layout, kv: KeyValue) -> Change {
        if layout.is_schema(&kv.key) {
            self.schema = Schema::of(&kv.value);
            return Change::Schema;
        }
        let version = number(kv.mod_revision);
        let Some(key) = layout.entry(&kv.key) else { return Change::None };
        if self.entries.get(key).is_some_and(|known| known.version == version) {
            return Change::None;
        }
        self.remove(key);
        let entry = Entry { key: key.into(), value: kv.value.into(), version };
        self.bytes += size(&entry);
        self.entries.insert(Arc::clone(&entry.key), entry.clone());
        Change::Entry(entry)
    }

    fn remove(&mut self, key: &str) -> Option<Entry> {
        let removed = self.entries.remove(key)?;
        self.bytes -= size(&removed);
        Some(removed)
    }

    fn newest(&self) -> u64 {
        self.entries.values().map(|entry| entry.version).max().unwrap_or(0)
    }
}

fn size(entry: &Entry) -> usize {
    ENTRY_BYTES + entry.key.len() + entry.value.len()
}

/// A revision of etcd's, which is never negative.
pub(super) fn number(revision: i64) -> u64 {
    u64::try_from(revision).unwrap_or(0)
}

/// An error and what lies below it, in one line.
fn reason(error: &etcd::Error) -> Arc<str> {
    Chain(error).to_string().into()
}

/// An interruption shorter than this is not told: another member of etcd takes over in less.
const GRACE: Duration = Duration::from_secs(2);

/// Largest registry that is followed: some ten thousand clusters. More means that the prefix is somebody else's.
pub(super) const MAX_BYTES: usize = 64 << 20;

/// What an entry costs besides its key and value, about.
const ENTRY_BYTES: usize = 128;
