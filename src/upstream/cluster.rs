use std::{fmt, sync::Arc};

use bytes::Bytes;
use http::{Extensions, HeaderValue, Method, Request, Response, StatusCode, Version, header};
use http_body::Body as _;
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::time::{Instant, timeout_at};

use super::{
    Config,
    board::HealthVerdict,
    body::PooledBody,
    breaker::Permit,
    error::{Error, Phase, UnexpectedUpgrade},
    metrics::Counts,
    openings::Openings,
    pick::{Candidates, MAX_BACKENDS, Rank},
    pool::{Connection, Pool},
};
use crate::{
    telemetry::trace::{self, SpanKind},
    types::{Cluster, ClusterName, FailureClass},
    wire::{Body, header::strip_hop_by_hop},
};

/// One worker's client of one cluster: a pool per backend.
pub struct ClusterClient {
    cluster: Arc<Cluster>,
    config: Config,
    /// In the order of the cluster's backends; never empty.
    pools: Vec<Arc<Pool>>,
    /// Those of this worker and this cluster's name, whatever has changed of the cluster.
    counts: Arc<Counts>,
}

/// In a request's extensions: it changes nothing, whatever its method, so it may be sent more than once.
#[derive(Clone, Copy, Debug)]
pub struct Repeatable;

/// A request in the form in which it is sent.
struct Outgoing {
    request: Request<Full<Bytes>>,
    /// Whether it may be sent again after a backend may have seen it.
    repeatable: bool,
}

/// An attempt without an answer.
struct Failed {
    error: Error,
    /// Whether, and where, to try again.
    again: Again,
}

enum Again {
    /// The request may have been carried out, or would fail again.
    No,
    /// Nothing was sent: the next backend. Not a retry.
    Unsent(Outgoing),
    /// It is safe to send again: the next backend.
    Resend(Outgoing),
    /// An unused connection had gone stale: the next backend, or this one on a new connection.
    Stale(Outgoing),
}

// === impl ClusterClient ===

impl ClusterClient {
    pub(super) fn new(
        cluster: Arc<Cluster>,
        config: Config,
        pools: Vec<Arc<Pool>>,
        counts: Arc<Counts>,
    ) -> Self {
        Self { cluster, config, pools, counts }
    }

    pub(super) fn counts(&self) -> &Arc<Counts> {
        &self.counts
    }

    /// Counts that this cluster's part is missing in an answer of several.
    pub fn count_missing(&self, why: FailureClass) {
        self.counts.missing(why);
    }

    pub(super) fn pools(&self) -> &[Arc<Pool>] {
        &self.pools
    }

    /// The cluster's name.
    pub fn name(&self) -> &ClusterName {
        &self.cluster.name
    }

    /// The cluster as it was registered.
    pub fn cluster(&self) -> &Arc<Cluster> {
        &self.cluster
    }

    /// Connections of this worker that are open now, used and unused.
    pub fn connections(&self) -> usize {
        self.pools.iter().map(|pool| pool.open()).sum()
    }

    /// Sends a request to one backend over HTTP/1.1 and returns the answer once its head is there.
    ///
    /// The target must be in origin form and is sent byte for byte. Headers are sent as they are but for
    /// `Content-Length` and `Transfer-Encoding`, which follow from the body (RFC 9112 §6); hop-by-hop headers
    /// of the answer are removed (RFC 9110 §7.6.1).
    ///
    /// The backend is the less loaded of two random ones among those that health checks and recent attempts to connect
    /// recommend. Any backend can serve any request: those of one cluster share one store, and Sensu keeps no session.
    ///
    /// A request that was not sent is sent to another backend. One that was sent is sent to another one only when its
    /// connection is reset or closed before a head, and only if its method is idempotent or it is [`Repeatable`], at most
    /// [`Config::retries`] times.
    ///
    /// Errors name the cluster. Errors of the body are [`Error`] too, boxed. [`Error::Down`] and [`Error::Open`] come
    /// at once, without an attempt.
    pub async fn send(&self, request: Request<Bytes>) -> Result<Response<Body>, Error> {
        self.send_with(request, None).await
    }

