//! The control plane: everything that runs beside the workers.
//!
//! ```text
//!  store ─► reflector ─► registered ─► publish (certificates read) ─► workers, prober, own connections
//!              ▲                                                       │
//!  files ─► reloader (configured clusters, keys, certificates)         └► authority: RBAC rules, API keys
//! ```

use std::sync::Arc;

use tokio::{sync::watch, task::JoinSet};

use super::{authority::Authority, clusters, reload::Reloader, worker::Shared};
use crate::{
    registry::{Reflector, Store},
    types::Snapshot,
    upstream::{Manager, Prober, TlsConfigs},
};

/// What will run, until it is spawned.
pub(super) struct Control {
    pub(super) store: Arc<dyn Store>,
    pub(super) reflector: Reflector,
    pub(super) registered: watch::Receiver<Arc<Snapshot>>,
    pub(super) tls: Arc<TlsConfigs>,
    pub(super) published: watch::Sender<Arc<Snapshot>>,
    pub(super) authority: Authority,
    pub(super) prober: Prober,
    pub(super) reloader: Reloader,
}

// === impl Control ===

impl Control {
    /// Everything ends with `tasks`.
    pub(super) fn spawn(self, shared: &Shared, tasks: &mut JoinSet<()>) {
        tasks.spawn(self.reflector.run(self.store));
        tasks.spawn(clusters::publish(self.registered, self.tls, self.published));
        tasks.spawn(self.prober.run());
        tasks.spawn(self.reloader.run());
        self.authority.spawn(connections(shared, tasks), tasks);
    }
}

/// The control plane's own connections to the clusters.
fn connections(shared: &Shared, tasks: &mut JoinSet<()>) -> Manager {
    let (connect, signals) = (Arc::clone(&shared.connect), Arc::clone(&shared.signals));
    let manager = Manager::with_signals(shared.upstream, connect, signals);
    let mut clusters = shared.clusters.clone();
    manager.apply(&clusters.borrow_and_update());
    tasks.spawn(clusters::follow(manager.clone(), clusters, shared.certificates.clone(), drop));
    manager
}
