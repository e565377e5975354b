//! The status of the replicators, and its publication.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::time::Instant;

use super::Supervisor;
use crate::{
    leadership::{LeaderStatus, Topic},
    registry::Registry,
    replication::{leader_status, plan, status::Known},
    types::{Kind, LeftBehind, ReplicatorState, ReplicatorStatus},
};

/// What a replicator has left where it is no longer registered.
struct Pending {
    name: Arc<str>,
    /// It is registered for another destination.
    is_moved: bool,
    left: LeftBehind,
}

// === impl Supervisor ===

impl Supervisor {
    /// Finds destinations with the same fence. An etcd that was restored from a backup of another follower holds that
    /// one's records and looks like it, so that deletions would reach only one of the two. Two addresses of one etcd show
    /// the fence at the same revision.
    pub(super) fn find_duplicate_fences(&mut self) {
        let now = Instant::now();
        let reports = self.tasks.iter().map(|(id, task)| (id, task.reports.borrow().clone()));
        let held: Vec<_> =
            reports.filter_map(|(id, report)| Some((id.clone(), report.place?, report.fence?))).collect();
        let mut duplicate_fences = BTreeMap::new();
        for (n, (a, place, fence)) in held.iter().enumerate() {
            for (b, ..) in held[n + 1..].iter().filter(|(_, its, at)| its == place && at != fence) {
                let pair = (a.clone(), b.clone());
                duplicate_fences
                    .insert(pair.clone(), self.duplicate_fences.get(&pair).copied().unwrap_or(now));
            }
        }
        self.duplicate_fences = duplicate_fences;
    }

    /// The error of a destination that looks like another one.
    fn duplicate_fence_trouble(&self, id: &str) -> Option<Arc<str>> {
        let known = &self.memory.as_ref()?.destinations;
        let of = |((a, b), since): (&(String, String), &Instant)| {
            let other = if a == id { b } else { a };
            let is_it = (a == id || b == id) && since.elapsed() >= DUPLICATE_PAUSE;
            is_it.then(|| known.get(other)).flatten()
        };
        let other = self.duplicate_fences.iter().find_map(of)?.address.describe();
        Some(format!("deletions may not arrive: it and {other} {SAME_FENCE}").into())
    }

    pub(super) fn publish(&mut self, registry: &Registry, leads: bool, leader: Option<&LeaderStatus>) {
        let old = self.statuses.borrow().clone();
        let mut found = self.found(registry, leads, &old);
        self.metrics.show(Arc::new(found.values().cloned().collect()));
        if !leads && let Some(status) = leader.and_then(|leader| leader.about(Topic::EtcdReplicators)) {
            let published = leader_status::parse(status).unwrap_or_default();
            found.extend(published.into_iter().map(|status| (Arc::clone(&status.name), status)));
        }
        let statuses = Arc::new(found.into_values().collect::<Vec<_>>());
        if leads {
            self.publisher.publish(&*self.leadership, &statuses);
            for status in statuses.iter() {
                log_change(old.iter().find(|old| old.name == status.name), status);
            }
        } else {
            self.publisher.reset();
        }
        self.statuses.send_if_modified(|current| {
            let changed = *current != statuses;
            *current = statuses;
            changed
        });
    }

