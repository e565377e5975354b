use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Request, Response, StatusCode};
use http_body::{Body as HttpBody, Frame, SizeHint};
use parking_lot::Mutex;
use percent_encoding::percent_decode_str;
use tower::{Layer, Service};

use super::{
    RequestId, Requests, RouteKind,
    requests::{Answer, Ending, method_name},
};
use crate::{
    error::BoxError,
    types::ClusterName,
    wire::{Body, header::X_REQUEST_ID},
};

/// Where an inner layer records what it knows for the access line; in the request's extensions, so that it is
/// there whether the request succeeds or fails.
#[derive(Clone, Debug, Default)]
pub struct AccessNote(Arc<Mutex<AccessInfo>>);

/// What the inner layers know for the access line.
#[derive(Clone, Debug, Default)]
pub struct AccessInfo {
    /// The kind of route.
    pub route: RouteKind,
    /// The one cluster that answered, if it was one.
    pub cluster: Option<ClusterName>,
    /// The caller's user name.
    pub subject: Option<String>,
}

/// Gives every request an id, echoes it, and writes one line and counts it when its response has ended, however it
/// ended.
#[derive(Clone, Debug)]
pub struct AccessLogLayer(Arc<Requests>);

/// The service of [`AccessLogLayer`].
#[derive(Clone, Debug)]
pub struct AccessLog<S> {
    inner: S,
    requests: Arc<Requests>,
}

/// Written when dropped, so that a client that left is logged too.
struct Line {
    id: RequestId,
    method: &'static str,
    path: String,
    begun: Instant,
    /// `None` as long as there is no answer.
    status: Option<StatusCode>,
    note: AccessNote,
    bytes: u64,
    ending: Ending,
    requests: Arc<Requests>,
}

struct Counted {
    inner: Body,
    line: Line,
}

// === impl AccessNote ===

impl AccessNote {
    /// Records it; the last call counts.
    pub fn write(&self, info: AccessInfo) {
        *self.0.lock() = info;
    }
}

// === impl AccessLogLayer ===

impl AccessLogLayer {
    /// A layer that counts requests here.
    pub fn new(requests: Arc<Requests>) -> Self {
        Self(requests)
    }
}

impl<S> Layer<S> for AccessLogLayer {
    type Service = AccessLog<S>;

    fn layer(&self, inner: S) -> AccessLog<S> {
        AccessLog { inner, requests: Arc::clone(&self.0) }
    }
}

// === impl AccessLog ===

impl<S, B> Service<Request<B>> for AccessLog<S>
where
    S: Service<Request<B>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let id = RequestId::ensure(request.headers_mut());
        request.extensions_mut().insert(id.clone());
        let note = AccessNote::default();
        request.extensions_mut().insert(note.clone());
        self.requests.begin();
        let mut line = Line {
            method: method_name(request.method()),
            path: loggable_path(request.uri().path()),
            begun: Instant::now(),
            status: None,
            note,
            bytes: 0,
            ending: Ending::Aborted,
            requests: Arc::clone(&self.requests),
            id,
        };
        let answer = self.inner.call(request);
        Box::pin(async move {
            let mut response = answer.await?;
            line.status = Some(response.status());
            response.headers_mut().insert(X_REQUEST_ID, line.id.header());
            // No body follows, or hyper will not ask for it.
            if response.body().is_end_stream() || line.method == "HEAD" {
                line.complete();
                return Ok(response);
            }
            Ok(response.map(|inner| Body::boxed(Counted { inner, line })))
        })
    }
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(cx);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                self.line.bytes += frame.data_ref().map_or(0, Bytes::len) as u64;
                if self.inner.is_end_stream() {
                    self.line.ending = Ending::Complete;
                }
            }
            Poll::Ready(Some(Err(_))) => self.line.ending = Ending::Cut,
            Poll::Ready(None) => self.line.ending = Ending::Complete,
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

// === impl Line ===

impl Line {
    fn complete(mut self) {
        self.ending = Ending::Complete;
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let info = std::mem::take(&mut *self.note.0.lock());
        let ending = if std::thread::panicking() { Ending::Panicked } else { self.ending };
        let duration = self.begun.elapsed();
        let answer = Answer { status: self.status, duration, bytes: self.bytes, ending };
        self.requests.end(info.route, self.method, answer);
        tracing::info!(
            request_id = %self.id,
            method = self.method,
            path = self.path,
            route = info.route.as_str(),
            cluster = info.cluster.as_ref().map(ClusterName::as_str),
            subject = info.subject,
            status = self.status.map(|status| status.as_u16()),
            bytes = self.bytes,
            duration_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
            outcome = ending.as_str(),
            "request"
        );
    }
}

/// The path without query, bounded, and without the name of an API key, in any spelling: the name is the key.
pub(super) fn loggable_path(path: &str) -> String {
    let decoded = percent_decode_str(path).decode_utf8_lossy();
    let path = match decoded.find("apikeys/") {
        Some(at) => &decoded[..at + "apikeys/".len()],
        None => path,
    };
    path.chars().take(MAX_PATH).collect()
}

/// Longest path in a log line, in characters.
const MAX_PATH: usize = 512;

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;
    use crate::telemetry::Capture;

    /// The line of a request whose service does `what` with what it is given, given up after one poll.
    fn line(
        what: impl Fn(AccessNote) -> BoxFuture<'static, Response<Body>> + Clone + Send + 'static,
    ) -> String {
        let log = Capture::default();
        let subscriber = tracing_subscriber::fmt().without_time().with_ansi(false).with_writer(log.clone());
        let _guard = tracing::subscriber::set_default(subscriber.finish());
        let service = tower::service_fn(move |request: Request<()>| {
            let answer = what(request.extensions().get::<AccessNote>().unwrap().clone());
            async move { Ok::<_, Infallible>(answer.await) }
        });
        let answer = AccessLogLayer::new(Arc::default()).layer(service).call(Request::new(()));
        let _ = std::panic::AssertUnwindSafe(answer).catch_unwind().now_or_never();
        log.take()
    }

    #[test]
    fn what_is_known_is_logged_however_a_request_ends() {
        let info = || AccessInfo {
            route: RouteKind::List,
            cluster: Some(ClusterName::local()),
            subject: Some("viewer".to_owned()),
        };
        let left = line(move |note| {
            note.write(info());
            Box::pin(std::future::pending())
        });
        for field in
            ["route=\"list\"", "cluster=\"local-cluster\"", "subject=\"viewer\"", "outcome=\"aborted\""]
        {
            assert!(left.contains(field), "{left}");
        }
        assert!(!left.contains("status="), "{left}");
        let answered = line(move |note| {
            note.write(info());
            Box::pin(async { Response::new(Body::empty()) })
        });
        assert!(answered.contains("route=\"list\"") && answered.contains("status=200"), "{answered}");
        let panicked = line(move |note| {
            note.write(info());
            Box::pin(async { panic!("on purpose") })
        });
        assert!(
            panicked.contains("route=\"list\"") && panicked.contains("outcome=\"panicked\""),
            "{panicked}"
        );
    }

    #[test]
    fn api_keys_never_reach_the_log() {
        let path = loggable_path("/c/alpha/api/core/v2/apikeys/0d2a-secret");
        assert_eq!(path, "/c/alpha/api/core/v2/apikeys/");
        for spelling in ["/x/%61pikeys/secret", "/x/apikeys%2Fsecret", "/x/apikey%73%2fsecret"] {
            assert!(!loggable_path(spelling).contains("secret"), "{spelling}");
        }
    }
}
