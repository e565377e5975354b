//! Starts, changes and ends the tasks of destinations as the registry and the leadership want it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

use super::{
    Handle, Settings,
    decide::Scope,
    destination::Destination,
    image::{Followers, Image},
    leadership::{Leadership, Term},
    machine::source_areas,
    memory::{Address, Known, Memory},
    plan::{self, Wanted},
    shared::Teller,
    status::{Metrics, Report},
    work::Assignment,
};
use crate::{
    etcd::{Client, Config, Error},
    registry::{Health, Registry, Store, StoreError, key_of},
    types::{Kind, ReplicatorStatus},
};

mod tell;

/// Runs replication. See the [module](super).
pub struct Supervisor {
    registry: watch::Receiver<Arc<Registry>>,
    store: Arc<dyn Store>,
    leadership: Arc<dyn Leadership>,
    terms: watch::Receiver<Option<Term>>,
    statuses: watch::Sender<Arc<Vec<ReplicatorStatus>>>,
    teller: Teller,
    metrics: Arc<Metrics>,
    source_client: Arc<Client>,
    source: Arc<Image>,
    source_followers: Followers,
    memory: Option<Memory>,
    tasks: BTreeMap<String, Task>,
    /// Since when a replicator's keys have been expected to leave a destination.
    leaving: BTreeMap<(String, Arc<str>), Instant>,
    news: watch::Sender<()>,
    given_up: mpsc::Receiver<Arc<str>>,
    generation: u64,
    /// Why the store cannot be used.
    trouble: Option<Arc<str>>,
    /// Since when two destinations have been found to hold the same record.
    twins: BTreeMap<(String, String), Instant>,
    /// Replicators whose deletion is believed, and where.
    deleted: BTreeSet<(String, Arc<str>)>,
    /// Whether the view has shown what the store holds since this gateway began to lead.
    is_current: bool,
    next_review: Instant,
}

