//! From a listening socket to HTTP requests: TLS, HTTP/1.1 and HTTP/2, bounds, and graceful shutdown.
//!
//! ```text
//! accept ─ connection limit ─ lingering close ─ TLS (ALPN) ─ queries ─ hyper ─ service
//!                             └───── one deadline until the first complete head ─────┘
//! ```
//!
//! One [`Listener`] runs on each worker, with a socket of its own; nothing is shared but the count of connections.

mod config;
pub mod fuzzing;
mod linger;
mod metrics;
mod open_files;
mod query;
mod socket;

use std::{convert::Infallible, future::Future, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use http::{HeaderValue, Request, Response, Version, header};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{
        conn::auto,
        graceful::{GracefulShutdown, Watcher},
    },
};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
    sync::{Semaphore, watch},
    time::Instant,
};
use tower::Service;

use self::{
    linger::{LingeringClose, Seen},
    query::EncodedQueries,
};
use crate::{net::ServerTls, wire::Body};

pub use config::{Admin, Config, Limits, Shutdown};
pub use metrics::Metrics;
pub use open_files::usable_connections;
pub use socket::{BindError, bind};

/// A connection's properties, in the extensions of its requests.
#[derive(Clone, Copy, Debug)]
pub struct ConnInfo {
    /// The peer's address.
    pub peer: SocketAddr,
    /// Whether it speaks TLS.
    pub tls: bool,
}

/// The stages of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Accepting and serving.
    Running,
    /// Still accepting and serving, but no longer ready, and each HTTP/1.1 connection closes after its next answer.
    Announcing,
    /// No new connections; those that exist finish their requests.
    Draining,
}

/// One worker's listener.
pub struct Listener {
    limits: Limits,
    tls: Option<ServerTls>,
    connections: Arc<Semaphore>,
    metrics: Metrics,
    /// Nobody marks it as seen, so that "unchanged" means running: see [`is_ending`].
    phase: Arc<watch::Receiver<Phase>>,
}

/// One connection, once it may speak HTTP.
struct Connection {
    limits: Limits,
    metrics: Metrics,
    info: ConnInfo,
    seen: Arc<Seen>,
    phase: Arc<watch::Receiver<Phase>>,
    watcher: Watcher,
    deadline: Instant,
}

// === impl Listener ===

impl Listener {
    /// `connections` is shared by all workers; its permits bound the open connections of the process.
    pub fn new(
        limits: Limits,
        tls: Option<ServerTls>,
        connections: Arc<Semaphore>,
        phase: watch::Receiver<Phase>,
    ) -> Self {
        Self { limits, tls, connections, metrics: Metrics::default(), phase: Arc::new(phase) }
    }

    /// Counts connections there.
    #[must_use]
    pub fn counted_in(self, metrics: Metrics) -> Self {
        Self { metrics, ..self }
    }

    /// Accepts until [`Phase::Draining`], then waits for the connections to finish what they do.
    pub async fn serve<S>(mut self, socket: TcpListener, service: S)
    where
        S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
        S::Future: Send,
    {
        let graceful = GracefulShutdown::new();
        let mut phase = watch::Receiver::clone(&self.phase);
        let mut draining = pin!(async move {
            // A closed channel means that the control plane has ended: drain as well.
            let _ = phase.wait_for(|phase| *phase >= Phase::Draining).await;
        });
        loop {
            let accepted = tokio::select! {
                biased;
                () = &mut draining => break,
                accepted = self.accept(&socket) => accepted,
            };
            let Some((stream, peer, permit)) = accepted else { continue };
            let connection = self.connection(stream, peer, service.clone(), graceful.watcher());
            tokio::spawn(async move {
                connection.await;
                drop(permit);
            });
        }
        drop(socket);
        graceful.shutdown().await;
    }

