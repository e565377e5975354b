//! The status of the `Replicator`s.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::SystemTime,
};

use super::{
    left::{self, LeftBehind, Remains},
    source::Source,
    status::Report,
};
use crate::{
    corev2::Type,
    registry::Registry,
    types::{
        ClusterName, Kind, PolicyClusterStatus, PolicySpec, PolicyStatus, ReplicatorState, Spec, Targets,
    },
};

/// What a status is made of.
pub(super) struct Seen<'a> {
    pub(super) registry: &'a Registry,
    pub(super) leads: bool,
    /// By cluster.
    pub(super) reports: &'a BTreeMap<Arc<str>, Report>,
    pub(super) source: Option<&'a Source>,
    /// Why the store cannot be used.
    pub(super) trouble: Option<&'a Arc<str>>,
    /// Where nothing is kept any more.
    pub(super) left: LeftBehind,
    /// What the gateway that leads has published, while another one does.
    pub(super) published: Vec<PolicyStatus>,
    pub(super) old: &'a [PolicyStatus],
    /// Whether it is known that another gateway leads.
    pub(super) is_led: bool,
}

// === impl Seen ===

impl Seen<'_> {
    /// Why this gateway does nothing, which the one that leads has said nothing about.
    fn stands_by(&self) -> &'static str {
        if self.is_led { NOT_HERE } else { NOBODY }
    }
}

/// The status of every registered `Replicator`, by name, and of those that were deleted and have left something behind.
pub(super) fn statuses(seen: &Seen<'_>) -> Vec<PolicyStatus> {
    let snapshot = seen.registry.snapshot();
    let remote = snapshot.iter().map(|cluster| &cluster.name).filter(|name| !name.is_local());
    let remote: BTreeSet<&ClusterName> = remote.collect();
    let of = |name: &str, spec: &PolicySpec| {
        let targets: BTreeSet<&ClusterName> = match &spec.clusters {
            Targets::All => remote.clone(),
            Targets::Named(names) => names.iter().collect(),
        };
        let old = seen.old.iter().find(|old| *old.name == *name);
        let before = by_cluster(old);
        let clusters = targets.into_iter().map(|cluster| {
            let old = before.get(cluster.as_str()).copied();
            in_cluster(seen, name, cluster, remote.contains(cluster), old)
        });
        let clusters = clusters.collect();
        whole(seen, name, spec, clusters, old)
    };
    let items = seen.registry.list(Kind::Replicator).filter_map(|item| {
        let Spec::Replicator(spec) = &item.checked.spec else { return None };
        let name = &item.checked.resource.metadata.name;
        let published = seen.published.iter().find(|it| *it.name == **name && !it.is_deleted);
        Some(published.cloned().unwrap_or_else(|| of(name, spec)))
    });
    let mut found: Vec<PolicyStatus> = items.collect();
    let is_shown = |name: &str| found.iter().any(|it| *it.name == *name);
    let is_unreadable = |name: &str| seen.registry.is_unreadable(Kind::Replicator, name);
    let left = seen.left.iter().filter(|(name, _)| !is_shown(name) && !is_unreadable(name));
    let deleted = left.map(|(name, left)| deleted(seen, name, left));
    let elsewhere = seen.published.iter().filter(|it| it.is_deleted && !is_shown(&it.name)).cloned();
    let gone: Vec<PolicyStatus> = deleted.chain(elsewhere).collect();
    found.extend(gone);
    found
}

/// One that is not registered any more, but has left copies behind.
fn deleted(seen: &Seen<'_>, name: &Arc<str>, left: &[Remains]) -> PolicyStatus {
    let error = left::trouble(left, Some(name));
    let state = if error.is_some() { ReplicatorState::Retrying } else { ReplicatorState::Syncing };
    let old = seen.old.iter().find(|old| old.name == *name && old.is_deleted && old.state == state);
    PolicyStatus {
        name: Arc::clone(name),
        state,
        since: old.map_or_else(SystemTime::now, |old| old.since),
        error,
        leader: true,
        dry_run: false,
        clusters: Vec::new(),
        is_deleted: true,
        left_behind: left.iter().map(|it| it.copies.clone()).collect(),
    }
}

/// The clusters of a status by name.
fn by_cluster(status: Option<&PolicyStatus>) -> BTreeMap<&str, &PolicyClusterStatus> {
    let clusters = status.into_iter().flat_map(|status| &status.clusters);
    clusters.map(|status| (&*status.cluster, status)).collect()
}

