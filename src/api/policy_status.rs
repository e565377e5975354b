//! `Replicator`s in the status.

use serde::Serialize;

use super::format::{UNREADABLE, rfc3339, tenths};
use crate::{
    registry::Registry,
    types::{Kind, PolicyClusterStatus, PolicyStatus, ReplicatorState},
};

/// One `Replicator`. What it has in common with an etcd replicator has the same names.
#[derive(Serialize)]
pub(super) struct Policy<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    name: &'a str,
    state: &'static str,
    since: Option<String>,
    error: Option<&'a str>,
    keys: u64,
    lag_seconds: Option<f64>,
    last_sync: Option<String>,
    leader: bool,
    dry_run: bool,
    conflicts: u64,
    clusters: Vec<InCluster<'a>>,
    /// It is not registered any more, but has left copies behind.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    deleted: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    left_behind: Vec<Left<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    orphans: Vec<Orphan<'a>>,
}

/// Copies that are still to be removed; `destination` is a cluster, and `keys` is null while it is not known how many.
#[derive(Serialize)]
struct Left<'a> {
    destination: &'a str,
    keys: Option<u64>,
    error: Option<&'a str>,
}

/// Copies of another federation, some of which stand in the way.
#[derive(Serialize)]
struct Orphan<'a> {
    federation: &'a str,
    cluster: &'a str,
    keys: u64,
}

/// The same in one cluster.
#[derive(Serialize)]
struct InCluster<'a> {
    name: &'a str,
    state: &'static str,
    since: String,
    error: Option<&'a str>,
    keys: u64,
    lag_seconds: Option<f64>,
    last_sync: Option<String>,
    pending: Pending,
    conflicts: u64,
    /// The first conflicts, by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    examples: Vec<&'a str>,
    /// With `dry_run`, what would be done first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    changes: Vec<&'a str>,
}

#[derive(Serialize)]
struct Pending {
    create: u64,
    update: u64,
    delete: u64,
}

/// Every registered one by name, and the deleted ones that have left something behind. With `detailed`, errors and names of objects are shown.
pub(super) fn policies<'a>(view: &'a Registry, found: &'a [PolicyStatus], detailed: bool) -> Vec<Policy<'a>> {
    let readable = view.list(Kind::Replicator).map(|item| item.checked.resource.metadata.name.as_str());
    let unreadable = view
        .unreadable_of(Kind::Replicator)
        .map(|(name, _)| none(name, ReplicatorState::Rejected, UNREADABLE));
    let readable = readable.map(|name| match found.iter().find(|status| *status.name == *name) {
        None => none(name, ReplicatorState::Stopped, OFF),
        Some(status) => policy(status, detailed),
    });
    let is_registered =
        |name: &str| view.get(Kind::Replicator, name).is_some() || view.is_unreadable(Kind::Replicator, name);
    let deleted = found.iter().filter(|status| status.is_deleted && !is_registered(&status.name));
    let shown = readable.chain(unreadable).chain(deleted.map(|status| policy(status, detailed)));
    shown.map(|policy| Policy { error: policy.error.filter(|_| detailed), ..policy }).collect()
}

fn none<'a>(name: &'a str, state: ReplicatorState, error: &'static str) -> Policy<'a> {
    Policy {
        kind: Kind::Replicator.type_name(),
        name,
        state: state.as_str(),
        since: None,
        error: Some(error),
        keys: 0,
        lag_seconds: None,
        last_sync: None,
        leader: false,
        dry_run: false,
        conflicts: 0,
        clusters: Vec::new(),
        deleted: false,
        left_behind: Vec::new(),
        orphans: Vec::new(),
    }
}

fn policy(status: &PolicyStatus, detailed: bool) -> Policy<'_> {
    let all = &status.clusters;
    let left = &status.left_behind;
    let keys = if status.is_deleted {
        left.iter().filter_map(|it| it.keys).sum()
    } else {
        all.iter().map(|it| it.keys).sum()
    };
    // One cluster of which it is not known makes the whole unknown.
    let lag = all.iter().map(|it| it.lag).collect::<Option<Vec<_>>>().and_then(|lags| lags.into_iter().max());
    let synced = all.iter().map(|it| it.last_sync).collect::<Option<Vec<_>>>();
    Policy {
        kind: Kind::Replicator.type_name(),
        name: &status.name,
        state: status.state.as_str(),
        since: Some(rfc3339(status.since)),
        error: status.error.as_deref(),
        keys,
        lag_seconds: lag.map(|lag| tenths(lag.as_secs_f64())),
        last_sync: synced.and_then(|times| times.into_iter().min()).map(rfc3339),
        leader: status.leader,
        dry_run: status.dry_run,
        conflicts: all.iter().map(|it| it.conflicts).sum(),
        clusters: all.iter().map(|it| in_cluster(it, detailed)).collect(),
        deleted: status.is_deleted,
        left_behind: left
            .iter()
            .map(|it| Left {
                destination: &it.cluster,
                keys: it.keys,
                error: it.error.as_deref().filter(|_| detailed),
            })
            .collect(),
        orphans: all.iter().flat_map(orphans).collect(),
    }
}

fn orphans(status: &PolicyClusterStatus) -> impl Iterator<Item = Orphan<'_>> {
    status.orphans.iter().map(|it| Orphan {
        federation: &it.federation,
        cluster: &status.cluster,
        keys: it.keys,
    })
}

fn in_cluster(status: &PolicyClusterStatus, detailed: bool) -> InCluster<'_> {
    let pending = status.pending;
    InCluster {
        name: &status.cluster,
        state: status.state.as_str(),
        since: rfc3339(status.since),
        error: status.error.as_deref().filter(|_| detailed),
        keys: status.keys,
        lag_seconds: status.lag.map(|lag| tenths(lag.as_secs_f64())),
        last_sync: status.last_sync.map(rfc3339),
        pending: Pending { create: pending.create, update: pending.update, delete: pending.delete },
        conflicts: status.conflicts,
        examples: status.examples.iter().map(|it| &**it).filter(|_| detailed).collect(),
        changes: status.changes.iter().map(|it| &**it).filter(|_| detailed).collect(),
    }
}

const OFF: &str = "replication is off on this gateway, or it has no auth.jwt-private-key-file";
