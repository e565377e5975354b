//! Roles before bindings, and what happens to roles that are still named.

use std::sync::Arc;

use fedgate::{
    corev2::Type,
    etcd::{
        Client,
        proto::{DeleteRangeRequest, EventType, Op, PutRequest, TxnRequest, WatchCreateRequest},
    },
    registry::MemoryStore,
};

use crate::{
    basics::{BINDINGS, cluster},
    support::{
        becomes, delete, dump,
        gateway::{Gateway, replicate, unregister},
        objects::{cluster_role, cluster_role_binding},
        put, revision,
    },
};

/// Every change under Sensu's root from a revision on, until one of `last`: key, and whether it was written.
async fn changes(client: &Client, from: i64, last: (&str, bool)) -> Vec<(String, bool)> {
    let mut watch = client.watch(WatchCreateRequest::prefix(b"/sensu.io/", from)).await.unwrap();
    let mut found = Vec::new();
    loop {
        for event in watch.message().await.unwrap().events {
            let key = String::from_utf8(event.kv.unwrap().key).unwrap();
            found.push((key, event.r#type == i32::from(EventType::Put)));
        }
        if found.iter().any(|(key, put)| (key.as_str(), *put) == last) {
            return found;
        }
    }
}

fn role_key(name: &str) -> String {
    Type::ClusterRole.key(None, name)
}

/// Binding `b` of role `r` on both sides, by two replicators.
async fn one_binding(
    store: &MemoryStore,
) -> (crate::etcd_server::Etcd, Arc<Client>, crate::etcd_server::Etcd, Arc<Client>, Gateway) {
    let ((source, local), (alpha, a)) = tokio::join!(cluster("local"), cluster("alpha"));
    // The names sort against the order.
    replicate(store, "1-bindings", Type::ClusterRoleBinding, &alpha).await;
    replicate(store, "2-roles", Type::ClusterRole, &alpha).await;
    let gateway = Gateway::alone(&source, store);
    gateway.follows("1-bindings").await;
    gateway.follows("2-roles").await;
    (source, local, alpha, a, gateway)
}

#[tokio::test]
async fn a_role_is_there_before_its_binding_and_goes_after_it() {
    let store = MemoryStore::new();
    let (_source, local, _alpha, a, gateway) = Box::pin(one_binding(&store)).await;
    let from = revision(&a).await + 1;
    let binding = format!("{BINDINGS}b");
    let put_op = |key: &str, value: Vec<u8>| Op::Put(PutRequest::new(key, value)).into();
    // In one revision, the binding first.
    let success = vec![
        put_op(&binding, cluster_role_binding("b", "r", "g")),
        put_op(&role_key("r"), cluster_role("r", &["get"])),
    ];
    local.txn(TxnRequest { success, ..TxnRequest::default() }).await.unwrap();
    assert_eq!(changes(&a, from, (&binding, true)).await, [(role_key("r"), true), (binding.clone(), true)]);

    // The binding is given another role, and the old one goes.
    let from = revision(&a).await + 1;
    let success = vec![
        Op::DeleteRange(DeleteRangeRequest::key(role_key("r"))).into(),
        put_op(&binding, cluster_role_binding("b", "s", "g")),
        put_op(&role_key("s"), cluster_role("s", &["get"])),
    ];
    local.txn(TxnRequest { success, ..TxnRequest::default() }).await.unwrap();
    let expected = [(role_key("s"), true), (binding.clone(), true), (role_key("r"), false)];
    assert_eq!(changes(&a, from, (&role_key("r"), false)).await, expected);

    let from = revision(&a).await + 1;
    let delete_op = |key: String| Op::DeleteRange(DeleteRangeRequest::key(key)).into();
    let success = vec![delete_op(role_key("s")), delete_op(binding.clone())];
    local.txn(TxnRequest { success, ..TxnRequest::default() }).await.unwrap();
    assert_eq!(changes(&a, from, (&role_key("s"), false)).await, [(binding, false), (role_key("s"), false)]);
    gateway.stop().await;
}

#[tokio::test]
async fn a_namespace_that_is_left_is_cleaned_before_the_new_one_is_written() {
    let ((source, local), (alpha, a)) = tokio::join!(cluster("local"), cluster("alpha"));
    let store = MemoryStore::new();
    let key = |namespace| Type::Role.key(Some(namespace), "r");
    for namespace in ["dev", "ops"] {
        put(&local, &key(namespace), &crate::support::objects::role(namespace, "r", &["get"])).await;
    }
    crate::support::gateway::replicate_in(&store, "r", Type::Role, "dev", &alpha).await;
    let gateway = Gateway::alone(&source, &store);
    becomes(&a, &key("dev"), Some(&crate::support::objects::role("dev", "r", &["get"]))).await;
    let from = revision(&a).await + 1;
    crate::support::gateway::replicate_in(&store, "r", Type::Role, "ops", &alpha).await;
    assert_eq!(changes(&a, from, (&key("ops"), true)).await, [(key("dev"), false), (key("ops"), true)]);
    gateway.until("r", "owns one", |status| status.keys == 1).await;
}

#[tokio::test]
async fn a_role_that_a_local_binding_names_loses_its_rules_and_goes_with_the_binding() {
    let store = MemoryStore::new();
    let (_source, local, _alpha, a, gateway) = Box::pin(one_binding(&store)).await;
    put(&local, &role_key("r"), &cluster_role("r", &["get", "delete"])).await;
    becomes(&a, &role_key("r"), Some(&cluster_role("r", &["get", "delete"]))).await;
    let own = format!("{BINDINGS}own");
    put(&a, &own, &cluster_role_binding("own", "r", "cluster-admins")).await;
    delete(&local, &role_key("r")).await;
    gateway.says("2-roles", "without rules").await;
    let left = dump(&a, &role_key("r")).await;
    let left = fedgate::corev2::decode::<fedgate::corev2::ClusterRole>(&left[&role_key("r")].0, "r").unwrap();
    assert_eq!((left.rules.len(), left.metadata.unwrap().name.as_str()), (0, "r"));
    delete(&a, &own).await;
    becomes(&a, &role_key("r"), None).await;
    gateway.until("2-roles", "has no error", |status| status.error.is_none()).await;
}

#[tokio::test]
async fn a_binding_of_a_missing_role_is_copied_with_a_warning() {
    let store = MemoryStore::new();
    let (_source, local, _alpha, a, gateway) = Box::pin(one_binding(&store)).await;
    unregister(&store, "2-roles").await;
    put(&local, &role_key("r"), &cluster_role("r", &["get"])).await;
    let (key, value) = (format!("{BINDINGS}b"), cluster_role_binding("b", "r", "g"));
    put(&local, &key, &value).await;
    becomes(&a, &key, Some(&value)).await;
    gateway.says("1-bindings", "warning").await;
    put(&a, &role_key("r"), &cluster_role("r", &["get"])).await;
    gateway.until("1-bindings", "has no error", |status| status.error.is_none()).await;
}
