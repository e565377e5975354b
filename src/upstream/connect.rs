use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::{
    net::{self, BoxIo, ConnectError, TlsConfigs},
    types::{Backend, Cluster},
};

/// A future on the heap.
pub type BoxFuture<'a, T> = futures::future::BoxFuture<'a, T>;

/// Opens connections. [`Connector`] does it over TCP; tests do it in memory.
pub trait Connect: Send + Sync {
    /// Opens one connection that is ready for the first request, TLS included.
    fn connect(&self, cluster: &Cluster, backend: &Backend) -> BoxFuture<'_, Result<BoxIo, ConnectError>>;
}

/// Connects over TCP, with TLS if the backend's scheme asks for it.
pub struct Connector {
    tls: TlsConfigs,
    timeout: Duration,
}

// === impl Connector ===

impl Connector {
    /// A connector that takes at most `timeout` for certificate files, name, TCP and TLS of one connection together.
    pub fn new(tls: TlsConfigs, timeout: Duration) -> Self {
        Self { tls, timeout }
    }
}

impl Connect for Connector {
    fn connect(&self, cluster: &Cluster, backend: &Backend) -> BoxFuture<'_, Result<BoxIo, ConnectError>> {
        let files = backend.tls.then(|| cluster.tls.clone());
        let backend = backend.clone();
        Box::pin(async move {
            let deadline = Instant::now() + self.timeout;
            let config = match files {
                None => None,
                Some(files) => {
                    let read = timeout_at(deadline, self.tls.get(&files)).await;
                    Some(read.map_err(|_| ConnectError::Timeout)?.map_err(ConnectError::Files)?)
                }
            };
            net::connect(&backend, config, deadline).await
        })
    }
}
