//! Starts, changes and ends the tasks of destinations, following the registry and the leadership.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep, timeout_at},
};

use super::{
    Abandoned, Handle, Settings,
    cache::{ReplicaCache, Watchers},
    leader_status::StatusPublisher,
    machine::source_keyspaces,
    memory::Memory,
    plan::{self, Wanted},
    status::Metrics,
    work::Assignment,
};
use crate::{
    etcd::{Client, Error},
    leadership::{Leadership, Term},
    registry::{Health, Registry, Store},
    telemetry::trace::Tracer,
    types::ReplicatorStatus,
};

mod bookkeeping;
mod leaving;
mod publish;
mod task;

use leaving::Leaving;
use task::{Start, Task};

/// Runs replication. See the [module](super).
pub struct Supervisor {
    registry: watch::Receiver<Arc<Registry>>,
    store: Arc<dyn Store>,
    leadership: Arc<dyn Leadership>,
    terms: watch::Receiver<Option<Term>>,
    statuses: watch::Sender<Arc<Vec<ReplicatorStatus>>>,
    publisher: StatusPublisher,
    metrics: Arc<Metrics>,
    source_client: Arc<Client>,
    source: Arc<ReplicaCache>,
    source_watchers: Watchers,
    memory: Option<Memory>,
    tasks: BTreeMap<String, Task>,
    leaving: Leaving,
    fence_ttl: Duration,
    reported: watch::Sender<()>,
    given_up: mpsc::Receiver<Abandoned>,
    generation: u64,
    /// Why the store cannot be used.
    trouble: Option<Arc<str>>,
    /// Since when two destinations have been seen to hold the same fence.
    duplicate_fences: BTreeMap<(String, String), Instant>,
    /// Replicators whose deletion was confirmed, and where.
    deleted: BTreeSet<(String, Arc<str>)>,
    /// Whether the view has caught up with the store since this gateway became the leader.
    is_current: bool,
    next_review: Instant,
    next_count: Instant,
    /// How many keys each replicator owns has to be stored.
    counts_due: bool,
    /// Records the steps of the destinations.
    tracer: Option<Tracer>,
}

/// A supervisor that is not running yet, and the handle to it.
///
/// `registry` holds the replicators, `store` is the registry's store, and `leadership` decides whether this gateway is the
/// one that replicates. Fails if the source has no endpoint.
pub fn supervisor(
    settings: Settings,
    registry: watch::Receiver<Arc<Registry>>,
    store: Arc<dyn Store>,
    leadership: Arc<dyn Leadership>,
) -> Result<(Supervisor, Handle), Error> {
    let statuses = watch::Sender::new(Arc::default());
    let metrics = Arc::new(Metrics::default());
    let (sender, given_up) = mpsc::channel(GIVEN_UP);
    let handle = Handle { statuses: statuses.subscribe(), metrics: Arc::clone(&metrics), give_up: sender };
    let supervisor = Supervisor {
        registry,
        store,
        terms: leadership.terms(),
        leadership,
        statuses,
        publisher: StatusPublisher::default(),
        metrics,
        source_client: Arc::new(Client::new(settings.source)?),
        source: ReplicaCache::new(),
        source_watchers: Watchers::default(),
        memory: None,
        tasks: BTreeMap::new(),
        leaving: Leaving::new(settings.cleanup_grace),
        fence_ttl: settings.fence_ttl,
        reported: watch::Sender::new(()),
        given_up,
        generation: 0,
        trouble: None,
        duplicate_fences: BTreeMap::new(),
        deleted: BTreeSet::new(),
        is_current: false,
        next_review: Instant::now(),
        next_count: Instant::now(),
        counts_due: false,
        tracer: settings.tracer,
    };
    Ok((supervisor, handle))
}

// === impl Supervisor ===

impl Supervisor {
    /// Runs until `stop` is done, then ends every task between two writes and gives up the leadership.
    pub async fn run(mut self, stop: impl Future<Output = ()>) {
        let leadership = Arc::clone(&self.leadership);
        let compete = async move {
            leadership.run().await;
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = stop => {}
            () = compete => {}
            () = self.work() => {}
        }
        let clean = self.stop_tasks().await;
        self.source_watchers.follow(&self.source, &self.source_client, &[]);
        self.leadership.resign(clean).await;
    }

    async fn work(&mut self) {
        let mut reported = self.reported.subscribe();
        let mut leader_status = self.leadership.leader_status();
        loop {
            let registry = Arc::clone(&self.registry.borrow_and_update());
            let leads = self.terms.borrow_and_update().is_some();
            reported.mark_unchanged();
            let leader = leader_status.borrow_and_update().clone();
            self.review(&registry, leads).await;
            self.find_duplicate_fences();
            self.publish(&registry, leads, leader.as_ref());
            tokio::select! {
                changed = self.registry.changed() => if changed.is_err() { return },
                changed = self.terms.changed() => if changed.is_err() { return },
                Ok(()) = leader_status.changed() => {}
                _ = reported.changed() => sleep(REPORT_BATCH).await,
                Some(abandoned) = self.given_up.recv() => self.give_up(&registry, &abandoned).await,
                () = sleep(REVIEW) => {}
            }
        }
    }

