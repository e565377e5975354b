//! What replication keeps in each destination, under [`RECORDS`]: who may write there, and what it owns.
//!
//! ```text
//! /fedgate/replication/fence                      who writes: store, term, gateway; and the place's own identity
//! /fedgate/replication/owned/<store>/<object>     one key per owned object, `<object>` being its key without
//!                                                 `/sensu.io/`; the value is the replicator's name
//! ```
//!
//! There is one key per object, because it can be written in the same transaction as the object: no list grows, no two
//! writes conflict on one key, a resync writes nothing, and after a crash the records are always true. Ten thousand of
//! them take about 2 MB in etcd.

use std::str;

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
}

/// Who this gateway currently is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) store: String,
    pub(super) term: u64,
    pub(super) gateway: String,
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

    pub(super) fn owner(&self, identity: &Identity) -> FenceOwner {
        if self.store != identity.store {
            FenceOwner::Foreign
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
        Fence { place, store: self.store.clone(), term: self.term, gateway: self.gateway.clone() }
    }
}

/// The prefix of a store's ownership records.
pub(super) fn owned_prefix(store: &str) -> String {
    format!("{RECORDS}owned/{store}/")
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
