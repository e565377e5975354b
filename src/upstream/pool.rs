use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::{
    sync::oneshot,
    time::{Instant, sleep_until, timeout, timeout_at},
};

use super::{
    Config,
    board::{HealthEntry, HealthVerdict},
    breaker::{Breaker, Permit},
    connect::Connect,
    error::Error,
    metrics::Counts,
};
use crate::{
    net::{BoxIo, ConnectError},
    types::{Backend, Cluster, FailureClass},
};

/// The connections of one worker to one backend.
///
/// Unused ones are a stack, so that few connections stay warm and the others age out.
pub(super) struct Pool {
    cluster: Arc<Cluster>,
    backend: Backend,
    config: Config,
    connect: Arc<dyn Connect>,
    health: Arc<HealthEntry>,
    counts: Arc<Counts>,
    breaker: Breaker,
    open: Arc<AtomicUsize>,
    idle: Mutex<Idle>,
}

/// A connection in use by one request. Dropping it closes it.
pub(super) struct Connection {
    pub(super) sender: http1::SendRequest<Full<Bytes>>,
    /// Dropped with the connection, which the driver notices.
    _held: oneshot::Sender<()>,
}

#[derive(Default)]
struct Idle {
    /// Oldest first.
    connections: Vec<Parked>,
    /// Whether a task watches their age.
    reaping: bool,
    /// The backend was removed: keep nothing.
    retired: bool,
}

struct Parked {
    connection: Connection,
    since: Instant,
}

/// Counts one open connection.
struct ConnectionSlot(Arc<AtomicUsize>);

// === impl Pool ===

impl Pool {
    pub(super) fn new(
        cluster: Arc<Cluster>,
        backend: Backend,
        config: Config,
        connect: Arc<dyn Connect>,
        health: Arc<HealthEntry>,
        counts: Arc<Counts>,
    ) -> Self {
        let breaker = Breaker::new(config.connect_timeout);
        let (open, idle) = (Arc::default(), Mutex::default());
        Self { cluster, backend, config, connect, health, counts, breaker, open, idle }
    }

    pub(super) fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    pub(super) fn backend(&self) -> &Backend {
        &self.backend
    }

    pub(super) fn idle_body_timeout(&self) -> Duration {
        self.config.idle_body_timeout
    }

    pub(super) fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Open connections, used and unused.
    pub(super) fn open(&self) -> usize {
        self.open.load(Relaxed)
    }

    /// Connections that are in use or being opened.
    pub(super) fn load(&self) -> usize {
        self.open().saturating_sub(self.idle.lock().connections.len())
    }

    /// What the health checks recommend.
    pub(super) fn verdict(&self, now: Instant) -> HealthVerdict {
        self.health.verdict(now)
    }

    /// Why the health checks advise against it.
    pub(super) fn reason(&self) -> FailureClass {
        self.health.reason()
    }

    /// Whether the breaker allows an attempt.
    pub(super) fn admits(&self, now: Instant) -> bool {
        self.breaker.admits(now, self.health.passes())
    }

    /// A permit to send it a request.
    pub(super) fn enter(&self, now: Instant) -> Option<Permit> {
        self.breaker.enter(now, self.health.passes())
    }

    /// Takes the unused connection that came back last.
    pub(super) fn checkout(&self) -> Option<Connection> {
        let mut idle = self.idle.lock();
        let now = Instant::now();
        while let Some(Parked { connection, since }) = idle.connections.pop() {
            if now >= since + self.config.idle_connection_timeout {
                // All others are older.
                idle.connections.clear();
            } else if connection.sender.is_ready() && !connection.sender.is_closed() {
                return Some(connection);
            }
        }
        None
    }

