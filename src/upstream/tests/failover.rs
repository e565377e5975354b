use http::StatusCode;
use tokio::time::Instant;

use super::*;
use crate::{
    error::{Classify as _, ErrorKind},
    upstream::{Phase, Repeatable},
};

/// When a peer closes the connection on which a request arrives.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Closes {
    /// Before the request was written.
    BeforeRequest,
    /// When it has read the request.
    AfterRequest,
    /// When it has sent a part of the head.
    InHead,
}

#[tokio::test(start_paused = true)]
async fn what_was_not_sent_goes_to_another_backend() {
    for _ in 0..20 {
        let (net, mut peers) = Net::new([(1, Door::Refuses), (2, Door::Slams)]);
        let client = client(&net, Config::default(), &[1, 2, 3]);
        // POST too: nothing was sent.
        let call = client.send(request(Method::POST, "/", "{}"));
        let (response, port) = tokio::join!(call, async {
            let mut peer = peers.recv().await.unwrap();
            assert!(peer.request().await.unwrap().ends_with("\r\n\r\n{}"));
            peer.write("HTTP/1.1 201 Created\r\nConnection: close\r\nContent-Length: 0\r\n\r\n").await;
            peer.port
        });
        assert_eq!((response.unwrap().status().as_u16(), port), (201, 3));
        let mut dialed = net.dialed();
        assert_eq!(dialed.pop(), Some(3));
        dialed.sort_unstable();
        assert!(dialed.len() < 3 && dialed.windows(2).all(|w| w[0] != w[1]), "{dialed:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn requests_are_spread_by_what_each_backend_has_in_work() {
    let (net, mut peers) = Net::new([]);
    let client = client(&net, Config::default(), &[1, 2]);
    let mut busy = Vec::new();
    for _ in 0..10 {
        busy.push(tokio::spawn({
            let client = client.clone();
            async move { client.send(get("/")).await.map(drop) }
        }));
        settle().await;
    }
    let mut ports: Vec<_> = std::iter::from_fn(|| peers.try_recv().ok()).map(|peer| peer.port).collect();
    ports.sort_unstable();
    assert_eq!(ports, [1, 1, 1, 1, 1, 2, 2, 2, 2, 2]);
}

#[tokio::test(start_paused = true)]
async fn every_backend_gets_one_attempt_before_a_request_fails() {
    let doors = [(1, Door::Refuses), (2, Door::Refuses), (3, Door::Refuses), (4, Door::Refuses)];
    for (retries, ports, dialed) in
        [(2, &[1, 2, 3, 4][..], &[1, 2, 3, 4][..]), (0, &[1, 2], &[1, 2]), (9, &[1, 2], &[1, 2])]
    {
        let (net, _peers) = Net::new(doors);
        let client = client(&net, Config { retries, ..Config::default() }, ports);
        let error = client.send(get("/")).await.unwrap_err();
        assert!(matches!(error, Error::Connect { .. }), "{error:?}");
        let mut seen = net.dialed();
        seen.sort_unstable();
        assert_eq!(seen, dialed);
    }
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_swallows_connections_is_left_alone_for_a_while() {
    let (net, mut peers) = Net::new([(1, Door::Swallows)]);
    let client = client(&net, Config::default(), &[1]);
    for _ in 0..5 {
        let error = client.send(get("/")).await.unwrap_err();
        assert!(matches!(error, Error::Timeout { phase: Phase::Connect, .. }), "{error:?}");
    }
    let start = Instant::now();
    let error = client.send(get("/")).await.unwrap_err();
    assert!(matches!(error, Error::Open { .. }), "{error:?}");
    assert_eq!((error.class().as_str(), error.kind()), ("breaker-open", ErrorKind::Upstream));
    assert_eq!(error.reply().status, StatusCode::BAD_GATEWAY);
    assert_eq!((start.elapsed(), net.dialed().len()), (Duration::ZERO, 5));

    // One request at a time finds out whether it is back.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (trial, other) = tokio::join!(client.send(get("/")), client.send(get("/")));
    assert!(matches!(trial, Err(Error::Timeout { .. })) && matches!(other, Err(Error::Open { .. })));
    assert_eq!(net.dialed().len(), 6);

    net.set(1, None);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let serve = tokio::spawn(async move { peers.recv().await.unwrap().play([OK, OK]).await.len() });
    for _ in 0..2 {
        assert_eq!(text(client.send(get("/")).await.unwrap()).await.unwrap(), "ok");
    }
    assert_eq!(serve.await.unwrap(), 2);
}

#[tokio::test(start_paused = true)]
async fn while_a_backend_is_left_alone_the_others_serve_without_delay() {
    let (net, mut peers) = Net::new([(1, Door::Swallows)]);
    let client = ordered(&net, Config::default(), &[1, 2]);
    tokio::spawn(async move { peers.recv().await.unwrap().play([OK; 6]).await });
    for seconds in [2, 2, 2, 2, 2, 0] {
        let start = Instant::now();
        assert_eq!(text(client.send(get("/")).await.unwrap()).await.unwrap(), "ok");
        assert_eq!(start.elapsed().as_secs(), seconds);
    }
}

#[tokio::test(start_paused = true)]
async fn slow_answers_never_keep_others_from_a_backend() {
    let (net, mut peers) = Net::new([]);
    let client = client(&net, Config::default(), &[1]);
    for _ in 0..10 {
        let error = client.send(get("/")).await.unwrap_err();
        assert!(matches!(error, Error::Timeout { phase: Phase::Head, .. }), "{error:?}");
        peers.recv().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_stale_connection_is_followed_by_a_new_one_even_if_others_are_idle() {
    let (net, mut peers) = Net::new([]);
    let client = client(&net, Config::default(), &[1]);
    let calls = async { tokio::join!(client.send(get("/")), client.send(get("/"))) };
    let ((one, two), (mut a, mut b)) = tokio::join!(calls, async {
        let (mut a, mut b) = (peers.recv().await.unwrap(), peers.recv().await.unwrap());
        a.request().await.unwrap();
        b.request().await.unwrap();
        a.write(OK).await;
        b.write(OK).await;
        (a, b)
    });
    text(one.unwrap()).await.unwrap();
    text(two.unwrap()).await.unwrap();
    tokio::spawn(async move {
        // Each would close on the next request, which only one may get.
        tokio::select! {
            _ = a.request() => drop(a),
            _ = b.request() => drop(b),
        }
        peers.recv().await.unwrap().play([OK]).await
    });
    let response = client.send(get("/")).await;
    assert_eq!(text(response.unwrap()).await.unwrap(), "ok");
    assert_eq!(net.dialed(), [1, 1, 1]);
}

/// Whether a request is sent a second time, and to which backend.
async fn repeated_at(request: Request<Bytes>, ports: &[u16], reused: bool, closes: Closes) -> Option<u16> {
    let (net, mut peers) = Net::new([]);
    let client = ordered(&net, Config::default(), ports);
    let mut first = None;
    if reused {
        let (response, peer) = tokio::join!(client.send(get("/")), async {
            let mut peer = peers.recv().await.unwrap();
            peer.request().await.unwrap();
            peer.write(OK).await;
            peer
        });
        text(response.unwrap()).await.unwrap();
        first = Some(peer);
        if closes == Closes::BeforeRequest {
            first = None;
        }
    }
    let stale = reused && first.is_none();
    let serve = async {
        if !stale {
            let mut peer = match first {
                Some(peer) => peer,
                None => peers.recv().await.unwrap(),
            };
            if closes != Closes::BeforeRequest {
                peer.request().await.unwrap();
            }
            if closes == Closes::InHead {
                peer.write("HTTP/1.1 200 OK\r\nContent-").await;
            }
        }
        let mut peer = peers.recv().await?;
        peer.request().await?;
        peer.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
        Some(peer.port)
    };
    let call = async {
        let result = client.send(request).await;
        drop((client, net));
        result
    };
    let (repeated, result) = tokio::join!(serve, call);
    match &result {
        Ok(_) => {}
        Err(error @ Error::Dropped { .. }) => {
            assert_eq!((repeated, error.class().as_str()), (None, "unreachable"));
        }
        Err(error) => panic!("{error:?}"),
    }
    assert_eq!(result.is_ok(), repeated.is_some());
    repeated
}

#[tokio::test(start_paused = true)]
async fn only_what_is_safe_is_sent_again() {
    let idempotent = [Method::GET, Method::HEAD, Method::PUT, Method::DELETE, Method::OPTIONS];
    let methods = idempotent.iter().chain(&[Method::POST, Method::PATCH]);
    for method in methods {
        for reused in [false, true] {
            for closes in [Closes::BeforeRequest, Closes::AfterRequest, Closes::InHead] {
                let unsent = reused && closes == Closes::BeforeRequest;
                for ports in [&[1][..], &[1, 2]] {
                    let elsewhere = ports.iter().copied().find(|port| reused || *port != 1);
                    let expected = elsewhere.filter(|_| unsent || idempotent.contains(method));
                    let request = request(method.clone(), "/", "{}");
                    let repeated = repeated_at(request, ports, reused, closes).await;
                    assert_eq!(
                        repeated, expected,
                        "{method}, {ports:?}, reused: {reused}, closes: {closes:?}"
                    );
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_said_to_change_nothing_is_sent_again_whatever_its_method() {
    for (repeatable, expected) in [(true, Some(2)), (false, None)] {
        let mut query = request(Method::POST, "/graphql", "{}");
        if repeatable {
            query.extensions_mut().insert(Repeatable);
        }
        assert_eq!(repeated_at(query, &[1, 2], false, Closes::AfterRequest).await, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_dropped_request_goes_to_as_many_other_backends_as_retries_allow() {
    for (retries, ports, seen) in [(0, 3, 1), (1, 3, 2), (2, 4, 3), (9, 4, 4)] {
        let (net, mut peers) = Net::new([]);
        let ports: Vec<u16> = (1..=ports).collect();
        let client = client(&net, Config { retries, ..Config::default() }, &ports);
        tokio::spawn(async move {
            while let Some(mut peer) = peers.recv().await {
                peer.request().await;
            }
        });
        let result = client.send(get("/")).await;
        assert!(matches!(result, Err(Error::Dropped { .. })), "{result:?}");
        let mut dialed = net.dialed();
        dialed.sort_unstable();
        dialed.dedup();
        assert_eq!((dialed.len(), net.dialed().len()), (seen, seen));
    }
}

#[tokio::test(start_paused = true)]
async fn of_a_stale_connections_backend_and_another_the_other_comes_first() {
    for door in [None, Some(Door::Refuses)] {
        let (net, mut peers) = Net::new([(2, Door::Refuses)]);
        let client = client(&net, Config::default(), &[1, 2]);
        let (first, ()) = tokio::join!(async { text(client.send(get("/")).await.unwrap()).await }, async {
            // Answers once, reads the second request, then closes.
            let mut peer = peers.recv().await.unwrap();
            peer.request().await.unwrap();
            peer.write(OK).await;
            tokio::spawn(async move { peer.request().await });
        });
        first.unwrap();
        net.set(2, door);
        let before = net.dialed().len();
        let (second, served) = tokio::join!(
            async {
                // Whichever is taken first.
                loop {
                    match client.send(get("/")).await {
                        Ok(response) if net.dialed().len() > before => break text(response).await.unwrap(),
                        Ok(response) => drop(text(response).await),
                        Err(error) => panic!("{error:?}"),
                    }
                }
            },
            async {
                let mut peer = peers.recv().await.unwrap();
                peer.request().await.unwrap();
                peer.write(OK).await;
                peer.port
            }
        );
        assert_eq!(second, "ok");
        if door.is_none() {
            assert_eq!(served, 2);
        } else {
            assert_eq!(served, 1, "a new connection to the same one is better than a failure");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_backend_is_given_two_chances_when_its_connection_was_stale_and_else_one() {
    let (net, mut peers) = Net::new([]);
    let client = ordered(&net, Config { retries: 9, ..Config::default() }, &[1, 2]);
    let (first, ()) = tokio::join!(async { text(client.send(get("/")).await.unwrap()).await }, async {
        // Answers once, reads the second request, then closes.
        let mut peer = peers.recv().await.unwrap();
        peer.request().await.unwrap();
        peer.write(OK).await;
        tokio::spawn(async move { peer.request().await });
    });
    first.unwrap();
    let (result, ()) = tokio::join!(client.send(get("/")), async {
        for _ in 0..2 {
            peers.recv().await.unwrap().request().await.unwrap();
        }
    });
    assert!(matches!(result, Err(Error::Dropped { .. })), "{result:?}");
    assert_eq!(net.dialed(), [1, 1, 2]);
}
