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
    record::{self, FENCE, Fence, RECORDS},
    work::{Assignment, Sides, Work, is_source, keyspaces},
};
use crate::{etcd::Error, types::Backend};

mod batch;
mod fence;
mod retry;

pub(super) use batch::Batch;

/// What to do next.
#[derive(Debug)]
pub(super) enum Command {
    /// Read the fence.
    ReadFence,
    /// Write the fence if it was last written at this revision.
    TakeFence { expected: i64, fence: Fence },
    /// Read the source's fence, and the destination's at each of its endpoints.
    Prove,
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
    /// The fence that was read: revision and value.
    Fence(Option<(i64, Vec<u8>)>),
    /// The source's fence, and the destination's at each of its endpoints that answers.
    Proof { source: Option<Vec<u8>>, endpoints: Vec<(Backend, Option<Vec<u8>>)> },
    /// The fence was taken at this revision; `None` if another writer was faster.
    Taken(Option<i64>),
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
    /// Number and holder.
    pub(super) term: Option<(u64, Arc<str>)>,
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
    /// Another store has appeared behind the address: what was read of the old one is void.
    is_replaced: bool,
    /// Since when the destination has shown a later term than ours.
    superseded: Option<Instant>,
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
    Taking { expected: i64, fence: Fence },
    /// The fence is ours, written at this revision; whether this is the source is being checked.
    Proving { fence: i64 },
    /// The fence is ours, written at this revision.
    Holding { fence: i64 },
    /// A pause before the next attempt. `may_delete`: the destination is full, and deletions may be written before.
    Waiting { until: Instant, fence: Option<i64>, may_delete: bool },
}

// === impl Machine ===

impl Machine {
    pub(super) fn new(store: &str, now: Instant, random: fastrand::Rng) -> Self {
        Self {
            store: store.to_owned(),
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
            is_replaced: false,
            superseded: None,
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
    pub(super) fn lead(&mut self, term: Option<(u64, Arc<str>)>) {
        if self.term != term {
            self.term = term;
            self.state = State::Idle;
            self.contests = 0;
            self.superseded = None;
            self.begin();
        }
    }

    /// The replicators changed.
    pub(super) fn assign(&mut self, assignment: Arc<Assignment>, now: Instant) {
        if self.assignment != assignment {
            self.next_compare = now + assignment.interval;
            self.assignment = assignment;
            self.begin();
            let is_unproven = self.proof != Proof::Good && matches!(self.state, State::Holding { .. });
            if is_unproven || matches!(self.state, State::Waiting { fence: None, .. }) {
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
            State::Idle => Some(Vec::new()),
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
            // ## Asking => (Taking | Holding | Waiting)
            (State::Asking, Input::Fence(found)) => self.judge_fence(found, now),
            // ## Taking => (Holding | Asking)
            (State::Taking { fence, .. }, Input::Taken(Some(revision))) => {
                self.unresolved = false;
                self.hold(revision, fence.to_bytes(), fence.place)
            }
            (State::Taking { .. }, Input::Taken(None)) => State::Asking,
            // ## Proving => (Holding | Waiting)
            (State::Proving { fence }, Input::Proof { source, endpoints }) => {
                self.prove(fence, source.as_deref(), &endpoints, now)
            }
            // ## Holding => (Holding | Asking)
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
            State::Idle => Command::Wait { until: None },
            State::Asking => Command::ReadFence,
            State::Taking { expected, fence } => Command::TakeFence { expected, fence },
            State::Proving { .. } => Command::Prove,
            State::Holding { fence } => self.work_on(fence, sides, now),
            State::Waiting { until, fence, may_delete } => match fence {
                Some(fence) if may_delete && Self::sees(fence, sides) == Ordering::Equal => {
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
        }
        self.work.try_denied(sides, now);
        let wait = Command::Wait { until: Some(self.next_compare) };
        match Self::sees(fence, sides) {
            Ordering::Equal => {}
            // The watch is behind: it will catch up.
            Ordering::Less => return wait,
            Ordering::Greater => {
                self.lost_fence(now);
                self.state = State::Asking;
                return Command::ReadFence;
            }
        }
        if !self.work.decide(&self.assignment, sides) {
            return self.write(fence, sides);
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
    fn sees(fence: i64, sides: Sides<'_>) -> Ordering {
        if !matches!(sides.dest.sync_state(&[RECORDS]), SyncState::Current) {
            return Ordering::Less;
        }
        let shown = sides.dest.get(FENCE.as_bytes()).map(|entry| entry.revision);
        shown.map_or(Ordering::Greater, |shown| shown.cmp(&fence))
    }

    fn begin(&mut self) {
        self.work.start_over();
        self.synced.clear();
        let scopes = &self.assignment.scopes;
        self.last_sync.retain(|name, _| scopes.iter().any(|scope| scope.name == *name));
        self.most = MAX_KEYS;
        self.one_kind = false;
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
