use serde::{Deserialize, Serialize};

use crate::{
    auth, fanout, listener, proxy, registry, replication, telemetry,
    types::{Cluster, ClusterName, Snapshot, Source},
    upstream, webui,
};

/// The whole configuration, checked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
pub struct Root {
    /// The listener that clients use.
    pub listen: listener::Config,
    /// The listener for metrics and health checks.
    pub admin: listener::Admin,
    /// How requests are authenticated.
    pub auth: auth::Config,
    /// The cluster that issues the tokens.
    pub local_cluster: registry::LocalCluster,
    /// The remote clusters.
    pub clusters: Vec<registry::StaticCluster>,
    /// Where registered clusters and replicators are kept.
    pub store: registry::Config,
    /// Copies of RBAC resources from the local cluster to others.
    pub replication: replication::Config,
    /// How lists are gathered from several clusters.
    pub fan_out: fanout::Config,
    /// Connections to the clusters.
    pub upstream: upstream::Config,
    /// Where the files of Sensu's own web UI come from.
    pub web_ui: webui::Config,
    /// What one client or all of them may use.
    pub limits: listener::Limits,
    /// How the process stops.
    pub shutdown: listener::Shutdown,
    /// Which answers are compressed.
    pub compression: proxy::Compression,
    /// Browsers on other origins.
    pub cors: proxy::Cors,
    /// What is logged, and how.
    pub log: telemetry::Config,
    /// Where traces go.
    pub tracing: telemetry::trace::Config,
}

// === impl Root ===

impl Root {
    /// The clusters that the configuration names.
    pub fn snapshot(&self) -> Snapshot {
        let local = Cluster {
            name: ClusterName::local(),
            backends: self.local_cluster.api_urls.clone(),
            tls: self.local_cluster.tls(),
            source: Source::Local,
        };
        let remote = self.clusters.iter().map(|cluster| Cluster {
            name: cluster.name.clone(),
            backends: cluster.api_urls.clone(),
            tls: cluster.tls(),
            source: Source::Config,
        });
        Snapshot::new(std::iter::once(local).chain(remote))
    }
}
