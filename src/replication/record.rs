//! What replication keeps in each destination, under [`RECORDS`]: who may write there, and what it owns.
//!
//! ```text
//! /fedgate/replication/fence                      who writes: store, term, gateway; and the place's own identity.
//!                                                 Attached to a lease that the writer keeps alive
//! /fedgate/replication/waiting/<home>             a gateway that the fence keeps out though it has the same store;
//!                                                 attached to a lease, too
//! /fedgate/replication/place                      the place's own identity, for when nobody writes
//! /fedgate/replication/federations/<store>        a federation that owns something here: its gateway and its source
//! /fedgate/replication/owned/<store>/<object>     one key per owned object, `<object>` being its key without
//!                                                 `/sensu.io/`; the value is the replicator's name
//! ```
//!
//! There is one key per object, because it can be written in the same transaction as the object: no list grows, no two
//! writes conflict on one key, a resync writes nothing, and after a crash the records are always true. Ten thousand of
//! them take about 2 MB in etcd.
//!
//! The fence goes with its lease when nobody writes any more: a federation whose gateways or store are gone for good
//! keeps nobody out. What it owned is still recorded, and where it came from, so that the next federation can continue
//! with it when the source is the same. Renewing a lease writes nothing: it moves no revision.

use std::{str, time::Duration};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::corev2::ROOT;

/// Who writes to a destination. Every write compares the revision of its last change, and every take-over changes it: a
/// gateway that was replaced cannot write, whatever it believes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Fence {
    /// Identifies the destination itself, independent of its addresses. Set by the first writer, then kept.
    pub(super) place: String,
    /// Identifies the store of the gateways that write.
    pub(super) store: String,
    /// The leadership of that store; never decreases.
    pub(super) term: u64,
    /// The gateway. Distinguishes two with the same term, and shows operators where to look.
    pub(super) gateway: String,
    /// Where the store is that the term counts in: tells a store from its copies. Empty in fences without a lease, which
    /// earlier versions wrote.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) home: String,
}

/// Who this gateway currently is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) store: String,
    pub(super) term: u64,
    pub(super) gateway: String,
    pub(super) home: String,
}

/// What was found in a destination.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) fence: Option<FoundFence>,
    /// What is recorded of the place's identity.
    pub(super) place: Option<String>,
    /// How many objects this store owns there.
    pub(super) owned: u64,
    /// Whether this store is recorded as a federation there.
    pub(super) is_recorded: bool,
}

/// A fence as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FoundFence {
    /// When it was last written.
    pub(super) revision: i64,
    pub(super) value: Vec<u8>,
    /// 0: it hangs on none.
    pub(super) lease: i64,
}

/// A federation that owns something in a destination.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Federation {
    /// One of its gateways, for operators.
    #[serde(default)]
    pub(super) gateway: String,
    /// Identifies the cluster that it copies from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) source: Option<String>,
}

/// Whose a fence is that was found in a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FenceOwner {
    /// This gateway's own.
    Ours,
    /// Left by a gateway of this store that no longer leads: to be taken over.
    Before,
    /// A gateway of this store that became the leader later.
    After,
    /// A gateway with a copy of this store, or with this store at another place, that may still run.
    Copy,
    /// A gateway of another store.
    Foreign,
}

// === impl Fence ===

impl Fence {
    pub(super) fn parse(value: &[u8]) -> Option<Self> {
        serde_json::from_slice(value).ok()
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("texts and numbers always serialize")
    }

    /// `lease` is what it hangs on. Terms of different copies of a store cannot be compared; what ends with a lease can be
    /// waited for.
    pub(super) fn owner(&self, identity: &Identity, lease: i64) -> FenceOwner {
        if self.store != identity.store {
            FenceOwner::Foreign
        } else if lease != 0 && self.home != identity.home {
            FenceOwner::Copy
        } else if self.term > identity.term {
            FenceOwner::After
        } else if self.term == identity.term && self.gateway == identity.gateway {
            FenceOwner::Ours
        } else {
            FenceOwner::Before
        }
    }
}

// === impl Identity ===

impl Identity {
    /// The fence that this gateway writes.
    pub(super) fn fence(&self, place: String) -> Fence {
        let Self { store, term, gateway, home } = self.clone();
        Fence { place, store, term, gateway, home }
    }
}

// === impl Federation ===

impl Federation {
    /// What cannot be read is a federation of which nothing is known.
    pub(super) fn parse(value: &[u8]) -> Self {
        serde_json::from_slice(value).unwrap_or_default()
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("texts always serialize")
    }
}

/// The record of a federation.
pub(super) fn federation_key(store: &str) -> String {
    format!("{FEDERATIONS}{store}")
}

/// The store that an ownership record belongs to.
pub(super) fn store_of(record: &[u8]) -> Option<&str> {
    let rest = record.strip_prefix(OWNED.as_bytes())?;
    let end = rest.iter().position(|byte| *byte == b'/')?;
    str::from_utf8(&rest[..end]).ok().filter(|store| !store.is_empty())
}

/// The prefix of a store's ownership records.
pub(super) fn owned_prefix(store: &str) -> String {
    format!("{OWNED}{store}/")
}

/// The ownership record of an object. Every object's key begins with Sensu's root.
pub(super) fn record_of(prefix: &str, object: &[u8]) -> Bytes {
    let rest = object.strip_prefix(ROOT.as_bytes()).unwrap_or(object);
    [prefix.as_bytes(), rest].concat().into()
}

/// The object that an ownership record is for.
pub(super) fn object_of(prefix: &str, record: &[u8]) -> Option<Bytes> {
    let rest = record.strip_prefix(prefix.as_bytes())?;
    Some([ROOT.as_bytes(), rest].concat().into())
}

/// The replicator that an ownership record names.
pub(super) fn owner_of(value: &[u8]) -> &str {
    str::from_utf8(value).unwrap_or_default()
}

/// The prefix of everything that replication keeps in a destination.
pub(super) const RECORDS: &str = "/fedgate/replication/";

/// The key of the fence.
pub(super) const FENCE: &str = "/fedgate/replication/fence";

/// The key of the place's identity.
pub(super) const PLACE: &str = "/fedgate/replication/place";

/// Where the federations are recorded.
pub(super) const FEDERATIONS: &str = "/fedgate/replication/federations/";

/// Where gateways with copies of one store show that they wait.
pub(super) const WAITING: &str = "/fedgate/replication/waiting/";

/// Where ownership is recorded.
pub(super) const OWNED: &str = "/fedgate/replication/owned/";

/// How long a fence stays without its writer: longer than an etcd takes to restart or to elect a leader.
pub(super) const FENCE_TTL: Duration = Duration::from_secs(30);
