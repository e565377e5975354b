//! Three clusters, or more, and a gateway in front of them, over TCP.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::Arc,
};

use fedgate::{
    app::Server,
    config,
    sim::{Options, Sensu, SharedKeys},
    telemetry,
};
use http::Method;
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::mpsc, task::JoinHandle};

use crate::link::Link;

/// A gateway and its clusters; they end with it.
pub(crate) struct World {
    /// The gateway's URL for a browser.
    pub(crate) url: String,
    /// The connections to the clusters, the local one first.
    pub(crate) links: Vec<Link>,
    /// The clusters themselves, if they are simulated.
    pub(crate) sensus: Vec<Sensu>,
    file: Value,
    gateway: Gateway,
    _directory: tempfile::TempDir,
}

struct Gateway {
    port: u16,
    stop: mpsc::Sender<()>,
    ended: JoinHandle<()>,
}

/// The names of the clusters of most tests.
pub(crate) const CLUSTERS: [&str; 3] = ["local-cluster", "alpha", "beta"];

// === impl World ===

impl World {
    /// Simulated clusters, and the web UI of this directory, or of the dashboard listener at this URL; an empty path for
    /// none.
    pub(crate) async fn start(web_ui: &Path) -> Self {
        Self::with(&CLUSTERS, web_ui, &json!({})).await
    }

    /// The same for clusters of other names, with more in the gateway's configuration.
    pub(crate) async fn with(names: &[&str], web_ui: &Path, more: &Value) -> Self {
        // The same data in every cluster: what the clusters have in common is what could be mixed up.
        Self::of(names, web_ui, more, false, &|sensu| sensu.seed_demo(1)).await
    }

    /// Simulated clusters, and a gateway that has the private key, too, and so replicates by API and decides by RBAC.
    pub(crate) async fn that_signs(names: &[&str], more: &Value) -> Self {
        Self::of(names, Path::new(""), more, true, &|sensu| sensu.seed_demo(1)).await
    }

    async fn of(names: &[&str], web_ui: &Path, more: &Value, signs: bool, seed: &dyn Fn(&Sensu)) -> Self {
        let keys = Arc::new(SharedKeys::generate().unwrap());
        let (mut sensus, mut links) = (Vec::new(), Vec::new());
        for name in names {
            let (sensu, address) = cluster(name, &keys).await;
            seed(&sensu);
            sensus.push(sensu);
            links.push(Link::to(address).await);
        }
        let directory = tempfile::tempdir().unwrap();
        let key = directory.path().join("jwt_public.pem");
        std::fs::write(&key, keys.public_pem()).unwrap();
        let mut file = json!({"auth": {"jwt-public-key-files": [key]}});
        if signs {
            let key = directory.path().join("jwt_private.pem");
            std::fs::write(&key, keys.private_pem()).unwrap();
            std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
            file["auth"]["jwt-private-key-file"] = json!(key);
        }
        merge(&mut file, more);
        describe(&mut file, names, &links, "http", web_ui, directory.path());
        Self::in_front(file, links, sensus, directory).await
    }

    /// Clusters that differ, with two hours behind them.
    pub(crate) async fn with_a_past(names: &[&str]) -> Self {
        let world = Self::of(names, Path::new(""), &json!({}), false, &|_| {}).await;
        for sensu in &world.sensus {
            sensu.clock().advance(-PAST * STEP);
            sensu.seed_demo(sensu.name().bytes().map(u64::from).sum());
            for _ in 0..PAST {
                sensu.clock().advance(STEP);
                sensu.tick();
            }
        }
        world
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
        assert_eq!(links.len(), CLUSTERS.len(), "{urls}: not three backends");
        let mut file = json!({
            "auth": {"jwt-public-key-files": [file_of("FEDGATE_TEST_SENSU_PUB")]},
            "local-cluster": {"trusted-ca-file": file_of("FEDGATE_TEST_SENSU_CA")},
        });
        let directory = tempfile::tempdir().unwrap();
        describe(&mut file, &CLUSTERS, &links, "https", web_ui, directory.path());
        Some(Self::in_front(file, links, Vec::new(), directory).await)
    }

