//! What a mirror does next, as a pure state machine: its inputs are how its last command ended, and when.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

use super::{
    Error,
    proto::{EventType, KeyValue, RangeResponse, ResponseHeader, WatchResponse},
};
use crate::net::Backoff;

/// What a [`Mirror`](super::Mirror) reports.
#[derive(Debug)]
pub enum Event {
    /// A load begins: start a second copy, or discard one that was begun.
    Reset,
    /// A key of the load, in the order of the keys.
    Item(KeyValue),
    /// The load is complete: the copy replaces what was there. Each key is at least as new as this revision.
    ResetDone {
        /// The revision at which the load began.
        revision: i64,
    },
    /// A key was written. Never older than what was reported of this key before; may be reported twice.
    Put(KeyValue),
    /// A key was deleted. May be reported twice, and of keys that the load did not have.
    Delete {
        /// The key.
        key: Vec<u8>,
        /// The revision of the deletion.
        revision: i64,
    },
    /// All changes up to this revision have been reported. Ends a batch of changes, and comes on its own from time to
    /// time when nothing changes.
    Progress {
        /// The revision.
        revision: i64,
    },
    /// The connection is lost or cannot be opened. What was reported stays valid but may become stale.
    Interrupted {
        /// Why. After [`Error::Compacted`] what was missed is gone, and a load follows.
        error: Error,
        /// When the next attempt comes.
        retry_in: Duration,
    },
    /// The watch is back; nothing was missed.
    Resumed {
        /// The revision that it continues from.
        revision: i64,
    },
}

/// What to do next.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Command {
    /// Wait, connect, and read the current revision (a linearizable read).
    Connect { at: Instant },
    /// Check whether a key was last written at this revision (0: whether it is absent).
    Verify { key: Vec<u8>, revision: i64 },
    /// Open the watch on this connection, from a revision on.
    Open { from: i64 },
    /// Read a page of keys from here on, at the newest revision.
    Page { key: Vec<u8>, limit: i64 },
    /// Wait for the watch's next message.
    Receive,
}

/// The result of a command.
#[derive(Debug)]
pub(super) enum Input {
    Connected(ResponseHeader),
    Verified(bool),
    Opened,
    Page(RangeResponse),
    Message(WatchResponse),
}

/// Loads and watches without end.
pub(super) struct Machine {
    state: State,
    /// Of the keys that are mirrored.
    first: Vec<u8>,
    /// The etcd cluster that the state is of; another one behind the same address has other revisions.
    cluster_id: u64,
    /// The newest change that was reported: a store that was restored from a backup, or set up again, may have the same
    /// IDs and, once enough was written, a revision that is as high, but it does not have this.
    newest: Option<Newest>,
    pages: Pages,
    failures: u32,
    random: fastrand::Rng,
}

/// A key and the revision of its last change.
#[derive(Clone, Debug)]
struct Newest {
    key: Vec<u8>,
    revision: i64,
    is_deleted: bool,
}

#[derive(Debug)]
enum State {
    Connecting { at: Instant, resume: Option<i64> },
    Verifying { next: i64, revision: i64, newest: Newest },
    Opening { from: i64, load: bool },
    Loading { base: i64, key: Vec<u8>, limit: i64 },
    Watching { next: i64, since: Instant },
}

/// At which revision each page of the load was read. The watch began before the load: what a page has already is not
/// reported again, and no key ever goes back.
#[derive(Debug, Default)]
struct Pages {
    /// The last key of each page but the last one, and the page's revision.
    read: Vec<(Vec<u8>, i64)>,
    /// Revision of the last page, which is also the newest.
    last: i64,
}

// === impl Machine ===

impl Machine {
    pub(super) fn new(first: Vec<u8>, now: Instant, random: fastrand::Rng) -> Self {
        Self {
            state: State::Connecting { at: now, resume: None },
            first,
            cluster_id: 0,
            newest: None,
            pages: Pages::default(),
            failures: 0,
            random,
        }
    }

