//! Starts, changes and ends the tasks of clusters, following the registry and the leadership.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::{Instant, sleep, sleep_until, timeout_at},
};

use super::{
    Abandoned, Handle, Settings,
    client::{Client, Reach},
    decide::{SUBJECT, Scope},
    left,
    machine::Assignment,
    memory::Memory,
    publish::{self, Seen},
    run::Follower,
    shared,
    source::{Changes, Polled, Reader, Source, Wanted, Watched},
    status::{Metrics, Report},
};
use crate::{
    corev2::Type,
    etcd,
    leadership::{LeaderStatus, Leadership, Term},
    registry::{Health, Registry, STORE_ID, Store, StoreError, key_of, store_id},
    types::{ClusterName, Kind, LOCAL_CLUSTER, OnDelete, PolicySpec, PolicyStatus, Spec},
};

/// Runs replication by API. See the [module](super).
pub struct Supervisor {
    registry: watch::Receiver<Arc<Registry>>,
    store: Arc<dyn Store>,
    terms: watch::Receiver<Option<Term>>,
    leadership: Arc<dyn Leadership>,
    /// Whether it takes part in the election, because nothing else of this gateway does.
    competes: bool,
    publisher: shared::Publisher,
    etcd: Option<Arc<etcd::Client>>,
    statuses: watch::Sender<Arc<Vec<PolicyStatus>>>,
    metrics: Arc<Metrics>,
    reported: watch::Sender<()>,
    given_up: mpsc::Receiver<Abandoned>,
    running: Option<Running>,
    /// The store holds nothing for it, as far as this gateway, which leads, has written.
    is_idle: bool,
    /// Why the store cannot be used.
    trouble: Option<Arc<str>>,
}

/// What there is only while this gateway leads.
struct Running {
    federation: Arc<str>,
    memory: Memory,
    source: watch::Sender<Arc<Source>>,
    reader: Option<(watch::Sender<Wanted>, JoinHandle<()>)>,
    tasks: BTreeMap<Arc<str>, Task>,
}

/// The task of a cluster.
pub(super) struct Task {
    pub(super) assignments: watch::Sender<Arc<Assignment>>,
    pub(super) reports: watch::Receiver<Report>,
    handle: JoinHandle<()>,
    /// Since when nothing is left of what is to be removed.
    clean_since: Option<Instant>,
}

/// A supervisor that is not running yet, and the handle to it. Fails if the etcd of the source has no endpoint.
pub fn supervisor(
    settings: Settings,
    registry: watch::Receiver<Arc<Registry>>,
    store: Arc<dyn Store>,
    leadership: Arc<dyn Leadership>,
) -> Result<(Supervisor, Handle), etcd::Error> {
    let statuses = watch::Sender::new(Arc::default());
    let metrics = Arc::new(Metrics::default());
    let (sender, given_up) = mpsc::channel(GIVEN_UP);
    let handle = Handle { statuses: statuses.subscribe(), metrics: Arc::clone(&metrics), give_up: sender };
    let supervisor = Supervisor {
        registry,
        store,
        terms: leadership.terms(),
        leadership,
        competes: settings.competes,
        publisher: shared::Publisher::default(),
        etcd: settings.source.map(etcd::Client::new).transpose()?.map(Arc::new),
        statuses,
        metrics,
        reported: watch::Sender::new(()),
        given_up,
        running: None,
        is_idle: false,
        trouble: None,
    };
    Ok((supervisor, handle))
}

// === impl Supervisor ===

