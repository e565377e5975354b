use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt as _};
use parking_lot::Mutex;
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

use super::{LeaderStatus, Leadership, Published, Term, Topic};
use crate::etcd::{
    Client, Error, KeepAlive, explain,
    proto::{
        Compare, CompareResult, CompareWith, DeleteRangeRequest, Op, OpResult, PutRequest, RangeRequest,
        TxnRequest, TxnResponse,
    },
};

/// Gateways that share a store in etcd elect one there.
///
/// `<prefix>replication/leader` names the leader, and `<prefix>replication/status` and `<prefix>replication/replicators`
/// hold what it published; all are attached to its lease. `<prefix>replication/term` holds the number of the last term.
pub struct Election {
    client: Arc<Client>,
    leader: String,
    counter: String,
    /// By topic.
    statuses: [String; Topic::ALL.len()],
    gateway: String,
    term: watch::Sender<Option<Term>>,
    own_status: Mutex<Published>,
    leader_status: watch::Sender<Option<LeaderStatus>>,
    lease: Mutex<Option<i64>>,
    ttl: Duration,
}

// === impl Election ===

impl Election {
    /// Life of a leader's lease: a leader that is killed or paused is replaced a little later than this.
    pub const TTL: Duration = Duration::from_secs(8);

    /// Competes among the gateways that use this prefix of this etcd. `gateway` is its name for operators, such as the
    /// host name; `ttl` is [`TTL`](Self::TTL) except in tests.
    pub fn new(client: Arc<Client>, prefix: &str, gateway: &str, ttl: Duration) -> Arc<Self> {
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        Arc::new(Self {
            client,
            leader: format!("{prefix}/replication/leader"),
            counter: format!("{prefix}/replication/term"),
            statuses: Topic::ALL.map(|topic| format!("{prefix}/replication/{}", topic.key())),
            gateway: format!("{gateway}/{:016x}", fastrand::u64(..)),
            term: watch::Sender::new(None),
            own_status: Mutex::default(),
            leader_status: watch::Sender::new(None),
            lease: Mutex::new(None),
            ttl,
        })
    }

    /// Leads once, from election to loss.
    async fn once(&self) -> Result<(), Error> {
        let lease = self.client.lease_grant(self.ttl).await?;
        let result = self.with_lease(self.client.keep_alive(lease.id)).await;
        self.step_down();
        // The next leader need not wait for the lease to expire.
        let _ = self.client.lease_revoke(lease.id).await;
        result
    }

    async fn with_lease(&self, mut lease: KeepAlive) -> Result<(), Error> {
        while !self.claim(&mut lease).await? {
            sleep(self.ttl / RENEWALS).await;
            lease.renew().await?;
        }
        let (number, holder, home) = self.count(&mut lease).await?;
        let asked = Instant::now();
        lease.renew().await?;
        let term = Term { number, holder, home, until: Some(Arc::new(Mutex::new(asked + self.ttl))) };
        *self.lease.lock() = Some(lease.lease());
        self.leader_status.send_replace(None);
        *self.own_status.lock() = Published::default();
        self.term.send_replace(Some(term.clone()));
        tracing::info!(term = term.number, "this gateway leads replication now");
        self.hold(lease, &term).await
    }

    /// Renews until that has failed for so long that another may lead.
    async fn hold(&self, mut lease: KeepAlive, term: &Term) -> Result<(), Error> {
        let mut published = Published::default();
        loop {
            sleep(self.ttl / RENEWALS).await;
            let asked = Instant::now();
            match self.renew(&mut lease).await {
                Ok(true) => {
                    term.extend(asked + self.ttl);
                    self.publish(lease.lease(), &mut published).await;
                }
                Ok(false) => return Ok(()),
                Err(Error::LeaseNotFound) => return Err(Error::LeaseNotFound),
                // The lease may outlive the trouble.
                Err(error) if !term.is_current() => return Err(error),
                Err(_) => {}
            }
        }
    }

    /// Publishes each status that changed. A failure is harmless: the next renewal tries again.
    async fn publish(&self, lease: i64, published: &mut Published) {
        let own = self.own_status.lock().clone();
        for ((key, status), published) in self.statuses.iter().zip(own).zip(published) {
            let Some(status) = status.filter(|own| published.as_ref() != Some(own)) else { continue };
            let put = PutRequest { lease, ..PutRequest::new(&**key, &status[..]) };
            let success = vec![Op::Put(put).into()];
            let request = TxnRequest { compare: vec![self.leads()], success, failure: vec![] };
            if self.client.txn(request).await.is_ok_and(|answer| answer.succeeded) {
                *published = Some(status);
            }
        }
    }

