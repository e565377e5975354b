//! Starts, changes and ends the tasks of destinations as the registry and the leadership want it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep, timeout},
};

use super::{
    Handle, Settings,
    cache::{ReplicaCache, Watchers},
    leader_status::StatusPublisher,
    leadership::{Leadership, Term},
    machine::source_keyspaces,
    memory::{KnownDestination, Memory},
    plan::{self, Wanted},
    status::Metrics,
    work::Assignment,
};
use crate::{
    etcd::{Client, Error},
    registry::{Health, Registry, Store, StoreError, key_of},
    types::{Kind, ReplicatorStatus},
};

mod publish;
mod task;

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
    /// Since when a replicator's keys have been expected to leave a destination.
    leaving: BTreeMap<(String, Arc<str>), Instant>,
    cleanup_grace: Duration,
    reported: watch::Sender<()>,
    given_up: mpsc::Receiver<Arc<str>>,
    generation: u64,
    /// Why the store cannot be used.
    trouble: Option<Arc<str>>,
    /// Since when two destinations have been found to hold the same record.
    duplicate_fences: BTreeMap<(String, String), Instant>,
    /// Replicators whose deletion is believed, and where.
    deleted: BTreeSet<(String, Arc<str>)>,
    /// Whether the view has shown what the store holds since this gateway began to lead.
    is_current: bool,
    next_review: Instant,
}