impl Supervisor {
    /// Reaches the clusters by `reach` until `stop` is done, then ends every task between two requests.
    pub async fn run(mut self, reach: Arc<dyn Reach>, stop: impl Future<Output = ()>) {
        let leadership = self.competes.then(|| Arc::clone(&self.leadership));
        let compete = async {
            if let Some(leadership) = &leadership {
                leadership.run().await;
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = stop => {}
            () = compete => {}
            () = self.work(&reach) => {}
        }
        let is_clean = self.stop().await;
        if let Some(leadership) = leadership {
            leadership.resign(is_clean).await;
        }
    }

    async fn work(&mut self, reach: &Arc<dyn Reach>) {
        let mut reported = self.reported.subscribe();
        let mut leader_status = self.leadership.leader_status();
        let mut next_review = Instant::now();
        loop {
            let registry = Arc::clone(&self.registry.borrow_and_update());
            let leads = self.terms.borrow_and_update().is_some();
            reported.mark_unchanged();
            let leader = leader_status.borrow_and_update().clone();
            if Instant::now() >= next_review {
                next_review = Instant::now() + REVIEW;
                self.review(&registry, leads, reach).await;
            }
            self.publish(&registry, leads, leader.as_ref());
            tokio::select! {
                changed = self.registry.changed() => {
                    if changed.is_err() { return }
                    next_review = Instant::now();
                }
                changed = self.terms.changed() => {
                    if changed.is_err() { return }
                    next_review = Instant::now();
                }
                Ok(()) = leader_status.changed() => {}
                Some(abandoned) = self.given_up.recv() => {
                    self.give_up(&abandoned).await;
                    next_review = Instant::now();
                }
                _ = reported.changed() => sleep(REPORT_BATCH).await,
                () = sleep_until(next_review) => {}
            }
        }
    }

    /// Brings the tasks in line with the registry.
    async fn review(&mut self, registry: &Registry, leads: bool, reach: &Arc<dyn Reach>) {
        if !leads {
            self.stop().await;
            self.is_idle = false;
            return;
        }
        // A registry that was never read, or is not followed, does not show deletions.
        if !registry.was_read() || *registry.health() != Health::Following {
            return;
        }
        self.trouble = match self.try_to_review(registry, reach).await {
            Ok(()) => None,
            Err(StoreError::Conflict) => {
                // Another gateway has changed what is kept: it is read again.
                self.stop().await;
                None
            }
            Err(error) => Some(registry_error(&error)),
        };
    }

    async fn try_to_review(&mut self, registry: &Registry, reach: &Arc<dyn Reach>) -> Result<(), StoreError> {
        if registry.list(Kind::Replicator).next().is_none() && self.running.is_none() {
            // Nothing was ever copied, or nothing is left of it: the store is asked once.
            if !self.is_idle {
                self.is_idle = self.store.list(super::memory::CLUSTERS).await?.is_empty();
            }
            if self.is_idle {
                return Ok(());
            }
        }
        self.is_idle = false;
        if !self.is_of_this_store().await? {
            self.stop().await;
        }
        if self.running.is_none() {
            let federation = store_id(&*self.store).await?.into();
            let memory = Memory::load(&*self.store).await?;
            let source = watch::Sender::new(Arc::default());
            self.running = Some(Running { federation, memory, source, reader: None, tasks: BTreeMap::new() });
        }
        let view = View::of(registry);
        let Some(running) = &mut self.running else { return Ok(()) };
        if running.is_removing(registry) {
            // Another gateway may have been told to give it up.
            running.memory = Memory::load(&*self.store).await?;
        }
        let planned = view.plan(&running.memory, registry);
        if planned.values().any(|assignment| !assignment.past.is_empty()) {
            // A store that has lost everything, or a view that is behind it, would remove everything everywhere.
            let entries = self.store.list(&key_of(Kind::Replicator, "")).await?;
            if !registry.shows(Kind::Replicator, &entries) {
                return Ok(());
            }
        }
        running.record(&*self.store, &view, registry, &planned).await?;
        running.follow_source(&planned, reach, self.etcd.as_ref());
        running.assign(planned, reach, &self.terms, &self.reported);
        if running.tasks.is_empty() && running.memory.is_empty() {
            self.stop().await;
        }
        Ok(())
    }

    /// Gives up, for an operator, what a deleted `Replicator` has left.
    async fn give_up(&mut self, abandoned: &Abandoned) {
        let mut outcome = Err(StoreError::Conflict);
        for _ in 0..ATTEMPTS {
            outcome = left::give_up(&*self.store, abandoned).await;
            if !matches!(outcome, Err(StoreError::Conflict)) {
                break;
            }
        }
        let Err(error) = outcome else { return };
        // Whoever asked for it was told that it has begun.
        tracing::error!(replicator = %abandoned.replicator, %error, "the copies of a deleted replicator were not given up: ask again");
        if !matches!(error, StoreError::Conflict) {
            self.trouble = Some(registry_error(&error));
        }
    }

    /// Whether the store is still the one that everything that runs was started for.
    async fn is_of_this_store(&self) -> Result<bool, StoreError> {
        let Some(running) = &self.running else { return Ok(true) };
        let found = self.store.get(STORE_ID).await?;
        Ok(found.is_some_and(|entry| entry.value == running.federation.as_bytes()))
    }

    /// Ends all tasks, each after its current request. Returns whether no request is in flight any more.
    async fn stop(&mut self) -> bool {
        let Some(running) = self.running.take() else { return true };
        if let Some((_, handle)) = running.reader {
            handle.abort();
        }
        // Dropping the assignments ends all of them at once, so one deadline is enough.
        let ending: Vec<_> = running.tasks.into_values().map(|task| task.handle).collect();
        let mut is_clean = true;
        let deadline = Instant::now() + LAST_REQUEST;
        for mut handle in ending {
            if timeout_at(deadline, &mut handle).await.is_err() {
                handle.abort();
                is_clean = false;
            }
        }
        is_clean
    }

    fn publish(&mut self, registry: &Registry, leads: bool, leader: Option<&LeaderStatus>) {
        let running = self.running.as_ref();
        let source = running.map(|running| Arc::clone(&running.source.borrow()));
        let reports: BTreeMap<Arc<str>, Report> = running
            .iter()
            .flat_map(|running| &running.tasks)
            .map(|(cluster, task)| (Arc::clone(cluster), task.reports.borrow().clone()))
            .collect();
        let counts =
            reports.iter().map(|(cluster, report)| (Arc::clone(cluster), (report.writes, report.errors)));
        let counts = counts.collect();
        let old = Arc::clone(&self.statuses.borrow());
        let seen = Seen {
            registry,
            leads,
            reports: &reports,
            source: source.as_deref(),
            trouble: self.trouble.as_ref(),
            left: running.map(|running| running.left_behind(registry)).unwrap_or_default(),
            published: if leads { Vec::new() } else { shared::published(leader) },
            old: &old,
            is_led: leader.is_some(),
        };
        let statuses = Arc::new(publish::statuses(&seen));
        publish::log_changes(&old, &statuses);
        if leads {
            self.publisher.publish(&*self.leadership, &statuses);
        } else {
            self.publisher.reset();
        }
        self.metrics.show(Arc::clone(&statuses), counts);
        self.statuses.send_if_modified(|current| {
            let is_new = *current != statuses;
            *current = statuses;
            is_new
        });
    }
}

/// What the registry asks for.
pub(super) struct View {
    pub(super) scopes: Vec<(PolicySpec, Scope)>,
    /// Without the local one.
    pub(super) clusters: BTreeSet<ClusterName>,
}

// === impl View ===

impl View {
    pub(super) fn of(registry: &Registry) -> Self {
        let scopes = registry.list(Kind::Replicator).filter_map(|item| {
            let Spec::Replicator(spec) = &item.checked.spec else { return None };
            let metadata = &item.checked.resource.metadata;
            let adopts = metadata.adopted().map(Arc::from).collect();
            Some((spec.clone(), Scope { adopts, ..Scope::of(metadata.name.as_str().into(), spec) }))
        });
        let snapshot = registry.snapshot();
        let remote = snapshot.iter().map(|cluster| cluster.name.clone()).filter(|name| !name.is_local());
        Self { scopes: scopes.collect(), clusters: remote.collect() }
    }

