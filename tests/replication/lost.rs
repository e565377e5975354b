//! Stores that are lost, copied, or of an earlier version; fences whose lease ends.

use std::time::Duration;

use fedgate::{
    corev2::Type,
    registry::{MemoryStore, Precondition, Store as _},
    types::TlsFiles,
};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::{
    becomes, delete, dump, eventually, expire,
    federation::{BINDINGS, Federation, cluster},
    fence_lease,
    gateway::{Gateway, definition, register, replicate, unregister},
    get,
    objects::cluster_role_binding,
    proxy::Link,
    put, revision,
};

const RECORDS: &str = "/fedgate/replication/";
const FENCE: &str = "/fedgate/replication/fence";

fn binding(name: &str) -> (String, Vec<u8>) {
    (format!("{BINDINGS}{name}"), cluster_role_binding(name, "view", "g"))
}

/// A federation that has copied two bindings.
async fn two_bindings() -> Federation {
    let (kept, gone) = (binding("kept"), binding("gone"));
    let bindings = Federation::of_bindings().at_source(&kept.0, &kept.1).at_source(&gone.0, &gone.1);
    let f = bindings.start().await;
    becomes(&f.a, &gone.0, Some(&gone.1)).await;
    becomes(&f.a, &kept.0, Some(&kept.1)).await;
    f.gateway.follows("r").await;
    f
}

/// Another store with the same content.
async fn copy_of(store: &MemoryStore) -> MemoryStore {
    let copy = MemoryStore::new();
    for entry in store.list("").await.unwrap() {
        copy.put(&entry.key, entry.value, Precondition::Any).await.unwrap();
    }
    copy
}

/// The stores that own something in a destination.
async fn owners(client: &fedgate::etcd::Client) -> Vec<String> {
    let owned = dump(client, "/fedgate/replication/owned/").await;
    let mut stores: Vec<_> = owned.keys().map(|key| key.split('/').nth(4).unwrap().to_owned()).collect();
    stores.dedup();
    stores
}

#[tokio::test]
async fn after_a_lost_store_what_was_revoked_meanwhile_is_revoked_within_a_minute() {
    let f = two_bindings().await;
    let (kept, gone) = (binding("kept"), binding("gone"));
    let old = owners(&f.a).await;
    // Killed: nothing is cleaned up.
    drop(f.gateway);
    delete(&f.local, &gone.0).await;
    let (lost, begun) = (MemoryStore::new(), Instant::now());
    replicate(&lost, "bindings", Type::ClusterRoleBinding, &f.alpha).await;
    let gateway = Gateway::alone_at("there", &f.source, &lost);
    gateway.says("bindings", "this ends within a minute").await;
    while get(&f.a, &gone.0).await.is_some() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", gateway.status("bindings"));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    gateway.follows("bindings").await;
    assert_eq!(get(&f.a, &kept.0).await, Some(kept.1));
    let new = owners(&f.a).await;
    assert!(new.len() == 1 && new != old, "{old:?} {new:?}");
    assert_eq!(dump(&f.a, "/fedgate/replication/federations/").await.len(), 1);
    assert_eq!(gateway.status("bindings").unwrap().error, None);
    // It is as if it had been its own from the beginning.
    unregister(&lost, "bindings").await;
    becomes(&f.a, &kept.0, None).await;
    eventually("nothing is left", async || dump(&f.a, "/fedgate/").await.is_empty()).await;
}

#[tokio::test]
async fn what_came_from_another_source_is_reported_and_left_until_it_is_adopted() {
    let f = two_bindings().await;
    let (other_source, other) = cluster("other").await;
    let kept = binding("kept");
    put(&other, &kept.0, &kept.1).await;
    let old = owners(&f.a).await.remove(0);
    drop(f.gateway);
    expire(&f.a).await;
    let store = MemoryStore::new();
    replicate(&store, "r", Type::ClusterRoleBinding, &f.alpha).await;
    let gateway = Gateway::alone_at("there", &other_source, &store);
    gateway.says("r", "fedgate adopt etcd-replicator r").await;
    gateway.follows("r").await;
    gateway.compares_twice("r").await;
    let gone = binding("gone");
    assert_eq!(get(&f.a, &gone.0).await, Some(gone.1));
    let status = gateway.status("r").unwrap();
    let [orphans] = &status.orphans[..] else { panic!("{status:?}") };
    assert_eq!((&*orphans.federation, &*orphans.gateway, orphans.keys), (&*old, "test", 2));
    let url = f.alpha.endpoint().to_string();
    let mut adopting = definition("r", Type::ClusterRoleBinding, &url, &TlsFiles::default());
    adopting["metadata"]["annotations"] = json!({"fedgate.io/adopt": old});
    register(&store, &adopting).await;
    becomes(&f.a, &gone.0, None).await;
    eventually("nothing is left to say", async || {
        gateway.status("r").is_some_and(|status| status.error.is_none() && status.orphans.is_empty())
    })
    .await;
    assert_eq!(get(&f.a, &kept.0).await, Some(kept.1));
}

/// Turns a destination into what an earlier version has left there.
async fn as_before_leases(client: &fedgate::etcd::Client) -> Value {
    let mut fence: Value = serde_json::from_slice(&get(client, FENCE).await.unwrap()).unwrap();
    fence.as_object_mut().unwrap().remove("home");
    let lease = fence_lease(client).await;
    put(client, FENCE, fence.to_string().as_bytes()).await;
    client.lease_revoke(lease).await.unwrap();
    for key in dump(client, RECORDS).await.keys() {
        if key.contains("/place") || key.contains("/federations/") {
            delete(client, key).await;
        }
    }
    fence
}

