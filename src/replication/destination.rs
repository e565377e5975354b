//! The task of one destination: carries out the commands of its machine.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{
    future::{join, join_all},
    try_join,
};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until, timeout},
};

use super::{
    cache::{OwnWrite, ReplicaCache, Watchers},
    lease::LeaseKeeper,
    machine::{Batch, Command, Input, Machine, Settlement, State, scope_keyspaces},
    record::{FENCE, Fence, Found, FoundFence, PLACE, RECORDS, WAITING, federation_key, owned_prefix},
    status::{Known, Metrics, Report, report},
    work::{Assignment, Sides},
};
use crate::{
    etcd::{
        Client, Config, Error,
        proto::{Compare, Op, OpResult, PutRequest, RangeRequest, TxnRequest, TxnResponse},
    },
    leadership::Term,
    telemetry::trace::{self, Tracer},
};

/// A destination's task, before it runs.
pub(super) struct Destination {
    pub(super) config: Config,
    pub(super) client: Arc<Client>,
    pub(super) source: Arc<ReplicaCache>,
    pub(super) source_client: Arc<Client>,
    /// Closing it ends the task.
    pub(super) assignments: watch::Receiver<Arc<Assignment>>,
    pub(super) terms: watch::Receiver<Option<Term>>,
    pub(super) reports: watch::Sender<Report>,
    /// Notified after each report.
    pub(super) reported: watch::Sender<()>,
    pub(super) metrics: Arc<Metrics>,
    /// How long the fence lasts without this task.
    pub(super) fence_ttl: Duration,
    pub(super) tracer: Option<Tracer>,
}

/// The running task.
struct Running {
    it: Destination,
    store: String,
    lease: LeaseKeeper,
    /// The lease of what shows that this gateway waits for one with a copy of its store.
    shown: Option<i64>,
    shown_lease: LeaseKeeper,
    machine: Machine,
    cache: Arc<ReplicaCache>,
    followers: Watchers,
    term: Option<Term>,
    last_report: Option<Instant>,
    /// Failures of the watches that each replicator needs, as far as they have been counted.
    counted: BTreeMap<Arc<str>, u64>,
}

// === impl Destination ===

impl Destination {
    /// Runs until the assignments end. Never stops in the middle of a write.
    pub(super) async fn run(self, store: &str) {
        let machine = Machine::new(store, self.fence_ttl, Instant::now(), fastrand::Rng::new());
        let (cache, followers) = (ReplicaCache::new(), Watchers::default());
        let (store, lease) = (store.to_owned(), LeaseKeeper::new(self.fence_ttl));
        let (shown, shown_lease) = (None, LeaseKeeper::new(self.fence_ttl));
        let (term, last_report, counted) = (None, None, BTreeMap::new());
        let running = Running {
            it: self,
            store,
            lease,
            shown,
            shown_lease,
            machine,
            cache,
            followers,
            term,
            last_report,
            counted,
        };
        running.run().await;
    }
}

// === impl Running ===

impl Running {
    async fn run(mut self) {
        let mut input = Input::Woke;
        let mut source_changes = self.it.source.changes();
        let mut dest_changes = self.cache.changes();
        loop {
            self.term.clone_from(&self.it.terms.borrow_and_update());
            self.machine.lead(self.term.clone());
            let assignment = Arc::clone(&self.it.assignments.borrow_and_update());
            self.machine.assign(assignment, Instant::now());
            source_changes.mark_unchanged();
            dest_changes.mark_unchanged();
            let command = self.step(input);
            let wakes = self.report(&command);
            self.show_that_it_waits().await;
            input = match command {
                Command::Wait { until } => {
                    let until = [until, wakes].into_iter().flatten().min();
                    tokio::select! {
                        Ok(()) = source_changes.changed() => {}
                        Ok(()) = dest_changes.changed() => {}
                        Ok(()) = self.it.terms.changed() => {}
                        changed = self.it.assignments.changed() => if changed.is_err() { return },
                        () = sleep_until(until.unwrap_or_else(Instant::now)), if until.is_some() => {}
                    }
                    Input::Woke
                }
                command => self.traced(command).await.unwrap_or_else(Input::Failed),
            };
            if self.it.assignments.has_changed().is_err() {
                self.step(input);
                self.report_now();
                return;
            }
        }
    }