fn in_cluster(
    seen: &Seen<'_>,
    replicator: &str,
    cluster: &ClusterName,
    is_registered: bool,
    old: Option<&PolicyClusterStatus>,
) -> PolicyClusterStatus {
    let report = seen.reports.get(cluster.as_str()).and_then(|report| report.statuses.get(replicator));
    if let Some(report) = report.filter(|_| is_registered && seen.leads) {
        return report.clone();
    }
    let (state, error) = match (is_registered, seen.leads) {
        (false, _) => (ReplicatorState::Stopped, Some("no cluster of that name is registered")),
        (true, false) => (ReplicatorState::Stopped, None),
        (true, true) => (ReplicatorState::Syncing, None),
    };
    let since = old.filter(|old| old.state == state).map_or_else(SystemTime::now, |old| old.since);
    PolicyClusterStatus::new(cluster.as_str().into(), state, since, error.map(Arc::from))
}

/// The worst of its clusters, unless something is wrong with all of it.
fn whole(
    seen: &Seen<'_>,
    name: &str,
    spec: &PolicySpec,
    clusters: Vec<PolicyClusterStatus>,
    old: Option<&PolicyStatus>,
) -> PolicyStatus {
    let worst = clusters.iter().max_by_key(|it| (severity(it.state), it.error.is_some()));
    let (state, error) = if !seen.leads {
        (ReplicatorState::Stopped, Some(seen.stands_by().into()))
    } else if let Some(trouble) = seen.trouble.cloned().or_else(|| source_trouble(seen, spec)) {
        (ReplicatorState::Retrying, Some(trouble))
    } else if let Some(worst) = worst {
        let error = worst.error.as_ref().map(|error| format!("{}: {error}", worst.cluster).into());
        let others_run = clusters.iter().any(|it| it.state != ReplicatorState::Stopped);
        let state = match worst.state {
            ReplicatorState::Stopped if others_run => ReplicatorState::Retrying,
            state => state,
        };
        (state, error)
    } else {
        (ReplicatorState::Following, Some(NO_CLUSTER.into()))
    };
    let left = seen.left.get(name).cloned().unwrap_or_default();
    // A warning must not hide that what was revoked is still in force somewhere.
    let is_worse = error.is_none() || state == ReplicatorState::Following;
    let (state, error) = match left::trouble(&left, None).filter(|_| is_worse) {
        Some(trouble) => (ReplicatorState::Retrying, Some(trouble)),
        None => (state, error),
    };
    let since = old.filter(|old| old.state == state).map_or_else(SystemTime::now, |old| old.since);
    PolicyStatus {
        name: name.into(),
        state,
        since,
        error,
        leader: seen.leads,
        dry_run: spec.dry_run,
        clusters,
        is_deleted: false,
        left_behind: left.into_iter().map(|it| it.copies).collect(),
    }
}

fn source_trouble(seen: &Seen<'_>, spec: &PolicySpec) -> Option<Arc<str>> {
    let kinds = spec.resources.iter().filter_map(|resource| Type::of_name(resource));
    let troubles = &seen.source?.troubles;
    let (kind, why) = kinds.into_iter().find_map(|kind| Some((kind, troubles.get(&kind)?)))?;
    Some(format!("the local cluster: {} cannot be read: {why}", kind.name()).into())
}

fn severity(state: ReplicatorState) -> u8 {
    match state {
        ReplicatorState::Following => 0,
        ReplicatorState::Syncing => 1,
        ReplicatorState::Stopped => 2,
        ReplicatorState::Retrying => 3,
        ReplicatorState::Rejected => 4,
    }
}

/// Logs each change in a cluster once.
pub(super) fn log_changes(old: &[PolicyStatus], new: &[PolicyStatus]) {
    let said = |status: &PolicyClusterStatus| (status.state, status.error.clone());
    for policy in new.iter().filter(|policy| policy.leader) {
        let known = old.iter().find(|old| old.name == policy.name);
        if policy.is_deleted && known.map(|it| (it.is_deleted, &it.error)) != Some((true, &policy.error)) {
            let (replicator, state) = (&policy.name, policy.state.as_str());
            if let Some(error) = &policy.error {
                tracing::warn!(%replicator, state, %error, "a deleted replicator's copies are removed");
            } else {
                tracing::info!(%replicator, state, "a deleted replicator's copies are removed");
            }
        }
        let before = by_cluster(old.iter().find(|old| old.name == policy.name));
        for status in &policy.clusters {
            let known = before.get(&*status.cluster).copied();
            if known.map(said) == Some(said(status)) {
                continue;
            }
            let (replicator, cluster, state) = (&policy.name, &status.cluster, status.state.as_str());
            if let Some(error) = &status.error {
                tracing::warn!(%replicator, %cluster, state, %error, "replication");
            } else {
                tracing::info!(%replicator, %cluster, state, "replication");
            }
        }
    }
}

const NOT_HERE: &str = "another gateway replicates";

const NOBODY: &str = "this gateway does not replicate, and does not know which one does";

const NO_CLUSTER: &str = "warning: no remote cluster is registered";
