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
    listener::{Listener, Phase, Terms},
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
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{Semaphore, watch},
};

use crate::support::{Running, World, asked, certificate, h1, logs, plain, read, send, tls_client};

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
    let (status, metrics) = read(send(&mut admin, server.request("/metrics")).await).await;
    assert_eq!(status, 200);
    assert!(memchr::memmem::find(&metrics, b"fedgate_auth_total{result=\"ok\"} 1").is_some());
    // The health checks run. On a loaded machine the first may be too slow, so that the backend is not up yet.
    loop {
        let (_, metrics) = read(send(&mut admin, server.request("/metrics")).await).await;
        let metrics = String::from_utf8(metrics.to_vec()).unwrap();
        let mut lines = metrics.lines();
        if lines.any(|line| {
            line.starts_with("fedgate_backend_up{cluster=\"local-cluster\"") && line.ends_with(" 1")
        }) {
            break;
        }
        tokio::task::yield_now().await;
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
        let (status, _) = read(send(&mut admin, server.request("/readyz")).await).await;
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
    let directory = tempfile::tempdir().unwrap();
    let (cert, key, roots) = certificate(directory.path());
    let tls = ServerTls::load(&cert, &key).unwrap();
    let (phase, seen) = watch::channel(Phase::Running);
    let service = tower::service_fn(|request: Request<Incoming>| async move {
        Ok::<_, std::convert::Infallible>(Response::new(Body::full(format!("{:?}", request.version()))))
    });
    let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = socket.local_addr().unwrap();
    let listener = Listener::new(Terms::default(), Some(tls), Arc::new(Semaphore::new(10)), seen);
    tokio::spawn(listener.serve(socket, service));
    (address, phase, roots)
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

/// The size of a large list.
const LIST: usize = 1_300_000;

/// A listener that answers everything with a list, after this time.
async fn list_listener(after: Duration) -> (SocketAddr, watch::Sender<Phase>, tokio::task::JoinHandle<()>) {
    let (phase, seen) = watch::channel(Phase::Running);
    let service = tower::service_fn(move |_: Request<Incoming>| async move {
        tokio::time::sleep(after).await;
        Ok::<_, std::convert::Infallible>(Response::new(Body::full(vec![b'x'; LIST])))
    });
    let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = socket.local_addr().unwrap();
    let listener = Listener::new(Terms::default(), None, Arc::new(Semaphore::new(100)), seen);
    (address, phase, tokio::spawn(listener.serve(socket, service)))
}

#[tokio::test]
async fn a_list_that_was_written_is_read_whole_whatever_else_was_sent() {
    async fn ask(mut io: impl AsyncRead + AsyncWrite + Unpin) {
        io.write_all(b"GET / HTTP/1.1\r\nhost: gw\r\nconnection: close\r\n\r\n").await.unwrap();
        // Another request comes too late, and nobody reads it.
        io.write_all(b"GET / HTTP/1.1\r\nhost: gw\r\n\r\n".repeat(1000).as_slice()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        let mut answer = Vec::new();
        io.read_to_end(&mut answer).await.unwrap();
        assert!(answer.len() > LIST, "{}", answer.len());
    }
    let (address, _phase, _task) = list_listener(Duration::ZERO).await;
    ask(TcpStream::connect(address).await.unwrap()).await;
}

/// Frame by frame, since a client of hyper's reads too fast to lose anything.
#[tokio::test]
async fn an_http_2_list_is_read_whole_when_the_gateway_stops() {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    const ALL: u32 = 1 << 30;
    let frame = |kind: u8, flags: u8, stream: u32, payload: &[u8]| {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
    };
    let (address, phase, task) = list_listener(Duration::from_millis(100)).await;
    let socket = TcpSocket::new_v4().unwrap();
    // Most of the list waits in the server's socket.
    socket.set_recv_buffer_size(16 * 1024).unwrap();
    let mut io = socket.connect(address).await.unwrap();
    // SETTINGS_INITIAL_WINDOW_SIZE, and the same for the connection: the server may write all at once.
    let settings = frame(4, 0, 0, &[&[0, 4], &ALL.to_be_bytes()[..]].concat());
    let window = frame(8, 0, 0, &ALL.to_be_bytes());
    // GET / of http://gw, with the end of the stream and of the header.
    let get = frame(1, 5, 1, &[0x82, 0x86, 0x84, 0x41, 2, b'g', b'w']);
    io.write_all(&[PREFACE, &settings, &window, &get].concat()).await.unwrap();
    let mut size = 0;
    loop {
        let mut head = [0; 9];
        io.read_exact(&mut head).await.unwrap_or_else(|error| panic!("{error} after {size} bytes"));
        let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        io.read_exact(&mut payload).await.unwrap_or_else(|error| panic!("{error} after {size} bytes"));
        match (head[3], head[4]) {
            (0, flags) => {
                size += payload.len();
                if flags & 1 != 0 {
                    break;
                }
                // It has something to say all the time, and takes its time.
                io.write_all(&frame(8, 0, 0, &1_u32.to_be_bytes())).await.unwrap();
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            // The acknowledgement of the settings: the request is in work.
            (4, 1) => drop(phase.send_replace(Phase::Draining)),
            (6, 0) => io.write_all(&frame(6, 1, 0, &payload)).await.unwrap(),
            _ => {}
        }
    }
    assert_eq!(size, LIST);
    drop(io);
    tokio::time::timeout(Duration::from_secs(1), task).await.unwrap().unwrap();
}

#[tokio::test]
async fn connections_leave_while_the_end_is_announced() {
    let server = Running::with(json!({"shutdown": {"announce": "1s", "drain": "30s"}})).await;
    let (mut kept, mut ended) = (h1(server.main).await, h1(server.main).await);
    let request = || server.request("/api/core/v2/users");
    for client in [&mut kept, &mut ended] {
        let answer = send(client, request()).await;
        assert!(!answer.headers().contains_key("connection"));
        assert_eq!(read(answer).await.0, 200);
    }
    server.stop.send(()).await.unwrap();
    let mut admin = h1(server.admin).await;
    while read(send(&mut admin, server.request("/readyz")).await).await.0 != 503 {}

    // Kept and new ones: the answer is whole, and is the last.
    let refused = Request::get("/api/core/v2/users").header("host", "gw").body(Full::default()).unwrap();
    for (client, request, status) in [
        (&mut kept, request(), 200),
        (&mut h1(server.main).await, request(), 200),
        (&mut h1(server.main).await, refused, 401),
    ] {
        let answer = send(client, request).await;
        assert_eq!(answer.headers()["connection"], "close");
        assert_eq!(read(answer).await.0, status);
        assert!(client.ready().await.is_err());
    }
    // One that asks for nothing is left alone until the end.
    assert!(!ended.is_closed());
    assert!(ended.ready().await.is_ok());
    let answer = read(send(&mut ended, request()).await).await;
    assert_eq!(answer.0, 200);
    let mut idle = h1(server.main).await;
    assert!(idle.ready().await.is_ok());
    server.done.await.unwrap().unwrap();
    while !idle.is_closed() {
        tokio::task::yield_now().await;
    }
}