    fn step(&mut self, input: Input) -> Command {
        let command = {
            let (source, dest) = (self.it.source.read(), self.cache.read());
            self.machine.step(input, Sides { source: &source, dest: &dest }, Instant::now())
        };
        if let Some(keyspaces) = self.machine.follows() {
            self.followers.follow(&self.cache, &self.it.client, &keyspaces);
        }
        self.lease.keep(&self.it.client, self.machine.lease());
        self.it.metrics.count(&mut self.machine);
        self.count_lost_watches();
        command
    }

    /// A watch is lost without a command that fails.
    fn count_lost_watches(&mut self) {
        let (source, dest) = (self.it.source.read(), self.cache.read());
        let scopes = &self.machine.assignment.scopes;
        self.counted.retain(|name, _| scopes.iter().any(|scope| scope.name == *name));
        for scope in scopes {
            let [rbac, own] = scope_keyspaces(scope);
            let failures = source.failures(&[rbac, own]) + dest.failures(&[rbac, own, RECORDS]);
            let counted = self.counted.entry(Arc::clone(&scope.name)).or_insert(failures);
            let new = failures.saturating_sub(std::mem::replace(counted, failures));
            self.it.metrics.failed(&scope.name, new);
        }
    }

    /// Reports, unless the last report is too recent. Returns when to report again.
    fn report(&mut self, command: &Command) -> Option<Instant> {
        let now = Instant::now();
        let next = self.last_report.map(|at| at + REPORT_PAUSE).filter(|next| now < *next);
        if let Some(next) = next.filter(|_| !self.must_report()) {
            return Some(next);
        }
        self.report_now();
        // The lag grows, and writes proceed, without waking this task.
        let is_busy = !matches!(command, Command::Wait { .. }) || !self.machine.work.is_done();
        is_busy.then(|| now + REPORT_PAUSE * 4)
    }

    /// Whether the supervisor is being waited for, or waits.
    fn must_report(&self) -> bool {
        let last = self.it.reports.borrow();
        (self.machine.awaits_record() && last.fence.is_none())
            || (self.machine.state == State::Left && last.known != Known::Left)
    }

    fn report_now(&mut self) {
        let now = Instant::now();
        let new = {
            let (source, dest) = (self.it.source.read(), self.cache.read());
            report(&self.machine, Sides { source: &source, dest: &dest }, &self.it.reports.borrow(), now)
        };
        self.last_report = Some(now);
        self.it.reports.send_replace(new);
        self.it.reported.send_replace(());
    }

    /// Each step is a trace of its own: it has no request that causes it.
    async fn traced(&mut self, command: Command) -> Result<Input, Error> {
        let Some(tracer) = &self.it.tracer else { return self.perform(command).await };
        let mut span = tracer.root("replication");
        if span.is_recorded() {
            let (step, keys) = match &command {
                Command::ReadFence => ("read-fence", 0),
                Command::Prove => ("prove", 0),
                Command::TakeFence { .. } => ("take-fence", 0),
                Command::Settle(settlement) => ("settle", settlement.effects().count()),
                Command::Write(batch) => ("write", batch.effects().count()),
                Command::Wait { .. } => ("wait", 0),
            };
            span.set("fedgate.replication.step", step);
            span.set("fedgate.replication.keys", i64::try_from(keys).unwrap_or(i64::MAX));
            let names: Vec<&str> = self.machine.assignment.scopes.iter().map(|scope| &*scope.name).collect();
            span.set("fedgate.replicators", names.join(","));
        }
        let done = trace::within(span.parent(), self.perform(command)).await;
        if done.is_err() {
            span.fail("etcd error");
        }
        done
    }

    async fn perform(&mut self, command: Command) -> Result<Input, Error> {
        let leads = self.term.as_ref().is_some_and(Term::is_current);
        match command {
            Command::ReadFence => self.read_fence().await,
            Command::Prove => self.prove().await,
            // The term may have expired: nothing is written until it is known to have been renewed.
            Command::TakeFence { .. } | Command::Settle(_) | Command::Write(_) if !leads => {
                let _ = timeout(TERM_PAUSE, self.it.terms.changed()).await;
                Ok(Input::Woke)
            }
            Command::TakeFence { expected, fence, lease, replaces } => {
                let taken = self.take_fence(expected, fence, lease).await?;
                if matches!(taken, Input::Taken(Some(_))) && replaces != 0 {
                    self.end_lease(replaces).await;
                }
                Ok(taken)
            }
            Command::Settle(settlement) => self.settle(settlement).await,
            Command::Write(batch) => self.write(batch).await,
            Command::Wait { .. } => Ok(Input::Woke),
        }
    }

