use http::StatusCode;

use crate::{
    error::{Classify, ErrorKind, Reply},
    types::{ClusterName, FailureClass},
};

/// Why a GraphQL request has no answer at all. What concerns only a part of it is part of the answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GraphQlError {
    /// Every operation was for this one cluster, and it gave no answer: it is down, hung, or refuses the token. Not an
    /// answer with `errors`, so that a page of Sensu's web UI keeps what it shows.
    #[error("{}", describe(cluster, *failure))]
    Cluster {
        /// The cluster.
        cluster: ClusterName,
        /// What it did.
        failure: FailureClass,
    },
    /// A fragment of a document contains itself: a Sensu 6.12 backend crashes on it.
    #[error("a fragment of the document contains itself")]
    Cycle,
    /// A string in a document or its variables such as `../b/c`: Sensu resolves such a name to an object in another namespace
    /// than the one whose rights it has checked.
    #[error("a string in the document or its variables leads out of its namespace, or cannot be read")]
    PathTraversal,
    /// A body that is not JSON but that Sensu might still read in part.
    #[error("the request body is not valid JSON")]
    Unreadable,
    /// The answers that wait for others hold all the memory there is for them.
    #[error("too many GraphQL requests are in flight; try again")]
    Overloaded,
}

/// The message to clients about a cluster that failed.
pub(super) fn describe(cluster: &ClusterName, failure: FailureClass) -> String {
    match failure {
        FailureClass::Unreachable => format!("cluster \"{cluster}\" is unreachable"),
        FailureClass::BreakerOpen => {
            format!(
                "cluster \"{cluster}\" is unreachable: connecting failed several times in a row; it is tried again in a few seconds"
            )
        }
        FailureClass::Timeout => format!("cluster \"{cluster}\" did not answer in time"),
        FailureClass::Tls => format!("the TLS handshake with cluster \"{cluster}\" failed"),
        FailureClass::Unauthorized => {
            format!(
                "cluster \"{cluster}\" refused the token: are its jwt key files those of the local cluster?"
            )
        }
        FailureClass::BadBody => format!("cluster \"{cluster}\" answered with a body that is not valid"),
        FailureClass::TooLarge => {
            format!("the answer of cluster \"{cluster}\" is too large to be merged: ask it alone")
        }
        FailureClass::Forbidden | FailureClass::NotFound | FailureClass::ServerError => {
            format!("cluster \"{cluster}\" failed to answer")
        }
    }
}

// === impl GraphQlError ===

impl Classify for GraphQlError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Cluster { cluster, failure: FailureClass::Unauthorized } if cluster.is_local() => {
                ErrorKind::Client
            }
            Self::Cluster { .. } => ErrorKind::Upstream,
            Self::Cycle | Self::PathTraversal | Self::Unreadable => ErrorKind::Client,
            Self::Overloaded => ErrorKind::Overload,
        }
    }

    fn reply(&self) -> Reply {
        let (status, code) = match self {
            Self::Cluster { cluster, failure: FailureClass::Unauthorized } if cluster.is_local() => {
                return Reply::middleware(StatusCode::UNAUTHORIZED, 5, "invalid credentials");
            }
            Self::Cluster { failure: FailureClass::Timeout, .. } => (StatusCode::GATEWAY_TIMEOUT, 0),
            Self::Cluster { .. } => (StatusCode::BAD_GATEWAY, 0),
            Self::Cycle | Self::PathTraversal | Self::Unreadable => (StatusCode::BAD_REQUEST, 1),
            Self::Overloaded => (StatusCode::SERVICE_UNAVAILABLE, 0),
        };
        let mut reply = Reply::router(status, code, self.to_string());
        reply.retry_after = matches!(self, Self::Overloaded).then_some(1);
        reply
    }
}
