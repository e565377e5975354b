use tokio::time::Instant;

use super::*;

#[tokio::test(start_paused = true)]
async fn a_connection_is_used_again_once_the_body_has_been_read() {
    let (net, mut peers) = Net::new([]);
    let client = client(&net, Config::default(), &[1]);
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
    let empty = "HTTP/1.1 204 No Content\r\n\r\n";
    let peer = async { peers.recv().await.unwrap().play([OK, chunked, empty, OK]).await };
    let calls = async {
        for expected in ["ok", "ok", "", "ok"] {
            let response = client.send(get("/a%2Fb?x=%7E&y")).await.unwrap();
            assert!(!response.headers().contains_key("transfer-encoding"));
            assert_eq!(text(response).await.unwrap(), expected);
        }
    };
    let (seen, ()) = tokio::join!(peer, calls);
    assert_eq!(net.dialed(), [1]);
    assert_eq!(seen.len(), 4);
    assert!(seen[0].starts_with("GET /a%2Fb?x=%7E&y HTTP/1.1\r\nhost: sensu.example.com\r\n"), "{}", seen[0]);
}

#[tokio::test(start_paused = true)]
async fn a_body_dropped_early_closes_its_connection() {
    let (net, mut peers) = Net::new([]);
    let client = client(&net, Config::default(), &[1]);
    let part = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nha";
    let (response, mut peer) = tokio::join!(client.send(get("/")), async {
        let mut peer = peers.recv().await.unwrap();
        peer.request().await.unwrap();
        peer.write(part).await;
        peer
    });
    drop(response.unwrap());
    assert_eq!(peer.request().await, None);
    assert_eq!(client.connections(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_request_closes_its_connection() {
    let (net, mut peers) = Net::new([]);
    let client = client(&net, Config::default(), &[1]);
    let call = tokio::spawn(async move { client.send(get("/")).await.map(drop) });
    let mut peer = peers.recv().await.unwrap();
    peer.request().await.unwrap();
    call.abort();
    assert_eq!(peer.request().await, None);
}

#[tokio::test(start_paused = true)]
async fn connection_close_is_respected() {
    let (net, mut peers) = Net::new([]);
    let client = client(&net, Config::default(), &[1]);
    let close = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok";
    for _ in 0..2 {
        let (response, _peer) = tokio::join!(client.send(get("/")), async {
            let mut peer = peers.recv().await.unwrap();
            peer.request().await.unwrap();
            peer.write(close).await;
            peer
        });
        let response = response.unwrap();
        assert!(!response.headers().contains_key("connection"));
        assert_eq!(text(response).await.unwrap(), "ok");
    }
    assert_eq!(net.dialed(), [1, 1]);
}

#[tokio::test(start_paused = true)]
async fn an_unused_connection_is_closed_after_ten_seconds() {
    let (net, mut peers) = Net::new([]);
    let client = client(&net, Config::default(), &[1]);
    let (response, mut peer) = tokio::join!(client.send(get("/")), async {
        let mut peer = peers.recv().await.unwrap();
        peer.request().await.unwrap();
        peer.write(OK).await;
        peer
    });
    text(response.unwrap()).await.unwrap();
    let parked = Instant::now();
    assert_eq!(peer.request().await, None);
    let age = parked.elapsed();
    assert!(age >= Duration::from_secs(10) && age < Duration::from_millis(10_010), "{age:?}");
    settle().await;
    assert_eq!(client.connections(), 0);
    // With nothing unused, no task is left that could wake the worker.
    assert_eq!(tokio::runtime::Handle::current().metrics().num_alive_tasks(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_freshest_connection_is_taken_and_idle_ones_are_bounded() {
    let (net, mut peers) = Net::new([]);
    let client = client(&net, Config { max_idle_connections: 1, ..Config::default() }, &[1]);
    let calls = async { tokio::join!(client.send(get("/1")), client.send(get("/2"))) };
    let serve = async {
        let (mut a, mut b) = (peers.recv().await.unwrap(), peers.recv().await.unwrap());
        a.request().await.unwrap();
        b.request().await.unwrap();
        a.write(OK).await;
        b.write(OK).await;
        (a, b)
    };
    let ((one, two), (mut a, mut b)) = tokio::join!(calls, serve);
    text(one.unwrap()).await.unwrap();
    text(two.unwrap()).await.unwrap();
    let start = Instant::now();
    assert_eq!(b.request().await, None);
    assert_eq!(start.elapsed(), Duration::ZERO, "the second one found the pool full");
    let (third, ()) = tokio::join!(client.send(get("/3")), async {
        a.request().await.unwrap();
        a.write(OK).await;
    });
    text(third.unwrap()).await.unwrap();
    assert_eq!(net.dialed(), [1, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_new_snapshot_keeps_connections_to_what_has_not_changed() {
    let (net, mut peers) = Net::new([]);
    let manager = Manager::new(Config::default(), net.clone());
    manager.apply(&Snapshot::new([cluster("alpha", &[1]), cluster("beta", &[2])]));
    let script = [OK; 3];
    let serve = tokio::spawn(async move { peers.recv().await.unwrap().play(script).await.len() });
    let alpha = manager.cluster("alpha").unwrap();
    text(alpha.send(get("/")).await.unwrap()).await.unwrap();

    manager.apply(&Snapshot::new([cluster("alpha", &[1]), cluster("gamma", &[3])]));
    assert!(manager.cluster("beta").is_none());
    assert!(Arc::ptr_eq(&alpha, &manager.cluster("alpha").unwrap()));
    text(alpha.send(get("/")).await.unwrap()).await.unwrap();

    // Another backend joins: a new client with the old connections.
    net.set(4, Some(Door::Refuses));
    manager.apply(&Snapshot::new([cluster("alpha", &[1, 4])]));
    let joined = manager.cluster("alpha").unwrap();
    assert!(!Arc::ptr_eq(&alpha, &joined));
    text(joined.send(get("/")).await.unwrap()).await.unwrap();
    assert_eq!(serve.await.unwrap(), 3);
    assert_eq!(net.dialed().iter().filter(|port| **port == 1).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn new_certificates_open_new_connections() {
    let mut alpha = cluster("alpha", &[1]);
    alpha.tls.insecure_skip_tls_verify = true;
    let other_files = Snapshot::new([alpha]);
    closes_unused_connections(|manager| manager.apply(&other_files)).await;
    // The files are the same, what they hold is not.
    closes_unused_connections(|manager: &Manager| manager.renew(|_| true)).await;
}

async fn closes_unused_connections(act: impl FnOnce(&Manager)) {
    let (net, mut peers) = Net::new([]);
    let manager = Manager::new(Config::default(), net.clone());
    manager.apply(&Snapshot::new([cluster("alpha", &[1])]));
    let old = manager.cluster("alpha").unwrap();
    let (response, mut peer) = tokio::join!(old.send(get("/")), async {
        let mut peer = peers.recv().await.unwrap();
        peer.request().await.unwrap();
        peer.write(OK).await;
        peer
    });
    text(response.unwrap()).await.unwrap();
    let start = Instant::now();
    act(&manager);
    assert_eq!(peer.request().await, None);
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_request_in_flight_survives_the_removal_of_its_cluster() {
    let (net, mut peers) = Net::new([]);
    let manager = Manager::new(Config::default(), net.clone());
    manager.apply(&Snapshot::new([cluster("alpha", &[1])]));
    let client = manager.cluster("alpha").unwrap();
    let serve = async {
        let mut peer = peers.recv().await.unwrap();
        peer.request().await.unwrap();
        manager.apply(&Snapshot::new([]));
        assert!(manager.cluster("alpha").is_none());
        peer.write(OK).await;
        peer
    };
    let (response, mut peer) = tokio::join!(client.send(get("/")), serve);
    let start = Instant::now();
    assert_eq!(text(response.unwrap()).await.unwrap(), "ok");
    assert_eq!(peer.request().await, None);
    assert_eq!(start.elapsed(), Duration::ZERO, "the connection was kept for a cluster that is gone");
}
