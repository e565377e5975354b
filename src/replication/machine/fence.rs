//! Who may write to the destination: what a fence that was found means, and whether the place behind the address is one
//! that may be written to at all.

use std::time::Duration;

use tokio::time::Instant;

use super::{Machine, Proof, State};
use crate::{
    net::Backoff,
    replication::{
        cache::Content,
        record::{FENCE, Fence, FenceOwner, Found, FoundFence, Identity, WAITING},
    },
    types::Backend,
};

// === impl Machine ===

impl Machine {
    pub(super) fn identity(&self) -> Identity {
        let (term, gateway, home) = match &self.term {
            Some(term) => (term.number, &*term.holder, &*term.home),
            None => (0, "", ""),
        };
        Identity { store: self.store.clone(), term, gateway: gateway.to_owned(), home: home.to_owned() }
    }

    pub(super) fn judge_fence(&mut self, found: Found, now: Instant) -> State {
        self.lease = None;
        self.waits_for_copy = None;
        let owns_nothing = self.assignment.scopes.is_empty() && found.owned == 0;
        let Some(fence) = found.fence else {
            if owns_nothing && !found.is_recorded && found.place.is_none() {
                return State::Left;
            }
            self.kept_out = None;
            self.note_place(found.place.as_deref());
            let place = found.place.unwrap_or_else(|| self.new_place());
            return self.taking(0, place, None, 0);
        };
        let FoundFence { revision, value, lease } = fence;
        let Some(fence) = Fence::parse(&value) else {
            let text = format!("the record {FENCE} in the destination cannot be read: {REMOVE}");
            return self.wait(now, self.foreign_pause(), None, text);
        };
        let owner = fence.owner(&self.identity(), lease);
        if owns_nothing && matches!(owner, FenceOwner::Foreign | FenceOwner::Copy) {
            return State::Left;
        }
        let place = self.place_of(&fence, found.place, owner);
        self.note_place(Some(&place));
        if matches!(owner, FenceOwner::Ours | FenceOwner::Before) {
            self.kept_out = None;
        }
        match owner {
            // Without a lease an earlier version wrote it.
            FenceOwner::Ours if self.unresolved || lease == 0 || fence.place != place => {
                self.taking(revision, place, Some(lease).filter(|lease| *lease != 0), 0)
            }
            FenceOwner::Ours => {
                self.lease = Some(lease);
                self.hold(revision, value, place)
            }
            FenceOwner::Before if fence.term == self.identity().term && now < self.may_take => {
                let pause = self.may_take.duration_since(now);
                self.wait_for_copy(&fence.gateway, pause, now)
            }
            FenceOwner::Before => self.taking(revision, place, None, lease),
            _ => self.keep_out(&fence, owner, (revision, lease), place, now),
        }
    }

    /// The fence is that of a writer that may still run.
    fn keep_out(
        &mut self,
        fence: &Fence,
        owner: FenceOwner,
        (revision, lease): (i64, i64),
        place: String,
        now: Instant,
    ) -> State {
        let since = *self.kept_out.get_or_insert(now);
        let is_outlived = now.duration_since(since) >= OUTLIVED;
        let gateway = &fence.gateway;
        match owner {
            // Nobody else can have led for so long: the count of terms was set back, with the gateways' store.
            FenceOwner::After if is_outlived && lease == 0 => self.taking(revision, place, None, 0),
            // Someone keeps its lease alive all the same.
            FenceOwner::After if is_outlived => self.wait_for_copy(gateway, self.foreign_pause(), now),
            FenceOwner::After => {
                self.wait(now, SUPERSEDED_PAUSE, None, format!("the gateway {gateway} has taken over"))
            }
            FenceOwner::Copy => self.wait_for_copy(gateway, self.foreign_pause(), now),
            _ if lease == 0 && self.assignment.adopts_from(&fence.store) => {
                self.taking(revision, place, None, 0)
            }
            _ => {
                let way_out = if lease == 0 { IF_GONE } else { IF_GONE_SOON };
                let text = format!(
                    "the gateway {gateway} of another federation replicates to this destination, which can have one: {way_out}"
                );
                self.holder = Some((fence.store.clone(), gateway.clone()));
                self.wait(now, self.foreign_pause(), None, text)
            }
        }
    }

