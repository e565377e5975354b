//! One page of a list: the members in their order, until the page is full.
//!
//! ```text
//!  position ─► members before it: not asked again
//!              its member: from there on ─┐
//!              the next ones: from their ─┼─► page full?  ─ yes ─► position of the last item
//!              beginning, some at once    ┘   all asked?  ─ yes ─► no position: it is the last page
//! ```
//!
//! * **Every item once**: the pages together are the list without pages, item for item. A [`Position`] names a member and
//!   how far into its items the client has come, so whatever happens to other members, or to items before and after it,
//!   shifts nothing.
//! * **Whose pages**: most lists are cut by the cluster. Some it cuts badly; those are read whole and cut here
//!   ([`Paging::ByKey`]).
//! * **How many at once**: as many as the page needs when they have as few items as those before, at most twice as many as
//!   the time before, so that a page over many small members does not wait for each in turn, and one that the first member
//!   fills asks no other. What one of them sent beyond the end of the page is dropped.
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

use std::{collections::VecDeque, num::NonZeroU64, sync::Arc};

use futures::future::join_all;
use http::{Response, StatusCode};
use tokio::time::Instant;

use super::{Config, Limits, Merge, Overloaded, Query, Shared, Slot, Terms, answer, shared::Ticket};
use crate::{member::Candidate, types::Paging, wire::Body};

pub use position::Position;

use position::After;
use read::{Absence, Part, Reading, Share};

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
        limit: limit.map(NonZeroU64::get),
        items: 0,
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
    limit: Option<u64>,
    /// How many items it has.
    items: u64,
    ticket: Ticket,
    slots: Vec<Slot>,
    started: Instant,
}

/// A member whose items are still wanted, and what the client has of them.
type Wanted = (Candidate, After);

// === impl Gathering ===

impl Gathering<'_> {
    async fn run(mut self, members: Vec<Candidate>, from: Option<Position>) -> (Merge, Option<Position>) {
        let wanted = members.into_iter().filter_map(|candidate| match &from {
            None => Some((candidate, After::Nothing)),
            Some(from) => from.within(candidate.name()).map(|after| (candidate, after)),
        });
        let mut wanted: VecDeque<Wanted> = wanted.collect();
        let (mut next, mut at_once) = (None, 1);
        while next.is_none() && !wanted.is_empty() {
            let asked: Vec<Wanted> = wanted.drain(..at_once).collect();
            next = self.ask_some(asked, !wanted.is_empty(), from.is_some()).await;
            at_once = self.at_once(at_once).min(wanted.len());
        }
        (Merge::of(self.slots, self.ticket, Limits::of(self.reading.config)), next)
    }

    /// How many members are asked at once, after so many were.
    fn at_once(&self, before: usize) -> usize {
        let most = (2 * before).min(MAX_AT_ONCE);
        let Some(room) = self.room() else { return most };
        let needed = room.saturating_mul(self.slots.len() as u64) / self.items.max(1);
        usize::try_from(needed).unwrap_or(usize::MAX).clamp(1, most)
    }

    /// Asks some members at once and takes their answers in order; says where the page ends, when it does before the last
    /// member. `more`: others are left. `resumed`: a page without items is a page.
    async fn ask_some(&mut self, asked: Vec<Wanted>, more: bool, resumed: bool) -> Option<Position> {
        let bytes = self.bytes_left() / asked.len();
        let asks: Vec<_> = asked
            .iter()
            .map(|(candidate, after)| self.reading.ask(candidate, self.share(after, bytes)))
            .collect();
        let answers = join_all(asks).await;
        let mut left = asked.len();
        let mut last = None;
        for ((candidate, after), answer) in asked.into_iter().zip(answers) {
            let answer = match answer {
                Ok(part) if !self.fits(&part) => {
                    drop(part);
                    let share = self.share(&after, self.bytes_left());
                    self.reading.ask(&candidate, share).await
                }
                answer => answer,
            };
            let member = candidate.name().clone();
            if let Some(after) = self.take(&candidate, answer) {
                return Some(Position { member, after });
            }
            left -= 1;
            if (more || left > 0) && self.is_full() {
                return Some(Position::past(member));
            }
            last = Some(member);
        }
        last.filter(|_| more && self.is_late(resumed)).map(Position::past)
    }

    /// What a member is asked for: as many items as still have room.
    fn share<'a>(&self, after: &'a After, bytes: usize) -> Share<'a> {
        Share { after, items: self.room(), bytes, held: self.ticket.share() }
    }

    /// Whether a part is what the member would have sent had it been asked after those before it: no more than there is
    /// room for now, and no less because others were read at the same time.
    fn fits(&self, part: &Part) -> bool {
        let room = self.room().unwrap_or(u64::MAX);
        let is_short = part.next.is_some() && part.items < room;
        part.items <= room && part.bytes.len() <= self.bytes_left() && !is_short
    }

    fn take(&mut self, candidate: &Candidate, answer: Result<Part, Absence>) -> Option<After> {
        let name = candidate.name().clone();
        match answer {
            Ok(part) => {
                self.items += part.items;
                self.ticket.add(part.bytes.len());
                self.slots.push(Slot::whole(name, part.bytes));
                drop(part.held);
                part.next
            }
            Err(absence) => {
                let slot = match absence {
                    Absence::Refused(refusal) => Slot::refused(name, *refusal),
                    Absence::Failed(failure) => Slot::failed(name, failure),
                };
                if let (Candidate::Send(member), Some(failure)) = (candidate, slot.failure()) {
                    member.count_missing(failure);
                }
                self.slots.push(slot);
                None
            }
        }
    }

    /// Whether the page ends although members are left.
    fn is_full(&self) -> bool {
        let is_error = self.strict && self.slots.iter().any(|slot| slot.failure().is_some());
        is_error || self.room() == Some(0) || self.bytes_left() == 0
    }

    /// Whether its members took too long for others to be asked.
    fn is_late(&self, resumed: bool) -> bool {
        // A first page without any answer is an error, which only all members together can be.
        let is_page = resumed || self.slots.iter().any(|slot| slot.failure().is_none());
        is_page && self.started.elapsed() >= self.reading.config.member_timeout
    }

    /// How many more items have room; `None` for any number.
    fn room(&self) -> Option<u64> {
        self.limit.map(|limit| limit.saturating_sub(self.items))
    }

    fn bytes_left(&self) -> usize {
        let held: usize = self.slots.iter().map(Slot::buffered).sum();
        self.reading.config.read_ahead_bytes.saturating_sub(held)
    }
}

/// Most members that are asked at once.
const MAX_AT_ONCE: usize = 16;

#[cfg(test)]
mod tests;
