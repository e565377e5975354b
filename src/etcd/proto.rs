//! etcd's messages, for the calls in use: the subset of `etcdserverpb` and `mvccpb` (etcd API v3) that this crate
//! sends or reads. Field numbers and names are etcd's; fields that are left out are skipped when read.
//!
//! Values may be secrets (Sensu keeps password hashes in etcd): what holds one prints only its length.

use std::fmt;

/// What every answer begins with.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct ResponseHeader {
    /// The etcd cluster that answered.
    #[prost(uint64, tag = "1")]
    pub cluster_id: u64,
    /// The member that answered.
    #[prost(uint64, tag = "2")]
    pub member_id: u64,
    /// The revision of the member's store.
    #[prost(int64, tag = "3")]
    pub revision: i64,
    /// The Raft term.
    #[prost(uint64, tag = "4")]
    pub raft_term: u64,
}

/// A key with its value and history.
#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub struct KeyValue {
    /// The key.
    #[prost(bytes = "vec", tag = "1")]
    pub key: Vec<u8>,
    /// The revision that created the key.
    #[prost(int64, tag = "2")]
    pub create_revision: i64,
    /// The revision that wrote this value.
    #[prost(int64, tag = "3")]
    pub mod_revision: i64,
    /// Writes since the creation, 1 for the first.
    #[prost(int64, tag = "4")]
    pub version: i64,
    /// The value.
    #[prost(bytes = "vec", tag = "5")]
    pub value: Vec<u8>,
    /// The lease that the key hangs on; 0 for none.
    #[prost(int64, tag = "6")]
    pub lease: i64,
}

/// What happened to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum EventType {
    /// It was written.
    Put = 0,
    /// It was deleted, or its lease ended.
    Delete = 1,
}

/// One change that a watch reports.
#[derive(Clone, PartialEq, prost::Message)]
pub struct WatchEvent {
    /// What happened.
    #[prost(enumeration = "EventType", tag = "1")]
    pub r#type: i32,
    /// The key as it is now; of a deleted one only `key` and `mod_revision`.
    #[prost(message, optional, tag = "2")]
    pub kv: Option<KeyValue>,
    /// The key as it was before, when the watch asked for it.
    #[prost(message, optional, tag = "3")]
    pub prev_kv: Option<KeyValue>,
}

/// Reads keys, in the order of their bytes.
#[derive(Clone, PartialEq, prost::Message)]
pub struct RangeRequest {
    /// First key.
    #[prost(bytes = "vec", tag = "1")]
    pub key: Vec<u8>,
    /// First key that is not read any more; empty for `key` alone, `\0` for all that follow.
    #[prost(bytes = "vec", tag = "2")]
    pub range_end: Vec<u8>,
    /// Most keys to return; 0 for all.
    #[prost(int64, tag = "3")]
    pub limit: i64,
    /// The revision to read at; 0 for the newest.
    #[prost(int64, tag = "4")]
    pub revision: i64,
    /// Let the member answer from its own state (a serializable read): faster, works without a leader, may be stale.
    #[prost(bool, tag = "7")]
    pub serializable: bool,
    /// Leave out the values.
    #[prost(bool, tag = "8")]
    pub keys_only: bool,
    /// Return only the number of keys.
    #[prost(bool, tag = "9")]
    pub count_only: bool,
}

/// The keys that were read.
#[derive(Clone, PartialEq, prost::Message)]
pub struct RangeResponse {
    /// Who answered, and at which revision.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    /// The keys.
    #[prost(message, repeated, tag = "2")]
    pub kvs: Vec<KeyValue>,
    /// Whether `limit` left some out.
    #[prost(bool, tag = "3")]
    pub more: bool,
    /// Keys in the range, whatever the limit.
    #[prost(int64, tag = "4")]
    pub count: i64,
}

/// Writes a key.
#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub struct PutRequest {
    /// The key.
    #[prost(bytes = "vec", tag = "1")]
    pub key: Vec<u8>,
    /// The value.
    #[prost(bytes = "vec", tag = "2")]
    pub value: Vec<u8>,
    /// The lease that the key ends with; 0 for none.
    #[prost(int64, tag = "3")]
    pub lease: i64,
    /// Return what was there before.
    #[prost(bool, tag = "4")]
    pub prev_kv: bool,
}

/// A key was written.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PutResponse {
    /// Who answered; `revision` is that of the write.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    /// What was there before, if it was asked for.
    #[prost(message, optional, tag = "2")]
    pub prev_kv: Option<KeyValue>,
}