    fn wait_for_copy(&mut self, gateway: &str, pause: Duration, now: Instant) -> State {
        let identity = self.identity();
        self.waits_for_copy = Some(identity.fence(String::new()));
        let text = format!("another gateway, {gateway}, {COPIED}");
        self.wait(now, pause, None, text)
    }

    /// The gateways that this one keeps out though they have the same store.
    pub(in crate::replication) fn waiting_copies<'a>(
        &self,
        dest: &'a Content,
    ) -> impl Iterator<Item = String> + 'a {
        let own = self.identity();
        let all = dest.range(WAITING.as_bytes()).filter_map(|(_, entry)| Fence::parse(&entry.value));
        all.filter(move |it| it.store == own.store && it.home != own.home).map(|it| it.gateway)
    }

    /// `lease` is what it will hang on, if not on a new one; `replaces` is one that is not needed any more then.
    fn taking(&self, expected: i64, place: String, lease: Option<i64>, replaces: i64) -> State {
        State::Taking { expected, fence: self.identity().fence(place), lease, replaces }
    }

    /// How often a destination of another federation is checked again. Together with the life of a fence, less than a minute.
    fn foreign_pause(&self) -> Duration {
        self.fence_ttl / 3
    }

    fn new_place(&mut self) -> String {
        format!("{:016x}{:016x}", self.random.u64(..), self.random.u64(..))
    }

    /// The place's identity. Deleting its record gives it a new one: this tells an etcd that was made from a backup of
    /// another from that one.
    fn place_of(&mut self, fence: &Fence, recorded: Option<String>, owner: FenceOwner) -> String {
        let was_deleted = self.records.has_place && self.place.as_ref() == Some(&fence.place);
        match recorded {
            Some(place) => place,
            None if was_deleted && owner == FenceOwner::Ours => {
                self.records.has_place = false;
                self.new_place()
            }
            None => fence.place.clone(),
        }
    }

    /// Notes which store is behind the address. Another one, or one that has lost our fence, may look like the same etcd
    /// cluster (a member that was set up again has the old IDs), and a watch may continue in it as if nothing had been
    /// missed.
    fn note_place(&mut self, place: Option<&str>) {
        if self.place.is_some() && self.place.as_deref() != place {
            self.is_replaced = true;
            self.records.has_place = false;
            self.proof = Proof::Open;
        }
        self.place = place.map(str::to_owned);
    }

    pub(super) fn hold(&mut self, revision: i64, value: Vec<u8>, place: String) -> State {
        self.place = Some(place);
        self.held = value;
        self.holder = None;
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
            return self.wait(now, self.foreign_pause(), None, text);
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

const COPIED: &str = "writes here with a copy of this gateway's store, or did until a moment ago: if both run, stop one of \
     them, or give it a store of its own; if that one is gone, this ends within a minute";

const REMOVE: &str =
    "if that one is gone for good, delete the key /fedgate/replication/fence there (etcdctl del)";

/// Its fence hangs on a lease.
const IF_GONE_SOON: &str = "if that one is gone for good, this ends within a minute";

/// Its fence was written by an earlier version.
const IF_GONE: &str = "if that one is gone for good, take over from it (fedgate adopt etcd-replicator NAME)";

pub(in crate::replication) const IS_SOURCE: &str =
    "spec.url leads to the local cluster's own etcd, which needs no copy of itself";

const IS_ANOTHER: &str = "is of another etcd cluster than the other endpoints: a replicator has one destination, and \
     spec.url lists the members of that one; register a replicator for each follower";

/// How long to wait before checking again whether another gateway still leads.
const SUPERSEDED_PAUSE: Duration = Duration::from_secs(5);

/// After this, no other gateway can lead under a later term than ours: its lease has long expired.
pub(super) const OUTLIVED: Duration = Duration::from_secs(60);

/// Pauses before a fence is taken back from a gateway with the same store and term.
const CONTEST: Backoff = Backoff { first: Duration::from_secs(5), longest: LONGEST_CONTEST, jitter: 0.5 };

/// Longest such pause.
pub(super) const LONGEST_CONTEST: Duration = Duration::from_secs(300);
