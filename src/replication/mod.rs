//! Copies roles, bindings and other objects from the local cluster's etcd to the followers', and removes what it has
//! copied once the source no longer has it.
//!
//! ```text
//!   registry (replicators) ─┐                 ┌─ leadership: one gateway of several
//!                           ▼                 ▼
//!                        supervisor ── memory: the store's identity and past destinations (in the registry's store)
//!                           │ plan: what each destination has to do
//!        assignment ┌───────┴───────┐ assignment                         one task per destination
//!                   ▼               ▼
//!  source cache ─► destination     destination ◄─► its etcd
//!  (one mirror     │  machine: fence → read both sides → write what differs → follow
//!   per keyspace,  │    work: which keys have to be examined
//!   shared)        │      decide: what has to be done with one key (pure)
//!                  │    queue: in which order, how much at once
//!                  └─ cache: the follower's side and the records, from its own watch
//! ```
//!
//! | Part | Owns |
//! |---|---|
//! | [`supervisor()`] | which tasks run; the statuses; the memory of where something was written |
//! | `cache` | a copy in memory of one etcd's keyspaces; the source's is shared by all destinations |
//! | `machine` | what one destination's task does next: a state machine without I/O |
//! | `work`, `decide`, `queue` | what differs, what has to be done, in which order |
//! | `refused` | what a destination does not take, and when it is tried again |
//! | `record` | what is kept in the destination: fence and ownership |
//! | [`protect`](crate::corev2::protect) | what is never touched |
//! | [`Leadership`](crate::leadership::Leadership) | whether this gateway replicates |
//! | [`Comparer`] | what would be done now, for a request |
//! | `leader_status` | the status that the leading gateway publishes for the others |
//!
//! # Invariants
//!
//! *States are compared, not events.* Both sides are held in memory, each kept up to date by a watch that opens before its
//! load and survives compaction. Whatever may have changed a key, on either side or in the records, only causes that key
//! to be examined: the source's value, the follower's, the record. A missed event, a repeated one, a restart and a write
//! of unknown outcome all converge to the same state, and nothing equal is ever written.
//!
//! *Only what is owned is deleted*: what was written, or found equal. Each owned key has a record in the same etcd, which
//! is written in the same transaction.
//!
//! *There is one writer.* Each transaction compares the revision of the destination's fence, which every take-over
//! changes. A gateway that was paused has its writes refused.
//!
//! *Writes are ordered.* Revocations first; then deletions of what nothing refers to; then new and changed objects, roles
//! before bindings; last, roles that replaced bindings used to name. The replicators of one destination share this order,
//! because they share its task.
//!
//! *A kind fails alone.* One that cannot be read or written at a destination, for want of rights or for its size, delays
//! neither the others nor any revocation: a deletion needs only the ownership records, and revocations are transactions of
//! their own.
//!
//! *Nobody is locked out*: see [`protect`](crate::corev2::protect) and `decide`.
//!
//! *There are no queues of events.* A destination that is slow or unreachable falls behind the source's history, examines
//! everything when it is back, and does not affect the others.

mod cache;
mod config;
mod decide;
mod destination;
mod diff;
pub mod fuzzing;
mod leader_status;
mod lease;
mod machine;
mod memory;
mod plan;
mod probe;
mod queue;
mod record;
mod refused;
mod status;
mod supervisor;
mod work;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use tokio::sync::{mpsc, watch};

pub use config::{Config, SourceConfig};
pub use diff::Comparer;
pub use probe::{Reached, probe};
pub use status::Metrics;
pub use supervisor::{Supervisor, supervisor};

use cache::{Content, SyncState};

use crate::{
    corev2::Type,
    etcd,
    telemetry::trace::Tracer,
    types::{GivenUp, ReplicatorStatus},
};

/// The settings of replication.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The local cluster's etcd.
    pub source: etcd::Config,
    /// How long a replicator that moved waits for its old destination to be cleaned up, and the old destination for
    /// evidence that the new one is another address of the same etcd.
    pub cleanup_grace: Duration,
    /// How long a claim to a destination lasts without its gateways.
    pub fence_ttl: Duration,
    /// Records the steps.
    pub tracer: Option<Tracer>,
}

// === impl Settings ===

impl Settings {
    /// Replicates from this source, with defaults for everything else.
    pub fn new(source: etcd::Config) -> Self {
        let fence_ttl = record::FENCE_TTL;
        Self { source, cleanup_grace: CLEANUP_GRACE, fence_ttl, tracer: None }
    }
}

/// What the rest of the gateway sees of replication. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle {
    /// One per replicator, by name, including deleted ones whose keys have not been removed yet.
    pub statuses: watch::Receiver<Arc<Vec<ReplicatorStatus>>>,
    /// For the metrics page.
    pub metrics: Arc<Metrics>,
    give_up: mpsc::Sender<Abandoned>,
}

/// What a deleted replicator owns where it cannot be removed.
#[derive(Debug)]
struct Abandoned {
    replicator: Arc<str>,
    /// As the status shows them.
    destinations: BTreeSet<Arc<str>>,
}

// === impl Handle ===

impl Handle {
    /// Gives up, permanently, the keys that a deleted replicator still owns in destinations where they cannot be removed at
    /// present: for destinations that never come back. Where they are being removed, that goes on.
    pub fn give_up(&self, name: &str) -> GivenUp {
        let statuses = self.statuses.borrow();
        let Some(status) = statuses.iter().find(|status| status.is_deleted && *status.name == *name) else {
            return GivenUp::Unknown;
        };
        let stuck = status.left_behind.iter().filter(|left| left.error.is_some());
        let destinations: BTreeSet<Arc<str>> = stuck.map(|left| Arc::clone(&left.destination)).collect();
        if destinations.is_empty() {
            return GivenUp::NotStuck;
        }
        let abandoned = Abandoned { replicator: name.into(), destinations };
        self.give_up.try_send(abandoned).map_or(GivenUp::Busy, |()| GivenUp::Begun)
    }
}

/// The keys that one watch covers. Roles and bindings share a keyspace, so that their changes arrive in the order in
/// which they were made.
fn keyspace_of(kind: Type) -> &'static str {
    if kind.is_role() || kind.is_binding() { RBAC } else { kind.prefix() }
}

/// Why a keyspace of a destination cannot be relied on, if there is an error.
fn trouble_of(dest: &Content, keyspace: &'static str) -> Option<Arc<str>> {
    match dest.sync_state([&keyspace]) {
        SyncState::Incomplete(why) => {
            why.map(|why| format!("{keyspace} at the destination cannot be read: {why}").into())
        }
        SyncState::Stale(why) => {
            Some(format!("{keyspace} at the destination is not being watched: {why}").into())
        }
        SyncState::Current => None,
    }
}

/// Enough for an etcd to restart.
const CLEANUP_GRACE: Duration = Duration::from_secs(30);

/// Where Sensu stores roles and bindings.
const RBAC: &str = "/sensu.io/rbac/";