    /// Opens a connection, within the connect timeout and before the deadline.
    pub(super) async fn open_new(&self, permit: Permit, deadline: Instant) -> Result<Connection, Error> {
        let slot = ConnectionSlot::take(&self.open, self.config.max_connections).ok_or_else(|| {
            Error::Overload { cluster: self.cluster.name.clone(), backend: self.backend.clone() }
        })?;
        let result = self.dial(slot, deadline).await;
        match &result {
            Ok(_) => self.breaker.opened(),
            Err(_) => self.breaker.failed(permit, Instant::now(), self.health.passes()),
        }
        result
    }

    async fn dial(&self, slot: ConnectionSlot, deadline: Instant) -> Result<Connection, Error> {
        let limit = deadline.min(Instant::now() + self.config.connect_timeout);
        let io = timeout_at(limit, self.connect.connect(&self.cluster, &self.backend))
            .await
            .unwrap_or(Err(ConnectError::Timeout))
            .map_err(|error| Error::connect(&self.cluster.name, &self.backend, error))?;
        let (sender, driver) = http1::Builder::new()
            .max_header_size(MAX_HEAD)
            .max_buf_size(READ_BUFFER)
            .handshake(TokioIo::new(io))
            .await
            .map_err(|error| Error::exchange(&self.cluster.name, &self.backend, error))?;
        let (held, released) = oneshot::channel();
        tokio::spawn(drive(driver, released, slot));
        Ok(Connection { sender, _held: held })
    }

    /// Takes a connection back after an answer has been read to its end.
    pub(super) fn park(self: &Arc<Self>, connection: Connection) {
        // Not ready means that the peer asked to close, or answered before it had the whole request.
        if !connection.sender.is_ready() || connection.sender.is_closed() {
            return;
        }
        let mut idle = self.idle.lock();
        if idle.retired || idle.connections.len() >= self.config.max_idle_connections {
            return;
        }
        idle.connections.push(Parked { connection, since: Instant::now() });
        if !idle.reaping {
            idle.reaping = true;
            tokio::spawn(reap(Arc::downgrade(self)));
        }
    }

    /// Closes the unused connections, now and from now on. Those in use finish.
    pub(super) fn retire(&self) {
        let mut idle = self.idle.lock();
        idle.retired = true;
        idle.connections.clear();
    }

    /// Closes what has been unused for too long. Returns when to look again, or `None` if nothing is left.
    fn expire(&self) -> Option<Instant> {
        let mut idle = self.idle.lock();
        let now = Instant::now();
        let lifetime = self.config.idle_connection_timeout;
        idle.connections.retain(|p| now < p.since + lifetime && !p.connection.sender.is_closed());
        let next = idle.connections.first().map(|oldest| oldest.since + lifetime);
        idle.reaping = next.is_some();
        next
    }
}

/// Closes unused connections when they are due. Ends when there are none, so that an idle worker sleeps.
async fn reap(pool: Weak<Pool>) {
    while let Some(next) = pool.upgrade().and_then(|pool| pool.expire()) {
        sleep_until(next).await;
    }
}

/// Moves bytes until the connection ends.
async fn drive(
    driver: http1::Connection<TokioIo<BoxIo>, Full<Bytes>>,
    released: oneshot::Receiver<()>,
    _slot: ConnectionSlot,
) {
    let mut driver = std::pin::pin!(driver);
    let result = tokio::select! {
        result = &mut driver => result,
        // A peer that does not read must not keep an unused connection open.
        _ = released => timeout(CLOSE_TIMEOUT, driver).await.unwrap_or(Ok(())),
    };
    if let Err(error) = result {
        tracing::debug!(error = &error as &dyn std::error::Error, "a connection to a backend ended");
    }
}

// === impl ConnectionSlot ===

impl ConnectionSlot {
    fn take(open: &Arc<AtomicUsize>, max: usize) -> Option<Self> {
        open.fetch_update(Relaxed, Relaxed, |n| (n < max).then_some(n + 1)).ok().map(|_| Self(open.clone()))
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// Largest head of an answer, in bytes.
const MAX_HEAD: usize = 64 * 1024;

/// Most bytes read from a connection ahead of the body's reader.
const READ_BUFFER: usize = 128 * 1024;

/// How long closing an unused connection may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
