use http::StatusCode;

use crate::{
    authz::AuthzError,
    error::{Classify, ErrorKind, Reply},
    registry::{StoreError, resource::FieldError},
    types::{ClusterName, Kind},
};

/// Why a `federation/v1` request failed.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// No such path under `federation/v1`.
    #[error("no such path")]
    NoRoute,
    /// No credential.
    #[error("no credential")]
    Unauthenticated,
    /// An API key, which only the cluster that issued it can judge.
    #[error("an API key in place of a token")]
    ApiKey,
    /// The caller's rules do not grant the verb. Usual cause: not a cluster admin.
    #[error("the caller may not do that")]
    Forbidden,
    /// The caller's rules cannot be evaluated.
    #[error(transparent)]
    Authorization(#[from] AuthzError),
    /// Nothing of that name.
    #[error("{} {name} is not registered", kind.noun())]
    NotFound {
        /// What was looked for.
        kind: Kind,
        /// Its name.
        name: String,
    },
    /// POST of a name that is taken.
    #[error("{} {name} exists already", kind.noun())]
    Exists {
        /// What was to be created.
        kind: Kind,
        /// Its name.
        name: String,
    },
    /// A write to a cluster that the configuration file sets.
    #[error("cluster {name} comes from the configuration")]
    Configured {
        /// Its name.
        name: String,
        /// Whether it is the local cluster.
        local: bool,
    },
    /// A field of the body is wrong.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// A `Replicator` on a gateway that cannot act in other clusters.
    #[error(
        "a Replicator needs auth.jwt-private-key-file in the gateway's configuration: with that key the gateway signs \
         the short-lived tokens by which it reads and writes through the clusters' APIs; an EtcdReplicator does without"
    )]
    NoPrivateKey,
    /// An etcd replicator is to be compared by a gateway that does not know its source.
    #[error(
        "this gateway cannot read the etcd of the local cluster: an etcd replicator needs replication.enabled and \
         replication.source in the gateway's configuration"
    )]
    NoSource,
    /// `cluster` with an etcd replicator.
    #[error("an etcd replicator has one destination: the query parameter cluster is for Replicators")]
    OneDestination,
    /// A `Replicator` does not copy to the cluster that was asked for.
    #[error("it does not copy to cluster {0}, which is not among its spec.clusters or is not registered")]
    NotCopiedTo(ClusterName),
    /// `limit`, `continue` or `give_up` is malformed. Usual cause: a token cut short, or one of another list.
    #[error("the query parameter {0} is not valid")]
    Page(&'static str),
    /// What a replicator that is still registered has left behind is not given up.
    #[error(
        "{} {name} is registered: delete it first; what cannot be removed then can be given up",
        kind.noun()
    )]
    NotDeleted {
        /// What was to be given up.
        kind: Kind,
        /// Its name.
        name: String,
    },
    /// What a deleted replicator has left is being removed everywhere.
    #[error("what {} {name} has copied is being removed everywhere: there is nothing to give up", kind.noun())]
    NotStuck {
        /// What was to be given up.
        kind: Kind,
        /// Its name.
        name: String,
    },
    /// The secret that seals `continue` has not been read. Usual cause: the store was down when the gateway started.
    #[error("the secret for continue tokens is not known yet")]
    NoSecret,
    /// The store has not been read since the start. Usual cause: its etcd is down.
    #[error("the gateway's registry has not been read yet: try again later")]
    Unread,
    /// Every attempt lost the race against another writer of the same resource.
    #[error("too many concurrent writes to the resource: try again")]
    Busy,
    /// As many tests are under way as may be.
    #[error("too many tests are under way: try again")]
    Testing,
    /// As many comparisons are under way as may be.
    #[error("other replicators are being compared: try again")]
    Comparing,
    /// `If-Match` or `If-None-Match` holds no list of entity tags. Usual cause: missing quotes.
    #[error("If-Match and If-None-Match take * or quoted entity tags")]
    Condition,
    /// `If-Match` or `If-None-Match` does not hold. Usual cause: another writer came first.
    #[error("the precondition does not hold")]
    Precondition,
    /// The body is larger than [`MAX_BODY`](super::MAX_BODY).
    #[error("the body is larger than {} bytes", super::MAX_BODY)]
    TooLarge,
    /// What is stored cannot be read. Usual cause: a newer gateway on the same store.
    #[error("the stored resource cannot be read")]
    Unreadable,
    /// The process is stopping.
    #[error("the gateway is stopping")]
    Stopping,
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

