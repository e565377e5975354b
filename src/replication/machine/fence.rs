//! Who may write to the destination: what a fence that was found means, and whether the place behind the address is one
//! that may be written to at all.

use std::time::Duration;

use tokio::time::Instant;

use super::{Machine, Proof, State};
use crate::{
    net::Backoff,
    replication::record::{FENCE, Fence, FenceOwner, Identity},
    types::Backend,
};

// === impl Machine ===

impl Machine {
    fn identity(&self) -> Identity {
        let (term, gateway) = self.term.as_ref().map_or((0, ""), |(term, holder)| (*term, &**holder));
        Identity { store: self.store.clone(), term, gateway: gateway.to_owned() }
    }

    pub(super) fn judge_fence(&mut self, found: Option<(i64, Vec<u8>)>, now: Instant) -> State {
        let identity = self.identity();
        let Some((revision, value)) = found else {
            self.note_place(None);
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
        self.note_place(Some(&fence.place));
        let owner = fence.owner(&identity);
        let since = *self.superseded.get_or_insert(now);
        if owner != FenceOwner::After {
            self.superseded = None;
        }
        match owner {
            FenceOwner::Ours if self.unresolved => State::Taking { expected: revision, fence },
            FenceOwner::Ours => self.hold(revision, value, fence.place),
            // Another gateway with the same store and term.
            FenceOwner::Before if fence.term == identity.term && now < self.may_take => {
                let text = format!(
                    "the gateway {} writes here too, with a copy of this gateway's store: stop one of them",
                    fence.gateway
                );
                self.wait(now, self.may_take.duration_since(now), None, text)
            }
            FenceOwner::Before => State::Taking { expected: revision, fence: identity.fence(fence.place) },
            // Nobody else can have led for so long: the count of terms was set back, with the gateways' store.
            FenceOwner::After if now.duration_since(since) >= OUTLIVED => {
                State::Taking { expected: revision, fence: identity.fence(fence.place) }
            }
            FenceOwner::After => {
                let text = format!("the gateway {} has taken over", fence.gateway);
                self.wait(now, SUPERSEDED_PAUSE, None, text)
            }
            FenceOwner::Foreign => {
                let text = format!(
                    "the gateway {} of another federation replicates to this destination: {REMOVE}",
                    fence.gateway
                );
                self.wait(now, FOREIGN_PAUSE, None, text)
            }
        }
    }

    /// Notes which store is behind the address. Another one, or one that has lost our fence, may look like the same etcd
    /// cluster (a member that was set up again has the old IDs), and a watch may continue in it as if nothing had been
    /// missed.
    fn note_place(&mut self, place: Option<&str>) {
        if self.place.is_some() && self.place.as_deref() != place {
            self.is_replaced = true;
            self.proof = Proof::Open;
        }
        self.place = place.map(str::to_owned);
    }

    pub(super) fn hold(&mut self, revision: i64, value: Vec<u8>, place: String) -> State {
        self.place = Some(place);
        self.held = value;
        self.begin();
        self.trouble = None;
        // A destination that is only cleaned up gets nothing that could be mistaken for ours.
        let is_proven = self.proof == Proof::Good || self.assignment.scopes.is_empty();
        if is_proven { State::Holding { fence: revision } } else { State::Proving { fence: revision } }
    }

    /// If the source holds the record that was just found or written here, it is the same store, and owning its objects
    /// would mean deleting them one day. An endpoint that does not hold the record belongs to another store: only one of
    /// the followers listed would be served.
    pub(super) fn prove(
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

    /// Another gateway has taken the fence. Against one with the same store and term, the pauses before taking it back grow.
    pub(super) fn lost_fence(&mut self, now: Instant) {
        self.contests = self.contests.saturating_add(1);
        self.may_take = now + CONTEST.delay(self.contests, &mut self.random);
    }
}

const REMOVE: &str =
    "if that one is gone for good, delete the key /fedgate/replication/fence there (etcdctl del)";

const IS_SOURCE: &str = "spec.url leads to the local cluster's own etcd, which needs no copy of itself";

const IS_ANOTHER: &str = "is of another etcd cluster than the other endpoints: a replicator has one destination, and \
     spec.url lists the members of that one; register a replicator for each follower";

/// How often a destination of another federation is checked again.
const FOREIGN_PAUSE: Duration = Duration::from_secs(30);

/// How long to wait before checking again whether another gateway still leads.
const SUPERSEDED_PAUSE: Duration = Duration::from_secs(5);

/// After this, no other gateway can lead under a later term than ours: its lease has long expired.
pub(super) const OUTLIVED: Duration = Duration::from_secs(60);

/// Pauses before a fence is taken back from a gateway with the same store and term.
const CONTEST: Backoff = Backoff { first: Duration::from_secs(5), longest: LONGEST_CONTEST, jitter: 0.5 };

/// Longest such pause.
pub(super) const LONGEST_CONTEST: Duration = Duration::from_secs(300);
