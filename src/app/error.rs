use std::{path::PathBuf, sync::Arc};

use crate::{
    auth::KeyError,
    error::{Access, Advice, Chain},
    etcd,
    listener::BindError,
    net::TlsError,
    registry::StoreError,
    webui::LoadError,
};

/// Why a gateway could not be built. Each is a line that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A public key could not be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The listener's certificate or key could not be used.
    #[error("the listener's certificate cannot be used: {}", Chain(.0))]
    ServerTls(TlsError),
    /// A cluster's CA or client certificate could not be used.
    #[error("cluster {cluster}: {}", Chain(&**error))]
    ClusterTls {
        /// The cluster.
        cluster: String,
        /// What is wrong with its files.
        error: Arc<TlsError>,
    },
    /// The web UI's directory cannot be served.
    #[error(transparent)]
    WebUi(#[from] LoadError),
    /// The registry's file cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An etcd's client cannot be made.
    #[error(transparent)]
    Etcd(#[from] etcd::Error),
    /// The registry's directory cannot be made.
    #[error(
        "cannot make the directory of the registry {}: {error}{}; make it, or set store.embedded.path",
        path.display(),
        Advice(error, Access::Write)
    )]
    StoreDirectory {
        /// The file that was to lie in it.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// A port is taken or forbidden.
    #[error("{key}: {error}")]
    Bind {
        /// The configuration key of the address.
        key: &'static str,
        /// What the system says.
        error: BindError,
    },
    /// Every worker has ended without having been stopped: the log says why.
    #[error("all workers have ended; see the log")]
    NoWorkers,
    /// The system refused a thread or a runtime.
    #[error("cannot start: {0}")]
    System(std::io::Error),
}

// === impl BuildError ===

impl From<std::io::Error> for BuildError {
    fn from(error: std::io::Error) -> Self {
        Self::System(error)
    }
}