    async fn in_front(
        file: Value,
        links: Vec<Link>,
        sensus: Vec<Sensu>,
        directory: tempfile::TempDir,
    ) -> Self {
        let gateway = Gateway::start(&file, 0).await;
        // Browsers take localhost for a secure origin.
        let url = format!("http://localhost:{}", gateway.port);
        Self { url, links, sensus, file, gateway, _directory: directory }
    }

    /// Stops the gateway; connections end at once.
    pub(crate) async fn stop_gateway(&mut self) {
        for _ in 0..2 {
            let _ = self.gateway.stop.send(()).await;
        }
        (&mut self.gateway.ended).await.unwrap();
    }

    /// Starts it again where it was.
    pub(crate) async fn start_gateway(&mut self) {
        self.gateway = Gateway::start(&self.file, self.gateway.port).await;
    }

    /// A request to a cluster by its administrator, past the gateway.
    #[track_caller]
    pub(crate) fn put(&self, cluster: usize, path: &str, body: &Value) {
        let status = self.sensus[cluster].apply(&Method::PUT, &format!("/api/core/v2/{path}"), body);
        assert!(status.is_success(), "{path}: {status}");
    }
}

// === impl Gateway ===

impl Gateway {
    async fn start(file: &Value, port: u16) -> Self {
        let mut file = file.clone();
        file["listen"] = json!({"address": format!("127.0.0.1:{port}"), "workers": 2});
        let root = config::parse(&file.to_string(), "test", &BTreeMap::new()).unwrap();
        let server = Server::build(&root, None, telemetry::init_quiet()).await.unwrap();
        let (main, _) = server.addresses().unwrap();
        let (stop, stopped) = mpsc::channel(2);
        let ended = tokio::spawn(async move { server.run(stopped).await.unwrap() });
        Self { port: main.port(), stop, ended }
    }
}

/// What every gateway here has.
fn describe(file: &mut Value, names: &[&str], links: &[Link], scheme: &str, web_ui: &Path, directory: &Path) {
    let ca = file["local-cluster"]["trusted-ca-file"].clone();
    let mut clusters = names.iter().zip(links).map(|(name, link)| {
        let mut cluster = json!({"name": name, "api-urls": [format!("{scheme}://{}", link.address)]});
        if !ca.is_null() {
            cluster["trusted-ca-file"] = ca.clone();
        }
        cluster
    });
    file["local-cluster"]["api-urls"] = clusters.next().unwrap_or_default()["api-urls"].clone();
    file["clusters"] = clusters.collect();
    file["admin"] = json!({"address": "127.0.0.1:0"});
    file["store"] = json!({"embedded": {"path": directory.join("registry.redb")}});
    if !web_ui.as_os_str().is_empty() {
        let listener = web_ui.to_str().is_some_and(|place| place.starts_with("http"));
        file["web-ui"][if listener { "upstream" } else { "directory" }] = json!(web_ui);
    }
}

/// Adds the keys of `more`, at any depth.
fn merge(file: &mut Value, more: &Value) {
    match (file, more) {
        (Value::Object(file), Value::Object(more)) => {
            for (key, value) in more {
                merge(file.entry(key).or_insert(Value::Null), value);
            }
        }
        (file, more) => *file = more.clone(),
    }
}

async fn cluster(name: &str, keys: &Arc<SharedKeys>) -> (Sensu, SocketAddr) {
    let options = Options { name: name.to_owned(), keys: Arc::clone(keys), ..Options::default() };
    let sensu = Sensu::new(options);
    let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(sensu.clone().serve(socket, std::future::pending::<()>()));
    (sensu, address)
}

/// The steps of a past, and the seconds of each.
const PAST: i64 = 60;
const STEP: i64 = 120;
