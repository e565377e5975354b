use http::StatusCode;
use tokio::{task::JoinSet, time::Instant};

use super::*;
use crate::{
    error::{Classify as _, ErrorKind},
    upstream::{
        Openings, Phase,
        openings::{AT_ONCE, PATIENCE},
    },
};

#[tokio::test(start_paused = true)]
async fn a_cluster_that_does_not_answer_times_out() {
    let (net, mut peers) = Net::new([]);
    let client = ordered(&net, Config::default(), &[1, 2]);
    let start = Instant::now();
    let (result, closed) = tokio::join!(client.send(get("/")), async {
        let mut peer = peers.recv().await.unwrap();
        peer.request().await.unwrap();
        peer.request().await
    });
    let error = result.unwrap_err();
    assert!(matches!(error, Error::Timeout { phase: Phase::Head, .. }), "{error:?}");
    assert_eq!(start.elapsed().as_secs(), 15);
    assert_eq!(closed, None);
    assert_eq!(net.dialed(), [1], "a request that was sent is not for another backend");
    let reply = error.reply();
    assert_eq!((reply.status, reply.code), (StatusCode::GATEWAY_TIMEOUT, 0));
    assert_eq!(reply.message, "cluster \"alpha\" did not answer in time");
    assert_eq!((error.class().as_str(), error.kind()), ("timeout", ErrorKind::Upstream));
}

#[tokio::test(start_paused = true)]
async fn a_deadline_replaces_the_head_timeout() {
    let (net, _peers) = Net::new([(2, Door::Swallows)]);
    for (port, seconds, expected) in [(1, 20, Phase::Head), (1, 1, Phase::Head), (2, 1, Phase::Connect)] {
        let client = client(&net, Config::default(), &[port]);
        let start = Instant::now();
        let deadline = start + Duration::from_secs(seconds);
        let error = client.send_with(get("/"), Some(deadline)).await.unwrap_err();
        assert!(matches!(error, Error::Timeout { phase, .. } if phase == expected), "{error:?}");
        assert_eq!(start.elapsed().as_secs(), seconds);
    }
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_swallows_connections_costs_the_connect_timeout() {
    let (net, mut peers) = Net::new([(1, Door::Swallows)]);
    let client = ordered(&net, Config::default(), &[1, 2]);
    let start = Instant::now();
    let (response, _) =
        tokio::join!(client.send(get("/")), async { peers.recv().await.unwrap().play([OK]).await });
    response.unwrap();
    assert_eq!(start.elapsed().as_secs(), 2);

    let (net, _peers) = Net::new([(1, Door::Swallows)]);
    let error = self::client(&net, Config::default(), &[1]).send(get("/")).await.unwrap_err();
    assert!(matches!(error, Error::Timeout { phase: Phase::Connect, .. }), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_stalls_times_out_while_it_is_waited_for() {
    let (net, mut peers) = Net::new([]);
    let client = client(&net, Config::default(), &[1]);
    let start = Instant::now();
    let serve = async {
        let mut peer = peers.recv().await.unwrap();
        peer.request().await.unwrap();
        peer.write("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\na").await;
        for _ in 0..2 {
            tokio::time::sleep(Duration::from_secs(14)).await;
            peer.write("b").await;
        }
        peer.request().await
    };
    let (result, closed) = tokio::join!(
        async {
            let response = client.send(get("/")).await.unwrap();
            // The body is not polled here, so this time does not count.
            tokio::time::sleep(Duration::from_secs(5)).await;
            text(response).await
        },
        serve
    );
    let error = result.unwrap_err();
    assert!(matches!(error, Error::Timeout { phase: Phase::Body, .. }), "{error:?}");
    assert_eq!(start.elapsed().as_secs(), 28 + 15);
    assert_eq!(closed, None);
}

#[tokio::test(start_paused = true)]
async fn a_short_body_is_an_error() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\nZ\r\n",
    ] {
        let (net, mut peers) = Net::new([]);
        let client = client(&net, Config::default(), &[1]);
        let (result, _) = tokio::join!(async { text(client.send(get("/")).await.unwrap()).await }, async {
            peers.recv().await.unwrap().play([answer]).await
        });
        let error = result.unwrap_err();
        assert!(matches!(error, Error::Body { .. }), "{error:?}");
        assert_eq!(error.class().as_str(), "bad-body");
    }
}

#[tokio::test(start_paused = true)]
async fn answers_that_are_not_http_are_refused() {
    let long = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(70_000));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: y\r\n".repeat(101));
    let upgrade = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n";
    for answer in ["SSH-2.0-OpenSSH\r\n\r\n", &long, &many, upgrade] {
        let (net, mut peers) = Net::new([]);
        let client = client(&net, Config::default(), &[1]);
        let (result, ()) = tokio::join!(client.send(get("/")), async {
            let mut peer = peers.recv().await.unwrap();
            peer.request().await.unwrap();
            // The gateway may close before it has read all of it.
            let _ = peer.io.write_all(answer.as_bytes()).await;
        });
        let error = result.unwrap_err();
        assert!(matches!(error, Error::BadResponse { .. }), "{error:?}");
        assert_eq!(error.reply().status, StatusCode::BAD_GATEWAY);
    }
}

