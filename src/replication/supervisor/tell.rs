//! What is told of replicators.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::time::Instant;

use super::{Supervisor, is_assigned};
use crate::{
    registry::Registry,
    replication::{leadership::Told, plan, shared},
    types::{ReplicatorState, ReplicatorStatus},
};

/// What a replicator still has where it is not wanted any more.
struct Remains {
    name: Arc<str>,
    /// It is wanted elsewhere.
    is_moved: bool,
    error: String,
    keys: u64,
    state: ReplicatorState,
}

// === impl Supervisor ===

impl Supervisor {
    /// A follower's etcd that was made from a backup of another follower's holds that one's records, and passes for it:
    /// what is owned at the one would be left alone at the other. Two addresses of one etcd show the same revision.
    pub(super) fn find_twins(&mut self) {
        let now = Instant::now();
        let reports = self.tasks.iter().map(|(id, task)| (id, task.reports.borrow().clone()));
        let held: Vec<_> =
            reports.filter_map(|(id, report)| Some((id.clone(), report.place?, report.fence?))).collect();
        let mut twins = BTreeMap::new();
        for (n, (a, place, fence)) in held.iter().enumerate() {
            for (b, ..) in held[n + 1..].iter().filter(|(_, its, at)| its == place && at != fence) {
                let pair = (a.clone(), b.clone());
                twins.insert(pair.clone(), self.twins.get(&pair).copied().unwrap_or(now));
            }
        }
        self.twins = twins;
    }

    /// What is wrong with a destination that passes for another one.
    fn twin_trouble(&self, id: &str) -> Option<Arc<str>> {
        let known = &self.memory.as_ref()?.destinations;
        let of = |((a, b), since): (&(String, String), &Instant)| {
            let other = if a == id { b } else { a };
            let is_it = (a == id || b == id) && since.elapsed() >= TWIN_PAUSE;
            is_it.then(|| known.get(other)).flatten()
        };
        let other = self.twins.iter().find_map(of)?.address.describe();
        Some(format!("deletions may not arrive: it and {other} {ARE_TWINS}").into())
    }

    pub(super) fn tell(&mut self, registry: &Registry, leads: bool, leader: Option<&Told>) {
        let old = self.statuses.borrow().clone();
        let mut found = self.found(registry, leads, &old);
        self.metrics.show(Arc::new(found.values().cloned().collect()));
        if !leads && let Some(status) = leader.and_then(|told| told.status.as_deref()) {
            let told = shared::parse(status).unwrap_or_default();
            found.extend(told.into_iter().map(|status| (Arc::clone(&status.name), status)));
        }
        let statuses = Arc::new(found.into_values().collect::<Vec<_>>());
        if leads {
            self.teller.tell(&*self.leadership, &statuses);
            for status in statuses.iter() {
                log_change(old.iter().find(|old| old.name == status.name), status);
            }
        } else {
            self.teller.reset();
        }
        self.statuses.send_if_modified(|current| {
            let changed = *current != statuses;
            *current = statuses;
            changed
        });
    }

    /// What is known here of each replicator.
    fn found(
        &self,
        registry: &Registry,
        leads: bool,
        old: &[ReplicatorStatus],
    ) -> BTreeMap<Arc<str>, ReplicatorStatus> {
        let mut found: BTreeMap<Arc<str>, ReplicatorStatus> = BTreeMap::new();
        let new = |name: Arc<str>, state, error, keys| {
            let same = old.iter().find(|old| old.name == name && old.state == state);
            let since = same.map_or_else(SystemTime::now, |old| old.since);
            ReplicatorStatus { name, state, since, error, keys, lag: None, last_sync: None, leader: leads }
        };
        for (key, reason) in registry.unreadable() {
            if let Some(name) = plan::replicator_of(key) {
                let error = Some(format!("the definition cannot be used: {reason}").into());
                found.insert(name.into(), new(name.into(), ReplicatorState::Rejected, error, 0));
            }
        }
        for name in plan::names(registry) {
            let state = if leads { ReplicatorState::Syncing } else { ReplicatorState::Stopped };
            let state = if self.trouble.is_some() { ReplicatorState::Retrying } else { state };
            found.insert(Arc::clone(&name), new(name, state, self.trouble.clone(), 0));
        }
        for (id, task) in &self.tasks {
            let report = task.reports.borrow().clone();
            let twin = self.twin_trouble(id);
            for status in report.statuses {
                // Of two destinations, the one that it moved to counts.
                if found.contains_key(&status.name) && is_assigned(task, &status.name) {
                    let warning = || plan::warning(registry, &status.name).map(Arc::from);
                    let state = if twin.is_some() { ReplicatorState::Retrying } else { status.state };
                    let error = twin.clone().or_else(|| status.error.clone()).or_else(warning);
                    found.insert(Arc::clone(&status.name), ReplicatorStatus { state, error, ..status });
                }
            }
        }
        for Remains { name, is_moved, error, keys, state } in self.remains() {
            match found.entry(name) {
                Entry::Vacant(entry) => {
                    let status = new(Arc::clone(entry.key()), state, Some(error.into()), keys);
                    entry.insert(status);
                }
                Entry::Occupied(mut entry) if is_moved && entry.get().error.is_none() => {
                    entry.get_mut().error = Some(format!("warning: {error}").into());
                }
                Entry::Occupied(_) => {}
            }
        }
        found
    }

