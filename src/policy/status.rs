//! What replication by API reports: a cluster's task to the supervisor, and both to the status and the metrics.

use std::{
    collections::BTreeMap,
    fmt,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::{
    decide::Scope,
    machine::{Assignment, Machine},
    plan::Summary,
};
use crate::{
    telemetry::metrics::{Families, Registry, collect},
    types::{PolicyClusterStatus, PolicyStatus, ReplicatorState},
};

/// What a cluster's task reports.
#[derive(Clone, Debug, Default)]
pub(super) struct Report {
    /// Each `Replicator`'s condition there.
    pub(super) statuses: BTreeMap<Arc<str>, PolicyClusterStatus>,
    /// What is left of what each kept that keeps it no more.
    pub(super) left: BTreeMap<Arc<str>, Left>,
    /// Since when each has something to do.
    pending_since: BTreeMap<Arc<str>, Instant>,
    /// What it is about.
    pub(super) about: Option<Arc<Assignment>>,
    /// Nothing is left of what is to be removed.
    pub(super) is_clean: bool,
    /// When everything was last listed.
    pub(super) listed_at: Option<Instant>,
    /// Of all time.
    pub(super) writes: u64,
    pub(super) errors: u64,
}

/// What is left of what a `Replicator` kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Left {
    /// When last counted.
    pub(super) keys: Option<u64>,
    /// Why it cannot be removed at present.
    pub(super) error: Option<Arc<str>>,
    /// Whether that is because the cluster is away.
    pub(super) is_away: bool,
}

/// Status and counters for Prometheus.
#[derive(Debug, Default)]
pub struct Metrics {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    statuses: Arc<Vec<PolicyStatus>>,
    /// By cluster: writes and errors.
    counts: BTreeMap<Arc<str>, (u64, u64)>,
}

/// Brings a report up to date. Returns whether it says something else than before.
pub(super) fn report(machine: &Machine, cluster: &Arc<str>, now: Instant, report: &mut Report) -> bool {
    let counts = (machine.writes, machine.errors);
    let mut changed = counts != (report.writes, report.errors);
    (report.writes, report.errors) = counts;
    let is_clean = machine.is_clean();
    changed |= std::mem::replace(&mut report.is_clean, is_clean) != is_clean;
    report.listed_at = machine.listed_at;
    let assignment = Arc::clone(&machine.assignment);
    changed |= report.about.as_ref() != Some(&assignment);
    report.about = Some(Arc::clone(&assignment));
    changed |= report_left(machine, &assignment, report);
    let is_kept = |name: &Arc<str>| assignment.scopes.iter().any(|scope| scope.name == *name);
    report.statuses.retain(|name, _| is_kept(name));
    report.pending_since.retain(|name, _| is_kept(name));
    for scope in &assignment.scopes {
        let summary = machine.plan.scopes.get(&scope.name).cloned().unwrap_or_default();
        // Where something cannot be read it may differ.
        let is_different = summary.pending.total() > 0
            || machine.away.is_some()
            || trouble(machine, scope).is_some()
            || machine.is_source_unread(scope);
        if is_different && !scope.dry_run {
            report.pending_since.entry(Arc::clone(&scope.name)).or_insert(now);
        } else {
            report.pending_since.remove(&scope.name);
        }
        let pending = report.pending_since.get(&scope.name).map(|since| now.duration_since(*since));
        let last_sync = machine.last_sync.get(&scope.name).copied();
        let lag = pending.or_else(|| last_sync.map(|_| Duration::ZERO));
        let old = report.statuses.get(&scope.name);
        let (state, error) = condition(machine, scope, &summary);
        let since = old.filter(|old| old.state == state).map_or_else(SystemTime::now, |old| old.since);
        let status = PolicyClusterStatus {
            cluster: Arc::clone(cluster),
            state,
            since,
            error,
            keys: summary.owned,
            lag,
            last_sync,
            pending: summary.pending,
            conflicts: summary.conflicts,
            changes: summary.changes(),
            orphans: summary.orphans().map(|(copies, _)| copies).collect(),
            examples: summary.examples,
        };
        if old != Some(&status) {
            changed = true;
            report.statuses.insert(Arc::clone(&scope.name), status);
        }
    }
    changed
}

