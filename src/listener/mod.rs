//! From a listening socket to HTTP requests: PROXY headers, TLS, HTTP/1.1 and HTTP/2, bounds, and graceful shutdown.
//!
//! ```text
//! accept ─ connection limit ─ PROXY header ─ lingering close ─ TLS (ALPN) ─ queries ─ hyper ─ service
//!                             └──────────── one deadline until the first complete head ────────────┘
//! ```
//!
//! One [`Listener`] runs on each worker, with a socket of its own; nothing is shared but the count of connections.

mod activity;
mod config;
mod connection;
pub mod fuzzing;
mod linger;
mod metrics;
mod open_files;
mod pending;
mod proxy_protocol;
mod query;
mod refusal;
mod socket;

use std::{convert::Infallible, future::Future, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use http::{Request, Response};
use hyper::body::Incoming;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
    sync::{Semaphore, watch},
    time::Instant,
};
use tower::Service;

use self::{
    connection::Connection,
    linger::{LingeringClose, Seen},
    pending::Pending,
    proxy_protocol::HeaderError,
};
use crate::{
    net::{Filtered, ServerTls},
    telemetry::Access,
    types::ConnInfo,
    wire::Body,
};

pub use config::{Admin, Config, Limits, Shutdown};
pub use metrics::{Metrics, register_connections};
pub use open_files::usable_connections;
pub use proxy_protocol::ProxyProtocol;
#[doc(hidden)]
pub use query::encode_first;
pub use socket::{BindError, bind};

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

/// What connections obey.
#[derive(Clone, Debug)]
pub struct Terms {
    /// What one client may use.
    pub limits: Limits,
    /// How long a connection may be without requests.
    pub keep_alive: Duration,
    /// Whether connections begin with a PROXY header.
    pub proxy_protocol: ProxyProtocol,
}

/// One worker's listener.
pub struct Listener {
    terms: Arc<Terms>,
    metrics: Metrics,
    access: Arc<Access>,
    tls: Option<ServerTls>,
    connections: Arc<Semaphore>,
    /// Nobody marks it as seen, so that "unchanged" means running: see [`connection`].
    phase: Arc<watch::Receiver<Phase>>,
}

// === impl Terms ===

impl Terms {
    /// Those of the main listener.
    pub fn new(config: &Config, limits: &Limits) -> Self {
        let Config { keep_alive, proxy_protocol, .. } = *config;
        Self { limits: limits.clone(), keep_alive, proxy_protocol }
    }

    /// Those of the admin listener: nothing stands in front of it.
    #[must_use]
    pub fn admin(&self) -> Self {
        Self { proxy_protocol: ProxyProtocol::Off, ..self.clone() }
    }
}

impl Default for Terms {
    fn default() -> Self {
        Self::new(&Config::default(), &Limits::default())
    }
}

// === impl Listener ===

impl Listener {
    /// `connections` is shared by all workers; its permits bound the open connections of the process.
    pub fn new(
        terms: Terms,
        tls: Option<ServerTls>,
        connections: Arc<Semaphore>,
        phase: watch::Receiver<Phase>,
    ) -> Self {
        let (terms, metrics) = (Arc::new(terms), Metrics::default());
        Self { terms, metrics, access: Arc::default(), tls, connections, phase: Arc::new(phase) }
    }

    /// Reports requests there that cannot be read.
    #[must_use]
    pub fn with_access(self, access: Arc<Access>) -> Self {
        Self { access, ..self }
    }

    /// Counts together with others.
    #[must_use]
    pub fn with_metrics(self, metrics: Metrics) -> Self {
        Self { metrics, ..self }
    }

    /// Accepts until [`Phase::Draining`], then waits for the connections to finish what they do.
    pub async fn serve<S>(mut self, socket: TcpListener, service: S)
    where
        S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
        S::Future: Send,
    {
        // Each connection holds a receiver until it has ended.
        let (end, _) = watch::channel(());
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
            let connection = self.connection(stream, peer, service.clone(), end.subscribe());
            tokio::spawn(async move {
                connection.await;
                drop(permit);
            });
        }
        drop(socket);
        end.send_replace(());
        end.closed().await;
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

    /// One connection, from its first byte to its end.
    fn connection<I, S>(
        &self,
        mut io: I,
        peer: SocketAddr,
        service: S,
        ending: watch::Receiver<()>,
    ) -> impl Future<Output = ()> + Send + 'static
    where
        I: AsyncRead + AsyncWrite + Send + Unpin + 'static,
        S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
        S::Future: Send,
    {
        let deadline = Instant::now() + self.terms.limits.head_timeout;
        let tls = self.tls.clone();
        let terms = Arc::clone(&self.terms);
        let metrics = self.metrics.clone();
        let access = Arc::clone(&self.access);
        let phase = Arc::clone(&self.phase);
        async move {
            let (pending, peer) = match terms.proxy_protocol {
                ProxyProtocol::Off => (Pending::default(), peer),
                ProxyProtocol::Required => {
                    let accepted = tokio::time::timeout_at(deadline, proxy_protocol::accept(&mut io)).await;
                    match accepted.unwrap_or(Err(HeaderError::TooSlow)) {
                        Ok((source, pending)) => (pending, source.unwrap_or(peer)),
                        // Counted before the peer sees that it is closed.
                        Err(error) => return metrics.refuse(peer, &error),
                    }
                }
            };
            let io = Filtered::new(io, pending);
            let seen = Arc::new(Seen::default());
            let io = LingeringClose::new(io, Arc::clone(&seen));
            let info = ConnInfo::new(peer, tls.is_some());
            let connection =
                Connection { terms, metrics: metrics.clone(), access, info, seen, phase, ending, deadline };
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

fn is_connection_error(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// Pause after an accept error of the process.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
