//! From the registry's clusters to the workers: certificates are loaded before any worker routes by them.

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;

use crate::{
    error::Chain,
    net::TlsConfigs,
    types::{Cluster, Snapshot},
    upstream::Manager,
};

/// Publishes each set of clusters once its certificate files have been read, or have had their time. Runs until the
/// registry's view ends.
pub(super) async fn publish(
    mut registered: watch::Receiver<Arc<Snapshot>>,
    tls: TlsConfigs,
    published: watch::Sender<Arc<Snapshot>>,
) {
    while registered.changed().await.is_ok() {
        let snapshot = Arc::clone(&registered.borrow_and_update());
        let before = Arc::clone(&published.borrow());
        for (cluster, error) in tls.prepare_within(&snapshot, FILES_PATIENCE).await {
            // It stays registered: its files may be repaired, and then it works.
            let error = Chain(&*error);
            tracing::error!(%cluster, %error, "a cluster cannot be reached over TLS: see its certificate files");
        }
        warn_insecure(snapshot.iter().filter(|cluster| before.get(cluster.name.as_str()) != Some(cluster)));
        tracing::info!(clusters = snapshot.len(), "the set of clusters has changed");
        published.send_replace(Arc::clone(&snapshot));
        tls.forget_unused(&snapshot);
    }
}

/// How long the files of one cluster may keep the others waiting; below the time that a write waits for the workers.
const FILES_PATIENCE: Duration = Duration::from_millis(500);

/// Makes connections follow the published clusters and their certificates. Ends with the control plane.
pub(super) async fn follow(
    manager: Manager,
    mut clusters: watch::Receiver<Arc<Snapshot>>,
    tls: TlsConfigs,
    mut applied: impl FnMut(Arc<Snapshot>),
) {
    let mut changes = tls.changes();
    let mut seen = *changes.borrow_and_update();
    loop {
        tokio::select! {
            Ok(()) = clusters.changed() => {
                let snapshot = Arc::clone(&clusters.borrow_and_update());
                // Connections first: what routing names must be reachable.
                manager.apply(&snapshot);
                applied(snapshot);
            }
            // A connection in constant use would outlive the certificate that it was opened with.
            Ok(()) = changes.changed() => {
                let now = *changes.borrow_and_update();
                manager.renew(|cluster| tls.have_changed_since(seen, &cluster.tls));
                seen = now;
            }
            else => return,
        }
    }
}

/// Logs which clusters an attacker on the way could eavesdrop on or impersonate.
pub(super) fn warn_insecure<'a>(clusters: impl Iterator<Item = &'a Arc<Cluster>>) {
    for cluster in clusters {
        if cluster.tls.insecure_skip_tls_verify {
            tracing::warn!(cluster = %cluster.name, "server certificates are not verified");
        }
        if cluster.backends.iter().any(|backend| !backend.tls) {
            tracing::warn!(cluster = %cluster.name, "a backend is reached over plain HTTP");
        }
    }
}
