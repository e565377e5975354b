use std::{fmt, sync::Arc};

use bytes::Bytes;
use futures::{future::BoxFuture, stream::BoxStream};

use super::StoreError;
use crate::types::Kind;

/// One key of a store.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    /// `<collection>/<name>`.
    pub key: Arc<str>,
    /// Wrapped JSON for resources.
    pub value: Bytes,
    /// The store's revision at its last write.
    pub version: u64,
}

/// What a write expects to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precondition {
    /// Any entry, or none.
    Any,
    /// No entry.
    Absent,
    /// This version of the entry.
    Version(u64),
}

/// An event of a watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Everything, as of a revision: the first event, repeated whenever changes may have been missed.
    Reset {
        /// Every entry, in the order of keys.
        entries: Vec<Entry>,
        /// The store's revision.
        revision: u64,
    },
    /// An entry was written.
    Put(Entry),
    /// An entry was deleted.
    Deleted {
        /// Its key.
        key: Arc<str>,
        /// The store's revision after it.
        revision: u64,
    },
    /// The store is not available, for this reason. A `Reset` ends it.
    Down(Arc<str>),
}

/// The events of a watch; they end only with the store.
pub type Events = BoxStream<'static, Event>;

/// A small, durable map with versions that can be watched.
///
/// Every write of a store raises its revision, which is also the version of what it wrote. A write that returned
/// `Ok` is durable; one whose future was dropped, or that returned [`StoreError::Unknown`], may have happened.
pub trait Store: Send + Sync + 'static {
    /// The entry of a key.
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Entry>, StoreError>>;

    /// All entries whose key has this prefix, in the order of keys.
    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<Entry>, StoreError>>;

    /// Writes a value and returns its version.
    fn put<'a>(
        &'a self,
        key: &'a str,
        value: Bytes,
        expected: Precondition,
    ) -> BoxFuture<'a, Result<u64, StoreError>>;

    /// Deletes an entry and returns the revision; `None` when there was none, which is a conflict with
    /// [`Precondition::Version`].
    fn delete<'a>(
        &'a self,
        key: &'a str,
        expected: Precondition,
    ) -> BoxFuture<'a, Result<Option<u64>, StoreError>>;

    /// Follows the whole store from now on.
    fn watch(&self) -> Events;
}

// === impl Entry ===

impl fmt::Debug for Entry {
    /// Without the value, which may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("key", &self.key)
            .field("version", &self.version)
            .field("value_bytes", &self.value.len())
            .finish()
    }
}

/// The key of a resource.
pub fn key_of(kind: Kind, name: &str) -> String {
    format!("{}/{name}", kind.collection())
}
