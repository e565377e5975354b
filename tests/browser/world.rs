//! Three simulated clusters and a gateway in front of them, over TCP.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    sync::Arc,
};

use fedgate::{
    app::Server,
    config,
    sim::{Options, Sensu, SharedKeys},
    telemetry,
};
use serde_json::json;
use tokio::{net::TcpListener, sync::mpsc};

/// A gateway and its clusters; they end with it.
pub(crate) struct World {
    /// Where a browser finds the gateway.
    pub(crate) url: String,
    /// `local-cluster`, `alpha` and `beta`.
    pub(crate) sensus: [Sensu; 3],
    _stop: mpsc::Sender<()>,
    _directory: tempfile::TempDir,
}

// === impl World ===

impl World {
    /// With this directory as the web UI.
    pub(crate) async fn start(web_ui: &Path) -> Self {
        let keys = Arc::new(SharedKeys::generate().unwrap());
        let (local, local_at) = cluster("local-cluster", &keys).await;
        let (alpha, alpha_at) = cluster("alpha", &keys).await;
        let (beta, beta_at) = cluster("beta", &keys).await;
        let directory = tempfile::tempdir().unwrap();
        let key = directory.path().join("jwt_public.pem");
        std::fs::write(&key, keys.public_pem()).unwrap();
        let url_of = |address: SocketAddr| format!("http://{address}");
        let file = json!({
            "listen": {"address": "127.0.0.1:0", "workers": 2},
            "admin": {"address": "127.0.0.1:0"},
            "auth": {"jwt-public-key-files": [key]},
            "store": {"embedded": {"path": directory.path().join("registry.redb")}},
            "local-cluster": {"api-urls": [url_of(local_at)]},
            "clusters": [
                {"name": "alpha", "api-urls": [url_of(alpha_at)]},
                {"name": "beta", "api-urls": [url_of(beta_at)]},
            ],
            "web-ui": {"directory": web_ui},
        });
        let root = config::parse(&file.to_string(), "test", &BTreeMap::new()).unwrap();
        let logs = telemetry::init(telemetry::Format::Text, tracing::level_filters::LevelFilter::ERROR);
        let server = Server::build(&root, None, logs).await.unwrap();
        let (main, _) = server.addresses().unwrap();
        let (stop, stopped) = mpsc::channel(2);
        tokio::spawn(server.run(stopped));
        // Browsers take localhost for a secure origin.
        let url = format!("http://localhost:{}", main.port());
        Self { url, sensus: [local, alpha, beta], _stop: stop, _directory: directory }
    }
}

async fn cluster(name: &str, keys: &Arc<SharedKeys>) -> (Sensu, SocketAddr) {
    let options = Options { name: name.to_owned(), keys: Arc::clone(keys), ..Options::default() };
    let sensu = Sensu::new(options);
    sensu.seed_demo(SEED);
    let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(sensu.clone().serve(socket, std::future::pending::<()>()));
    (sensu, address)
}

/// The same data in every cluster: what the clusters have in common is what could be mixed up.
const SEED: u64 = 1;
