//! A source, a follower and the gateway between them: what most tests begin with.

use std::sync::Arc;

use fedgate::{corev2::Type, etcd::Client, registry::MemoryStore, types::TlsFiles};

use super::{
    gateway::{Gateway, definition, register},
    objects::seed,
    proxy::Proxy,
    put,
};
use crate::etcd_server::Etcd;

/// Where Sensu keeps cluster role bindings.
pub(crate) const BINDINGS: &str = "/sensu.io/rbac/clusterrolebindings/";

/// An etcd with what every Sensu cluster has.
pub(crate) async fn cluster(name: &str) -> (Etcd, Arc<Client>) {
    let etcd = Etcd::start().await;
    let client = etcd.client();
    seed(&client, name).await;
    (etcd, client)
}

/// A source, one follower, and a gateway that replicates from one to the other.
pub(crate) struct Federation {
    /// The local cluster's etcd.
    pub(crate) source: Etcd,
    pub(crate) local: Arc<Client>,
    /// The follower's etcd.
    pub(crate) alpha: Etcd,
    pub(crate) a: Arc<Client>,
    /// What the replicators reach the follower through, if not directly.
    pub(crate) proxy: Option<Proxy>,
    /// The gateway's registry.
    pub(crate) store: MemoryStore,
    pub(crate) gateway: Gateway,
}

/// What a [`Federation`] begins with.
#[derive(Default)]
pub(crate) struct Builder {
    source: Vec<(String, Vec<u8>)>,
    follower: Vec<(String, Vec<u8>)>,
    replicators: Vec<(String, Type, Option<String>)>,
    is_proxied: bool,
}

// === impl Federation ===

impl Federation {
    pub(crate) fn builder() -> Builder {
        Builder::default()
    }

    /// Cluster role bindings go from a source to a follower, by the replicator `r`.
    pub(crate) fn of_bindings() -> Builder {
        Self::builder().replicate("r", Type::ClusterRoleBinding)
    }

    pub(crate) fn proxy(&self) -> &Proxy {
        self.proxy.as_ref().unwrap()
    }
}

// === impl Builder ===

impl Builder {
    /// An object that the source has from the beginning.
    pub(crate) fn at_source(mut self, key: &str, value: &[u8]) -> Self {
        self.source.push((key.to_owned(), value.to_owned()));
        self
    }

    /// An object that the follower has from the beginning.
    pub(crate) fn at_follower(mut self, key: &str, value: &[u8]) -> Self {
        self.follower.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Registers a replicator before the gateway starts.
    pub(crate) fn replicate(mut self, name: &str, kind: Type) -> Self {
        self.replicators.push((name.to_owned(), kind, None));
        self
    }

    /// The same for one namespace.
    pub(crate) fn replicate_in(mut self, name: &str, kind: Type, namespace: &str) -> Self {
        self.replicators.push((name.to_owned(), kind, Some(namespace.to_owned())));
        self
    }

    /// The replicators reach the follower through a proxy.
    pub(crate) fn proxied(mut self) -> Self {
        self.is_proxied = true;
        self
    }

    /// Starts the two etcds, then the gateway.
    pub(crate) async fn start(self) -> Federation {
        let ((source, local), (alpha, a)) = tokio::join!(cluster("local"), cluster("alpha"));
        for (client, objects) in [(&local, &self.source), (&a, &self.follower)] {
            for (key, value) in objects {
                put(client, key, value).await;
            }
        }
        let proxy = if self.is_proxied { Some(Proxy::to(alpha.endpoint()).await) } else { None };
        let url = proxy.as_ref().map_or_else(|| alpha.endpoint().to_string(), |proxy| proxy.url.clone());
        let store = MemoryStore::new();
        for (name, kind, namespace) in &self.replicators {
            let mut definition = definition(name, *kind, &url, &TlsFiles::default());
            if let Some(namespace) = namespace {
                definition["spec"]["namespace"] = namespace.as_str().into();
            }
            register(&store, &definition).await;
        }
        let gateway = Gateway::alone(&source, &store);
        Federation { source, local, alpha, a, proxy, store, gateway }
    }
}
