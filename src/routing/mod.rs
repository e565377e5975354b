//! From a request's method, path and query to where it goes: a pure, total function over a snapshot of clusters.
//!
//! ```text
//! path ── refuse (dots, //, NUL, %2F) ── /c/{cluster}/…      → Forward, raw
//!                                      ├ /auth /health …     → Forward to the local cluster, raw
//!                                      ├ /livez /readyz      → Probe
//!                                      ├ …/federation/v1/…   → Federation
//!                                      ├ list forms (GET)    → List
//!                                      ├ …/namespaces/{ns}…  → Forward, namespaces rewritten
//!                                      ├ other /api/         → Forward to the local cluster, raw
//!                                      └ any other path      → Web, or Moved to the page's own spelling
//! ```
//!
//! How strictly the path asks for credentials follows from the same reading, so that the two cannot disagree.
//!
//! Nothing here awaits, allocates per cluster, or looks at a body; what a body may say is left to the caller as a
//! [`BodyRule`].

mod error;
pub mod fuzzing;
mod page;
mod path;
mod query;
mod table;

use http::Method;

use crate::{
    telemetry::RouteKind,
    types::{AuthScope, ClusterName, ListScope, NamespaceRef, PageRequest, Paging, Shape, Snapshot},
};

pub use error::RouteError;
pub use path::{decode, is_path_traversal};

/// What a request's target means: everything that is read from its path, in one go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Routed {
    /// How strictly credentials are asked for. Refused paths have it too: without credentials even those are 401.
    pub auth: AuthScope,
    /// Where the request goes.
    pub route: Result<Route, RouteError>,
}

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// `/livez` and `/readyz`: the gateway answers by itself.
    Probe(Probe),
    /// `/api/enterprise/federation/v1/…`: the gateway's own resources. What follows that prefix, still encoded.
    Federation(String),
    /// One cluster answers.
    Forward(Forward),
    /// A list, merged from one or more clusters.
    List(List),
    /// `POST /graphql`.
    GraphQl,
    /// Any other path: the web pages.
    Web,
    /// A page under another path: that path, with the query.
    Moved(String),
}

/// What a load balancer asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// `/livez`: the process runs.
    Live,
    /// `/readyz` and `/ready`: it accepts work.
    Ready,
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
    pub qualify: Option<Shape>,
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
        shape: Shape,
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
    /// No component that is empty, `.` or `..`: Sensu's store would clean such a name into another key.
    Components,
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
    pub shape: Shape,
    /// Whether items get the name of their cluster.
    pub label: bool,
    /// `partial=false`: any failed member fails the request.
    pub strict: bool,
    /// `limit` and `continue`.
    pub page: PageRequest,
    /// Who cuts the list into pages.
    pub paging: Paging,
    /// What the members were asked for by, in a form that does not change when clusters come and go.
    pub selection: String,
}

/// Decides where a request goes.
///
/// `path_and_query` is the request target in origin form, percent-encoded as the client sent it.
pub fn route(method: &Method, path_and_query: &str, clusters: &Snapshot, default_scope: ListScope) -> Routed {
    let (path, query) = match path_and_query.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (path_and_query, None),
    };
    let path = &*path::with_single_slashes(path);
    let segments: Vec<&str> =
        path.strip_prefix('/').map(|rest| rest.split('/').collect()).unwrap_or_default();
    let request = Request { method, path, segments: &segments, query, clusters, default_scope };
    Routed { auth: table::auth_scope(&segments), route: request.route() }
}

// === impl Route ===

impl Route {
    /// What it counts as, and is called in the access log.
    pub fn kind(&self) -> RouteKind {
        match self {
            Self::Probe(_) => RouteKind::Gateway,
            Self::Federation(_) => RouteKind::Federation,
            Self::Forward(Forward { prefix: Some(_), .. }) => RouteKind::Raw,
            Self::Forward(Forward { body: BodyRule::GraphQl, .. }) | Self::GraphQl => RouteKind::GraphQl,
            Self::Forward(_) => RouteKind::Forward,
            Self::List(_) => RouteKind::List,
            Self::Web | Self::Moved(_) => RouteKind::Web,
        }
    }
}

/// The parts of a request that routing looks at.
struct Request<'a> {
    method: &'a Method,
    path: &'a str,
    /// What stands between the slashes of `path`; nothing when it does not begin with one.
    segments: &'a [&'a str],
    query: Option<&'a str>,
    clusters: &'a Snapshot,
    default_scope: ListScope,
}

impl Request<'_> {
    fn route(&self) -> Result<Route, RouteError> {
        if matches!(*self.method, Method::CONNECT | Method::TRACE) {
            return Err(RouteError::Method);
        }
        if let Some(location) = page::elsewhere(self)? {
            return Ok(Route::Moved(location));
        }
        path::check(self.path, self.segments)?;
        // A page's query is the page's own.
        if !page::is_page(self.segments) {
            query::refuse_negative_limit(self.query)?;
        }
        let route = table::route(self)?;
        if matches!(route, Route::Forward(_)) {
            query::refuse_traversing_continue(self.query)?;
        }
        Ok(route)
    }

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