    /// Two gateways with copies of one store should both know. Shown by the one that waits, for as long as it waits.
    async fn show_that_it_waits(&mut self) {
        if self.machine.waits_for_copy.is_some() == self.shown.is_some() {
            return;
        }
        if let Some(lease) = self.shown.take() {
            self.shown_lease.keep(&self.it.client, None);
            self.end_lease(lease).await;
        }
        let Some(own) = self.machine.waits_for_copy.clone() else { return };
        let show = async {
            let lease = self.it.client.lease_grant(self.it.fence_ttl).await?.id;
            let put = PutRequest::new(format!("{WAITING}{}", own.home), own.to_bytes());
            self.it.client.put(PutRequest { lease, ..put }).await?;
            Ok::<_, Error>(lease)
        };
        // The next attempt comes with the next look at the fence.
        if let Ok(Ok(lease)) = timeout(SHOW_TIMEOUT, show).await {
            self.shown = Some(lease);
            self.shown_lease.keep(&self.it.client, Some(lease));
        }
    }

    async fn read_fence(&self) -> Result<Input, Error> {
        let epoch = self.cache.read().epoch();
        let count = |key: RangeRequest| RangeRequest { count_only: true, ..key };
        let (prefix, own) = (owned_prefix(&self.store), federation_key(&self.store));
        let client = &self.it.client;
        let (fence, place, owned, recorded) = try_join!(
            client.range(RangeRequest::key(FENCE)),
            client.range(RangeRequest::key(PLACE)),
            client.range(count(RangeRequest::prefix(prefix.as_bytes()))),
            client.range(count(RangeRequest::key(own.as_bytes()))),
        )?;
        let fence = fence.kvs.into_iter().next();
        let fence =
            fence.map(|kv| FoundFence { revision: kv.mod_revision, value: kv.value, lease: kv.lease });
        if let Some(FoundFence { revision, value, .. }) = &fence {
            self.show_fence(epoch, *revision, value);
        }
        let place = place.kvs.into_iter().next().and_then(|kv| String::from_utf8(kv.value).ok());
        let owned = u64::try_from(owned.count).unwrap_or_default();
        Ok(Input::Fence(Found { fence, place, owned, is_recorded: recorded.count > 0 }))
    }

    async fn prove(&self) -> Result<Input, Error> {
        let ask = |client: Arc<Client>| async move {
            let answer = client.range(RangeRequest::key(FENCE)).await?;
            Ok::<_, Error>(answer.kvs.into_iter().next().map(|kv| kv.value))
        };
        let each = self.it.config.endpoints.iter().filter(|_| self.it.config.endpoints.len() > 1);
        let asked = each.map(|endpoint| async move {
            let config = Config { endpoints: vec![endpoint.clone()], ..self.it.config.clone() };
            let answer = timeout(MEMBER_TIMEOUT, ask(Arc::new(Client::new(config).ok()?))).await;
            Some((endpoint.clone(), answer.ok()?.ok()?))
        });
        let (source, endpoints) = join(ask(Arc::clone(&self.it.source_client)), join_all(asked)).await;
        let source_id = self.source_id().await?;
        Ok(Input::Proof { source: source?, source_id, endpoints: endpoints.into_iter().flatten().collect() })
    }

    /// Identifies the source: its etcd cluster, and the Sensu cluster in it, because etcd clusters that were set up with
    /// the same defaults have the same ID.
    async fn source_id(&self) -> Result<String, Error> {
        let etcd = self.it.source_client.range(RangeRequest::key(FENCE)).await?;
        let etcd = format!("{:016x}", etcd.header.map_or(0, |header| header.cluster_id));
        let sensu = match self.it.source_client.range(RangeRequest::key(SENSU_CLUSTER_ID)).await {
            Ok(answer) => answer.kvs.into_iter().next().and_then(|kv| String::from_utf8(kv.value).ok()),
            // It is not among the rights that replication needs.
            Err(Error::Denied { .. }) => None,
            Err(error) => return Err(error),
        };
        Ok(sensu.map_or(etcd.clone(), |sensu| format!("{etcd}/{sensu}")))
    }

