//! The task of one destination: carries out the commands of its machine.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::future::{join, join_all};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until, timeout},
};

use super::{
    cache::{OwnWrite, ReplicaCache, Watchers},
    leadership::Term,
    machine::{Batch, Command, Input, Machine, scope_keyspaces},
    record::{FENCE, Fence, RECORDS},
    status::{Metrics, Report, report},
    work::{Assignment, Sides},
};
use crate::{
    etcd::{
        Client, Config, Error,
        proto::{Compare, Op, OpResult, PutRequest, RangeRequest, TxnRequest, TxnResponse},
    },
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
    pub(super) tracer: Option<Tracer>,
}

/// The running task.
struct Running {
    it: Destination,
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
        let machine = Machine::new(store, Instant::now(), fastrand::Rng::new());
        let (cache, followers) = (ReplicaCache::new(), Watchers::default());
        let (term, last_report, counted) = (None, None, BTreeMap::new());
        Running { it: self, machine, cache, followers, term, last_report, counted }.run().await;
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
            self.machine.lead(self.term.as_ref().map(|term| (term.number, Arc::clone(&term.holder))));
            let assignment = Arc::clone(&self.it.assignments.borrow_and_update());
            self.machine.assign(assignment, Instant::now());
            source_changes.mark_unchanged();
            dest_changes.mark_unchanged();
            let command = self.step(input);
            let wakes = self.report(&command);
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
        if let Some(next) = self.last_report.map(|at| at + REPORT_PAUSE).filter(|next| now < *next) {
            return Some(next);
        }
        self.report_now();
        // The lag grows, and writes proceed, without waking this task.
        let is_busy = !matches!(command, Command::Wait { .. }) || !self.machine.work.is_done();
        is_busy.then(|| now + REPORT_PAUSE * 4)
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
            Command::TakeFence { .. } | Command::Write(_) if !leads => {
                let _ = timeout(TERM_PAUSE, self.it.terms.changed()).await;
                Ok(Input::Woke)
            }
            Command::TakeFence { expected, fence } => self.take_fence(expected, fence).await,
            Command::Write(batch) => self.write(batch).await,
            Command::Wait { .. } => Ok(Input::Woke),
        }
    }

    async fn read_fence(&self) -> Result<Input, Error> {
        let epoch = self.cache.read().epoch();
        let answer = self.it.client.range(RangeRequest::key(FENCE)).await?;
        let found = answer.kvs.into_iter().next().map(|kv| (kv.mod_revision, kv.value));
        if let Some((revision, value)) = &found {
            self.show_fence(epoch, *revision, value);
        }
        Ok(Input::Fence(found))
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
        Ok(Input::Proof { source: source?, endpoints: endpoints.into_iter().flatten().collect() })
    }

    async fn take_fence(&self, expected: i64, fence: Fence) -> Result<Input, Error> {
        let epoch = self.cache.read().epoch();
        let value = fence.to_bytes();
        let request = TxnRequest {
            compare: vec![Compare::unchanged(FENCE, expected)],
            success: vec![Op::Put(PutRequest::new(FENCE, &value[..])).into()],
            failure: vec![],
        };
        let answer = self.it.client.txn(request).await?;
        if !answer.succeeded {
            return Ok(Input::Taken(None));
        }
        let revision = revision_of(&answer)?;
        self.show_fence(epoch, revision, &value);
        Ok(Input::Taken(Some(revision)))
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

/// How soon to check whether an expired term was renewed.
const TERM_PAUSE: Duration = Duration::from_millis(200);

/// How long one of several endpoints may take to show that it belongs to the same store; those that do not answer are
/// left out.
const MEMBER_TIMEOUT: Duration = Duration::from_secs(2);

/// Shortest time between two reports.
const REPORT_PAUSE: Duration = Duration::from_millis(250);
