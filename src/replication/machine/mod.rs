//! What the task of one destination does next: pure, told how its last command ended and what both sides hold.
//!
//! ```text
//!            leads            fence ours, or taken           not the source             both sides read
//!   Idle ────────────► Asking ────────────► Proving ────────────► Holding ──────────► writes until nothing differs,
//!    ▲                  ▲  ▲ │ not to be taken  │                   │ │               then waits for a change
//!    │                  │  │ ▼                  │ it is             │ │ error
//!    └─ leads no more   │  Waiting ◄────────────┴───────────────────┼─┘
//!                       └── fence changed ──────────────────────────┘
//! ```

use std::{
    cmp::Ordering,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use tokio::time::Instant;

use super::{
    RBAC,
    decide::Op,
    explain,
    image::Standing,
    queue::MAX_KEYS,
    record::{self, FENCE, Fence, Identity, RECORDS},
    work::{Assignment, Sides, Work, areas, is_source},
};
use crate::{etcd::Error, net::Backoff, types::Backend};

mod batch;

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

/// What a command came to.
#[derive(Debug)]
pub(super) enum Input {
    /// Something may have changed.
    Woke,
    /// The fence as it is: revision and value.
    Fence(Option<(i64, Vec<u8>)>),
    /// The source's fence, and the destination's at those of its endpoints that answer.
    Proof { source: Option<Vec<u8>>, endpoints: Vec<(Backend, Option<Vec<u8>>)> },
    /// The fence was taken at this revision; `None`: somebody else was faster.
    Taken(Option<i64>),
    /// The batch was written.
    Written,
    /// Nothing was written: the fence is not ours any more.
    Fenced,
    /// The command failed; of a write it is not known whether it was done.
    Failed(Error),
}

/// What happened, for the counters.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Objects that were written or deleted, by replicator.
    pub(super) writes: Vec<Arc<str>>,
    /// Failed commands.
    pub(super) errors: u64,
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
    /// The destination's own name, once known.
    pub(super) place: Option<String>,
    pub(super) tally: Tally,
    proof: Proof,
    /// Everything was equal once since the last new beginning.
    pub(super) synced: bool,
    pub(super) last_sync: Option<SystemTime>,
    /// Keys of the batch that is under way.
    in_flight: Vec<Bytes>,
    /// A write may still arrive although nobody waits for it: until the fence is another one, nothing is written, lest
    /// that write undo what came after it.
    pub(super) unresolved: bool,
    /// The fence that is ours, as it stands in the destination.
    held: Vec<u8>,
    /// Another store has appeared behind the address: nothing that was read of the old one counts.
    is_replaced: bool,
    /// Since when a later term than ours stands in the destination.
    superseded: Option<Instant>,
    next_compare: Instant,
    /// Most keys of a batch.
    most: usize,
    failures: u32,
    /// How often the fence was lost to an equal, and when it may be taken again.
    contests: u32,
    may_take: Instant,
    random: fastrand::Rng,
}