#[tokio::test]
async fn what_an_earlier_version_wrote_is_continued() {
    let mut f = two_bindings().await;
    let gone = binding("gone");
    f.gateway.stop().await;
    let fence = as_before_leases(&f.a).await;
    let before = dump(&f.a, "/fedgate/replication/owned/").await;
    f.gateway = Gateway::alone(&f.source, &f.store);
    f.gateway.follows("r").await;
    assert_ne!(fence_lease(&f.a).await, 0);
    let now: Value = serde_json::from_slice(&get(&f.a, FENCE).await.unwrap()).unwrap();
    assert_eq!(now["place"], fence["place"]);
    assert_eq!(dump(&f.a, "/fedgate/replication/owned/").await, before);
    delete(&f.local, &gone.0).await;
    becomes(&f.a, &gone.0, None).await;
}

#[tokio::test]
async fn what_an_earlier_version_left_of_a_lost_store_can_be_adopted() {
    let f = two_bindings().await;
    let gone = binding("gone");
    f.gateway.stop().await;
    let fence = as_before_leases(&f.a).await;
    delete(&f.local, &gone.0).await;
    let store = MemoryStore::new();
    replicate(&store, "r", Type::ClusterRoleBinding, &f.alpha).await;
    let gateway = Gateway::alone(&f.source, &store);
    gateway.says("r", "fedgate adopt etcd-replicator").await;
    let federation = gateway.status("r").unwrap().orphans[0].federation.to_string();
    assert_eq!(fence["store"], federation.as_str());
    let url = f.alpha.endpoint().to_string();
    let mut adopting = definition("r", Type::ClusterRoleBinding, &url, &TlsFiles::default());
    adopting["metadata"]["annotations"] = json!({"fedgate.io/adopt": federation});
    register(&store, &adopting).await;
    becomes(&f.a, &gone.0, None).await;
    gateway.follows("r").await;
}

#[tokio::test]
async fn two_gateways_with_copies_of_one_store_know_that_they_are_two() {
    let f = two_bindings().await;
    let copy = copy_of(&f.store).await;
    let before = (revision(&f.a).await, get(&f.a, FENCE).await);
    // Of the same name, with the same store.
    let second = Gateway::alone_at("there", &f.source, &copy);
    second.says("r", "with a copy of this gateway's store").await;
    f.gateway.says("r", "has a copy of this gateway's store and waits").await;
    assert_eq!((revision(&f.a).await, get(&f.a, FENCE).await), (before.0 + 1, before.1), "it only says so");
    // The first one works on.
    let gone = binding("gone");
    delete(&f.local, &gone.0).await;
    becomes(&f.a, &gone.0, None).await;
    // Once that is gone, the other one continues.
    f.gateway.stop().await;
    expire(&f.a).await;
    second.follows("r").await;
    eventually("nothing is said of it", async || second.status("r").unwrap().error.is_none()).await;
}

#[tokio::test]
async fn a_gateway_that_restarts_where_it_was_continues_at_once_and_writes_nothing() {
    let mut f = two_bindings().await;
    let before = dump(&f.a, "/").await;
    // Killed, and stopped.
    drop(f.gateway);
    let begun = Instant::now();
    f.gateway = Gateway::alone(&f.source, &f.store);
    f.gateway.follows("r").await;
    f.gateway.stop().await;
    f.gateway = Gateway::alone(&f.source, &f.store);
    f.gateway.follows("r").await;
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert_eq!(dump(&f.a, "/").await, before);
}

#[tokio::test]
async fn a_lost_lease_is_replaced_and_changes_nothing_else() {
    let f = two_bindings().await;
    let (before, lease) = (dump(&f.a, "/").await, fence_lease(&f.a).await);
    expire(&f.a).await;
    eventually("it has another one", async || ![0, lease].contains(&fence_lease(&f.a).await)).await;
    f.gateway.follows("r").await;
    let mut after = dump(&f.a, "/").await;
    after.insert(FENCE.to_owned(), before[FENCE].clone());
    assert_eq!(after, before);
    let gone = binding("gone");
    delete(&f.local, &gone.0).await;
    becomes(&f.a, &gone.0, None).await;
}

/// Longer than a lease lives.
#[tokio::test]
async fn a_lease_is_kept_alive_without_a_write() {
    let f = two_bindings().await;
    let before = (revision(&f.a).await, fence_lease(&f.a).await);
    tokio::time::sleep(Duration::from_secs(45)).await;
    assert_eq!((revision(&f.a).await, fence_lease(&f.a).await), before);
}

#[tokio::test]
async fn a_writer_whose_lease_has_ended_writes_nothing_once_another_federation_has_taken_over() {
    let gone = binding("gone");
    let bindings = Federation::of_bindings().at_source(&gone.0, &gone.1);
    let f = bindings.proxied().start().await;
    becomes(&f.a, &gone.0, Some(&gone.1)).await;
    f.gateway.follows("r").await;
    f.proxy().set(Link::Silent);
    expire(&f.a).await;
    let store = MemoryStore::new();
    replicate(&store, "r", Type::ClusterRoleBinding, &f.alpha).await;
    let second = Gateway::alone_at("there", &f.source, &store);
    second.follows("r").await;
    delete(&f.local, &gone.0).await;
    becomes(&f.a, &gone.0, None).await;
    put(&f.local, &binding("new").0, &binding("new").1).await;
    becomes(&f.a, &binding("new").0, Some(&binding("new").1)).await;
    let before = (dump(&f.a, "/sensu.io/").await, get(&f.a, FENCE).await);
    f.proxy().set(Link::Up);
    f.gateway.says("r", "another federation").await;
    assert_eq!((dump(&f.a, "/sensu.io/").await, get(&f.a, FENCE).await), before);
}
