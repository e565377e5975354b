use std::{
    convert::Infallible,
    net::IpAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Request, Response, StatusCode};
use http_body::{Body as HttpBody, Frame, SizeHint};
use parking_lot::Mutex;
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};
use tower::{Layer, Service};

use super::{
    RequestId, RouteKind,
    metrics::Registry,
    requests::{Answer, Ending, Requests, method_name},
};
use crate::{
    error::BoxError,
    types::{ClusterName, ConnInfo},
    wire::{Body, header::X_REQUEST_ID},
};

/// `log.access`: which requests have a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lines {
    /// All.
    #[default]
    All,
    /// Those that were refused, failed, or did not end as they should.
    Errors,
    /// None.
    Off,
}

/// What is done with every request of a client that has ended: it is counted, has its line, and an audit line if it
/// was to change something. All workers share one.
#[derive(Debug, Default)]
pub struct Access {
    requests: Requests,
    lines: AtomicU8,
}

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
    /// What the request was to change.
    pub change: Option<Change>,
}

/// What a request was to change, for its audit line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// In a word.
    pub action: &'static str,
    /// Who logs in. Logged only if the login succeeds: what is typed as a name can be a password.
    pub login: Option<String>,
    /// The GraphQL mutations by name.
    pub mutations: Vec<String>,
    /// The clusters that were asked, if there were several.
    pub clusters: Vec<ClusterName>,
}

/// A request that the HTTP parser refused, as far as it could be read.
#[derive(Debug)]
pub struct Unreadable<'a> {
    /// Its id, which the answer says, too.
    pub id: &'a RequestId,
    /// Who has sent it.
    pub client: IpAddr,
    /// The method, if there is one.
    pub method: &'a str,
    /// The path, if there is one.
    pub path: &'a str,
    /// What it was answered.
    pub status: StatusCode,
}

/// Gives every request an id, echoes it, and hands it to [`Access`] when its response has ended, however it ended.
#[derive(Clone, Debug)]
pub struct AccessLogLayer(Arc<OfWorker>);

/// The service of [`AccessLogLayer`].
#[derive(Clone, Debug)]
pub struct AccessLog<S> {
    inner: S,
    access: Arc<OfWorker>,
}

/// One worker's handle, which its requests hold: so they touch no count of references that all workers share.
#[derive(Debug)]
struct OfWorker(Arc<Access>);

/// Written when dropped, so that a client that left is logged too.
struct Line {
    id: RequestId,
    client: Option<IpAddr>,
    method: &'static str,
    path: String,
    begun: Instant,
    /// `None` as long as there is no answer.
    status: Option<StatusCode>,
    note: AccessNote,
    bytes: u64,
    ending: Ending,
    access: Arc<OfWorker>,
}

/// A request that has ended.
struct Ended<'a> {
    id: &'a RequestId,
    client: Option<IpAddr>,
    method: &'static str,
    path: &'a str,
    info: AccessInfo,
    answer: Answer,
}

struct Counted {
    inner: Body,
    line: Line,
}

// === impl Access ===

impl Access {
    /// Writes these lines.
    pub fn new(lines: Lines) -> Arc<Self> {
        let access = Self::default();
        access.set_lines(lines);
        Arc::new(access)
    }

    /// Writes these lines from now on.
    pub fn set_lines(&self, lines: Lines) {
        self.lines.store(lines as u8, Relaxed);
    }

    /// Adds the families of requests.
    pub fn register(&self, registry: &mut Registry) {
        self.requests.register(registry);
    }

    /// A request never got as far as the layer.
    pub fn refuse(&self, refused: &Unreadable<'_>) {
        let method = method_name(refused.method);
        self.requests.refuse(method, refused.status);
        let answer = Answer {
            status: Some(refused.status),
            duration: Duration::ZERO,
            bytes: 0,
            ending: Ending::Complete,
        };
        let path = &*loggable_path(refused.path);
        let client = Some(refused.client);
        let ended = Ended { id: refused.id, client, method, path, info: AccessInfo::default(), answer };
        // No audit line: what cannot be read is nobody's attempt to change anything.
        if self.wants(&ended) {
            ended.write();
        }
    }