    async fn accept(
        &mut self,
        socket: &TcpListener,
    ) -> Option<(tokio::net::TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit)> {
        match socket.accept().await {
            Ok((stream, peer)) => {
                let _ = stream.set_nodelay(true);
                let counts = self.metrics.here();
                counts.accepted.inc();
                if self.connections.available_permits() == 0 {
                    counts.delayed.inc();
                }
                // Past the limit this one waits here, and others in the kernel's backlog. A permit is not taken in
                // advance: an idle worker would withhold it from a busy one.
                let permit = Arc::clone(&self.connections).acquire_owned().await.ok()?;
                Some((stream, peer, permit))
            }
            Err(error) => {
                // Of the connection: nothing to do. Of the process (no descriptors): pause, so as not to spin.
                if !is_connection_error(&error) {
                    tracing::warn!(%error, "cannot accept connections");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
                None
            }
        }
    }

    /// One connection, from handshake to end.
    fn connection<I, S>(
        &self,
        io: I,
        peer: SocketAddr,
        service: S,
        watcher: Watcher,
    ) -> impl Future<Output = ()> + Send + 'static
    where
        I: AsyncRead + AsyncWrite + Send + Unpin + 'static,
        S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
        S::Future: Send,
    {
        let deadline = Instant::now() + self.limits.head_timeout;
        let tls = self.tls.clone();
        let limits = self.limits.clone();
        let metrics = self.metrics.clone();
        let phase = Arc::clone(&self.phase);
        async move {
            let seen = Arc::new(Seen::default());
            let io = LingeringClose::new(io, Arc::clone(&seen));
            let info = ConnInfo { peer, tls: tls.is_some() };
            let connection =
                Connection { limits, metrics: metrics.clone(), info, seen, phase, watcher, deadline };
            let Some(tls) = tls else { return connection.serve(io, service).await };
            match tokio::time::timeout_at(deadline, tls.accept(io)).await {
                Ok(Ok(stream)) => {
                    metrics.here().handshakes.inc();
                    connection.serve(stream, service).await;
                }
                Ok(Err((error, mut io))) => {
                    metrics.here().handshakes_failed.inc();
                    tracing::debug!(%peer, %error, "TLS handshake failed");
                    // The peer reads the alert that says why.
                    let _ = tokio::time::timeout_at(deadline, io.shutdown()).await;
                }
                Err(_) => {
                    metrics.here().handshakes_late.inc();
                    tracing::debug!(%peer, "TLS handshake took too long");
                }
            }
        }
    }
}

// === impl Connection ===

impl Connection {
    /// Serves it over any transport. Ends it when no request has arrived by the deadline.
    async fn serve<I, S>(self, io: I, service: S)
    where
        I: AsyncRead + AsyncWrite + Send + Unpin + 'static,
        S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
        S::Future: Send,
    {
        let Self { limits, metrics, info, seen, phase, watcher, deadline } = self;
        let begun = Arc::clone(&seen);
        let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
            begun.record(request.version());
            request.extensions_mut().insert(info);
            let phase = (request.version() < Version::HTTP_2).then(|| Arc::clone(&phase));
            let has_body = !request.body().is_end_stream();
            // The stack has no back-pressure of its own: beyond its bounds it answers 503 instead of waiting.
            let answer = service.clone().call(request);
            async move {
                let mut response = answer.await?;
                if let Some(phase) = phase {
                    finish(&mut response, has_body, &phase).await;
                }
                Ok::<_, Infallible>(response)
            }
        });
        let builder = builder(&limits);
        let connection =
            builder.serve_connection(TokioIo::new(EncodedQueries::new(io)), service).into_owned();
        let mut connection = pin!(watcher.watch(connection));
        tokio::select! {
            biased;
            ended = &mut connection => log_end(info, &metrics, &ended),
            () = tokio::time::sleep_until(deadline) => {
                if seen.any_request() {
                    let ended = connection.await;
                    log_end(info, &metrics, &ended);
                } else {
                    metrics.here().silent.inc();
                    tracing::debug!(peer = %info.peer, "no request arrived in time");
                }
            }
        }
    }
}

/// What an HTTP/1 answer says about its connection.
async fn finish(response: &mut Response<Body>, has_body: bool, phase: &watch::Receiver<Phase>) {
    if has_body {
        // If the request's body was not read, hyper finds that out at its next turn: either what is left is short and
        // there, or the connection is going to close. With a turn in between, the answer's head says which.
        tokio::task::yield_now().await;
    }
    if is_ending(phase) {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
}

/// `phase` is one that nobody marks as seen: as long as it has not changed, the lock that all workers share is left
/// alone.
fn is_ending(phase: &watch::Receiver<Phase>) -> bool {
    !matches!(phase.has_changed(), Ok(false)) && *phase.borrow() >= Phase::Announcing
}

fn log_end(info: ConnInfo, metrics: &Metrics, ended: &Result<(), Box<dyn std::error::Error + Send + Sync>>) {
    let Err(error) = ended else { return };
    // hyper has answered, or tried to, and no service has seen the request, which therefore has no line of its own.
    if error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse) {
        metrics.here().unreadable.inc();
        tracing::info!(peer = %info.peer, %error, "a request that cannot be read was refused");
    } else {
        tracing::debug!(peer = %info.peer, %error, "connection ended");
    }
}

fn builder(limits: &Limits) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    // No `pipeline_flush`: with it hyper 1.12 closes without flushing its own 400 and 431.
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(KEEP_ALIVE)
        .max_headers(limits.headers)
        .max_buf_size(limits.head_bytes.max(MIN_BUFFER));
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(u32::try_from(limits.head_bytes).unwrap_or(u32::MAX))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(PING_TIMEOUT);
    builder
}

fn is_connection_error(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// How long an idle connection waits for its next head: above the 60 s of common load balancers, which must be the
/// side that closes.
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// How long an HTTP/2 peer may take to answer a ping.
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// Pause after an accept error of the process.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// hyper's lower bound for its buffer.
const MIN_BUFFER: usize = 8192;

/// Envoy's edge advice: a stream may have 64 KiB under way, so that 100 of them stay small.
const STREAM_WINDOW: u32 = 64 * 1024;

const CONNECTION_WINDOW: u32 = 1024 * 1024;

#[cfg(test)]
mod tests;
