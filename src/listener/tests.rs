use std::net::Ipv4Addr;

use http::StatusCode;
use http_body_util::{BodyExt, Empty};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

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

fn start(limits: Limits) -> (tokio::io::DuplexStream, GracefulShutdown, tokio::task::JoinHandle<()>) {
    let (client, server) = tokio::io::duplex(64 * 1024);
    let graceful = GracefulShutdown::new();
    let watcher = graceful.watcher();
    let service = tower::service_fn(|request: Request<Incoming>| async move {
        let info = request.extensions().get::<ConnInfo>().copied();
        Ok::<_, Infallible>(Response::new(Body::full(format!("{:?}", info.map(|i| i.tls)))))
    });
    let info = ConnInfo { peer: (Ipv4Addr::LOCALHOST, 1).into(), tls: false };
    let deadline = Instant::now() + limits.head_timeout;
    let (running, phase) = watch::channel(Phase::Running);
    let (seen, phase) = (Arc::new(Seen::default()), Arc::new(phase));
    let connection = Connection { limits, metrics: Metrics::default(), info, seen, phase, watcher, deadline };
    let task = tokio::spawn(async move {
        connection.serve(server, service).await;
        drop(running);
    });
    (client, graceful, task)
}

#[tokio::test]
async fn requests_carry_what_is_known_of_their_connection() {
    let (client, _graceful, _task) = start(limits());
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(client)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::get("/").header("host", "x").body(Empty::<bytes::Bytes>::new()).unwrap();
    let response = sender.send_request(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "Some(false)");
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_a_request_ends_at_the_head_timeout() {
    let (mut client, _graceful, task) = start(limits());
    client.write_all(b"GET / HT").await.unwrap();
    let begun = Instant::now();
    task.await.unwrap();
    assert_eq!(begun.elapsed().as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_outlives_the_head_timeout_after_its_first_request() {
    let (mut client, _graceful, task) = start(limits());
    client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let begun = Instant::now();
    task.await.unwrap();
    assert_eq!(begun.elapsed().as_secs(), KEEP_ALIVE.as_secs());
}

#[tokio::test]
async fn too_many_headers_are_refused_before_the_service() {
    let (mut client, _graceful, _task) = start(limits());
    let request = format!("GET / HTTP/1.1\r\nhost: x\r\n{}\r\n", "x: 1\r\n".repeat(20));
    client.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
}

#[tokio::test]
async fn draining_lets_an_idle_connection_go() {
    let (client, graceful, task) = start(limits());
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(client)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::get("/").header("host", "x").body(Empty::<bytes::Bytes>::new()).unwrap();
    sender.send_request(request).await.unwrap().into_body().collect().await.unwrap();
    graceful.shutdown().await;
    task.await.unwrap();
}

#[test]
fn a_taken_port_is_an_error_and_shared_sockets_have_one_port() {
    let sockets = bind((Ipv4Addr::LOCALHOST, 0).into(), 3).unwrap();
    let address = sockets[0].local_addr().unwrap();
    assert!(sockets.iter().all(|s| s.local_addr().unwrap() == address));
    let error = bind(address, 1).unwrap_err().to_string();
    assert!(error.contains("stop the other process"), "{error}");
}
