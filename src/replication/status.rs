//! What replication reports: a destination's task to the supervisor, and both to the status and the metrics.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::{
    cache::SyncState,
    decide::Scope,
    keyspace_of,
    machine::{self, Machine, State, scope_keyspaces},
    record::RECORDS,
    trouble_of,
    work::{Sides, is_source},
};
use crate::{
    telemetry::metrics::{Families, Registry, collect},
    types::{Orphans, ReplicatorState, ReplicatorStatus},
};

/// What a destination's task reports to the supervisor.
#[derive(Clone, Debug, Default)]
pub(super) struct Report {
    /// The assignment that it is about.
    pub(super) generation: u64,
    pub(super) statuses: Vec<ReplicatorStatus>,
    /// The destination's own identity.
    pub(super) place: Option<String>,
    /// The revision at which the fence that is ours was written.
    pub(super) fence: Option<i64>,
    /// Keys owned for replicators that are not assigned, by name.
    pub(super) unassigned_owners: BTreeMap<String, u64>,
    /// What is known of who owns what.
    pub(super) known: Known,
    /// Why keys of those cannot be removed, by name.
    pub(super) stuck: BTreeMap<String, Arc<str>>,
    /// What is wrong with the destination.
    pub(super) trouble: Option<Arc<str>>,
    /// A write of unknown outcome may still arrive.
    pub(super) unresolved: bool,
}

/// What is known of a destination's records. Later variants are more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Known {
    /// They have not been read.
    #[default]
    Nothing,
    /// They have been read, however long ago.
    Once,
    /// What was read can be relied on, and everything that has to be written is.
    Currently,
    /// Nothing of this federation is there any more.
    Left,
}

/// Counters of replication, and its status, for Prometheus.
#[derive(Debug, Default)]
pub struct Metrics {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    counts: BTreeMap<Arc<str>, Counts>,
    statuses: Arc<Vec<ReplicatorStatus>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    writes: u64,
    errors: u64,
}

// === impl Report ===

impl Report {
    /// How many keys a replicator owns in the destination.
    pub(super) fn keys_of(&self, name: &str) -> u64 {
        let assigned = self.statuses.iter().find(|status| &*status.name == name).map(|status| status.keys);
        assigned.or_else(|| self.unassigned_owners.get(name).copied()).unwrap_or_default()
    }
}

// === impl Metrics ===

impl Metrics {
    /// Adds the families `replication_…`. Only replicators that exist are labels.
    pub fn register(self: &Arc<Self>, registry: &mut Registry) {
        let metrics = Arc::clone(self);
        collect(registry, move |families| metrics.write(families));
    }

    fn write(&self, families: &mut Families<'_>) -> fmt::Result {
        let (statuses, counts) = {
            let inner = self.inner.lock();
            (Arc::clone(&inner.statuses), inner.counts.clone())
        };
        let counts = |status: &ReplicatorStatus| counts.get(&status.name).copied().unwrap_or_default();
        families.gauges(
            "replication_keys",
            "Keys of the destination that the replicator owns.",
            samples(&statuses, |it| Some(it.keys)),
        )?;
        families.gauges(
            "replication_left_behind_keys",
            "Keys that a deleted or moved replicator still owns where it is not registered any more.",
            samples(&statuses, |it| {
                let keys = it.left_behind.iter().map(|left| left.keys).sum::<u64>();
                (!it.left_behind.is_empty()).then_some(keys)
            }),
        )?;
        families.gauges(
            "replication_lag_seconds",
            "Age of the oldest change that has not been copied.",
            samples(&statuses, |it| it.lag.map(|lag| lag.as_secs_f64())),
        )?;
        families.gauges(
            "replication_state",
            "1 for the state that the replicator is in, 0 for the others.",
            statuses.iter().flat_map(|it| {
                ReplicatorState::ALL.into_iter().map(|state| {
                    let labels = [("replicator", Arc::clone(&it.name)), ("state", state.as_str().into())];
                    (labels, u64::from(it.state == state))
                })
            }),
        )?;
        families.gauges(
            "replication_leader",
            "Whether this gateway is the one that replicates.",
            samples(&statuses, |it| Some(u64::from(it.leader))),
        )?;
        families.gauges(
            "replication_degraded",
            "Whether its status shows an error or a warning.",
            samples(&statuses, |it| Some(u64::from(it.error.is_some()))),
        )?;
        families.counters(
            "replication_writes",
            "Objects written or deleted.",
            samples(&statuses, |it| Some(counts(it).writes)),
        )?;
        families.counters(
            "replication_errors",
            "Requests and watches that failed, on either side.",
            samples(&statuses, |it| Some(counts(it).errors)),
        )?;
        families.gauges(
            "replication_last_success_timestamp_seconds",
            "When the destination was last known to equal the source.",
            samples(&statuses, |it| Some(it.last_sync?.duration_since(UNIX_EPOCH).ok()?.as_secs_f64())),
        )
    }

