//! A copy in memory of some keyspaces of one etcd, kept up to date, with a short history of changes.
//!
//! It has many readers, and none of them can delay it. A reader that has fallen behind the history, or is new, examines
//! everything instead: there are no queues.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use tokio::sync::watch;

use crate::etcd::Event;

mod content;
mod watchers;

pub(super) use content::{Changes, Content};
pub(super) use watchers::Watchers;

/// A copy of some keyspaces of one etcd.
pub(super) struct ReplicaCache {
    content: RwLock<Content>,
    changed: watch::Sender<()>,
}

/// A key's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) value: Bytes,
    /// The revision that wrote it.
    pub(super) revision: i64,
}

/// How far a cache can be relied on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SyncState {
    /// Every keyspace is complete and followed.
    Current,
    /// Every keyspace is complete, but at least one is not followed now, for this reason.
    Stale(Arc<str>),
    /// A keyspace has not been read yet; why, if there is an error.
    Incomplete(Option<Arc<str>>),
}

/// One key of a write of our own.
pub(super) enum OwnWrite {
    Put(Bytes, Bytes),
    Deleted(Bytes),
}

/// Where a mirror's events go. They are ignored once the keyspace has been closed or opened again.
#[derive(Clone, Copy, Debug)]
pub(super) struct OpenKeyspace {
    name: &'static str,
    id: u64,
}

// === impl ReplicaCache ===

impl ReplicaCache {
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

    /// Notifies of changes from now on.
    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Applies events of a keyspace's mirror together: readers never see a part of one revision.
    pub(super) fn apply(&self, keyspace: OpenKeyspace, events: impl IntoIterator<Item = Event>) {
        let mut content = self.write();
        for event in events {
            content.apply(keyspace, event);
        }
        drop(content);
        self.changed.send_replace(());
    }

    /// Applies the result of a write of our own, without waiting for the watch. If a load of the keyspace has begun since
    /// this epoch, that shows it instead.
    pub(super) fn wrote(&self, epoch: u64, revision: i64, written: impl IntoIterator<Item = OwnWrite>) {
        let mut content = self.write();
        for write in written {
            content.wrote(epoch, revision, write);
        }
    }

    /// Adds a keyspace, empty and incomplete. Events of earlier mirrors of it are ignored.
    pub(super) fn open(&self, name: &'static str) -> OpenKeyspace {
        self.write().open(name)
    }

    /// Removes a keyspace.
    pub(super) fn close(&self, name: &'static str) {
        self.write().forget(name);
        self.changed.send_replace(());
    }
}

#[cfg(test)]
pub(super) mod tests;
