use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::{ClusterName, ReplicatorState};

/// What a `Replicator` keeps in which clusters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicySpec {
    /// Sensu types, such as `Role`; each once.
    pub resources: BTreeSet<String>,
    /// Where to.
    pub clusters: Targets,
    /// Only this namespace of what belongs to namespaces; `None` is all.
    pub namespace: Option<String>,
    /// How often the clusters are compared with the source as a whole.
    pub interval: Duration,
    /// What becomes of an object of the same name that is not this federation's.
    pub conflicts: OnConflict,
    /// What becomes of a copy whose original is gone.
    pub on_delete: OnDelete,
    /// Only report what would be done.
    pub dry_run: bool,
}

/// The clusters of a `Replicator`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Targets {
    /// All remote ones, those that are registered later too.
    All,
    /// These, registered or not.
    Named(BTreeSet<ClusterName>),
}

/// What to do about an object that is not this federation's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnConflict {
    /// Leave it alone and say so.
    Report,
    /// Make it a copy.
    Overwrite,
}

/// What to do about a copy whose original is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnDelete {
    /// Delete it.
    Remove,
    /// Leave it where it is.
    Keep,
}

/// A `Replicator`'s condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyStatus {
    /// Its name.
    pub name: Arc<str>,
    /// That of the cluster that is worst off.
    pub state: ReplicatorState,
    /// Since when.
    pub since: SystemTime,
    /// What is wrong with all of it, or with the cluster that is worst off.
    pub error: Option<Arc<str>>,
    /// Whether this gateway is the one that writes.
    pub leader: bool,
    /// Whether it only reports.
    pub dry_run: bool,
    /// Each of its clusters, by name.
    pub clusters: Vec<PolicyClusterStatus>,
    /// It is not registered any more, but has left copies behind.
    pub is_deleted: bool,
    /// Where its copies are still to be removed, by cluster.
    pub left_behind: Vec<LeftCopies>,
}

/// Copies in a cluster that a `Replicator` keeps no more: it was deleted or narrowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftCopies {
    /// The cluster.
    pub cluster: Arc<str>,
    /// How many, when last counted; `None` while that is not known.
    pub keys: Option<u64>,
    /// Why they cannot be removed; `None` while they are being removed.
    pub error: Option<Arc<str>>,
}

/// Copies in a cluster that bear another federation's label, and could be taken over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignCopies {
    /// Identifies the federation.
    pub federation: Arc<str>,
    /// How many.
    pub keys: u64,
}

/// A `Replicator`'s condition in one cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyClusterStatus {
    /// The cluster.
    pub cluster: Arc<str>,
    /// What is being done there.
    pub state: ReplicatorState,
    /// Since when.
    pub since: SystemTime,
    /// The last error or warning that still matters.
    pub error: Option<Arc<str>>,
    /// How many copies there are this federation's.
    pub keys: u64,
    /// Age of the oldest difference that is to be removed; `None` while that is not known.
    pub lag: Option<Duration>,
    /// When it was last known to equal the source.
    pub last_sync: Option<SystemTime>,
    /// What is to be done there, or would be with `dry_run`.
    pub pending: PendingChanges,
    /// How many objects there are not this federation's and stand in the way.
    pub conflicts: u64,
    /// The first of them, each with the reason.
    pub examples: Vec<Arc<str>>,
    /// With `dry_run`, what would be done first.
    pub changes: Vec<Arc<str>>,
    /// What other federations have copied there, where some of it stands in the way.
    pub orphans: Vec<ForeignCopies>,
}

/// How many objects differ, by what makes them equal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PendingChanges {
    /// To be created.
    pub create: u64,
    /// To be changed.
    pub update: u64,
    /// To be deleted.
    pub delete: u64,
}

// === impl Targets ===

impl Targets {
    /// Whether a cluster is one of them. The local one never is.
    pub fn contain(&self, cluster: &ClusterName) -> bool {
        match self {
            Self::All => !cluster.is_local(),
            Self::Named(names) => names.contains(cluster),
        }
    }
}

// === impl OnConflict ===

impl OnConflict {
    /// Each, as it is written.
    pub const ALL: [(&str, Self); 2] = [("report", Self::Report), ("overwrite", Self::Overwrite)];
}

// === impl OnDelete ===

impl OnDelete {
    /// Each, as it is written.
    pub const ALL: [(&str, Self); 2] = [("remove", Self::Remove), ("keep", Self::Keep)];
}

// === impl PolicyClusterStatus ===

impl PolicyClusterStatus {
    /// Of a cluster of which nothing is known but this.
    pub fn new(
        cluster: Arc<str>,
        state: ReplicatorState,
        since: SystemTime,
        error: Option<Arc<str>>,
    ) -> Self {
        Self {
            cluster,
            state,
            since,
            error,
            keys: 0,
            lag: None,
            last_sync: None,
            pending: PendingChanges::default(),
            conflicts: 0,
            examples: Vec::new(),
            changes: Vec::new(),
            orphans: Vec::new(),
        }
    }
}

// === impl PendingChanges ===

impl PendingChanges {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.create + self.update + self.delete
    }
}
