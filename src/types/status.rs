use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::{Backend, ClusterName};

/// A backend's state by its last health checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackendState {
    /// Not checked yet.
    Unknown,
    /// Answers.
    Up,
    /// Does not answer.
    Down,
}

/// One backend's health.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackendHealth {
    /// Its URL.
    pub backend: Backend,
    /// Its state.
    pub state: BackendState,
    /// Since when.
    pub since: SystemTime,
    /// Why it is down, or what the last check failed with.
    pub error: Option<Arc<str>>,
    /// How long the last good check took.
    pub latency: Option<Duration>,
    /// The id of its etcd cluster, once it has told it. Different ones are different clusters; equal ones may be, too.
    pub etcd_cluster: Option<u64>,
}

/// One cluster's health.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterHealth {
    /// Its name.
    pub name: ClusterName,
    /// Sensu's version, once a backend has reported it.
    pub version: Option<Arc<str>>,
    /// Its backends in their order.
    pub backends: Vec<BackendHealth>,
}

/// Sessions of the local cluster that the gateway renews while it is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutageStatus {
    /// When the first one was renewed since the cluster went away; `None` while it is there.
    pub since: Option<SystemTime>,
    /// For how long after the cluster has renewed one it is renewed here.
    pub longest: Duration,
    /// How many have been renewed since the gateway started.
    pub renewed: u64,
}

/// What a replicator is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplicatorState {
    /// Comparing everything.
    Syncing,
    /// Copying each change as it is made.
    Following,
    /// Waiting to try again after an error.
    Retrying,
    /// Not running here: another gateway does it, or replication is off.
    Stopped,
    /// Its definition cannot work as it is.
    Rejected,
}

// === impl ReplicatorState ===

impl ReplicatorState {
    /// Every state there is.
    pub const ALL: [Self; 5] =
        [Self::Syncing, Self::Following, Self::Retrying, Self::Stopped, Self::Rejected];

    /// Its name in the status.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Syncing => "syncing",
            Self::Following => "following",
            Self::Retrying => "retrying",
            Self::Stopped => "stopped",
            Self::Rejected => "rejected",
        }
    }
}

/// One replicator's condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicatorStatus {
    /// Its name.
    pub name: Arc<str>,
    /// What it is doing.
    pub state: ReplicatorState,
    /// Since when.
    pub since: SystemTime,
    /// The last error that still matters.
    pub error: Option<Arc<str>>,
    /// How many keys of the destination it owns.
    pub keys: u64,
    /// Age of the oldest change that has not been copied; `None` while that is not known.
    pub lag: Option<Duration>,
    /// When the destination was last known to equal the source.
    pub last_sync: Option<SystemTime>,
    /// Whether this gateway is the one that writes.
    pub leader: bool,
    /// It is not registered any more, but has left something behind.
    pub is_deleted: bool,
    /// What it still owns where it is not registered any more.
    pub left_behind: Vec<LeftBehind>,
    /// What federations that are gone still own in its destination and it could take over.
    pub orphans: Vec<Orphans>,
}

/// What a replicator that was deleted or moved still owns in a destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftBehind {
    /// Its URLs.
    pub destination: Arc<str>,
    /// How many keys, when last counted.
    pub keys: u64,
    /// Why they cannot be removed; `None` while they are being removed.
    pub error: Option<Arc<str>>,
}

/// What becomes of the wish to give up what a deleted replicator has left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GivenUp {
    /// It is given up wherever it cannot be removed.
    Begun,
    /// All of it is being removed.
    NotStuck,
    /// Nothing is known of a deleted replicator of that name.
    Unknown,
    /// Too many others are being given up.
    Busy,
}

/// What a federation that is gone still owns in a destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Orphans {
    /// Identifies the federation.
    pub federation: Arc<str>,
    /// One of its gateways.
    pub gateway: Arc<str>,
    /// How many keys.
    pub keys: u64,
}