    /// Like [`ClusterClient::send`], with a deadline for the head in place of the head timeout.
    pub async fn send_with(
        &self,
        mut request: Request<Bytes>,
        deadline: Option<Instant>,
    ) -> Result<Response<Body>, Error> {
        let mut span = trace::child("cluster", SpanKind::Client);
        if !span.is_recorded() {
            return self.send_to_any(request, deadline).await;
        }
        span.set("fedgate.cluster", self.name().to_string());
        span.inject(request.headers_mut());
        match self.send_to_any(request, deadline).await {
            Ok(response) => {
                span.set("http.response.status_code", response.status());
                Ok(response.map(|body| span.hold(body)))
            }
            Err(error) => {
                span.fail(error.class().as_str());
                Err(error)
            }
        }
    }

    async fn send_to_any(
        &self,
        request: Request<Bytes>,
        deadline: Option<Instant>,
    ) -> Result<Response<Body>, Error> {
        let now = Instant::now();
        let sent = self.counts.send(now);
        let deadline = deadline.unwrap_or_else(|| now + self.config.head_timeout);
        let answer = self.send_until(deadline, request, now).await;
        sent.ended(&answer);
        answer
    }

    async fn send_until(
        &self,
        deadline: Instant,
        request: Request<Bytes>,
        now: Instant,
    ) -> Result<Response<Body>, Error> {
        let openings = request.extensions().get::<Openings>().cloned();
        let mut request = Outgoing::new(request);
        let mut candidates = self.candidates(now);
        let (mut index, mut permit) = self.next(&mut candidates, now).ok_or_else(|| self.unusable(now))?;
        let mut new_connection = false;
        let mut retries = self.config.retries;
        loop {
            let pool = &self.pools[index];
            let failed =
                match attempt(pool, permit, request, new_connection, openings.as_ref(), deadline).await {
                    Ok(response) => return Ok(response),
                    Err(failed) => *failed,
                };
            let now = Instant::now();
            if now >= deadline {
                return Err(failed.error);
            }
            let resent = matches!(failed.again, Again::Resend(_) | Again::Stale(_));
            request = match failed.again {
                Again::No => return Err(failed.error),
                Again::Resend(_) | Again::Stale(_) if retries == 0 => return Err(failed.error),
                Again::Unsent(request) => request,
                Again::Resend(request) => {
                    retries -= 1;
                    request
                }
                Again::Stale(request) => {
                    retries -= 1;
                    // One stale connection suggests that the other unused ones are stale too.
                    new_connection = true;
                    candidates.add(index, Rank::Again);
                    request
                }
            };
            let Some(next) = self.next(&mut candidates, now) else { return Err(failed.error) };
            if resent {
                self.counts.retried();
            }
            (index, permit) = next;
        }
    }

    /// The backends that may be tried; none when no one is expected to answer.
    ///
    /// As long as there is a better one, those that are down come last: a check may be some seconds old.
    fn candidates(&self, now: Instant) -> Candidates {
        let mut candidates = Candidates::default();
        let mut any_may_answer = false;
        for (index, pool) in self.pools.iter().enumerate().take(MAX_BACKENDS) {
            if pool.admits(now) {
                let verdict = pool.verdict(now);
                any_may_answer |= verdict != HealthVerdict::Refuse;
                let good = verdict == HealthVerdict::Use;
                candidates.add(index, if good { Rank::Good } else { Rank::LastResort });
            }
        }
        if any_may_answer { candidates } else { Candidates::default() }
    }

    /// The next backend to try, with a permit.
    fn next(&self, candidates: &mut Candidates, now: Instant) -> Option<(usize, Permit)> {
        while let Some(index) = candidates.next(|index| self.pools[index].load()) {
            // Another request may have taken the only trial since the candidates were gathered.
            if let Some(permit) = self.pools[index].enter(now) {
                return Some((index, permit));
            }
        }
        None
    }

    /// What the health checks found, of all backends together.
    fn reason(&self) -> FailureClass {
        let first = self.pools[0].reason();
        let same = self.pools.iter().all(|pool| pool.reason() == first);
        if same { first } else { FailureClass::Unreachable }
    }

    /// Why there are no candidates.
    fn unusable(&self, now: Instant) -> Error {
        let cluster = self.cluster.name.clone();
        let backend = self.pools[0].backend().clone();
        if self.pools.iter().all(|pool| pool.verdict(now) == HealthVerdict::Refuse) {
            Error::Down { cluster, backend, class: self.reason() }
        } else {
            Error::Open { cluster, backend }
        }
    }
}

impl fmt::Debug for ClusterClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClusterClient").field("cluster", self.name()).finish_non_exhaustive()
    }
}

