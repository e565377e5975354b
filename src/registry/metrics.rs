use std::sync::Arc;

use tokio::sync::watch;

use crate::{
    telemetry::metrics::{Registry, collect},
    types::Snapshot,
};

/// Adds `registry_clusters`: how many clusters the data plane has.
pub fn register_metrics(clusters: watch::Receiver<Arc<Snapshot>>, registry: &mut Registry) {
    collect(registry, move |families| {
        let count = clusters.borrow().len();
        families.gauge("registry_clusters", "Registered clusters, the local one included.", count)
    });
}
