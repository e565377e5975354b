use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use tokio::{
    sync::Mutex,
    time::{Instant, timeout_at},
};

use super::{
    Config, Error, WatchStream,
    connection::Connection,
    proto::{
        CompactionRequest, CompactionResponse, DeleteRangeRequest, DeleteRangeResponse, LeaseGrantRequest,
        LeaseGrantResponse, LeaseRequest, LeaseRevokeResponse, PutRequest, PutResponse, RangeRequest,
        RangeResponse, StatusRequest, StatusResponse, TxnRequest, TxnResponse, WatchCreateRequest,
    },
    rights::Needs,
};

/// A client of one etcd cluster.
///
/// Connects at the first call, and again when the connection is lost. Calls share one connection and end within the
/// request timeout; each watch has a connection of its own, so that one that is not read delays no call. After an
/// endpoint fails, the next one in the list is used. What is opened here ends at etcd when it is dropped.
pub struct Client {
    config: Config,
    /// Index of the endpoint to use next.
    endpoint: AtomicUsize,
    /// The connection for calls. The lock is held while connecting: one connection for all that wait.
    connection: Mutex<Option<Connection>>,
}

/// A granted lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Its ID, for puts, renewal and revocation.
    pub id: i64,
    /// What is left without renewal.
    pub ttl: Duration,
}

/// What may be done when a call's connection breaks.
#[derive(Clone, Copy, PartialEq)]
enum Retry {
    /// Ask another endpoint: the call changes nothing.
    Again,
    /// Nothing: the first call may have been carried out.
    Never,
}

// === impl Client ===

impl Client {
    /// A client that has not connected yet. Fails only without endpoints.
    pub fn new(config: Config) -> Result<Self, Error> {
        if config.endpoints.is_empty() {
            return Err(Error::NoEndpoints);
        }
        Ok(Self { config, endpoint: AtomicUsize::new(0), connection: Mutex::new(None) })
    }

    /// Reads keys.
    pub async fn range(&self, request: RangeRequest) -> Result<RangeResponse, Error> {
        self.call("/etcdserverpb.KV/Range", request, Retry::Again).await
    }

    /// Writes a key. Whether it is written is unknown after [`Error::Timeout`], [`Error::Disconnected`] and
    /// [`Error::Unavailable`], as with every call that changes something: none of them is repeated here.
    pub async fn put(&self, request: PutRequest) -> Result<PutResponse, Error> {
        self.call("/etcdserverpb.KV/Put", request, Retry::Never).await
    }

    /// Deletes keys.
    pub async fn delete_range(&self, request: DeleteRangeRequest) -> Result<DeleteRangeResponse, Error> {
        self.call("/etcdserverpb.KV/DeleteRange", request, Retry::Never).await
    }

    /// Does several operations atomically, depending on conditions. etcd accepts 128 operations and 1.5 MiB by default.
    pub async fn txn(&self, request: TxnRequest) -> Result<TxnResponse, Error> {
        self.call("/etcdserverpb.KV/Txn", request, Retry::Never).await
    }

    /// Forgets history below a revision.
    pub async fn compact(&self, revision: i64) -> Result<CompactionResponse, Error> {
        let request = CompactionRequest { revision, physical: true };
        self.call("/etcdserverpb.KV/Compact", request, Retry::Never).await
    }

    /// Asks the connected member for its status.
    pub async fn status(&self) -> Result<StatusResponse, Error> {
        self.call("/etcdserverpb.Maintenance/Status", StatusRequest {}, Retry::Again).await
    }

    /// A lease that ends after `ttl` (whole seconds, at least one) without renewal. etcd may grant a longer one.
    pub async fn lease_grant(&self, ttl: Duration) -> Result<Lease, Error> {
        let ttl = i64::try_from(ttl.as_secs().max(1)).unwrap_or(i64::MAX);
        let request = LeaseGrantRequest { ttl, id: 0 };
        let granted: LeaseGrantResponse =
            self.call("/etcdserverpb.Lease/LeaseGrant", request, Retry::Never).await?;
        if !granted.error.is_empty() {
            return Err(Error::Rejected { reason: super::error::printable(&granted.error) });
        }
        Ok(Lease { id: granted.id, ttl: seconds(granted.ttl) })
    }

    /// Ends a lease and deletes its keys.
    pub async fn lease_revoke(&self, id: i64) -> Result<(), Error> {
        let _: LeaseRevokeResponse =
            self.call("/etcdserverpb.Lease/LeaseRevoke", LeaseRequest { id }, Retry::Never).await?;
        Ok(())
    }

    /// Closes the connection for calls, unless one is being opened; calls under way finish first. The next call opens
    /// another.
    pub fn disconnect(&self) {
        if let Ok(mut slot) = self.connection.try_lock() {
            *slot = None;
        }
    }

