use std::{collections::VecDeque, sync::Arc, time::Duration};

use tokio::time::{Instant, sleep_until, timeout_at};

use super::{
    Client, Error, Event, WatchStream,
    connection::Connection,
    machine::{Command, Input, Machine},
    proto::{RangeRequest, WatchCreateRequest, prefix_range},
};

/// A range of the keys, reported as a load and then the changes after it, without end.
///
/// The watch opens before the load, and the load is not pinned to a revision: a compaction during either does no
/// harm. A lost connection is replaced and the watch continues where it was; if what was missed is compacted away, or
/// the store is another one, a new load follows, whose end also shows what was deleted meanwhile.
///
/// Only the connection runs on its own: what is not taken with [`next`](Self::next) waits at etcd.
pub struct Mirror {
    engine: Engine<Live>,
}

/// Carries out the machine's commands.
pub(super) trait Source: Send {
    /// Carries out a command. When cancelled, the same command comes again.
    fn perform(&mut self, command: Command) -> impl Future<Output = Result<Input, Error>> + Send;
}

/// The machine and what carries out its commands.
pub(super) struct Engine<S> {
    machine: Machine,
    source: S,
    pending: VecDeque<Event>,
    /// When a silent watch counts as stuck.
    silent_at: Option<Instant>,
}

/// A connection to a real etcd.
struct Live {
    client: Arc<Client>,
    /// The first key, and the first one that does not belong.
    keys: (Vec<u8>, Vec<u8>),
    connection: Option<Connection>,
    watch: Option<WatchStream>,
}

// === impl Mirror ===

impl Mirror {
    /// Mirrors every key that begins with `prefix`. End it in `/`: `dev` is also the beginning of `dev2`.
    pub fn new(client: Arc<Client>, prefix: impl Into<Vec<u8>>) -> Self {
        Self::of(client, prefix_range(&prefix.into()))
    }

    /// Mirrors every key from `first` up to but without `end`.
    pub fn range(client: Arc<Client>, first: impl Into<Vec<u8>>, end: impl Into<Vec<u8>>) -> Self {
        Self::of(client, (first.into(), end.into()))
    }

    fn of(client: Arc<Client>, keys: (Vec<u8>, Vec<u8>)) -> Self {
        let first = keys.0.clone();
        let source = Live { client, keys, connection: None, watch: None };
        Self { engine: Engine::new(first, source, fastrand::Rng::new()) }
    }

    /// The next event. Waits for it as long as it takes; may be cancelled without loss.
    pub async fn next(&mut self) -> Event {
        self.engine.next().await
    }
}

// === impl Engine ===

impl<S: Source> Engine<S> {
    pub(super) fn new(first: Vec<u8>, source: S, random: fastrand::Rng) -> Self {
        Self {
            machine: Machine::new(first, Instant::now(), random),
            source,
            pending: VecDeque::new(),
            silent_at: None,
        }
    }

    pub(super) async fn next(&mut self) -> Event {
        loop {
            if let Some(event) = self.pending.pop_front() {
                return event;
            }
            let command = self.machine.command();
            let input = if command == Command::Receive {
                // A cancelled wait counts too.
                let end = *self.silent_at.get_or_insert_with(|| Instant::now() + LONGEST_SILENCE);
                timeout_at(end, self.source.perform(command)).await.unwrap_or_else(|_| Err(silent()))
            } else {
                self.source.perform(command).await
            };
            self.silent_at = None;
            self.machine.step(input, Instant::now(), &mut self.pending);
        }
    }
}

// === impl Live ===

impl Source for Live {
    async fn perform(&mut self, command: Command) -> Result<Input, Error> {
        match command {
            Command::Connect { at } => {
                self.watch = None;
                self.connection = None;
                sleep_until(at).await;
                self.connect().await
            }
            Command::Verify { key, revision } => self.verify(key, revision).await,
            Command::Open { from } => self.open(from).await,
            Command::Page { key, limit } => {
                let range_end = self.keys.1.clone();
                let request = RangeRequest { key, range_end, limit, ..RangeRequest::default() };
                self.client.range(request).await.map(Input::Page)
            }
            Command::Receive => self.receive().await,
        }
    }
}

impl Live {
    /// The revision is asked for on the watch's own connection: no member is ahead of the one that watches.
    async fn connect(&mut self) -> Result<Input, Error> {
        let connection = self.client.dial(self.client.deadline()).await?;
        let (key, range_end) = self.keys.clone();
        let request = RangeRequest { key, range_end, count_only: true, ..RangeRequest::default() };
        let answer = self.client.range_on(&connection, request).await?;
        self.connection = Some(connection);
        let header = answer.header.ok_or_else(|| protocol("an answer without header"))?;
        Ok(Input::Connected(header))
    }

    async fn verify(&mut self, key: Vec<u8>, revision: i64) -> Result<Input, Error> {
        let connection = self.connection.as_ref().ok_or_else(|| protocol("no connection to ask on"))?;
        let request = RangeRequest { keys_only: true, ..RangeRequest::key(key) };
        let answer = self.client.range_on(connection, request).await?;
        let found = answer.kvs.first().map_or(0, |kv| kv.mod_revision);
        Ok(Input::Verified(found == revision))
    }

    async fn open(&mut self, from: i64) -> Result<Input, Error> {
        let connection = self.connection.as_ref().ok_or_else(|| protocol("no connection to watch on"))?;
        let (key, range_end) = self.keys.clone();
        let request = WatchCreateRequest::range(key, range_end, from);
        self.watch = Some(self.client.open_watch(connection, request, self.client.deadline()).await?);
        Ok(Input::Opened)
    }

    async fn receive(&mut self) -> Result<Input, Error> {
        let watch = self.watch.as_mut().ok_or_else(|| protocol("no watch to receive from"))?;
        let message = watch.message().await;
        if let (Err(error), Some(connection)) = (&message, &self.connection)
            && error.is_endpoint_fault()
        {
            self.client.skip_endpoint(connection);
        }
        message.map(Input::Message)
    }
}

fn protocol(reason: &str) -> Error {
    Error::Protocol { reason: reason.to_owned() }
}

fn silent() -> Error {
    protocol("a watch said nothing for longer than etcd ever waits between two progress notices")
}

/// etcd reports the progress of an idle watch every 10 minutes by default. One that is silent for longer, although its
/// connection answers pings, may have lost its events.
pub(super) const LONGEST_SILENCE: Duration = Duration::from_secs(25 * 60);