/// Deletes keys.
#[derive(Clone, PartialEq, prost::Message)]
pub struct DeleteRangeRequest {
    /// First key.
    #[prost(bytes = "vec", tag = "1")]
    pub key: Vec<u8>,
    /// First key that stays; empty for `key` alone, `\0` for all that follow.
    #[prost(bytes = "vec", tag = "2")]
    pub range_end: Vec<u8>,
    /// Return what was deleted.
    #[prost(bool, tag = "3")]
    pub prev_kv: bool,
}

/// Keys were deleted.
#[derive(Clone, PartialEq, prost::Message)]
pub struct DeleteRangeResponse {
    /// Who answered; `revision` is that of the deletion.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    /// How many.
    #[prost(int64, tag = "2")]
    pub deleted: i64,
    /// What they were, if it was asked for.
    #[prost(message, repeated, tag = "3")]
    pub prev_kvs: Vec<KeyValue>,
}

/// One operation of a transaction.
#[derive(Clone, PartialEq, prost::Message)]
pub struct RequestOp {
    /// Which.
    #[prost(oneof = "Op", tags = "1, 2, 3")]
    pub request: Option<Op>,
}

/// The operations.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Op {
    /// Read.
    #[prost(message, tag = "1")]
    Range(RangeRequest),
    /// Write.
    #[prost(message, tag = "2")]
    Put(PutRequest),
    /// Delete.
    #[prost(message, tag = "3")]
    DeleteRange(DeleteRangeRequest),
}

/// The result of one operation of a transaction.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ResponseOp {
    /// Of the same kind as the operation.
    #[prost(oneof = "OpResult", tags = "1, 2, 3")]
    pub response: Option<OpResult>,
}

/// The results of the operations.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum OpResult {
    /// Of a read.
    #[prost(message, tag = "1")]
    Range(RangeResponse),
    /// Of a write.
    #[prost(message, tag = "2")]
    Put(PutResponse),
    /// Of a deletion.
    #[prost(message, tag = "3")]
    DeleteRange(DeleteRangeResponse),
}

/// How a transaction compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum CompareResult {
    /// The key's is equal to what is given.
    Equal = 0,
    /// The key's is greater.
    Greater = 1,
    /// The key's is less.
    Less = 2,
    /// The key's differs from what is given.
    NotEqual = 3,
}

/// What of a key is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum CompareTarget {
    /// Writes since its creation; 0 when there is no such key.
    Version = 0,
    /// Revision of its creation; 0 when there is no such key.
    Create = 1,
    /// Revision of its last write; 0 when there is no such key.
    Mod = 2,
    /// Its value. Fails when there is no such key.
    Value = 3,
}

/// A condition of a transaction.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Compare {
    /// How to compare.
    #[prost(enumeration = "CompareResult", tag = "1")]
    pub result: i32,
    /// What to compare; fits `with`.
    #[prost(enumeration = "CompareTarget", tag = "2")]
    pub target: i32,
    /// The key.
    #[prost(bytes = "vec", tag = "3")]
    pub key: Vec<u8>,
    /// What to compare with.
    #[prost(oneof = "CompareWith", tags = "4, 5, 6, 7")]
    pub with: Option<CompareWith>,
}

/// What a condition compares with.
#[derive(Clone, PartialEq, prost::Oneof)]
#[prost(skip_debug)]
pub enum CompareWith {
    /// A version.
    #[prost(int64, tag = "4")]
    Version(i64),
    /// A revision of creation.
    #[prost(int64, tag = "5")]
    CreateRevision(i64),
    /// A revision of the last write.
    #[prost(int64, tag = "6")]
    ModRevision(i64),
    /// A value.
    #[prost(bytes, tag = "7")]
    Value(Vec<u8>),
}

/// Does `success` when all conditions hold, else `failure`; atomically.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TxnRequest {
    /// The conditions.
    #[prost(message, repeated, tag = "1")]
    pub compare: Vec<Compare>,
    /// What to do when all hold.
    #[prost(message, repeated, tag = "2")]
    pub success: Vec<RequestOp>,
    /// What to do otherwise.
    #[prost(message, repeated, tag = "3")]
    pub failure: Vec<RequestOp>,
}

