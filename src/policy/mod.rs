//! Keeps the local cluster's policy, such as roles and bindings, in the registered clusters through their APIs.
//!
//! ```text
//!  registry (Replicators, clusters) ─┐            ┌─ leadership: one gateway of several
//!                                    ▼            ▼
//!  local cluster's API ─► source   supervisor ── memory: what may have been copied where (in the registry's store)
//!  its etcd: "changed" ─┘   │        │ assignment                       one task per cluster
//!                           └──────► run ◄─► the cluster's API
//!                                     machine: list what is there → compare → write one by one → wait
//!                                       plan: what differs, in its order
//!                                       decide: what has to be done with one object (pure)
//! ```
//!
//! | Part | Owns |
//! |---|---|
//! | [`supervisor()`] | which tasks run, and the memory of what may have been copied |
//! | `source` | the objects of the local cluster |
//! | `machine` | what one cluster's task does next: a state machine without I/O |
//! | `decide`, `plan` | what has to be done with an object, and in which order |
//! | `refusals` | what a cluster did not take, and what depends on it |
//! | `object` | what an object is, and when two are equal |
//! | `run`, `client` | the requests |
//! | `publish`, `status` | status and metrics |
//! | [`Comparer`] | what would be done now, for a request |
//! | `left` | what is to be removed where nothing is kept any more, and giving it up |
//! | `shared` | the status that the leading gateway publishes for the others |
//!
//! # Invariants
//!
//! *States are compared, not events.* A missed change, a repeated one, a restart and a write of unknown outcome all
//! converge to the same state, and nothing equal is ever written.
//!
//! *A copy says that it is one*, by a label with the federation's identity; a namespace, which has no labels, by the
//! creator of the role that comes with it. Only what says so is changed or deleted, unless a `Replicator` is told to
//! overwrite. What is a copy in the source is not copied onward, so chains and circles of federations end.
//!
//! *Every write is decided on what is there a moment before*: what is new is created with a request that never overwrites,
//! and what is changed or deleted is looked at first. Sensu takes no condition with these requests, so an edit within that
//! moment is lost; it is undone by the next comparison anyway, unless it took the label away.
//!
//! *Revocations come first*, then changes of roles and bindings, then namespaces, roles, bindings and the rest; what
//! nothing needs any more is deleted last.
//!
//! *Two federations never fight over a cluster*: what bears another one's label is only taken over by name, and left again
//! when it comes back.
//!
//! *A cluster, a kind and an object each fail alone*, and a write that the cluster does not take has only what depends on
//! it decided again.
//!
//! *Nobody is locked out*: see [`protect`](crate::corev2::protect) and `decide`.
//!
//! *Everything has a bound*: pages, one request in flight per cluster, objects per kind. Of a cluster's objects only the
//! digests are kept.

mod client;
mod decide;
mod diff;
mod left;
mod machine;
mod memory;
mod object;
mod plan;
mod publish;
mod reach;
mod refusals;
mod run;
mod shared;
mod source;
mod status;
mod supervisor;

#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, sync::Arc};

use tokio::sync::{mpsc, watch};

pub use client::{Answer, MAX_BODY, Reach};
pub use diff::Comparer;
pub use object::{LABEL, OUR_GROUP};
pub use reach::Clusters;
pub use status::Metrics;
pub use supervisor::{Supervisor, supervisor};

use crate::{
    etcd,
    types::{GivenUp, PolicyStatus},
};

/// The settings of replication by API.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The local cluster's etcd, whose watch says when something has changed.
    pub source: Option<etcd::Config>,
    /// Whether it competes for the leadership itself, because nothing else does.
    pub competes: bool,
}

/// What the rest of the gateway sees of replication by API. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle {
    /// One per `Replicator`, by name.
    pub statuses: watch::Receiver<Arc<Vec<PolicyStatus>>>,
    /// For the metrics page.
    pub metrics: Arc<Metrics>,
    give_up: mpsc::Sender<Abandoned>,
}

/// What a deleted `Replicator` has left where it cannot be removed.
#[derive(Debug)]
struct Abandoned {
    replicator: Arc<str>,
    clusters: BTreeSet<Arc<str>>,
}

// === impl Handle ===

impl Handle {
    /// Abandons the copies that a deleted `Replicator` has left in clusters where they cannot be removed at present. Where
    /// they are being removed, that goes on.
    pub fn give_up(&self, name: &str) -> GivenUp {
        let statuses = self.statuses.borrow();
        let Some(status) = statuses.iter().find(|status| status.is_deleted && *status.name == *name) else {
            return GivenUp::Unknown;
        };
        let stuck = status.left_behind.iter().filter(|left| left.error.is_some());
        let clusters: BTreeSet<Arc<str>> = stuck.map(|left| Arc::clone(&left.cluster)).collect();
        if clusters.is_empty() {
            return GivenUp::NotStuck;
        }
        let abandoned = Abandoned { replicator: name.into(), clusters };
        self.give_up.try_send(abandoned).map_or(GivenUp::Busy, |()| GivenUp::Begun)
    }
}
