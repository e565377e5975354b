//! Copies roles, bindings and other objects from the local cluster's etcd to the followers', and takes away what it has
//! brought when the source has it no more.
//!
//! ```text
//!   registry (replicators) ─┐                 ┌─ leadership: one gateway of several
//!                           ▼                 ▼
//!                        supervisor ── memory: store's identity, known destinations (in the registry's store)
//!                           │ plan: which destination does what
//!        assignment ┌───────┴───────┐ assignment                         one task per destination
//!                   ▼               ▼
//!  source image ─► destination     destination ◄─► its etcd
//!  (one mirror     │  machine: fence → read both sides → write what differs → follow
//!   per area,      │    work: what is to be looked at
//!   shared)        │      decide: what is to be done with one key (pure)
//!                  │    queue: in which order, how much at once
//!                  └─ image: the follower's side and the records, from its own watch
//! ```
//!
//! | Part | Owns |
//! |---|---|
//! | [`supervisor()`] | which tasks run; the statuses; the memory of where something was written |
//! | `image` | a copy of one etcd's areas in memory; the source's is shared by all destinations |
//! | `machine` | what one destination's task does next: a state machine without I/O |
//! | `work`, `decide`, `queue` | what differs, what is to be done, in which order |
//! | `record` | what stands in the destination: fence and ownership |
//! | `protect` | what is never touched |
//! | [`Leadership`] | whether this gateway replicates |
//! | `shared` | what the one that does tells the others |
//!
//! # How it stays right
//!
//! *It compares states, not events.* Both sides are held in memory, each kept up to date by a watch that opens before its
//! load and survives compaction. Whatever may have changed a key, on either side or in the records, only leads to a look
//! at that key: the source's value, the follower's, the record. So a missed event, a repeated one, a restart or a write
//! of unknown outcome all end in the same place, and nothing equal is ever written.
//!
//! *It deletes only what it owns*: what it wrote, or found equal. Each owned key has a record beside it in the same etcd,
//! written in the same transaction.
//!
//! *One writer.* Each transaction compares the revision of the destination's fence, which every take-over changes. A
//! gateway that was paused finds its writes refused.
//!
//! *Order.* Revocations first; then deletions of what nothing refers to; then new and changed objects, roles before
//! bindings; last, roles that replaced bindings had named. Replicators of one destination share this order, as they share
//! its task.
//!
//! *Nobody is locked out*: see `protect` and `decide`.
//!
//! *Nothing waits in queues.* A destination that is slow or away is behind the source's history, looks at everything when
//! it is back, and costs the others nothing.

mod config;
mod decide;
mod destination;
mod explain;
mod image;
mod leadership;
mod machine;
mod memory;
mod plan;
mod protect;
mod queue;
mod record;
mod shared;
mod status;
mod supervisor;
mod work;

use std::sync::Arc;

use tokio::sync::{mpsc, watch};

pub use config::{Config, SourceConfig};
pub use leadership::{Alone, Election, Leadership, Term, Told};
pub use status::Metrics;
pub use supervisor::{Supervisor, supervisor};

use crate::{corev2::Type, etcd, types::ReplicatorStatus};

/// What replication needs to know of the configuration.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The local cluster's etcd.
    pub source: etcd::Config,
}

/// What replication tells. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle {
    /// One for each replicator, by name; also those that are deleted but whose keys are not gone yet.
    pub statuses: watch::Receiver<Arc<Vec<ReplicatorStatus>>>,
    /// For the metrics page.
    pub metrics: Arc<Metrics>,
    give_up: mpsc::Sender<Arc<str>>,
}

// === impl Handle ===

impl Handle {
    /// Gives up the keys that a replicator still owns in destinations from which it was deleted or moved, for good: for
    /// destinations that never come back. What it owns where it is registered stays. Returns whether there was any.
    ///
    /// Meant for the deletion of a replicator that is not registered any more but still has a status.
    pub fn give_up(&self, name: &str) -> bool {
        let is_known = self.statuses.borrow().iter().any(|status| &*status.name == name);
        is_known && self.give_up.try_send(name.into()).is_ok()
    }
}

/// What is watched at once. Roles and bindings share an area: their changes come in the order in which they were made.
fn area_of(kind: Type) -> &'static str {
    if kind.is_role() || kind.is_binding() { RBAC } else { kind.prefix() }
}

/// Where Sensu keeps roles and bindings.
const RBAC: &str = "/sensu.io/rbac/";