/// The result of a transaction.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TxnResponse {
    /// Who answered; `revision` is that of the writes, if there were any.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    /// Whether all conditions held.
    #[prost(bool, tag = "2")]
    pub succeeded: bool,
    /// One for each operation that was done.
    #[prost(message, repeated, tag = "3")]
    pub responses: Vec<ResponseOp>,
}

/// Forgets history: reads and watches below `revision` fail from now on.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct CompactionRequest {
    /// The oldest revision to keep.
    #[prost(int64, tag = "1")]
    pub revision: i64,
    /// Answer only when the space is free.
    #[prost(bool, tag = "2")]
    pub physical: bool,
}

/// History was forgotten.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct CompactionResponse {
    /// Who answered.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
}

/// What a client sends on a watch stream.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct WatchRequest {
    #[prost(message, optional, tag = "1")]
    pub(super) create_request: Option<WatchCreateRequest>,
}

/// Opens a watch.
#[derive(Clone, PartialEq, prost::Message)]
pub struct WatchCreateRequest {
    /// First key.
    #[prost(bytes = "vec", tag = "1")]
    pub key: Vec<u8>,
    /// First key that is not watched any more; empty for `key` alone, `\0` for all that follow.
    #[prost(bytes = "vec", tag = "2")]
    pub range_end: Vec<u8>,
    /// First revision to report; 0 for what comes after now.
    #[prost(int64, tag = "3")]
    pub start_revision: i64,
    /// Send the revision from time to time when nothing happens.
    #[prost(bool, tag = "4")]
    pub progress_notify: bool,
    /// Report what each key was before.
    #[prost(bool, tag = "6")]
    pub prev_kv: bool,
    /// Split answers that are larger than etcd's request limit.
    #[prost(bool, tag = "8")]
    pub fragment: bool,
}

/// What etcd sends on a watch stream.
#[derive(Clone, PartialEq, prost::Message)]
pub struct WatchResponse {
    /// Who sends. `revision` is that of the store, which may be ahead of the events; without events, everything up
    /// to it has been sent.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    /// The watch was opened.
    #[prost(bool, tag = "3")]
    pub created: bool,
    /// The watch has ended.
    #[prost(bool, tag = "4")]
    pub canceled: bool,
    /// Not 0: the watch has ended because what it wanted is forgotten; this is the oldest revision that is left.
    #[prost(int64, tag = "5")]
    pub compact_revision: i64,
    /// Why the watch has ended.
    #[prost(string, tag = "6")]
    pub cancel_reason: String,
    /// The answer goes on in the next message.
    #[prost(bool, tag = "7")]
    pub fragment: bool,
    /// What happened, by revision.
    #[prost(message, repeated, tag = "11")]
    pub events: Vec<WatchEvent>,
}

/// Asks for a lease.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(super) struct LeaseGrantRequest {
    #[prost(int64, tag = "1")]
    pub(super) ttl: i64,
    #[prost(int64, tag = "2")]
    pub(super) id: i64,
}

/// A lease was granted.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct LeaseGrantResponse {
    #[prost(int64, tag = "2")]
    pub(super) id: i64,
    #[prost(int64, tag = "3")]
    pub(super) ttl: i64,
    #[prost(string, tag = "4")]
    pub(super) error: String,
}

/// Names a lease: revokes it, or keeps it alive.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(super) struct LeaseRequest {
    #[prost(int64, tag = "1")]
    pub(super) id: i64,
}

/// A lease was revoked.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(super) struct LeaseRevokeResponse {}

/// A lease was kept alive, or is gone.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(super) struct LeaseKeepAliveResponse {
    #[prost(int64, tag = "2")]
    pub(super) id: i64,
    /// Seconds; 0 when there is no such lease.
    #[prost(int64, tag = "3")]
    pub(super) ttl: i64,
}

/// Asks for a member's status.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(super) struct StatusRequest {}

/// A member's status.
#[derive(Clone, PartialEq, prost::Message)]
pub struct StatusResponse {
    /// Who answered.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    /// etcd's version.
    #[prost(string, tag = "2")]
    pub version: String,
    /// Size of the store's file, in bytes.
    #[prost(int64, tag = "3")]
    pub db_size: i64,
    /// The leader's member ID; 0 when the member sees none.
    #[prost(uint64, tag = "4")]
    pub leader: u64,
    /// Alarms and faults, as etcd words them.
    #[prost(string, repeated, tag = "8")]
    pub errors: Vec<String>,
    /// How much of the store's file is in use, in bytes.
    #[prost(int64, tag = "9")]
    pub db_size_in_use: i64,
}

