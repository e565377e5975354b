//! A whole gateway over TCP: workers, control plane, registry.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use bytes::Bytes;
use fedgate::{
    app::{BuildError, Server},
    config,
    sim::{Options, Sensu, SharedKeys},
    telemetry::{self, LogHandle},
};
use http::{HeaderMap, Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, client::conn};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
};

use super::{claims, now};

/// A gateway with its local cluster, on free ports.
pub(crate) struct Running {
    pub(crate) main: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) sensu: Sensu,
    pub(crate) keys: Arc<SharedKeys>,
    pub(crate) token: String,
    pub(crate) stop: mpsc::Sender<()>,
    pub(crate) done: tokio::task::JoinHandle<Result<(), BuildError>>,
    /// Its configuration and its registry.
    pub(crate) directory: tempfile::TempDir,
}

// === impl Running ===

impl Running {
    pub(crate) async fn start() -> Self {
        Self::with(json!({})).await
    }

    /// With other keys in the configuration, whole sections at a time.
    pub(crate) async fn with(sections: Value) -> Self {
        Self::with_keys(Arc::new(SharedKeys::generate().unwrap()), sections).await
    }

    /// With keys that other clusters have, too.
    pub(crate) async fn with_keys(keys: Arc<SharedKeys>, sections: Value) -> Self {
        let (sensu, address) = cluster("local-cluster", &keys).await;
        let directory = tempfile::tempdir().unwrap();
        let key = directory.path().join("jwt_public.pem");
        std::fs::write(&key, keys.public_pem()).unwrap();
        let private = directory.path().join("jwt_private.pem");
        std::fs::write(&private, keys.private_pem()).unwrap();
        let mut file = json!({
            "listen": {"address": "127.0.0.1:0", "workers": 2},
            "admin": {"address": "127.0.0.1:0"},
            "auth": {"jwt-public-key-files": [key]},
            "store": {"embedded": {"path": directory.path().join("state/registry.redb")}},
            "local-cluster": {"api-urls": [format!("http://{address}")]},
        });
        for (section, value) in sections.as_object().unwrap() {
            file[section] = value.clone();
        }
        if sections.get("private-key").is_some() {
            file.as_object_mut().unwrap().remove("private-key");
            file["auth"]["jwt-private-key-file"] = json!(private);
            if let Some(longest) = file.as_object_mut().unwrap().remove("outage-sessions") {
                file["auth"]["outage-sessions"] = longest;
            }
        }
        let root = config::parse(&file.to_string(), "test", &BTreeMap::new()).unwrap();
        let server = Server::build(&root, None, logs()).await.unwrap();
        let (main, admin) = server.addresses().unwrap();
        let (stop, stopped) = mpsc::channel(2);
        let done = tokio::spawn(server.run(stopped));
        let token = keys.mint(&claims("admin", &["cluster-admins"], now() + 300));
        let server = Self { main, admin, sensu, keys, token, stop, done, directory };
        // An etcd may be one that is not there.
        if file["store"].get("etcd").is_none() {
            server.until_ready().await;
        }
        server
    }

    async fn until_ready(&self) {
        let mut admin = h1(self.admin).await;
        loop {
            let answer = send(&mut admin, self.request("/readyz")).await;
            if read(answer).await.0 == 200 {
                return;
            }
        }
    }

    /// A GET of the administrator.
    pub(crate) fn request(&self, target: &str) -> Request<Full<Bytes>> {
        request_of(&self.token, Method::GET, target, "")
    }

    /// On a connection of its own.
    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> (u16, HeaderMap, Bytes) {
        let answer = h1(self.main).await.send_request(request).await.unwrap();
        let headers = answer.headers().clone();
        let (status, body) = read(answer).await;
        (status, headers, body)
    }

    /// As the administrator; the status is asserted.
    pub(crate) async fn call(&self, method: Method, target: &str, body: &Value, status: u16) -> Bytes {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let request = request_of(&self.token, method, target, body);
        let (found, _, body) = self.send(request).await;
        assert_eq!(found, status, "{target}: {body:?}");
        body
    }

    /// A new simulated cluster, registered under its name.
    pub(crate) async fn register(&self, name: &str) -> Sensu {
        let (sensu, address) = cluster(name, &self.keys).await;
        let body = json!({
            "type": "Cluster", "api_version": "federation/v1",
            "metadata": {"name": name}, "spec": {"api_urls": [format!("http://{address}")]}
        });
        let target = format!("/api/enterprise/federation/v1/clusters/{name}");
        self.call(Method::PUT, &target, &body, 201).await;
        sensu
    }
}

/// A request with a token.
pub(crate) fn request_of(
    token: &str,
    method: Method,
    target: &str,
    body: impl Into<Bytes>,
) -> Request<Full<Bytes>> {
    let request = Request::builder()
        .method(method)
        .uri(target)
        .header("host", "gw")
        .header("content-type", "application/json");
    let request = request.header("authorization", format!("Bearer {token}"));
    request.body(Full::new(body.into())).unwrap()
}

/// A simulated cluster over TCP.
pub(crate) async fn cluster(name: &str, keys: &Arc<SharedKeys>) -> (Sensu, SocketAddr) {
    let options = Options { name: name.to_owned(), keys: Arc::clone(keys), ..Options::default() };
    let sensu = Sensu::new(options);
    let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(sensu.clone().serve(socket, std::future::pending::<()>()));
    (sensu, address)
}

/// Returns once the cluster has a client's request; health checks are none.
pub(crate) async fn asked(sensu: &Sensu) {
    while sensu.requests().iter().all(|request| request.path_and_query == "/version") {
        tokio::task::yield_now().await;
    }
}

pub(crate) fn logs() -> LogHandle {
    telemetry::init_quiet()
}

pub(crate) async fn h1(address: SocketAddr) -> conn::http1::SendRequest<Full<Bytes>> {
    let stream = TcpStream::connect(address).await.unwrap();
    let (sender, connection) = conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

/// Sends a request on a connection that may have had one before: an answer can be read to its end a moment before its
/// connection takes the next request.
pub(crate) async fn send(
    client: &mut conn::http1::SendRequest<Full<Bytes>>,
    request: Request<Full<Bytes>>,
) -> Response<Incoming> {
    client.ready().await.unwrap();
    client.send_request(request).await.unwrap()
}

pub(crate) async fn read(response: Response<Incoming>) -> (u16, Bytes) {
    let status = response.status().as_u16();
    (status, response.into_body().collect().await.unwrap().to_bytes())
}
