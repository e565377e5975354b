//! What a request's body may say, and how it is read: as a whole, within bounds of size, rate and memory.

use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http_body::Body as _;
use http_body_util::BodyExt;
use tokio::time::Instant;

use crate::{
    error::{Classify, ErrorKind, Reply},
    rewrite::{Unqualified, UnqualifyError, unqualify},
    routing::{BodyRule, NameRule, is_path_traversal},
    types::{ClusterName, Shape},
    wire::{Body, Budget, Held},
};

/// Why a body was refused. Nothing has been forwarded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BodyError {
    /// Larger than `limits.request-body-bytes`.
    #[error("the request body is larger than {limit} bytes")]
    TooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// All request bodies together hold as much memory as they may.
    #[error("too many request bodies are in flight; try again")]
    Overload,
    /// Arrives slower than the minimum rate.
    #[error("the request body arrives too slowly")]
    Slow,
    /// The client aborted the body.
    #[error("the request body broke off")]
    Broken,
    /// A namespace in the body such as `@x` or `a@b@c`.
    #[error("a namespace in the body is not valid: write <namespace> or <namespace>@<cluster>")]
    Namespace,
    /// The body names another cluster than the path, or several.
    #[error("the body and the path must name the same cluster")]
    Cluster,
    /// An entity or event whose body names another namespace than the path: Sensu would believe the body.
    #[error("the namespace of the resource ({found}) does not match the namespace of the URI ({expected})")]
    NamespaceMismatch {
        /// The namespace in the body.
        found: String,
        /// The namespace of the path.
        expected: String,
    },
    /// An asset's name with an empty component, `.` or `..`: Sensu's store would clean it into another key.
    #[error("the name of the asset is not valid: no component may be empty, \".\" or \"..\"")]
    Name,
    /// An entity whose body names another entity than the path.
    #[error("the name of the resource ({found}) does not match the name on the URI ({expected})")]
    NameMismatch {
        /// The name in the body.
        found: String,
        /// The name of the path.
        expected: String,
    },
}

/// Reads a body of at most `limit` bytes that keeps up a minimum rate and fits into the budget.
pub(super) async fn read(
    mut body: Body,
    limit: usize,
    budget: &Arc<Budget>,
) -> Result<(Bytes, Held), BodyError> {
    let held = budget.hold();
    if body.is_end_stream() {
        return Ok((Bytes::new(), held));
    }
    if body.size_hint().lower() > limit as u64 {
        return Err(BodyError::TooLarge { limit });
    }
    let begun = Instant::now();
    let mut whole = BytesMut::new();
    loop {
        // Bytes that came fast earn no time to stall later.
        let earned = begun + GRACE + Duration::from_secs(whole.len() as u64 / MIN_RATE);
        let deadline = earned.min(Instant::now() + GRACE);
        match tokio::time::timeout_at(deadline, body.frame()).await.map_err(|_| BodyError::Slow)? {
            None => return Ok((whole.freeze(), held)),
            Some(Err(_)) => return Err(BodyError::Broken),
            Some(Ok(frame)) => {
                let Ok(data) = frame.into_data() else { continue };
                if whole.len() + data.len() > limit {
                    return Err(BodyError::TooLarge { limit });
                }
                if !held.add(data.len()) {
                    return Err(BodyError::Overload);
                }
                if whole.is_empty() && body.is_end_stream() {
                    // One frame is the usual case and needs no copy.
                    return Ok((data, held));
                }
                whole.extend_from_slice(&data);
            }
        }
    }
}

/// Applies a route's rule: the body to forward, and the cluster that it goes to.
pub(super) fn apply(
    rule: &BodyRule,
    body: Bytes,
    cluster: ClusterName,
) -> Result<(Bytes, ClusterName), BodyError> {
    if body.is_empty() {
        return Ok((body, cluster));
    }
    match rule {
        BodyRule::Raw | BodyRule::GraphQl => Ok((body, cluster)),
        BodyRule::Checked { must_equal, name } => {
            let found = unqualify(&body, Shape::Resource).map_err(BodyError::from)?;
            if found.cluster.is_some() {
                return Err(BodyError::Cluster);
            }
            check(&found, must_equal.as_deref(), name)?;
            Ok((body, cluster))
        }
        BodyRule::Namespaced { shape, must_equal, name } => {
            let found = unqualify(&body, *shape).map_err(BodyError::from)?;
            let target = found.cluster.clone().unwrap_or_else(ClusterName::local);
            // An empty namespace names no cluster: Sensu fills it in from the path, or refuses it.
            let names_one = found.namespaces.iter().any(|namespace| !namespace.is_empty());
            if found.mixed || (names_one && target != cluster) {
                return Err(BodyError::Cluster);
            }
            check(&found, must_equal.as_deref(), name)?;
            Ok((found.body, cluster))
        }
        BodyRule::ChoosesCluster => {
            let found = unqualify(&body, Shape::Namespace).map_err(BodyError::from)?;
            if found.mixed {
                return Err(BodyError::Cluster);
            }
            Ok((found.body, found.cluster.unwrap_or(cluster)))
        }
    }
}

/// Checks every namespace and name of a body, duplicates included: Sensu takes the last.
fn check(found: &Unqualified, must_equal: Option<&str>, name: &NameRule) -> Result<(), BodyError> {
    if let Some(expected) = must_equal {
        // An empty one is as good as none: Sensu fills it in from the path, or refuses it.
        let other = found.namespaces.iter().find(|namespace| !namespace.is_empty() && *namespace != expected);
        if let Some(other) = other {
            return Err(BodyError::NamespaceMismatch { found: other.clone(), expected: expected.to_owned() });
        }
    }
    let mut names = found.names.iter();
    match name {
        NameRule::Any => Ok(()),
        NameRule::Equals(expected) => match names.find(|name| *name != expected) {
            None => Ok(()),
            Some(other) => Err(BodyError::NameMismatch { found: other.clone(), expected: expected.clone() }),
        },
        NameRule::Components => {
            let escapes = names.any(|name| !name.is_empty() && is_path_traversal(name));
            if escapes { Err(BodyError::Name) } else { Ok(()) }
        }
    }
}

// === impl BodyError ===

impl From<UnqualifyError> for BodyError {
    fn from(error: UnqualifyError) -> Self {
        match error {
            UnqualifyError::Malformed => Self::Namespace,
            UnqualifyError::Mismatch => Self::Cluster,
        }
    }
}

impl Classify for BodyError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Overload => ErrorKind::Overload,
            _ => ErrorKind::Client,
        }
    }

    fn reply(&self) -> Reply {
        let (status, code, close) = match self {
            Self::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, 1, true),
            Self::Overload => (StatusCode::SERVICE_UNAVAILABLE, 0, true),
            Self::Slow => (StatusCode::REQUEST_TIMEOUT, 1, true),
            Self::Broken => (StatusCode::BAD_REQUEST, 1, true),
            _ => (StatusCode::BAD_REQUEST, 1, false),
        };
        let mut reply = Reply::router(status, code, self.to_string());
        reply.close = close;
        reply.retry_after = matches!(self, Self::Overload).then_some(1);
        reply
    }
}

/// Bytes per second that a request body has to bring after [`GRACE`].
const MIN_RATE: u64 = 1024;

const GRACE: Duration = Duration::from_secs(10);
