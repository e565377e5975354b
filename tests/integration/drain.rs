//! The end: `/readyz` first, then no more connections, then nothing. And the whole server over TCP.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use fedgate::{
    app::Server,
    config,
    listener::{Limits, Listener, Phase},
    net::ServerTls,
    sim::SharedKeys,
    wire::Body,
};
use http::{Method, Request, Response, Version};
use http_body_util::Full;
use hyper::{body::Incoming, client::conn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
};

use crate::support::{Running, World, asked, h1, logs, plain, read};

#[tokio::test]
async fn a_gateway_about_to_stop_is_not_ready_and_still_serves() {
    let world = World::new();
    world.phase.send_replace(Phase::Announcing);
    for target in ["/readyz", "/ready"] {
        world.send(plain(Method::GET, target, "")).await.is(503, "shutting down\n");
    }
    world.send(plain(Method::GET, "/livez", "")).await.is(200, "ok\n");
    assert_eq!(world.get("/api/core/v2/checks").await.status, 200);
}

#[tokio::test]
async fn a_server_serves_over_tcp_and_ends_when_told() {
    let server = Running::start().await;
    let mut client = h1(server.main).await;
    let list = client.send_request(server.request("/api/core/v2/namespaces")).await.unwrap();
    assert_eq!(list.headers()["fedgate-complete"], "true");
    let (status, body) = read(list).await;
    assert_eq!(status, 200);
    assert!(body.starts_with(br#"[{"cluster":"local-cluster","name":"default"}"#), "{body:?}");
    let mut admin = h1(server.admin).await;
    let (status, metrics) = read(admin.send_request(server.request("/metrics")).await.unwrap()).await;
    assert_eq!(status, 200);
    assert!(memchr::memmem::find(&metrics, b"fedgate_auth_total{result=\"ok\"} 1").is_some());
    // The health checks run.
    loop {
        let (_, metrics) = read(admin.send_request(server.request("/metrics")).await.unwrap()).await;
        if memchr::memmem::find(&metrics, b"fedgate_backend_up{cluster=\"local-cluster\"").is_some() {
            assert!(metrics.ends_with(b"\"} 1\n"), "{metrics:?}");
            break;
        }
    }
    server.stop.send(()).await.unwrap();
    server.done.await.unwrap().unwrap();
    assert!(TcpStream::connect(server.main).await.is_err());
}

#[tokio::test]
async fn a_request_in_work_is_finished_before_the_end() {
    let server = Running::start().await;
    server.sensu.faults().set_delay(Some(Duration::from_millis(300)));
    let mut client = h1(server.main).await;
    let answer = client.send_request(server.request("/api/core/v2/users"));
    let asked = async {
        asked(&server.sensu).await;
        server.stop.send(()).await.unwrap();
    };
    let (answer, ()) = tokio::join!(answer, asked);
    assert_eq!(read(answer.unwrap()).await.0, 200);
    server.done.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_second_word_ends_it_at_once() {
    let server = Running::start().await;
    server.sensu.faults().set_hang(true);
    let mut client = h1(server.main).await;
    let hanging = tokio::spawn(client.send_request(server.request("/api/core/v2/users")));
    asked(&server.sensu).await;
    server.stop.send(()).await.unwrap();
    // Not ready while it drains, and the admin listener can still be asked.
    let mut admin = h1(server.admin).await;
    loop {
        let (status, _) = read(admin.send_request(server.request("/readyz")).await.unwrap()).await;
        if status == 503 {
            break;
        }
    }
    assert!(!server.done.is_finished());
    server.stop.send(()).await.unwrap();
    server.done.await.unwrap().unwrap();
    hanging.abort();
}

#[tokio::test]
async fn a_taken_port_is_one_line_that_says_so() {
    let taken = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let keys = SharedKeys::generate().unwrap();
    let key = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(key.path(), keys.public_pem()).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let file = json!({
        "store": {"embedded": {"path": directory.path().join("registry.redb")}},
        "listen": {"address": taken.local_addr().unwrap().to_string()},
        "admin": {"address": "127.0.0.1:0"},
        "auth": {"jwt-public-key-files": [key.path()]},
        "local-cluster": {"api-urls": ["http://127.0.0.1:1"]},
    });
    let root = config::parse(&file.to_string(), "test", &BTreeMap::new()).unwrap();
    let error = Server::build(&root, None, logs()).await.err().unwrap().to_string();
    assert!(
        error.contains(&taken.local_addr().unwrap().to_string()) && error.lines().count() == 1,
        "{error}"
    );
}

/// A TLS listener whose service tells the version it was asked with.
async fn tls_listener() -> (SocketAddr, watch::Sender<Phase>, rustls::RootCertStore) {
    let certified = rcgen::generate_simple_self_signed(["gw".to_owned()]).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let (cert, key) = (directory.path().join("cert"), directory.path().join("key"));
    std::fs::write(&cert, certified.cert.pem()).unwrap();
    std::fs::write(&key, certified.signing_key.serialize_pem()).unwrap();
    let tls = ServerTls::load(&cert, &key).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certified.cert.der().clone()).unwrap();
    let (phase, seen) = watch::channel(Phase::Running);
    let service = tower::service_fn(|request: Request<Incoming>| async move {
        Ok::<_, std::convert::Infallible>(Response::new(Body::full(format!("{:?}", request.version()))))
    });
    let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = socket.local_addr().unwrap();
    let listener = Listener::new(Limits::default(), Some(tls), Arc::new(Semaphore::new(10)), seen);
    tokio::spawn(listener.serve(socket, service));
    (address, phase, roots)
}

async fn tls_client(
    address: SocketAddr,
    roots: rustls::RootCertStore,
    protocol: &str,
) -> tokio_rustls::client::TlsStream<TcpStream> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    let tcp = TcpStream::connect(address).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let stream = connector.connect("gw".try_into().unwrap(), tcp).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(protocol.as_bytes()));
    stream
}

#[tokio::test]
async fn tls_clients_speak_http_1_or_2_as_they_ask() {
    let (address, phase, roots) = tls_listener().await;
    let io = TokioIo::new(tls_client(address, roots.clone(), "http/1.1").await);
    let (mut sender, connection) = conn::http1::handshake(io).await.unwrap();
    let first = tokio::spawn(connection);
    let request = Request::get("/").header("host", "gw").body(Full::<Bytes>::default()).unwrap();
    assert_eq!(read(sender.send_request(request).await.unwrap()).await.1, "HTTP/1.1");

    let io = TokioIo::new(tls_client(address, roots, "h2").await);
    let (mut h2, connection) = conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
    let second = tokio::spawn(connection);
    let request =
        Request::get("https://gw/").version(Version::HTTP_2).body(Full::<Bytes>::default()).unwrap();
    assert_eq!(read(h2.send_request(request).await.unwrap()).await.1, "HTTP/2.0");

    // Both are let go when the gateway drains.
    phase.send_replace(Phase::Draining);
    first.await.unwrap().unwrap();
    second.await.unwrap().unwrap();
}
