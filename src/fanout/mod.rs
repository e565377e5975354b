//! One list from several clusters: requested at once, merged as bytes, complete or with what is missing named.
//!
//! ```text
//!             ┌ member: send ─ head ─ rewrite ─┐ held back until complete or past `buffer_bytes`
//!  fan_out ───┼ member …                       ├─ commit ─┬ all complete → one body of known length
//!             └ member …                       ┘          └ some longer  → Stream: members in order, the
//!                                                            waiting ones read ahead, a failure now cuts
//! ```
//!
//! * **Commit**: the head goes out when every member is complete, failed, or past `buffer_bytes`. Until then a failure
//!   is reported in the headers; after it the only honest answer is a cut connection.
//! * **Memory**: what is buffered is counted for the whole process ([`Shared`]). When that is used up, members are
//!   committed early and only the one whose turn it is goes on.
//! * **No parsing**: members' bodies go through [`crate::rewrite`], which labels and qualifies items in place.

mod answer;
mod config;
pub mod fuzzing;
pub mod page;
mod shared;
mod slot;
mod stream;

use std::sync::Arc;

use futures::{StreamExt, future::AbortHandle, stream::FuturesUnordered};
use http::{Request, Response};
use tokio::time::Instant;

use crate::{
    member::{Candidate, Openings},
    types::{FailureClass, Shape},
    wire::Body,
};

pub use config::Config;
pub use shared::{Overloaded, Shared};

use slot::{Event, Slot, Step};

/// The request and the members that get it.
pub struct Query {
    /// The members in the order of the answer.
    pub members: Vec<Candidate>,
    /// Method, target and headers that each member gets.
    pub request: Request<()>,
    /// Where namespaces stand in the items.
    pub shape: Shape,
    /// Fail when any member fails.
    pub strict: bool,
    /// The caller has an API key: a 401 of the one cluster asked is the key's own refusal, and is passed on.
    pub api_key: bool,
}

/// Sends the request to every member at once and answers with the merged list.
///
/// # Errors
/// [`Overloaded`] when too many fan-outs are in flight. Everything a member does wrong is part of the answer.
pub async fn fan_out(
    config: &Config,
    shared: &Arc<Shared>,
    query: Query,
) -> Result<Response<Body>, Overloaded> {
    let ticket = shared.begin()?;
    let Query { members, request, shape, strict, api_key } = query;
    let mut merge = Merge::start(config, members, &request, shape, ticket);
    merge.collect(config).await;
    Ok(answer::answer(merge, Terms { strict, api_key, resumed: false }))
}

/// What decides between a list and an error when members fail.
#[derive(Clone, Copy)]
struct Terms {
    /// As [`Query::strict`].
    strict: bool,
    /// As [`Query::api_key`].
    api_key: bool,
    /// A later page: earlier ones had items, so that nothing from these members is no error.
    resumed: bool,
}

/// The members of a fan-out and the reads that are under way.
struct Merge {
    slots: Vec<Slot>,
    steps: FuturesUnordered<Step>,
    ticket: shared::Ticket,
    limits: Limits,
}

/// The bounds that reading obeys.
#[derive(Clone, Copy)]
struct Limits {
    hold_back: usize,
    read_ahead: usize,
    max_member: u64,
}

/// How much more a fan-out may take into memory.
#[derive(Clone, Copy)]
enum Room {
    /// Nothing: the process holds all it may.
    None,
    /// Each member up to what the commit rule holds back.
    OwnShare,
    /// The fan-out's read-ahead.
    Ahead,
}

// === impl Merge ===

impl Merge {
    /// Members whose answers are there already.
    fn of(slots: Vec<Slot>, ticket: shared::Ticket, limits: Limits) -> Self {
        Self { slots, steps: FuturesUnordered::new(), ticket, limits }
    }