/// Whether the destination is one store, and not the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Proof {
    /// Not known.
    Open,
    /// It is.
    Good,
    /// It is the source, or more than one store.
    Bad,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// This gateway does not lead, or has nothing to do here.
    Idle,
    /// The fence is to be read.
    Asking,
    /// The fence is to be taken.
    Taking { expected: i64, fence: Fence },
    /// The fence is ours, written at this revision, and it is to be made sure that this is not the source.
    Proving { fence: i64 },
    /// The fence is ours, written at this revision.
    Holding { fence: i64 },
    /// For the next attempt. What makes room may be written before, if it was the space that lacked.
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
            synced: false,
            last_sync: None,
            in_flight: Vec::new(),
            unresolved: false,
            held: Vec::new(),
            is_replaced: false,
            superseded: None,
            next_compare: now,
            most: MAX_KEYS,
            failures: 0,
            contests: 0,
            may_take: now,
            random,
        }
    }

    /// Another leadership, or none.
    pub(super) fn lead(&mut self, term: Option<(u64, Arc<str>)>) {
        if self.term != term {
            self.term = term;
            self.state = State::Idle;
            self.contests = 0;
            self.superseded = None;
            self.begin();
        }
    }

    /// Other replicators.
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

    /// Whether the destination has turned out to be none: the source itself, or several.
    pub(super) fn is_refused(&self) -> bool {
        self.proof == Proof::Bad
    }

    /// The areas of the destination to be followed; `None` leaves it as it is.
    pub(super) fn follows(&self) -> Option<Vec<&'static str>> {
        match self.state {
            _ if self.is_replaced => Some(Vec::new()),
            State::Idle => Some(Vec::new()),
            State::Holding { .. } | State::Waiting { fence: Some(_), .. } => Some(self.areas()),
            // A fence that has to be taken again does not make what was read worthless.
            State::Asking | State::Taking { .. } | State::Proving { .. } | State::Waiting { .. } => None,
        }
    }

    /// What must be known of the destination before anything is written: bindings and roles always, as they keep
    /// roles from going.
    fn areas(&self) -> Vec<&'static str> {
        let mut all: Vec<_> = [RECORDS, RBAC].into_iter().chain(areas(&self.assignment.scopes)).collect();
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
            (State::Asking, Input::Fence(found)) => self.found(found, now),
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
                self.lost(now);
                State::Asking
            }
            (State::Idle, Input::Failed(_)) => State::Idle,
            (state, Input::Failed(error)) => self.failed(&state, &error, sides, now),
            // ## Waiting => (Waiting | Holding | Asking)
            (State::Waiting { until, fence, .. }, Input::Woke) if now >= until => match fence {
                Some(fence) => State::Holding { fence },
                None => State::Asking,
            },
            // The answer of another command than the one that was given changes nothing.
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
        }
        let wait = Command::Wait { until: Some(self.next_compare) };
        match self.sees(fence, sides) {
            Ordering::Equal => {}
            // What is seen is older: it will come.
            Ordering::Less => return wait,
            Ordering::Greater => {
                self.lost(now);
                self.state = State::Asking;
                return Command::ReadFence;
            }
        }
        if !self.work.decide(&self.assignment, sides) {
            return self.write(fence, sides);
        }
        self.trouble = None;
        self.failures = 0;
        let areas = source_areas(&self.assignment);
        if sides.source.standing(&areas) == Standing::Current && (areas.is_empty() || is_source(sides.source))
        {
            self.synced = true;
            if self.work.is_equal() {
                self.last_sync = Some(SystemTime::now());
            }
        }
        wait
    }

    /// Whether what is known of the destination is as new as our fence, older, or shows that it is not ours any more.
    fn sees(&self, fence: i64, sides: Sides<'_>) -> Ordering {
        if !matches!(sides.dest.standing(&self.areas()), Standing::Current) {
            return Ordering::Less;
        }
        let shown = sides.dest.get(FENCE.as_bytes()).map(|entry| entry.revision);
        shown.map_or(Ordering::Greater, |shown| shown.cmp(&fence))
    }

    fn begin(&mut self) {
        self.work.start_over();
        self.synced = false;
        self.most = MAX_KEYS;
    }

    fn identity(&self) -> Identity {
        let (term, gateway) = self.term.as_ref().map_or((0, ""), |(term, holder)| (*term, &**holder));
        Identity { store: self.store.clone(), term, gateway: gateway.to_owned() }
    }

    fn found(&mut self, found: Option<(i64, Vec<u8>)>, now: Instant) -> State {
        let identity = self.identity();
        let Some((revision, value)) = found else {
            self.is_at(None);
            let place = format!("{:016x}{:016x}", self.random.u64(..), self.random.u64(..));
            return State::Taking { expected: 0, fence: identity.fence(place) };
        };
        let Some(fence) = Fence::parse(&value) else {
            return self.wait(
                now,
                FOREIGN_PAUSE,
                None,
                format!("the record {FENCE} in the destination cannot be read: {REMOVE}"),
            );
        };
        self.is_at(Some(&fence.place));
        let standing = fence.standing(&identity);
        let since = *self.superseded.get_or_insert(now);
        if standing != record::Standing::After {
            self.superseded = None;
        }
        match standing {
            record::Standing::Ours if self.unresolved => State::Taking { expected: revision, fence },
            record::Standing::Ours => self.hold(revision, value, fence.place),
            // An equal, that is.
            record::Standing::Before if fence.term == identity.term && now < self.may_take => {
                let text = format!(
                    "the gateway {} writes here too, with a copy of this gateway's store: stop one of them",
                    fence.gateway
                );
                self.wait(now, self.may_take.duration_since(now), None, text)
            }
            record::Standing::Before => {
                State::Taking { expected: revision, fence: identity.fence(fence.place) }
            }
            // Who leads for so long is the only one: the count of terms has gone back, with the gateways' store.
            record::Standing::After if now.duration_since(since) >= OUTLIVED => {
                State::Taking { expected: revision, fence: identity.fence(fence.place) }
            }
            record::Standing::After => {
                let text = format!("the gateway {} has taken over", fence.gateway);
                self.wait(now, SUPERSEDED_PAUSE, None, text)
            }
            record::Standing::Foreign => {
                let text = format!(
                    "the gateway {} of another federation replicates to this destination: {REMOVE}",
                    fence.gateway
                );
                self.wait(now, FOREIGN_PAUSE, None, text)
            }
        }
    }

    /// Notes which store is behind the address. Another one, or one that has lost our fence, may be of the same etcd
    /// cluster by its looks (a member that is set up anew has the old IDs), and a watch may go on in it as if nothing
    /// was missed.
    fn is_at(&mut self, place: Option<&str>) {
        if self.place.is_some() && self.place.as_deref() != place {
            self.is_replaced = true;
            self.proof = Proof::Open;
        }
        self.place = place.map(str::to_owned);
    }

    fn hold(&mut self, revision: i64, value: Vec<u8>, place: String) -> State {
        self.place = Some(place);
        self.held = value;
        self.begin();
        self.trouble = None;
        // What is only cleaned gets nothing that could be taken for ours.
        let is_proven = self.proof == Proof::Good || self.assignment.scopes.is_empty();
        if is_proven { State::Holding { fence: revision } } else { State::Proving { fence: revision } }
    }

    /// Where the source holds the record that was just found or written here, it is the same store. To own its objects
    /// would be to delete them one day. An endpoint that does not hold it is of another store: whoever lists several
    /// followers there would have one of them served, and believe the others are.
    fn prove(
        &mut self,
        fence: i64,
        source: Option<&[u8]>,
        endpoints: &[(Backend, Option<Vec<u8>>)],
        now: Instant,
    ) -> State {
        let is_here = |value: Option<&[u8]>| {
            let place = value.and_then(Fence::parse).map(|fence| fence.place);
            place.is_some() && place == self.place
        };
        let refusal = if is_here(source) {
            Some(IS_SOURCE.to_owned())
        } else {
            let stray = endpoints.iter().find(|(_, value)| !is_here(value.as_deref()));
            stray.map(|(endpoint, _)| format!("spec.url: {endpoint} {IS_ANOTHER}"))
        };
        if let Some(text) = refusal {
            self.proof = Proof::Bad;
            return self.wait(now, FOREIGN_PAUSE, None, text);
        }
        self.proof = Proof::Good;
        State::Holding { fence }
    }

    /// Somebody else has the fence. An equal of ours is not fought over it: the pauses grow.
    fn lost(&mut self, now: Instant) {
        self.contests = self.contests.saturating_add(1);
        self.may_take = now + CONTEST.delay(self.contests, &mut self.random);
    }

    fn written(&mut self) {
        for key in std::mem::take(&mut self.in_flight) {
            self.work.done(&key);
        }
        self.trouble = None;
        self.failures = 0;
    }

    fn failed(&mut self, state: &State, error: &Error, sides: Sides<'_>, now: Instant) -> State {
        self.tally.errors += 1;
        let batch = std::mem::take(&mut self.in_flight);
        let mut text = explain::of_etcd(error);
        if let State::Proving { .. } = state {
            text = format!("{UNPROVEN}: {text}");
        }
        let fence = match state {
            State::Holding { fence } => Some(*fence),
            State::Waiting { fence, .. } => *fence,
            _ => None,
        };
        if let (Some(fence), Error::TooLarge { .. } | Error::Rejected { .. }) = (fence, error) {
            match &batch[..] {
                [] => {}
                [key] => {
                    self.work.refuse(&self.assignment, sides, key, text);
                    return State::Holding { fence };
                }
                keys => {
                    // Fewer at once: some etcds take fewer operations, and one object may be to blame.
                    self.most = keys.len() / 4 + 1;
                    return State::Holding { fence };
                }
            }
        }
        self.unresolved |= !batch.is_empty() && error.leaves_write_unknown();
        let fence = fence.filter(|_| !self.unresolved);
        let may_delete = matches!(error, Error::NoSpace) && !self.work.queue.begins_with_deletion();
        let pause = self.backoff();
        let State::Waiting { until, fence, .. } = self.wait(now, pause, fence, text) else {
            return State::Asking;
        };
        State::Waiting { until, fence, may_delete }
    }

    fn wait(&mut self, now: Instant, pause: Duration, fence: Option<i64>, text: String) -> State {
        self.trouble = Some(text.into());
        State::Waiting { until: now + pause, fence, may_delete: false }
    }

    /// How long to wait after one more failure.
    fn backoff(&mut self) -> Duration {
        let pause = RETRY.delay(self.failures, &mut self.random);
        self.failures = self.failures.saturating_add(1);
        pause
    }

    fn write(&mut self, fence: i64, sides: Sides<'_>) -> Command {
        let ops = self.work.queue.batch(self.most);
        self.in_flight = ops.iter().map(|(key, _)| key.clone()).collect();
        let records = ops.iter().map(|(key, op)| {
            let writer = self.work.writer_of(&self.assignment, sides, key, op);
            (self.work.record_of(key), writer)
        });
        let records: Vec<_> = records.collect();
        let request = batch::request(fence, &self.held, &ops, &records);
        Command::Write(Batch { request, epoch: sides.dest.epoch(), ops, records })
    }

    /// Counts what a batch wrote.
    pub(super) fn count(&mut self, batch: &Batch) {
        let objects = batch
            .ops
            .iter()
            .zip(&batch.records)
            .filter(|((_, op), _)| matches!(op, Op::Put { .. } | Op::Delete));
        self.tally.writes.extend(objects.map(|(_, (_, writer))| Arc::clone(writer)));
    }
}

