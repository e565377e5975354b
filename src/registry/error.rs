use std::path::PathBuf;

use http::StatusCode;

use crate::error::{BoxError, Classify, ErrorKind, Reply};

/// Why a store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The entry is not what the write expected. Usual cause: somebody else changed it in between.
    #[error("the entry has changed in between")]
    Conflict,
    /// The store cannot be reached or written. Usual cause: a full disk; a store that is being restarted.
    #[error("the store is not available: {0}")]
    Unavailable(#[source] BoxError),
    /// The file cannot be opened. Usual cause: a wrong path or owner, or another gateway that has it open.
    #[error("cannot open the registry {path}: {source}", path = path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system or the database said.
        source: BoxError,
    },
    /// The file was written by a newer version of the gateway.
    #[error("the registry {path} has schema {found}, which this version cannot read: use a newer one", path = path.display())]
    Schema {
        /// The file.
        path: PathBuf,
        /// The schema's number.
        found: u64,
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
            Self::Conflict => ErrorKind::Client,
            Self::Unavailable(_) | Self::Open { .. } | Self::Schema { .. } => ErrorKind::Internal,
        }
    }

    fn reply(&self) -> Reply {
        match self {
            Self::Conflict => Reply::router(
                StatusCode::PRECONDITION_FAILED,
                7,
                "the resource has been changed in between: read it again and repeat the change",
            ),
            Self::Unavailable(_) | Self::Open { .. } | Self::Schema { .. } => Reply {
                retry_after: Some(RETRY_AFTER),
                ..Reply::router(
                    StatusCode::SERVICE_UNAVAILABLE,
                    0,
                    "the gateway's registry cannot be written at present; reading and proxying go on: try again later",
                )
            },
        }
    }
}

/// Seconds after which a client may try again.
const RETRY_AFTER: u32 = 5;