/// One backend, one connection.
async fn attempt(
    pool: &Arc<Pool>,
    permit: Permit,
    request: Outgoing,
    new_connection: bool,
    openings: Option<&Openings>,
    deadline: Instant,
) -> Result<Response<Body>, Box<Failed>> {
    // A trial is about new connections: one that is open already would prove nothing.
    if !new_connection
        && !permit.trial
        && let Some(connection) = pool.checkout()
    {
        return exchange(pool, connection, request, true, deadline).await;
    }
    let open = pool.open_new(permit, deadline);
    let opened = match openings {
        Some(openings) => openings.in_turn(deadline, open).await,
        None => open.await,
    };
    match opened {
        Ok(connection) => exchange(pool, connection, request, false, deadline).await,
        Err(error @ Error::Overload { .. }) => Err(Failed::new(error, Again::No)),
        Err(error) => Err(Failed::new(error, Again::Unsent(request))),
    }
}

/// Sends the request and waits for the head of the answer.
async fn exchange(
    pool: &Arc<Pool>,
    mut connection: Connection,
    outgoing: Outgoing,
    reused: bool,
    deadline: Instant,
) -> Result<Response<Body>, Box<Failed>> {
    let Outgoing { request, repeatable } = outgoing;
    let copy = repeatable.then(|| request.clone());
    let mut failure = match timeout_at(deadline, connection.sender.try_send_request(request)).await {
        Ok(Ok(response)) => return accept(pool, connection, response),
        Ok(Err(failure)) => failure,
        Err(_) => {
            let (cluster, backend) = (pool.cluster().name.clone(), pool.backend().clone());
            let error = Error::Timeout { cluster, backend, phase: Phase::Head };
            return Err(Failed::new(error, Again::No));
        }
    };
    let unsent = failure.take_message();
    let error = Error::exchange(&pool.cluster().name, pool.backend(), failure.into_error());
    let again = match (unsent, copy) {
        (Some(request), _) if reused => Again::Stale(Outgoing { request, repeatable }),
        (Some(request), _) => Again::Unsent(Outgoing { request, repeatable }),
        // What answers, however badly, has taken the request.
        (None, _) if matches!(error, Error::BadResponse { .. }) => Again::No,
        (None, Some(request)) if reused => Again::Stale(Outgoing { request, repeatable }),
        (None, Some(request)) => Again::Resend(Outgoing { request, repeatable }),
        (None, None) => Again::No,
    };
    Err(Failed::new(error, again))
}

/// Passes on an answer whose head is there; its body holds the connection.
fn accept(
    pool: &Arc<Pool>,
    connection: Connection,
    mut response: Response<Incoming>,
) -> Result<Response<Body>, Box<Failed>> {
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let (cluster, backend) = (pool.cluster().name.clone(), pool.backend().clone());
        let error = Error::BadResponse { cluster, backend, source: UnexpectedUpgrade.into() };
        return Err(Failed::new(error, Again::No));
    }
    strip_hop_by_hop(response.headers_mut());
    Ok(response.map(|incoming| {
        if incoming.is_end_stream() {
            pool.park(connection);
            return Body::empty();
        }
        Body::boxed(PooledBody::new(incoming, pool.clone(), connection))
    }))
}

// === impl Outgoing ===

impl Outgoing {
    /// Makes the request fit for HTTP/1.1 and for being repeated.
    fn new(request: Request<Bytes>) -> Self {
        let (mut parts, body) = request.into_parts();
        let repeatable = is_idempotent(&parts.method) || parts.extensions.get::<Repeatable>().is_some();
        parts.version = Version::HTTP_11;
        // They are for the gateway itself, and would be cloned with the request.
        parts.extensions = Extensions::new();
        // A length that contradicts the body would let the rest be read as another request.
        parts.headers.remove(header::TRANSFER_ENCODING);
        parts.headers.remove(header::CONTENT_LENGTH);
        if body.is_empty() && matches!(parts.method, Method::POST | Method::PUT | Method::PATCH) {
            parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        Self { request: Request::from_parts(parts, Full::new(body)), repeatable }
    }
}

/// Whether repeating it changes nothing more (RFC 9110 §9.2.2), among the methods that Sensu has.
fn is_idempotent(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::PUT | Method::DELETE | Method::OPTIONS)
}

// === impl Failed ===

impl Failed {
    fn new(error: Error, again: Again) -> Box<Self> {
        Box::new(Self { error, again })
    }
}
