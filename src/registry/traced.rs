use std::sync::Arc;

use bytes::Bytes;
use futures::{FutureExt as _, future::BoxFuture};

use super::{Entry, Precondition, Store, StoreError, store::Events};
use crate::telemetry::trace::{SpanKind, child};

/// A store whose calls are parts of the traces of what makes them.
pub struct TracedStore(pub Arc<dyn Store>);

// === impl TracedStore ===

impl TracedStore {
    fn traced<'a, T: 'a>(
        operation: &'static str,
        call: BoxFuture<'a, Result<T, StoreError>>,
    ) -> BoxFuture<'a, Result<T, StoreError>> {
        let mut span = child("store", SpanKind::Client);
        if !span.is_recorded() {
            return call;
        }
        span.set("db.operation.name", operation);
        call.map(move |result| {
            if let Err(error) = &result
                && !matches!(error, StoreError::Conflict)
            {
                span.fail("store error");
            }
            result
        })
        .boxed()
    }
}

impl Store for TracedStore {
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Entry>, StoreError>> {
        Self::traced("get", self.0.get(key))
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<Entry>, StoreError>> {
        Self::traced("list", self.0.list(prefix))
    }

    fn put<'a>(
        &'a self,
        key: &'a str,
        value: Bytes,
        expected: Precondition,
    ) -> BoxFuture<'a, Result<u64, StoreError>> {
        Self::traced("put", self.0.put(key, value, expected))
    }

    fn delete<'a>(
        &'a self,
        key: &'a str,
        expected: Precondition,
    ) -> BoxFuture<'a, Result<Option<u64>, StoreError>> {
        Self::traced("delete", self.0.delete(key, expected))
    }

    fn watch(&self) -> Events {
        self.0.watch()
    }
}
