use std::path::PathBuf;

use http::StatusCode;

use crate::error::{Access, Advice, BoxError, Chain, Classify, ErrorKind, Reply, causes};

/// Why a store did not do what it was asked. The messages include the cause, which is therefore not a `source`.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The entry is not what the write expected. Usual cause: a concurrent change.
    #[error("the entry was changed by someone else meanwhile")]
    Conflict,
    /// The store cannot be reached or written. Usual cause: a full disk; a store that is being restarted.
    #[error("the store is not available: {}", Chain(&**.0))]
    Unavailable(BoxError),
    /// A write was sent and its answer was lost: it may or may not have happened. Usual cause: the store was stopped, or
    /// the network failed, at that moment.
    #[error("the store's answer was lost, the write may or may not have happened: {}", Chain(&**.0))]
    Unknown(BoxError),
    /// The store does not accept entries of that size. Usual cause: a lowered limit of etcd (`--max-request-bytes`).
    #[error("the entry is too large for the store: {}", Chain(&**.0))]
    TooLarge(BoxError),
    /// The file cannot be opened. Usual cause: a wrong path or owner, or another gateway that has it open.
    #[error("cannot open the registry {}: {}{}", path.display(), Chain(&**.reason), advice(.reason))]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system or the database said.
        reason: BoxError,
    },
    /// The registry was written by a newer version of the gateway. This one leaves it as it is.
    #[error("the registry {registry} has schema {found}, which this version cannot read: use a newer one")]
    Schema {
        /// The file, or the place in etcd.
        registry: String,
        /// The schema's number.
        found: String,
    },
}

// === impl StoreError ===

impl StoreError {
    pub(super) fn unavailable(source: impl Into<BoxError>) -> Self {
        Self::Unavailable(source.into())
    }
}

impl Classify for StoreError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Conflict | Self::TooLarge(_) => ErrorKind::Client,
            Self::Unavailable(_) | Self::Unknown(_) | Self::Open { .. } | Self::Schema { .. } => {
                ErrorKind::Internal
            }
        }
    }

    fn reply(&self) -> Reply {
        match self {
            Self::Conflict => Reply::router(
                StatusCode::PRECONDITION_FAILED,
                7,
                "the resource was changed by someone else meanwhile: read it again and repeat the change",
            ),
            Self::TooLarge(_) => Reply::router(
                StatusCode::PAYLOAD_TOO_LARGE,
                1,
                "the resource is too large for the gateway's registry: make it smaller, or raise etcd's --max-request-bytes",
            ),
            Self::Unknown(_) => later(
                "the gateway's registry did not confirm the change, which may or may not have happened: read the resource before you repeat it",
            ),
            Self::Unavailable(_) | Self::Open { .. } | Self::Schema { .. } => later(
                "the gateway's registry cannot be written at present; reading and proxying continue: try again later",
            ),
        }
    }
}

fn later(message: &'static str) -> Reply {
    Reply { retry_after: Some(RETRY_AFTER), ..Reply::router(StatusCode::SERVICE_UNAVAILABLE, 0, message) }
}

/// Seconds after which a client may try again.
const RETRY_AFTER: u32 = 5;

/// What to do when it is the system that refused.
fn advice(reason: &BoxError) -> String {
    let refused = causes(&**reason).find_map(|cause| cause.downcast_ref());
    refused.map(|error| Advice(error, Access::Write).to_string()).unwrap_or_default()
}