    fn write(&self, ended: &Ended<'_>) {
        if self.wants(ended) {
            ended.write();
        }
        if let Some(change) = ended.change() {
            ended.audit(&change);
        }
    }

    fn wants(&self, ended: &Ended<'_>) -> bool {
        match self.lines.load(Relaxed) {
            lines if lines == Lines::All as u8 => true,
            lines if lines == Lines::Errors as u8 => ended.is_error(),
            _ => false,
        }
    }
}

// === impl AccessNote ===

impl AccessNote {
    /// Records it; the last call counts.
    pub fn write(&self, info: AccessInfo) {
        *self.0.lock() = info;
    }
}

// === impl Change ===

impl Change {
    /// What a word says.
    pub fn new(action: &'static str) -> Self {
        Self { action, ..Self::default() }
    }
}

// === impl AccessLogLayer ===

impl AccessLogLayer {
    /// A worker's layer that reports there.
    pub fn new(access: Arc<Access>) -> Self {
        Self(Arc::new(OfWorker(access)))
    }
}

impl<S> Layer<S> for AccessLogLayer {
    type Service = AccessLog<S>;

    fn layer(&self, inner: S) -> AccessLog<S> {
        AccessLog { inner, access: Arc::clone(&self.0) }
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
        self.access.0.requests.begin();
        let mut line = Line {
            client: request.extensions().get::<ConnInfo>().map(|connection| connection.client),
            method: method_name(request.method().as_str()),
            path: loggable_path(request.uri().path()),
            begun: Instant::now(),
            status: None,
            note,
            bytes: 0,
            ending: Ending::Aborted,
            access: Arc::clone(&self.access),
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
        let Access { requests, .. } = &*self.access.0;
        requests.end(info.route, self.method, answer);
        let (id, path) = (&self.id, &*self.path);
        self.access.0.write(&Ended { id, client: self.client, method: self.method, path, info, answer });
    }
}

// === impl Ended ===

/// One access line, at a level of its own.
macro_rules! access_line {
    ($level:ident, $ended:expr) => {
        tracing::$level!(
            request_id = %$ended.id,
            client = $ended.client.map(tracing::field::display),
            method = $ended.method,
            path = $ended.path,
            route = $ended.info.route.as_str(),
            cluster = $ended.info.cluster.as_ref().map(ClusterName::as_str),
            subject = $ended.info.subject.as_deref(),
            status = $ended.answer.status.map(|status| status.as_u16()),
            bytes = $ended.answer.bytes,
            duration_ms = $ended.milliseconds(),
            outcome = $ended.answer.ending.as_str(),
            "request"
        )
    };
}

impl Ended<'_> {
    fn is_error(&self) -> bool {
        let failed = |status: StatusCode| status.is_client_error() || status.is_server_error();
        self.answer.ending != Ending::Complete || self.answer.status.is_none_or(failed)
    }

    fn write(&self) {
        // Load balancers ask every second or so.
        if self.info.route == RouteKind::Gateway && !self.is_error() {
            access_line!(debug, self);
        } else {
            access_line!(info, self);
        }
    }

    /// What it was to change. Of a request that was refused before it had a route, only the method is known.
    fn change(&self) -> Option<Change> {
        let refused =
            self.info.route == RouteKind::None && !matches!(self.method, "GET" | "HEAD" | "OPTIONS");
        self.info.change.clone().or_else(|| refused.then(|| Change::new("refused")))
    }

    fn audit(&self, change: &Change) {
        let is_success = self.answer.status.is_some_and(|status| status.is_success());
        let subject = self.info.subject.as_deref().or(change.login.as_deref().filter(|_| is_success));
        let names = |separated: Vec<&str>| (!separated.is_empty()).then(|| separated.join(","));
        let clusters = change.clusters.iter().chain(&self.info.cluster).map(ClusterName::as_str).collect();
        let mutations = change.mutations.iter().map(String::as_str).collect();
        tracing::info!(
            target: AUDIT,
            request_id = %self.id,
            client = self.client.map(tracing::field::display),
            subject,
            action = change.action,
            method = self.method,
            path = self.path,
            mutations = names(mutations),
            cluster = names(clusters),
            status = self.answer.status.map(|status| status.as_u16()),
            outcome = self.answer.ending.as_str(),
            "audit"
        );
    }

