//! What compares the two sides of replicators on request.

use std::sync::Arc;

use tokio::sync::watch;

use crate::{
    api::{Compare, Comparisons},
    authz::Minter,
    config::Root,
    policy,
    registry::{Registry, Store},
    replication,
    upstream::Manager,
};

/// What compares the two sides of replicators, where the configuration lets it.
pub(super) fn comparisons(
    root: &Root,
    registry: &watch::Receiver<Arc<Registry>>,
    store: &Arc<dyn Store>,
    manager: &Manager,
    minter: Option<&Minter>,
) -> Comparisons {
    let (registry, store) = (|| registry.clone(), || Arc::clone(store));
    let source = root.replication.source.etcd().filter(|_| root.replication.enabled);
    let by_etcd = source.map(|source| -> Compare {
        let comparer = replication::Comparer::new(registry(), store(), source);
        Arc::new(move |name, _| {
            let comparer = comparer.clone();
            Box::pin(async move { comparer.compare(&name).await })
        })
    });
    let minter = minter.filter(|_| root.replication.enabled);
    let by_api = minter.map(|minter| -> Compare {
        let reach = Arc::new(policy::Clusters::new(manager.clone(), minter.clone()));
        let comparer = policy::Comparer::new(registry(), store(), reach);
        Arc::new(move |name, only| {
            let comparer = comparer.clone();
            Box::pin(async move { comparer.compare(&name, only.as_deref()).await })
        })
    });
    Comparisons::new(by_etcd, by_api)
}
