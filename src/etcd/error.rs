use std::sync::Arc;

use http::StatusCode;
use tonic::{Code, Status};

use super::rights::Needs;
use crate::{
    error::{BoxError, Chain, Classify, ErrorKind, Reply},
    net::TlsError,
    types::Backend,
};

/// Why etcd did not do what it was asked.
///
/// The text is for operators: it names the endpoint and what to look at. It never holds a value, and keys only where access
/// to them is refused. What went wrong below is the [`source`](std::error::Error::source).
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration names no endpoint.
    #[error("no etcd endpoint is configured")]
    NoEndpoints,
    /// The name does not resolve, or nothing accepts connections there. Nothing was sent.
    #[error(
        "etcd endpoint {endpoint} is unreachable: check that etcd runs there and that no firewall is between"
    )]
    Unreachable {
        /// The endpoint that was tried last.
        endpoint: Backend,
        /// What the system says.
        source: std::io::Error,
    },
    /// A certificate was refused, by this side or by etcd: a wrong CA or name, an expired certificate, or a client
    /// certificate that etcd does not take.
    #[error("TLS with etcd endpoint {endpoint} failed: {reason}")]
    Tls {
        /// The endpoint.
        endpoint: Backend,
        /// What rustls says; holds no secret.
        reason: String,
    },
    /// The certificate files for etcd cannot be used.
    #[error("the certificate files for etcd cannot be used: {}", Chain(&**.0))]
    Files(Arc<TlsError>),
    /// Nothing came back in time. Whether a write was done is unknown. Usual causes: an overloaded disk below etcd,
    /// or a network that drops packets.
    #[error("etcd endpoint {endpoint} did not answer in time")]
    Timeout {
        /// The endpoint.
        endpoint: Backend,
    },
    /// The connection ended during a call or a watch. Whether a write was done is unknown.
    #[error("the connection to etcd endpoint {endpoint} was lost")]
    Disconnected {
        /// The endpoint.
        endpoint: Backend,
        /// What hyper says, if the peer did not simply close.
        source: Option<BoxError>,
    },
    /// The member answers but cannot serve: no leader (a majority of the members is down), starting, or stopping.
    /// Whether a write was done is unknown.
    #[error("etcd endpoint {endpoint} cannot serve now: {reason}")]
    Unavailable {
        /// The endpoint.
        endpoint: Backend,
        /// In etcd's words.
        reason: String,
    },
    /// etcd's access control refuses: the client certificate's user lacks a role for these keys, or there is none.
    #[error("etcd refuses access: {reason}")]
    Denied {
        /// In etcd's words, and which rights on which keys the request needs.
        reason: String,
    },
    /// The store has reached its quota; etcd accepts no writes.
    #[error(
        "etcd's space quota is used up: compact, defragment and disarm the alarm (etcdctl alarm disarm), or raise --quota-backend-bytes"
    )]
    NoSpace,
    /// The requested revision is gone. Read from the beginning.
    #[error("the revision was compacted away")]
    Compacted {
        /// The oldest revision that is left, if etcd says it.
        oldest: Option<i64>,
    },
    /// There is no such lease: it ended, or was revoked.
    #[error("the lease has ended")]
    LeaseNotFound,
    /// A request or an answer is larger than etcd or this client accepts.
    #[error("a request to etcd or its answer is too large: {reason}")]
    TooLarge {
        /// In etcd's or tonic's words.
        reason: String,
    },
    /// etcd finds the request wrong.
    #[error("etcd rejects the request: {reason}")]
    Rejected {
        /// In etcd's words.
        reason: String,
    },
    /// The answer is not what etcd answers. Usual causes: something else listens there, or a fault of etcd.
    #[error("the answer is not one of etcd's: {reason}: check that the endpoint is etcd's client URL")]
    Protocol {
        /// What is wrong with it.
        reason: String,
    },
}

// === impl Error ===