    fn of_cluster(&self, cluster: &ClusterName) -> impl Iterator<Item = &(PolicySpec, Scope)> {
        self.scopes.iter().filter(|(spec, _)| spec.clusters.contain(cluster))
    }

    /// What each registered cluster is to hold. One that is not registered is left as it is.
    pub(super) fn plan(&self, memory: &Memory, registry: &Registry) -> BTreeMap<Arc<str>, Assignment> {
        let mut planned = BTreeMap::new();
        for name in &self.clusters {
            let cluster: Arc<str> = name.as_str().into();
            let scopes: Vec<Scope> = self.of_cluster(name).map(|(_, scope)| scope.clone()).collect();
            let known = memory.of(&cluster);
            let is_past = |known: &&Scope| match scopes.iter().find(|scope| scope.name == known.name) {
                Some(now) => {
                    now.on_delete == OnDelete::Remove
                        && !now.dry_run
                        && (&now.kinds, &now.namespace) != (&known.kinds, &known.namespace)
                }
                // One that cannot be read at present may ask for anything.
                None if registry.is_unreadable(Kind::Replicator, &known.name) => false,
                None => known.on_delete == OnDelete::Remove,
            };
            let past: Vec<Scope> = known.iter().filter(is_past).cloned().collect();
            let interval = self.of_cluster(name).map(|(spec, _)| spec.interval).min();
            if !scopes.is_empty() || !past.is_empty() {
                let interval = interval.unwrap_or(DEFAULT_INTERVAL);
                planned.insert(cluster, Assignment { scopes, past, interval });
            }
        }
        planned
    }
}

// === impl Scope ===

impl Scope {
    fn of(name: Arc<str>, spec: &PolicySpec) -> Self {
        Self {
            name,
            kinds: spec.resources.iter().filter_map(|resource| Type::of_name(resource)).collect(),
            namespace: spec.namespace.clone(),
            conflicts: spec.conflicts,
            on_delete: spec.on_delete,
            dry_run: spec.dry_run,
            adopts: BTreeSet::new(),
        }
    }
}

// === impl Running ===

impl Running {
    /// Whether something is still to be removed, or to be given up.
    fn is_removing(&self, registry: &Registry) -> bool {
        let is_left = |cluster: &Arc<str>| {
            self.memory.of(cluster).iter().any(|scope| left::is_deleted(registry, scope))
        };
        self.tasks.values().any(|task| !task.assignments.borrow().past.is_empty())
            || self.memory.clusters().any(is_left)
    }

