//! A registry in etcd for several gateways: as much of one as these tests need.

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use fedgate::{
    etcd::{
        self, Client, Mirror,
        proto::{Compare, DeleteRangeRequest, KeyValue, Op, PutRequest, RangeRequest, TxnRequest},
    },
    registry::{Entry, Event, Events, Precondition, Store, StoreError},
};
use futures::{FutureExt as _, StreamExt as _, future::BoxFuture, stream};

pub(crate) const PREFIX: &str = "/fedgate/registry/";

pub(crate) struct SharedStore(pub(crate) Arc<Client>);

fn key(key: &str) -> String {
    format!("{PREFIX}{key}")
}

fn entry(kv: KeyValue) -> Entry {
    let key = String::from_utf8(kv.key).unwrap();
    Entry { key: key[PREFIX.len()..].into(), value: kv.value.into(), version: kv.mod_revision.unsigned_abs() }
}

fn unavailable(error: etcd::Error) -> StoreError {
    StoreError::Unavailable(error.into())
}

impl Store for SharedStore {
    fn get<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Entry>, StoreError>> {
        async move {
            let found = self.0.range(RangeRequest::key(key(name))).await.map_err(unavailable)?;
            Ok(found.kvs.into_iter().next().map(entry))
        }
        .boxed()
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<Entry>, StoreError>> {
        async move {
            let found =
                self.0.range(RangeRequest::prefix(key(prefix).as_bytes())).await.map_err(unavailable)?;
            Ok(found.kvs.into_iter().map(entry).collect())
        }
        .boxed()
    }

    fn put<'a>(
        &'a self,
        name: &'a str,
        value: Bytes,
        expected: Precondition,
    ) -> BoxFuture<'a, Result<u64, StoreError>> {
        async move {
            let compare = match expected {
                Precondition::Absent => vec![Compare::absent(key(name))],
                _ => vec![],
            };
            let success = vec![Op::Put(PutRequest::new(key(name), &value[..])).into()];
            let done =
                self.0.txn(TxnRequest { compare, success, failure: vec![] }).await.map_err(unavailable)?;
            if done.succeeded {
                Ok(done.header.unwrap().revision.unsigned_abs())
            } else {
                Err(StoreError::Conflict)
            }
        }
        .boxed()
    }

    fn delete<'a>(
        &'a self,
        name: &'a str,
        _: Precondition,
    ) -> BoxFuture<'a, Result<Option<u64>, StoreError>> {
        async move {
            let done = self.0.delete_range(DeleteRangeRequest::key(key(name))).await.map_err(unavailable)?;
            Ok((done.deleted > 0).then(|| done.header.unwrap().revision.unsigned_abs()))
        }
        .boxed()
    }

    fn watch(&self) -> Events {
        let mirror = Mirror::new(Arc::clone(&self.0), PREFIX);
        stream::unfold((mirror, Vec::new()), |(mut mirror, mut loading)| async move {
            let mut told = VecDeque::new();
            match mirror.next().await {
                etcd::Event::Reset => loading.clear(),
                etcd::Event::Item(kv) => loading.push(entry(kv)),
                etcd::Event::ResetDone { revision } => {
                    let entries = std::mem::take(&mut loading);
                    told.push_back(Event::Reset { entries, revision: revision.unsigned_abs() });
                }
                etcd::Event::Put(kv) => told.push_back(Event::Put(entry(kv))),
                etcd::Event::Delete { key, revision } => {
                    let key = String::from_utf8(key).unwrap()[PREFIX.len()..].into();
                    told.push_back(Event::Deleted { key, revision: revision.unsigned_abs() });
                }
                _ => {}
            }
            Some((stream::iter(told), (mirror, loading)))
        })
        .flatten()
        .boxed()
    }
}
