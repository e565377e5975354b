//! Requests that are refused before their body was read, by clients that write everything before they read: the
//! refusal must reach them all the same.

use std::{
    io::ErrorKind,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, Version};
use http_body_util::Full;
use hyper::client::conn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, timeout},
};

use crate::support::{Running, certificate, claims, now, read, tls_client};

const DISK: &str = "/api/core/v2/namespaces/default/checks/disk";

/// One byte more than `limits.request-body-bytes`.
const OVER: usize = 512_001;

const LARGE: usize = 900_000;

const HUGE: usize = 50_000_000;

/// How the client says where its body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    Length,
    Chunked,
}

/// A request that is refused without a look at its body.
#[derive(Clone, Debug)]
struct Refused {
    status: u16,
    /// Request line and header fields, without those of the framing.
    head: String,
}

/// What a client has seen.
#[derive(Debug)]
struct Seen {
    /// Whether all of the request could be written.
    wrote: bool,
    answer: String,
    /// How the connection ended; `None` is an end of the stream.
    error: Option<ErrorKind>,
}

struct Gateway {
    server: Running,
    roots: Option<rustls::RootCertStore>,
    /// The certificate's, for as long as the gateway looks at it.
    _directory: Option<tempfile::TempDir>,
}

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

// === impl Gateway ===

impl Gateway {
    async fn plain() -> Self {
        Self { server: Running::start().await, roots: None, _directory: None }
    }

    async fn tls() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (cert, key, roots) = certificate(directory.path());
        let listen = json!({"address": "127.0.0.1:0", "workers": 2, "cert-file": cert, "key-file": key});
        let server = Running::with(json!({"listen": listen})).await;
        Self { server, roots: Some(roots), _directory: Some(directory) }
    }

    async fn connect(&self, protocol: &str) -> Box<dyn Io> {
        match &self.roots {
            None => Box::new(TcpStream::connect(self.server.main).await.unwrap()),
            Some(roots) => Box::new(tls_client(self.server.main, roots.clone(), protocol).await),
        }
    }

    /// A GraphQL query, whose limit is another one.
    fn query(&self) -> Refused {
        let token = &self.server.token;
        let head = format!("POST /graphql HTTP/1.1\r\nhost: gw\r\nauthorization: Bearer {token}\r\n");
        Refused { status: 413, head }
    }

    /// Every way to be refused.
    fn refused(&self) -> Vec<Refused> {
        let admin = &self.server.token;
        let reader = self.server.keys.mint(&claims("reader", &["readers"], now() + 300));
        let clusters = "/api/enterprise/federation/v1/clusters/x";
        let refused = |status, method, target, token: &str, more: &str| Refused {
            status,
            head: format!(
                "{method} {target} HTTP/1.1\r\nhost: gw\r\ncontent-type: application/json\r\n{more}\
                 authorization: Bearer {token}\r\n"
            ),
        };
        vec![
            refused(413, "PUT", DISK, admin, ""),
            refused(413, "PUT", "/c/~/api/core/v2/namespaces/default/checks/disk", admin, ""),
            refused(413, "PUT", clusters, admin, ""),
            refused(401, "PUT", DISK, "none", ""),
            refused(401, "POST", "/graphql", "none", ""),
            refused(401, "PUT", clusters, "none", ""),
            refused(403, "PUT", clusters, &reader, ""),
            refused(404, "PUT", "/c/nowhere/api/core/v2/users/x", admin, ""),
            refused(404, "POST", "/n/default/entities", admin, ""),
            refused(400, "PUT", "/api/core/v2/namespaces/..%2Fusers/x", admin, ""),
            refused(400, "PUT", DISK, admin, "authorization: Bearer twice\r\n"),
            refused(400, "PUT", DISK, admin, "content_length: 1\r\n"),
            refused(405, "PUT", "/livez", admin, ""),
            // Refused by the parser, before any service is asked.
            refused(400, "PUT", DISK, admin, "not a header\r\n"),
            refused(431, "PUT", DISK, admin, &"x-many: 1\r\n".repeat(200)),
        ]
    }
}

/// Writes a request whole, waits a little as a client does that is busy, and only then reads.
async fn write_then_read(mut io: Box<dyn Io>, head: &str, size: usize, framing: Framing) -> Seen {
    let wrote = write(&mut io, head, size, framing).await.is_ok();
    tokio::time::sleep(Duration::from_millis(20)).await;
    let (answer, error) = read_all(&mut io).await;
    Seen { wrote, answer, error }
}