// === impl ApiError ===

impl ApiError {
    pub(super) fn not_found(kind: Kind, name: &str) -> Self {
        Self::NotFound { kind, name: name.chars().take(MAX_ECHO).collect() }
    }
}

impl Classify for ApiError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Authorization(error) => error.kind(),
            Self::Store(error) => error.kind(),
            Self::NoSecret | Self::Unreadable => ErrorKind::Internal,
            Self::Unread | Self::Busy | Self::Testing | Self::Comparing | Self::Stopping => {
                ErrorKind::Overload
            }
            _ => ErrorKind::Client,
        }
    }

    fn reply(&self) -> Reply {
        match self {
            Self::NoRoute => Reply::router(StatusCode::NOT_FOUND, 2, "not found"),
            Self::Unauthenticated => Reply::middleware(StatusCode::UNAUTHORIZED, 5, "unauthenticated"),
            Self::ApiKey => Reply::middleware(
                StatusCode::UNAUTHORIZED,
                5,
                "an API key is known only to the cluster that issued it: log in and use a token",
            ),
            Self::Forbidden => Reply::middleware(StatusCode::FORBIDDEN, 4, "unauthorized to perform action"),
            Self::Authorization(error) => error.reply(),
            Self::NotFound { .. } => Reply::router(StatusCode::NOT_FOUND, 2, self.to_string()),
            Self::Exists { .. } | Self::NotDeleted { .. } | Self::NotStuck { .. } => {
                Reply::router(StatusCode::CONFLICT, 3, self.to_string())
            }
            Self::Configured { name, local } => {
                let key = if *local { "local-cluster" } else { "clusters" };
                let message = format!(
                    "cluster {name} comes from the gateway's configuration file: change it there, under {key}"
                );
                Reply::router(StatusCode::CONFLICT, 3, message)
            }
            Self::Field(_)
            | Self::Page(_)
            | Self::Condition
            | Self::NoPrivateKey
            | Self::NoSource
            | Self::OneDestination
            | Self::NotCopiedTo(_) => Reply::router(StatusCode::BAD_REQUEST, 1, self.to_string()),
            Self::Unread | Self::Busy | Self::Testing | Self::Comparing => Reply {
                retry_after: Some(RETRY_AFTER),
                ..Reply::router(StatusCode::SERVICE_UNAVAILABLE, 0, self.to_string())
            },
            Self::NoSecret => Reply {
                retry_after: Some(RETRY_AFTER),
                ..Reply::router(
                    StatusCode::SERVICE_UNAVAILABLE,
                    0,
                    "the gateway's registry is not available, so that lists cannot be paged: try again later, or without limit and continue",
                )
            },
            Self::Precondition => Reply::router(
                StatusCode::PRECONDITION_FAILED,
                7,
                "the resource is not the one that If-Match or If-None-Match asks for: read it again and repeat the change",
            ),
            Self::TooLarge => Reply::router(StatusCode::PAYLOAD_TOO_LARGE, 1, self.to_string()),
            Self::Unreadable => Reply::router(
                StatusCode::INTERNAL_SERVER_ERROR,
                0,
                "the stored resource cannot be read by this version of the gateway",
            ),
            Self::Stopping => Reply::router(StatusCode::SERVICE_UNAVAILABLE, 0, self.to_string()),
            Self::Store(error) => error.reply(),
        }
    }
}

/// Seconds after which a client may try again.
const RETRY_AFTER: u32 = 5;
/// Most characters of a client's text in an error.
const MAX_ECHO: usize = 253;
