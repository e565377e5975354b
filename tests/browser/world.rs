//! Three clusters and a gateway in front of them, over TCP.

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
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::mpsc};

use crate::link::Link;

/// A gateway and its clusters; they end with it.
pub(crate) struct World {
    /// The gateway's URL for a browser.
    pub(crate) url: String,
    /// The connections to `local-cluster`, `alpha` and `beta`.
    pub(crate) links: [Link; 3],
    /// The clusters themselves, if they are simulated.
    pub(crate) sensus: Vec<Sensu>,
    _stop: mpsc::Sender<()>,
    _directory: tempfile::TempDir,
}

// === impl World ===

impl World {
    /// Simulated clusters, and the web UI of this directory, or of the dashboard listener at this URL; an empty path for
    /// none.
    pub(crate) async fn start(web_ui: &Path) -> Self {
        let keys = Arc::new(SharedKeys::generate().unwrap());
        let (local, local_at) = cluster("local-cluster", &keys).await;
        let (alpha, alpha_at) = cluster("alpha", &keys).await;
        let (beta, beta_at) = cluster("beta", &keys).await;
        let directory = tempfile::tempdir().unwrap();
        let key = directory.path().join("jwt_public.pem");
        std::fs::write(&key, keys.public_pem()).unwrap();
        let links = [Link::to(local_at).await, Link::to(alpha_at).await, Link::to(beta_at).await];
        let file = json!({"auth": {"jwt-public-key-files": [key]}});
        Self::gateway(web_ui, file, links, "http", vec![local, alpha, beta], directory).await
    }

    /// The three backends in `FEDGATE_TEST_SENSU`, if it is set.
    pub(crate) async fn real(web_ui: &Path) -> Option<Self> {
        let urls = std::env::var("FEDGATE_TEST_SENSU").ok()?;
        let file_of = |name| std::env::var(name).unwrap_or_else(|_| panic!("{name} must be set, too"));
        let mut links = Vec::new();
        for url in urls.split(',') {
            let address = url.trim().strip_prefix("https://").and_then(|address| address.parse().ok());
            links.push(Link::to(address.unwrap_or_else(|| panic!("{url}: no https://ADDRESS:PORT"))).await);
        }
        let Ok(links) = links.try_into() else { panic!("{urls}: not three backends") };
        let file = json!({
            "auth": {"jwt-public-key-files": [file_of("FEDGATE_TEST_SENSU_PUB")]},
            "local-cluster": {"trusted-ca-file": file_of("FEDGATE_TEST_SENSU_CA")},
        });
        Some(Self::gateway(web_ui, file, links, "https", Vec::new(), tempfile::tempdir().unwrap()).await)
    }

    async fn gateway(
        web_ui: &Path,
        mut file: Value,
        links: [Link; 3],
        scheme: &str,
        sensus: Vec<Sensu>,
        directory: tempfile::TempDir,
    ) -> Self {
        let urls = links.each_ref().map(|link| json!([format!("{scheme}://{}", link.address)]));
        let [local, alpha, beta] = urls;
        let ca = file["local-cluster"]["trusted-ca-file"].clone();
        let cluster = |name: &str, urls: Value| {
            let mut cluster = json!({"name": name, "api-urls": urls});
            if !ca.is_null() {
                cluster["trusted-ca-file"] = ca.clone();
            }
            cluster
        };
        file["clusters"] = json!([cluster("alpha", alpha), cluster("beta", beta)]);
        file["local-cluster"]["api-urls"] = local;
        file["listen"] = json!({"address": "127.0.0.1:0", "workers": 2});
        file["admin"] = json!({"address": "127.0.0.1:0"});
        file["store"] = json!({"embedded": {"path": directory.path().join("registry.redb")}});
        let listener = web_ui.to_str().is_some_and(|place| place.starts_with("http"));
        if !web_ui.as_os_str().is_empty() {
            file["web-ui"][if listener { "upstream" } else { "directory" }] = json!(web_ui);
        }
        let root = config::parse(&file.to_string(), "test", &BTreeMap::new()).unwrap();
        let logs = telemetry::init_quiet();
        let server = Server::build(&root, None, logs).await.unwrap();
        let (main, _) = server.addresses().unwrap();
        let (stop, stopped) = mpsc::channel(2);
        tokio::spawn(server.run(stopped));
        // Browsers take localhost for a secure origin.
        let url = format!("http://localhost:{}", main.port());
        Self { url, links, sensus, _stop: stop, _directory: directory }
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
