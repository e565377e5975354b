use std::sync::Arc;

use arc_swap::ArcSwap;

use super::{Federation, Readiness, body::Budget};
use crate::{
    authz::KeyExchange,
    fanout, graphql,
    routing::RouteError,
    types::{Cidr, ClusterName, ListScope, Snapshot},
    upstream::{ClusterClient, Manager},
    webui::WebUi,
};

/// What the data plane obeys from start to end.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Members of a list that selects none.
    pub default_scope: ListScope,
    /// Bounds of one fan-out.
    pub fan_out: fanout::Config,
    /// Most members of one fan-out.
    pub max_members: usize,
    /// Largest request body, in bytes.
    pub max_request_body: usize,
    /// Most header fields of a request.
    pub max_headers: usize,
    /// Peers whose `X-Forwarded-*` are believed.
    pub trusted_proxies: Vec<Cidr>,
}

/// What the workers answer with and have in common: immutable, or atomics.
pub struct Resources {
    /// What it obeys.
    pub settings: Settings,
    /// What all fan-outs share.
    pub fan_outs: Arc<fanout::Shared>,
    /// What all request bodies share.
    pub bodies: Arc<Budget>,
    /// Answers GraphQL; its caches are shared by all workers.
    pub graphql: graphql::Engine,
    /// Answers `/readyz`.
    pub readiness: Readiness,
    /// Answers `federation/v1`.
    pub federation: Federation,
}

/// What answers requests on one worker. Layers and requests share one: cloning its parts for each request would touch
/// counters that all workers share.
pub struct Gateway {
    /// What it has in common with the other workers.
    pub resources: Arc<Resources>,
    /// The set of clusters that `upstream` has applied last.
    pub clusters: Arc<ArcSwap<Snapshot>>,
    /// This worker's connections.
    pub upstream: Manager,
    /// Exchanges API keys, when there is a private key.
    pub exchange: Option<KeyExchange>,
    /// Answers everything outside the API.
    pub web: WebUi,
}

// === impl Settings ===

impl Settings {
    /// The bounds that apply to GraphQL too.
    pub fn graphql(&self) -> graphql::Config {
        graphql::Config { member_timeout: self.fan_out.member_timeout, max_members: self.max_members }
    }
}

// === impl Gateway ===

impl Gateway {
    pub(super) fn settings(&self) -> &Settings {
        &self.resources.settings
    }

    /// This worker's client of a cluster. There is none for a name that was never registered, or is no longer: routing
    /// may have found it a moment ago.
    pub(super) fn client(
        &self,
        clusters: &Snapshot,
        name: &ClusterName,
    ) -> Result<Arc<ClusterClient>, RouteError> {
        self.upstream.cluster(name.as_str()).ok_or_else(|| RouteError::unknown(clusters, name.as_str()))
    }
}
