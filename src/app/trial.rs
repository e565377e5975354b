//! Tries what is about to be registered, by the checks that it will have to pass from then on.

use std::{sync::Arc, time::Duration};

use futures::future::join_all;

use crate::{
    api::{Found, Tried, TryOut},
    net::TlsConfigs,
    replication::probe,
    types::{Backend, Cluster, Snapshot, Spec, TlsFiles},
    upstream::{self, Connector},
};

/// All backends at once, each within [`LIMIT`].
pub(super) fn try_out(connect_timeout: Duration) -> TryOut {
    Arc::new(move |checked| {
        Box::pin(async move {
            match (checked.cluster(), &checked.spec) {
                (Some(cluster), _) => backends(&cluster, connect_timeout).await,
                (None, Spec::EtcdReplicator(spec)) => endpoints(&spec.endpoints, &spec.tls).await,
                (None, Spec::Cluster(_) | Spec::Replicator(_)) => Vec::new(),
            }
        })
    })
}

async fn backends(cluster: &Cluster, connect_timeout: Duration) -> Vec<Tried> {
    // Of its own, so that nothing of what may never be registered stays. What is wrong with the files is in the result of
    // each backend that needs them.
    let tls = TlsConfigs::new();
    tls.prepare_within(&Snapshot::new([cluster.clone()]), FILES).await;
    let connector = Connector::new(tls, connect_timeout);
    let checks = cluster.backends.iter().map(async |backend| {
        let result = match upstream::check(&connector, cluster, backend, LIMIT).await {
            Ok(passed) => Ok(Found { version: passed.version.to_string(), latency: passed.latency }),
            Err(error) => Err(error.to_string()),
        };
        Tried { backend: backend.clone(), result }
    });
    join_all(checks).await
}

async fn endpoints(endpoints: &[Backend], tls: &TlsFiles) -> Vec<Tried> {
    let probes = endpoints.iter().map(async |endpoint| {
        let result = probe(endpoint, tls, LIMIT).await;
        let result = result.map(|reached| Found { version: reached.version, latency: reached.latency });
        Tried { backend: endpoint.clone(), result }
    });
    join_all(probes).await
}

/// Somebody waits for it in front of a form.
const LIMIT: Duration = Duration::from_secs(5);

const FILES: Duration = Duration::from_secs(2);
