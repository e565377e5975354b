//! Writes that come late, and addresses that are not what they seem.

use std::time::Duration;

use fedgate::{
    corev2::Type,
    registry::MemoryStore,
    types::{ReplicatorState, TlsFiles},
};
use tokio::time::sleep;

use crate::{
    basics::{BINDINGS, cluster},
    support::{
        becomes, delete, dump, eventually,
        gateway::{Gateway, definition, register},
        get,
        objects::cluster_role_binding,
        proxy::{Link, Proxy},
        put, revision,
    },
};

#[tokio::test]
async fn a_write_that_comes_late_brings_nothing_back_that_was_revoked_since() {
    let ((source, local), (alpha, a)) = tokio::join!(cluster("local"), cluster("alpha"));
    let store = MemoryStore::new();
    let proxy = Proxy::to(alpha.endpoint()).await;
    register(&store, &definition("r", Type::ClusterRoleBinding, &proxy.url, &TlsFiles::default())).await;
    let gateway = Gateway::alone(&source, &store);
    let key = format!("{BINDINGS}b");
    put(&local, &key, &cluster_role_binding("b", "view", "g")).await;
    becomes(&a, &key, Some(&cluster_role_binding("b", "view", "g"))).await;
    gateway.follows("r").await;
    proxy.set(Link::Late);
    put(&local, &key, &cluster_role_binding("b", "edit", "g")).await;
    gateway.says("r", "did not answer in time").await;
    proxy.set(Link::Up);
    becomes(&a, &key, Some(&cluster_role_binding("b", "edit", "g"))).await;
    delete(&local, &key).await;
    becomes(&a, &key, None).await;
    gateway.follows("r").await;
    let before = revision(&a).await;
    proxy.release();
    sleep(Duration::from_secs(2)).await;
    assert_eq!((get(&a, &key).await, revision(&a).await), (None, before));
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
