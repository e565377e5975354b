//! One HTTP/2 connection to one endpoint, and the calls over it.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc, OnceLock,
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
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use pin_project_lite::pin_project;
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    task::AbortHandle,
    time::timeout,
};
use tokio_rustls::TlsConnector;
use tonic::{Status, Streaming, body::Body, client::Grpc, metadata::MetadataValue};
use tonic_prost::ProstCodec;

use super::{Config, Error};
use crate::{
    tls::{ClientFiles, in_time_then},
    types::Backend,
};

/// A connection; cheap to clone. It is closed when the last clone is gone.
#[derive(Clone)]
pub(super) struct Connection {
    inner: Arc<Inner>,
}

struct Inner {
    grpc: Grpc<Http2>,
    endpoint: Backend,
    /// Over TLS only.
    witness: Option<Arc<Witness>>,
    task: AbortHandle,
    /// No new call shall use it.
    left: AtomicBool,
}

/// What was seen on a TLS stream. TLS 1.3 refuses a client certificate only after the handshake, h2 keeps nothing of
/// an I/O error but its text, and the alert may be lost when the peer closes at once.
#[derive(Default)]
struct Witness {
    /// What rustls said when the stream broke.
    fault: OnceLock<String>,
    /// Whether the peer said anything after the handshake.
    heard: AtomicBool,
}

/// hyper's sender as tonic wants it.
#[derive(Clone)]
struct Http2(SendRequest<Body>);

pin_project! {
    /// A TLS stream with a witness.
    struct Witnessed<T> {
        #[pin]
        io: T,
        witness: Arc<Witness>,
    }
}

// === impl Connection ===

impl Connection {
    /// Connects within the dial timeout. Certificate files are read now.
    pub(super) async fn open(config: &Config, endpoint: &Backend) -> Result<Self, Error> {
        timeout(config.dial_timeout, dial(config, endpoint))
            .await
            .unwrap_or_else(|_| Err(Error::Timeout { endpoint: endpoint.clone() }))
    }

    pub(super) fn endpoint(&self) -> &Backend {
        &self.inner.endpoint
    }

    /// Whether calls may be made.
    pub(super) fn is_usable(&self) -> bool {
        !self.inner.left.load(Ordering::Relaxed) && !self.inner.task.is_finished()
    }

    /// Keeps new calls away. Those under way go on.
    pub(super) fn leave(&self) {
        self.inner.left.store(true, Ordering::Relaxed);
    }

    /// One question, one answer. `limit` is told to etcd too, so that it gives up when this side does.
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

    /// Two streams; ends with an error when the member loses its leader.
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

    /// What a failed call means here.
    pub(super) fn failure(&self, status: &Status) -> Error {
        let error = Error::from_status(self.endpoint(), status);
        let Error::Disconnected { endpoint, .. } = &error else { return error };
        match self.inner.witness.as_ref().and_then(|witness| witness.refusal()) {
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

impl Drop for Inner {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn dial(config: &Config, endpoint: &Backend) -> Result<Connection, Error> {
    let unreachable = |source| Error::Unreachable { endpoint: endpoint.clone(), source };
    if !endpoint.tls {
        let tcp = connect(endpoint).await.map_err(unreachable)?;
        return handshake(config, endpoint, None, tcp).await;
    }
    let files = config.tls.clone();
    let built = in_time_then(move || ClientFiles::read(&files), |read| read?.config(b"h2")).await;
    let client = built.map_err(|late| unreachable(io::Error::other(late)))?.map_err(Error::Files)?;
    let refused = |reason: String| Error::Tls { endpoint: endpoint.clone(), reason };
    let name = ServerName::try_from(endpoint.host.clone()).map_err(|error| refused(error.to_string()))?;
    let tcp = connect(endpoint).await.map_err(unreachable)?;
    let stream = TlsConnector::from(Arc::new(client)).connect(name, tcp).await;
    let io = stream.map_err(|error| refused(error.to_string()))?;
    let witness = Arc::new(Witness::default());
    handshake(config, endpoint, Some(witness.clone()), Witnessed { io, witness }).await
}

async fn connect(endpoint: &Backend) -> io::Result<TcpStream> {
    let tcp = TcpStream::connect((endpoint.host.as_str(), endpoint.port)).await?;
    tcp.set_nodelay(true)?;
    Ok(tcp)
}

/// Begins HTTP/2. Pings go out only while a call or a watch is open: etcd takes others for an attack.
async fn handshake<T>(
    config: &Config,
    endpoint: &Backend,
    witness: Option<Arc<Witness>>,
    io: T,
) -> Result<Connection, Error>
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let lost = |source: hyper::Error| Error::Disconnected {
        endpoint: endpoint.clone(),
        source: Some(source.into()),
    };
    let (sender, connection) = Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(config.keep_alive_interval)
        .keep_alive_timeout(config.keep_alive_timeout)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .handshake(TokioIo::new(io))
        .await
        .map_err(lost)?;
    // Calls see how the connection ends; here is nothing left to tell.
    let task = tokio::spawn(connection.map(drop)).abort_handle();
    let origin: Uri = endpoint.to_string().parse().expect("an endpoint is scheme, host and port");
    let grpc = Grpc::with_origin(Http2(sender), origin).max_decoding_message_size(MAX_MESSAGE_BYTES);
    Ok(Connection {
        inner: Arc::new(Inner {
            grpc,
            endpoint: endpoint.clone(),
            witness,
            task,
            left: AtomicBool::new(false),
        }),
    })
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

// === impl Witness ===

impl Witness {
    /// Why the peer refuses TLS with this side, if that is how the connection ended.
    fn refusal(&self) -> Option<String> {
        let silent = || !self.heard.load(Ordering::Relaxed);
        let guess =
            || "closed right after the handshake, as for a client certificate that is not taken".to_owned();
        self.fault.get().cloned().or_else(|| silent().then(guess))
    }

    fn note(&self, error: &io::Error) {
        if let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            self.fault.get_or_init(|| error.to_string());
        }
    }
}

// === impl Witnessed ===

impl<T: AsyncRead> AsyncRead for Witnessed<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.project();
        let before = buffer.filled().len();
        let result = this.io.poll_read(cx, buffer);
        if buffer.filled().len() > before {
            this.witness.heard.store(true, Ordering::Relaxed);
        }
        result.map_err(|error| {
            this.witness.note(&error);
            error
        })
    }
}

impl<T: AsyncWrite> AsyncWrite for Witnessed<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.project().io.poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().io.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().io.poll_shutdown(cx)
    }
}

/// Largest answer that is read: etcd's default limit for a request is 1.5 MiB, operators raise it to 10 MiB.
const MAX_MESSAGE_BYTES: usize = 32 << 20;

/// What etcd may send ahead on one stream. A watch that nobody reads holds this much, no more.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;

/// What etcd may send ahead on one connection.
const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;
