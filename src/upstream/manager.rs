use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Weak},
};

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use super::{
    Config,
    board::{BackendKey, HealthBoard},
    cluster::ClusterClient,
    connect::Connect,
    metrics::{Counted, Counts, Metrics},
    pool::Pool,
};
use crate::types::{Backend, Cluster, ClusterName, Snapshot};

/// One worker's connections to all clusters. Cheap to clone.
///
/// Meant for one current-thread runtime. On several threads it works, but an answer's end may be seen before
/// its connection is ready again, and the connection is then closed in place of being kept.
#[derive(Clone)]
pub struct Manager(Arc<Inner>);

struct Inner {
    config: Config,
    connect: Arc<dyn Connect>,
    board: Arc<HealthBoard>,
    clients: ArcSwap<Clients>,
    /// Held while a snapshot is applied; readers do not take it.
    applying: Mutex<()>,
}

type Clients = HashMap<ClusterName, Arc<ClusterClient>>;

// === impl Manager ===

impl Manager {
    /// Has no cluster yet, and no health checks.
    pub fn new(config: Config, connect: Arc<dyn Connect>) -> Self {
        Self::with_health(config, connect, Arc::default())
    }

    /// Has no cluster yet, and avoids what a [`Prober`](super::Prober) with the same board finds down.
    pub fn with_health(config: Config, connect: Arc<dyn Connect>, board: Arc<HealthBoard>) -> Self {
        let (clients, applying) = (ArcSwap::default(), Mutex::new(()));
        Self(Arc::new(Inner { config, connect, board, clients, applying }))
    }

    /// Counts what is sent from now on.
    pub fn count_in(&self, metrics: &Metrics) {
        let inner: Weak<Inner> = Arc::downgrade(&self.0);
        metrics.include(inner);
    }

    /// Follows a new set of clusters.
    ///
    /// A cluster that has not changed keeps its client and connections; one that has changed keeps those to the
    /// backends it still has, unless its certificates changed. Unused connections to anything else are closed,
    /// and requests in flight finish.
    pub fn apply(&self, snapshot: &Snapshot) {
        let _applying = self.0.applying.lock();
        let old = self.0.clients.load_full();
        let new: Clients = snapshot
            .iter()
            .map(|cluster| {
                let client = match old.get(cluster.name.as_str()) {
                    Some(client) if client.cluster() == cluster => client.clone(),
                    earlier => Arc::new(self.client(cluster, earlier)),
                };
                (cluster.name.clone(), client)
            })
            .collect();
        self.replace(&old, new);
    }

    /// Gives these clusters new connections, after their certificate files changed. Requests in flight finish.
    pub fn renew(&self, these: impl Fn(&Cluster) -> bool) {
        let _applying = self.0.applying.lock();
        let old = self.0.clients.load_full();
        let renewed = |client: &Arc<ClusterClient>| match client.cluster() {
            cluster if these(cluster) => Arc::new(self.client_with(cluster, None, client.counts())),
            _ => Arc::clone(client),
        };
        self.replace(&old, old.iter().map(|(name, client)| (name.clone(), renewed(client))).collect());
    }

    /// The client of a registered cluster. Ask for each request: an older client of a cluster that has changed
    /// still works, but keeps no connections.
    pub fn cluster(&self, name: &str) -> Option<Arc<ClusterClient>> {
        self.0.clients.load().get(name).cloned()
    }

    /// Publishes the new clients and closes what they did not take over.
    fn replace(&self, old: &Clients, new: Clients) {
        let new = Arc::new(new);
        self.0.clients.store(new.clone());
        for (name, client) in old {
            let kept = new.get(name);
            for pool in client.pools() {
                if !kept.is_some_and(|client| client.pools().iter().any(|p| Arc::ptr_eq(p, pool))) {
                    pool.retire();
                }
            }
        }
    }

    fn client(&self, cluster: &Arc<Cluster>, earlier: Option<&Arc<ClusterClient>>) -> ClusterClient {
        let counts = earlier.map_or_else(Arc::default, |client| Arc::clone(client.counts()));
        self.client_with(cluster, earlier, &counts)
    }

    fn client_with(
        &self,
        cluster: &Arc<Cluster>,
        earlier: Option<&Arc<ClusterClient>>,
        counts: &Arc<Counts>,
    ) -> ClusterClient {
        let reusable = earlier.filter(|client| client.cluster().tls == cluster.tls);
        let pool = |backend: &Backend| {
            reusable
                .and_then(|client| client.pools().iter().find(|pool| pool.backend() == backend))
                .cloned()
                .unwrap_or_else(|| {
                    let connect = self.0.connect.clone();
                    let health = self.0.board.of(&BackendKey::new(cluster, backend));
                    let (cluster, backend) = (cluster.clone(), backend.clone());
                    let counts = Arc::clone(counts);
                    Arc::new(Pool::new(cluster, backend, self.0.config, connect, health, counts))
                })
        };
        let pools = cluster.backends.iter().map(pool).collect();
        ClusterClient::new(cluster.clone(), self.0.config, pools, Arc::clone(counts))
    }
}

// === impl Inner ===

impl Counted for Inner {
    fn visit(&self, visit: &mut dyn FnMut(&ClusterName, &Arc<Counts>, usize)) {
        for client in self.clients.load().values() {
            visit(client.name(), client.counts(), client.connections());
        }
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner").finish_non_exhaustive()
    }
}

impl fmt::Debug for Manager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Manager").field("clusters", &self.0.clients.load().len()).finish_non_exhaustive()
    }
}
