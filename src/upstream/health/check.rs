use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::future::{Either, select};
use http::{Request, StatusCode, header};
use http_body_util::Empty;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::time::{Instant, timeout_at};

use crate::{
    error::{Chain, root},
    net::advice,
    types::{Backend, Cluster, FailureClass},
    upstream::{Connect, ConnectError, Error},
    wire::{Body, header::add_via, read_limited},
};

/// A backend that answers as Sensu does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passed {
    /// Its version, as it says it.
    pub version: Arc<str>,
    /// From the first packet to the end of the answer.
    pub latency: Duration,
    /// The id of its etcd cluster, if it was asked for and tells. Backends with different ones belong to different
    /// clusters; equal ones prove nothing: an etcd makes it up from the URLs of its members.
    pub etcd_cluster: Option<u64>,
}

/// Why a check failed, and what to do about it. The text is for administrators: it may hold what the system or the peer's
/// certificate says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckError {
    /// No name, no route, nothing listens, or the connection was closed without an answer.
    #[error("{}: {}", FailureClass::Unreachable, .0)]
    Unreachable(Cause),
    /// No answer within the timeout: a firewall drops packets, or the backend hangs.
    #[error("{}: a firewall may drop its packets, or the backend hangs", FailureClass::Timeout)]
    Timeout,
    /// A wrong CA or name, an expired certificate, or certificate files that cannot be used.
    #[error("{}: {}", FailureClass::Tls, .0)]
    Tls(Cause),
    /// `/version` answered another status than 200.
    #[error("http {}: {}", .0.as_u16(), status_advice(*.0))]
    Status(StatusCode),
    /// Something answers, but not with a Sensu backend's version: the port of another service.
    #[error("not a Sensu API: is this the port of one, and http or https right?")]
    NotSensu,
    /// A gateway answers, this one or another: it sends a request that a gateway sent back.
    #[error("a fedgate, not a Sensu backend: set api_urls to the cluster's own backends")]
    Gateway,
}

/// What the system or a library reports, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    text: String,
    advice: &'static str,
}

/// The part of `/version` that identifies a Sensu backend.
#[derive(Deserialize)]
struct Version {
    sensu_backend: String,
}

/// The part of `/health` that identifies its cluster.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Health {
    header: EtcdHeader,
}

#[derive(Deserialize)]
struct EtcdHeader {
    cluster_id: u64,
}

/// Asks a backend for its version and its etcd cluster, which needs no credentials, over a new connection.
///
/// A new one each time, because it shows what the next connection of a worker needs: that the name resolves, the port
/// accepts and the handshake succeeds. A kept connection would outlive all of these. One every few seconds, mostly with a
/// resumed TLS session, costs a backend little.
pub async fn check(
    connect: &dyn Connect,
    cluster: &Cluster,
    backend: &Backend,
    limit: Duration,
) -> Result<Passed, CheckError> {
    check_and(true, connect, cluster, backend, limit).await
}

/// The same; with `identify`, it asks for the etcd cluster. That makes the backend ask all its etcd members.
pub(super) async fn check_and(
    identify: bool,
    connect: &dyn Connect,
    cluster: &Cluster,
    backend: &Backend,
    limit: Duration,
) -> Result<Passed, CheckError> {
    let start = Instant::now();
    let deadline = start + limit;
    let connected = timeout_at(deadline, connect.connect(cluster, backend)).await;
    let io = connected.map_err(|_| CheckError::Timeout)??;
    let failed = |source| CheckError::from(Error::exchange(&cluster.name, backend, source));
    let shaken = timeout_at(deadline, http1::handshake(TokioIo::new(io))).await;
    let (mut sender, connection) = shaken.map_err(|_| CheckError::Timeout)?.map_err(failed)?;
    let answers = Box::pin(async {
        let asked = ask(&mut sender, cluster, backend, "/version", !identify);
        let body = timeout_at(deadline, asked).await.unwrap_or(Err(CheckError::Timeout))?;
        let version: Version = serde_json::from_slice(&body).map_err(|_| CheckError::NotSensu)?;
        let (version, latency) = (short(&version.sensu_backend, MAX_VERSION).into(), start.elapsed());
        // What it does not tell is no failure.
        let asked = async {
            let asked = ask(&mut sender, cluster, backend, "/health?timeout=1", true);
            let health: Health = serde_json::from_slice(&asked.await.ok()?).ok()?;
            Some(health.header.cluster_id).filter(|id| *id != 0)
        };
        let etcd_cluster = if identify { timeout_at(deadline, asked).await.ok().flatten() } else { None };
        Ok(Passed { version, latency, etcd_cluster })
    });
    match select(answers, Box::pin(connection)).await {
        Either::Left((passed, _)) => passed,
        // The peer closed after its answer, which is still to be read, or without one, which is the answer's error.
        Either::Right((_, answers)) => answers.await,
    }
}

