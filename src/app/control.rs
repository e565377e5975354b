//! The control plane: everything that runs beside the workers.
//!
//! ```text
//!  store ─► reflector ─► registered ─► publish (certificates read) ─► workers, prober, own connections
//!              ▲                                                       │
//!  files ─► reloader (configured clusters, keys, certificates)         └► authority: RBAC rules, API keys
//!  registry ─► replication (its own etcd clients), policy (the clusters' APIs)
//! ```

use std::sync::Arc;

use tokio::{
    sync::watch,
    task::{JoinHandle, JoinSet},
};

use super::{authority::Authority, clusters, reload::Reloader, shared::Reach};
use crate::{
    listener::Phase,
    net::TlsConfigs,
    policy,
    proxy::OutageSessions,
    registry::{Reflector, Store},
    replication::Supervisor,
    types::{ClusterHealth, Snapshot},
    upstream::{Manager, Prober},
};

/// What is going to run.
pub(super) struct Control {
    pub(super) store: Arc<dyn Store>,
    pub(super) reflector: Reflector,
    pub(super) registered: watch::Receiver<Arc<Snapshot>>,
    pub(super) tls: TlsConfigs,
    pub(super) published: watch::Sender<Arc<Snapshot>>,
    pub(super) replication: Option<Supervisor>,
    pub(super) policy: Option<policy::Supervisor>,
    /// Connections of its own to the clusters.
    pub(super) manager: Manager,
    pub(super) updates: watch::Receiver<Arc<Snapshot>>,
    pub(super) authority: Authority,
    pub(super) prober: Prober,
    pub(super) reloader: Reloader,
    pub(super) outage_sessions: Option<OutageSessions>,
    pub(super) health: watch::Receiver<Arc<Vec<ClusterHealth>>>,
}

// === impl Control ===

impl Control {
    /// Everything ends with `tasks` but replication, which ends by itself once the process drains.
    pub(super) fn spawn(
        self,
        reach: &Reach,
        phase: watch::Receiver<Phase>,
        tasks: &mut JoinSet<()>,
    ) -> Vec<JoinHandle<()>> {
        tasks.spawn(self.reflector.run(self.store));
        tasks.spawn(clusters::publish(self.registered, self.tls, self.published));
        tasks.spawn(self.prober.run());
        tasks.spawn(self.reloader.run());
        if let Some(sessions) = self.outage_sessions {
            tasks.spawn(sessions.follow(self.health));
        }
        let manager = self.manager;
        tasks.spawn(clusters::follow(manager.clone(), self.updates, reach.tls_configs.clone(), drop));
        let minter = self.authority.minter.clone();
        self.authority.spawn(manager.clone(), tasks);
        let by_etcd = self.replication.map(|supervisor| tokio::spawn(supervisor.run(drained(phase.clone()))));
        let by_api = self.policy.zip(minter).map(|(supervisor, minter)| {
            let reach = Arc::new(policy::Clusters::new(manager, minter));
            tokio::spawn(supervisor.run(reach, drained(phase)))
        });
        by_etcd.into_iter().chain(by_api).collect()
    }
}

/// Ends when the gateway accepts no requests any more.
async fn drained(mut phase: watch::Receiver<Phase>) {
    let _ = phase.wait_for(|phase| *phase >= Phase::Draining).await;
}
