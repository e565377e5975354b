use http::StatusCode;

use crate::{
    error::{Classify, ErrorKind, Reply},
    types::Snapshot,
};

/// Why a request has no route. All but one are the client's fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// `CONNECT` or `TRACE`.
    #[error("this method is not supported")]
    Method,
    /// A dot segment in any spelling, `//`, NUL, a bad percent-encoding, or an encoded slash outside an asset's name.
    #[error(
        "the path is not valid: no dot segments, empty segments, NUL, or encoded slashes outside asset names"
    )]
    Path,
    /// A namespace such as `@x`, `x@` or `a@b@c`.
    #[error("the namespace is not valid: write <namespace> or <namespace>@<cluster>")]
    Namespace,
    /// A cluster that is not in the registry.
    #[error("cluster {cluster:?} is not registered")]
    NotRegistered {
        /// The name asked for.
        cluster: String,
    },
    /// The registry has not been read since the start, so whether there is such a cluster, and whether these are
    /// all, is not known. Usual cause: its etcd is down.
    #[error("the gateway has not read its registry yet and does not know all clusters: try again later")]
    RegistryUnread,
    /// `clusters=` with an empty or malformed name.
    #[error("the query parameter clusters is not valid: write a comma list of cluster names, or *")]
    Clusters,
    /// A list that would ask more clusters than it may.
    #[error(
        "the list would ask {asked} clusters, and fan-out.max-members is {most}: name those you want with clusters="
    )]
    TooManyClusters {
        /// How many it would ask.
        asked: usize,
        /// How many it may.
        most: usize,
    },
    /// A `limit` that is not an integer, or is negative.
    #[error("the query parameter limit is not valid: write an integer of 0 or more")]
    Limit,
    /// `continue` that is no token of the gateway for this list: changed, cut short, or of another list or selection.
    #[error(
        "the query parameter continue is not valid: send the Sensu-Continue of the page before, with the same path and selection"
    )]
    Continue,
    /// A page that would end with a name too long for a token that a client can send back.
    #[error(
        "the next page cannot be asked for: it begins after a name that is too long for a continue parameter of {most} bytes; ask for the list without limit"
    )]
    LongToken {
        /// The longest token that is given out, in bytes.
        most: usize,
    },
    /// `partial` that is neither `true` nor `false`.
    #[error("the query parameter partial is not valid: write true or false")]
    Partial,
    /// A query with a `;` or a bad percent-encoding, which Sensu refuses as a whole.
    #[error("the query is not valid: separate its parameters with & and percent-encode their text")]
    Query,
    /// A path without an answer.
    #[error("not found")]
    NotFound,
    /// The first page, of a gateway that has none.
    #[error(
        "no web UI is configured (web-ui.directory or web-ui.upstream); Sensu's API for all clusters is at /auth, \
         /api/core/v2/… and /graphql, that of one cluster at /c/<cluster>/…"
    )]
    NoWebUi,
}

impl RouteError {
    /// For a cluster that is not in the snapshot.
    pub fn unknown(clusters: &Snapshot, name: &str) -> Self {
        if clusters.is_loaded() {
            Self::NotRegistered { cluster: name.to_owned() }
        } else {
            Self::RegistryUnread
        }
    }
}

impl Classify for RouteError {
    fn kind(&self) -> ErrorKind {
        if matches!(self, Self::RegistryUnread) { ErrorKind::Overload } else { ErrorKind::Client }
    }

    fn reply(&self) -> Reply {
        let (status, code) = match self {
            Self::Method => (StatusCode::METHOD_NOT_ALLOWED, 1),
            Self::RegistryUnread => (StatusCode::SERVICE_UNAVAILABLE, 0),
            Self::NotRegistered { .. } | Self::NotFound | Self::NoWebUi => (StatusCode::NOT_FOUND, 2),
            Self::TooManyClusters { .. }
            | Self::Path
            | Self::Namespace
            | Self::Clusters
            | Self::Limit
            | Self::Continue
            | Self::LongToken { .. }
            | Self::Partial
            | Self::Query => (StatusCode::BAD_REQUEST, 1),
        };
        let retry_after = matches!(self, Self::RegistryUnread).then_some(5);
        Reply { retry_after, ..Reply::router(status, code, self.to_string()) }
    }
}