/// Brings up to date what is left of what is kept no more. Returns whether that says something else than before.
fn report_left(machine: &Machine, assignment: &Assignment, report: &mut Report) -> bool {
    let trouble = |scope: &Scope| machine.away.clone().or_else(|| trouble(machine, scope));
    let of = |scope: &Scope| {
        let name = &scope.name;
        let error = trouble(scope);
        if error.is_some() || !machine.is_complete {
            let last = report.left.get(name).map(|left| left.keys);
            let keys = last.unwrap_or_else(|| report.statuses.get(name).map(|status| status.keys));
            return Left { keys, error, is_away: machine.away.is_some() };
        }
        let summary = machine.plan.past.get(name).cloned().unwrap_or_default();
        let why = summary.problems.1.or(summary.warnings.1);
        Left { keys: Some(summary.owned), error: why, is_away: false }
    };
    let left = assignment.past.iter().map(|scope| (Arc::clone(&scope.name), of(scope))).collect();
    let is_new = report.left != left;
    report.left = left;
    is_new
}

/// Why a kind cannot be read there.
fn trouble(machine: &Machine, scope: &Scope) -> Option<Arc<str>> {
    let own = machine.troubles.iter().find(|(kind, _)| scope.kinds.contains(kind));
    let (kind, why) = own.or_else(|| machine.troubles.iter().next())?;
    Some(format!("{}: {why}", kind.name()).into())
}

/// The state of a `Replicator` in a cluster, and what is wrong with it.
fn condition(machine: &Machine, scope: &Scope, summary: &Summary) -> (ReplicatorState, Option<Arc<str>>) {
    if let Some(why) = &machine.away {
        return (ReplicatorState::Retrying, Some(Arc::clone(why)));
    }
    if let Some(why) = trouble(machine, scope) {
        return (ReplicatorState::Retrying, Some(why));
    }
    if !machine.is_complete {
        return (ReplicatorState::Syncing, None);
    }
    let said = |found: &(u64, Option<Arc<str>>), one: &str, many: &str| match found {
        (_, None) => None,
        (1, Some(text)) => Some(format!("{one}: {text}")),
        (more, Some(text)) => Some(format!("{more} {many}, such as {text}")),
    };
    let conflicts = (summary.conflicts, summary.examples.first().cloned());
    let error = said(&summary.problems, "not copied", "objects are not copied")
        .or_else(|| said(&conflicts, "conflict", "conflicts"))
        .or_else(|| orphans(machine, scope, summary))
        .or_else(|| said(&summary.warnings, "warning", "warnings"));
    let state = if summary.is_behind() && !scope.dry_run {
        ReplicatorState::Syncing
    } else {
        ReplicatorState::Following
    };
    (state, error.map(Arc::from))
}

/// That another federation's copies are in the way.
fn orphans(machine: &Machine, scope: &Scope, summary: &Summary) -> Option<String> {
    let (copies, example) = summary.orphans().next()?;
    let what =
        format!("{} copies of another federation ({}), such as {example}", copies.keys, copies.federation);
    if scope.adopts.contains(&copies.federation) && machine.copies.alive.contains(&copies.federation) {
        return Some(format!("{what}, are left alone: it is not gone, but has put them back"));
    }
    Some(format!(
        "{what}: if that one is gone for good, take them over (fedgate adopt replicator {})",
        scope.name
    ))
}

// === impl Metrics ===

impl Metrics {
    /// Adds the families `replication_cluster_…`. Only `Replicator`s and clusters that exist are labels.
    pub fn register(self: &Arc<Self>, registry: &mut Registry) {
        let metrics = Arc::clone(self);
        collect(registry, move |families| metrics.write(families));
    }