/// A supervisor that is not running yet, and what it tells.
///
/// `registry` says which replicators there are, `store` is the registry's own, and `leadership` decides whether this
/// gateway is the one that replicates. Fails if the source has no endpoint.
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
        leaving: BTreeMap::new(),
        cleanup_grace: settings.cleanup_grace,
        reported: watch::Sender::new(()),
        given_up,
        generation: 0,
        trouble: None,
        duplicate_fences: BTreeMap::new(),
        deleted: BTreeSet::new(),
        is_current: false,
        next_review: Instant::now(),
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
                Some(name) = self.given_up.recv() => self.give_up(&registry, &name).await,
                () = sleep(REVIEW) => {}
            }
        }
    }

    /// Brings the tasks in line with what is wanted.
    async fn review(&mut self, registry: &Registry, leads: bool) {
        if !leads {
            self.memory = None;
            self.is_current = false;
            self.leaving.clear();
            if !self.tasks.is_empty() {
                self.stop_tasks().await;
            }
            self.source_watchers.follow(&self.source, &self.source_client, &[]);
            return;
        }
        // Of a registry that was never read, or is not followed, nothing is known to have been deleted.
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

    /// That replicators are gone from the registry is believed only of the store that they were in: one that has lost
    /// everything, or another one in its place, would take away from every follower what it holds from us.
    ///
    /// Nor is a view believed that is behind the store, as one may be whose gateway begins to lead.
    async fn confirm_deletions(&mut self, registry: &Registry, wanted: &Wanted) -> Result<(), Arc<str>> {
        let Some(memory) = &self.memory else { return Ok(()) };
        let deleted: BTreeSet<_> = plan::deleted(&memory.destinations, wanted).collect();
        if !self.is_current || !deleted.is_subset(&self.deleted) {
            let failed = |error: StoreError| Arc::from(format!("the gateway's registry: {error}"));
            if !memory.is_of(&*self.store).await.map_err(failed)? {
                self.store_was_replaced().await;
                return Err(LOST.into());
            }
            let prefix = key_of(Kind::EtcdReplicator, "");
            let entries = self.store.list(&prefix).await.map_err(failed)?;
            if !registry.shows(Kind::EtcdReplicator, &entries) {
                return Err(BEHIND.into());
            }
            self.is_current = true;
        }
        self.deleted = deleted;
        Ok(())
    }

    /// The store is another one: what was begun for the old one ends.
    async fn store_was_replaced(&mut self) {
        tracing::error!("{LOST}");
        self.memory = None;
        self.is_current = false;
        self.stop_tasks().await;
    }

    /// Whether the memory is there. From time to time it is read again: an operator may have given up a destination.
    async fn load_memory(&mut self) -> bool {
        let now = Instant::now();
        if self.memory.is_some() && now < self.next_review {
            return true;
        }
        match Memory::load(&*self.store).await {
            Ok(memory) => {
                if self.memory.as_ref().is_some_and(|old| old.store_id != memory.store_id) {
                    self.store_was_replaced().await;
                }
                self.memory = Some(memory);
                self.next_review = now + MEMORY_REFRESH;
                self.trouble = None;
            }
            Err(error) => {
                self.next_review = now + REVIEW;
                self.trouble = Some(format!("the gateway's registry: {error}").into());
            }
        }
        self.memory.is_some()
    }

    /// What is about to be written to must be known first, or it would not be cleaned up.
    async fn record_destinations(&mut self, wanted: &Wanted) -> Result<(), Arc<str>> {
        let places = self.places();
        let Some(memory) = &mut self.memory else { return Ok(()) };
        for (id, destination) in &wanted.destinations {
            let names = plan::View { wanted, known: &memory.destinations, places: &places }.names(id);
            let known = KnownDestination {
                address: destination.address.clone(),
                names,
                place: places.get(id).cloned(),
            };
            let kept = memory.keep(&*self.store, id, Some(known)).await;
            kept.map_err(|error| format!("the gateway's registry: {error}"))?;
        }
        Ok(())
    }

    fn assign(&mut self, wanted: &Wanted) {
        let Some(memory) = &self.memory else { return };
        let places = self.places();
        let now = Instant::now();
        let view = plan::View { wanted, known: &memory.destinations, places: &places };
        self.leaving.retain(|(id, name), _| view.leaves(id, name));
        for (id, name) in view.all_leaving() {
            self.leaving.entry((id, name)).or_insert(now);
        }
        let overdue = |id: &str, name: &Arc<str>| {
            let since = self.leaving.get(&(id.to_owned(), Arc::clone(name)));
            since.is_some_and(|since| now.duration_since(*since) >= self.cleanup_grace)
        };
        let ids: BTreeSet<&String> = wanted.destinations.keys().chain(memory.destinations.keys()).collect();
        for id in ids {
            let Some(known) = memory.destinations.get(id) else { continue };
            let mut assignment = view.assignment(id, &overdue);
            // One that broke is begun anew.
            if self.tasks.get(id).is_some_and(|task| task.handle.is_finished()) {
                tracing::error!(
                    destination = known.address.describe(),
                    "the task of a destination broke: it is started again"
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
                    };
                    start.task(&known.address)
                });
                task.assignments.send_replace(Arc::new(assignment));
            }
        }
    }

    /// The destinations' own names, as far as they are known.
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

    /// Forgets replicators at destinations where they own nothing any more, and destinations without any.
    async fn end_clean_destinations(&mut self, wanted: &Wanted) {
        let places = self.places();
        let Some(memory) = &mut self.memory else { return };
        let ids: Vec<String> = memory.destinations.keys().cloned().collect();
        for id in ids {
            let report = self.tasks.get(&id).and_then(Task::current_report);
            let view = plan::View { wanted, known: &memory.destinations, places: &places };
            let since =
                |id: &str, name: &Arc<str>| self.leaving.get(&(id.to_owned(), Arc::clone(name))).copied();
            let overdue = |id: &str, name: &Arc<str>| {
                since(id, name).is_some_and(|since| since.elapsed() >= self.cleanup_grace)
            };
            let names = view.remaining(&id, report.as_ref(), &overdue);
            let Some(known) = memory.destinations.get(&id) else { continue };
            let remains = (!names.is_empty()).then(|| KnownDestination { names, ..known.clone() });
            let is_over = remains.is_none();
            if let Err(error) = memory.keep(&*self.store, &id, remains).await {
                self.trouble = Some(format!("the gateway's registry: {error}").into());
                return;
            }
            if is_over {
                self.tasks.remove(&id);
            }
        }
        self.tasks.retain(|id, _| memory.destinations.contains_key(id));
    }

    /// An operator gives up what a replicator still owns where it is not wanted any more.
    async fn give_up(&mut self, registry: &Registry, name: &Arc<str>) {
        let wanted = Wanted::of(registry);
        let Some(memory) = self.memory.as_mut().filter(|_| !wanted.unreadable.contains(name)) else { return };
        for id in memory.destinations.keys().cloned().collect::<Vec<_>>() {
            let is_wanted =
                wanted.destinations.get(&id).is_some_and(|it| it.scopes.iter().any(|it| it.name == *name));
            let Some(known) = memory.destinations.get(&id).filter(|_| !is_wanted) else { continue };
            let names: BTreeSet<_> = known.names.iter().filter(|known| *known != name).cloned().collect();
            let remains = (!names.is_empty()).then(|| KnownDestination { names, ..known.clone() });
            tracing::warn!(replicator = %name, destination = known.address.describe(), "its keys there are given up");
            if let Err(error) = memory.keep(&*self.store, &id, remains).await {
                self.trouble = Some(format!("the gateway's registry: {error}").into());
            }
        }
    }

    /// Ends all tasks, each after the write that it is at. Returns whether nothing is under way any more.
    async fn stop_tasks(&mut self) -> bool {
        let mut clean = true;
        let tasks = std::mem::take(&mut self.tasks).into_values();
        // All are told before the first is waited for.
        let ending: Vec<_> = tasks.map(|task| (task.reports, task.handle)).collect();
        for (reports, mut handle) in ending {
            if timeout(LAST_WRITE, &mut handle).await.is_err() {
                handle.abort();
                clean = false;
            }
            clean &= !reports.borrow().unresolved;
        }
        clean
    }
}

const BEHIND: &str = "the gateway has not caught up with its registry yet";

const LOST: &str = "the gateways' store is not the one that it was: its replication/id is gone or another. What was \
     replicated stays on the followers. Restore the store; or register the replicators again, and delete the key \
     /fedgate/replication/fence in each follower's etcd";

/// How often to look at everything without a reason.
const REVIEW: Duration = Duration::from_secs(1);

/// Names that may wait to be given up.
const GIVEN_UP: usize = 16;

/// Many reports at once are looked at together.
const REPORT_BATCH: Duration = Duration::from_millis(20);

/// How often the store is read for destinations that were given up.
const MEMORY_REFRESH: Duration = Duration::from_secs(60);

/// How long the last write of a task may take: a little more than a request may.
const LAST_WRITE: Duration = Duration::from_secs(6);
