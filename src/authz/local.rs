//! Requests to the local cluster's API in the gateway's own name.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use tokio::time::timeout;

use super::Minter;
use crate::{
    auth::KeyError,
    error::{Classify, ErrorKind, Reply},
    types::LOCAL_CLUSTER,
    upstream::{self, Manager},
    wire::{Body, ReadError, header::add_via, read_limited},
};

/// Why the local cluster gave no usable answer. That answer decides who may do what, so this is never the caller's
/// fault.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LocalError {
    /// No local cluster is configured at present. Usual cause: the configuration is being replaced.
    #[error("the local cluster is not known yet")]
    Missing,
    /// The gateway could not sign its own token: the random source failed.
    #[error("the gateway's own token could not be signed")]
    Mint(#[source] Arc<KeyError>),
    /// The request failed.
    #[error("{0}")]
    Upstream(Arc<upstream::Error>),
    /// No complete answer in time. Usual cause: an overloaded backend.
    #[error("the local cluster did not answer in time")]
    Timeout,
    /// The answer was cut short, or is larger than any valid one.
    #[error("the local cluster's answer could not be read")]
    Body(#[source] Arc<ReadError>),
    /// 401 to the gateway's own token.
    #[error(
        "the local cluster refuses the gateway's own token: check that auth.jwt-private-key-file is the key pair that the cluster is configured with, and that the clocks agree"
    )]
    Refused,
    /// 403 to the gateway's own token.
    #[error(
        "the local cluster does not let the gateway read RBAC and users: its group cluster-admins needs the ClusterRole cluster-admin, as sensu-backend init makes it"
    )]
    Forbidden,
    /// Another status. 500 with a text about authorization: a `ClusterRoleBinding` of that cluster is broken.
    #[error("the local cluster answered {0}")]
    Status(StatusCode),
    /// The answer is not one that Sensu gives there. Usual cause: `local-cluster.api-urls` leads elsewhere.
    #[error(
        "the local cluster's answer is not a valid {0}: check that local-cluster.api-urls leads to a Sensu backend"
    )]
    Malformed(&'static str),
}

/// An answer, read to its end.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    /// Empty unless the status is 200.
    pub(super) body: Bytes,
}

/// Gets `target`, which must be encoded, with a new token. Bounded in time and to `limit` bytes.
pub(super) async fn get(
    manager: &Manager,
    minter: &Minter,
    target: &str,
    limit: usize,
) -> Result<Answer, LocalError> {
    let exchange = async {
        let client = manager.cluster(LOCAL_CLUSTER).ok_or(LocalError::Missing)?;
        let token = minter.own_bearer().map_err(|error| LocalError::Mint(Arc::new(error)))?;
        let backend = client.cluster().backends.first().ok_or(LocalError::Missing)?;
        let host = HeaderValue::try_from(backend.authority()).map_err(|_| LocalError::Missing)?;
        let mut request = Request::get(target)
            .header(header::HOST, host)
            .header(header::ACCEPT, "application/json")
            .header(header::AUTHORIZATION, token)
            .body(Bytes::new())
            .map_err(|_| LocalError::Malformed("path"))?;
        add_via(request.headers_mut());
        let sent = client.send(request).await;
        read(sent.map_err(|error| LocalError::Upstream(Arc::new(error)))?, limit).await
    };
    timeout(TIMEOUT, exchange).await.map_err(|_| LocalError::Timeout)?
}

async fn read(response: Response<Body>, limit: usize) -> Result<Answer, LocalError> {
    let (head, body) = response.into_parts();
    if head.status != StatusCode::OK {
        // Read only so that the connection can be used again.
        drop(read_limited(body, MAX_REFUSAL).await);
        return Ok(Answer { status: head.status, headers: head.headers, body: Bytes::new() });
    }
    let body = read_limited(body, limit).await.map_err(|error| LocalError::Body(Arc::new(error)))?;
    Ok(Answer { status: head.status, headers: head.headers, body })
}

// === impl LocalError ===

impl LocalError {
    /// The meaning of a status that the caller does not expect.
    pub(super) fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::UNAUTHORIZED => Self::Refused,
            StatusCode::FORBIDDEN => Self::Forbidden,
            status => Self::Status(status),
        }
    }
}

impl Classify for LocalError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Mint(_) => ErrorKind::Internal,
            Self::Upstream(error) => error.kind(),
            _ => ErrorKind::Upstream,
        }
    }

    fn reply(&self) -> Reply {
        let of = |status, message: &'static str| Reply::router(status, 0, message);
        match self {
            Self::Upstream(error) => error.reply(),
            Self::Timeout => of(StatusCode::GATEWAY_TIMEOUT, "the local cluster did not answer in time"),
            Self::Missing => of(StatusCode::SERVICE_UNAVAILABLE, "the local cluster is not known yet"),
            Self::Mint(_) => of(StatusCode::INTERNAL_SERVER_ERROR, "internal error occurred"),
            _ => of(
                StatusCode::BAD_GATEWAY,
                "the local cluster could not be asked; the gateway's log says why",
            ),
        }
    }
}

/// For one request, from connecting to the last byte.
const TIMEOUT: Duration = Duration::from_secs(5);

const MAX_REFUSAL: usize = 16 << 10;
