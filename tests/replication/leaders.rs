//! Several gateways: one writes.

use std::{sync::Arc, time::Duration};

use fedgate::{
    corev2::Type,
    etcd::Client,
    leadership::Election,
    registry::{EtcdStore, MemoryStore},
    types::ReplicatorState,
};
use serde_json::Value;
use tokio::time::Instant;

use crate::{
    etcd_server::Etcd,
    support::{
        becomes, dump, eventually,
        federation::{BINDINGS, cluster},
        gateway::{Gateway, replicate},
        get,
        leadership::Scripted,
        objects::cluster_role_binding,
        process::Process,
        put, revision, served,
    },
};

const FENCE: &str = "/fedgate/replication/fence";

async fn fence(client: &Client) -> Option<Value> {
    Some(serde_json::from_slice(&get(client, FENCE).await?).unwrap())
}

async fn holder(client: &Client) -> String {
    let fence = fence(client).await;
    fence
        .map(|fence| fence["gateway"].as_str().unwrap().split('/').next().unwrap().to_owned())
        .unwrap_or_default()
}

fn numbered(n: usize) -> (String, Vec<u8>) {
    let name = format!("b{n}");
    (format!("{BINDINGS}{name}"), cluster_role_binding(&name, "view", "g"))
}

#[tokio::test]
async fn a_killed_or_stopped_leader_is_replaced_within_fifteen_seconds_and_writes_nothing_then() {
    let ((source, local), (alpha, a), gateways) =
        tokio::join!(cluster("local"), cluster("alpha"), Etcd::start());
    let store = EtcdStore::new(gateways.client(), "/fedgate/");
    replicate(&store, "r", Type::ClusterRoleBinding, &alpha).await;
    let mut processes = ["one", "two"].map(|name| Process::start(name, &source, &gateways, Election::TTL));
    let (key, value) = numbered(1);
    put(&local, &key, &value).await;
    becomes(&a, &key, Some(&value)).await;
    let index = |holder: &str| usize::from(holder == "two");
    let first = index(&holder(&a).await);
    // Stopped: the other one takes over.
    processes[first].pause();
    let begun = Instant::now();
    let (key, value) = numbered(2);
    put(&local, &key, &value).await;
    becomes(&a, &key, Some(&value)).await;
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    let second = index(&holder(&a).await);
    assert_ne!(first, second);
    // Continued while the new leader is stopped, it may want to write but does not.
    let before = (revision(&a).await, fence(&a).await);
    processes[second].pause();
    put(&local, &numbered(3).0, &numbered(3).1).await;
    let competed = served(&gateways, "Txn").await;
    processes[first].resume();
    eventually("it competes again", async || served(&gateways, "Txn").await > competed).await;
    assert_eq!((revision(&a).await, fence(&a).await), before);
    processes[second].resume();
    becomes(&a, &numbered(3).0, Some(&numbered(3).1)).await;
    // Killed: likewise.
    let now = index(&holder(&a).await);
    processes[now].kill();
    let begun = Instant::now();
    let (key, value) = numbered(4);
    put(&local, &key, &value).await;
    becomes(&a, &key, Some(&value)).await;
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    assert_ne!(index(&holder(&a).await), now);
}

#[tokio::test]
async fn who_believes_to_lead_but_does_not_is_refused_by_the_destination() {
    let ((source, local), (alpha, a)) = tokio::join!(cluster("local"), cluster("alpha"));
    let store = MemoryStore::new();
    replicate(&store, "r", Type::ClusterRoleBinding, &alpha).await;
    let start = |number, name| {
        Gateway::start(source.config(), Arc::new(store.clone()), Scripted::leading(number, name))
    };
    let old = start(1, "old");
    put(&local, &numbered(1).0, &numbered(1).1).await;
    becomes(&a, &numbered(1).0, Some(&numbered(1).1)).await;
    let new = start(2, "new");
    old.says("r", "the gateway new has taken over").await;
    new.follows("r").await;
    let taken = fence(&a).await;
    // Gone is the new one; the old one wants to write.
    drop(new);
    let before = revision(&a).await;
    let asked = served(&alpha, "Range").await;
    put(&local, &numbered(2).0, &numbered(2).1).await;
    eventually("it has asked twice whether it may", async || served(&alpha, "Range").await >= asked + 2)
        .await;
    assert_eq!((revision(&a).await, fence(&a).await), (before, taken));
}

#[tokio::test]
async fn a_leader_that_ends_in_good_order_is_followed_at_once_and_without_a_trace() {
    let ((source, local), (alpha, a), gateways) =
        tokio::join!(cluster("local"), cluster("alpha"), Etcd::start());
    let shared = gateways.client();
    replicate(&EtcdStore::new(Arc::clone(&shared), "/fedgate/"), "r", Type::ClusterRoleBinding, &alpha).await;
    let start = |name| {
        let election = Election::new(Arc::clone(&shared), "/fedgate", name, Election::TTL);
        Gateway::start(source.config(), Arc::new(EtcdStore::new(Arc::clone(&shared), "/fedgate/")), election)
    };
    let one = start("one");
    put(&local, &numbered(1).0, &numbered(1).1).await;
    becomes(&a, &numbered(1).0, Some(&numbered(1).1)).await;
    one.follows("r").await;
    let two = start("two");
    // Either of them shows the status.
    two.until("r", "stands by", |status| {
        status.state == ReplicatorState::Following && !status.leader && status.keys == 1
    })
    .await;
    let before = dump(&a, "/").await;
    one.stop().await;
    let begun = Instant::now();
    two.until("r", "leads", |status| status.leader).await;
    two.follows("r").await;
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    assert_eq!(dump(&a, "/").await, before);
    // The election's etcd goes: no gateway can be sure to lead, and none writes for longer than the lease lasts.
    let mut gateways = gateways;
    gateways.kill();
    two.until("r", "stops", |status| status.state == ReplicatorState::Stopped).await;
    gateways.restart().await;
    eventually("one of them leads again", async || two.status("r").unwrap().leader).await;
    put(&local, &numbered(2).0, &numbered(2).1).await;
    becomes(&a, &numbered(2).0, Some(&numbered(2).1)).await;
}