    /// What to do now. May be repeated after a cancellation.
    pub(super) fn command(&self) -> Command {
        match &self.state {
            State::Connecting { at, .. } => Command::Connect { at: *at },
            State::Verifying { newest: Newest { key, revision, is_deleted }, .. } => {
                Command::Verify { key: key.clone(), revision: if *is_deleted { 0 } else { *revision } }
            }
            State::Opening { from, load: true } => Command::Open { from: *from },
            // One revision earlier, which may be reported again. A watch that opens at the revision up to which history was
            // just forgotten lacks what was deleted at that revision (etcd up to 3.5.18); one that opens before it fails,
            // and everything is loaded.
            State::Opening { from, load: false } => Command::Open { from: from.saturating_sub(1).max(1) },
            State::Loading { key, limit, .. } => Command::Page { key: key.clone(), limit: *limit },
            State::Watching { .. } => Command::Receive,
        }
    }

    /// Takes the result of the command, and appends the events that follow from it.
    pub(super) fn step(&mut self, input: Result<Input, Error>, now: Instant, out: &mut VecDeque<Event>) {
        let state = std::mem::replace(&mut self.state, State::Connecting { at: now, resume: None });
        self.state = match (state, input) {
            // ## Connecting => (Verifying | Opening)
            (State::Connecting { resume, .. }, Ok(Input::Connected(header))) => {
                self.connected(resume, header)
            }
            // ## Verifying => Opening
            (State::Verifying { next, .. }, Ok(Input::Verified(true))) => {
                State::Opening { from: next, load: false }
            }
            // Another history, or one that went on with just this key.
            (State::Verifying { revision, .. }, Ok(Input::Verified(false))) => {
                State::Opening { from: revision.saturating_add(1), load: true }
            }
            // ## Opening => Loading
            (State::Opening { from, load: true }, Ok(Input::Opened)) => {
                out.push_back(Event::Reset);
                self.pages = Pages::default();
                self.newest = None;
                State::Loading { base: from - 1, key: self.first.clone(), limit: PAGE_KEYS }
            }
            // ## Opening => Watching
            (State::Opening { from, load: false }, Ok(Input::Opened)) => {
                out.push_back(Event::Resumed { revision: from - 1 });
                State::Watching { next: from, since: now }
            }
            // ## Loading => (Loading | Watching | Connecting)
            (State::Loading { base, key, limit }, Ok(Input::Page(page))) => {
                match self.page(base, &key, limit, page, now, out) {
                    Ok(state) => state,
                    Err(error) => self.interrupted(error, None, now, out),
                }
            }
            // ## Loading => Loading: large values, smaller pages
            (State::Loading { base, key, limit }, Err(Error::TooLarge { .. })) if limit > 1 => {
                State::Loading { base, key, limit: limit / 4 + 1 }
            }
            // ## Watching => Watching
            (State::Watching { next, since }, Ok(Input::Message(message))) => {
                let next = self.message(next, message, out);
                State::Watching { next, since }
            }
            // ## Watching => Connecting, to resume
            (State::Watching { next, since }, Err(error)) => {
                if now.duration_since(since) >= STABLE {
                    self.failures = 0;
                }
                self.interrupted(error, Some(next), now, out)
            }
            (State::Connecting { resume, .. }, Err(error)) => self.interrupted(error, resume, now, out),
            (State::Opening { from: next, load: false } | State::Verifying { next, .. }, Err(error)) => {
                self.interrupted(error, Some(next), now, out)
            }
            // ## (Opening | Loading) => Connecting, to load from the beginning
            (_, Err(error)) => self.interrupted(error, None, now, out),
            // The answer of another command than the one that was given changes nothing.
            (state, Ok(_)) => state,
        };
    }

    fn connected(&mut self, resume: Option<i64>, header: ResponseHeader) -> State {
        let same_store = self.cluster_id == header.cluster_id;
        self.cluster_id = header.cluster_id;
        match resume {
            // A store that was replaced or restored has gone back: a watch would wait for a revision that comes
            // much later or is a different change.
            Some(next) if same_store && next <= header.revision.saturating_add(1) => match &self.newest {
                Some(newest) => State::Verifying { next, revision: header.revision, newest: newest.clone() },
                None => State::Opening { from: next, load: false },
            },
            _ => State::Opening { from: header.revision.saturating_add(1), load: true },
        }
    }