    fn left_behind(&self, registry: &Registry) -> left::LeftBehind {
        let snapshot = registry.snapshot();
        let is_registered = |name: &str| snapshot.iter().any(|cluster| cluster.name.as_str() == name);
        let reports = self.tasks.iter().map(|(cluster, task)| {
            let assignment = Arc::clone(&task.assignments.borrow());
            (Arc::clone(cluster), assignment, task.reports.borrow().clone())
        });
        left::left_behind(registry, &self.memory, reports, is_registered)
    }

    /// Records what may be copied before anything is, and forgets what is gone.
    async fn record(
        &mut self,
        store: &dyn Store,
        view: &View,
        registry: &Registry,
        planned: &BTreeMap<Arc<str>, Assignment>,
    ) -> Result<(), StoreError> {
        let registered = |cluster: &str| view.clusters.iter().any(|name| name.as_str() == cluster);
        let known = self.memory.clusters().filter(|cluster| registered(cluster));
        let clusters: BTreeSet<Arc<str>> = known.chain(planned.keys()).cloned().collect();
        for cluster in clusters {
            let none = Assignment::default();
            let assignment = planned.get(&cluster).unwrap_or(&none);
            let task = self.tasks.get_mut(&cluster);
            let is_clean = task.is_some_and(|task| task.stays_clean_of(assignment, Instant::now()));
            let mut kept: Vec<Scope> =
                assignment.scopes.iter().filter(|scope| !scope.dry_run).cloned().collect();
            if !is_clean {
                kept.extend(assignment.past.iter().cloned());
            }
            // One that only reports now, or cannot be read now, may have copied something before.
            let is_silent = |known: &&Scope| {
                let reports = assignment.scopes.iter().any(|it| it.dry_run && it.name == known.name);
                let is_unreadable = registry.is_unreadable(Kind::Replicator, &known.name);
                (reports || is_unreadable) && !kept.iter().any(|it| it.name == known.name)
            };
            let silent: Vec<Scope> = self.memory.of(&cluster).iter().filter(is_silent).cloned().collect();
            kept.extend(silent);
            self.memory.keep(store, &cluster, kept).await?;
        }
        Ok(())
    }

