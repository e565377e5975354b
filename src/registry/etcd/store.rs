use std::sync::Arc;

use bytes::Bytes;
use futures::{
    StreamExt as _, TryFutureExt as _,
    future::{BoxFuture, FutureExt as _},
    stream,
};
use tokio::sync::watch;

use super::{
    layout::{Layout, MAX_BYTES, SCHEMA, Schema, version},
    watch::Watch,
};
use crate::{
    etcd::{
        Client, Error,
        proto::{
            Compare, CompareResult, CompareWith, DeleteRangeRequest, KeyValue, Op, OpResult, PutRequest,
            RangeRequest, TxnRequest, TxnResponse, prefix_range,
        },
    },
    registry::{Entry, Events, Precondition, Store, StoreError},
};

/// A store in etcd, shared by several gateways. It keeps nothing itself: each call asks etcd, each watch follows it.
///
/// `<prefix>registry/<key>` holds the entries, `<prefix>schema` the version of the schema, which every write compares. A
/// registry with a newer schema is neither read nor written. Versions are etcd's revisions.
pub struct EtcdStore {
    client: Arc<Client>,
    layout: Arc<Layout>,
    /// Dropping it ends the watches.
    alive: watch::Sender<()>,
}

// === impl EtcdStore ===

impl EtcdStore {
    /// A store under a prefix such as `/fedgate/`; a missing `/` at its end is added. Sends no request yet.
    pub fn new(client: Arc<Client>, prefix: &str) -> Self {
        Self { client, layout: Arc::new(Layout::new(prefix)), alive: watch::Sender::new(()) }
    }

    /// Fails for a registry with another schema. A new registry is fine.
    pub async fn check_schema(&self) -> Result<(), StoreError> {
        let answer =
            self.client.range(RangeRequest::key(self.layout.schema_key())).await.map_err(not_read)?;
        self.layout.refusal(&Schema::in_answer(&answer.kvs)).map_or(Ok(()), Err)
    }

    async fn read(&self, key: &str) -> Result<Option<Entry>, StoreError> {
        let found = self.client.range(RangeRequest::key(self.layout.key(key))).map_err(not_read);
        let ((), answer) = tokio::try_join!(self.check_schema(), found)?;
        Ok(answer.kvs.into_iter().find_map(|kv| self.layout.entry(kv)))
    }

    /// Reads page by page, all at the revision of the first one.
    async fn read_all(&self, prefix: &str) -> Result<Vec<Entry>, StoreError> {
        self.check_schema().await?;
        let (key, range_end) = prefix_range(self.layout.key(prefix).as_bytes());
        let mut page = RangeRequest { key, range_end, limit: PAGE_KEYS, ..RangeRequest::default() };
        let (mut entries, mut bytes) = (Vec::new(), 0);
        loop {
            let answer = match self.client.range(page.clone()).await {
                Ok(answer) => answer,
                // Large values, smaller pages.
                Err(Error::TooLarge { .. }) if page.limit > 1 => {
                    page.limit = page.limit / 4 + 1;
                    continue;
                }
                Err(error) => return Err(not_read(error)),
            };
            let last = answer.kvs.last().map(|kv| [&kv.key[..], &[0]].concat());
            bytes += answer.kvs.iter().map(|kv| kv.key.len() + kv.value.len()).sum::<usize>();
            entries.extend(answer.kvs.into_iter().filter_map(|kv| self.layout.entry(kv)));
            if bytes > MAX_BYTES {
                return Err(StoreError::unavailable(format!(
                    "{} holds too much: check that the prefix is used by gateways only",
                    self.layout
                )));
            }
            match (answer.more, last) {
                (false, _) => return Ok(entries),
                (true, Some(last)) if last > page.key => page.key = last,
                (true, _) => {
                    return Err(StoreError::unavailable("etcd returned a page that does not advance"));
                }
            }
            page.revision = match (page.revision, answer.header) {
                (0, Some(header)) => header.revision,
                (revision, _) => revision,
            };
        }
    }