impl Error {
    /// A word for metrics and status; of a fixed set.
    pub fn class(&self) -> &'static str {
        match self {
            Self::NoEndpoints => "config",
            Self::Unreachable { .. } => "unreachable",
            Self::Tls { .. } | Self::Files(_) => "tls",
            Self::Timeout { .. } => "timeout",
            Self::Disconnected { .. } => "disconnected",
            Self::Unavailable { .. } => "unavailable",
            Self::Denied { .. } => "denied",
            Self::NoSpace => "no-space",
            Self::Compacted { .. } => "compacted",
            Self::LeaseNotFound => "lease",
            Self::TooLarge { .. } => "too-large",
            Self::Rejected { .. } => "rejected",
            Self::Protocol { .. } => "protocol",
        }
    }

    /// Whether another endpoint, or a new connection, may do better.
    pub fn is_endpoint_fault(&self) -> bool {
        match self {
            Self::Unreachable { .. }
            | Self::Tls { .. }
            | Self::Timeout { .. }
            | Self::Disconnected { .. }
            | Self::Unavailable { .. }
            | Self::Protocol { .. } => true,
            Self::NoEndpoints
            | Self::Files(_)
            | Self::Denied { .. }
            | Self::NoSpace
            | Self::Compacted { .. }
            | Self::LeaseNotFound
            | Self::TooLarge { .. }
            | Self::Rejected { .. } => false,
        }
    }

    /// Whether a write that failed so may have been done nonetheless: its answer is what is missing.
    pub fn leaves_write_unknown(&self) -> bool {
        match self {
            Self::Timeout { .. }
            | Self::Disconnected { .. }
            | Self::Unavailable { .. }
            | Self::Protocol { .. }
            // Also seen when the stream breaks later.
            | Self::Tls { .. } => true,
            Self::NoEndpoints
            | Self::Unreachable { .. }
            | Self::Files(_)
            | Self::Denied { .. }
            | Self::NoSpace
            | Self::Compacted { .. }
            | Self::LeaseNotFound
            | Self::TooLarge { .. }
            | Self::Rejected { .. } => false,
        }
    }

    /// Completes a refusal with the rights that the request needs.
    pub(super) fn needing(self, request: &impl Needs) -> Self {
        let Self::Denied { reason } = self else { return self };
        let needed = request.needed().to_string();
        let role = if needed.is_empty() { "a role".to_owned() } else { format!("a role with {needed}") };
        let user = if reason.contains(NO_USER) {
            "without a client certificate there is no user; the one that its CN names needs"
        } else {
            "the user that the client certificate's CN names needs"
        };
        Self::Denied { reason: format!("{reason}: {user} {role}") }
    }

    /// What a gRPC status means. Many of etcd's faults differ only in their text.
    pub(super) fn from_status(endpoint: &Backend, status: &Status) -> Self {
        let broken = std::error::Error::source(status).and_then(|source| {
            let error = source.downcast_ref::<hyper::Error>()?;
            Some(error.to_string())
        });
        let endpoint = endpoint.clone();
        if let Some(text) = broken {
            return Self::Disconnected { endpoint, source: Some(text.into()) };
        }
        Self::from_text(endpoint, status.code(), status.message())
    }

    /// What a code and a text of etcd's mean.
    pub(super) fn from_text(endpoint: Backend, code: Code, text: &str) -> Self {
        let has = |part: &str| text.contains(part);
        let reason = printable(text);
        match code {
            _ if has("database space exceeded") => Self::NoSpace,
            _ if has("has been compacted") => Self::Compacted { oldest: None },
            _ if has("permission denied") || has(NO_USER) => Self::Denied { reason },
            _ if has("lease not found") => Self::LeaseNotFound,
            _ if has("too large") || has("larger than max") => Self::TooLarge { reason },
            // Seen when roles change between a call's check and its execution; a second attempt succeeds.
            _ if has("revision of auth store is old") => Self::Unavailable { endpoint, reason },
            Code::PermissionDenied | Code::Unauthenticated => Self::Denied { reason },
            Code::DeadlineExceeded => Self::Timeout { endpoint },
            Code::Unavailable
            | Code::ResourceExhausted
            | Code::Cancelled
            | Code::DataLoss
            | Code::Aborted => Self::Unavailable { endpoint, reason },
            Code::InvalidArgument
            | Code::FailedPrecondition
            | Code::OutOfRange
            | Code::NotFound
            | Code::AlreadyExists => Self::Rejected { reason },
            Code::Ok | Code::Unknown | Code::Unimplemented | Code::Internal => Self::Protocol { reason },
        }
    }
}

impl Classify for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NoEndpoints | Self::Files(_) | Self::Rejected { .. } | Self::Protocol { .. } => {
                ErrorKind::Internal
            }
            Self::TooLarge { .. } => ErrorKind::Client,
            Self::Unreachable { .. }
            | Self::Tls { .. }
            | Self::Timeout { .. }
            | Self::Disconnected { .. }
            | Self::Unavailable { .. }
            | Self::Denied { .. }
            | Self::NoSpace
            | Self::Compacted { .. }
            | Self::LeaseNotFound => ErrorKind::Upstream,
        }
    }

    /// Endpoints and etcd's words are for operators: clients learn only that the store is not there.
    fn reply(&self) -> Reply {
        match self {
            Self::TooLarge { .. } => {
                Reply::router(StatusCode::PAYLOAD_TOO_LARGE, 2, "the resource is too large for the store")
            }
            Self::Denied { .. } => unavailable(
                "the gateway's store refuses the gateway access; nothing was changed: its log says which",
            ),
            _ if self.leaves_write_unknown() => unavailable(
                "the gateway's store did not answer; a change may or may not have happened: read before you repeat it",
            ),
            _ => unavailable("the gateway's store is unavailable; nothing was changed: try again later"),
        }
    }
}

fn unavailable(message: &'static str) -> Reply {
    Reply { retry_after: Some(5), ..Reply::router(StatusCode::SERVICE_UNAVAILABLE, 0, message) }
}

/// A peer's text, short and in one line.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_REASON_CHARS).collect()
}

/// What etcd says to a connection without a user.
const NO_USER: &str = "user name is empty";

/// How much of a peer's text is repeated.
const MAX_REASON_CHARS: usize = 200;
