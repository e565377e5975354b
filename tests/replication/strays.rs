//! Writes that come late, and addresses that are not what they seem.

use std::{future::ready, sync::Arc, time::Duration};

use bytes::Bytes;
use fedgate::{
    corev2::Type,
    etcd::Config,
    leadership::Alone,
    registry::{Entry, Event, Events, MemoryStore, Precondition, Store, StoreError},
    types::{ReplicatorState, TlsFiles},
};
use futures::{FutureExt as _, StreamExt as _, future::BoxFuture, stream};
use tokio::time::sleep;

use crate::{
    etcd_server::Etcd,
    support::{
        becomes, delete, dump, eventually,
        federation::{BINDINGS, Federation, cluster},
        gateway::{Gateway, definition, register, replicate},
        get,
        objects::{cluster_role_binding, seed},
        proxy::{Link, Proxy},
        put, revision, served,
    },
};

#[tokio::test]
async fn a_write_that_comes_late_brings_nothing_back_that_was_revoked_since() {
    let f = Federation::of_bindings().proxied().start().await;
    let key = format!("{BINDINGS}b");
    put(&f.local, &key, &cluster_role_binding("b", "view", "g")).await;
    becomes(&f.a, &key, Some(&cluster_role_binding("b", "view", "g"))).await;
    f.gateway.follows("r").await;
    f.proxy().set(Link::Late);
    put(&f.local, &key, &cluster_role_binding("b", "edit", "g")).await;
    f.gateway.says("r", "did not answer in time").await;
    f.proxy().set(Link::Up);
    becomes(&f.a, &key, Some(&cluster_role_binding("b", "edit", "g"))).await;
    delete(&f.local, &key).await;
    becomes(&f.a, &key, None).await;
    f.gateway.follows("r").await;
    let before = revision(&f.a).await;
    let written = served(&f.alpha, "Txn").await;
    f.proxy().release();
    eventually("it has arrived", async || served(&f.alpha, "Txn").await > written).await;
    assert_eq!((get(&f.a, &key).await, revision(&f.a).await), (None, before));
}

/// A member that is set up again has the IDs of the old one, and its revision may be higher.
#[tokio::test]
async fn stores_that_were_set_up_again_during_a_partition_are_read_again() {
    let ((mut source, local), (mut alpha, a)) = {
        let (s, a) = tokio::join!(cluster("local"), cluster("alpha"));
        (s, a)
    };
    let store = MemoryStore::new();
    let (near, far) = (Proxy::to(source.endpoint()).await, Proxy::to(alpha.endpoint()).await);
    register(&store, &definition("r", Type::ClusterRoleBinding, &far.url, &TlsFiles::default())).await;
    let endpoint = near.url.parse().unwrap();
    let config = Config::new(vec![endpoint], TlsFiles::default());
    let gateway = Gateway::start(config, Arc::new(store.clone()), Alone::new("test", "here"));
    let (kept, gone) = (format!("{BINDINGS}kept"), format!("{BINDINGS}gone"));
    let value = |name| cluster_role_binding(name, "view", "g");
    put(&local, &kept, &value("kept")).await;
    put(&local, &gone, &value("gone")).await;
    becomes(&a, &gone, Some(&value("gone"))).await;
    gateway.follows("r").await;

    // The follower comes back from a backup without what was copied since.
    far.set(Link::Cut);
    gateway.says("r", "not being watched").await;
    let before = revision(&a).await;
    alpha.kill();
    alpha.wipe();
    alpha.restart().await;
    seed(&alpha.client(), "alpha").await;
    while revision(&alpha.client()).await < before + 5 {
        put(&alpha.client(), "/sensu.io/keepalives/default/x", b"x").await;
    }
    far.set(Link::Up);
    becomes(&alpha.client(), &kept, Some(&value("kept"))).await;
    gateway.follows("r").await;

    // The source does, without the younger binding.
    near.set(Link::Cut);
    gateway.says("r", "local cluster's etcd").await;
    let before = revision(&local).await;
    source.kill();
    source.wipe();
    source.restart().await;
    seed(&source.client(), "local").await;
    put(&source.client(), &kept, &value("kept")).await;
    while revision(&source.client()).await < before + 5 {
        put(&source.client(), "/sensu.io/keepalives/default/x", b"x").await;
    }
    near.set(Link::Up);
    becomes(&alpha.client(), &gone, None).await;
    gateway.follows("r").await;
    assert_eq!(get(&alpha.client(), &kept).await, Some(value("kept")));
}