    fn page(
        &mut self,
        base: i64,
        asked: &[u8],
        limit: i64,
        page: RangeResponse,
        now: Instant,
        out: &mut VecDeque<Event>,
    ) -> Result<State, Error> {
        let protocol = |reason: &str| Error::Protocol { reason: reason.to_owned() };
        let revision = page.header.ok_or_else(|| protocol("a page without header"))?.revision;
        let last = page.kvs.last().map(|kv| kv.key.clone());
        for kv in &page.kvs {
            self.note(&kv.key, kv.mod_revision, false);
        }
        out.extend(page.kvs.into_iter().map(Event::Item));
        if page.more {
            let last = last.filter(|last| last.as_slice() >= asked);
            let last = last.ok_or_else(|| protocol("a page that does not lead on"))?;
            let key = [&last[..], &[0]].concat();
            self.pages.read.push((last, revision));
            return Ok(State::Loading { base, key, limit });
        }
        self.pages.last = revision;
        out.push_back(Event::ResetDone { revision: base });
        Ok(State::Watching { next: base + 1, since: now })
    }

    /// The revision to resume at after this message.
    fn message(&mut self, next: i64, message: WatchResponse, out: &mut VecDeque<Event>) -> i64 {
        let has_events = !message.events.is_empty();
        let mut last = next - 1;
        for event in message.events {
            let deleted = event.r#type == i32::from(EventType::Delete);
            // The overlap of a resumed watch has been reported already.
            let Some(kv) = event.kv.filter(|kv| kv.mod_revision >= next) else { continue };
            last = last.max(kv.mod_revision);
            if self.pages.have(&kv.key, kv.mod_revision) {
                continue;
            }
            self.note(&kv.key, kv.mod_revision, deleted);
            out.push_back(if deleted {
                Event::Delete { key: kv.key, revision: kv.mod_revision }
            } else {
                Event::Put(kv)
            });
        }
        self.failures = 0;
        if message.fragment {
            // More of this revision may be on its way: if the connection breaks before, it is requested again.
            return last.max(next);
        }
        if !has_events {
            last = last.max(message.header.map_or(0, |header| header.revision));
        }
        if has_events && last < next {
            return next;
        }
        self.pages.forget(last);
        out.push_back(Event::Progress { revision: last });
        last.saturating_add(1)
    }

    fn note(&mut self, key: &[u8], revision: i64, is_deleted: bool) {
        if self.newest.as_ref().is_none_or(|newest| newest.revision <= revision) {
            self.newest = Some(Newest { key: key.to_vec(), revision, is_deleted });
        }
    }

    fn interrupted(
        &mut self,
        error: Error,
        resume: Option<i64>,
        now: Instant,
        out: &mut VecDeque<Event>,
    ) -> State {
        let resume = if matches!(error, Error::Compacted { .. }) { None } else { resume };
        let retry_in = RETRY.delay(self.failures, &mut self.random);
        self.failures = self.failures.saturating_add(1);
        out.push_back(Event::Interrupted { error, retry_in });
        State::Connecting { at: now + retry_in, resume }
    }
}

// === impl Pages ===

impl Pages {
    /// Whether the load has this change of a key already.
    fn have(&self, key: &[u8], revision: i64) -> bool {
        if revision > self.last {
            return false;
        }
        let page = self.read.partition_point(|(last, _)| last.as_slice() < key);
        let read_at = self.read.get(page).map_or(self.last, |(_, revision)| *revision);
        revision <= read_at
    }

    /// Every change up to this revision has arrived.
    fn forget(&mut self, revision: i64) {
        if revision >= self.last {
            *self = Self::default();
        }
    }
}

/// Keys of one page. Sensu's resources have a few KiB: pages stay far below the largest message.
const PAGE_KEYS: i64 = 500;

/// An etcd that is back is noticed within the longest wait.
const RETRY: Backoff =
    Backoff { first: Duration::from_millis(100), longest: Duration::from_secs(2), jitter: 0.5 };

/// A watch that lived this long failed for a new reason: the first wait is short again.
const STABLE: Duration = Duration::from_secs(10);
