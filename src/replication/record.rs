//! What replication keeps in each destination, under [`RECORDS`]: who may write there, and what is ours.
//!
//! ```text
//! /fedgate/replication/fence                      who writes: store, term, gateway; and the place's own identity
//! /fedgate/replication/owned/<store>/<object>     one key per owned object, `<object>` being its key without
//!                                                 `/sensu.io/`; the value is the replicator's name
//! ```
//!
//! One key per object, because it can be written in the same transaction as the object and then costs what it says:
//! no list grows, no two writes meet in one key, a resync writes nothing, and what a crash leaves is always true.
//! Ten thousand of them take about 2 MB in etcd.

use std::str;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::corev2::ROOT;

/// Who writes to a destination. Every write compares the revision of its last change, and a take-over changes it: who
/// was taken over from cannot write, whatever it believes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Fence {
    /// Names the destination itself, whatever its addresses are. Made by the first who writes there, then kept.
    pub(super) place: String,
    /// Names the store of the gateways that write.
    pub(super) store: String,
    /// Which leadership of that store; only grows.
    pub(super) term: u64,
    /// Which gateway. Tells two with the same term apart, and operators where to look.
    pub(super) gateway: String,
}

/// Who this gateway is at present.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) store: String,
    pub(super) term: u64,
    pub(super) gateway: String,
}

/// How a fence that was found stands to this gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is this gateway's own.
    Ours,
    /// Left by a gateway of this store that leads no more: to be taken over.
    Before,
    /// A gateway of this store leads since.
    After,
    /// A gateway of another store writes here.
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

    pub(super) fn standing(&self, identity: &Identity) -> Standing {
        if self.store != identity.store {
            Standing::Foreign
        } else if self.term > identity.term {
            Standing::After
        } else if self.term == identity.term && self.gateway == identity.gateway {
            Standing::Ours
        } else {
            Standing::Before
        }
    }
}

// === impl Identity ===

impl Identity {
    /// The fence that this gateway sets.
    pub(super) fn fence(&self, place: String) -> Fence {
        Fence { place, store: self.store.clone(), term: self.term, gateway: self.gateway.clone() }
    }
}

/// What all ownership records of a store begin with.
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

/// Where everything of replication is kept in a destination.
pub(super) const RECORDS: &str = "/fedgate/replication/";

/// The key of the fence.
pub(super) const FENCE: &str = "/fedgate/replication/fence";
