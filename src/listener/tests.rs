use std::net::Ipv4Addr;

use bytes::Bytes;
use http::{StatusCode, Version};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    task::JoinHandle,
};

use super::*;

fn limits() -> Limits {
    Limits {
        streams: 100,
        headers: 10,
        head_bytes: 16 * 1024,
        head_timeout: Duration::from_secs(10),
        ..Limits::default()
    }
}

/// A client's end of a connection from 192.0.2.1, what ends it, and its task. The service says whom it takes for the
/// client; `/slow` takes half an hour.
fn start(limits: Limits) -> (DuplexStream, watch::Sender<()>, JoinHandle<()>) {
    let (client, end, _, task) = start_with(Terms { limits, ..Terms::default() });
    (client, end, task)
}

fn start_with(terms: Terms) -> (DuplexStream, watch::Sender<()>, Metrics, JoinHandle<()>) {
    let (client, server) = tokio::io::duplex(64 * 1024);
    let service = tower::service_fn(|request: Request<Incoming>| async move {
        if request.uri().path() == "/slow" {
            tokio::time::sleep(Duration::from_secs(1800)).await;
        }
        let info = request.extensions().get::<ConnInfo>().unwrap();
        Ok::<_, Infallible>(Response::new(Body::full(format!("{} {}", info.client, info.tls))))
    });
    let (running, phase) = watch::channel(Phase::Running);
    let (end, ending) = watch::channel(());
    let listener = Listener::new(terms, None, Arc::new(Semaphore::new(1)), phase);
    let connection = listener.connection(server, ([192, 0, 2, 1], 1).into(), service, ending);
    let task = tokio::spawn(async move {
        connection.await;
        drop(running);
    });
    (client, end, listener.metrics, task)
}

fn proxied() -> Terms {
    Terms { limits: limits(), proxy_protocol: ProxyProtocol::Required, ..Terms::default() }
}

/// How many connections were refused, as the metrics page has it.
fn refused(metrics: &Metrics) -> Option<String> {
    let page = crate::telemetry::Metrics::new(|registry| metrics.register(registry)).render();
    let line = page.lines().find(|line| line.starts_with("fedgate_listener_refused_total"))?;
    line.strip_prefix("fedgate_listener_refused_total{reason=\"proxy-header\"} ").map(ToOwned::to_owned)
}