    /// Opens a watch on a connection of its own, within the request timeout. The connection ends with the stream.
    pub async fn watch(&self, request: WatchCreateRequest) -> Result<WatchStream, Error> {
        let deadline = self.deadline();
        let connection = self.dial(deadline).await?;
        self.open_watch(&connection, request, deadline).await
    }

    /// A new connection to the first endpoint, from the current one on, that accepts it.
    pub(super) async fn dial(&self, deadline: Instant) -> Result<Connection, Error> {
        let mut last = Error::NoEndpoints;
        for _ in 0..self.config.endpoints.len() {
            let index = self.endpoint.load(Ordering::Relaxed);
            let endpoint = &self.config.endpoints[index % self.config.endpoints.len()];
            match timeout_at(deadline, Connection::open(&self.config, endpoint)).await {
                Ok(Ok(connection)) => return Ok(connection),
                Ok(Err(error)) => last = error,
                Err(_) => last = Error::Timeout { endpoint: endpoint.clone() },
            }
            self.advance(index);
        }
        Err(last)
    }

    /// Opens a watch on a connection.
    pub(super) async fn open_watch(
        &self,
        connection: &Connection,
        request: WatchCreateRequest,
        deadline: Instant,
    ) -> Result<WatchStream, Error> {
        let opened = timeout_at(deadline, WatchStream::open(connection, request)).await;
        let opened = opened.unwrap_or_else(|_| Err(connection.timed_out()));
        if opened.as_ref().is_err_and(Error::is_endpoint_fault) {
            self.skip_endpoint(connection);
        }
        opened
    }

    /// Reads on a connection of the caller's, within the request timeout.
    pub(super) async fn range_on(
        &self,
        connection: &Connection,
        request: RangeRequest,
    ) -> Result<RangeResponse, Error> {
        let deadline = self.deadline();
        let answer = self.ask(connection, "/etcdserverpb.KV/Range", request.clone(), deadline).await;
        if answer.as_ref().is_err_and(Error::is_endpoint_fault) {
            self.skip_endpoint(connection);
        }
        answer.map_err(|error: Error| error.needing(&request))
    }

    /// When calls that begin now must have ended.
    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.config.request_timeout
    }

    /// Makes the endpoint after that of a failed connection the next to be tried.
    pub(super) fn skip_endpoint(&self, connection: &Connection) {
        let index = self.endpoint.load(Ordering::Relaxed);
        if self.config.endpoints[index % self.config.endpoints.len()] == *connection.endpoint() {
            self.advance(index);
        }
    }

    async fn call<Q, A>(&self, path: &'static str, request: Q, retry: Retry) -> Result<A, Error>
    where
        Q: prost::Message + Needs + Clone + 'static,
        A: prost::Message + Default + 'static,
    {
        let deadline = self.deadline();
        let mut attempts = self.config.endpoints.len();
        loop {
            let connection = self.connection(deadline).await?;
            let error = match self.ask(&connection, path, request.clone(), deadline).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            if error.is_endpoint_fault() {
                self.discard(&connection);
                if retry == Retry::Again && attempts > 0 && Instant::now() < deadline {
                    attempts -= 1;
                    continue;
                }
            }
            return Err(error.needing(&request));
        }
    }

    async fn ask<Q, A>(
        &self,
        connection: &Connection,
        path: &'static str,
        request: Q,
        deadline: Instant,
    ) -> Result<A, Error>
    where
        Q: prost::Message + 'static,
        A: prost::Message + Default + 'static,
    {
        let left = deadline.saturating_duration_since(Instant::now());
        let answer = timeout_at(deadline, connection.unary(path, request, left)).await;
        answer.unwrap_or_else(|_| Err(connection.timed_out()))
    }

    /// How many endpoints there are to try.
    pub(super) fn endpoints(&self) -> usize {
        self.config.endpoints.len()
    }

    /// The connection for calls, opened if it has to be.
    pub(super) async fn connection(&self, deadline: Instant) -> Result<Connection, Error> {
        let index = self.endpoint.load(Ordering::Relaxed) % self.config.endpoints.len();
        let waiting = || Error::Timeout { endpoint: self.config.endpoints[index].clone() };
        let mut slot = timeout_at(deadline, self.connection.lock()).await.map_err(|_| waiting())?;
        if let Some(connection) = slot.as_ref().filter(|connection| connection.is_usable()) {
            return Ok(connection.clone());
        }
        Ok(slot.insert(self.dial(deadline).await?).clone())
    }

    /// Makes the next call use another connection, to the endpoint after this one's.
    pub(super) fn discard(&self, connection: &Connection) {
        connection.retire();
        self.skip_endpoint(connection);
    }

    fn advance(&self, index: usize) {
        // When another call has moved on already, the index differs and this changes nothing.
        let next = index.wrapping_add(1);
        let _ = self.endpoint.compare_exchange(index, next, Ordering::Relaxed, Ordering::Relaxed);
    }
}

fn seconds(ttl: i64) -> Duration {
    Duration::from_secs(u64::try_from(ttl).unwrap_or(0))
}
