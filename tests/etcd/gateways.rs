//! Several gateways, as processes, on one etcd.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, mpsc},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use fedgate::{
    etcd::proto::PutRequest,
    sim::{Options, Sensu, SharedKeys},
};
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};

use crate::{etcd_server::Etcd, wait::PATIENCE};

const CLUSTERS: &str = "/api/enterprise/federation/v1/clusters";

/// What all gateways of a test have in common.
pub(crate) struct Site {
    pub(crate) keys: Arc<SharedKeys>,
    /// The local cluster, and its address.
    pub(crate) source: Sensu,
    local: String,
    directory: tempfile::TempDir,
    token: String,
    /// Whether the gateways can sign tokens.
    signs: bool,
}

/// A process of `fedgate serve`. Killed on drop.
pub(crate) struct Gateway {
    child: Child,
    address: String,
}

// === impl Site ===

impl Site {
    async fn new() -> Self {
        Self::of(false).await
    }

    /// The gateways can sign tokens, or not.
    pub(crate) async fn of(signs: bool) -> Self {
        let keys = Arc::new(SharedKeys::generate().unwrap());
        let (source, local) = simulated("local-cluster", &keys).await;
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("jwt.pem"), keys.public_pem()).unwrap();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let token = keys.mint(&json!({
            "sub": "admin", "groups": ["cluster-admins", "system:users"], "exp": now + 3600
        }));
        std::fs::write(directory.path().join("jwt-private.pem"), keys.private_pem()).unwrap();
        Self { keys, source, local, directory, token, signs }
    }

    fn config(&self, etcd: &Etcd) -> std::path::PathBuf {
        let path = self.directory.path().join("fedgate.yaml");
        let mut file = json!({
            "listen": {"address": "127.0.0.1:0", "workers": 2},
            "admin": {"address": "127.0.0.1:0"},
            "auth": {"jwt-public-key-files": [self.directory.path().join("jwt.pem")]},
            "local-cluster": {"api-urls": [self.local]},
            "store": {"etcd": {"endpoints": [etcd.endpoint().to_string()]}},
        });
        if self.signs {
            file["auth"]["jwt-private-key-file"] = json!(self.directory.path().join("jwt-private.pem"));
        }
        std::fs::write(&path, file.to_string()).unwrap();
        path
    }

    pub(crate) async fn gateway(&self, etcd: &Etcd) -> Gateway {
        let gateway = Gateway::start(&self.config(etcd));
        self.until(&gateway, "/readyz", "it is ready", |status, _| status == 200).await;
        gateway
    }

    /// Status and body.
    pub(crate) async fn call(
        &self,
        gateway: &Gateway,
        method: Method,
        target: &str,
        body: &Value,
    ) -> (u16, String) {
        let stream = TcpStream::connect(&gateway.address).await.unwrap();
        let (mut client, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let body = if body.is_null() { Bytes::new() } else { body.to_string().into() };
        let request = Request::builder()
            .method(method)
            .uri(target)
            .header("host", "gw")
            .header("authorization", format!("Bearer {}", self.token))
            .body(Full::new(body))
            .unwrap();
        let answer = client.send_request(request).await.unwrap();
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    /// Asks until the answer is the wanted one, and says how long that took.
    async fn until(
        &self,
        gateway: &Gateway,
        target: &str,
        what: &str,
        wanted: impl Fn(u16, &str) -> bool,
    ) -> Duration {
        let begun = Instant::now();
        loop {
            let (status, body) = self.call(gateway, Method::GET, target, &Value::Null).await;
            if wanted(status, &body) {
                return begun.elapsed();
            }
            assert!(begun.elapsed() < PATIENCE, "not true in time: {what}; {target} says {status} {body}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub(crate) async fn register(&self, gateway: &Gateway, name: &str, url: &str) -> (u16, String) {
        self.call(gateway, Method::PUT, &format!("{CLUSTERS}/{name}"), &resource(name, url)).await
    }

    async fn names(&self, gateway: &Gateway) -> Vec<String> {
        let (status, body) = self.call(gateway, Method::GET, CLUSTERS, &Value::Null).await;
        assert_eq!(status, 200, "{body}");
        let list: Value = serde_json::from_str(&body).unwrap();
        let name = |item: &Value| item["metadata"]["name"].as_str().unwrap().to_owned();
        list.as_array().unwrap().iter().map(name).collect()
    }
}

// === impl Gateway ===

impl Gateway {
    fn start(config: &Path) -> Self {
        // Measurements are made with an optimized one.
        let binary = std::env::var("FEDGATE_BINARY").unwrap_or(env!("CARGO_BIN_EXE_fedgate").to_owned());
        let child = Command::new(binary)
            .args(["serve", "--config"])
            .arg(config)
            .env_clear()
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut gateway = Self { child, address: String::new() };
        let log = BufReader::new(gateway.child.stderr.take().unwrap());
        let (sender, lines) = mpsc::channel();
        // Read to its end: a full pipe would stop the process.
        std::thread::spawn(move || {
            for line in log.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let begun = Instant::now();
        let mut said = Vec::new();
        while begun.elapsed() < PATIENCE {
            let Ok(line) = lines.recv_timeout(PATIENCE) else { break };
            if line.contains("listening") {
                let log: Value = serde_json::from_str(&line).unwrap();
                let address = log["main"].as_str().or(log["fields"]["main"].as_str()).unwrap();
                gateway.address.push_str(address);
                return gateway;
            }
            said.push(line);
        }
        panic!("it does not say where it listens: {said:#?}");
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Seconds of CPU time so far, and resident MiB.
    pub(crate) fn usage(&self) -> (f64, f64) {
        let read = |file: &str| std::fs::read_to_string(format!("/proc/{}/{file}", self.child.id())).unwrap();
        let stat = read("stat");
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
        let ticks: f64 = fields[11..13].iter().map(|it| it.parse::<f64>().unwrap()).sum();
        let status = read("status");
        let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        let kib: f64 = rss.trim().trim_end_matches(" kB").parse().unwrap();
        (ticks / 100.0, kib / 1024.0)
    }

    /// `STOP` or `CONT`.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status();
        assert!(sent.unwrap().success());
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn resource(name: &str, url: &str) -> Value {
    json!({
        "type": "Cluster", "api_version": "federation/v1",
        "metadata": {"name": name}, "spec": {"api_urls": [url]}
    })
}

/// A simulated cluster; its URL.
async fn cluster(name: &str, keys: &Arc<SharedKeys>) -> String {
    simulated(name, keys).await.1
}

/// A simulated cluster and its URL.
pub(crate) async fn simulated(name: &str, keys: &Arc<SharedKeys>) -> (Sensu, String) {
    let sensu = Sensu::new(Options { name: name.to_owned(), keys: Arc::clone(keys), ..Options::default() });
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(sensu.clone().serve(socket, std::future::pending::<()>()));
    (sensu, format!("http://{address}"))
}

#[tokio::test]
async fn a_change_through_one_gateway_is_routed_by_the_other() {
    let (site, etcd) = (Site::new().await, Etcd::start().await);
    let (one, two) = (site.gateway(&etcd).await, site.gateway(&etcd).await);
    let mut times = Vec::new();
    for round in 0..20 {
        let name = format!("c{round}");
        let url = cluster(&name, &site.keys).await;
        assert_eq!(site.register(&one, &name, &url).await.0, 201);
        // The one that was asked routes by it already.
        let target = format!("/c/{name}/version");
        assert_eq!(site.call(&one, Method::GET, &target, &Value::Null).await.0, 200);
        times.push(site.until(&two, &target, "it is routed to", |status, _| status == 200).await);
        let deleted = site.call(&two, Method::DELETE, &format!("{CLUSTERS}/{name}"), &Value::Null).await;
        assert_eq!(deleted.0, 204);
        site.until(&one, &target, "it is gone", |status, _| status == 404).await;
    }
    times.sort();
    println!(
        "from an answered PUT to routed by the other gateway: median {:?}, most {:?}",
        times[10], times[19]
    );
}

#[tokio::test]
async fn either_gateway_survives_the_sudden_death_of_the_other() {
    let (site, etcd) = (Site::new().await, Etcd::start().await);
    let (mut one, two) = (site.gateway(&etcd).await, site.gateway(&etcd).await);
    let url = cluster("alpha", &site.keys).await;
    assert_eq!(site.register(&one, "alpha", &url).await.0, 201);
    one.kill();
    site.until(&two, "/c/alpha/version", "what the dead one wrote is there", |status, _| status == 200).await;
    assert_eq!(site.register(&two, "beta", &url).await.0, 201);
    let again = site.gateway(&etcd).await;
    assert_eq!(site.names(&again).await, ["alpha", "beta"]);
    assert_eq!(site.call(&again, Method::GET, "/c/beta/version", &Value::Null).await.0, 200);
}

#[tokio::test]
async fn without_its_etcd_a_gateway_goes_on_from_what_it_knows_and_agrees_with_it_afterwards() {
    let (site, mut etcd) = (Site::new().await, Etcd::start().await);
    let (one, two) = (site.gateway(&etcd).await, site.gateway(&etcd).await);
    let url = cluster("alpha", &site.keys).await;
    assert_eq!(site.register(&one, "alpha", &url).await.0, 201);
    assert_eq!(site.register(&one, "beta", &url).await.0, 201);
    site.until(&two, "/c/beta/version", "both know it", |status, _| status == 200).await;

    etcd.kill();
    for gateway in [&one, &two] {
        let (status, body) = site.register(gateway, "gamma", &url).await;
        assert_eq!(status, 503, "{body}");
        assert!(body.contains("the gateway's registry cannot be written at present"), "{body}");
        assert_eq!(site.call(gateway, Method::GET, "/c/alpha/version", &Value::Null).await.0, 200);
        assert_eq!(site.names(gateway).await, ["alpha", "beta"]);
        assert_eq!(site.call(gateway, Method::GET, "/readyz", &Value::Null).await.0, 200);
    }

    // What the gateways' watches would go on from is compacted away.
    etcd.restart().await;
    let client = etcd.client();
    let gamma = resource("gamma", &url).to_string();
    client.put(PutRequest::new("/fedgate/registry/clusters/gamma", gamma)).await.unwrap();
    etcd.ctl(&["del", "/fedgate/registry/clusters/beta"]);
    let revision = client.status().await.unwrap().header.unwrap().revision;
    client.compact(revision).await.unwrap();
    for gateway in [&one, &two] {
        site.until(gateway, "/c/gamma/version", "it knows the new one", |status, _| status == 200).await;
        site.until(gateway, "/c/beta/version", "it forgot the old one", |status, _| status == 404).await;
        assert_eq!(site.names(gateway).await, ["alpha", "gamma"]);
    }
    assert_eq!(site.register(&one, "delta", &url).await.0, 201);
    site.until(&two, "/c/delta/version", "changes flow again", |status, _| status == 200).await;
}
