//! Roles before bindings, and what happens to roles that are still named.

use fedgate::{
    corev2::Type,
    etcd::{
        Client,
        proto::{DeleteRangeRequest, EventType, Op, PutRequest, TxnRequest, WatchCreateRequest},
    },
};

use crate::support::{
    becomes, delete, dump,
    federation::{BINDINGS, Federation},
    gateway::{replicate_in, unregister},
    objects::{cluster_role, cluster_role_binding, role},
    put, revision,
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

/// Bindings and roles are copied, by two replicators whose names sort against the order.
async fn of_bindings_and_roles() -> Federation {
    let federation = Federation::builder()
        .replicate("1-bindings", Type::ClusterRoleBinding)
        .replicate("2-roles", Type::ClusterRole);
    let f = federation.start().await;
    f.gateway.follows("1-bindings").await;
    f.gateway.follows("2-roles").await;
    f
}

#[tokio::test]
async fn a_role_is_there_before_its_binding_and_goes_after_it() {
    let f = Box::pin(of_bindings_and_roles()).await;
    let from = revision(&f.a).await + 1;
    let binding = format!("{BINDINGS}b");
    let put_op = |key: &str, value: Vec<u8>| Op::Put(PutRequest::new(key, value)).into();
    // In one revision, the binding first.
    let success = vec![
        put_op(&binding, cluster_role_binding("b", "r", "g")),
        put_op(&role_key("r"), cluster_role("r", &["get"])),
    ];
    f.local.txn(TxnRequest { success, ..TxnRequest::default() }).await.unwrap();
    assert_eq!(changes(&f.a, from, (&binding, true)).await, [(role_key("r"), true), (binding.clone(), true)]);

    // The binding is given another role, and the old one goes.
    let from = revision(&f.a).await + 1;
    let success = vec![
        Op::DeleteRange(DeleteRangeRequest::key(role_key("r"))).into(),
        put_op(&binding, cluster_role_binding("b", "s", "g")),
        put_op(&role_key("s"), cluster_role("s", &["get"])),
    ];
    f.local.txn(TxnRequest { success, ..TxnRequest::default() }).await.unwrap();
    let expected = [(role_key("s"), true), (binding.clone(), true), (role_key("r"), false)];
    assert_eq!(changes(&f.a, from, (&role_key("r"), false)).await, expected);

    let from = revision(&f.a).await + 1;
    let delete_op = |key: String| Op::DeleteRange(DeleteRangeRequest::key(key)).into();
    let success = vec![delete_op(role_key("s")), delete_op(binding.clone())];
    f.local.txn(TxnRequest { success, ..TxnRequest::default() }).await.unwrap();
    assert_eq!(
        changes(&f.a, from, (&role_key("s"), false)).await,
        [(binding, false), (role_key("s"), false)]
    );
    f.gateway.stop().await;
}

#[tokio::test]
async fn a_namespace_that_is_left_is_cleaned_before_the_new_one_is_written() {
    let key = |namespace| Type::Role.key(Some(namespace), "r");
    let f = Federation::builder()
        .at_source(&key("dev"), &role("dev", "r", &["get"]))
        .at_source(&key("ops"), &role("ops", "r", &["get"]))
        .replicate_in("r", Type::Role, "dev")
        .start()
        .await;
    becomes(&f.a, &key("dev"), Some(&role("dev", "r", &["get"]))).await;
    let from = revision(&f.a).await + 1;
    replicate_in(&f.store, "r", Type::Role, "ops", &f.alpha).await;
    assert_eq!(changes(&f.a, from, (&key("ops"), true)).await, [(key("dev"), false), (key("ops"), true)]);
    f.gateway.until("r", "owns one", |status| status.keys == 1).await;
}

#[tokio::test]
async fn a_role_that_a_local_binding_names_loses_its_rules_and_goes_with_the_binding() {
    let f = Box::pin(of_bindings_and_roles()).await;
    put(&f.local, &role_key("r"), &cluster_role("r", &["get", "delete"])).await;
    becomes(&f.a, &role_key("r"), Some(&cluster_role("r", &["get", "delete"]))).await;
    let own = format!("{BINDINGS}own");
    put(&f.a, &own, &cluster_role_binding("own", "r", "cluster-admins")).await;
    delete(&f.local, &role_key("r")).await;
    f.gateway.says("2-roles", "without rules").await;
    let left = dump(&f.a, &role_key("r")).await;
    let left = fedgate::corev2::decode::<fedgate::corev2::ClusterRole>(&left[&role_key("r")].0, "r").unwrap();
    assert_eq!((left.rules.len(), left.metadata.unwrap().name.as_str()), (0, "r"));
    delete(&f.a, &own).await;
    becomes(&f.a, &role_key("r"), None).await;
    f.gateway.until("2-roles", "has no error", |status| status.error.is_none()).await;
}

#[tokio::test]
async fn a_binding_of_a_missing_role_is_copied_with_a_warning() {
    let f = Box::pin(of_bindings_and_roles()).await;
    unregister(&f.store, "2-roles").await;
    put(&f.local, &role_key("r"), &cluster_role("r", &["get"])).await;
    let (key, value) = (format!("{BINDINGS}b"), cluster_role_binding("b", "r", "g"));
    put(&f.local, &key, &value).await;
    becomes(&f.a, &key, Some(&value)).await;
    f.gateway.says("1-bindings", "warning").await;
    put(&f.a, &role_key("r"), &cluster_role("r", &["get"])).await;
    f.gateway.until("1-bindings", "has no error", |status| status.error.is_none()).await;
}