async fn write(io: &mut Box<dyn Io>, head: &str, size: usize, framing: Framing) -> std::io::Result<()> {
    let chunk = vec![b' '; 10_000];
    match framing {
        Framing::Length => io.write_all(format!("{head}content-length: {size}\r\n\r\n").as_bytes()).await?,
        Framing::Chunked => {
            io.write_all(format!("{head}transfer-encoding: chunked\r\n\r\n").as_bytes()).await?;
        }
    }
    let mut left = size;
    while left > 0 {
        let next = &chunk[..left.min(chunk.len())];
        left -= next.len();
        if framing == Framing::Chunked {
            io.write_all(format!("{:x}\r\n", next.len()).as_bytes()).await?;
        }
        io.write_all(next).await?;
        if framing == Framing::Chunked {
            io.write_all(b"\r\n").await?;
        }
    }
    if framing == Framing::Chunked {
        io.write_all(b"0\r\n\r\n").await?;
    }
    io.flush().await
}

async fn read_all(io: &mut (impl AsyncRead + Unpin)) -> (String, Option<ErrorKind>) {
    let mut answer = Vec::new();
    let error = timeout(Duration::from_secs(20), io.read_to_end(&mut answer)).await.unwrap().err();
    (String::from_utf8(answer).unwrap(), error.map(|error| error.kind()))
}

#[track_caller]
fn assert_answer(seen: &Seen, status: u16, what: &dyn std::fmt::Debug) {
    assert!(seen.answer.starts_with(&format!("HTTP/1.1 {status} ")), "{what:?}: {seen:?}");
    let (head, body) = seen.answer.split_once("\r\n\r\n").unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    assert_eq!(body.len(), length.parse::<usize>().unwrap(), "{what:?}: {seen:?}");
    assert!(head.contains("connection: close"), "{what:?}: {seen:?}");
}

/// Every refusal with every framing, of a size that the gateway reads to its end.
async fn are_read(gateway: &Gateway, size: usize) {
    let asked = gateway.refused().into_iter().flat_map(|refused| {
        [Framing::Length, Framing::Chunked].map(|framing| {
            let refused = refused.clone();
            async move {
                let io = gateway.connect("http/1.1").await;
                let seen = write_then_read(io, &refused.head, size, framing).await;
                assert_answer(&seen, refused.status, &(&refused, framing));
                assert!(seen.wrote && seen.error.is_none(), "{refused:?} {framing:?}: {seen:?}");
            }
        })
    });
    futures::future::join_all(asked).await;
}

#[tokio::test]
async fn every_refusal_is_read_by_clients_that_write_first() {
    let gateway = Gateway::plain().await;
    are_read(&gateway, OVER).await;
    are_read(&gateway, LARGE).await;
}

#[tokio::test]
async fn a_query_just_over_its_limit_is_read_as_such() {
    for gateway in [Gateway::plain().await, Gateway::tls().await] {
        for framing in [Framing::Length, Framing::Chunked] {
            let io = gateway.connect("http/1.1").await;
            let seen = write_then_read(io, &gateway.query().head, 1_048_577, framing).await;
            assert_answer(&seen, 413, &framing);
            assert!(seen.wrote, "{framing:?}: {seen:?}");
        }
    }
}

#[tokio::test]
async fn every_refusal_is_read_by_clients_that_write_first_over_tls() {
    let gateway = Gateway::tls().await;
    are_read(&gateway, OVER).await;
    are_read(&gateway, LARGE).await;
}

/// Such a client cannot write all; it finds the refusal when it reads after that.
#[tokio::test]
async fn a_refusal_is_read_after_a_body_far_over_the_limit() {
    let (plain, tls) = (Gateway::plain().await, Gateway::tls().await);
    let asked = [&plain, &tls].into_iter().flat_map(|gateway| {
        let all = gateway.refused().into_iter();
        let some = all.filter(|refused| matches!(refused.status, 413 | 401)).take(4).chain([gateway.query()]);
        some.flat_map(|refused| [Framing::Length, Framing::Chunked].map(|framing| (refused.clone(), framing)))
            .map(move |(refused, framing)| async move {
                let io = gateway.connect("http/1.1").await;
                let begun = Instant::now();
                let seen = write_then_read(io, &refused.head, HUGE, framing).await;
                assert_answer(&seen, refused.status, &(&refused, framing));
                assert!(!seen.wrote, "{refused:?}");
                assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
            })
    });
    futures::future::join_all(asked).await;
}

