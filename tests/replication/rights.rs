//! What a user of etcd may not do concerns only the kind that it is about.

use std::time::{Duration, SystemTime};

use fedgate::{
    corev2::Type,
    etcd::proto::{DeleteRangeRequest, Op, TxnRequest},
    registry::MemoryStore,
    types::ReplicatorState,
};

use crate::support::{
    becomes, delete, eventually,
    federation::{BINDINGS, cluster},
    gateway::{Gateway, replicate, unregister},
    get,
    guarded::Guarded,
    objects::{cluster_role_binding, object},
    put,
};

const CHECKS: &str = "/sensu.io/checks/";
const RBAC: &str = "/sensu.io/rbac/";
const RECORDS: &str = "/fedgate/replication/";

fn binding(name: &str) -> (String, Vec<u8>) {
    (format!("{BINDINGS}{name}"), cluster_role_binding(name, "view", "g"))
}

fn check(name: &str) -> (String, Vec<u8>) {
    (Type::CheckConfig.key(Some("dev"), name), object(Type::CheckConfig, "dev", name))
}

/// Replicates bindings and checks to a follower.
async fn replicate_both(follower: &Guarded) -> MemoryStore {
    let store = MemoryStore::new();
    replicate(&store, "bindings", Type::ClusterRoleBinding, &follower.etcd).await;
    replicate(&store, "checks", Type::CheckConfig, &follower.etcd).await;
    store
}

/// Whether bindings are in step while checks are not.
async fn only_checks_wait(gateway: &Gateway, because: &str) {
    assert!(gateway.says("checks", because).await < Duration::from_secs(10));
    assert_eq!(gateway.status("checks").unwrap().state, ReplicatorState::Retrying);
    gateway.follows("bindings").await;
    let since = SystemTime::now();
    gateway.until("bindings", "goes on", |status| status.last_sync.is_some_and(|at| at > since)).await;
    assert_eq!(gateway.status("bindings").unwrap().error, None);
}

#[tokio::test]
async fn where_checks_may_not_be_read_bindings_are_made_and_revoked() {
    let ((source, local), follower) = tokio::join!(cluster("local"), Guarded::cluster("alpha"));
    for prefix in [RBAC, RECORDS] {
        follower.grant("readwrite", prefix);
    }
    let store = replicate_both(&follower).await;
    let (b, c) = (binding("b"), check("c"));
    put(&local, &c.0, &c.1).await;
    put(&local, &b.0, &b.1).await;
    let gateway = Gateway::alone(&source, &store);
    becomes(&follower.root, &b.0, Some(&b.1)).await;
    only_checks_wait(&gateway, "/sensu.io/checks/ at the destination cannot be read: etcd refuses access")
        .await;
    delete(&local, &b.0).await;
    assert!(becomes(&follower.root, &b.0, None).await < Duration::from_secs(2));
    assert_eq!(get(&follower.root, &c.0).await, None);
    follower.grant("readwrite", CHECKS);
    becomes(&follower.root, &c.0, Some(&c.1)).await;
    gateway.follows("checks").await;
}

#[tokio::test]
async fn where_checks_may_only_be_read_bindings_are_made_and_revoked() {
    let ((source, local), follower) = tokio::join!(cluster("local"), Guarded::cluster("alpha"));
    for prefix in [RBAC, RECORDS] {
        follower.grant("readwrite", prefix);
    }
    follower.grant("read", CHECKS);
    let store = replicate_both(&follower).await;
    let (b, c) = (binding("b"), check("c"));
    put(&local, &c.0, &c.1).await;
    put(&local, &b.0, &b.1).await;
    let gateway = Gateway::alone(&source, &store);
    becomes(&follower.root, &b.0, Some(&b.1)).await;
    only_checks_wait(&gateway, "/sensu.io/checks/dev/ may not be written at the destination").await;
    let (b2, c2) = (binding("b2"), check("c2"));
    put(&local, &c2.0, &c2.1).await;
    put(&local, &b2.0, &b2.1).await;
    delete(&local, &b.0).await;
    assert!(becomes(&follower.root, &b2.0, Some(&b2.1)).await < Duration::from_secs(2));
    assert!(becomes(&follower.root, &b.0, None).await < Duration::from_secs(2));
    follower.grant("readwrite", CHECKS);
    becomes(&follower.root, &c.0, Some(&c.1)).await;
    becomes(&follower.root, &c2.0, Some(&c2.1)).await;
    gateway.follows("checks").await;
    gateway.until("checks", "owns both", |status| status.keys == 2 && status.error.is_none()).await;
}

#[tokio::test]
async fn a_deletion_that_is_denied_holds_up_no_revocation_of_the_same_moment() {
    let ((source, local), follower) = tokio::join!(cluster("local"), Guarded::cluster("alpha"));
    for prefix in [RBAC, RECORDS, CHECKS] {
        follower.grant("readwrite", prefix);
    }
    let store = replicate_both(&follower).await;
    let (b, c) = (binding("b"), check("c"));
    put(&local, &c.0, &c.1).await;
    put(&local, &b.0, &b.1).await;
    let gateway = Gateway::alone(&source, &store);
    for (key, value) in [&b, &c] {
        becomes(&follower.root, key, Some(value)).await;
    }
    follower.grant("read", CHECKS);
    let success = [&b.0, &c.0].map(|key| Op::DeleteRange(DeleteRangeRequest::key(&**key)).into()).to_vec();
    local.txn(TxnRequest { success, ..TxnRequest::default() }).await.unwrap();
    assert!(becomes(&follower.root, &b.0, None).await < Duration::from_secs(2));
    only_checks_wait(&gateway, "/sensu.io/checks/dev/ may not be written at the destination").await;
    assert_eq!(get(&follower.root, &c.0).await, Some(c.1.clone()));
    // The same once nothing is replicated any more: what stays is said, and why, until it is gone.
    unregister(&store, "checks").await;
    gateway.says("checks", "cannot be removed: /sensu.io/checks/dev/ may not be written").await;
    follower.grant("readwrite", CHECKS);
    becomes(&follower.root, &c.0, None).await;
    eventually("it is forgotten", async || gateway.status("checks").is_none()).await;
}

#[tokio::test]
async fn what_may_not_be_read_at_the_source_delays_nothing_else() {
    let (source, follower) = tokio::join!(Guarded::cluster("local"), Guarded::cluster("alpha"));
    for prefix in [RBAC, RECORDS, CHECKS] {
        follower.grant("readwrite", prefix);
    }
    for prefix in [RBAC, RECORDS] {
        source.grant("read", prefix);
    }
    let store = replicate_both(&follower).await;
    let (b, c) = (binding("b"), check("c"));
    put(&source.root, &c.0, &c.1).await;
    put(&source.root, &b.0, &b.1).await;
    let gateway = Gateway::alone(&source.etcd, &store);
    becomes(&follower.root, &b.0, Some(&b.1)).await;
    only_checks_wait(&gateway, "local cluster's etcd: /sensu.io/checks/ cannot be read").await;
    delete(&source.root, &b.0).await;
    assert!(becomes(&follower.root, &b.0, None).await < Duration::from_secs(2));
    source.grant("read", CHECKS);
    becomes(&follower.root, &c.0, Some(&c.1)).await;
    gateway.follows("checks").await;
    // Taken away again, what was copied stays.
    source.revoke(CHECKS);
    put(&source.root, &b.0, &b.1).await;
    becomes(&follower.root, &b.0, Some(&b.1)).await;
    assert_eq!(get(&follower.root, &c.0).await, Some(c.1));
}
