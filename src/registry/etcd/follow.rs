//! Turns etcd's events about the store's keys into the store's events, as a pure state machine.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use tokio::time::Instant;

use super::layout::{Layout, MAX_BYTES, Schema, version};
use crate::{
    error::Chain,
    etcd::{self, proto::KeyValue},
    registry::{Entry, Event},
};

/// Keeps all entries, because a watch that recovers without having missed anything ends in a `Reset` too. They share
/// their memory with the entries handed out.
pub(in crate::registry) struct Follow {
    layout: Arc<Layout>,
    contents: Contents,
    /// Of the load in progress.
    loading: Option<Contents>,
    revision: u64,
    /// `Down` was events, and no `Reset` since.
    is_down: bool,
    /// An interruption that has not been reported yet: when it must be, and its cause.
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

/// The prefix holds more than any registry would.
#[derive(Debug, PartialEq)]
pub(in crate::registry) struct TooMuch;

// === impl Follow ===

impl Follow {
    pub(in crate::registry) fn new(layout: Arc<Layout>) -> Self {
        Self {
            layout,
            contents: Contents::default(),
            loading: None,
            revision: 0,
            is_down: false,
            interrupted: None,
        }
    }

    /// Takes an event of the mirror. After an error the mirror must be replaced by a new one, which loads everything.
    pub(in crate::registry) fn apply(
        &mut self,
        event: etcd::Event,
        now: Instant,
        events: &mut VecDeque<Event>,
    ) -> Result<(), TooMuch> {
        match event {
            etcd::Event::Reset => self.loading = Some(Contents::default()),
            etcd::Event::Item(kv) => {
                self.loading.get_or_insert_default().put(&self.layout, kv);
            }
            etcd::Event::ResetDone { revision } => {
                self.contents = self.loading.take().unwrap_or_default();
                // The mirror does not repeat entries that were written during the load.
                self.revision = self.contents.newest().max(version(revision));
                self.interrupted = None;
                self.up(events);
            }
            etcd::Event::Put(kv) => self.put(kv, events),
            etcd::Event::Delete { key, revision } => self.delete(&key, version(revision), events),
            etcd::Event::Progress { revision } => self.revision = self.revision.max(version(revision)),
            etcd::Event::Interrupted { error, .. } => {
                self.loading = None;
                let until = self.interrupted.take().map_or(now + GRACE, |(until, _)| until);
                self.interrupted = Some((until, reason(&error)));
            }
            etcd::Event::Resumed { revision } => {
                self.revision = self.revision.max(version(revision));
                self.interrupted = None;
                if self.is_down {
                    self.up(events);
                }
            }
        }
        self.check_size(events)
    }

    /// When [`report_interruption`](Self::report_interruption) is due.
    pub(in crate::registry) fn deadline(&self) -> Option<Instant> {
        self.interrupted.as_ref().map(|(until, _)| *until).filter(|_| !self.is_down)
    }

    /// The interruption has lasted too long to be ignored.
    pub(in crate::registry) fn report_interruption(&mut self, events: &mut VecDeque<Event>) {
        if let Some((_, reason)) = self.interrupted.take() {
            self.down(reason, events);
        }
    }

    fn put(&mut self, kv: KeyValue, events: &mut VecDeque<Event>) {
        self.revision = self.revision.max(version(kv.mod_revision));
        match self.contents.put(&self.layout, kv) {
            Change::None => {}
            Change::Schema => self.settle(events),
            Change::Entry(_) if self.is_down => {}
            Change::Entry(entry) => events.push_back(Event::Put(entry)),
        }
    }

    fn delete(&mut self, key: &[u8], revision: u64, events: &mut VecDeque<Event>) {
        self.revision = self.revision.max(revision);
        if self.layout.is_schema(key) {
            self.contents.schema = Schema::Absent;
            self.settle(events);
        } else if let Some(key) = self.layout.entry_key(key)
            && let Some(removed) = self.contents.remove(key)
            && !self.is_down
        {
            events.push_back(Event::Deleted { key: removed.key, revision });
        }
    }

    /// The schema has changed under a running gateway: another version appeared, or disappeared again.
    fn settle(&mut self, events: &mut VecDeque<Event>) {
        if self.is_down || self.layout.refusal(&self.contents.schema).is_some() {
            self.up(events);
        }
    }

    fn up(&mut self, events: &mut VecDeque<Event>) {
        if let Some(refusal) = self.layout.refusal(&self.contents.schema) {
            return self.down(refusal.to_string().into(), events);
        }
        self.is_down = false;
        let entries = self.contents.entries.values().cloned().collect();
        events.push_back(Event::Reset { entries, revision: self.revision });
    }

    fn down(&mut self, reason: Arc<str>, events: &mut VecDeque<Event>) {
        self.is_down = true;
        events.push_back(Event::Down(reason));
    }

    fn check_size(&mut self, events: &mut VecDeque<Event>) -> Result<(), TooMuch> {
        let bytes = self.loading.as_ref().unwrap_or(&self.contents).bytes;
        if bytes <= MAX_BYTES {
            return Ok(());
        }
        self.loading = None;
        self.contents = Contents::default();
        self.interrupted = None;
        let mib = MAX_BYTES >> 20;
        let reason = format!(
            "{} holds more than {mib} MiB: check that the prefix is used by gateways only",
            self.layout
        );
        self.down(reason.into(), events);
        Err(TooMuch)
    }
}

/// What a write changes.
enum Change {
    /// Not a key of the registry, or nothing new.
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
        let version = version(kv.mod_revision);
        let Some(key) = layout.entry_key(&kv.key) else { return Change::None };
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

/// An error and what lies below it, in one line.
fn reason(error: &etcd::Error) -> Arc<str> {
    Chain(error).to_string().into()
}

/// An interruption shorter than this is not events: another member of etcd takes over in less.
const GRACE: Duration = Duration::from_secs(2);

/// What an entry costs besides its key and value, roughly.
const ENTRY_BYTES: usize = 128;