    fn follow_source(
        &mut self,
        planned: &BTreeMap<Arc<str>, Assignment>,
        reach: &Arc<dyn Reach>,
        etcd: Option<&Arc<etcd::Client>>,
    ) {
        let kinds: BTreeSet<Type> = planned.values().flat_map(Assignment::source_kinds).collect();
        let interval = planned.values().map(|it| it.interval).min().unwrap_or(DEFAULT_INTERVAL);
        let wanted = Wanted { kinds, interval };
        if wanted.kinds.is_empty() {
            if let Some((_, handle)) = self.reader.take() {
                handle.abort();
                self.source.send_replace(Arc::default());
            }
            return;
        }
        if self.reader.as_ref().is_some_and(|(_, handle)| handle.is_finished()) {
            tracing::error!("the task that reads the local cluster ended unexpectedly and is started again");
            self.reader = None;
        }
        if let Some((sender, _)) = &self.reader {
            sender.send_if_modified(|old| std::mem::replace(old, wanted.clone()) != wanted);
            return;
        }
        let (sender, receiver) = watch::channel(wanted);
        let client = Client::new(Arc::clone(reach), LOCAL_CLUSTER.into(), self.subject());
        let changes: Box<dyn Changes> = match etcd {
            Some(etcd) => Box::new(Watched::new(Arc::clone(etcd))),
            None => Box::new(Polled),
        };
        let reader = Reader::new(client, receiver, self.source.clone());
        self.reader = Some((sender, tokio::spawn(reader.run(changes))));
    }

    /// The name by which this federation writes: what it creates shows it.
    fn subject(&self) -> Arc<str> {
        format!("{SUBJECT}{}", self.federation).into()
    }

    fn assign(
        &mut self,
        planned: BTreeMap<Arc<str>, Assignment>,
        reach: &Arc<dyn Reach>,
        terms: &watch::Receiver<Option<Term>>,
        reported: &watch::Sender<()>,
    ) {
        self.tasks.retain(|cluster, task| {
            if task.handle.is_finished() {
                tracing::error!(%cluster, "the task of a cluster ended unexpectedly and is started again");
            }
            planned.contains_key(cluster) && !task.handle.is_finished()
        });
        let subject = self.subject();
        for (cluster, assignment) in planned {
            if let Some(task) = self.tasks.get(&cluster) {
                if **task.assignments.borrow() != assignment {
                    task.assignments.send_replace(Arc::new(assignment));
                }
                continue;
            }
            let (assignments, receiver) = watch::channel(Arc::new(assignment));
            let (reports, seen) = watch::channel(Report::default());
            let follower = Follower {
                client: Client::new(Arc::clone(reach), Arc::clone(&cluster), Arc::clone(&subject)),
                federation: Arc::clone(&self.federation),
                source: self.source.subscribe(),
                assignments: receiver,
                terms: terms.clone(),
                reports,
                reported: reported.clone(),
            };
            let handle = tokio::spawn(follower.run());
            self.tasks.insert(cluster, Task { assignments, reports: seen, handle, clean_since: None });
        }
    }
}

// === impl Task ===

impl Task {
    /// Whether nothing has been left for a while of what this asks to be removed. A request that was under way to a cluster
    /// that hung, or was about to be sent by a gateway that was paused, may be carried out long after it was given up.
    fn stays_clean_of(&mut self, assignment: &Assignment, now: Instant) -> bool {
        let report = self.reports.borrow();
        if assignment.past.is_empty() {
            return true;
        }
        if !report.is_clean || report.about.as_deref() != Some(assignment) {
            self.clean_since = None;
            return false;
        }
        let since = *self.clean_since.get_or_insert(now);
        report.listed_at.is_some_and(|at| at >= since + STRAGGLERS)
    }
}

fn registry_error(error: &StoreError) -> Arc<str> {
    format!("the gateway's registry: {error}").into()
}

/// How long late requests are waited for before copies are taken to be gone for good.
const STRAGGLERS: Duration = Duration::from_secs(60);

/// How often everything is reviewed without a reason.
const REVIEW: Duration = Duration::from_secs(5);

/// Most requests to give something up that may wait.
const GIVEN_UP: usize = 16;

/// How often they are tried against other writers.
const ATTEMPTS: usize = 8;

/// How long reports are collected, so that many are handled together.
const REPORT_BATCH: Duration = Duration::from_millis(20);

/// Of clusters that only have something to be removed.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(30);

/// How long the last requests of all tasks are waited for.
const LAST_REQUEST: Duration = Duration::from_secs(3);
