use super::*;

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
async fn backends_are_tried_in_order_from_the_last_good_one() {
    let (net, mut peers) = Net::new([(1, Door::Refuses), (2, Door::Slams)]);
    let client = client(&net, Config::default(), &[1, 2, 3]);
    // POST too: nothing was sent.
    let call = client.send(request(Method::POST, "/", "{}"));
    let (response, mut peer) = tokio::join!(call, async {
        let mut peer = peers.recv().await.unwrap();
        assert!(peer.request().await.unwrap().ends_with("\r\n\r\n{}"));
        peer.write("HTTP/1.1 201 Created\r\nConnection: close\r\nContent-Length: 0\r\n\r\n").await;
        peer
    });
    assert_eq!(response.unwrap().status(), 201);
    assert_eq!(net.dialed(), [1, 2, 3]);
    peer.request().await;

    let (response, peer) = tokio::join!(client.send(get("/")), async {
        let mut peer = peers.recv().await.unwrap();
        peer.request().await.unwrap();
        peer.write(OK).await;
        peer
    });
    assert_eq!(text(response.unwrap()).await.unwrap(), "ok");
    assert_eq!((peer.port, net.dialed()), (3, vec![1, 2, 3, 3]));
}

#[tokio::test(start_paused = true)]
async fn attempts_are_bounded_and_each_backend_gets_one() {
    let doors = [(1, Door::Refuses), (2, Door::Refuses), (3, Door::Refuses), (4, Door::Refuses)];
    for (retries, ports, dialed) in
        [(2, &[1, 2, 3, 4][..], &[1, 2, 3][..]), (0, &[1, 2], &[1]), (9, &[1, 2], &[1, 2])]
    {
        let (net, _peers) = Net::new(doors);
        let client = client(&net, Config { retries, ..Config::default() }, ports);
        let error = client.send(get("/")).await.unwrap_err();
        assert!(matches!(error, Error::Connect { .. }), "{error:?}");
        assert_eq!(net.dialed(), dialed);
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

/// Whether a request is sent a second time.
async fn is_repeated(method: Method, reused: bool, closes: Closes) -> bool {
    let (net, mut peers) = Net::new([]);
    let client = client(&net, Config::default(), &[1]);
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
        // A single backend: what comes now is the repetition.
        let mut peer = peers.recv().await?;
        let request = peer.request().await;
        peer.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
        request
    };
    let call = async {
        let result = client.send(request(method, "/", "{}")).await;
        drop((client, net));
        result
    };
    let (repeated, result) = tokio::join!(serve, call);
    match &result {
        Ok(_) => {}
        Err(Error::Dropped { .. }) => assert_eq!(repeated, None),
        Err(error) => panic!("{error:?}"),
    }
    assert_eq!(result.is_ok(), repeated.is_some());
    repeated.is_some()
}

#[tokio::test(start_paused = true)]
async fn only_what_is_safe_is_sent_again() {
    let idempotent = [Method::GET, Method::HEAD, Method::PUT, Method::DELETE, Method::OPTIONS];
    let methods = idempotent.iter().chain(&[Method::POST, Method::PATCH]);
    for method in methods {
        for reused in [false, true] {
            for closes in [Closes::BeforeRequest, Closes::AfterRequest, Closes::InHead] {
                let expected = reused
                    && match closes {
                        Closes::BeforeRequest => true,
                        Closes::AfterRequest => idempotent.contains(method),
                        Closes::InHead => false,
                    };
                let repeated = is_repeated(method.clone(), reused, closes).await;
                assert_eq!(repeated, expected, "{method}, reused: {reused}, closes: {closes:?}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_second_drop_is_final() {
    let (net, mut peers) = Net::new([]);
    let client = client(&net, Config { retries: 9, ..Config::default() }, &[1, 2]);
    let (first, ()) = tokio::join!(async { text(client.send(get("/")).await.unwrap()).await }, async {
        // Answers once, reads the second request, then closes.
        let mut peer = peers.recv().await.unwrap();
        peer.request().await.unwrap();
        peer.write(OK).await;
        tokio::spawn(async move { peer.request().await });
    });
    first.unwrap();
    let (result, ()) = tokio::join!(client.send(get("/")), async {
        peers.recv().await.unwrap().request().await.unwrap();
    });
    assert!(matches!(result, Err(Error::Dropped { .. })), "{result:?}");
    assert_eq!(net.dialed(), [1, 1]);
}
