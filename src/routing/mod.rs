//! From a request's method, path and query to where it goes: a pure, total function over a snapshot of clusters.
//!
//! ```text
//! path ── refuse (dots, //, NUL, %2F) ── /c/{cluster}/…      → Forward, raw
//!                                      ├ /auth /health …     → Forward to the local cluster, raw
//!                                      ├ /livez /readyz      → Gateway
//!                                      ├ list forms (GET)    → List
//!                                      ├ …/namespaces/{ns}…  → Forward, namespaces rewritten
//!                                      └ other /api/         → Forward to the local cluster, raw
//! ```
//!
//! Nothing here awaits, allocates per cluster, or looks at a body; what a body may say is left to the caller as a
//! [`BodyRule`].

mod error;
pub mod fuzzing;
mod path;
mod query;
mod table;

use http::Method;

use crate::types::{ClusterName, NamespaceRef, Snapshot};

pub use crate::types::Scope;

pub use error::RouteError;
pub use path::{decode, has_dot_or_empty};
pub use table::{AuthScope, auth_scope};

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// The gateway answers by itself.
    Gateway(Endpoint),
    /// One cluster answers.
    Forward(Forward),
    /// A list, merged from one or more clusters.
    List(List),
    /// `POST /graphql`.
    GraphQl,
    /// Any other path: the web pages.
    Web,
}

/// The gateway's own paths on the main listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// `/livez`: the process runs.
    Live,
    /// `/readyz` and `/ready`: it accepts work.
    Ready,
    /// `/api/enterprise/federation/v1/…`.
    Federation,
}

/// A request for one cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forward {
    /// The cluster.
    pub cluster: ClusterName,
    /// Path and query as the cluster gets them: the client's bytes, less what addressed the cluster.
    pub target: String,
    /// The path prefix that was taken away and has to come back in `Location`.
    pub prefix: Option<String>,
    /// What has to be done to the request body.
    pub body: BodyRule,
    /// Where namespaces stand in the answer, when they have to be qualified again.
    pub qualify: Option<Kind>,
}

/// What a request body may say about namespaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BodyRule {
    /// Not looked at.
    Raw,
    /// A GraphQL request, which is not changed, but refused when it would harm the cluster.
    GraphQl,
    /// Namespaces are un-qualified and have to name the route's cluster.
    Namespaced {
        /// Where namespaces stand in the body.
        kind: Kind,
        /// The un-qualified namespace of the path, where a difference would be dangerous (entities, events).
        must_equal: Option<String>,
        /// What the body's name may be, where Sensu would believe the body instead of the path.
        name: NameRule,
    },
    /// As `Namespaced`, for a path that names no cluster: the body's decides (`POST …/namespaces`).
    ChoosesCluster,
    /// Not rewritten, but checked (entities, events and assets on raw paths).
    Checked {
        /// The decoded namespace of the path, which every namespace in the body must equal.
        must_equal: Option<String>,
        /// What the body's name may be.
        name: NameRule,
    },
}

/// What a body's `metadata.name` may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NameRule {
    /// Sensu checks it.
    Any,
    /// The decoded name of the path: Sensu stores an entity under the name in its body.
    Equals(String),
    /// No component that is empty, `.` or `..`: Sensu's store would clean such an asset name into another key.
    Components,
}

/// Where namespaces stand in an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `metadata.namespace`, and the same in `entity`, `check` and `spec`.
    Resource,
    /// The object is a namespace: its `name`.
    Namespace,
}

/// A list to merge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List {
    /// Whom to ask, in the order of the answer: `local-cluster` first, then by name.
    pub members: Vec<ClusterName>,
    /// Whether these are to be all clusters there are.
    pub everywhere: bool,
    /// Path and query that every member gets.
    pub target: String,
    /// Where namespaces stand in the items.
    pub kind: Kind,
    /// `partial=false`: any failed member fails the request.
    pub strict: bool,
}

/// Decides where a request goes.
///
/// `path_and_query` is the request target in origin form, percent-encoded as the client sent it.
pub fn route(
    method: &Method,
    path_and_query: &str,
    clusters: &Snapshot,
    default_scope: Scope,
) -> Result<Route, RouteError> {
    if matches!(*method, Method::CONNECT | Method::TRACE) {
        return Err(RouteError::Method);
    }
    let (path, query) = match path_and_query.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (path_and_query, None),
    };
    path::check(path)?;
    query::refuse_negative_limit(query)?;
    let request = Request { method, path, query, clusters, default_scope };
    table::route(&request)
}

/// The parts of a request that routing looks at.
struct Request<'a> {
    method: &'a Method,
    path: &'a str,
    query: Option<&'a str>,
    clusters: &'a Snapshot,
    default_scope: Scope,
}

impl Request<'_> {
    /// The name of a registered cluster, or the 404 that says it is not.
    fn registered(&self, name: &str) -> Result<ClusterName, RouteError> {
        self.clusters
            .get(name)
            .map(|c| c.name.clone())
            .ok_or_else(|| RouteError::unknown(self.clusters, name))
    }

    /// Parses a raw path segment as a namespace; a qualified one must name a registered cluster.
    fn namespace(&self, segment: &str) -> Result<NamespaceRef, RouteError> {
        let decoded = decode(segment)?;
        let namespace = NamespaceRef::parse(&decoded).map_err(|_| RouteError::Namespace)?;
        if let Some(cluster) = &namespace.cluster {
            self.registered(cluster.as_str())?;
        }
        Ok(namespace)
    }
}

#[cfg(test)]
mod tests;