    /// Makes one change if the schema is ours and the key is as expected. A new registry gets its schema first.
    async fn write(&self, key: &str, op: Op, expected: Precondition) -> Result<TxnResponse, StoreError> {
        let ours = CompareWith::Value(SCHEMA.as_bytes().to_vec());
        let mut compare = vec![Compare::new(self.layout.schema_key(), CompareResult::Equal, ours)];
        match expected {
            Precondition::Any => {}
            Precondition::Absent => compare.push(Compare::absent(self.layout.key(key))),
            Precondition::Version(version) => match i64::try_from(version) {
                Ok(revision @ 1..) => compare.push(Compare::unchanged(self.layout.key(key), revision)),
                // Not a revision of etcd, where 0 would mean that the key does not exist.
                _ => return Err(StoreError::Conflict),
            },
        }
        let failure = vec![Op::Range(RangeRequest::key(self.layout.schema_key())).into()];
        let request = TxnRequest { compare, success: vec![op.into()], failure };
        for _ in 0..ATTEMPTS {
            let answer = self.client.txn(request.clone()).await.map_err(not_written)?;
            if answer.succeeded {
                return Ok(answer);
            }
            let found = Schema::in_answer(&ranged(answer)?);
            if let Some(refusal) = self.layout.refusal(&found) {
                return Err(refusal);
            }
            if found == Schema::Current {
                return Err(StoreError::Conflict);
            }
            self.create_schema().await?;
        }
        Err(StoreError::unavailable(format!("something keeps deleting the key {}", self.layout.schema_key())))
    }

    /// Writes the schema of a new registry, unless another gateway was faster.
    async fn create_schema(&self) -> Result<(), StoreError> {
        let schema = self.layout.schema_key();
        let request = TxnRequest {
            compare: vec![Compare::absent(schema)],
            success: vec![Op::Put(PutRequest::new(schema, SCHEMA)).into()],
            failure: Vec::new(),
        };
        self.client.txn(request).await.map(drop).map_err(not_read)
    }
}

impl Store for EtcdStore {
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Entry>, StoreError>> {
        self.read(key).boxed()
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<Entry>, StoreError>> {
        self.read_all(prefix).boxed()
    }

    fn put<'a>(
        &'a self,
        key: &'a str,
        value: Bytes,
        expected: Precondition,
    ) -> BoxFuture<'a, Result<u64, StoreError>> {
        let put = Op::Put(PutRequest::new(self.layout.key(key), value));
        async move { revision(&self.write(key, put, expected).await?) }.boxed()
    }

    fn delete<'a>(
        &'a self,
        key: &'a str,
        expected: Precondition,
    ) -> BoxFuture<'a, Result<Option<u64>, StoreError>> {
        let delete = Op::DeleteRange(DeleteRangeRequest::key(self.layout.key(key)));
        async move {
            let answer = self.write(key, delete, expected).await?;
            match answer.responses.first().and_then(|first| first.response.as_ref()) {
                Some(OpResult::DeleteRange(done)) if done.deleted == 0 => Ok(None),
                Some(OpResult::DeleteRange(_)) => revision(&answer).map(Some),
                _ => Err(garbled()),
            }
        }
        .boxed()
    }

    fn watch(&self) -> Events {
        let watch = Watch::new(Arc::clone(&self.client), Arc::clone(&self.layout));
        let mut alive = self.alive.subscribe();
        stream::unfold(watch, |mut watch| async move { Some((watch.next().await, watch)) })
            .take_until(async move { while alive.changed().await.is_ok() {} })
            .boxed()
    }
}

/// What a transaction read whose comparison failed.
fn ranged(answer: TxnResponse) -> Result<Vec<KeyValue>, StoreError> {
    match answer.responses.into_iter().next().and_then(|first| first.response) {
        Some(OpResult::Range(found)) => Ok(found.kvs),
        _ => Err(StoreError::unavailable(GARBLED)),
    }
}

fn revision(answer: &TxnResponse) -> Result<u64, StoreError> {
    answer.header.map(|header| version(header.revision)).ok_or_else(garbled)
}

fn garbled() -> StoreError {
    StoreError::Unknown(GARBLED.into())
}

fn not_read(error: Error) -> StoreError {
    StoreError::unavailable(error)
}

fn not_written(error: Error) -> StoreError {
    match error {
        Error::TooLarge { .. } => StoreError::TooLarge(error.into()),
        _ if error.leaves_write_unknown() => StoreError::Unknown(error.into()),
        _ => StoreError::unavailable(error),
    }
}

/// How often a write is tried while something else keeps deleting the schema.
const ATTEMPTS: usize = 3;
/// Keys in one page of a list.
const PAGE_KEYS: i64 = 500;
const GARBLED: &str = "etcd's answer has no result";
