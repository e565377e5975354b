//! Who may change the registry, and whom API keys stand for: built from the configuration, kept up to date on the
//! control plane.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::error::BuildError;
use crate::{
    auth::{Keys, SigningKey},
    authz::{Exchange, Feeder, Minter, Rbac},
    config::Root,
    etcd,
    upstream::Manager,
};

/// What decides.
pub(super) struct Authority {
    pub(super) rbac: Arc<Rbac>,
    /// With a private key only.
    pub(super) exchange: Option<Exchange>,
    /// Signs the gateway's own tokens; with a private key only.
    pub(super) minter: Option<Minter>,
    feeder: Feeder,
    source: Source,
}

/// Where the local cluster's rules are read.
enum Source {
    Etcd(Arc<etcd::Client>),
    Api(Minter),
    /// Nowhere: the administrators of the configuration are all there is.
    None,
}

// === impl Authority ===

impl Authority {
    /// Loads the private key, if there is one. Etcd is preferred to the API: it pushes changes.
    pub(super) async fn build(root: &Root, keys: &Keys) -> Result<Self, BuildError> {
        let minter = match &root.auth.jwt_private_key_file {
            Some(path) => Some(Minter::new(Arc::new(SigningKey::load_in_time(path, keys).await?))),
            None => None,
        };
        let (rbac, feeder) = Rbac::new(root.auth.admin_groups.clone());
        let source = match (root.replication.source.etcd(), &minter) {
            (Some(config), _) => Source::Etcd(Arc::new(etcd::Client::new(config)?)),
            (None, Some(minter)) => Source::Api(minter.clone()),
            (None, None) => Source::None,
        };
        let local = &root.local_cluster;
        let is_open = local.insecure_skip_tls_verify || local.api_urls.iter().any(|url| !url.tls);
        if matches!(source, Source::Api(_)) && is_open {
            tracing::warn!(
                "an administrator's token goes to the local cluster every few seconds, and its connection can be \
                 listened to: use https with local-cluster.trusted-ca-file, or set replication.source"
            );
        }
        let exchange = minter.clone().map(|minter| Exchange::new(minter, root.auth.api_key_ttl));
        Ok(Self { rbac, exchange, minter, feeder, source })
    }

    /// Keeps the rules up to date. `manager` must know the local cluster.
    pub(super) fn spawn(self, manager: Manager, tasks: &mut JoinSet<()>) {
        let mut feeder = self.feeder;
        match self.source {
            Source::Etcd(client) => {
                tasks.spawn(async move { feeder.follow_etcd(client).await });
            }
            Source::Api(minter) => {
                tasks.spawn(async move { feeder.follow_api(manager, minter).await });
            }
            Source::None => {}
        }
    }
}
