//! One page of a list: the members one after the other, until the page is full.
//!
//! ```text
//!  position ─► members before it: not asked again
//!              its member: from there on ─┐
//!              the next ones: from their ─┼─► page full?  ─ yes ─► position of the last item
//!              beginning                  ┘   all asked?  ─ yes ─► no position: it is the last page
//! ```
//!
//! * **Every item once**: the pages together are the list without pages, item for item. A [`Position`] names a member and
//!   how far into its items the client has come, so whatever happens to other members, or to items before and after it,
//!   shifts nothing.
//! * **Whose pages**: most lists are cut by the cluster. Some it cuts badly; those are read whole and cut here
//!   ([`Paging::ByKey`]).
//! * **Failures**: a member that fails is passed over, and reported in the head of the page that has asked it.
//! * **Bounds**: a page is in memory as a whole, because its head says what follows. One that would be larger than
//!   `read_ahead_bytes`, or than the process has room for, ends before that; so does one whose members took too long. A
//!   short page is a page like any other.

mod cut;
mod events;
pub(super) mod fuzzing;
mod items;
mod position;
mod read;

use std::{num::NonZeroU64, sync::Arc};

use http::{Response, StatusCode};
use tokio::time::Instant;

use super::{Config, Limits, Merge, Overloaded, Query, Shared, Slot, Terms, answer, shared::Ticket};
use crate::{
    member::Candidate,
    types::{ClusterName, FailureClass, Paging},
    wire::Body,
};

pub use position::Position;

use position::After;
use read::{Absence, Part, Reading};

/// A page to gather.
pub struct PageQuery {
    /// The list. Its request has neither `limit` nor `continue`.
    pub list: Query,
    /// Whether items get the name of their cluster.
    pub label: bool,
    /// Who cuts it.
    pub paging: Paging,
    /// Most items.
    pub limit: Option<NonZeroU64>,
    /// Where the page before ended; `None` for the first one.
    pub from: Option<Position>,
}

/// A page, and where the next one begins.
pub struct Page {
    /// The answer, still without a continue token.
    pub response: Response<Body>,
    /// `None` when this is the last page, or none.
    pub next: Option<Position>,
}

/// Gathers one page.
///
/// # Errors
/// [`Overloaded`] when too many fan-outs are in flight. Everything a member does wrong is part of the answer.
pub async fn page(config: &Config, shared: &Arc<Shared>, query: PageQuery) -> Result<Page, Overloaded> {
    let ticket = shared.begin()?;
    let PageQuery { list, label, paging, limit, from } = query;
    let terms = Terms { strict: list.strict, api_key: list.api_key, resumed: from.is_some() };
    let gathering = Gathering {
        reading: Reading { request: &list.request, shape: list.shape, label, paging, config },
        strict: list.strict,
        room: limit.map(NonZeroU64::get),
        ticket,
        slots: Vec::new(),
        started: Instant::now(),
    };
    let (merge, next) = gathering.run(list.members, from).await;
    let response = answer::answer(merge, terms);
    let is_list = response.status() == StatusCode::OK;
    Ok(Page { response, next: next.filter(|_| is_list) })
}

/// A page that fills up.
struct Gathering<'a> {
    reading: Reading<'a>,
    strict: bool,
    /// How many more items fit; `None` for any number.
    room: Option<u64>,
    ticket: Ticket,
    slots: Vec<Slot>,
    started: Instant,
}

// === impl Gathering ===

impl Gathering<'_> {
    async fn run(mut self, members: Vec<Candidate>, from: Option<Position>) -> (Merge, Option<Position>) {
        let mut next = None;
        let mut members = members
            .into_iter()
            .filter_map(|candidate| match &from {
                None => Some((candidate, After::Nothing)),
                Some(from) => from.within(candidate.name()).map(|after| (candidate, after)),
            })
            .peekable();
        while let Some((candidate, after)) = members.next() {
            let name = candidate.name().clone();
            if let Some(after) = self.ask(candidate, &after).await {
                next = Some(Position { member: name, after });
                break;
            }
            if members.peek().is_some() && self.is_over(from.is_some()) {
                next = Some(Position::past(name));
                break;
            }
        }
        (Merge::of(self.slots, self.ticket, Limits::of(self.reading.config)), next)
    }

    /// Asks one member for what still fits; answers where it goes on when it has more.
    async fn ask(&mut self, candidate: Candidate, after: &After) -> Option<After> {
        let name = candidate.name().clone();
        let mut asked = None;
        let answer = match candidate {
            Candidate::Skip(_, failure) => Err(Absence::Failed(failure)),
            Candidate::Send(member) => {
                let (held, bytes) = (self.ticket.share(), self.bytes_left());
                let read = self.reading.read(&*member, after, self.room, bytes, held);
                let patience = self.reading.config.member_timeout;
                let timeout = Err(Absence::Failed(FailureClass::Timeout));
                let answer = tokio::time::timeout(patience, read).await.unwrap_or(timeout);
                asked = Some(member);
                answer
            }
        };
        match answer {
            Ok(part) => self.take(name, part),
            Err(absence) => {
                let slot = match absence {
                    Absence::Refused(refusal) => Slot::refused(name, *refusal),
                    Absence::Failed(failure) => Slot::failed(name, failure),
                };
                if let Some((member, failure)) = asked.zip(slot.failure()) {
                    member.count_missing(failure);
                }
                self.slots.push(slot);
                None
            }
        }
    }

    fn take(&mut self, name: ClusterName, part: Part) -> Option<After> {
        self.room = self.room.map(|room| room.saturating_sub(part.items));
        self.ticket.add(part.bytes.len());
        self.slots.push(Slot::whole(name, part.bytes));
        part.next
    }

    /// Whether the page ends although members are left. `resumed`: a page without items is a page.
    fn is_over(&self, resumed: bool) -> bool {
        let failed = |slot: &Slot| slot.failure().is_some();
        if self.strict && self.slots.iter().any(failed) {
            return true;
        }
        // A first page without any answer is an error, which only all members together can be.
        let is_page = resumed || !self.slots.iter().all(failed);
        let is_late = self.started.elapsed() >= self.reading.config.member_timeout;
        self.room == Some(0) || self.bytes_left() == 0 || (is_page && is_late)
    }

    fn bytes_left(&self) -> usize {
        let held: usize = self.slots.iter().map(Slot::buffered).sum();
        self.reading.config.read_ahead_bytes.saturating_sub(held)
    }
}

#[cfg(test)]
mod tests;
