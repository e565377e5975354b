//! Which one of several gateways replicates.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures::future::{self, BoxFuture, FutureExt as _};
use parking_lot::Mutex;
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

use crate::etcd::{
    Client, Error,
    proto::{
        Compare, CompareResult, CompareWith, DeleteRangeRequest, Op, OpResult, PutRequest, RangeRequest,
        TxnRequest, TxnResponse,
    },
};

/// One period of leadership.
#[derive(Clone, Debug)]
pub struct Term {
    /// Only grows from one leader to the next. Of those who hold the same store, a destination obeys the highest.
    pub number: u64,
    /// Names who leads, for operators. A gateway that goes on where another left off in good order keeps its name.
    pub holder: Arc<str>,
    /// Until when nobody else can lead; `None` is for ever.
    until: Option<Arc<Mutex<Instant>>>,
}

/// Decides whether this gateway is the one that replicates.
///
/// It need not be perfect: a gateway that was paused may believe for a moment that it still leads. Whatever it then
/// sends is refused, because every write is conditional on a record in the destination that the next leader changes.
pub trait Leadership: Send + Sync + 'static {
    /// The present term; `None` while another leads or none can.
    fn terms(&self) -> watch::Receiver<Option<Term>>;

    /// Competes for ever. Ends only if there is nothing to compete for.
    fn run(&self) -> BoxFuture<'_, ()>;

    /// Lets the others know how replication goes, while this gateway leads. What it means is the caller's.
    fn tell(&self, _status: Bytes) {}

    /// What the leader tells, while another gateway leads.
    fn told(&self) -> watch::Receiver<Option<Told>> {
        watch::channel(None).1
    }

    /// Gives up. `clean`: nothing of this gateway is under way any more, so that whoever comes next need not take
    /// anything over.
    fn resign(&self, clean: bool) -> BoxFuture<'_, ()>;
}

/// What another gateway tells as the leader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Names it, for operators.
    pub leader: Arc<str>,
    /// As it was given to [`Leadership::tell`]; `None` before that.
    pub status: Option<Bytes>,
}

/// A gateway with a store of its own always leads: no other process can open that store.
pub struct Alone {
    term: watch::Sender<Option<Term>>,
}

/// Gateways that share a store in etcd elect one there.
///
/// `<prefix>replication/leader` hangs on a lease and names who leads, as does `<prefix>replication/status`, which says how
/// replication goes; `<prefix>replication/term` counts.
pub struct Election {
    client: Arc<Client>,
    leader: String,
    counter: String,
    status: String,
    gateway: String,
    term: watch::Sender<Option<Term>>,
    own: watch::Sender<Option<Bytes>>,
    told: watch::Sender<Option<Told>>,
    lease: Mutex<Option<i64>>,
    ttl: Duration,
}

// === impl Term ===

impl Term {
    /// One that never runs out.
    pub fn forever(number: u64, holder: &str) -> Self {
        Self { number, holder: holder.into(), until: None }
    }

