//! Neither a life of a replicator nor a change of leadership leaves anything open at an etcd.

use std::{sync::Arc, time::Duration};

use fedgate::{
    corev2::Type,
    leadership::Election,
    registry::{EtcdStore, MemoryStore},
};

use crate::{
    etcd_server::Etcd,
    support::{
        delete, eventually,
        federation::cluster,
        gateway::{Gateway, replicate, unregister},
        get,
        leadership::Scripted,
        served,
    },
    usage::Usage,
};

/// What is open at each of these etcds.
async fn usage<const N: usize>(etcds: [&Etcd; N]) -> [Usage; N] {
    let mut all = [(); N].map(|()| Usage::default());
    for (usage, etcd) in all.iter_mut().zip(etcds) {
        *usage = Usage::of(etcd).await;
    }
    all
}

/// Waits until as much is open at each of these etcds as before.
async fn are_again<const N: usize>(etcds: [&Etcd; N], before: &[Usage; N], what: &str) {
    for (usage, etcd) in before.iter().zip(etcds) {
        usage.is_again(etcd, what).await;
    }
}

#[tokio::test]
async fn fifty_lives_of_a_replicator_leave_nothing_open() {
    let ((source, _local), (alpha, _a), (beta, _b)) =
        tokio::join!(cluster("local"), cluster("alpha"), cluster("beta"));
    let etcds = [&source, &alpha, &beta];
    let idle = usage(etcds).await;
    let store = MemoryStore::new();
    replicate(&store, "stays", Type::ClusterRoleBinding, &alpha).await;
    let gateway = Gateway::alone(&source, &store);
    gateway.follows("stays").await;
    let before = usage(etcds).await;
    assert!(before[1].watches > 0 && before[2] == idle[2], "{before:?}");
    for life in 0..50 {
        // The second one has the destination to itself, and reads another keyspace of the source.
        let to = if life % 2 == 0 { &alpha } else { &beta };
        replicate(&store, "comes", Type::CheckConfig, to).await;
        gateway.follows("comes").await;
        unregister(&store, "comes").await;
        eventually("it is forgotten", async || gateway.status("comes").is_none()).await;
    }
    are_again(etcds, &before, "after fifty lives").await;
    drop(gateway);
    are_again(etcds, &idle, "without the gateway").await;
}

#[tokio::test]
async fn fifty_changes_of_leadership_leave_nothing_open() {
    let ((source, _local), (alpha, _a)) = tokio::join!(cluster("local"), cluster("alpha"));
    let store = MemoryStore::new();
    replicate(&store, "r", Type::ClusterRoleBinding, &alpha).await;
    let leadership = Scripted::standby();
    let gateway = Gateway::start(source.config(), Arc::new(store), leadership.clone());
    let etcds = [&source, &alpha];
    let (idle, mut leading) = (usage(etcds).await, None);
    for term in 0..50 {
        leadership.lead(Some((term, "scripted")));
        gateway.follows("r").await;
        if let Some(leading) = &leading {
            are_again(etcds, leading, "while it leads").await;
        } else {
            leading = Some(usage(etcds).await);
        }
        leadership.lead(None);
        gateway.until("r", "stops", |status| !status.leader).await;
    }
    are_again(etcds, &idle, "after fifty changes").await;
}

#[tokio::test]
async fn gateways_of_one_store_keep_one_stream_each_however_often_they_renew_and_change() {
    let ((source, _local), (alpha, _a), shared) =
        tokio::join!(cluster("local"), cluster("alpha"), Etcd::start());
    let client = shared.client();
    replicate(&EtcdStore::new(Arc::clone(&client), "/fedgate/"), "r", Type::ClusterRoleBinding, &alpha).await;
    let gateways = ["one", "two"].map(|name| {
        let own = shared.client();
        let election = Election::new(Arc::clone(&own), "/fedgate/", name, Duration::from_secs(1));
        Gateway::start(source.config(), Arc::new(EtcdStore::new(own, "/fedgate/")), election)
    });
    let follow = async || {
        for gateway in &gateways {
            gateway.follows("r").await;
        }
    };
    follow().await;
    let etcds = [&source, &alpha, &shared];
    // Of single calls, some are under way at any time.
    let settled = async || loop {
        let found = usage(etcds).await;
        if found.iter().all(|usage| usage.streams.keys().all(|method| LASTING.contains(&&**method))) {
            return found;
        }
    };
    let before = settled().await;
    assert_eq!(before[2].streams("LeaseKeepAlive"), 2, "{before:?}");
    let calls = served(&shared, "Range").await;
    eventually("a hundred renewals", async || served(&shared, "Range").await >= calls + 100).await;
    assert_eq!(settled().await, before);
    for _ in 0..10 {
        // On a loaded machine it may change by itself, too, and back.
        let term = get(&client, TERM).await;
        delete(&client, LEADER).await;
        eventually("there is another leader", async || {
            get(&client, LEADER).await.is_some() && get(&client, TERM).await != term
        })
        .await;
        follow().await;
    }
    are_again(etcds, &before, "after ten changes").await;
}

const LEADER: &str = "/fedgate/replication/leader";
const TERM: &str = "/fedgate/replication/term";

/// Methods whose streams last.
const LASTING: [&str; 2] = ["LeaseKeepAlive", "Watch"];
