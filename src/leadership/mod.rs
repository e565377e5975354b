//! Elects the one gateway that replicates.

use std::sync::Arc;

use bytes::Bytes;
use futures::future::{self, BoxFuture, FutureExt as _};
use parking_lot::Mutex;
use tokio::{sync::watch, time::Instant};

mod election;

pub use election::Election;

/// One period of leadership.
#[derive(Clone, Debug)]
pub struct Term {
    /// Never decreases from one leader to the next. Among gateways of one store, a destination accepts the highest.
    pub number: u64,
    /// Who leads, for operators. A gateway that continues after a clean hand-over keeps its predecessor's name here.
    pub holder: Arc<str>,
    /// Where the store is that the number counts in. Differs between a store and its copies, also those on a machine of
    /// the same name, and stays the same when the gateway restarts there.
    pub home: Arc<str>,
    /// Nobody else can lead before; `None` means ever.
    until: Option<Arc<Mutex<Instant>>>,
}

/// Decides whether this gateway is the one that replicates.
///
/// It need not be perfect: a gateway that was paused may believe for a moment that it still leads. Its writes are
/// refused then, because each is conditional on a record in the destination that the next leader changes.
pub trait Leadership: Send + Sync + 'static {
    /// The current term; `None` while another gateway leads, or none can.
    fn terms(&self) -> watch::Receiver<Option<Term>>;

    /// Competes for the leadership. Ends only if there is nothing to compete for.
    fn run(&self) -> BoxFuture<'_, ()>;

    /// Publishes a status to the other gateways while this one leads. The bytes are opaque here.
    fn publish_status(&self, _topic: Topic, _status: Bytes) {}

    /// What the leader published, while another gateway leads.
    fn leader_status(&self) -> watch::Receiver<Option<LeaderStatus>> {
        watch::channel(None).1
    }

    /// Gives up the leadership. `clean` means that no write of this gateway is in flight, so that the next leader need
    /// not take the destinations' fences over.
    fn resign(&self, clean: bool) -> BoxFuture<'_, ()>;
}

/// What a published status is about: each has a place of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// Replication from etcd to etcd.
    EtcdReplicators,
    /// Replication by API.
    Replicators,
}

/// What another gateway published as the leader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaderStatus {
    /// Its name, for operators.
    pub leader: Arc<str>,
    published: Published,
}

/// By topic.
type Published = [Option<Bytes>; Topic::ALL.len()];

/// A gateway with a store of its own always leads: no other process can open that store.
pub struct Alone {
    term: watch::Sender<Option<Term>>,
}

// === impl Topic ===

impl Topic {
    /// Each, in the order of [`Published`].
    const ALL: [Self; 2] = [Self::EtcdReplicators, Self::Replicators];

    /// The last part of its key in the store.
    const fn key(self) -> &'static str {
        match self {
            Self::EtcdReplicators => "status",
            Self::Replicators => "replicators",
        }
    }
}

// === impl LeaderStatus ===

impl LeaderStatus {
    /// What a leader of this name has published about one topic only.
    pub fn of(leader: &str, topic: Topic, status: Option<Bytes>) -> Self {
        let mut published = Published::default();
        published[topic as usize] = status;
        Self { leader: leader.into(), published }
    }

    /// As passed to [`Leadership::publish_status`]; `None` before that.
    pub fn about(&self, topic: Topic) -> Option<&Bytes> {
        self.published[topic as usize].as_ref()
    }
}

// === impl Term ===

impl Term {
    /// A term that never expires.
    pub fn forever(number: u64, holder: &str, home: &str) -> Self {
        Self { number, holder: holder.into(), home: home.into(), until: None }
    }

    /// A term that expires, unless it is extended.
    #[must_use]
    pub fn ending(self, until: Instant) -> Self {
        Self { until: Some(Arc::new(Mutex::new(until))), ..self }
    }

    /// Whether it is the same term, which may have been extended.
    pub fn is_same(&self, other: &Self) -> bool {
        (self.number, &self.holder, &self.home) == (other.number, &other.holder, &other.home)
    }

    /// Whether it has not expired. After a pause of the process it may have, unnoticed.
    pub fn is_current(&self) -> bool {
        let until = self.until.as_ref();
        until.is_none_or(|until| Instant::now() < *until.lock())
    }

    fn extend(&self, until: Instant) {
        if let Some(own) = &self.until {
            *own.lock() = until;
        }
    }
}

// === impl Alone ===

impl Alone {
    /// Leads from now on. `gateway` is its name for operators, such as the host name. `home` identifies the store's file
    /// and the machine: it distinguishes gateways that use copies of one store.
    pub fn new(gateway: &str, home: &str) -> Arc<Self> {
        Arc::new(Self { term: watch::Sender::new(Some(Term::forever(0, gateway, home))) })
    }
}

impl Leadership for Alone {
    fn terms(&self) -> watch::Receiver<Option<Term>> {
        self.term.subscribe()
    }

    fn run(&self) -> BoxFuture<'_, ()> {
        future::pending().boxed()
    }

    fn resign(&self, _clean: bool) -> BoxFuture<'_, ()> {
        self.term.send_replace(None);
        future::ready(()).boxed()
    }
}
