//! Replicators that move, end, and share destinations.

use std::time::Duration;

use fedgate::{
    corev2::Type,
    registry::{MemoryStore, Precondition, Store as _},
    types::ReplicatorState,
};

use crate::{
    basics::{BINDINGS, cluster},
    support::{
        becomes, delete, dump, eventually,
        gateway::{Gateway, definition, register, replicate, unregister},
        get,
        objects::cluster_role_binding,
        put, revision,
    },
};

fn binding() -> (String, Vec<u8>) {
    (format!("{BINDINGS}b"), cluster_role_binding("b", "view", "g"))
}

#[tokio::test]
async fn another_url_cleans_the_old_destination_first() {
    let ((source, local), (alpha, a), (beta, b)) =
        tokio::join!(cluster("local"), cluster("alpha"), cluster("beta"));
    let store = MemoryStore::new();
    let (key, value) = binding();
    put(&local, &key, &value).await;
    replicate(&store, "r", Type::ClusterRoleBinding, &alpha).await;
    let gateway = Gateway::alone(&source, &store);
    becomes(&a, &key, Some(&value)).await;
    replicate(&store, "r", Type::ClusterRoleBinding, &beta).await;
    eventually("the old place is clean first", async || {
        let new = get(&b, &key).await;
        let old = get(&a, &key).await;
        assert!(new.is_none() || old.is_none(), "both have it");
        new.is_some()
    })
    .await;
    gateway.follows("r").await;
    assert_eq!(dump(&a, "/fedgate/replication/owned/").await.len(), 0);
}

#[tokio::test]
async fn another_address_of_the_same_etcd_changes_nothing_there() {
    let ((source, local), (alpha, a)) = tokio::join!(cluster("local"), cluster("alpha"));
    let store = MemoryStore::new();
    let (key, value) = binding();
    put(&local, &key, &value).await;
    replicate(&store, "r", Type::ClusterRoleBinding, &alpha).await;
    let gateway = Gateway::alone(&source, &store);
    becomes(&a, &key, Some(&value)).await;
    gateway.follows("r").await;
    let before = revision(&a).await;
    let url = alpha.endpoint().to_string().replace("127.0.0.1", "localhost");
    register(&store, &definition("r", Type::ClusterRoleBinding, &url, &alpha.config().tls)).await;
    eventually("only the new address is known", async || {
        let known = store.list("replication/destinations/").await.unwrap();
        known.len() == 1 && String::from_utf8_lossy(&known[0].value).contains("localhost")
    })
    .await;
    gateway.follows("r").await;
    assert_eq!(revision(&a).await, before);
    assert_eq!(gateway.status("r").unwrap().keys, 1);
    // It works on: with two addresses in use, with other certificates, and to the end.
    replicate(&store, "s", Type::ClusterRole, &alpha).await;
    gateway.follows("s").await;
    delete(&local, &key).await;
    becomes(&a, &key, None).await;
    put(&local, &key, &value).await;
    becomes(&a, &key, Some(&value)).await;
    unregister(&store, "r").await;
    becomes(&a, &key, None).await;
}

#[tokio::test]
async fn what_was_deleted_while_no_gateway_ran_is_cleaned_by_the_next() {
    let ((source, local), (mut alpha, a)) = tokio::join!(cluster("local"), cluster("alpha"));
    let store = MemoryStore::new();
    let (key, value) = binding();
    put(&local, &key, &value).await;
    put(&a, &format!("{BINDINGS}own"), &cluster_role_binding("own", "view", "g")).await;
    replicate(&store, "r", Type::ClusterRoleBinding, &alpha).await;
    let gateway = Gateway::alone(&source, &store);
    gateway.until("r", "owns it", |status| status.keys == 1).await;
    drop(gateway);
    unregister(&store, "r").await;
    alpha.kill();
    let gateway = Gateway::alone(&source, &store);
    gateway.says("r", "cannot be removed").await;
    alpha.restart().await;
    becomes(&a, &key, None).await;
    eventually("it is forgotten", async || gateway.status("r").is_none()).await;
    assert!(get(&a, &format!("{BINDINGS}own")).await.is_some());
    assert_eq!(store.list("replication/destinations/").await.unwrap().len(), 0);
}

#[tokio::test]
async fn a_destination_that_never_comes_back_can_be_given_up() {
    let ((source, local), (mut alpha, a)) = tokio::join!(cluster("local"), cluster("alpha"));
    let store = MemoryStore::new();
    let (key, value) = binding();
    put(&local, &key, &value).await;
    replicate(&store, "r", Type::ClusterRoleBinding, &alpha).await;
    let gateway = Gateway::alone(&source, &store);
    becomes(&a, &key, Some(&value)).await;
    alpha.kill();
    unregister(&store, "r").await;
    gateway.says("r", "to give them up").await;
    assert!(gateway.handle.give_up("r"));
    eventually("it is forgotten", async || gateway.status("r").is_none()).await;
    assert_eq!(store.list("replication/destinations/").await.unwrap().len(), 0);
    assert!(!gateway.handle.give_up("r"));
}

