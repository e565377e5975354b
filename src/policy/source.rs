//! What the local cluster holds: read from its API, again and again, and at once when its etcd says that something has
//! changed.
//!
//! The watch of etcd says what to read, never what it says: an object has the same form on both sides then, and one that
//! the API does not show is not copied.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::future::BoxFuture;
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until},
};

use super::{
    client::{Client, Failure},
    decide::Originals,
    machine::MAX_OBJECTS,
    object::{Key, Object},
};
use crate::{
    corev2::Type,
    etcd::{self, Event, Mirror},
    net::Backoff,
};

/// The source at one moment. Never changed in place.
#[derive(Clone, Debug, Default)]
pub(super) struct Source {
    pub(super) originals: Originals,
    /// Why a kind cannot be read: what was read of it last is kept.
    pub(super) troubles: BTreeMap<Type, Arc<str>>,
}

/// Which kinds are read, and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) kinds: BTreeSet<Type>,
    pub(super) interval: Duration,
}

/// How many bytes lists that are read together may take.
pub(super) struct Room {
    bytes: usize,
    left: AtomicUsize,
}

/// Says when a kind may have changed.
pub(super) trait Changes: Send {
    /// Ends when one of these kinds may have changed, and says which.
    fn next<'a>(&'a mut self, kinds: &'a BTreeSet<Type>) -> BoxFuture<'a, Type>;
}

/// Nothing says so: everything is read at intervals.
pub(super) struct Polled;

/// The watches of the local cluster's etcd.
pub(super) struct Watched {
    client: Arc<etcd::Client>,
    mirrors: BTreeMap<Type, Mirror>,
}

/// Reads the source.
pub(super) struct Reader {
    client: Client,
    wanted: watch::Receiver<Wanted>,
    published: watch::Sender<Arc<Source>>,
    /// When each kind is read again.
    due: BTreeMap<Type, Instant>,
    failures: BTreeMap<Type, u32>,
    random: fastrand::Rng,
}

// === impl Reader ===

impl Reader {
    pub(super) fn new(
        client: Client,
        wanted: watch::Receiver<Wanted>,
        published: watch::Sender<Arc<Source>>,
    ) -> Self {
        let random = fastrand::Rng::new();
        Self { client, wanted, published, due: BTreeMap::new(), failures: BTreeMap::new(), random }
    }

    /// Reads until nobody wants anything any more.
    pub(super) async fn run(mut self, mut changes: Box<dyn Changes>) {
        while self.wanted.has_changed().is_ok() {
            let wanted = self.wanted.borrow_and_update().clone();
            self.forget_others(&wanted);
            let now = Instant::now();
            for kind in &wanted.kinds {
                let due = self.due.entry(*kind).or_insert(now);
                // The interval may have become shorter.
                *due = (*due).min(now + wanted.interval);
            }
            let next = self.due.iter().min_by_key(|(_, at)| **at).map(|(kind, at)| (*kind, *at));
            if let Some((kind, _)) = next.filter(|(_, at)| *at <= now) {
                self.read(kind, wanted.interval).await;
                continue;
            }
            let until = next.map_or(now + wanted.interval, |(_, at)| at);
            tokio::select! {
                () = sleep_until(until) => {}
                ended = self.wanted.changed() => if ended.is_err() { return } else { self.wanted.mark_changed() },
                kind = changes.next(&wanted.kinds) => {
                    // A change seldom comes alone.
                    sleep(GATHER).await;
                    self.due.insert(kind, Instant::now());
                }
            }
        }
    }

    fn forget_others(&mut self, wanted: &Wanted) {
        self.due.retain(|kind, _| wanted.kinds.contains(kind));
        self.failures.retain(|kind, _| wanted.kinds.contains(kind));
        self.published.send_if_modified(|source| {
            if source.originals.kinds.keys().all(|kind| wanted.kinds.contains(kind)) {
                return false;
            }
            let mut new = Source::clone(source);
            new.originals.kinds.retain(|kind, _| wanted.kinds.contains(kind));
            new.troubles.retain(|kind, _| wanted.kinds.contains(kind));
            *source = Arc::new(new);
            true
        });
    }