// === impl KeyValue ===

impl fmt::Debug for KeyValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyValue")
            .field("key", &self.key.escape_ascii().to_string())
            .field("mod_revision", &self.mod_revision)
            .field("value_bytes", &self.value.len())
            .finish_non_exhaustive()
    }
}

// === impl RangeRequest ===

impl RangeRequest {
    /// One key, the newest value.
    pub fn key(key: impl Into<Vec<u8>>) -> Self {
        Self { key: key.into(), ..Self::default() }
    }

    /// Every key that begins with `prefix`; all keys when it is empty.
    pub fn prefix(prefix: &[u8]) -> Self {
        let (key, range_end) = prefix_range(prefix);
        Self { key, range_end, ..Self::default() }
    }
}

// === impl PutRequest ===

impl PutRequest {
    /// Writes a key without a lease.
    pub fn new(key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Self {
        Self { key: key.into(), value: value.into(), ..Self::default() }
    }
}

impl fmt::Debug for PutRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PutRequest")
            .field("key", &self.key.escape_ascii().to_string())
            .field("value_bytes", &self.value.len())
            .finish_non_exhaustive()
    }
}

// === impl DeleteRangeRequest ===

impl DeleteRangeRequest {
    /// Deletes one key.
    pub fn key(key: impl Into<Vec<u8>>) -> Self {
        Self { key: key.into(), ..Self::default() }
    }

    /// Deletes every key that begins with `prefix`; all keys when it is empty.
    pub fn prefix(prefix: &[u8]) -> Self {
        let (key, range_end) = prefix_range(prefix);
        Self { key, range_end, prev_kv: false }
    }
}

// === impl RequestOp ===

impl From<Op> for RequestOp {
    fn from(op: Op) -> Self {
        Self { request: Some(op) }
    }
}

// === impl Compare ===

impl Compare {
    /// Holds when the key's property stands in the relation `result` to `with`.
    pub fn new(key: impl Into<Vec<u8>>, result: CompareResult, with: CompareWith) -> Self {
        let target = match with {
            CompareWith::Version(_) => CompareTarget::Version,
            CompareWith::CreateRevision(_) => CompareTarget::Create,
            CompareWith::ModRevision(_) => CompareTarget::Mod,
            CompareWith::Value(_) => CompareTarget::Value,
        };
        Self { result: result.into(), target: target.into(), key: key.into(), with: Some(with) }
    }

    /// Holds when there is no such key.
    pub fn absent(key: impl Into<Vec<u8>>) -> Self {
        Self::new(key, CompareResult::Equal, CompareWith::CreateRevision(0))
    }

    /// Holds when the key was last written at this revision; 0 means that there is none.
    pub fn unchanged(key: impl Into<Vec<u8>>, mod_revision: i64) -> Self {
        Self::new(key, CompareResult::Equal, CompareWith::ModRevision(mod_revision))
    }
}

// === impl CompareWith ===

impl fmt::Debug for CompareWith {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(version) => write!(f, "Version({version})"),
            Self::CreateRevision(revision) => write!(f, "CreateRevision({revision})"),
            Self::ModRevision(revision) => write!(f, "ModRevision({revision})"),
            Self::Value(value) => write!(f, "Value({} bytes)", value.len()),
        }
    }
}

// === impl WatchCreateRequest ===

impl WatchCreateRequest {
    /// Watches every key that begins with `prefix`, from a revision on.
    pub fn prefix(prefix: &[u8], start_revision: i64) -> Self {
        let (key, range_end) = prefix_range(prefix);
        Self::range(key, range_end, start_revision)
    }

    /// Watches every key from `key` up to but without `range_end`, from a revision on.
    pub fn range(key: Vec<u8>, range_end: Vec<u8>, start_revision: i64) -> Self {
        Self { key, range_end, start_revision, progress_notify: true, prev_kv: false, fragment: true }
    }
}

/// The first key with a prefix and the first one after them, as etcd wants them: `\0` is the end of all keys.
pub fn prefix_range(prefix: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let key = if prefix.is_empty() { vec![0] } else { prefix.to_vec() };
    let end = match prefix.iter().rposition(|byte| *byte != u8::MAX) {
        Some(last) => {
            let mut end = prefix[..=last].to_vec();
            end[last] += 1;
            end
        }
        None => vec![0],
    };
    (key, end)
}
