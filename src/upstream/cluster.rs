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
    pick::{Candidates, MAX_BACKENDS},
    pool::{Connection, Pool},
};
use crate::{
    types::{Cluster, ClusterName},
    wire::{Body, header::strip_hop_by_hop},
};

/// One worker's client of one cluster: a pool per backend.
pub struct ClusterClient {
    cluster: Arc<Cluster>,
    config: Config,
    /// In the order of the cluster's backends; never empty.
    pools: Vec<Arc<Pool>>,
}

type Outgoing = Request<Full<Bytes>>;

/// An attempt without an answer.
struct Failed {
    error: Error,
    /// Whether, and where, to try again.
    again: Again,
}

enum Again {
    /// The request may have been carried out, or would fail again.
    No,
    /// An unused connection had gone stale: the same backend, on a new connection.
    NewConnection(Outgoing),
    /// Nothing was sent: the next backend.
    NextBackend(Outgoing),
}

// === impl ClusterClient ===

impl ClusterClient {
    pub(super) fn new(cluster: Arc<Cluster>, config: Config, pools: Vec<Arc<Pool>>) -> Self {
        Self { cluster, config, pools }
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
    /// A request that was not sent is sent to another backend. One that was sent is repeated only when a
    /// reused connection turns out closed before any byte of an answer, and only if its method is idempotent:
    /// a Sensu backend answers some bad requests by closing the connection.
    ///
    /// Errors name the cluster. Errors of the body are [`Error`] too, boxed. [`Error::Down`] and [`Error::Open`] come
    /// at once, without an attempt.
    pub async fn send(&self, request: Request<Bytes>) -> Result<Response<Body>, Error> {
        self.send_with(request, None).await
    }

    /// Like [`ClusterClient::send`], with a deadline for the head in place of the head timeout.
    pub async fn send_with(
        &self,
        request: Request<Bytes>,
        deadline: Option<Instant>,
    ) -> Result<Response<Body>, Error> {
        let now = Instant::now();
        let deadline = deadline.unwrap_or_else(|| now + self.config.head_timeout);
        let mut request = outgoing(request);
        let mut candidates = self.candidates(now);
        let (mut pool, mut permit) = self.next(&mut candidates, now).ok_or_else(|| self.unusable(now))?;
        let mut new_connection = false;
        let mut retries = self.config.retries;
        loop {
            let failed = match attempt(pool, permit, request, new_connection, deadline).await {
                Ok(response) => return Ok(response),
                Err(failed) => *failed,
            };
            let now = Instant::now();
            if now >= deadline {
                return Err(failed.error);
            }
            match failed.again {
                Again::No => return Err(failed.error),
                Again::NewConnection(_) if retries == 0 => return Err(failed.error),
                Again::NewConnection(unsent) => {
                    retries -= 1;
                    // One stale connection suggests that the other unused ones are stale too.
                    new_connection = true;
                    request = unsent;
                }
                Again::NextBackend(unsent) => {
                    // Not a retry, since nothing was sent: each backend is tried once.
                    let Some(next) = self.next(&mut candidates, now) else { return Err(failed.error) };
                    (pool, permit) = next;
                    request = unsent;
                }
            }
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
                candidates.add(index, verdict == HealthVerdict::Use);
            }
        }
        if any_may_answer { candidates } else { Candidates::default() }
    }

    /// The next backend to try, with a permit.
    fn next(&self, candidates: &mut Candidates, now: Instant) -> Option<(&Arc<Pool>, Permit)> {
        while let Some(index) = candidates.next(|index| self.pools[index].load()) {
            let pool = &self.pools[index];
            // Another request may have taken the only trial since the candidates were gathered.
            if let Some(permit) = pool.enter(now) {
                return Some((pool, permit));
            }
        }
        None
    }

    /// Why there are no candidates.
    fn unusable(&self, now: Instant) -> Error {
        let cluster = self.cluster.name.clone();
        let backend = self.pools[0].backend().clone();
        if self.pools.iter().all(|pool| pool.verdict(now) == HealthVerdict::Refuse) {
            Error::Down { cluster, backend }
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
    deadline: Instant,
) -> Result<Response<Body>, Box<Failed>> {
    // A trial is about new connections: one that is open already would prove nothing.
    if !new_connection
        && !permit.trial
        && let Some(connection) = pool.checkout()
    {
        return exchange(pool, connection, request, true, deadline).await;
    }
    match pool.open_new(permit, deadline).await {
        Ok(connection) => exchange(pool, connection, request, false, deadline).await,
        Err(error @ Error::Overload { .. }) => Err(Failed::new(error, Again::No)),
        Err(error) => Err(Failed::new(error, Again::NextBackend(request))),
    }
}

/// Sends the request and waits for the head of the answer.
async fn exchange(
    pool: &Arc<Pool>,
    mut connection: Connection,
    request: Outgoing,
    reused: bool,
    deadline: Instant,
) -> Result<Response<Body>, Box<Failed>> {
    let copy = (reused && is_idempotent(request.method())).then(|| request.clone());
    connection.expect_answer();
    let mut failure = match timeout_at(deadline, connection.sender.try_send_request(request)).await {
        Ok(Ok(response)) => return accept(pool, connection, response),
        Ok(Err(failure)) => failure,
        Err(_) => {
            let (cluster, backend) = (pool.cluster().name.clone(), pool.backend().clone());
            let error = Error::Timeout { cluster, backend, phase: Phase::Head };
            return Err(Failed::new(error, Again::No));
        }
    };
    let again = match failure.take_message() {
        Some(unsent) if reused => Again::NewConnection(unsent),
        Some(unsent) => Again::NextBackend(unsent),
        None if connection.heard() => Again::No,
        None => copy.map_or(Again::No, Again::NewConnection),
    };
    let error = Error::exchange(&pool.cluster().name, pool.backend(), failure.into_error());
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

/// Makes the request fit for HTTP/1.1 and for being repeated.
fn outgoing(request: Request<Bytes>) -> Outgoing {
    let (mut parts, body) = request.into_parts();
    parts.version = Version::HTTP_11;
    // They are for the gateway itself, and would be cloned with the request.
    parts.extensions = Extensions::new();
    // A length that contradicts the body would let the rest be read as another request.
    parts.headers.remove(header::TRANSFER_ENCODING);
    parts.headers.remove(header::CONTENT_LENGTH);
    if body.is_empty() && matches!(parts.method, Method::POST | Method::PUT | Method::PATCH) {
        parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    Request::from_parts(parts, Full::new(body))
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