/// One question, to the end of its answer.
async fn ask(
    sender: &mut SendRequest<Empty<Bytes>>,
    cluster: &Cluster,
    backend: &Backend,
    path: &str,
    is_last: bool,
) -> Result<Bytes, CheckError> {
    let failed = |source| CheckError::from(Error::exchange(&cluster.name, backend, source));
    let mut request = Request::get(path).header(header::HOST, backend.authority());
    if is_last {
        request = request.header(header::CONNECTION, "close");
    }
    let mut request = request
        .body(Empty::<Bytes>::new())
        .map_err(|error| CheckError::Unreachable(Cause { text: error.to_string(), advice: "" }))?;
    add_via(request.headers_mut());
    let response = sender.send_request(request).await.map_err(failed)?;
    if response.status() == StatusCode::LOOP_DETECTED {
        return Err(CheckError::Gateway);
    }
    if response.status() != StatusCode::OK {
        return Err(CheckError::Status(response.status()));
    }
    read_limited(Body::from(response.into_body()), MAX_BODY).await.map_err(|_| CheckError::NotSensu)
}

// === impl CheckError ===

impl CheckError {
    /// What a request would fail with; `None` where something answers, if only with an error.
    pub(super) fn class(&self) -> Option<FailureClass> {
        match self {
            Self::Unreachable(_) => Some(FailureClass::Unreachable),
            Self::Timeout => Some(FailureClass::Timeout),
            Self::Tls(_) => Some(FailureClass::Tls),
            Self::Status(_) | Self::NotSensu | Self::Gateway => None,
        }
    }
}

impl From<ConnectError> for CheckError {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::Resolve(_) => Self::Unreachable(Cause {
                text: "the host name could not be resolved".to_owned(),
                advice: "; is it spelled right, and does the DNS of this machine know it?",
            }),
            ConnectError::Tcp(source) => Self::Unreachable(Cause::of(&source)),
            ConnectError::Tls(source) => Self::Tls(Cause::of(&source)),
            ConnectError::Files(source) => {
                Self::Tls(Cause { text: short(&Chain(&*source).to_string(), MAX_CAUSE), advice: "" })
            }
            ConnectError::Timeout => Self::Timeout,
        }
    }
}

/// For what arrives instead of an answer.
impl From<Error> for CheckError {
    fn from(error: Error) -> Self {
        match error {
            Error::Tls { source, .. } => Self::Tls(Cause::of(&*source)),
            Error::BadResponse { .. } => Self::NotSensu,
            // As TLS servers do to plain HTTP.
            _ => Self::Unreachable(Cause {
                text: "the connection was closed without an answer".to_owned(),
                advice: "; is the port right, and http or https?",
            }),
        }
    }
}

// === impl Cause ===

impl Cause {
    fn of(error: &(dyn std::error::Error + 'static)) -> Self {
        Self { text: short(&root(error), MAX_CAUSE), advice: advice(error) }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.text, self.advice)
    }
}

/// What usually answers so.
fn status_advice(status: StatusCode) -> &'static str {
    match status.as_u16() {
        // Go's server, to plain HTTP on a port for TLS.
        400 => "is this a Sensu API port, and http right?",
        401 | 403 | 407 => "something in front of it asks for a login, which Sensu's /version does not",
        300..=399 => "something in front of it redirects: name the backend's own URL",
        429 => "something in front of it limits requests",
        502..=504 => "a proxy in front of it has no answer from the backend",
        500..=599 => "the backend, or a proxy in front of it, fails: see its log",
        _ => "is this a Sensu API port?",
    }
}

/// One line of at most so many characters.
fn short(text: &str, max: usize) -> String {
    text.chars().filter(|c| !c.is_control()).take(max).collect()
}

/// Sensu's own is some 150 bytes.
const MAX_BODY: usize = 16 * 1024;

const MAX_VERSION: usize = 64;

/// rustls lists the names of a certificate that has none of those expected.
const MAX_CAUSE: usize = 200;