    /// Renews the lease, and returns whether this gateway still leads.
    async fn renew(&self, lease: &mut KeepAlive) -> Result<bool, Error> {
        lease.renew().await?;
        let found = self.client.range(RangeRequest::key(&*self.leader)).await?;
        Ok(found.kvs.first().is_some_and(|kv| kv.lease == lease.lease()))
    }

    /// Becomes the leader if there is none. Otherwise notes who is.
    async fn claim(&self, lease: &mut KeepAlive) -> Result<bool, Error> {
        let put =
            PutRequest { lease: lease.lease(), ..PutRequest::new(&*self.leader, self.gateway.as_bytes()) };
        let request = TxnRequest {
            compare: vec![Compare::absent(&*self.leader)],
            success: vec![Op::Put(put).into()],
            failure: std::iter::once(&self.leader)
                .chain(&self.statuses)
                .map(|key| Op::Range(RangeRequest::key(&**key)).into())
                .collect(),
        };
        let answer = self.client.txn(request).await;
        match answer {
            Ok(answer) if answer.succeeded => Ok(true),
            Ok(answer) => {
                self.note_leader(answer);
                Ok(false)
            }
            // It may have succeeded all the same: with this lease the key is ours.
            Err(error) => self.renew(lease).await.map_err(|_| error),
        }
    }

    /// Notes who leads and what it published.
    fn note_leader(&self, answer: TxnResponse) {
        let mut values = answer.responses.into_iter().map(|answer| match answer.response {
            Some(OpResult::Range(range)) => range.kvs.into_iter().next().map(|kv| Bytes::from(kv.value)),
            _ => None,
        });
        let leader = values.next().flatten().map(|value| String::from_utf8_lossy(&value).into());
        let published = Topic::ALL.map(|_| values.next().flatten());
        let new = leader.map(|leader: Arc<str>| LeaderStatus { leader, published });
        self.leader_status.send_if_modified(|current| {
            let leader = |it: &Option<LeaderStatus>| it.as_ref().map(|status| Arc::clone(&status.leader));
            if let Some(leader) = leader(&new).filter(|new| leader(current).as_ref() != Some(new)) {
                tracing::info!(%leader, "another gateway replicates");
            }
            let is_new = *current != new;
            *current = new;
            is_new
        });
    }

    /// The number of this term, its holder and its home: a new number, unless the last leader handed over cleanly.
    async fn count(&self, lease: &mut KeepAlive) -> Result<(u64, Arc<str>, Arc<str>), Error> {
        loop {
            let found = self.client.range(RangeRequest::key(&*self.counter)).await?;
            let home = format!("{:016x}", found.header.map_or(0, |header| header.cluster_id));
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
                return Ok((number, holder.into(), home.into()));
            }
            if !self.renew(lease).await? {
                return Err(Error::LeaseNotFound);
            }
        }
    }

    /// True while this process leads: its name is unique.
    fn leads(&self) -> Compare {
        Compare::new(
            &*self.leader,
            CompareResult::Equal,
            CompareWith::Value(self.gateway.clone().into_bytes()),
        )
    }

    fn step_down(&self) {
        if self.term.send_replace(None).is_some() {
            tracing::warn!("this gateway lost the leadership of replication: another one may lead now");
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

    fn publish_status(&self, topic: Topic, status: Bytes) {
        self.own_status.lock()[topic as usize] = Some(status);
    }

    fn leader_status(&self) -> watch::Receiver<Option<LeaderStatus>> {
        self.leader_status.subscribe()
    }

    fn run(&self) -> BoxFuture<'_, ()> {
        async move {
            let mut logged: Option<(String, Instant)> = None;
            loop {
                if let Err(error) = self.once().await {
                    // The leader is unknown from now on.
                    self.leader_status.send_replace(None);
                    let error = explain(&error);
                    let is_known = |(text, at): &(String, Instant)| *text == error && at.elapsed() < REMIND;
                    if !logged.as_ref().is_some_and(is_known) {
                        tracing::warn!(error, "cannot take part in the election in the gateways' etcd");
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
                tracing::warn!(error = %explain(&error), "cannot revoke the lease of the leadership: it expires by itself");
            }
        }
        .boxed()
    }
}

/// How many times within a lease's life the leader renews it, and the others check.
const RENEWALS: u32 = 8;

/// Before the next attempt after a failure.
const RETRY: Duration = Duration::from_millis(500);

/// Marks a term whose leader handed over cleanly.
const CLEAN: &str = "clean";

/// Marks any other term.
const IN_USE: &str = "used";

/// How often the same error is logged.
const REMIND: Duration = Duration::from_secs(60);
