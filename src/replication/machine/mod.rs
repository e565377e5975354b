//! What the task of one destination does next: a pure state machine, whose input is how its last command ended and what
//! both sides hold.
//!
//! ```text
//!            leads            fence ours, or taken           not the source             both sides read
//!   Idle ────────────► Asking ────────────► Proving ────────────► Holding ──────────► writes until nothing differs,
//!    ▲                  ▲  ▲ │ not to be taken  │                   │ │               then waits for a change
//!    │                  │  │ ▼                  │ it is             │ │ error
//!    └─ no longer leads │  Waiting ◄────────────┴───────────────────┼─┘
//!                       └── fence changed ──────────────────────────┘
//! ```
//!
//! A destination without replicators ends in `Left`, once nothing of this federation is there any more.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use tokio::time::Instant;

use super::{
    RBAC,
    cache::SyncState,
    decide::{Op, Scope},
    keyspace_of,
    queue::MAX_KEYS,
    record::{self, FENCE, Fence, Found, PLACE, RECORDS},
    work::{Assignment, Sides, Work, is_source, keyspaces},
};
use crate::{etcd::Error, leadership::Term, types::Backend};

mod batch;
mod fence;
mod retry;
mod settle;

pub(super) use batch::Batch;
pub(super) use fence::IS_SOURCE;
pub(super) use settle::{Orphans, Settlement};
use settle::{Records, Writing};

/// What to do next.
#[derive(Debug)]
pub(super) enum Command {
    /// Read the fence.
    ReadFence,
    /// Write the fence if it was last written at this revision; attached to this lease, or else to a new one. End the one
    /// that it replaces, which is 0 for none.
    TakeFence { expected: i64, fence: Fence, lease: Option<i64>, replaces: i64 },
    /// Read the source's fence and identity, and the destination's fence at each of its endpoints.
    Prove,
    /// Write records.
    Settle(Settlement),
    /// Write a batch.
    Write(Batch),
    /// Wait for a change on either side, or for this time.
    Wait { until: Option<Instant> },
}

/// The result of a command.
#[derive(Debug)]
pub(super) enum Input {
    /// Something may have changed.
    Woke,
    /// The fence and what is recorded beside it.
    Fence(Found),
    /// The source's fence and identity, and the destination's fence at each of its endpoints that answers.
    Proof { source: Option<Vec<u8>>, source_id: String, endpoints: Vec<(Backend, Option<Vec<u8>>)> },
    /// The fence was taken at this revision, with this lease; `None` if another writer was faster.
    Taken(Option<(i64, i64)>),
    /// The records were written.
    Settled,
    /// The batch was written.
    Written,
    /// Nothing was written: the fence is no longer ours.
    Fenced,
    /// The command failed; a write may have been done or not.
    Failed(Error),
}

/// Events for the counters.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Objects that were written or deleted, by replicator.
    pub(super) writes: Vec<Arc<str>>,
    /// Failed commands that concern every replicator.
    pub(super) errors: u64,
    /// Denied writes, by replicator.
    pub(super) denied: Vec<Arc<str>>,
}

/// See the module.
pub(super) struct Machine {
    store: String,
    fence_ttl: Duration,
    pub(super) term: Option<Term>,
    pub(super) assignment: Arc<Assignment>,
    pub(super) state: State,
    pub(super) work: Work,
    pub(super) trouble: Option<Arc<str>>,
    /// The destination's own identity, once known.
    pub(super) place: Option<String>,
    pub(super) tally: Tally,
    proof: Proof,
    /// Replicators whose objects have all been equal once since the last restart of the work.
    synced: BTreeSet<Arc<str>>,
    /// When each was last known to be equal.
    last_sync: BTreeMap<Arc<str>, SystemTime>,
    /// Keys of the batch in flight.
    in_flight: Vec<Bytes>,
    /// A write of unknown outcome may still arrive: nothing is written before the fence has changed, or that write could
    /// undo later ones.
    pub(super) unresolved: bool,
    /// The value of our fence in the destination.
    held: Vec<u8>,
    /// The lease of our fence.
    lease: Option<i64>,
    /// Identifies the source, once known.
    source_id: Option<String>,
    records: Records,
    /// What federations that are gone still own.
    pub(super) orphans: Vec<Orphans>,
    /// The federation that keeps this one out, and its gateway.
    pub(super) holder: Option<(String, String)>,
    /// What to show a gateway with a copy of the store, which keeps this one out.
    pub(super) waits_for_copy: Option<Fence>,
    /// Another store has appeared behind the address: what was read of the old one is void.
    is_replaced: bool,
    /// Since when the destination has shown the fence of a writer that may still run.
    kept_out: Option<Instant>,
    next_compare: Instant,
    /// Most keys of a batch.
    most: usize,
    /// Something is denied: a batch is of one kind, so that no other fails with it.
    one_kind: bool,
    failures: u32,
    /// How often the fence was lost to a gateway with the same store and term, and when it may be taken again.
    contests: u32,
    may_take: Instant,
    random: fastrand::Rng,
}

