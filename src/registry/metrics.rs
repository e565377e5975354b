use std::sync::Arc;

use tokio::sync::watch;

use super::{Health, Registry};
use crate::{
    telemetry::metrics::{self, collect},
    types::{Kind, Snapshot},
};

/// Adds the families `registry_…`: what the data plane has, and how current that is.
pub fn register_metrics(
    clusters: watch::Receiver<Arc<Snapshot>>,
    registry: watch::Receiver<Arc<Registry>>,
    page: &mut metrics::Registry,
) {
    collect(page, move |families| {
        let count = clusters.borrow().len();
        families.gauge("registry_clusters", "Registered clusters, the local one included.", count)?;
        let registry = Arc::clone(&registry.borrow());
        let replicators = [Kind::EtcdReplicator, Kind::Replicator]
            .map(|kind| registry.list(kind).count())
            .iter()
            .sum::<usize>();
        families.gauge("registry_replicators", "Registered replicators.", replicators)?;
        let is_up = u64::from(*registry.health() == Health::Following);
        families.gauge("registry_up", "Whether the registry follows its store.", is_up)?;
        let is_read = u64::from(registry.was_read());
        families.gauge("registry_read", "Whether the store has been read since the start.", is_read)?;
        let unreadable = registry.unreadable().len();
        families.gauge("registry_unreadable", "Registered resources that cannot be read.", unreadable)
    });
}
