use http::StatusCode;

use crate::{
    error::{BoxError, Classify, ErrorKind, Reply},
    net::{ConnectError, tls_error},
    types::{Backend, ClusterName, FailureClass},
};

/// Why a cluster gave no answer, or an incomplete one.
///
/// The text names the cluster and may reach clients. Backend and cause are for the log: [`Error::backend`] and
/// [`source`](std::error::Error::source).
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No connection could be opened: name resolution, routing, or a closed port. Nothing was sent.
    #[error("cluster \"{cluster}\" is unreachable")]
    Connect {
        /// The cluster.
        cluster: ClusterName,
        /// The backend that was tried last.
        backend: Backend,
        /// What failed.
        source: ConnectError,
    },
    /// The handshake failed: an unknown CA, a wrong name, an expired or refused certificate, or certificate
    /// files that cannot be used.
    #[error("the TLS handshake with cluster \"{cluster}\" failed")]
    Tls {
        /// The cluster.
        cluster: ClusterName,
        /// The backend that was tried last.
        backend: Backend,
        /// What failed.
        source: BoxError,
    },
    /// The cluster exceeded a time limit.
    #[error("cluster \"{cluster}\" did not answer in time")]
    Timeout {
        /// The cluster.
        cluster: ClusterName,
        /// The backend that was waited for.
        backend: Backend,
        /// What was waited for.
        phase: Phase,
    },
    /// The connection was closed before an answer. Sensu backends do this on some bad requests.
    #[error("cluster \"{cluster}\" closed the connection without an answer")]
    Dropped {
        /// The cluster.
        cluster: ClusterName,
        /// The backend.
        backend: Backend,
        /// What hyper saw.
        source: hyper::Error,
    },
    /// The answer is not HTTP/1.1, has too large a head, or is an upgrade that was not requested.
    #[error("the answer of cluster \"{cluster}\" is not valid HTTP")]
    BadResponse {
        /// The cluster.
        cluster: ClusterName,
        /// The backend.
        backend: Backend,
        /// What is wrong with it.
        source: BoxError,
    },
    /// The body of an answer ended early or was framed badly, after the head was received.
    #[error("the answer of cluster \"{cluster}\" broke off")]
    Body {
        /// The cluster.
        cluster: ClusterName,
        /// The backend.
        backend: Backend,
        /// What hyper saw.
        source: hyper::Error,
    },
    /// Every backend fails its health checks. Nothing was tried. Usual cause: the cluster or the network to it is down.
    #[error("{}: its backends fail their health checks", down(cluster, *class))]
    Down {
        /// The cluster.
        cluster: ClusterName,
        /// Its first backend.
        backend: Backend,
        /// What the checks found: a request would find the same.
        class: FailureClass,
    },
    /// The circuit breaker is open: connecting failed too often in a row, and it is too early to retry. Nothing was tried.
    #[error(
        "cluster \"{cluster}\" is unreachable: connecting failed several times, try again in some seconds"
    )]
    Open {
        /// The cluster.
        cluster: ClusterName,
        /// Its first backend.
        backend: Backend,
    },
    /// All `max_connections` to the backend are in use: it is slow or overloaded.
    #[error("too many requests to cluster \"{cluster}\" are in flight")]
    Overload {
        /// The cluster.
        cluster: ClusterName,
        /// The backend.
        backend: Backend,
    },
}

/// What timed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// A connection.
    Connect,
    /// The head of the answer.
    Head,
    /// The next part of the body.
    Body,
}

/// An upgrade that was not requested.
#[derive(Debug, thiserror::Error)]
#[error("status 101 without an upgrade request")]
pub(super) struct UnexpectedUpgrade;

// === impl Error ===

impl Error {
    /// The cluster that failed.
    pub fn cluster(&self) -> &ClusterName {
        match self {
            Self::Connect { cluster, .. }
            | Self::Tls { cluster, .. }
            | Self::Timeout { cluster, .. }
            | Self::Dropped { cluster, .. }
            | Self::BadResponse { cluster, .. }
            | Self::Body { cluster, .. }
            | Self::Down { cluster, .. }
            | Self::Open { cluster, .. }
            | Self::Overload { cluster, .. } => cluster,
        }
    }

    /// The backend that failed, the last one of several. For the log only.
    pub fn backend(&self) -> &Backend {
        match self {
            Self::Connect { backend, .. }
            | Self::Tls { backend, .. }
            | Self::Timeout { backend, .. }
            | Self::Dropped { backend, .. }
            | Self::BadResponse { backend, .. }
            | Self::Body { backend, .. }
            | Self::Down { backend, .. }
            | Self::Open { backend, .. }
            | Self::Overload { backend, .. } => backend,
        }
    }

    /// What this failure counts as.
    ///
    /// [`FailureClass::Unreachable`] is every failure before a head, [`Error::Overload`] included.
    pub fn class(&self) -> FailureClass {
        match self {
            Self::Connect { .. } | Self::Dropped { .. } | Self::Overload { .. } => FailureClass::Unreachable,
            Self::Down { class, .. } => *class,
            Self::Open { .. } => FailureClass::BreakerOpen,
            Self::Tls { .. } => FailureClass::Tls,
            Self::Timeout { .. } => FailureClass::Timeout,
            Self::BadResponse { .. } => FailureClass::ServerError,
            Self::Body { .. } => FailureClass::BadBody,
        }
    }

    /// Classifies a failed attempt to connect.
    pub(super) fn connect(cluster: &ClusterName, backend: &Backend, source: ConnectError) -> Self {
        let (cluster, backend) = (cluster.clone(), backend.clone());
        match source {
            ConnectError::Timeout => Self::Timeout { cluster, backend, phase: Phase::Connect },
            ConnectError::Tls(_) | ConnectError::Files(_) => {
                Self::Tls { cluster, backend, source: source.into() }
            }
            ConnectError::Resolve(_) | ConnectError::Tcp(_) => Self::Connect { cluster, backend, source },
        }
    }

    /// Classifies what hyper reports in place of an answer.
    pub(super) fn exchange(cluster: &ClusterName, backend: &Backend, source: hyper::Error) -> Self {
        let (cluster, backend) = (cluster.clone(), backend.clone());
        if source.is_parse() || source.is_user() {
            Self::BadResponse { cluster, backend, source: source.into() }
        } else if tls_error(&source).is_some() {
            // TLS 1.3 servers refuse a client certificate after the client's side of the handshake is over.
            Self::Tls { cluster, backend, source: source.into() }
        } else {
            Self::Dropped { cluster, backend, source }
        }
    }
}

impl Classify for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Overload { .. } => ErrorKind::Overload,
            _ => ErrorKind::Upstream,
        }
    }

    fn reply(&self) -> Reply {
        let status = match self {
            Self::Timeout { .. } | Self::Down { class: FailureClass::Timeout, .. } => {
                StatusCode::GATEWAY_TIMEOUT
            }
            Self::Overload { .. } => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::BAD_GATEWAY,
        };
        let retry_after = matches!(self, Self::Overload { .. }).then_some(1);
        Reply { retry_after, ..Reply::router(status, 0, self.to_string()) }
    }
}

fn down(cluster: &ClusterName, class: FailureClass) -> String {
    match class {
        FailureClass::Tls => format!("the TLS handshake with cluster \"{cluster}\" failed"),
        FailureClass::Timeout => format!("cluster \"{cluster}\" does not answer in time"),
        _ => format!("cluster \"{cluster}\" is unreachable"),
    }
}