/// Whether the destination is one store, and not the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Proof {
    /// Unknown.
    Open,
    /// Yes.
    Good,
    /// No: it is the source, or more than one store.
    Bad,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// This gateway does not lead, or has nothing to do here.
    Idle,
    /// The fence has to be read.
    Asking,
    /// The fence has to be taken.
    Taking { expected: i64, fence: Fence, lease: Option<i64>, replaces: i64 },
    /// The fence is ours, written at this revision; whether this is the source is being checked.
    Proving { fence: i64 },
    /// The fence is ours, written at this revision.
    Holding { fence: i64 },
    /// A pause before the next attempt. `may_delete`: the destination is full, and deletions may be written before.
    Waiting { until: Instant, fence: Option<i64>, may_delete: bool },
    /// Nothing of this federation is there, and nothing is wanted there.
    Left,
}

// === impl Machine ===

impl Machine {
    pub(super) fn new(store: &str, fence_ttl: Duration, now: Instant, random: fastrand::Rng) -> Self {
        Self {
            store: store.to_owned(),
            fence_ttl,
            term: None,
            assignment: Arc::default(),
            state: State::Idle,
            work: Work::new(record::owned_prefix(store)),
            trouble: None,
            place: None,
            tally: Tally::default(),
            proof: Proof::Open,
            synced: BTreeSet::new(),
            last_sync: BTreeMap::new(),
            in_flight: Vec::new(),
            unresolved: false,
            held: Vec::new(),
            lease: None,
            source_id: None,
            records: Records::default(),
            orphans: Vec::new(),
            holder: None,
            waits_for_copy: None,
            is_replaced: false,
            kept_out: None,
            next_compare: now,
            most: MAX_KEYS,
            one_kind: false,
            failures: 0,
            contests: 0,
            may_take: now,
            random,
        }
    }

    /// The leadership changed, or was lost.
    pub(super) fn lead(&mut self, term: Option<Term>) {
        let is_same = match (&self.term, &term) {
            (Some(old), Some(new)) => old.is_same(new),
            (old, new) => old.is_none() && new.is_none(),
        };
        if is_same {
            return;
        }
        self.term = term;
        self.state = State::Idle;
        self.lease = None;
        self.waits_for_copy = None;
        self.contests = 0;
        self.kept_out = None;
        self.begin();
    }

    /// The lease that has to be kept alive: that of our fence.
    pub(super) fn lease(&self) -> Option<i64> {
        self.lease.filter(|_| self.term.is_some() && self.state != State::Left)
    }

    /// Whether nothing is written before the supervisor has recorded that something may be here.
    pub(super) fn awaits_record(&self) -> bool {
        let is_held = matches!(self.state, State::Holding { .. });
        is_held && !self.assignment.scopes.is_empty() && self.assignment.recorded != self.place
    }

    /// The replicators changed.
    pub(super) fn assign(&mut self, assignment: Arc<Assignment>, now: Instant) {
        if self.assignment != assignment {
            self.next_compare = now + assignment.interval;
            self.assignment = assignment;
            self.begin();
            let is_unproven = self.proof != Proof::Good && matches!(self.state, State::Holding { .. });
            if is_unproven || matches!(self.state, State::Waiting { fence: None, .. } | State::Left) {
                self.state = State::Asking;
            }
        }
    }

    /// Whether this cannot be a destination: it is the source itself, or several stores.
    pub(super) fn is_refused(&self) -> bool {
        self.proof == Proof::Bad
    }