    pub(super) fn show(&self, statuses: Arc<Vec<ReplicatorStatus>>) {
        let mut inner = self.inner.lock();
        let names: BTreeSet<_> = statuses.iter().map(|status| Arc::clone(&status.name)).collect();
        inner.counts.retain(|name, _| names.contains(name));
        inner.statuses = statuses;
    }

    /// Counts failures that concern one replicator.
    pub(super) fn failed(&self, replicator: &Arc<str>, failures: u64) {
        if failures > 0 {
            self.inner.lock().counts.entry(Arc::clone(replicator)).or_default().errors += failures;
        }
    }

    pub(super) fn count(&self, machine: &mut Machine) {
        let tally = std::mem::take(&mut machine.tally);
        if tally.writes.is_empty() && tally.denied.is_empty() && tally.errors == 0 {
            return;
        }
        let mut inner = self.inner.lock();
        for name in tally.writes {
            inner.counts.entry(name).or_default().writes += 1;
        }
        for name in tally.denied {
            inner.counts.entry(name).or_default().errors += 1;
        }
        for scope in &machine.assignment.scopes {
            inner.counts.entry(Arc::clone(&scope.name)).or_default().errors += tally.errors;
        }
    }
}

/// A sample for each replicator that has a value.
fn samples<'a, N>(
    statuses: &'a [ReplicatorStatus],
    value: impl Fn(&ReplicatorStatus) -> Option<N> + 'a,
) -> impl Iterator<Item = ([(&'static str, Arc<str>); 1], N)> + 'a {
    statuses.iter().filter_map(move |it| Some(([("replicator", Arc::clone(&it.name))], value(it)?)))
}

/// The report of a machine. `before` is its last one.
pub(super) fn report(machine: &Machine, sides: Sides<'_>, before: &Report, now: Instant) -> Report {
    let owned = machine.work.owned(sides.dest);
    let known = if machine.state == State::Left {
        Known::Left
    } else if matches!(sides.dest.sync_state([&RECORDS]), SyncState::Incomplete(_)) {
        Known::Nothing
    } else {
        Known::Once
    };
    let is_held = matches!(machine.state, State::Holding { .. } | State::Waiting { fence: Some(_), .. });
    let state = is_held.then(|| sides.dest.sync_state(&[RECORDS]));
    let is_current = state == Some(SyncState::Current) && machine.work.is_done();
    let dest_trouble = machine.trouble.clone().or(match &state {
        Some(SyncState::Stale(why)) => Some(format!("the destination is not being watched: {why}").into()),
        Some(SyncState::Incomplete(why)) => why.clone(),
        _ => None,
    });
    let context = Context { machine, sides, now, owned: &owned, is_held, trouble: dest_trouble.clone() };
    let statuses = machine.assignment.scopes.iter().map(|scope| context.status(scope, before)).collect();
    let is_ours = |name: &str| {
        machine.assignment.foreign_owners.contains(name)
            || machine.assignment.scopes.iter().any(|it| &*it.name == name)
    };
    let unassigned_owners =
        owned.iter().filter(|(name, _)| !is_ours(name)).map(|(name, count)| (name.clone(), *count));
    Report {
        generation: machine.assignment.generation,
        statuses,
        place: machine.place.clone(),
        fence: match machine.state {
            State::Holding { fence } => Some(fence),
            State::Waiting { fence, .. } => fence,
            _ => None,
        },
        unassigned_owners: unassigned_owners.collect(),
        known: known.max(if is_current { Known::Currently } else { Known::Nothing }),
        stuck: machine.work.stuck(sides.dest),
        trouble: dest_trouble,
        unresolved: machine.unresolved,
    }
}

struct Context<'a> {
    machine: &'a Machine,
    sides: Sides<'a>,
    now: Instant,
    owned: &'a BTreeMap<String, u64>,
    /// The fence is ours.
    is_held: bool,
    trouble: Option<Arc<str>>,
}

// === impl Context ===

impl Context<'_> {
    fn status(&self, scope: &Scope, before: &Report) -> ReplicatorStatus {
        let (trouble, is_waiting) = self.trouble_of(scope);
        let (state, error) = match (trouble, self.machine.state == State::Idle) {
            (_, true) => (ReplicatorState::Stopped, None),
            (text, _) if self.machine.is_refused() => (ReplicatorState::Rejected, text),
            (Some(text), _) if is_waiting => (ReplicatorState::Retrying, Some(text)),
            (text, _) if self.machine.is_synced(scope) => (ReplicatorState::Following, text),
            (text, _) => (ReplicatorState::Syncing, text),
        };
        let old = before.statuses.iter().find(|status| status.name == scope.name);
        let since = old.filter(|old| old.state == state).map_or_else(SystemTime::now, |old| old.since);
        let is_known = self.machine.is_synced(scope) && self.source_trouble(scope).is_none();
        let oldest = self.machine.work.oldest(scope).map(|at| self.now.duration_since(at));
        ReplicatorStatus {
            name: Arc::clone(&scope.name),
            state,
            since,
            error,
            keys: self.owned.get(&*scope.name).copied().unwrap_or_default(),
            lag: oldest.or_else(|| is_known.then_some(std::time::Duration::ZERO)),
            last_sync: self.machine.last_sync(scope),
            leader: self.machine.term.is_some(),
            is_deleted: false,
            left_behind: Vec::new(),
            orphans: self.orphans(scope),
        }
    }

    /// What is wrong, and whether it stops the replicator.
    fn trouble_of(&self, scope: &Scope) -> (Option<Arc<str>>, bool) {
        if let Some(text) = &self.trouble {
            return (Some(Arc::clone(text)), true);
        }
        if scope.held {
            return (Some("waiting for its old destination to be cleaned up".into()), true);
        }
        let trouble = self.source_trouble(scope).or_else(|| self.dest_trouble(scope));
        if let Some(text) = trouble {
            return (Some(text), true);
        }
        match self.machine.work.problems_of(&scope.name) {
            (0, 0, _) | (_, _, None) => (self.copy_warning().or_else(|| self.orphans_warning(scope)), false),
            (0, 1, Some(text)) => (Some(format!("warning: {text}").into()), false),
            (0, more, Some(text)) => (Some(format!("{more} warnings, such as {text}").into()), false),
            (1, _, Some(text)) => (Some(format!("not copied: {text}").into()), false),
            (more, _, Some(text)) => {
                (Some(format!("{more} objects are not copied, such as {text}").into()), false)
            }
        }
    }

    /// What the replicator could take over.
    fn orphans(&self, scope: &Scope) -> Vec<Orphans> {
        let of = |store: &str, gateway: &str, keys| Orphans {
            federation: store.into(),
            gateway: gateway.into(),
            keys,
        };
        let holder = self.machine.holder.iter().map(|(store, gateway)| of(store, gateway, 0));
        let left = self.machine.orphans.iter();
        let left = left.filter_map(|it| Some(of(&it.store, &it.gateway, *it.adoptable.get(&scope.name)?)));
        holder.chain(left).collect()
    }

    /// Another gateway waits, which has a copy of this gateway's store.
    fn copy_warning(&self) -> Option<Arc<str>> {
        let gateway = self.machine.waiting_copies(self.sides.dest).next()?;
        Some(format!("warning: another gateway, {gateway}, {COPY_WAITS}").into())
    }

    fn orphans_warning(&self, scope: &Scope) -> Option<Arc<str>> {
        let orphans = &self.machine.orphans;
        let adoptable = orphans.iter().find_map(|it| Some((it, *it.adoptable.get(&scope.name)?)));
        let uncovered = orphans.iter().find(|it| it.uncovered > 0).map(|it| (it, it.uncovered));
        let gateway = |it: &machine::Orphans| {
            let name = if it.gateway.is_empty() { "unknown" } else { &it.gateway };
            format!("a federation that is gone (gateway {name})")
        };
        let text = match (adoptable, uncovered) {
            (Some((it, keys)), _) => format!(
                "warning: {keys} keys there belong to {}, whose source is not known to be this one, and are left as \
                 they are; to have them compared with this source, which deletes what it does not hold: fedgate \
                 adopt etcd-replicator {}",
                gateway(it),
                scope.name
            ),
            (None, Some((it, keys))) => format!(
                "warning: {keys} keys there belong to {}, and no replicator copies them: they are left as they are, \
                 with what they grant; register a replicator of their type",
                gateway(it)
            ),
            (None, None) => return None,
        };
        Some(text.into())
    }

    /// What is wrong with this kind at the destination only.
    fn dest_trouble(&self, scope: &Scope) -> Option<Arc<str>> {
        let trouble = self.is_held.then(|| trouble_of(self.sides.dest, keyspace_of(scope.kind))).flatten();
        trouble.or_else(|| self.machine.work.refused.denial_under(&scope.prefix()).cloned())
    }

    fn source_trouble(&self, scope: &Scope) -> Option<Arc<str>> {
        let states =
            scope_keyspaces(scope).map(|keyspace| (keyspace, self.sides.source.sync_state([&keyspace])));
        match states.into_iter().find(|(_, state)| *state != SyncState::Current) {
            None => (!is_source(self.sides.source)).then(|| NO_SOURCE.into()),
            Some((keyspace, SyncState::Incomplete(Some(why)))) => {
                Some(format!("the local cluster's etcd: {keyspace} cannot be read: {why}").into())
            }
            Some((keyspace, SyncState::Stale(why))) => Some(
                format!(
                    "the local cluster's etcd cannot be followed, so the last known state of {keyspace} is kept: {why}"
                )
                .into(),
            ),
            Some((_, SyncState::Incomplete(None) | SyncState::Current)) => None,
        }
    }
}

const COPY_WAITS: &str = "has a copy of this gateway's store and waits to write here: stop one of them, or give it a store \
     of its own";

const NO_SOURCE: &str = "the local cluster's etcd holds no roles or bindings at all: check that replication.source is \
     the etcd of an initialized Sensu cluster; until then nothing is copied or deleted";