    fn milliseconds(&self) -> f64 {
        f64::from(u32::try_from(self.answer.duration.as_micros()).unwrap_or(u32::MAX)) / 1000.0
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

/// The target of audit lines, which `log.level` does not turn off.
pub(super) const AUDIT: &str = "fedgate::audit";

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
            change: None,
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

    /// The lines of a request that was answered so, with these `log.access` lines.
    fn answered(lines: Lines, method: &str, status: u16, info: &AccessInfo) -> Vec<String> {
        let log = Capture::default();
        let subscriber = tracing_subscriber::fmt().without_time().with_ansi(false).with_writer(log.clone());
        let _guard = tracing::subscriber::set_default(subscriber.finish());
        let info = info.clone();
        let service = tower::service_fn(move |request: Request<()>| {
            request.extensions().get::<AccessNote>().unwrap().write(info.clone());
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            std::future::ready(Ok::<_, Infallible>(response))
        });
        let request = Request::builder().method(method).uri("/api/x").body(()).unwrap();
        let answer = AccessLogLayer::new(Access::new(lines)).layer(service).call(request);
        drop(answer.now_or_never().unwrap());
        log.take().lines().map(str::to_owned).collect()
    }

    #[test]
    fn which_requests_have_a_line_is_a_choice() {
        let info = AccessInfo { route: RouteKind::List, ..AccessInfo::default() };
        let probe = AccessInfo { route: RouteKind::Gateway, ..AccessInfo::default() };
        for (lines, status, info, count) in [
            (Lines::All, 200, &info, 1),
            (Lines::All, 404, &info, 1),
            (Lines::All, 200, &probe, 0),
            (Lines::All, 503, &probe, 1),
            (Lines::Errors, 200, &info, 0),
            (Lines::Errors, 304, &info, 0),
            (Lines::Errors, 404, &info, 1),
            (Lines::Errors, 503, &probe, 1),
            (Lines::Off, 200, &info, 0),
            (Lines::Off, 503, &info, 0),
        ] {
            let written = answered(lines, "GET", status, info);
            assert_eq!(written.len(), count, "{lines:?} {status}: {written:?}");
        }
    }

    #[test]
    fn what_changes_something_has_an_audit_line_whatever_else_is_logged() {
        let change = Change {
            action: "mutation",
            login: None,
            mutations: vec!["deleteEvent".to_owned(), "putWrapped".to_owned()],
            clusters: ["alpha", "beta"].map(|name| name.parse().unwrap()).into(),
        };
        let info = AccessInfo {
            route: RouteKind::GraphQl,
            cluster: None,
            subject: Some("viewer".to_owned()),
            change: Some(change),
        };
        let written = answered(Lines::Off, "POST", 200, &info);
        assert_eq!(written.len(), 1, "{written:?}");
        for field in [
            "fedgate::audit: audit",
            "subject=\"viewer\"",
            "action=\"mutation\"",
            "method=\"POST\"",
            "path=\"/api/x\"",
            "mutations=\"deleteEvent,putWrapped\"",
            "cluster=\"alpha,beta\"",
            "status=200",
        ] {
            assert!(written[0].contains(field), "{field} is missing in {}", written[0]);
        }
        // What was refused before it had a route.
        let refused = answered(Lines::Off, "DELETE", 401, &AccessInfo::default());
        assert!(
            refused[0].contains("action=\"refused\"") && refused[0].contains("status=401"),
            "{refused:?}"
        );
        assert_eq!(answered(Lines::Off, "GET", 401, &AccessInfo::default()), Vec::<String>::new());
    }

    #[test]
    fn a_login_is_named_only_when_it_has_succeeded() {
        let login = Change { login: Some("Secret123".to_owned()), ..Change::new("login") };
        let info = AccessInfo { route: RouteKind::Forward, change: Some(login), ..AccessInfo::default() };
        let good = answered(Lines::Off, "GET", 200, &info);
        assert!(
            good[0].contains("subject=\"Secret123\"") && good[0].contains("action=\"login\""),
            "{good:?}"
        );
        let bad = answered(Lines::All, "GET", 401, &info);
        assert!(bad.len() == 2 && !bad.concat().contains("Secret123"), "{bad:?}");
    }
}