    /// The keyspaces of the destination to follow; `None` leaves them as they are.
    pub(super) fn follows(&self) -> Option<Vec<&'static str>> {
        match self.state {
            _ if self.is_replaced => Some(Vec::new()),
            State::Idle | State::Left => Some(Vec::new()),
            State::Holding { .. } | State::Waiting { fence: Some(_), .. } => Some(self.keyspaces()),
            // What was read stays valid when only the fence has to be taken again.
            State::Asking | State::Taking { .. } | State::Proving { .. } | State::Waiting { .. } => None,
        }
    }

    /// What is read of the destination: always bindings and roles, because bindings keep roles from being deleted. Nothing
    /// is done without the records; each other keyspace delays only what depends on it.
    fn keyspaces(&self) -> Vec<&'static str> {
        let mut all: Vec<_> = [RECORDS, RBAC].into_iter().chain(keyspaces(&self.assignment.scopes)).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    pub(super) fn step(&mut self, input: Input, sides: Sides<'_>, now: Instant) -> Command {
        self.is_replaced = false;
        self.take(input, sides, now);
        self.work.look(&self.assignment, sides, now);
        self.next(sides, now)
    }

    fn take(&mut self, input: Input, sides: Sides<'_>, now: Instant) {
        let state = std::mem::replace(&mut self.state, State::Idle);
        self.state = match (state, input) {
            // ## Asking => (Taking | Holding | Proving | Waiting | Left)
            (State::Asking, Input::Fence(found)) => self.judge_fence(found, now),
            // ## Taking => (Holding | Asking)
            (State::Taking { fence, .. }, Input::Taken(Some((revision, lease)))) => {
                self.unresolved = false;
                self.lease = Some(lease);
                self.hold(revision, fence.to_bytes(), fence.place)
            }
            (State::Taking { .. }, Input::Taken(None)) => State::Asking,
            // ## Proving => (Holding | Waiting)
            (State::Proving { fence }, Input::Proof { source, source_id, endpoints }) => {
                self.source_id = Some(source_id);
                self.prove(fence, source.as_deref(), &endpoints, now)
            }
            // ## Holding => (Holding | Asking | Left)
            (State::Holding { .. }, Input::Settled) if self.records.writing == Writing::End => self.left(),
            (state @ (State::Holding { .. } | State::Waiting { .. }), Input::Settled) => {
                self.settled();
                state
            }
            (state @ (State::Holding { .. } | State::Waiting { .. }), Input::Written) => {
                self.written();
                state
            }
            (State::Holding { .. } | State::Waiting { .. }, Input::Fenced) => {
                self.in_flight.clear();
                self.lost_fence(now);
                State::Asking
            }
            (State::Idle, Input::Failed(_)) => State::Idle,
            (state, Input::Failed(error)) => self.failed(&state, &error, sides, now),
            // ## Waiting => (Waiting | Holding | Asking)
            (State::Waiting { until, fence, .. }, Input::Woke) if now >= until => match fence {
                Some(fence) => State::Holding { fence },
                None => State::Asking,
            },
            // The answer to any other command than the last one changes nothing.
            (state, _) => state,
        };
    }

    fn next(&mut self, sides: Sides<'_>, now: Instant) -> Command {
        if self.term.is_none() {
            self.state = State::Idle;
        } else if self.state == State::Idle {
            self.state = State::Asking;
        }
        match self.state.clone() {
            State::Idle | State::Left => Command::Wait { until: None },
            State::Asking => Command::ReadFence,
            State::Taking { expected, fence, lease, replaces } => {
                Command::TakeFence { expected, fence, lease, replaces }
            }
            State::Proving { .. } => Command::Prove,
            State::Holding { fence } => self.work_on(fence, sides, now),
            State::Waiting { until, fence, may_delete } => match fence {
                Some(fence) if may_delete && self.sees(fence, sides) == Ordering::Equal => {
                    self.work.decide(&self.assignment, sides);
                    if self.work.queue.begins_with_deletion() {
                        self.write(fence, sides)
                    } else {
                        Command::Wait { until: Some(until) }
                    }
                }
                _ => Command::Wait { until: Some(until) },
            },
        }
    }

    /// The fence is ours.
    fn work_on(&mut self, fence: i64, sides: Sides<'_>, now: Instant) -> Command {
        if now >= self.next_compare {
            self.next_compare = now + self.assignment.interval.max(SHORTEST_INTERVAL);
            self.work.compare();
            self.records.due = true;
        }
        self.work.try_denied(sides, now);
        let wait = Command::Wait { until: Some(self.next_compare) };
        match self.sees(fence, sides) {
            Ordering::Equal => {}
            // The watch is behind: it will catch up.
            Ordering::Less => return wait,
            Ordering::Greater => {
                self.lost_fence(now);
                self.state = State::Asking;
                return Command::ReadFence;
            }
        }
        if self.awaits_record() {
            return wait;
        }
        if let Some(settlement) = self.settle(fence, sides) {
            self.records.writing = Writing::Some;
            return Command::Settle(settlement);
        }
        if !self.work.decide(&self.assignment, sides) {
            return self.write(fence, sides);
        }
        if let Some(settlement) = self.leave(fence, sides) {
            self.records.writing = Writing::End;
            return Command::Settle(settlement);
        }
        self.trouble = None;
        self.failures = 0;
        self.one_kind &= !self.work.refused.denies_nothing();
        self.note_synced(sides);
        let until = self.work.refused.next_due().map_or(self.next_compare, |due| due.min(self.next_compare));
        Command::Wait { until: Some(until) }
    }

    /// Everything was decided and written, except what is denied or cannot be read.
    fn note_synced(&mut self, sides: Sides<'_>) {
        let is_source = is_source(sides.source);
        for scope in &self.assignment.scopes {
            let is_read = is_source
                && sides.source.sync_state(&scope_keyspaces(scope)) == SyncState::Current
                && self.work.sees(scope.kind);
            if is_read && self.work.refused.denial_under(&scope.prefix()).is_none() {
                self.synced.insert(Arc::clone(&scope.name));
                if self.work.is_equal(scope) {
                    self.last_sync.insert(Arc::clone(&scope.name), SystemTime::now());
                }
            }
        }
    }

    /// Whether everything of a replicator has been equal once since the last restart of the work.
    pub(super) fn is_synced(&self, scope: &Scope) -> bool {
        self.synced.contains(&scope.name)
    }

    /// When everything of a replicator was last known to be equal.
    pub(super) fn last_sync(&self, scope: &Scope) -> Option<SystemTime> {
        self.last_sync.get(&scope.name).copied()
    }

    /// Whether what was seen of the destination is as new as our fence, older, or shows that the fence is no longer ours.
    fn sees(&self, fence: i64, sides: Sides<'_>) -> Ordering {
        if !matches!(sides.dest.sync_state(&[RECORDS]), SyncState::Current) {
            return Ordering::Less;
        }
        // A record of the place that is deleted makes it another place.
        let place = sides.dest.get(PLACE.as_bytes()).map(|entry| &entry.value[..]);
        if self.records.has_place && place != self.place.as_deref().map(str::as_bytes) {
            return Ordering::Greater;
        }
        let shown = sides.dest.get(FENCE.as_bytes()).map(|entry| entry.revision);
        shown.map_or(Ordering::Greater, |shown| shown.cmp(&fence))
    }

    fn begin(&mut self) {
        self.work.start_over();
        self.synced.clear();
        self.records.due = true;
        let scopes = &self.assignment.scopes;
        self.last_sync.retain(|name, _| scopes.iter().any(|scope| scope.name == *name));
        self.most = MAX_KEYS;
        self.one_kind = false;
    }

    /// Everything of ours is gone.
    fn left(&mut self) -> State {
        self.settled();
        // Something may be wanted by now.
        if self.assignment.leaves { State::Left } else { State::Asking }
    }

    fn settled(&mut self) {
        // Who owns what may have changed.
        self.work.start_over();
        self.records.writing = Writing::Nothing;
        self.trouble = None;
        self.failures = 0;
    }

    fn written(&mut self) {
        for key in std::mem::take(&mut self.in_flight) {
            self.work.done(&key);
        }
        self.trouble = None;
        self.failures = 0;
    }

    fn write(&mut self, fence: i64, sides: Sides<'_>) -> Command {
        let ops = self.work.queue.batch(self.most, self.one_kind);
        self.in_flight = ops.iter().map(|(key, _)| key.clone()).collect();
        let records = ops.iter().map(|(key, op)| {
            let writer = self.work.writer_of(&self.assignment, sides, key, op);
            (self.work.record_of(key), writer)
        });
        let records: Vec<_> = records.collect();
        let request = batch::request(fence, &self.held, &ops, &records);
        Command::Write(Batch { request, epoch: sides.dest.epoch(), ops, records })
    }

    /// Counts the objects that a batch wrote.
    pub(super) fn count(&mut self, batch: &Batch) {
        let objects = batch
            .ops
            .iter()
            .zip(&batch.records)
            .filter(|((_, op), _)| matches!(op, Op::Put { .. } | Op::Delete));
        self.tally.writes.extend(objects.map(|(_, (_, writer))| Arc::clone(writer)));
    }
}

/// What must be read of the source.
pub(super) fn source_keyspaces(assignment: &Assignment) -> Vec<&'static str> {
    // Always roles and bindings: an etcd without any is not a source (see `Work`).
    if assignment.scopes.is_empty() {
        return Vec::new();
    }
    let mut all: Vec<_> = [RBAC].into_iter().chain(keyspaces(&assignment.scopes)).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// What must be read of the source for one replicator.
pub(super) fn scope_keyspaces(scope: &Scope) -> [&'static str; 2] {
    [RBAC, keyspace_of(scope.kind)]
}

/// Comparing everything costs no request, but CPU time.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