    /// The status of each replicator, as far as this gateway knows.
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
            ReplicatorStatus {
                name,
                state,
                since,
                error,
                keys,
                lag: None,
                last_sync: None,
                leader: leads,
                is_deleted: false,
                left_behind: Vec::new(),
                orphans: Vec::new(),
            }
        };
        for (name, reason) in registry.unreadable_of(Kind::EtcdReplicator) {
            let error = Some(format!("the definition cannot be used: {reason}").into());
            found.insert(name.into(), new(name.into(), ReplicatorState::Rejected, error, 0));
        }
        for name in plan::names(registry) {
            let state = if leads { ReplicatorState::Syncing } else { ReplicatorState::Stopped };
            let state = if self.trouble.is_some() { ReplicatorState::Retrying } else { state };
            found.insert(Arc::clone(&name), new(name, state, self.trouble.clone(), 0));
        }
        for (id, task) in &self.tasks {
            let report = task.reports.borrow().clone();
            let duplicate = self.duplicate_fence_trouble(id);
            for status in report.statuses {
                // While it moves, the new destination counts.
                if found.contains_key(&status.name) && task.serves(&status.name) {
                    let warning = || plan::warning(registry, &status.name).map(Arc::from);
                    let state = if duplicate.is_some() { ReplicatorState::Retrying } else { status.state };
                    let error = duplicate.clone().or_else(|| status.error.clone()).or_else(warning);
                    found.insert(Arc::clone(&status.name), ReplicatorStatus { state, error, ..status });
                }
            }
        }
        for pending in self.pending_cleanup() {
            match found.entry(Arc::clone(&pending.name)) {
                Entry::Occupied(entry) if !pending.is_moved && !entry.get().is_deleted => {}
                Entry::Occupied(mut entry) => pending.add_to(entry.get_mut()),
                Entry::Vacant(entry) => {
                    let mut status = new(Arc::clone(entry.key()), pending.state(), None, 0);
                    status.is_deleted = true;
                    pending.add_to(entry.insert(status));
                }
            }
        }
        found
    }

    /// What replicators that were deleted or moved have left behind.
    fn pending_cleanup(&self) -> Vec<Pending> {
        let mut all = Vec::new();
        for (id, known) in self.memory.iter().flat_map(|memory| &memory.destinations) {
            let Some(task) = self.tasks.get(id) else { continue };
            let report = task.reports.borrow();
            for (name, counted) in known.owners.iter().filter(|(name, _)| !task.serves(name)) {
                all.push(Pending {
                    name: Arc::clone(name),
                    is_moved: self.leaving.contains(id, name),
                    left: LeftBehind {
                        destination: known.address.describe().into(),
                        // What is cached is newer than what is stored.
                        keys: if report.known > Known::Nothing { report.keys_of(name) } else { *counted },
                        error: report.trouble.as_ref().or_else(|| report.stuck.get(&**name)).cloned(),
                    },
                });
            }
        }
        all
    }
}

// === impl Pending ===

impl Pending {
    fn state(&self) -> ReplicatorState {
        if self.left.error.is_some() { ReplicatorState::Retrying } else { ReplicatorState::Syncing }
    }

    fn text(&self) -> String {
        let LeftBehind { destination, keys, error } = &self.left;
        match (error, self.is_moved) {
            (Some(error), true) => {
                format!("moved, but its keys at {destination} cannot be removed: {error} ({keys} are left)")
            }
            (Some(error), false) => format!(
                "deleted, but its keys at {destination} cannot be removed: {error} ({keys} are left). They will be \
                 removed once that works; for a destination that is gone for good, they can be given up (fedgate delete \
                 etcd-replicator {} --give-up): they stay there then, and so does every right that they grant",
                self.name
            ),
            (None, true) => format!("moved: its keys at {destination} are being removed"),
            (None, false) => format!("deleted: its keys at {destination} are being removed"),
        }
    }

    /// Adds it to what is known of the replicator.
    fn add_to(self, status: &mut ReplicatorStatus) {
        if status.is_deleted {
            status.keys += self.left.keys;
            let said_more = status.state == ReplicatorState::Retrying && status.error.is_some();
            if !said_more {
                status.error = Some(self.text().into());
                status.state = self.state();
            }
        } else if status.error.is_none() && self.left.error.is_some() {
            status.error = Some(format!("warning: {}", self.text()).into());
        }
        status.left_behind.push(self.left);
    }
}

/// Logs each change of a replicator once.
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

const SAME_FENCE: &str = "hold the same record of replication but are different etcds: where one was made from a backup of \
     the other, delete the key /fedgate/replication/place in the newer one";

/// Two tasks of one etcd may see a new fence at times that differ by this much.
const DUPLICATE_PAUSE: Duration = Duration::from_secs(10);

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
            is_deleted: false,
            left_behind: Vec::new(),
            orphans: Vec::new(),
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