    /// Brings the tasks in line with the registry.
    async fn review(&mut self, registry: &Registry, leads: bool) {
        if !leads {
            self.memory = None;
            self.is_current = false;
            self.leaving.clear();
            if !self.tasks.is_empty() {
                self.stop_tasks().await;
            }
            self.source_watchers.follow(&self.source, &self.source_client, &[]);
            self.source_client.disconnect();
            return;
        }
        // A registry that was never read, or is not followed, does not show deletions.
        let is_followed = registry.was_read() && *registry.health() == Health::Following;
        if !is_followed || !self.load_memory().await {
            return;
        }
        let wanted = Wanted::of(registry);
        if let Err(text) = self.confirm_deletions(registry, &wanted).await {
            self.trouble = Some(text);
            return;
        }
        self.trouble = self.record_destinations(&wanted).await.err();
        self.assign(&wanted);
        self.end_clean_destinations(&wanted).await;
        let scopes = self.tasks.values().flat_map(|task| task.assignments.borrow().scopes.clone()).collect();
        let keyspaces = source_keyspaces(&Assignment { scopes, ..Assignment::default() });
        self.source_watchers.follow(&self.source, &self.source_client, &keyspaces);
    }

    fn assign(&mut self, wanted: &Wanted) {
        let Some(memory) = &self.memory else { return };
        let places = self.places();
        let view = plan::View { wanted, known: &memory.destinations, places: &places };
        self.leaving.update(&view);
        let overdue = |id: &str, name: &Arc<str>| self.leaving.is_overdue(id, name);
        let ids: BTreeSet<&String> = wanted.destinations.keys().chain(memory.destinations.keys()).collect();
        for id in ids {
            let Some(known) = memory.destinations.get(id) else { continue };
            let mut assignment = view.assignment(id, &overdue);
            // A task that panicked is started again.
            if self.tasks.get(id).is_some_and(|task| task.handle.is_finished()) {
                tracing::error!(
                    destination = known.address.describe(),
                    "the task of a destination ended unexpectedly and is started again"
                );
                self.tasks.remove(id);
            }
            let old = self.tasks.get(id).map(|task| Arc::clone(&task.assignments.borrow()));
            assignment.generation = old.as_ref().map_or(0, |old| old.generation);
            if old.as_deref() != Some(&assignment) {
                self.generation += 1;
                assignment.generation = self.generation;
                let task = self.tasks.entry(id.clone()).or_insert_with(|| {
                    let start = Start {
                        source: &self.source,
                        source_client: &self.source_client,
                        terms: &self.terms,
                        reported: &self.reported,
                        metrics: &self.metrics,
                        store_id: &memory.store_id,
                        fence_ttl: self.fence_ttl,
                        tracer: self.tracer.as_ref(),
                    };
                    start.task(&known.address)
                });
                task.assignments.send_replace(Arc::new(assignment));
            }
        }
    }

    /// The destinations' own identities, as far as they are known.
    fn places(&self) -> BTreeMap<String, String> {
        let Some(memory) = &self.memory else { return BTreeMap::new() };
        let known = memory.destinations.iter();
        let mut places: BTreeMap<String, String> =
            known.filter_map(|(id, known)| Some((id.clone(), known.place.clone()?))).collect();
        for (id, task) in &self.tasks {
            places.extend(task.reports.borrow().place.clone().map(|place| (id.clone(), place)));
        }
        places
    }

    /// Ends all tasks, each after its current write. Returns whether no write is in flight any more.
    async fn stop_tasks(&mut self) -> bool {
        let mut clean = true;
        let tasks = std::mem::take(&mut self.tasks).into_values();
        // Dropping the assignments ends all of them at once, so one deadline is enough.
        let ending: Vec<_> = tasks.map(|task| (task.reports, task.handle)).collect();
        let deadline = Instant::now() + LAST_WRITE;
        for (reports, mut handle) in ending {
            if timeout_at(deadline, &mut handle).await.is_err() {
                handle.abort();
                clean = false;
            }
            clean &= !reports.borrow().unresolved;
        }
        clean
    }
}

/// How often everything is reviewed without a reason.
const REVIEW: Duration = Duration::from_secs(1);

/// Most requests to give up a replicator that may wait.
const GIVEN_UP: usize = 16;

/// How long reports are collected, so that many are handled together.
const REPORT_BATCH: Duration = Duration::from_millis(20);

/// How long the last write of a task may take: slightly longer than a request.
const LAST_WRITE: Duration = Duration::from_secs(6);