#[tokio::test]
async fn a_url_that_lists_two_followers_is_rejected_and_nothing_is_written_to_either() {
    let ((source, local), (alpha, a), (beta, b)) =
        tokio::join!(cluster("local"), cluster("alpha"), cluster("beta"));
    let store = MemoryStore::new();
    put(&local, &format!("{BINDINGS}b"), &cluster_role_binding("b", "view", "g")).await;
    let url = format!("{},{}", alpha.endpoint(), beta.endpoint());
    register(&store, &definition("r", Type::ClusterRoleBinding, &url, &TlsFiles::default())).await;
    let before = (dump(&a, "/sensu.io/").await, dump(&b, "/sensu.io/").await);
    let gateway = Gateway::alone(&source, &store);
    gateway.says("r", "of another etcd cluster").await;
    gateway.until("r", "is rejected", |status| status.state == ReplicatorState::Rejected).await;
    assert_eq!((dump(&a, "/sensu.io/").await, dump(&b, "/sensu.io/").await), before);
    // Put right, it works at once.
    register(
        &store,
        &definition("r", Type::ClusterRoleBinding, &beta.endpoint().to_string(), &TlsFiles::default()),
    )
    .await;
    let key = format!("{BINDINGS}b");
    eventually("the one that is left has it", async || get(&b, &key).await.is_some()).await;
}

#[tokio::test]
async fn a_follower_made_from_a_backup_of_another_is_shown_and_can_be_told_apart() {
    let ((source, local), (alpha, a), beta) = tokio::join!(cluster("local"), cluster("alpha"), Etcd::start());
    let b = beta.client();
    let store = MemoryStore::new();
    let key = format!("{BINDINGS}b");
    put(&local, &key, &cluster_role_binding("b", "view", "g")).await;
    replicate(&store, "alpha", Type::ClusterRoleBinding, &alpha).await;
    let gateway = Gateway::alone(&source, &store);
    becomes(&a, &key, Some(&cluster_role_binding("b", "view", "g"))).await;
    gateway.follows("alpha").await;
    for (key, (value, _)) in dump(&a, "/").await {
        put(&b, &key, &value).await;
    }
    replicate(&store, "beta", Type::ClusterRoleBinding, &beta).await;
    gateway.says("beta", "are different etcds").await;
    gateway.says("alpha", "are different etcds").await;
    delete(&b, "/fedgate/replication/place").await;
    gateway.follows("beta").await;
    gateway.follows("alpha").await;
    delete(&local, &key).await;
    becomes(&a, &key, None).await;
    becomes(&b, &key, None).await;
}

/// A store that was never there.
struct Gone;

impl Store for Gone {
    fn get<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Option<Entry>, StoreError>> {
        ready(Err(StoreError::Unavailable("gone".into()))).boxed()
    }

    fn list<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Vec<Entry>, StoreError>> {
        ready(Err(StoreError::Unavailable("gone".into()))).boxed()
    }

    fn put<'a>(&'a self, _: &'a str, _: Bytes, _: Precondition) -> BoxFuture<'a, Result<u64, StoreError>> {
        ready(Err(StoreError::Unavailable("gone".into()))).boxed()
    }

    fn delete<'a>(&'a self, _: &'a str, _: Precondition) -> BoxFuture<'a, Result<Option<u64>, StoreError>> {
        ready(Err(StoreError::Unavailable("gone".into()))).boxed()
    }

    fn watch(&self) -> Events {
        stream::iter([Event::Down("gone".into())]).chain(stream::pending()).boxed()
    }
}

/// The store answers again, while its watch has not delivered anything yet, or not everything.
#[tokio::test]
async fn a_gateway_whose_view_is_behind_its_store_takes_nothing_away_from_followers() {
    let ((source, local), (alpha, a)) = tokio::join!(cluster("local"), cluster("alpha"));
    let store = MemoryStore::new();
    replicate(&store, "r", Type::ClusterRoleBinding, &alpha).await;
    let key = format!("{BINDINGS}b");
    let value = cluster_role_binding("b", "view", "g");
    put(&local, &key, &value).await;
    let first = Gateway::alone(&source, &store);
    becomes(&a, &key, Some(&value)).await;
    first.follows("r").await;
    first.stop().await;
    let before = revision(&a).await;
    let views: [Arc<dyn Store>; 2] = [Arc::new(Gone), Arc::new(MemoryStore::new())];
    for view in views {
        let shared = Arc::new(store.clone());
        let behind =
            Gateway::with_view(source.config(), shared, Arc::clone(&view), Alone::new("test", "here"));
        // It reviews everything once a second.
        sleep(Duration::from_secs(2)).await;
        assert_eq!((get(&a, &key).await.as_deref(), revision(&a).await), (Some(&value[..]), before));
        drop(behind);
    }
    let again = Gateway::alone(&source, &store);
    again.follows("r").await;
    delete(&local, &key).await;
    becomes(&a, &key, None).await;
}