#[tokio::test(start_paused = true)]
async fn connections_per_backend_are_bounded() {
    let (net, mut peers) = Net::new([]);
    let client = client(&net, Config { max_connections: 1, ..Config::default() }, &[1]);
    let busy = tokio::spawn({
        let client = client.clone();
        async move { text(client.send(get("/")).await.unwrap()).await.unwrap() }
    });
    let mut peer = peers.recv().await.unwrap();
    let error = client.send(get("/")).await.unwrap_err();
    assert!(matches!(error, Error::Overload { .. }), "{error:?}");
    assert_eq!(error.kind(), ErrorKind::Overload);
    assert_eq!(error.reply().status, StatusCode::SERVICE_UNAVAILABLE);
    peer.request().await.unwrap();
    peer.write(OK).await;
    assert_eq!(busy.await.unwrap(), "ok");
}

#[tokio::test(start_paused = true)]
async fn the_length_sent_is_that_of_the_body() {
    let (net, mut peers) = Net::new([]);
    let client = client(&net, Config::default(), &[1]);
    let serve = tokio::spawn(async move { peers.recv().await.unwrap().play([OK; 4]).await });
    for (method, body) in
        [(Method::POST, "{}"), (Method::POST, ""), (Method::GET, ""), (Method::DELETE, "{}")]
    {
        let mut request = request(method, "/", body);
        request.headers_mut().insert("content-length", "77".parse().unwrap());
        request.headers_mut().insert("transfer-encoding", "chunked".parse().unwrap());
        text(client.send(request).await.unwrap()).await.unwrap();
    }
    let seen = serve.await.unwrap();
    let lengths: Vec<_> = seen.iter().map(|r| r.matches("content-length: ").count()).collect();
    assert_eq!(lengths, [1, 1, 0, 1]);
    assert!(seen[0].contains("content-length: 2\r\n") && seen[1].contains("content-length: 0\r\n"));
    assert!(seen.iter().all(|r| !r.contains("transfer-encoding")));
}

#[tokio::test(start_paused = true)]
async fn an_answer_before_the_end_of_the_request_is_passed_on() {
    let (net, mut peers) = Net::new([]);
    let client = client(&net, Config::default(), &[1]);
    let big: &'static str = "x".repeat(1 << 20).leak();
    let (response, ()) = tokio::join!(client.send(request(Method::POST, "/", big)), async {
        let mut peer = peers.recv().await.unwrap();
        let _ = peer.io.read_buf(&mut peer.read).await.unwrap();
        peer.write("HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno").await;
        settle().await;
    });
    let response = response.unwrap();
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(text(response).await.unwrap(), "no");
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(client.connections(), 0, "half a request was left on the connection");
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_read_cannot_keep_an_abandoned_connection() {
    let (net, mut peers) = Net::new([]);
    let client = client(&net, Config::default(), &[1]);
    let big: &'static str = "x".repeat(1 << 20).leak();
    let error = client.send(request(Method::POST, "/", big)).await.unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error:?}");
    let _peer = peers.recv().await.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(client.connections(), 0);
}

#[tokio::test(start_paused = true)]
async fn requests_sent_together_open_connections_in_turns_and_hung_ones_hold_up_nobody() {
    let (net, mut peers) = Net::new([(1, Door::Swallows)]);
    let (hung, good) = (client(&net, Config::default(), &[1]), client(&net, Config::default(), &[2]));
    let openings = Openings::new();
    let together = || {
        let mut request = get("/");
        request.extensions_mut().insert(openings.clone());
        request
    };
    let begun = Instant::now();
    let mut waiting = JoinSet::new();
    for _ in 0..=(2 * AT_ONCE) {
        let (client, request) = (Arc::clone(&hung), together());
        waiting.spawn(async move { client.send(request).await.is_err() });
    }
    settle().await;
    assert_eq!(net.dialed().len(), AT_ONCE);
    // Whoever does not belong to them has no turn to wait for.
    let (alone, _) =
        tokio::join!(good.send(get("/")), async { peers.recv().await.unwrap().play([OK]).await });
    assert!(alone.is_ok() && begun.elapsed() < PATIENCE);
    drop(alone);
    let (last, _) =
        tokio::join!(good.send(together()), async { peers.recv().await.unwrap().play([OK]).await });
    assert!(last.is_ok());
    assert_eq!(begun.elapsed(), 2 * PATIENCE, "two turns of hung ones were before it");
    assert!(waiting.join_all().await.into_iter().all(|failed| failed));
    assert_eq!(begun.elapsed(), 2 * PATIENCE + Config::default().connect_timeout, "each has its whole time");
}