struct Task {
    assignments: watch::Sender<Arc<Assignment>>,
    reports: watch::Receiver<Report>,
    handle: JoinHandle<()>,
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
        teller: Teller::default(),
        metrics,
        source_client: Arc::new(Client::new(settings.source)?),
        source: Image::new(),
        source_followers: Followers::default(),
        memory: None,
        tasks: BTreeMap::new(),
        leaving: BTreeMap::new(),
        news: watch::Sender::new(()),
        given_up,
        generation: 0,
        trouble: None,
        twins: BTreeMap::new(),
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
        self.source_followers.follow(&self.source, &self.source_client, &[]);
        self.leadership.resign(clean).await;
    }

    async fn work(&mut self) {
        let mut news = self.news.subscribe();
        let mut told = self.leadership.told();
        loop {
            let registry = Arc::clone(&self.registry.borrow_and_update());
            let leads = self.terms.borrow_and_update().is_some();
            news.mark_unchanged();
            let leader = told.borrow_and_update().clone();
            self.review(&registry, leads).await;
            self.find_twins();
            self.tell(&registry, leads, leader.as_ref());
            tokio::select! {
                changed = self.registry.changed() => if changed.is_err() { return },
                changed = self.terms.changed() => if changed.is_err() { return },
                Ok(()) = told.changed() => {}
                _ = news.changed() => sleep(CALM).await,
                Some(name) = self.given_up.recv() => self.forget(&registry, &name).await,
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
            self.source_followers.follow(&self.source, &self.source_client, &[]);
            return;
        }
        // Of a registry that was never read, or is not followed, nothing is known to have been deleted.
        let is_followed = registry.was_read() && *registry.health() == Health::Following;
        if !is_followed || !self.remember().await {
            return;
        }
        let wanted = Wanted::of(registry);
        if let Err(text) = self.believe(registry, &wanted).await {
            self.trouble = Some(text);
            return;
        }
        self.trouble = self.write_down(&wanted).await.err();
        self.assign(&wanted);
        self.end_what_is_clean(&wanted).await;
        let scopes = self.tasks.values().flat_map(|task| task.assignments.borrow().scopes.clone()).collect();
        let areas = source_areas(&Assignment { scopes, ..Assignment::default() });
        self.source_followers.follow(&self.source, &self.source_client, &areas);
    }

    /// That replicators are gone from the registry is believed only of the store that they were in: one that has lost
    /// everything, or another one in its place, would take away from every follower what it holds from us.
    ///
    /// Nor is a view believed that is behind the store, as one may be whose gateway begins to lead.
    async fn believe(&mut self, registry: &Registry, wanted: &Wanted) -> Result<(), Arc<str>> {
        let Some(memory) = &self.memory else { return Ok(()) };
        let deleted: BTreeSet<_> = plan::deleted(&memory.destinations, wanted).collect();
        if !self.is_current || !deleted.is_subset(&self.deleted) {
            let failed = |error: StoreError| Arc::from(format!("the gateway's registry: {error}"));
            if !memory.is_of(&*self.store).await.map_err(failed)? {
                self.lose().await;
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
    async fn lose(&mut self) {
        tracing::error!("{LOST}");
        self.memory = None;
        self.is_current = false;
        self.stop_tasks().await;
    }

    /// Whether the memory is there. From time to time it is read again: an operator may have given up a destination.
    async fn remember(&mut self) -> bool {
        let now = Instant::now();
        if self.memory.is_some() && now < self.next_review {
            return true;
        }
        match Memory::load(&*self.store).await {
            Ok(memory) => {
                if self.memory.as_ref().is_some_and(|old| old.store_id != memory.store_id) {
                    self.lose().await;
                }
                self.memory = Some(memory);
                self.next_review = now + REMEMBER;
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
    async fn write_down(&mut self, wanted: &Wanted) -> Result<(), Arc<str>> {
        let places = self.places();
        let Some(memory) = &mut self.memory else { return Ok(()) };
        for (id, destination) in &wanted.destinations {
            let names = plan::View { wanted, known: &memory.destinations, places: &places }.names(id);
            let known = Known { address: destination.address.clone(), names, place: places.get(id).cloned() };
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
            since.is_some_and(|since| now.duration_since(*since) >= GRACE)
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
                        news: &self.news,
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
    async fn end_what_is_clean(&mut self, wanted: &Wanted) {
        let places = self.places();
        let Some(memory) = &mut self.memory else { return };
        let ids: Vec<String> = memory.destinations.keys().cloned().collect();
        for id in ids {
            let report = self.tasks.get(&id).map(|task| {
                let generation = task.assignments.borrow().generation;
                let report = task.reports.borrow().clone();
                (report.is_current && report.generation == generation).then_some(report)
            });
            let view = plan::View { wanted, known: &memory.destinations, places: &places };
            let since =
                |id: &str, name: &Arc<str>| self.leaving.get(&(id.to_owned(), Arc::clone(name))).copied();
            let overdue =
                |id: &str, name: &Arc<str>| since(id, name).is_some_and(|since| since.elapsed() >= GRACE);
            let names = view.remaining(&id, report.flatten().as_ref(), &overdue);
            let Some(known) = memory.destinations.get(&id) else { continue };
            let remains = (!names.is_empty()).then(|| Known { names, ..known.clone() });
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
    async fn forget(&mut self, registry: &Registry, name: &Arc<str>) {
        let wanted = Wanted::of(registry);
        let Some(memory) = self.memory.as_mut().filter(|_| !wanted.unreadable.contains(name)) else { return };
        for id in memory.destinations.keys().cloned().collect::<Vec<_>>() {
            let is_wanted =
                wanted.destinations.get(&id).is_some_and(|it| it.scopes.iter().any(|it| it.name == *name));
            let Some(known) = memory.destinations.get(&id).filter(|_| !is_wanted) else { continue };
            let names: BTreeSet<_> = known.names.iter().filter(|known| *known != name).cloned().collect();
            let remains = (!names.is_empty()).then(|| Known { names, ..known.clone() });
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

fn is_assigned(task: &Task, name: &str) -> bool {
    task.assignments.borrow().scopes.iter().any(|scope: &Scope| &*scope.name == name)
}

/// What every new task gets.
struct Start<'a> {
    source: &'a Arc<Image>,
    source_client: &'a Arc<Client>,
    terms: &'a watch::Receiver<Option<Term>>,
    news: &'a watch::Sender<()>,
    metrics: &'a Arc<Metrics>,
    store_id: &'a str,
}

// === impl Start ===

impl Start<'_> {
    fn task(&self, address: &Address) -> Task {
        let (assignments, receiver) = watch::channel(Arc::default());
        let (reports, report) = watch::channel(Report::default());
        let config = Config::new(address.endpoints.clone(), address.tls.clone());
        let client = Client::new(config.clone()).expect("an address has at least one endpoint");
        let destination = Destination {
            config,
            client: Arc::new(client),
            source: Arc::clone(self.source),
            source_client: Arc::clone(self.source_client),
            assignments: receiver,
            terms: self.terms.clone(),
            reports,
            news: self.news.clone(),
            metrics: Arc::clone(self.metrics),
        };
        let store_id = self.store_id.to_owned();
        let handle = tokio::spawn(async move { destination.run(&store_id).await });
        Task { assignments, reports: report, handle }
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
const CALM: Duration = Duration::from_millis(20);

/// How often the store is read for destinations that were given up.
const REMEMBER: Duration = Duration::from_secs(60);

/// How long a new destination waits for the old one to be cleaned, and an old one for a sign that the new one is another
/// address of it.
const GRACE: Duration = Duration::from_secs(30);

/// How long the last write of a task may take: a little more than a request may.
const LAST_WRITE: Duration = Duration::from_secs(6);
