//! From HTTP to the handlers and back.

use std::{
    io,
    pin::Pin,
    task::{Context as Task, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Full, Limited};
use hyper::service::service_fn;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
};

use super::{
    Sensu,
    call::Call,
    faults::{ConnectionId, Recorded},
    reply::{self, Dropped, Failure, Reply},
};

/// Bodies over this are cut, which is far beyond what any route accepts.
const READ_LIMIT: usize = 4 << 20;

const HEAD_LIMIT: usize = (1 << 20) + 4096;
const HEADER_LIST_LIMIT: u32 = 1_048_896;
const STREAMS: u32 = 250;

/// The largest body that is sent with a `Content-Length`.
const LARGEST_WITH_LENGTH: u64 = 2048;

const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A body that may break off.
struct Outgoing {
    data: Option<Bytes>,
    breaks: bool,
    flushed: bool,
    size: u64,
}

// === impl Sensu ===

impl Sensu {
    /// Answers one request.
    ///
    /// Where Sensu closes the connection without an answer, the response carries [`Dropped`] in its
    /// extensions (and status 502, which Sensu never sends).
    pub async fn handle<B>(&self, request: Request<B>) -> Response<Full<Bytes>>
    where
        B: Body,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (head, body) = request.into_parts();
        let (body, whole) = match Limited::new(body, READ_LIMIT).collect().await {
            Ok(body) => (body.to_bytes(), true),
            Err(_) => (Bytes::new(), false),
        };
        let path_and_query = head.uri.path_and_query().map_or("/", |p| p.as_str()).to_owned();
        let (method, headers) = (head.method.clone(), head.headers.clone());
        let ConnectionId(connection) = head.extensions.get().copied().unwrap_or_default();
        self.0.faults.record(Recorded { method, path_and_query, headers, body: body.clone(), connection });
        let knobs = self.0.faults.knobs();
        if knobs.hang {
            std::future::pending::<()>().await;
        }
        if let Some(delay) = knobs.delay {
            tokio::time::sleep(delay).await;
        }
        if let Some(status) = knobs.status {
            return failing(status);
        }
        if !whole {
            return Failure::TooLarge(1).into_reply();
        }
        let host = host(&head.headers, &head.uri);
        let call = Call {
            method: head.method.to_string(),
            path: head.uri.path().to_owned(),
            query: head.uri.query().map(ToOwned::to_owned),
            headers: head.headers,
            body,
            host,
        };
        let mut answer = self.answer(&call);
        if call.method == "HEAD" {
            *answer.body_mut() = Full::default();
        }
        match knobs.body {
            Some(body) if call.method == "GET" && answer.status() == StatusCode::OK => {
                *answer.body_mut() = Full::new(body);
            }
            _ => {}
        }
        answer
    }

    /// Serves HTTP/1.1 or HTTP/2 on one connection until it ends.
    pub async fn serve_connection<I>(&self, io: I)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let connection = self.0.faults.next_connection();
        let service = service_fn(move |mut request: Request<hyper::body::Incoming>| {
            let sensu = self.clone();
            request.extensions_mut().insert(connection);
            async move { sensu.outgoing(request).await }
        });
        let mut builder = auto::Builder::new(TokioExecutor::new());
        // The limits of Go's server, and header names as it writes them.
        builder.http1().title_case_headers(true).max_buf_size(HEAD_LIMIT);
        builder.http2().max_concurrent_streams(STREAMS).max_header_list_size(HEADER_LIST_LIMIT);
        // The error is the peer's, or one that a fault has caused: there is nobody left to report it to.
        drop(builder.serve_connection(TokioIo::new(io), service).await);
    }

    async fn outgoing(&self, request: Request<hyper::body::Incoming>) -> io::Result<Response<Outgoing>> {
        let answer = self.handle(request).await;
        if answer.extensions().get::<Dropped>().is_some() {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        let truncate = self.0.faults.knobs().truncate;
        let (head, body) = answer.into_parts();
        let data = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        Ok(Response::from_parts(head, Outgoing::new(data, truncate)))
    }

    /// Serves plain HTTP on a listener until `shutdown` resolves. Open connections end with their tasks.
    pub async fn serve(self, listener: TcpListener, shutdown: impl Future) {
        let mut shutdown = std::pin::pin!(shutdown);
        let mut connections = tokio::task::JoinSet::new();
        loop {
            tokio::select! {
                _ = &mut shutdown => break,
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        let sensu = self.clone();
                        connections.spawn(async move { sensu.serve_connection(stream).await });
                    }
                    // Out of file descriptors, as a rule: trying again at once would spin.
                    Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
                },
                Some(_) = connections.join_next(), if !connections.is_empty() => {}
            }
        }
    }
}

fn host(headers: &HeaderMap, uri: &http::Uri) -> String {
    let header = headers.get(header::HOST).and_then(|h| h.to_str().ok());
    header.or(uri.authority().map(http::uri::Authority::as_str)).unwrap_or_default().to_owned()
}

fn failing(status: StatusCode) -> Reply {
    let mut answer = reply::plain(status, r#"{"message":"internal error occurred","code":0}"#);
    answer.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}

// === impl Outgoing ===

impl Outgoing {
    fn new(mut data: Bytes, truncate: Option<usize>) -> Self {
        let size = data.len() as u64;
        let breaks = truncate.is_some_and(|t| t < data.len());
        if let Some(bytes) = truncate {
            data.truncate(bytes);
        }
        Self { data: (!data.is_empty()).then_some(data), breaks, flushed: false, size }
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        task: &mut Task<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if let Some(data) = self.data.take() {
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        if !self.breaks {
            return Poll::Ready(None);
        }
        if std::mem::replace(&mut self.flushed, true) {
            self.breaks = false;
            return Poll::Ready(Some(Err(io::ErrorKind::ConnectionAborted.into())));
        }
        // While a body is not ready, hyper writes what it has: without this pause nothing would arrive.
        task.waker().wake_by_ref();
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        self.data.is_none() && !self.breaks
    }

    /// Go gives small bodies a length and sends larger ones in chunks.
    fn size_hint(&self) -> SizeHint {
        if self.size > LARGEST_WITH_LENGTH { SizeHint::default() } else { SizeHint::with_exact(self.size) }
    }
}
