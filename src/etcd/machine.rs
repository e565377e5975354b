//! What a mirror does next, as a pure state machine: it is told how its last command ended, and when.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

use super::{
    Error,
    proto::{EventType, KeyValue, RangeResponse, ResponseHeader, WatchResponse},
};

/// What a [`Mirror`](super::Mirror) tells.
#[derive(Debug)]
pub enum Event {
    /// A load begins: start a copy beside the one in use, or throw away the one that was begun.
    Reset,
    /// A key of the load, in the order of the keys.
    Item(KeyValue),
    /// The load is complete: the copy replaces what was there. Each key is at least as new as this revision.
    ResetDone {
        /// The revision at which the load began.
        revision: i64,
    },
    /// A key was written. Never older than what was told of this key before; may be told twice.
    Put(KeyValue),
    /// A key was deleted. May be told twice, and of keys that the load did not have.
    Delete {
        /// The key.
        key: Vec<u8>,
        /// The revision of the deletion.
        revision: i64,
    },
    /// All changes up to this revision have been told. Ends a batch of changes, and comes on its own from time to
    /// time when nothing changes.
    Progress {
        /// The revision.
        revision: i64,
    },
    /// The connection is lost or not to be had. What was told stays valid but grows old.
    Interrupted {
        /// Why. [`Error::Compacted`]: what was missed cannot be had any more, a load follows.
        error: Error,
        /// When the next attempt comes.
        retry_in: Duration,
    },
    /// The watch is back; nothing was missed.
    Resumed {
        /// The revision that it goes on from.
        revision: i64,
    },
}

/// What to do next.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Command {
    /// Wait, connect, and ask for the current revision without fail (a linearizable read).
    Connect { at: Instant },
    /// Say whether a key was last written at this revision (0: whether it is absent).
    Verify { key: Vec<u8>, revision: i64 },
    /// Open the watch on this connection, from a revision on.
    Open { from: i64 },
    /// Read a page of keys from here on, at the newest revision.
    Page { key: Vec<u8>, limit: i64 },
    /// Wait for the watch's next message.
    Receive,
}

/// What a command came to.
#[derive(Debug)]
pub(super) enum Input {
    Connected(ResponseHeader),
    Verified(bool),
    Opened,
    Page(RangeResponse),
    Message(WatchResponse),
}