/// What must be known of the source.
pub(super) fn source_areas(assignment: &Assignment) -> Vec<&'static str> {
    // Roles and bindings always: without any, it is no source (see `Work`).
    if assignment.scopes.is_empty() {
        return Vec::new();
    }
    let mut all: Vec<_> = [RBAC].into_iter().chain(areas(&assignment.scopes)).collect();
    all.sort_unstable();
    all.dedup();
    all
}

const REMOVE: &str =
    "if that one is gone for good, delete the key /fedgate/replication/fence there (etcdctl del)";

const IS_SOURCE: &str = "spec.url leads to the local cluster's own etcd, which needs no copy of itself";

const IS_ANOTHER: &str = "is of another etcd cluster than the other endpoints: a replicator has one destination, and \
     spec.url lists the members of that one; register a replicator for each follower";

const UNPROVEN: &str =
    "it cannot be made sure that this is not the local cluster's own etcd, which does not answer";

/// After an error.
const RETRY: Backoff = Backoff { first: Duration::from_millis(500), longest: LONGEST_RETRY, jitter: 0.5 };

const LONGEST_RETRY: Duration = Duration::from_secs(10);

/// How often a destination of another federation is asked whether it still is.
const FOREIGN_PAUSE: Duration = Duration::from_secs(30);

/// How long to wait for the news that another gateway leads.
const SUPERSEDED_PAUSE: Duration = Duration::from_secs(5);

/// After this, no other gateway can lead under a later term than ours: its lease has long run out.
const OUTLIVED: Duration = Duration::from_secs(60);

/// Before a fence is taken back from an equal.
const CONTEST: Backoff = Backoff { first: Duration::from_secs(5), longest: LONGEST_CONTEST, jitter: 0.5 };

const LONGEST_CONTEST: Duration = Duration::from_secs(300);

/// Comparing costs no request, but some time.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