#[tokio::test]
async fn requests_carry_what_is_known_of_their_connection() {
    let (client, _end, _task) = start(limits());
    let (mut sender, connection) = conn::http1::handshake(TokioIo::new(client)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::get("/").header("host", "x").body(Empty::<Bytes>::new()).unwrap();
    let response = sender.send_request(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "192.0.2.1 false");
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_a_request_ends_at_the_head_timeout() {
    let (mut client, _end, task) = start(limits());
    client.write_all(b"GET / HT").await.unwrap();
    let begun = Instant::now();
    task.await.unwrap();
    assert_eq!(begun.elapsed().as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_outlives_the_head_timeout_after_its_first_request() {
    let (mut client, _end, task) = start(limits());
    client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let begun = Instant::now();
    task.await.unwrap();
    assert_eq!(begun.elapsed().as_secs(), Terms::default().keep_alive.as_secs());
}

#[tokio::test]
async fn too_many_headers_are_refused_before_the_service() {
    let (mut client, _end, _task) = start(limits());
    let request = format!("GET / HTTP/1.1\r\nhost: x\r\n{}\r\n", "x: 1\r\n".repeat(20));
    client.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
}

#[tokio::test]
async fn draining_lets_an_idle_connection_go() {
    let (client, end, task) = start(limits());
    let (mut sender, connection) = conn::http1::handshake(TokioIo::new(client)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::get("/").header("host", "x").body(Empty::<Bytes>::new()).unwrap();
    sender.send_request(request).await.unwrap().into_body().collect().await.unwrap();
    end.send_replace(());
    end.closed().await;
    task.await.unwrap();
}

async fn http_2(
    client: DuplexStream,
) -> (conn::http2::SendRequest<Empty<Bytes>>, JoinHandle<hyper::Result<()>>) {
    let io = TokioIo::new(client);
    let (sender, connection) = conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
    (sender, tokio::spawn(connection))
}

fn http_2_request(path: &str) -> Request<Empty<Bytes>> {
    let request = Request::get(format!("http://x{path}")).version(Version::HTTP_2);
    request.body(Empty::new()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn an_http_2_connection_without_requests_ends_after_the_keep_alive_time() {
    let (client, _end, task) = start(limits());
    let (mut sender, connection) = http_2(client).await;
    for _ in 0..3 {
        let answer = sender.send_request(http_2_request("/")).await.unwrap();
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "192.0.2.1 false");
        tokio::time::sleep(Duration::from_secs(600)).await;
    }
    let begun = Instant::now();
    connection.await.unwrap().unwrap();
    assert_eq!(begun.elapsed().as_secs(), 20);
    task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_request_in_progress_keeps_an_http_2_connection() {
    let (client, _end, task) = start(limits());
    let (mut sender, connection) = http_2(client).await;
    let begun = Instant::now();
    let answer = sender.send_request(http_2_request("/slow")).await.unwrap();
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "192.0.2.1 false");
    assert_eq!(begun.elapsed().as_secs(), 1800);
    connection.await.unwrap().unwrap();
    assert_eq!(begun.elapsed().as_secs(), 1800 + 620);
    task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_http_2_peer_that_says_nothing_more_is_left() {
    let (mut client, _end, task) = start(limits());
    // The preface, no settings, and GET / of http://x with the end of the stream.
    client.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    client.write_all(b"\0\0\x06\x01\x05\0\0\0\x01\x82\x86\x84\x41\x01x").await.unwrap();
    let begun = Instant::now();
    task.await.unwrap();
    // A ping, the time for its answer, and for the peer to close.
    assert_eq!(begun.elapsed().as_secs(), 75 + 20 + 2);
}

#[tokio::test]
async fn the_client_is_the_one_that_the_proxy_header_names() {
    for (header, client) in [
        ("PROXY TCP4 198.51.100.7 10.0.0.1 40000 443\r\n", "198.51.100.7 false"),
        ("PROXY TCP6 2001:db8::7 ::1 40000 443\r\n", "2001:db8::7 false"),
        ("PROXY TCP6 ::ffff:198.51.100.7 ::1 40000 443\r\n", "198.51.100.7 false"),
        ("PROXY UNKNOWN\r\n", "192.0.2.1 false"),
        ("\r\n\r\n\0\r\nQUIT\n\x20\0\0\0", "192.0.2.1 false"),
    ] {
        let (mut stream, _end, metrics, _task) = start_with(proxied());
        stream.write_all(header.as_bytes()).await.unwrap();
        let (mut sender, connection) = conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let request = Request::get("/").header("host", "x").body(Empty::<Bytes>::new()).unwrap();
        let answer = sender.send_request(request).await.unwrap();
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), client);
        assert_eq!(refused(&metrics).as_deref(), Some("0"));
    }
}

#[tokio::test]
async fn a_connection_without_a_proxy_header_is_closed_unanswered_and_counted() {
    for (sent, counted) in [
        ("GET / HTTP/1.1\r\nhost: x\r\n\r\n", "1"),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "1"),
        ("PROXY TCP4 198.51.100.7 10.0.0.1 40000\r\nGET / HTTP/1.1\r\nhost: x\r\n\r\n", "1"),
        ("PROXY TCP4", "1"),
        ("", "0"),
    ] {
        let (mut stream, _end, metrics, task) = start_with(proxied());
        stream.write_all(sent.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        task.await.unwrap();
        assert_eq!((answer.as_slice(), refused(&metrics).as_deref()), (&b""[..], Some(counted)), "{sent:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn proxy_header_and_first_head_have_one_deadline_together() {
    let header = "PROXY TCP4 198.51.100.7 10.0.0.1 40000 443\r\n";
    for pieces in [&["PROXY TCP4 198", ".51.100.7 10."][..], &[header, "GET / HT"], &[]] {
        let (mut stream, _end, _, task) = start_with(proxied());
        let begun = Instant::now();
        for piece in pieces {
            tokio::time::sleep(Duration::from_secs(4)).await;
            stream.write_all(piece.as_bytes()).await.unwrap();
        }
        task.await.unwrap();
        assert_eq!(begun.elapsed().as_secs(), 10, "{pieces:?}");
    }
}

#[test]
fn a_taken_port_is_an_error_and_shared_sockets_have_one_port() {
    let sockets = bind((Ipv4Addr::LOCALHOST, 0).into(), 3).unwrap();
    let address = sockets[0].local_addr().unwrap();
    assert!(sockets.iter().all(|s| s.local_addr().unwrap() == address));
    let error = bind(address, 1).unwrap_err().to_string();
    assert!(error.contains("stop the other process"), "{error}");
}
