use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::watch;

use super::{Compressor, Federation, Logins, OutageSessions, Readiness, Settings};
use crate::{
    authz::KeyExchange,
    fanout, graphql,
    registry::Registry,
    routing::RouteError,
    telemetry::Access,
    types::{ClusterName, Snapshot},
    upstream::{ClusterClient, Manager},
    webui::WebUi,
    wire::Budget,
};

/// What the workers answer with and have in common: immutable, or atomics.
pub struct Resources {
    /// What it obeys.
    pub settings: Settings,
    /// Counts and logs all requests.
    pub access: Arc<Access>,
    /// What all fan-outs share.
    pub fan_outs: Arc<fanout::Shared>,
    /// What all request bodies share.
    pub bodies: Arc<Budget>,
    /// Compresses answers.
    pub compressor: Arc<Compressor>,
    /// What is registered, with the secret that seals continue tokens.
    pub registry: watch::Receiver<Arc<Registry>>,
    /// Answers GraphQL; its caches are shared by all workers.
    pub graphql: graphql::Engine,
    /// Answers `/readyz`.
    pub readiness: Readiness,
    /// The failed logins of all clients.
    pub logins: Arc<Logins>,
    /// Answers `federation/v1`.
    pub federation: Federation,
    /// Renews sessions while the local cluster is away, when it is to.
    pub outage_sessions: Option<OutageSessions>,
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
