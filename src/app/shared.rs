//! What all workers share: immutable, or an atomic. Cheap to clone.

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::{Semaphore, watch};

use crate::{
    auth::Authenticator,
    authz::Exchange,
    listener::{self, Phase},
    net::{ServerTls, TlsConfigs},
    proxy::Resources,
    types::Snapshot,
    upstream::{self, Connect, HealthBoard, Manager},
    webui::Content,
};

/// Everything that a worker needs.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) listening: Listening,
    pub(super) authentication: Authentication,
    pub(super) reach: Reach,
    pub(super) answering: Answering,
}

/// How connections are accepted, and how long.
#[derive(Clone)]
pub(super) struct Listening {
    pub(super) terms: listener::Terms,
    pub(super) tls: Option<ServerTls>,
    /// A permit for each connection of any worker.
    pub(super) connections: Arc<Semaphore>,
    /// How many permits there are.
    pub(super) most: usize,
    pub(super) phase: watch::Receiver<Phase>,
    pub(super) metrics: listener::Metrics,
}

/// Who is asking.
#[derive(Clone)]
pub(super) struct Authentication {
    pub(super) authenticator: Arc<Authenticator>,
    /// Of API keys; with a private key only.
    pub(super) exchange: Option<Exchange>,
}

/// How clusters are reached.
#[derive(Clone)]
pub(super) struct Reach {
    pub(super) config: upstream::Config,
    pub(super) connect: Arc<dyn Connect>,
    pub(super) board: Arc<HealthBoard>,
    pub(super) clusters: watch::Receiver<Arc<Snapshot>>,
    pub(super) tls_configs: TlsConfigs,
    pub(super) metrics: upstream::Metrics,
}

/// What requests are answered from.
#[derive(Clone)]
pub(super) struct Answering {
    pub(super) resources: Arc<Resources>,
    pub(super) web: Arc<ArcSwap<Content>>,
    pub(super) allowed_origins: Arc<[String]>,
}

// === impl Reach ===

impl Reach {
    /// Connections of one's own to the clusters, and how these change from now on: see
    /// [`clusters::follow`](super::clusters::follow).
    pub(super) fn connections(&self) -> (Manager, watch::Receiver<Arc<Snapshot>>) {
        let (connect, board) = (Arc::clone(&self.connect), Arc::clone(&self.board));
        let manager = Manager::with_health(self.config, connect, board);
        manager.count_in(&self.metrics);
        let mut updates = self.clusters.clone();
        manager.apply(&updates.borrow_and_update());
        (manager, updates)
    }

    /// Connections to what is neither a cluster nor health-checked: a dashboard.
    pub(super) fn unchecked_connections(&self) -> Manager {
        Manager::new(self.config, Arc::clone(&self.connect))
    }
}