/// Load and watch, for ever.
pub(super) struct Machine {
    state: State,
    /// Of the keys that are mirrored.
    first: Vec<u8>,
    /// The etcd cluster that the state is of; another one behind the same address has other revisions.
    cluster_id: u64,
    /// The newest change that was told: a store that was restored from a backup, or set up anew, may have the same IDs
    /// and, once enough was written, a revision that is as high, but it does not have this.
    newest: Option<Newest>,
    pages: Pages,
    backoff: Backoff,
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

/// At which revision each page of the load was read. The watch began before the load: what a page has already is
/// not told again, and no key ever goes back.
#[derive(Debug, Default)]
struct Pages {
    /// The last key of each page but the last one, and the page's revision.
    read: Vec<(Vec<u8>, i64)>,
    /// Revision of the last page, which is also the newest.
    last: i64,
}

struct Backoff {
    attempt: u32,
    random: fastrand::Rng,
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
            backoff: Backoff { attempt: 0, random },
        }
    }

    /// What to do now. Doing it again after it was cancelled is right.
    pub(super) fn command(&self) -> Command {
        match &self.state {
            State::Connecting { at, .. } => Command::Connect { at: *at },
            State::Verifying { newest: Newest { key, revision, is_deleted }, .. } => {
                Command::Verify { key: key.clone(), revision: if *is_deleted { 0 } else { *revision } }
            }
            State::Opening { from, load: true } => Command::Open { from: *from },
            // One revision earlier, which may be told again. A watch that opens at the revision up to which history was
            // just forgotten lacks what was deleted at that revision (etcd up to 3.5.18); one that opens before it fails,
            // and everything is loaded.
            State::Opening { from, load: false } => Command::Open { from: from.saturating_sub(1).max(1) },
            State::Loading { key, limit, .. } => Command::Page { key: key.clone(), limit: *limit },
            State::Watching { .. } => Command::Receive,
        }
    }

    /// Takes what the command came to, and tells what follows from it.
    pub(super) fn step(&mut self, input: Result<Input, Error>, now: Instant, told: &mut VecDeque<Event>) {
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
                told.push_back(Event::Reset);
                self.pages = Pages::default();
                self.newest = None;
                State::Loading { base: from - 1, key: self.first.clone(), limit: PAGE_KEYS }
            }
            // ## Opening => Watching
            (State::Opening { from, load: false }, Ok(Input::Opened)) => {
                told.push_back(Event::Resumed { revision: from - 1 });
                State::Watching { next: from, since: now }
            }
            // ## Loading => (Loading | Watching | Connecting)
            (State::Loading { base, key, limit }, Ok(Input::Page(page))) => {
                match self.page(base, &key, limit, page, now, told) {
                    Ok(state) => state,
                    Err(error) => self.interrupted(error, None, now, told),
                }
            }
            // ## Loading => Loading: large values, smaller pages
            (State::Loading { base, key, limit }, Err(Error::TooLarge { .. })) if limit > 1 => {
                State::Loading { base, key, limit: limit / 4 + 1 }
            }
            // ## Watching => Watching
            (State::Watching { next, since }, Ok(Input::Message(message))) => {
                let next = self.message(next, message, told);
                State::Watching { next, since }
            }
            // ## Watching => Connecting, to resume
            (State::Watching { next, since }, Err(error)) => {
                if now.duration_since(since) >= STABLE {
                    self.backoff.attempt = 0;
                }
                self.interrupted(error, Some(next), now, told)
            }
            (State::Connecting { resume, .. }, Err(error)) => self.interrupted(error, resume, now, told),
            (State::Opening { from: next, load: false } | State::Verifying { next, .. }, Err(error)) => {
                self.interrupted(error, Some(next), now, told)
            }
            // ## (Opening | Loading) => Connecting, to load from the beginning
            (_, Err(error)) => self.interrupted(error, None, now, told),
            // The answer of another command than the one that was given changes nothing.
            (state, Ok(_)) => state,
        };
    }

    fn connected(&mut self, resume: Option<i64>, header: ResponseHeader) -> State {
        let same_store = self.cluster_id == header.cluster_id;
        self.cluster_id = header.cluster_id;
        match resume {
            // A store that was replaced or restored has gone back: a watch would wait for a revision that comes
            // late or is another.
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
        told: &mut VecDeque<Event>,
    ) -> Result<State, Error> {
        let protocol = |reason: &str| Error::Protocol { reason: reason.to_owned() };
        let revision = page.header.ok_or_else(|| protocol("a page without header"))?.revision;
        let last = page.kvs.last().map(|kv| kv.key.clone());
        for kv in &page.kvs {
            self.note(&kv.key, kv.mod_revision, false);
        }
        told.extend(page.kvs.into_iter().map(Event::Item));
        if page.more {
            let last = last.filter(|last| last.as_slice() >= asked);
            let last = last.ok_or_else(|| protocol("a page that does not lead on"))?;
            let key = [&last[..], &[0]].concat();
            self.pages.read.push((last, revision));
            return Ok(State::Loading { base, key, limit });
        }
        self.pages.last = revision;
        told.push_back(Event::ResetDone { revision: base });
        Ok(State::Watching { next: base + 1, since: now })
    }

    /// The revision to resume at after this message.
    fn message(&mut self, next: i64, message: WatchResponse, told: &mut VecDeque<Event>) -> i64 {
        let has_events = !message.events.is_empty();
        let mut last = next - 1;
        for event in message.events {
            let deleted = event.r#type == i32::from(EventType::Delete);
            // What the overlap of a resumed watch tells again is known.
            let Some(kv) = event.kv.filter(|kv| kv.mod_revision >= next) else { continue };
            last = last.max(kv.mod_revision);
            if self.pages.have(&kv.key, kv.mod_revision) {
                continue;
            }
            self.note(&kv.key, kv.mod_revision, deleted);
            told.push_back(if deleted {
                Event::Delete { key: kv.key, revision: kv.mod_revision }
            } else {
                Event::Put(kv)
            });
        }
        self.backoff.attempt = 0;
        if message.fragment {
            // More of this revision may be on its way: it is asked for again if the connection breaks before.
            return last.max(next);
        }
        if !has_events {
            last = last.max(message.header.map_or(0, |header| header.revision));
        }
        if has_events && last < next {
            return next;
        }
        self.pages.forget(last);
        told.push_back(Event::Progress { revision: last });
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
        told: &mut VecDeque<Event>,
    ) -> State {
        let resume = if matches!(error, Error::Compacted { .. }) { None } else { resume };
        let retry_in = self.backoff.next();
        told.push_back(Event::Interrupted { error, retry_in });
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

    /// No change up to this revision comes any more.
    fn forget(&mut self, revision: i64) {
        if revision >= self.last {
            *self = Self::default();
        }
    }
}

// === impl Backoff ===

impl Backoff {
    /// Doubles up to the longest; half of it is random, so that many gateways do not come back at once.
    fn next(&mut self) -> Duration {
        let whole = FIRST_RETRY.saturating_mul(1 << self.attempt.min(16)).min(LONGEST_RETRY);
        self.attempt = self.attempt.saturating_add(1);
        whole.mul_f64(0.5 + self.random.f64() / 2.0)
    }
}

/// Keys of one page. Sensu's resources have a few KiB: pages stay far below the largest message.
const PAGE_KEYS: i64 = 500;

/// Longest first wait after a failure.
const FIRST_RETRY: Duration = Duration::from_millis(100);

/// Longest wait: an etcd that is back is noticed within this.
const LONGEST_RETRY: Duration = Duration::from_secs(2);

/// A watch that lived so long failed for a new reason: the first wait is short again.
const STABLE: Duration = Duration::from_secs(10);