    fn start(
        config: &Config,
        members: Vec<Candidate>,
        request: &Request<()>,
        shape: Shape,
        ticket: shared::Ticket,
    ) -> Self {
        let mut merge = Self::of(Vec::with_capacity(members.len()), ticket, Limits::of(config));
        let openings = Openings::new();
        for (index, candidate) in members.into_iter().enumerate() {
            let slot = match candidate {
                Candidate::Skip(name, failure) => Slot::failed(name, failure),
                Candidate::Send(member) => {
                    let mut copy = slot::copy_of(request);
                    copy.extensions_mut().insert(openings.clone());
                    let (step, abort) = slot::open(index, Arc::clone(&member), copy, shape);
                    merge.steps.push(step);
                    Slot::asked(member, abort)
                }
            };
            merge.slots.push(slot);
        }
        merge
    }

    /// Runs until every member is complete, failed, or has enough held back.
    async fn collect(&mut self, config: &Config) {
        let deadline = tokio::time::sleep_until(Instant::now() + config.member_timeout);
        let mut deadline = std::pin::pin!(deadline);
        while self.slots.iter().any(|slot| !slot.decided()) {
            tokio::select! {
                biased;
                Some(event) = self.steps.next() => self.on_event(event),
                () = &mut deadline => {
                    for slot in self.slots.iter_mut().filter(|slot| !slot.decided()) {
                        self.ticket.release(slot.fail(FailureClass::Timeout));
                    }
                }
                else => break,
            }
        }
    }

    /// Takes in what a member's read brought, and reads on where there is room.
    fn on_event(&mut self, event: Result<(usize, Event), futures::future::Aborted>) {
        // An aborted read belongs to a member that has failed already.
        let Ok((index, event)) = event else { return };
        let slot = &mut self.slots[index];
        if slot.is_failed() {
            return;
        }
        let before = slot.buffered();
        slot.take(event, self.limits.hold_back);
        let after = slot.buffered();
        if after >= before {
            self.ticket.add(after - before);
        } else {
            self.ticket.release(before - after);
        }
        // Asked once: a member that is neither decided nor read on, because the answer changed between two looks at
        // what other workers hold, would wait for its deadline.
        let exhausted = self.ticket.exhausted();
        slot.decide(self.limits.hold_back, exhausted);
        let room = self.room(exhausted);
        self.read_on(index, room);
    }

    /// What members may still have in memory.
    fn room(&self, exhausted: bool) -> Room {
        let ahead: usize = self.slots.iter().map(|slot| slot.ahead(self.limits.hold_back)).sum();
        if exhausted {
            Room::None
        } else if ahead < self.limits.read_ahead {
            Room::Ahead
        } else {
            Room::OwnShare
        }
    }

    /// Starts the member's next read, if it may have more in memory.
    fn read_on(&mut self, index: usize, room: Room) {
        let slot = &mut self.slots[index];
        let may = match room {
            // A member with nothing buffered may always read, or the one whose turn it is could starve.
            Room::None => slot.buffered() == 0,
            Room::OwnShare => slot.buffered() <= self.limits.hold_back,
            Room::Ahead => true,
        };
        if may && let Some((step, abort)) = slot.next_step(index, self.limits.max_member) {
            slot.reading(abort);
            self.steps.push(step);
        }
    }

    /// The head is about to go out: failures so far are reported in it and cut nothing.
    fn commit(&mut self) {
        self.slots.iter_mut().for_each(Slot::settle);
    }

    fn any_failed(&self) -> Option<FailureClass> {
        self.slots.iter().find_map(Slot::failure_after_commit)
    }
}

// === impl Limits ===

impl Limits {
    fn of(config: &Config) -> Self {
        Self {
            hold_back: config.buffer_bytes,
            read_ahead: config.read_ahead_bytes,
            max_member: config.max_member_bytes,
        }
    }
}

/// Cancels one member's read.
type Abort = AbortHandle;

#[cfg(test)]
mod tests;