    async fn read(&mut self, kind: Type, interval: Duration) {
        let read = list_all(&self.client, kind).await;
        let failures = self.failures.entry(kind).or_default();
        *failures = if read.is_ok() { 0 } else { failures.saturating_add(1) };
        let pause = if *failures == 0 { interval } else { RETRY.delay(*failures - 1, &mut self.random) };
        self.due.insert(kind, Instant::now() + pause.min(interval));
        self.published.send_if_modified(|source| {
            let mut new = Source::clone(source);
            let is_new = match read {
                Ok(objects) => {
                    let is_same = new.originals.kinds.get(&kind).is_some_and(|old| **old == objects);
                    if !is_same {
                        new.originals.kinds.insert(kind, Arc::new(objects));
                    }
                    new.troubles.remove(&kind).is_some() || !is_same
                }
                Err(failure) => {
                    let why: Arc<str> = failure.to_string().into();
                    new.troubles.insert(kind, Arc::clone(&why)) != Some(why)
                }
            };
            if is_new {
                *source = Arc::new(new);
            }
            is_new
        });
    }
}

/// Everything that there is of a kind.
pub(super) async fn list_all(client: &Client, kind: Type) -> Result<BTreeMap<Key, Arc<Object>>, Failure> {
    list_within(client, kind, &Room::new(usize::MAX)).await
}

/// The same, as long as there is room for it in memory.
pub(super) async fn list_within(
    client: &Client,
    kind: Type,
    room: &Room,
) -> Result<BTreeMap<Key, Arc<Object>>, Failure> {
    let mut found = BTreeMap::new();
    let mut from: Option<String> = None;
    loop {
        let page = client.list(kind, None, from.as_deref()).await?;
        room.take(page.objects.iter().map(size).sum())?;
        found.extend(page.objects.into_iter().map(|object| (object.key.clone(), Arc::new(object))));
        if found.len() > MAX_OBJECTS {
            return Err(Failure::Refused(format!("there are more than {MAX_OBJECTS}").into()));
        }
        if page.next.is_none() {
            return Ok(found);
        }
        from = page.next;
    }
}

/// What an object takes in memory, about.
fn size(object: &Object) -> usize {
    object.json.len() + object.key.namespace.len() + 2 * object.key.name.len() + OVERHEAD
}

// === impl Room ===

impl Room {
    pub(super) fn new(bytes: usize) -> Self {
        Self { bytes, left: AtomicUsize::new(bytes) }
    }

    fn take(&self, bytes: usize) -> Result<(), Failure> {
        let taken =
            self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes));
        taken.map(drop).map_err(|_| Failure::TooLarge { mib: self.bytes >> 20 })
    }
}

// === impl Polled ===

impl Changes for Polled {
    fn next<'a>(&'a mut self, _: &'a BTreeSet<Type>) -> BoxFuture<'a, Type> {
        Box::pin(std::future::pending())
    }
}

// === impl Watched ===

impl Watched {
    pub(super) fn new(client: Arc<etcd::Client>) -> Self {
        Self { client, mirrors: BTreeMap::new() }
    }
}

impl Changes for Watched {
    fn next<'a>(&'a mut self, kinds: &'a BTreeSet<Type>) -> BoxFuture<'a, Type> {
        self.mirrors.retain(|kind, _| kinds.contains(kind));
        for kind in kinds {
            let new = || Mirror::new(Arc::clone(&self.client), kind.prefix());
            self.mirrors.entry(*kind).or_insert_with(new);
        }
        Box::pin(async move {
            if self.mirrors.is_empty() {
                return std::future::pending().await;
            }
            let all = self.mirrors.iter_mut().map(|(kind, mirror)| Box::pin(change(*kind, mirror)));
            futures::future::select_all(all).await.0
        })
    }
}

async fn change(kind: Type, mirror: &mut Mirror) -> Type {
    loop {
        match mirror.next().await {
            Event::Put(_) | Event::Delete { .. } | Event::ResetDone { .. } => return kind,
            Event::Reset
            | Event::Item(_)
            | Event::Progress { .. }
            | Event::Interrupted { .. }
            | Event::Resumed { .. } => {}
        }
    }
}

/// Before a kind that cannot be read is tried again, if that is sooner than the interval.
const RETRY: Backoff =
    Backoff { first: Duration::from_secs(1), longest: Duration::from_secs(60), jitter: 0.5 };

/// Of an object, besides its texts.
const OVERHEAD: usize = 200;

/// How long changes are gathered, so that many are read together.
const GATHER: Duration = Duration::from_millis(50);