#[tokio::test]
async fn a_client_that_never_ends_is_cut_after_two_seconds() {
    let gateway = Gateway::plain().await;
    let mut io = gateway.connect("http/1.1").await;
    let refused = gateway.refused().into_iter().find(|refused| refused.status == 401).unwrap();
    let head = format!("{}content-length: {HUGE}\r\n\r\n", refused.head);
    io.write_all(head.as_bytes()).await.unwrap();
    let begun = Instant::now();
    // A byte now and then: never silent, never done.
    while io.write_all(b" ").await.is_ok() {
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(begun.elapsed() < Duration::from_secs(10));
    }
    assert!(begun.elapsed() >= Duration::from_secs(1), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn the_listener_for_health_checks_answers_in_the_same_way() {
    let gateway = Gateway::plain().await;
    let io = Box::new(TcpStream::connect(gateway.server.admin).await.unwrap());
    let head = "POST /metrics HTTP/1.1\r\nhost: gw\r\n";
    let seen = write_then_read(io, head, LARGE, Framing::Length).await;
    assert_answer(&seen, 405, &head);
    assert!(seen.wrote && seen.error.is_none(), "{seen:?}");
}

#[tokio::test]
async fn a_gateway_that_is_not_ready_answers_in_the_same_way() {
    let store = json!({"etcd": {"endpoints": ["http://127.0.0.1:1"]}});
    let server = Running::with(json!({"store": store})).await;
    let gateway = Gateway { server, roots: None, _directory: None };
    for framing in [Framing::Length, Framing::Chunked] {
        let head = "GET /readyz HTTP/1.1\r\nhost: gw\r\n";
        let seen = write_then_read(gateway.connect("http/1.1").await, head, LARGE, framing).await;
        assert_answer(&seen, 503, &framing);
        assert!(seen.wrote && seen.error.is_none(), "{framing:?}: {seen:?}");
    }
}

#[tokio::test]
async fn a_refused_expectation_gets_the_final_status_at_once() {
    for gateway in [Gateway::plain().await, Gateway::tls().await] {
        for refused in gateway.refused() {
            let mut io = gateway.connect("http/1.1").await;
            let framing = format!("content-length: {LARGE}\r\nexpect: 100-continue\r\n\r\n");
            let begun = Instant::now();
            io.write_all(format!("{}{framing}", refused.head).as_bytes()).await.unwrap();
            // Not a byte of the body is sent, and `100 Continue` must not come.
            let (answer, error) = read_all(&mut io).await;
            let seen = Seen { wrote: true, answer, error };
            assert_answer(&seen, refused.status, &refused);
            assert_eq!(seen.error, None, "{refused:?}");
            assert!(begun.elapsed() < Duration::from_secs(1), "{refused:?}: {:?}", begun.elapsed());
        }
    }
}

#[tokio::test]
async fn a_short_body_that_is_there_already_keeps_the_connection() {
    for gateway in [Gateway::plain().await, Gateway::tls().await] {
        let mut io = gateway.connect("http/1.1").await;
        let refused = gateway.refused().into_iter().find(|refused| refused.status == 401).unwrap();
        for _ in 0..3 {
            let request = format!("{}content-length: 2\r\n\r\n{{}}", refused.head);
            io.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            while !answer.ends_with('}') {
                let mut piece = [0; 4096];
                let count = io.read(&mut piece).await.unwrap();
                assert_ne!(count, 0, "{answer}");
                answer.push_str(std::str::from_utf8(&piece[..count]).unwrap());
            }
            assert!(answer.starts_with("HTTP/1.1 401 ") && !answer.contains("connection: close"), "{answer}");
        }
    }
}

#[tokio::test]
async fn http_2_answers_early_and_keeps_the_connection() {
    for gateway in [Gateway::plain().await, Gateway::tls().await] {
        let io = gateway.connect("h2").await;
        let (mut h2, connection) =
            conn::http2::handshake(TokioExecutor::new(), TokioIo::new(io)).await.unwrap();
        tokio::spawn(connection);
        let request = |token: &str, method, target: &str, size| {
            Request::builder()
                .version(Version::HTTP_2)
                .method(method)
                .uri(format!("https://gw{target}"))
                .header("authorization", format!("Bearer {token}"))
                .body(Full::new(Bytes::from(vec![b' '; size])))
                .unwrap()
        };
        let admin = &gateway.server.token;
        for size in [OVER, LARGE, HUGE] {
            let (status, _) =
                read(h2.send_request(request(admin, Method::PUT, DISK, size)).await.unwrap()).await;
            assert_eq!(status, 413, "{size}");
            let (status, _) =
                read(h2.send_request(request("none", Method::PUT, DISK, size)).await.unwrap()).await;
            assert_eq!(status, 401, "{size}");
        }
        let list = request(admin, Method::GET, "/api/core/v2/namespaces", 0);
        assert_eq!(read(h2.send_request(list).await.unwrap()).await.0, 200);
    }
}

/// Not a word of HTTP can be said to it, but the alert of TLS can be read.
#[tokio::test]
async fn a_client_without_tls_reads_the_alert() {
    let gateway = Gateway::tls().await;
    let address: SocketAddr = gateway.server.main;
    assert_eq!(address.ip(), Ipv4Addr::LOCALHOST);
    let io = Box::new(TcpStream::connect(address).await.unwrap());
    let mut io: Box<dyn Io> = io;
    write(&mut io, "PUT / HTTP/1.1\r\nhost: gw\r\n", 200_000, Framing::Length).await.unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    let mut alert = Vec::new();
    io.read_to_end(&mut alert).await.unwrap();
    // A record of the type 21.
    assert_eq!(alert.first(), Some(&21), "{alert:?}");
}
