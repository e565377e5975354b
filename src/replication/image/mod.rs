//! A copy in memory of some areas of one etcd, kept up to date, with a short history of what changed.
//!
//! Many may read it; nobody who reads can delay it. Who has fallen behind the history, or comes for the first time,
//! looks at everything instead: there are no queues.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::Bound,
    sync::Arc,
};

use bytes::Bytes;
use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use tokio::{sync::watch, task::AbortHandle};

use crate::etcd::{Client, Event, Mirror, proto::KeyValue};

/// A copy of some areas of one etcd.
pub(super) struct Image {
    content: RwLock<Content>,
    changed: watch::Sender<()>,
}

/// What an [`Image`] holds. Planning reads it under one lock, so that it sees one moment.
#[derive(Default)]
pub(super) struct Content {
    entries: BTreeMap<Bytes, Entry>,
    areas: BTreeMap<&'static str, Area>,
    /// Keys that changed, oldest first; the last one is number `changes`.
    history: VecDeque<Bytes>,
    changes: u64,
    /// Grows whenever a load begins: what a write came to is not entered then.
    epoch: u64,
}

/// A key's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) value: Bytes,
    /// The revision that wrote it.
    pub(super) revision: i64,
}

/// What changed since the last look.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Changes {
    Keys(Vec<Bytes>),
    /// More than is remembered.
    Everything,
}

/// How far an image can be relied on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Every area is complete and followed.
    Current,
    /// Every area is complete, but at least one is not followed at present, for this reason.
    Old(Arc<str>),
    /// An area has not been read yet; why, if something is wrong.
    Incomplete(Option<Arc<str>>),
}

/// The tasks that keep an image up to date; they end with this.
#[derive(Default)]
pub(super) struct Followers {
    tasks: BTreeMap<&'static str, AbortHandle>,
}

/// A write of our own.
pub(super) enum Written {
    Put(Bytes, Bytes),
    Deleted(Bytes),
}

/// Where a mirror's events go. Of an area that was closed or opened anew they are ignored.
#[derive(Clone, Copy, Debug)]
pub(super) struct OpenArea {
    name: &'static str,
    id: u64,
}

#[derive(Default)]
struct Area {
    id: u64,
    complete: bool,
    followed: bool,
    trouble: Option<Arc<str>>,
    loading: BTreeMap<Bytes, Entry>,
    /// The watch has told everything up to this revision.
    told: i64,
    /// Keys deleted by our own writes whose echo has not come: an older change of them is no news.
    gone: BTreeMap<Bytes, i64>,
}

// === impl Image ===

impl Image {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { content: RwLock::default(), changed: watch::Sender::new(()) })
    }

    pub(super) fn read(&self) -> RwLockReadGuard<'_, Content> {
        // A writer that panics leaves each entry either old or new.
        self.content.read()
    }

    fn write(&self) -> RwLockWriteGuard<'_, Content> {
        self.content.write()
    }

    /// Tells of changes to come.
    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Takes events of an area's mirror, all at once. Those of one revision are never seen apart.
    pub(super) fn apply(&self, area: OpenArea, events: impl IntoIterator<Item = Event>) {
        let mut content = self.write();
        for event in events {
            content.apply(area, event);
        }
        drop(content);
        self.changed.send_replace(());
    }

    /// Enters what a write of our own came to, so that it need not be waited for. Not if a load has begun meanwhile,
    /// which then shows it.
    pub(super) fn wrote(&self, epoch: u64, revision: i64, written: impl IntoIterator<Item = Written>) {
        let mut content = self.write();
        if content.epoch != epoch {
            return;
        }
        for write in written {
            content.wrote(revision, write);
        }
    }

    /// Makes room for an area, empty and incomplete. What was told of it before counts no more.
    pub(super) fn open(&self, name: &'static str) -> OpenArea {
        let mut content = self.write();
        content.forget(name);
        let id = content.epoch;
        content.areas.insert(name, Area { id, ..Area::default() });
        OpenArea { name, id }
    }

    /// Forgets an area.
    pub(super) fn close(&self, name: &'static str) {
        self.write().forget(name);
        self.changed.send_replace(());
    }
}

// === impl Content ===

impl Content {
    pub(super) fn get(&self, key: &[u8]) -> Option<&Entry> {
        self.entries.get(key)
    }

