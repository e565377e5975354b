use http::StatusCode;

use crate::error::{Classify, ErrorKind, Reply};

/// Why the rules cannot decide about a caller. Sensu answers 500 in each of these cases, and grants nothing.
///
/// The text is for the log and says what to fix. Names in it are truncated and free of control characters.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthzError {
    /// A binding of the caller refers to a role that does not exist, and none before it allowed the request. Usual
    /// cause: the role was deleted before its binding, or has not been replicated yet.
    #[error(
        "ClusterRoleBinding {binding} refers to {kind} {role}, which does not exist: create the role or delete the binding"
    )]
    Dangling {
        /// The binding.
        binding: Box<str>,
        /// The kind of role that it names; only a `ClusterRole` can exist for it.
        kind: Box<str>,
        /// The role.
        role: Box<str>,
    },
    /// A role that a binding of the caller refers to cannot be read. Usual cause: written into etcd by hand.
    #[error(
        "ClusterRole {role}, to which ClusterRoleBinding {binding} refers, cannot be read: write the role again"
    )]
    UnreadableRole {
        /// The binding.
        binding: Box<str>,
        /// The role.
        role: Box<str>,
    },
    /// A binding cannot be read. Since it may name anyone, it concerns every caller. Usual cause: written into etcd by
    /// hand.
    #[error(
        "ClusterRoleBinding {binding} cannot be read, so every write is denied: rewrite or delete it in etcd"
    )]
    UnreadableBinding {
        /// Its key.
        binding: Box<str>,
    },
    /// More rules than the gateway holds. Usual cause: a script that creates roles in a loop.
    #[error(
        "the local cluster's ClusterRoles and ClusterRoleBindings take more than {limit} bytes, so every write is denied: delete some"
    )]
    TooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
}

// === impl AuthzError ===

impl AuthzError {
    /// The same for everybody with a token: without names, which not everybody may read.
    pub fn without_names(&self) -> &'static str {
        match self {
            Self::Dangling { .. } => {
                "a ClusterRoleBinding of yours refers to a role that does not exist, so you may change nothing here: create the role or delete the binding"
            }
            Self::UnreadableRole { .. } => {
                "a ClusterRole of yours in the local cluster cannot be read, so you may change nothing here: write the role again"
            }
            Self::UnreadableBinding { .. } => {
                "a ClusterRoleBinding in the local cluster cannot be read, so nobody is an administrator: nobody may change anything here or sees other errors until it is rewritten or deleted in etcd; the gateway's log names it"
            }
            Self::TooLarge { .. } => {
                "the local cluster's ClusterRoles and ClusterRoleBindings are more than the gateway reads, so nobody is an administrator: nobody may change anything here or sees other errors; the gateway's log has the limit"
            }
        }
    }
}

impl Classify for AuthzError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Internal
    }

    fn reply(&self) -> Reply {
        Reply::middleware(
            StatusCode::INTERNAL_SERVER_ERROR,
            0,
            "unexpected error occurred during authorization",
        )
    }
}

/// A name from a store, fit for a log.
pub(super) fn printable(name: &[u8]) -> Box<str> {
    String::from_utf8_lossy(name)
        .chars()
        .take(MAX_NAME)
        .flat_map(char::escape_debug)
        .collect::<String>()
        .into_boxed_str()
}

/// Most characters of a name in a message.
const MAX_NAME: usize = 253;
