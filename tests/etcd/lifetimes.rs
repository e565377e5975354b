//! What is opened at etcd ends with what holds it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use fedgate::etcd::{
    Client, Error, Event, Mirror,
    proto::{PutRequest, RangeRequest, WatchCreateRequest},
};
use futures::FutureExt as _;

use crate::{
    etcd_server::Etcd,
    usage::{Usage, connections},
    wait::eventually,
};

/// Begins something, and drops it after this many steps.
async fn abandon<T>(begun: impl Future<Output = T>, steps: usize) {
    let mut begun = Box::pin(begun.fuse());
    for _ in 0..steps {
        let _ = futures::poll!(&mut begun);
        tokio::task::yield_now().await;
    }
}

/// A client that is connected, and what that costs.
async fn connected(etcd: &Etcd) -> (Arc<Client>, Usage) {
    let client = etcd.client();
    client.put(PutRequest::new("/k", "value")).await.unwrap();
    let usage = Usage { connections: 1, ..Usage::default() };
    usage.is_again(etcd, "a client has one connection").await;
    (client, usage)
}

#[tokio::test]
async fn a_lease_is_renewed_on_one_stream() {
    let etcd = Etcd::start().await;
    let (client, before) = connected(&etcd).await;
    let lease = client.lease_grant(Duration::from_secs(600)).await.unwrap();
    let mut keep_alive = client.keep_alive(lease.id);
    for _ in 0..50 {
        assert_eq!(keep_alive.renew().await.unwrap(), lease.ttl);
    }
    let usage = Usage::of(&etcd).await;
    assert_eq!((usage.streams("LeaseKeepAlive"), usage.connections), (1, 1), "{usage:?}");
    drop(keep_alive);
    before.is_again(&etcd, "the stream of the renewals ends").await;
}

#[tokio::test]
async fn a_renewal_that_is_abandoned_leaves_nothing_and_answers_no_later_one() {
    let etcd = Etcd::start().await;
    let (client, before) = connected(&etcd).await;
    let lease = client.lease_grant(Duration::from_secs(600)).await.unwrap();
    let mut keep_alive = client.keep_alive(lease.id);
    for polls in 0..50 {
        abandon(keep_alive.renew(), polls % 10).await;
    }
    assert_eq!(keep_alive.renew().await.unwrap(), lease.ttl);
    client.lease_revoke(lease.id).await.unwrap();
    assert!(matches!(keep_alive.renew().await, Err(Error::LeaseNotFound)));
    drop(keep_alive);
    before.is_again(&etcd, "no stream is left").await;
}

#[tokio::test]
async fn renewals_move_to_the_connection_that_replaces_a_broken_one() {
    let mut etcd = Etcd::start().await;
    let (client, _) = connected(&etcd).await;
    let lease = client.lease_grant(Duration::from_secs(600)).await.unwrap();
    let mut keep_alive = client.keep_alive(lease.id);
    keep_alive.renew().await.unwrap();
    etcd.kill();
    assert!(keep_alive.renew().await.is_err());
    etcd.restart().await;
    eventually("it is renewed again", async || keep_alive.renew().await.is_ok()).await;
    let usage = Usage::of(&etcd).await;
    assert_eq!((usage.streams("LeaseKeepAlive"), usage.connections), (1, 1), "{usage:?}");
}

#[tokio::test]
async fn watches_end_when_they_are_dropped() {
    let etcd = Etcd::start().await;
    let (client, before) = connected(&etcd).await;
    for _ in 0..50 {
        let request = WatchCreateRequest::prefix(b"/k", 0);
        drop(client.watch(request).await.unwrap());
    }
    before.is_again(&etcd, "no watch is left").await;
    // Abandoned while they open, at every step of that.
    for polls in 0..50 {
        abandon(client.watch(WatchCreateRequest::prefix(b"/k", 0)), polls % 25).await;
    }
    before.is_again(&etcd, "no watch is left that was being opened").await;
    // Its events were never read.
    let request = WatchCreateRequest::prefix(b"/k", 1);
    for _ in 0..20 {
        client.put(PutRequest::new("/k", vec![b'x'; 256 << 10])).await.unwrap();
    }
    let unread = client.watch(request).await.unwrap();
    client.range(RangeRequest::key("/k")).await.unwrap();
    drop(unread);
    before.is_again(&etcd, "no watch is left whose events wait").await;
}

#[tokio::test]
async fn mirrors_end_when_they_are_dropped() {
    let etcd = Etcd::start().await;
    let (client, before) = connected(&etcd).await;
    for events in 0..50 {
        let mut mirror = Mirror::new(Arc::clone(&client), "/k");
        for _ in 0..events % 5 {
            let wait = Duration::from_millis(20);
            let _ = tokio::time::timeout(wait, mirror.next()).await;
        }
    }
    before.is_again(&etcd, "no mirror is left").await;
}

#[tokio::test]
async fn a_client_takes_its_connection_along() {
    let etcd = Etcd::start().await;
    for _ in 0..20 {
        let (client, _) = connected(&etcd).await;
        let lease = client.lease_grant(Duration::from_secs(600)).await.unwrap();
        let mut keep_alive = client.keep_alive(lease.id);
        keep_alive.renew().await.unwrap();
        let watch = client.watch(WatchCreateRequest::prefix(b"/k", 0)).await.unwrap();
        // Whatever the order in which they go.
        drop(client);
        drop(keep_alive);
        drop(watch);
        Usage::default().is_again(&etcd, "nothing is left of a client").await;
    }
}

#[tokio::test]
async fn a_peer_that_falls_silent_is_noticed_within_twenty_seconds_and_left_though_it_says_nothing() {
    let etcd = Etcd::start().await;
    let (client, _) = connected(&etcd).await;
    let lease = client.lease_grant(Duration::from_secs(600)).await.unwrap();
    let mut keep_alive = client.keep_alive(lease.id);
    keep_alive.renew().await.unwrap();
    let mut watch = client.watch(WatchCreateRequest::prefix(b"/k", 0)).await.unwrap();
    let mut mirror = Mirror::new(Arc::clone(&client), "/k");
    while !matches!(mirror.next().await, Event::ResetDone { .. }) {}
    let begun = Instant::now();
    etcd.signal("STOP");
    let interrupted = async {
        loop {
            if let Event::Interrupted { error, .. } = mirror.next().await {
                return error;
            }
        }
    };
    let (renewed, watched, mirrored) = tokio::join!(keep_alive.renew(), watch.message(), interrupted);
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    assert!(matches!(renewed, Err(Error::Timeout { .. })), "{renewed:?}");
    for error in [watched.unwrap_err(), mirrored] {
        assert!(error.is_endpoint_fault(), "{error:?}");
    }
    // A dead peer answers no farewell.
    drop((watch, mirror, keep_alive, client));
    eventually("its connections are closed", async || connections(etcd.endpoint().port) == 0).await;
    etcd.signal("CONT");
}