#[tokio::test]
async fn what_a_moved_replicator_leaves_where_it_cannot_be_cleaned_is_shown() {
    let ((source, local), (mut alpha, a), (beta, b)) = {
        let (s, a, b) = tokio::join!(cluster("local"), cluster("alpha"), cluster("beta"));
        (s, a, b)
    };
    let store = MemoryStore::new();
    let (key, value) = binding();
    put(&local, &key, &value).await;
    replicate(&store, "r", Type::ClusterRoleBinding, &alpha).await;
    let gateway = Gateway::alone(&source, &store);
    becomes(&a, &key, Some(&value)).await;
    alpha.kill();
    replicate(&store, "r", Type::ClusterRoleBinding, &beta).await;
    // It waits for half a minute, then goes on.
    becomes(&b, &key, Some(&value)).await;
    gateway.says("r", "moved, but its keys at").await;
    assert_eq!(gateway.status("r").unwrap().state, ReplicatorState::Following);
    alpha.restart().await;
    becomes(&alpha.client(), &key, None).await;
    eventually("nothing is left to say", async || gateway.status("r").unwrap().error.is_none()).await;
}

#[tokio::test]
async fn other_certificates_that_do_not_work_take_nothing_away() {
    let ((source, local), (alpha, a)) = tokio::join!(cluster("local"), cluster("alpha"));
    let store = MemoryStore::new();
    let (key, value) = binding();
    put(&local, &key, &value).await;
    replicate(&store, "r", Type::ClusterRoleBinding, &alpha).await;
    let gateway = Gateway::alone(&source, &store);
    becomes(&a, &key, Some(&value)).await;
    gateway.follows("r").await;
    // The right address, the wrong scheme.
    let url = alpha.endpoint().to_string().replace("http:", "https:");
    register(&store, &definition("r", Type::ClusterRoleBinding, &url, &alpha.config().tls)).await;
    gateway.until("r", "is in trouble", |status| status.state == ReplicatorState::Retrying).await;
    tokio::time::sleep(Duration::from_secs(33)).await;
    assert_eq!(get(&a, &key).await, Some(value));
    delete(&local, &key).await;
    replicate(&store, "r", Type::ClusterRoleBinding, &alpha).await;
    becomes(&a, &key, None).await;
}

#[tokio::test]
async fn a_store_that_loses_everything_takes_nothing_from_the_followers() {
    let ((source, local), (alpha, a)) = tokio::join!(cluster("local"), cluster("alpha"));
    let store = MemoryStore::new();
    let (key, value) = binding();
    put(&local, &key, &value).await;
    replicate(&store, "r", Type::ClusterRoleBinding, &alpha).await;
    let gateway = Gateway::alone(&source, &store);
    becomes(&a, &key, Some(&value)).await;
    gateway.follows("r").await;
    for entry in store.list("replication/").await.unwrap() {
        store.delete(&entry.key, Precondition::Any).await.unwrap();
    }
    unregister(&store, "r").await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(get(&a, &key).await, Some(value));
    assert!(gateway.status("r").is_none());
}

#[tokio::test]
async fn a_definition_that_cannot_be_read_is_shown_and_its_keys_stay() {
    let ((source, local), (alpha, a)) = tokio::join!(cluster("local"), cluster("alpha"));
    let store = MemoryStore::new();
    let (key, value) = binding();
    put(&local, &key, &value).await;
    replicate(&store, "r", Type::ClusterRoleBinding, &alpha).await;
    replicate(&store, "s", Type::ClusterRole, &alpha).await;
    let gateway = Gateway::alone(&source, &store);
    becomes(&a, &key, Some(&value)).await;
    let mut unknown =
        definition("r", Type::ClusterRoleBinding, &alpha.endpoint().to_string(), &alpha.config().tls);
    unknown["spec"]["resource"] = "Anything".into();
    register(&store, &unknown).await;
    gateway.until("r", "is rejected", |status| status.state == ReplicatorState::Rejected).await;
    gateway.says("r", "resource").await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(get(&a, &key).await, Some(value));
    unregister(&store, "r").await;
    becomes(&a, &key, None).await;
}

#[tokio::test]
async fn another_federation_at_the_same_follower_is_shown_and_not_fought() {
    let ((source, local), (other_source, other), (alpha, a)) =
        tokio::join!(cluster("local"), cluster("other"), cluster("alpha"));
    let (store, other_store) = (MemoryStore::new(), MemoryStore::new());
    let (key, value) = binding();
    put(&local, &key, &value).await;
    put(&other, &key, &cluster_role_binding("b", "edit", "others")).await;
    replicate(&store, "r", Type::ClusterRoleBinding, &alpha).await;
    replicate(&other_store, "r", Type::ClusterRoleBinding, &alpha).await;
    let gateway = Gateway::alone(&source, &store);
    becomes(&a, &key, Some(&value)).await;
    let second = Gateway::alone(&other_source, &other_store);
    second.says("r", "another federation").await;
    gateway.follows("r").await;
    assert_eq!(get(&a, &key).await, Some(value));
    drop(second);
    // The first one is gone for good: its record is deleted by hand.
    gateway.stop().await;
    delete(&a, "/fedgate/replication/fence").await;
    let second = Gateway::alone(&other_source, &other_store);
    becomes(&a, &key, Some(&cluster_role_binding("b", "edit", "others"))).await;
    second.follows("r").await;
}