    /// Every entry whose key begins so, in the order of keys.
    pub(super) fn range<'a>(&'a self, prefix: &'a [u8]) -> impl Iterator<Item = (&'a Bytes, &'a Entry)> {
        let from = self.entries.range::<[u8], _>((Bound::Included(prefix), Bound::Unbounded));
        from.take_while(move |(key, _)| key.starts_with(prefix))
    }

    /// Number of the last change.
    pub(super) fn changes(&self) -> u64 {
        self.changes
    }

    /// What changed after change number `since`.
    pub(super) fn since(&self, since: u64) -> Changes {
        let count = usize::try_from(self.changes.saturating_sub(since)).unwrap_or(usize::MAX);
        match self.history.len().checked_sub(count) {
            Some(skip) => Changes::Keys(self.history.range(skip..).cloned().collect()),
            None => Changes::Everything,
        }
    }

    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// How far these areas can be relied on.
    pub(super) fn standing<'a>(&self, areas: impl IntoIterator<Item = &'a &'static str>) -> Standing {
        let mut standing = Standing::Current;
        for area in areas {
            let Some(area) = self.areas.get(area) else { return Standing::Incomplete(None) };
            if !area.complete {
                return Standing::Incomplete(area.trouble.clone());
            }
            if !area.followed {
                standing = Standing::Old(area.trouble.clone().unwrap_or_else(|| "it is read anew".into()));
            }
        }
        standing
    }

    fn forget(&mut self, area: &'static str) {
        self.areas.remove(area);
        self.entries.retain(|key, _| !key.starts_with(area.as_bytes()));
        self.history.clear();
        self.changes += 1;
        self.epoch += 1;
    }

    fn apply(&mut self, OpenArea { name, id }: OpenArea, event: Event) {
        let Some(area) = self.areas.get_mut(name).filter(|area| area.id == id) else { return };
        match event {
            Event::Reset => {
                area.loading.clear();
                area.followed = false;
                self.epoch += 1;
            }
            Event::Item(kv) => {
                let (key, entry) = entry_of(kv);
                area.loading.insert(key, entry);
            }
            Event::ResetDone { revision } => {
                let loaded = std::mem::take(&mut area.loading);
                area.told = revision;
                (area.complete, area.followed, area.trouble) = (true, true, None);
                area.gone.clear();
                self.replace(name, loaded);
            }
            Event::Put(kv) => {
                let (key, entry) = entry_of(kv);
                area.told = area.told.max(entry.revision);
                let gone = area.gone.get(&key).copied().unwrap_or_default();
                if self.entries.get(&key).is_none_or(|old| old.revision < entry.revision)
                    && gone < entry.revision
                {
                    self.entries.insert(key.clone(), entry);
                    self.note(key);
                }
            }
            Event::Delete { key, revision } => {
                area.told = area.told.max(revision);
                if self.entries.get(&*key).is_some_and(|old| old.revision < revision) {
                    self.entries.remove(&*key);
                    self.note(key.into());
                }
            }
            Event::Progress { revision } => {
                area.told = area.told.max(revision);
                area.gone.retain(|_, at| *at > revision);
                (area.followed, area.trouble) = (area.complete, None);
            }
            Event::Resumed { .. } => (area.followed, area.trouble) = (area.complete, None),
            Event::Interrupted { error, .. } => {
                area.followed = false;
                area.trouble = Some(super::explain::of_etcd(&error).into());
            }
        }
    }

    fn wrote(&mut self, revision: i64, write: Written) {
        let (Written::Put(key, _) | Written::Deleted(key)) = &write;
        let area = self.areas.iter_mut().find(|(name, _)| key.starts_with(name.as_bytes()));
        let Some((_, area)) = area else { return };
        // The watch may be faster than the answer, and have told what came after the write as well.
        if area.told >= revision {
            return;
        }
        match write {
            Written::Put(key, value) => {
                area.gone.remove(&key);
                self.entries.insert(key, Entry { value, revision });
            }
            Written::Deleted(key) => {
                self.entries.remove(&key);
                area.gone.insert(key, revision);
            }
        }
    }

    /// What was loaded takes the place of the area.
    fn replace(&mut self, area: &'static str, loaded: BTreeMap<Bytes, Entry>) {
        let lost: Vec<Bytes> = self
            .range(area.as_bytes())
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
    // Both without the spare room of a vector.
    let bytes = |vec: Vec<u8>| Bytes::from(vec.into_boxed_slice());
    (bytes(kv.key), Entry { value: bytes(kv.value), revision: kv.mod_revision })
}

// === impl Followers ===

impl Followers {
    /// Follows exactly these areas from now on.
    pub(super) fn follow(&mut self, image: &Arc<Image>, client: &Arc<Client>, areas: &[&'static str]) {
        self.tasks.retain(|area, task| {
            let stays = areas.contains(area);
            if !stays {
                task.abort();
                image.close(area);
            }
            stays
        });
        for area in areas {
            self.tasks.entry(area).or_insert_with(|| {
                let mirror = Mirror::new(Arc::clone(client), *area);
                tokio::spawn(follow(mirror, Arc::clone(image), image.open(area))).abort_handle()
            });
        }
    }
}

impl Drop for Followers {
    fn drop(&mut self) {
        self.tasks.values().for_each(AbortHandle::abort);
    }
}

async fn follow(mut mirror: Mirror, image: Arc<Image>, area: OpenArea) {
    let mut batch = Vec::new();
    loop {
        let event = mirror.next().await;
        // Changes of one revision wait for its end; the rest of a flood is not worth the memory.
        let more = matches!(event, Event::Item(_) | Event::Put(_) | Event::Delete { .. });
        batch.push(event);
        if !more || batch.len() >= BATCH {
            image.apply(area, batch.drain(..));
        }
    }
}

/// Changes that are remembered. Who is further behind looks at everything.
const HISTORY: usize = 4096;

/// Most events that wait for the end of their revision. etcd takes 128 operations at once unless told otherwise.
const BATCH: usize = 1024;

#[cfg(test)]
pub(super) mod tests;