    async fn take_fence(&self, expected: i64, fence: Fence, lease: Option<i64>) -> Result<Input, Error> {
        let epoch = self.cache.read().epoch();
        let value = fence.to_bytes();
        let id = match lease {
            Some(id) => id,
            None => self.it.client.lease_grant(self.it.fence_ttl).await?.id,
        };
        let put = PutRequest { lease: id, ..PutRequest::new(FENCE, &value[..]) };
        let request = TxnRequest {
            compare: vec![Compare::unchanged(FENCE, expected)],
            success: vec![Op::Put(put).into()],
            failure: vec![],
        };
        let answer = match self.it.client.txn(request).await {
            Ok(answer) => answer,
            // The one that was to be kept has ended, and the fence with it.
            Err(Error::LeaseNotFound) => return Ok(Input::Taken(None)),
            Err(error) => return Err(error),
        };
        if !answer.succeeded {
            if lease.is_none() {
                self.end_lease(id).await;
            }
            return Ok(Input::Taken(None));
        }
        let revision = revision_of(&answer)?;
        self.show_fence(epoch, revision, &value);
        Ok(Input::Taken(Some((revision, id))))
    }

    /// Ends a lease that holds nothing any more. It ends by itself otherwise.
    async fn end_lease(&self, id: i64) {
        let _ = timeout(REVOKE_TIMEOUT, self.it.client.lease_revoke(id)).await;
    }

    async fn settle(&mut self, settlement: Settlement) -> Result<Input, Error> {
        let answer = self.it.client.txn(settlement.request.clone()).await?;
        if !answer.succeeded {
            return Ok(Input::Fenced);
        }
        self.cache.wrote(settlement.epoch, revision_of(&answer)?, settlement.effects());
        if let Some(lease) = settlement.leaves {
            self.end_lease(lease).await;
        }
        Ok(Input::Settled)
    }

    /// Shows the fence that was just read or written, without waiting for the watch.
    fn show_fence(&self, epoch: u64, revision: i64, value: &[u8]) {
        let put = OwnWrite::Put(Bytes::from_static(FENCE.as_bytes()), Bytes::copy_from_slice(value));
        self.cache.wrote(epoch, revision, [put]);
    }

    async fn write(&mut self, batch: Batch) -> Result<Input, Error> {
        let answer = self.it.client.txn(batch.request.clone()).await?;
        if !answer.succeeded {
            return Ok(Input::Fenced);
        }
        self.cache.wrote(batch.epoch, revision_of(&answer)?, batch.effects());
        self.machine.count(&batch);
        Ok(Input::Written)
    }
}

/// The revision of a transaction's writes. One that only deletes keys that do not exist writes nothing, and returns the
/// revision before.
fn revision_of(answer: &TxnResponse) -> Result<i64, Error> {
    let header =
        answer.header.ok_or_else(|| Error::Protocol { reason: "an answer without a header".to_owned() })?;
    debug_assert!(answer.responses.iter().all(|it| !matches!(it.response, Some(OpResult::Range(_)))));
    Ok(header.revision)
}

/// Where a Sensu cluster keeps its identity.
const SENSU_CLUSTER_ID: &str = "/sensu.io/cluster_id";

/// How long it may take to show that this gateway waits.
const SHOW_TIMEOUT: Duration = Duration::from_secs(2);

/// How long to wait for the end of a lease, which comes by itself later.
const REVOKE_TIMEOUT: Duration = Duration::from_secs(1);

/// How soon to check whether an expired term was renewed.
const TERM_PAUSE: Duration = Duration::from_millis(200);

/// How long one of several endpoints may take to show that it belongs to the same store; those that do not answer are
/// left out.
const MEMBER_TIMEOUT: Duration = Duration::from_secs(2);

/// Shortest time between two reports.
const REPORT_PAUSE: Duration = Duration::from_millis(250);