    /// Replicators that are deleted or moved but not gone yet, with what is in the way.
    fn remains(&self) -> Vec<Remains> {
        let mut remains = Vec::new();
        for (id, known) in self.memory.iter().flat_map(|memory| &memory.destinations) {
            let Some(task) = self.tasks.get(id) else { continue };
            let report = task.reports.borrow();
            for name in known.names.iter().filter(|name| !is_assigned(task, name)) {
                let is_moved = self.leaving.contains_key(&(id.clone(), Arc::clone(name)));
                let place = known.address.describe();
                let (state, error) = match &report.trouble {
                    Some(trouble) if is_moved => (
                        ReplicatorState::Retrying,
                        format!("moved, but its keys at {place} cannot be removed: {trouble}"),
                    ),
                    Some(trouble) => (
                        ReplicatorState::Retrying,
                        format!(
                            "deleted or moved, but its keys at {place} cannot be removed: {trouble}; to give them up, delete it again"
                        ),
                    ),
                    None => (
                        ReplicatorState::Syncing,
                        format!("deleted or moved: its keys at {place} are being removed"),
                    ),
                };
                let keys = report.strangers.get(&**name).copied().unwrap_or_default();
                remains.push(Remains { name: Arc::clone(name), is_moved, error, keys, state });
            }
        }
        remains
    }
}

/// Says once what has become of a replicator.
fn log_change(old: Option<&ReplicatorStatus>, new: &ReplicatorStatus) {
    let said = |status: &ReplicatorStatus| (status.state, status.error.clone());
    if old.map(said) == Some(said(new)) {
        return;
    }
    if let Some(error) = &new.error {
        tracing::warn!(replicator = %new.name, state = new.state.as_str(), %error, "replication");
    } else {
        tracing::info!(replicator = %new.name, state = new.state.as_str(), "replication");
    }
}

const ARE_TWINS: &str = "hold the same record of replication but are different etcds: where one was made from a backup of \
     the other, delete the key /fedgate/replication/fence in the newer one";

/// Two tasks of one etcd may see a new fence so much apart.
const TWIN_PAUSE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::telemetry::Capture;

    #[test]
    fn a_change_is_logged_with_the_states_own_name() {
        let capture = Capture::default();
        let log = tracing_subscriber::fmt().json().flatten_event(true).with_writer(capture.clone()).finish();
        let mut status = ReplicatorStatus {
            name: "r".into(),
            state: ReplicatorState::Following,
            since: SystemTime::UNIX_EPOCH,
            error: None,
            keys: 0,
            lag: None,
            last_sync: None,
            leader: true,
        };
        tracing::subscriber::with_default(log, || {
            log_change(None, &status);
            status.state = ReplicatorState::Rejected;
            status.error = Some("no such type".into());
            log_change(None, &status);
        });
        let lines: Vec<serde_json::Value> =
            capture.take().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!((&lines[0]["replicator"], &lines[0]["state"]), (&"r".into(), &"following".into()));
        assert_eq!((&lines[1]["state"], &lines[1]["error"]), (&"rejected".into(), &"no such type".into()));
    }
}
