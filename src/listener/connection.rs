//! One connection, once it may speak HTTP.

use std::{convert::Infallible, pin::pin, sync::Arc, time::Duration};

use http::{HeaderValue, Request, Response, StatusCode, Version, header};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
    time::Instant,
};
use tower::Service;

use super::{
    Metrics, Phase, Terms, activity::Activity, linger::Seen, query::EncodedQueries, refusal::Refusals,
};
use crate::{
    net::Filtered,
    telemetry::{Access, RequestId, Unreadable},
    types::ConnInfo,
    wire::Body,
};

/// What is served, and how.
pub(super) struct Connection {
    pub(super) terms: Arc<Terms>,
    pub(super) metrics: Metrics,
    pub(super) access: Arc<Access>,
    pub(super) info: ConnInfo,
    pub(super) seen: Arc<Seen>,
    pub(super) phase: Arc<watch::Receiver<Phase>>,
    /// Changes once, when the connection has to finish what it does. The listener waits for all of them to be dropped.
    pub(super) ending: watch::Receiver<()>,
    pub(super) deadline: Instant,
}

/// What a connection's timer waits for.
enum Wait {
    /// The first request, at the latest now.
    FirstRequest,
    /// A time without requests, over HTTP/2; hyper takes care of HTTP/1.
    Idle,
    /// The peer's end of a connection that was idle for too long.
    Goodbye,
}

// === impl Connection ===

impl Connection {
    /// Serves it over any transport. Ends it when no request has arrived by the deadline.
    pub(super) async fn serve<I, S>(self, io: I, service: S)
    where
        I: AsyncRead + AsyncWrite + Send + Unpin + 'static,
        S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
        S::Future: Send,
    {
        let Self { terms, metrics, access, info, seen, phase, mut ending, deadline } = self;
        let activity = Arc::new(Activity::new());
        let service = requests(service, info, Arc::clone(&seen), Arc::clone(&activity), phase);
        let builder = builder(&terms);
        let (client, queries) = (info.peer.ip(), Filtered::new(io, EncodedQueries::default()));
        let io = Refusals::new(queries, Arc::clone(&activity), client, Arc::clone(&access));
        let connection = builder.serve_connection(TokioIo::new(io), service).into_owned();
        let mut connection = pin!(connection);
        let mut timer = pin!(tokio::time::sleep_until(deadline));
        let (mut waiting, mut is_ending) = (Some(Wait::FirstRequest), false);
        let ended = loop {
            tokio::select! {
                biased;
                ended = connection.as_mut() => break ended,
                _ = ending.changed(), if !is_ending => {
                    is_ending = true;
                    connection.as_mut().graceful_shutdown();
                }
                () = timer.as_mut(), if waiting.is_some() => match waiting.take() {
                    None => {}
                    Some(Wait::FirstRequest) if !seen.any_request() => {
                        metrics.here().silent.inc();
                        tracing::debug!(peer = %info.peer, "no request arrived in time");
                        return;
                    }
                    // A peer that does not read what it was told is left.
                    Some(Wait::Goodbye) if activity.idle_since().is_some() => return,
                    Some(Wait::FirstRequest | Wait::Idle | Wait::Goodbye) => {
                        if !seen.is_http_2() {
                            continue;
                        }
                        let until = activity.idle_since().unwrap_or_else(Instant::now) + terms.keep_alive;
                        if until > Instant::now() {
                            waiting = Some(Wait::Idle);
                            timer.as_mut().reset(until);
                        } else {
                            connection.as_mut().graceful_shutdown();
                            waiting = Some(Wait::Goodbye);
                            timer.as_mut().reset(Instant::now() + PING_TIMEOUT);
                        }
                    }
                },
            }
        };
        if is_unreadable(info, &ended) {
            metrics.here().unreadable.inc();
            // Its answer was stuck behind that of an earlier request, and went out as hyper writes it.
            if !activity.was_refused() {
                let (id, status) = (&RequestId::new(), StatusCode::BAD_REQUEST);
                access.refuse(&Unreadable { id, client, method: "", path: "", status });
            }
        }
    }
}

/// The service of one connection, in hyper's form.
fn requests<S>(
    service: S,
    info: ConnInfo,
    seen: Arc<Seen>,
    activity: Arc<Activity>,
    phase: Arc<watch::Receiver<Phase>>,
) -> impl hyper::service::Service<
    Request<Incoming>,
    Response = Response<Body>,
    Error = Infallible,
    Future: Future<Output = Result<Response<Body>, Infallible>> + Send + 'static,
>
where
    S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    hyper::service::service_fn(move |mut request: Request<Incoming>| {
        seen.record(request.version());
        request.extensions_mut().insert(info);
        let is_http_2 = request.version() >= Version::HTTP_2;
        let phase = (!is_http_2).then(|| Arc::clone(&phase));
        let in_progress = activity.request();
        let has_body = !request.body().is_end_stream();
        // The stack has no back-pressure of its own: beyond its bounds it answers 503 instead of waiting.
        let answer = service.clone().call(request);
        async move {
            let mut response = answer.await?;
            if let Some(phase) = phase {
                finish(&mut response, has_body, &phase).await;
            }
            Ok::<_, Infallible>(in_progress.until_end_of(response))
        }
    })
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

/// Whether the connection ended with a request that cannot be read, which has been answered: see [`Refusals`]. Other
/// errors are of no interest but for troubleshooting.
fn is_unreadable(info: ConnInfo, ended: &Result<(), Box<dyn std::error::Error + Send + Sync>>) -> bool {
    let Err(error) = ended else { return false };
    tracing::debug!(peer = %info.peer, %error, "connection ended");
    error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse)
}

fn builder(terms: &Terms) -> auto::Builder<TokioExecutor> {
    let limits = &terms.limits;
    let mut builder = auto::Builder::new(TokioExecutor::new());
    // No `pipeline_flush`: with it hyper 1.12 closes without flushing its own 400 and 431.
    builder
        .http1()
        .timer(TokioTimer::new())
        // From the end of an answer to the end of the next head.
        .header_read_timeout(terms.keep_alive)
        .max_headers(limits.headers)
        .max_buf_size(limits.head_bytes.max(MIN_BUFFER));
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(u32::try_from(limits.head_bytes).unwrap_or(u32::MAX))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT);
    builder
}

/// How often an HTTP/2 peer that says nothing is asked whether it is still there.
const PING_INTERVAL: Duration = Duration::from_secs(75);

/// How long an HTTP/2 peer may take to answer a ping.
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// hyper's lower bound for its buffer.
const MIN_BUFFER: usize = 8192;

/// Envoy's edge advice: a stream may have 64 KiB under way, so that 100 of them stay small.
const STREAM_WINDOW: u32 = 64 * 1024;

const CONNECTION_WINDOW: u32 = 1024 * 1024;