    pub(super) fn show(&self, statuses: Arc<Vec<PolicyStatus>>, counts: BTreeMap<Arc<str>, (u64, u64)>) {
        *self.inner.lock() = Inner { statuses, counts };
    }

    fn write(&self, families: &mut Families<'_>) -> fmt::Result {
        let (statuses, counts) = {
            let inner = self.inner.lock();
            (Arc::clone(&inner.statuses), inner.counts.clone())
        };
        families.gauges(
            "replication_cluster_keys",
            "Objects of a cluster that this federation has copied there.",
            samples(&statuses, |it| Some(it.keys)),
        )?;
        families.gauges(
            "replication_cluster_pending",
            "Objects that differ and are to be written, or would be with dry_run.",
            samples(&statuses, |it| Some(it.pending.total())),
        )?;
        families.gauges(
            "replication_cluster_conflicts",
            "Objects that are in the way because they are not this federation's.",
            samples(&statuses, |it| Some(it.conflicts)),
        )?;
        families.gauges(
            "replication_cluster_degraded",
            "Whether the status shows an error or a warning.",
            samples(&statuses, |it| Some(u64::from(it.error.is_some()))),
        )?;
        families.gauges(
            "replication_cluster_lag_seconds",
            "Age of the oldest difference that is to be removed.",
            samples(&statuses, |it| it.lag.map(|lag| lag.as_secs_f64())),
        )?;
        families.gauges(
            "replication_cluster_last_success_timestamp_seconds",
            "When the cluster was last known to equal the source: all of it was read, and nothing was to be done.",
            samples(&statuses, |it| Some(it.last_sync?.duration_since(UNIX_EPOCH).ok()?.as_secs_f64())),
        )?;
        let leading = statuses.iter().filter(|policy| !policy.is_deleted);
        families.gauges(
            "replication_cluster_leader",
            "1 on the gateway that replicates by API.",
            leading.map(|it| ([("replicator", Arc::clone(&it.name))], u64::from(it.leader))),
        )?;
        families.gauges(
            "replication_cluster_orphans",
            "Copies of other federations, some of which stand in the way.",
            samples(&statuses, |it| Some(it.orphans.iter().map(|it| it.keys).sum::<u64>())),
        )?;
        families.gauges(
            "replication_cluster_left_behind",
            "Whether copies are still to be removed where a Replicator was deleted or narrowed.",
            // What another gateway has published is in its own metrics.
            statuses.iter().filter(|policy| policy.leader).flat_map(|policy| {
                policy.left_behind.iter().map(|left| {
                    (
                        [("replicator", Arc::clone(&policy.name)), ("cluster", Arc::clone(&left.cluster))],
                        1_u64,
                    )
                })
            }),
        )?;
        let of = |pick: fn(&(u64, u64)) -> u64| {
            counts.iter().map(move |(cluster, found)| ([("cluster", Arc::clone(cluster))], pick(found)))
        };
        families.counters("replication_cluster_writes", "Objects written or deleted.", of(|it| it.0))?;
        families.counters(
            "replication_cluster_errors",
            "Requests that failed or were refused.",
            of(|it| it.1),
        )
    }
}

/// A sample for each `Replicator` and cluster that has a value.
fn samples<'a, N>(
    statuses: &'a [PolicyStatus],
    value: impl Fn(&PolicyClusterStatus) -> Option<N> + Copy + 'a,
) -> impl Iterator<Item = ([(&'static str, Arc<str>); 2], N)> + 'a {
    // What another gateway has published is in its own metrics.
    statuses.iter().filter(|policy| policy.leader).flat_map(move |policy| {
        policy.clusters.iter().filter_map(move |it| {
            let labels = [("replicator", Arc::clone(&policy.name)), ("cluster", Arc::clone(&it.cluster))];
            Some((labels, value(it)?))
        })
    })
}
