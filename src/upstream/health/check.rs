use std::{error::Error as StdError, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::future::{Either, select};
use http::{Request, StatusCode, header};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::time::{Instant, timeout};

use crate::{
    error::{Chain, causes},
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
}

/// Why a check failed. The text is for administrators: it may hold what the system or the peer's certificate says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckError {
    /// No name, no route, nothing listens, or the connection was closed without an answer.
    #[error("{}: {}", FailureClass::Unreachable, .0)]
    Unreachable(String),
    /// No answer within the timeout: a firewall drops packets, or the backend hangs.
    #[error("{}", FailureClass::Timeout)]
    Timeout,
    /// A wrong CA or name, an expired certificate, or certificate files that cannot be used.
    #[error("{}: {}", FailureClass::Tls, .0)]
    Tls(String),
    /// `/version` answered another status than 200.
    #[error("http {}", .0.as_u16())]
    Status(StatusCode),
    /// Something answers, but not with a Sensu backend's version: the port of another service.
    #[error("not a Sensu API")]
    NotSensu,
    /// A gateway answers, this one or another: it sends a request that a gateway sent back.
    #[error("a fedgate, not a Sensu backend: set api_urls to the cluster's own backends")]
    Gateway,
}

/// The part of `/version` that identifies a Sensu backend.
#[derive(Deserialize)]
struct Version {
    sensu_backend: String,
}

/// Asks a backend for its version, which needs no credentials, over a new connection.
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
    let start = Instant::now();
    let version = timeout(limit, ask(connect, cluster, backend)).await.unwrap_or(Err(CheckError::Timeout))?;
    Ok(Passed { version, latency: start.elapsed() })
}

async fn ask(connect: &dyn Connect, cluster: &Cluster, backend: &Backend) -> Result<Arc<str>, CheckError> {
    let failed = |source| CheckError::from(Error::exchange(&cluster.name, backend, source));
    let io = connect.connect(cluster, backend).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(io)).await.map_err(failed)?;
    let mut request = Request::get("/version")
        .header(header::HOST, backend.authority())
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|error| CheckError::Unreachable(error.to_string()))?;
    add_via(request.headers_mut());
    let answer = Box::pin(async {
        let response = sender.send_request(request).await.map_err(failed)?;
        if response.status() == StatusCode::LOOP_DETECTED {
            return Err(CheckError::Gateway);
        }
        if response.status() != StatusCode::OK {
            return Err(CheckError::Status(response.status()));
        }
        read_limited(Body::from(response.into_body()), MAX_BODY).await.map_err(|_| CheckError::NotSensu)
    });
    let body = match select(answer, Box::pin(connection)).await {
        Either::Left((body, _)) => body?,
        // The peer closed after its answer, which is still to be read, or without one, which is the answer's error.
        Either::Right((_, answer)) => answer.await?,
    };
    let version: Version = serde_json::from_slice(&body).map_err(|_| CheckError::NotSensu)?;
    Ok(short(&version.sensu_backend, MAX_VERSION).into())
}

// === impl CheckError ===

impl CheckError {
    /// What to do about it; begins with `: ` or `; `, or is empty.
    pub fn advice(&self) -> &'static str {
        match self {
            Self::Tls(cause) => tls_advice(cause),
            Self::Timeout => ": a firewall may drop its packets, or the backend hangs",
            // What Go's server answers to plain HTTP on a port for TLS.
            Self::Status(StatusCode::BAD_REQUEST) => ": is this a Sensu API port, and http right?",
            Self::Status(_) | Self::NotSensu => ": is this a Sensu API port?",
            Self::Unreachable(_) | Self::Gateway => "",
        }
    }

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
            ConnectError::Resolve(_) => Self::Unreachable("the host name could not be resolved".to_owned()),
            ConnectError::Tcp(source) => Self::Unreachable(cause(&source)),
            ConnectError::Tls(source) => Self::Tls(cause(&source)),
            ConnectError::Files(source) => Self::Tls(short(&Chain(&*source).to_string(), MAX_CAUSE)),
            ConnectError::Timeout => Self::Timeout,
        }
    }
}

/// For what arrives instead of an answer.
impl From<Error> for CheckError {
    fn from(error: Error) -> Self {
        match error {
            Error::Tls { source, .. } => Self::Tls(cause(&*source)),
            Error::BadResponse { .. } => Self::NotSensu,
            _ => Self::Unreachable("the connection was closed without an answer".to_owned()),
        }
    }
}

/// The usual mistakes, by what rustls calls them.
fn tls_advice(cause: &str) -> &'static str {
    let advice = [
        ("UnknownIssuer", "; name the CA that signed its certificate"),
        ("not valid for name", "; use a host name that its certificate has"),
        ("NotValidForName", "; use a host name that its certificate has"),
        ("Expired", "; renew its certificate"),
        ("expired", "; renew its certificate"),
        ("InvalidContentType", "; the port does not speak TLS: is https right?"),
        ("CertificateRequired", "; it wants a client certificate: name cert and key"),
    ];
    advice.iter().find(|(mark, _)| cause.contains(mark)).map_or("", |(_, advice)| advice)
}

/// The root cause of an error.
fn cause(error: &(dyn StdError + 'static)) -> String {
    causes(error).last().map(|root| short(&root.to_string(), MAX_CAUSE)).unwrap_or_default()
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
