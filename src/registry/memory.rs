use std::sync::Arc;

use bytes::Bytes;
use futures::future::{self, BoxFuture, FutureExt};

use super::{
    Entry, Events, Precondition, Store, StoreError,
    table::{Change, Table},
};

/// A store in memory only, for tests and the demo.
#[derive(Clone)]
pub struct MemoryStore {
    table: Arc<Table>,
}

// === impl MemoryStore ===

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self { table: Table::new(Vec::new(), 0) }
    }

    /// Makes every call fail from now on, as if the store were down.
    pub fn break_down(&self, reason: &str) {
        self.table.down(reason);
    }

    /// Undoes [`break_down`](Self::break_down); nothing is lost.
    pub fn recover(&self) {
        self.table.up();
    }

    fn readable(&self) -> Result<(), StoreError> {
        if self.table.is_down() { Err(StoreError::unavailable("broken down")) } else { Ok(()) }
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl Store for MemoryStore {
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Entry>, StoreError>> {
        future::ready(self.readable().map(|()| self.table.get(key))).boxed()
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<Entry>, StoreError>> {
        future::ready(self.readable().map(|()| self.table.list(prefix))).boxed()
    }

    fn put<'a>(
        &'a self,
        key: &'a str,
        value: Bytes,
        expected: Precondition,
    ) -> BoxFuture<'a, Result<u64, StoreError>> {
        let written = self.table.write(key, Change::Put(value), expected);
        future::ready(written.map(Option::unwrap_or_default)).boxed()
    }

    fn delete<'a>(
        &'a self,
        key: &'a str,
        expected: Precondition,
    ) -> BoxFuture<'a, Result<Option<u64>, StoreError>> {
        future::ready(self.table.write(key, Change::Delete, expected)).boxed()
    }

    fn watch(&self) -> Events {
        self.table.watch()
    }
}