    /// Whether it has not run out. After a pause of the process it may have, unnoticed.
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
    /// Leads from now on. `gateway` is its name for operators, such as the host's. Should a copy of the store be in use
    /// elsewhere, the two are told apart by it.
    pub fn new(gateway: &str) -> Arc<Self> {
        Arc::new(Self { term: watch::Sender::new(Some(Term::forever(0, gateway))) })
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

// === impl Election ===

impl Election {
    /// Life of a leader's lease: one that is killed or stopped is replaced after this, and a little.
    pub const TTL: Duration = Duration::from_secs(8);

    /// Competes among the gateways that use this prefix of this etcd. `gateway` is its name for operators, such as the
    /// host's; `ttl` is [`TTL`](Self::TTL) but for tests.
    pub fn new(client: Arc<Client>, prefix: &str, gateway: &str, ttl: Duration) -> Arc<Self> {
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        Arc::new(Self {
            client,
            leader: format!("{prefix}/replication/leader"),
            counter: format!("{prefix}/replication/term"),
            status: format!("{prefix}/replication/status"),
            gateway: format!("{gateway}/{:016x}", fastrand::u64(..)),
            term: watch::Sender::new(None),
            own: watch::Sender::new(None),
            told: watch::Sender::new(None),
            lease: Mutex::new(None),
            ttl,
        })
    }

    /// Leads once, from election to loss.
    async fn once(&self) -> Result<(), Error> {
        let lease = self.client.lease_grant(self.ttl).await?;
        let result = self.with_lease(lease.id).await;
        self.step_down();
        // Without it, the next one need not wait for the lease's end.
        let _ = self.client.lease_revoke(lease.id).await;
        result
    }

    async fn with_lease(&self, lease: i64) -> Result<(), Error> {
        while !self.claim(lease).await? {
            sleep(self.ttl / RENEWALS).await;
            self.client.lease_keep_alive(lease).await?;
        }
        let (number, holder) = self.count(lease).await?;
        let asked = Instant::now();
        self.client.lease_keep_alive(lease).await?;
        let term = Term { number, holder, until: Some(Arc::new(Mutex::new(asked + self.ttl))) };
        *self.lease.lock() = Some(lease);
        self.told.send_replace(None);
        self.own.send_replace(None);
        self.term.send_replace(Some(term.clone()));
        tracing::info!(term = term.number, "this gateway replicates from now on");
        self.hold(lease, &term).await
    }

    /// Renews until that fails for so long that another may lead.
    async fn hold(&self, lease: i64, term: &Term) -> Result<(), Error> {
        let mut published = None;
        loop {
            sleep(self.ttl / RENEWALS).await;
            let asked = Instant::now();
            match self.renew(lease).await {
                Ok(true) => {
                    term.extend(asked + self.ttl);
                    self.publish(lease, &mut published).await;
                }
                Ok(false) => return Ok(()),
                Err(Error::LeaseNotFound) => return Err(Error::LeaseNotFound),
                // The lease may outlive the trouble.
                Err(error) if !term.is_current() => return Err(error),
                Err(_) => {}
            }
        }
    }

    /// Lets the others know what is new. It is no harm if that fails: it is tried again with the next renewal.
    async fn publish(&self, lease: i64, published: &mut Option<Bytes>) {
        let own = self.own.borrow().clone();
        let Some(status) = own.filter(|own| published.as_ref() != Some(own)) else { return };
        let put = PutRequest { lease, ..PutRequest::new(&*self.status, &status[..]) };
        let request =
            TxnRequest { compare: vec![self.leads()], success: vec![Op::Put(put).into()], failure: vec![] };
        if self.client.txn(request).await.is_ok_and(|answer| answer.succeeded) {
            *published = Some(status);
        }
    }

    /// Whether the leader is still this one.
    async fn renew(&self, lease: i64) -> Result<bool, Error> {
        self.client.lease_keep_alive(lease).await?;
        let found = self.client.range(RangeRequest::key(&*self.leader)).await?;
        Ok(found.kvs.first().is_some_and(|kv| kv.lease == lease))
    }

    /// Becomes the leader if there is none.
    async fn claim(&self, lease: i64) -> Result<bool, Error> {
        let put = PutRequest { lease, ..PutRequest::new(&*self.leader, self.gateway.as_bytes()) };
        let request = TxnRequest {
            compare: vec![Compare::absent(&*self.leader)],
            success: vec![Op::Put(put).into()],
            failure: [&self.leader, &self.status]
                .map(|key| Op::Range(RangeRequest::key(&**key)).into())
                .into(),
        };
        let answer = self.client.txn(request).await;
        match answer {
            Ok(answer) if answer.succeeded => Ok(true),
            Ok(answer) => {
                self.hear(answer);
                Ok(false)
            }
            // It may have been done all the same: with this lease it is ours.
            Err(error) => self.renew(lease).await.map_err(|_| error),
        }
    }

    /// Takes in who leads and what that one tells.
    fn hear(&self, answer: TxnResponse) {
        let mut values = answer.responses.into_iter().map(|answer| match answer.response {
            Some(OpResult::Range(range)) => range.kvs.into_iter().next().map(|kv| Bytes::from(kv.value)),
            _ => None,
        });
        let leader = values.next().flatten().map(|value| String::from_utf8_lossy(&value).into());
        let status = values.next().flatten();
        let told = leader.map(|leader: Arc<str>| Told { leader, status });
        self.told.send_if_modified(|known| {
            let leader = |it: &Option<Told>| it.as_ref().map(|told| Arc::clone(&told.leader));
            if let Some(new) = leader(&told).filter(|new| leader(known).as_ref() != Some(new)) {
                tracing::info!(leader = %new, "another gateway replicates");
            }
            let is_new = *known != told;
            *known = told;
            is_new
        });
    }

    /// The number of this term and its holder: the next number, unless the last leader left everything in order.
    async fn count(&self, lease: i64) -> Result<(u64, Arc<str>), Error> {
        loop {
            let found = self.client.range(RangeRequest::key(&*self.counter)).await?;
            let kv = found.kvs.first();
            let text = kv.and_then(|kv| str::from_utf8(&kv.value).ok()).unwrap_or_default();
            let mut parts = text.splitn(3, ' ');
            let last = parts.next().and_then(|number| number.parse::<u64>().ok()).unwrap_or(0);
            let is_clean = parts.next() == Some(CLEAN);
            let (number, holder) = match parts.next() {
                Some(holder) if is_clean => (last, holder),
                _ => (last + 1, &*self.gateway),
            };
            let request = TxnRequest {
                compare: vec![
                    self.leads(),
                    Compare::unchanged(&*self.counter, kv.map_or(0, |kv| kv.mod_revision)),
                ],
                success: vec![
                    Op::Put(PutRequest::new(&*self.counter, format!("{number} {IN_USE} {holder}"))).into(),
                ],
                failure: vec![],
            };
            if self.client.txn(request).await?.succeeded {
                return Ok((number, holder.into()));
            }
            if !self.renew(lease).await? {
                return Err(Error::LeaseNotFound);
            }
        }
    }

    /// Holds while this process is the leader: its name is its own.
    fn leads(&self) -> Compare {
        Compare::new(
            &*self.leader,
            CompareResult::Equal,
            CompareWith::Value(self.gateway.clone().into_bytes()),
        )
    }

    fn step_down(&self) {
        if self.term.send_replace(None).is_some() {
            tracing::warn!("this gateway replicates no more: another may have taken over");
        }
        self.lease.lock().take();
    }

    async fn leave(&self, clean: bool) -> Result<(), Error> {
        let term = self.term.send_replace(None);
        let lease = self.lease.lock().take();
        let (Some(term), Some(lease)) = (term, lease) else { return Ok(()) };
        if clean {
            let value = format!("{} {CLEAN} {}", term.number, term.holder);
            let request = TxnRequest {
                compare: vec![self.leads()],
                success: vec![
                    Op::Put(PutRequest::new(&*self.counter, value)).into(),
                    Op::DeleteRange(DeleteRangeRequest::key(&*self.leader)).into(),
                ],
                failure: vec![],
            };
            self.client.txn(request).await?;
        }
        self.client.lease_revoke(lease).await
    }
}

impl Leadership for Election {
    fn terms(&self) -> watch::Receiver<Option<Term>> {
        self.term.subscribe()
    }

    fn tell(&self, status: Bytes) {
        self.own.send_replace(Some(status));
    }

    fn told(&self) -> watch::Receiver<Option<Told>> {
        self.told.subscribe()
    }

    fn run(&self) -> BoxFuture<'_, ()> {
        async move {
            let mut logged: Option<(String, Instant)> = None;
            loop {
                if let Err(error) = self.once().await {
                    // Who leads is not known any more.
                    self.told.send_replace(None);
                    let error = super::explain::of_etcd(&error);
                    let is_known = |(text, at): &(String, Instant)| *text == error && at.elapsed() < REMIND;
                    if !logged.as_ref().is_some_and(is_known) {
                        tracing::warn!(error, "no election in the gateways' etcd");
                        logged = Some((error, Instant::now()));
                    }
                }
                sleep(RETRY).await;
            }
        }
        .boxed()
    }

    fn resign(&self, clean: bool) -> BoxFuture<'_, ()> {
        async move {
            if let Err(error) = self.leave(clean).await {
                tracing::warn!(error = %super::explain::of_etcd(&error), "the lease of replication runs out by itself");
            }
        }
        .boxed()
    }
}

/// How often within its life a leader renews the lease, and the others look.
const RENEWALS: u32 = 8;

/// Before the next attempt after a failure.
const RETRY: Duration = Duration::from_millis(500);

/// Follows the number of a term whose leader left nothing under way.
const CLEAN: &str = "clean";

/// Follows the number of any other term.
const IN_USE: &str = "used";

/// How often the same trouble is logged.
const REMIND: Duration = Duration::from_secs(60);
