//! One HTTP/2 connection to one endpoint, and the calls over it.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use futures::{FutureExt as _, Stream, future::BoxFuture};
use http::{Request, Response, Uri, uri::PathAndQuery};
use hyper::{
    body::Incoming,
    client::conn::http2::{Builder, SendRequest},
    rt::Executor,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ClientConfig;
use tokio::{
    sync::watch,
    task::AbortHandle,
    time::{Instant, timeout_at},
};
use tonic::{Status, Streaming, body::Body, client::Grpc, metadata::MetadataValue};
use tonic_prost::ProstCodec;

use super::{Config, Error};
use crate::{
    net::{self, ClientFiles, ConnectError, Monitored, Peer, in_time_then},
    types::{Backend, TlsFiles},
};

/// A connection; cheap to clone. It is closed when the last clone is gone, whatever was open on it.
#[derive(Clone)]
pub(super) struct Connection {
    inner: Arc<Inner>,
}

struct Inner {
    grpc: Grpc<Http2>,
    endpoint: Backend,
    peer: Arc<Peer>,
    task: AbortHandle,
    /// Dropping it ends every task of the connection.
    _owner: watch::Sender<()>,
    /// No new call may use it.
    retired: AtomicBool,
}

/// Runs what hyper runs for one connection, until the connection's owner is gone. On its own, hyper keeps a connection open
/// until every stream has ended.
#[derive(Clone)]
struct OwnedTasks {
    owner: watch::Receiver<()>,
}

/// hyper's sender as tonic wants it.
#[derive(Clone)]
struct Http2(SendRequest<Body>);

// === impl Connection ===

impl Connection {
    /// Connects within the dial timeout. Certificate files are read now.
    pub(super) async fn open(config: &Config, endpoint: &Backend) -> Result<Self, Error> {
        let deadline = Instant::now() + config.dial_timeout;
        timeout_at(deadline, dial(config, endpoint, deadline))
            .await
            .unwrap_or_else(|_| Err(Error::Timeout { endpoint: endpoint.clone() }))
    }

    pub(super) fn endpoint(&self) -> &Backend {
        &self.inner.endpoint
    }

    /// Whether calls may be made.
    pub(super) fn is_usable(&self) -> bool {
        !self.inner.retired.load(Ordering::Relaxed) && !self.inner.task.is_finished()
    }

    /// Excludes new calls. Those under way go on.
    pub(super) fn retire(&self) {
        self.inner.retired.store(true, Ordering::Relaxed);
    }

    /// One request, one answer. `limit` is sent along, so that etcd gives up when this side does.
    pub(super) async fn unary<Q, A>(
        &self,
        path: &'static str,
        message: Q,
        limit: Duration,
    ) -> Result<A, Error>
    where
        Q: prost::Message + 'static,
        A: prost::Message + Default + 'static,
    {
        let mut request = tonic::Request::new(message);
        request.set_timeout(limit);
        let mut grpc = self.ready().await?;
        let path = PathAndQuery::from_static(path);
        let response = grpc.unary(request, path, ProstCodec::<Q, A>::default()).await;
        response.map(tonic::Response::into_inner).map_err(|status| self.failure(&status))
    }

    /// Two streams; ends with an error when the member loses its leader. Only for [`Duplex`](super::duplex::Duplex),
    /// whose `messages` end.
    pub(super) async fn streaming<Q, A>(
        &self,
        path: &'static str,
        messages: impl Stream<Item = Q> + Send + 'static,
    ) -> Result<Streaming<A>, Error>
    where
        Q: prost::Message + 'static,
        A: prost::Message + Default + 'static,
    {
        let mut request = tonic::Request::new(messages);
        request.metadata_mut().insert("hasleader", MetadataValue::from_static("true"));
        let mut grpc = self.ready().await?;
        let path = PathAndQuery::from_static(path);
        let response = grpc.streaming(request, path, ProstCodec::<Q, A>::default()).await;
        response.map(tonic::Response::into_inner).map_err(|status| self.failure(&status))
    }

    /// Whether both are the same connection.
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    /// The error of a call that was not answered in time.
    pub(super) fn timed_out(&self) -> Error {
        Error::Timeout { endpoint: self.endpoint().clone() }
    }

    /// What a failed call means here.
    pub(super) fn failure(&self, status: &Status) -> Error {
        let error = Error::from_status(self.endpoint(), status);
        let Error::Disconnected { endpoint, .. } = &error else { return error };
        match refusal(&self.inner.peer).filter(|_| endpoint.tls) {
            Some(reason) => Error::Tls { endpoint: endpoint.clone(), reason },
            None => error,
        }
    }

    async fn ready(&self) -> Result<Grpc<Http2>, Error> {
        let mut grpc = self.inner.grpc.clone();
        let ready = grpc.ready().await;
        ready.map_err(|error| self.failure(&Status::from_error(error.into())))?;
        Ok(grpc)
    }
}

async fn dial(config: &Config, endpoint: &Backend, deadline: Instant) -> Result<Connection, Error> {
    let tls = if endpoint.tls { Some(client_config(&config.tls, endpoint).await?) } else { None };
    let io = net::connect(endpoint, tls, deadline).await.map_err(|error| match error {
        ConnectError::Resolve(source) | ConnectError::Tcp(source) => {
            Error::Unreachable { endpoint: endpoint.clone(), source }
        }
        ConnectError::Tls(source) => Error::Tls { endpoint: endpoint.clone(), reason: source.to_string() },
        ConnectError::Files(source) => Error::Files(source),
        ConnectError::Timeout => Error::Timeout { endpoint: endpoint.clone() },
    })?;
    handshake(config, endpoint, Monitored::monitor(io)).await
}

async fn client_config(files: &TlsFiles, endpoint: &Backend) -> Result<Arc<ClientConfig>, Error> {
    let files = files.clone();
    let built = in_time_then(move || ClientFiles::read(&files), |read| read?.config(b"h2")).await;
    let built = built.map_err(|timeout| Error::Unreachable {
        endpoint: endpoint.clone(),
        source: io::Error::other(timeout),
    })?;
    built.map(Arc::new).map_err(|error| Error::Files(Arc::new(error)))
}

/// Why the peer refuses TLS with this side, if that is how the connection ended: TLS 1.3 refuses a client certificate
/// only after the handshake, and the alert may be lost when the peer closes at once.
fn refusal(peer: &Peer) -> Option<String> {
    let guess =
        || "closed right after the handshake, as for a client certificate that is not accepted".to_owned();
    peer.tls_fault().map(str::to_owned).or_else(|| (!peer.is_heard()).then(guess))
}

/// Begins HTTP/2. Pings go out only while a call or a watch is open: etcd treats others as abuse.
async fn handshake(config: &Config, endpoint: &Backend, io: Monitored) -> Result<Connection, Error> {
    let peer = io.peer();
    let lost = |source: hyper::Error| Error::Disconnected {
        endpoint: endpoint.clone(),
        source: Some(source.into()),
    };
    let (owner, receiver) = watch::channel(());
    let tasks = OwnedTasks { owner: receiver };
    let (sender, connection) = Builder::new(tasks.clone())
        .timer(TokioTimer::new())
        .keep_alive_interval(config.keep_alive_interval)
        .keep_alive_timeout(config.keep_alive_timeout)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .handshake(TokioIo::new(io))
        .await
        .map_err(lost)?;
    // Calls see how the connection ends, so its result is not needed here.
    let task = tasks.spawn(connection.map(drop));
    let origin: Uri = endpoint.to_string().parse().expect("an endpoint is scheme, host and port");
    let grpc = Grpc::with_origin(Http2(sender), origin).max_decoding_message_size(MAX_MESSAGE_BYTES);
    Ok(Connection {
        inner: Arc::new(Inner {
            grpc,
            endpoint: endpoint.clone(),
            peer,
            task,
            _owner: owner,
            retired: AtomicBool::new(false),
        }),
    })
}

// === impl OwnedTasks ===

impl OwnedTasks {
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        let mut owner = self.owner.clone();
        let until_then = async move {
            tokio::select! {
                biased;
                // Nothing is ever sent: it ends when the sender is dropped.
                _ = owner.changed() => {}
                () = task => {}
            }
        };
        tokio::spawn(until_then).abort_handle()
    }
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for OwnedTasks {
    fn execute(&self, task: F) {
        self.spawn(task);
    }
}

// === impl Http2 ===

impl tower::Service<Request<Body>> for Http2 {
    type Response = Response<Incoming>;
    type Error = hyper::Error;
    type Future = BoxFuture<'static, Result<Self::Response, hyper::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        self.0.send_request(request).boxed()
    }
}

/// Largest answer that is read: etcd's default limit for a request is 1.5 MiB, operators raise it to 10 MiB.
const MAX_MESSAGE_BYTES: usize = 32 << 20;

/// What etcd may send ahead on one stream: the memory of a watch that is not read.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;

/// What etcd may send ahead on one connection.
const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;
