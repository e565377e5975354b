use std::sync::Arc;

use tokio::sync::watch;

use super::{config, json};
use crate::{
    registry::{Health, MemoryStore, Precondition, Registry, Store, Views, reflector},
    types::{Kind, Snapshot, Source},
};

struct Rig {
    store: MemoryStore,
    reload: watch::Sender<Arc<Snapshot>>,
    views: Views,
}

impl Rig {
    fn start(names: &[&str]) -> Self {
        let store = MemoryStore::new();
        let (reload, configured) = watch::channel(config(names));
        let (reflector, views) = reflector(configured);
        tokio::spawn(reflector.run(Arc::new(store.clone())));
        Self { store, reload, views }
    }

    async fn put(&self, key: &str, value: bytes::Bytes) {
        let version = self.store.put(key, value, Precondition::Any).await.unwrap();
        self.until(|view| view.revision() >= version).await;
    }

    async fn until(&self, done: impl FnMut(&Registry) -> bool) -> Arc<Registry> {
        let mut done = done;
        let mut registry = self.views.registry.clone();
        Arc::clone(&registry.wait_for(|view| done(view)).await.unwrap())
    }

    fn names(&self) -> Vec<String> {
        self.views.snapshot.borrow().iter().map(|cluster| cluster.name.to_string()).collect()
    }
}

#[tokio::test]
async fn registered_clusters_join_the_configured_ones() {
    let rig = Rig::start(&["beta"]);
    assert_eq!(rig.names(), ["local-cluster", "beta"], "before the store has been read");
    rig.put("clusters/alpha", json("alpha", "https://a")).await;
    assert_eq!(rig.names(), ["local-cluster", "alpha", "beta"]);
    rig.store.delete("clusters/alpha", Precondition::Any).await.unwrap();
    rig.until(|view| view.get(Kind::Cluster, "alpha").is_none()).await;
    assert_eq!(rig.names(), ["local-cluster", "beta"]);
}

#[tokio::test]
async fn a_configured_cluster_wins_until_a_reload_takes_it_out() {
    let rig = Rig::start(&["beta"]);
    rig.put("clusters/beta", json("beta", "https://other")).await;
    assert_eq!(rig.views.snapshot.borrow().get("beta").unwrap().source, Source::Config);
    rig.reload.send_replace(config(&[]));
    rig.until(|view| view.from_config("beta").is_none()).await;
    assert_eq!(rig.views.snapshot.borrow().get("beta").unwrap().source, Source::Api);
}

#[tokio::test]
async fn the_data_plane_is_woken_only_by_clusters() {
    let mut rig = Rig::start(&[]);
    rig.put("clusters/alpha", json("alpha", "https://a")).await;
    rig.views.snapshot.mark_unchanged();
    let labelled = r#"{"type":"Cluster","api_version":"federation/v1","metadata":{"name":"alpha","labels":{"a":"b"}},"spec":{"api_urls":["https://a"]}}"#;
    rig.put("clusters/alpha", labelled.into()).await;
    rig.put("secrets/continue", "x".into()).await;
    assert!(!rig.views.snapshot.has_changed().unwrap());
}

#[tokio::test]
async fn a_store_that_is_down_leaves_the_last_view_and_says_so() {
    let rig = Rig::start(&[]);
    rig.put("clusters/alpha", json("alpha", "https://a")).await;
    rig.store.break_down("no disk");
    let view = rig.until(|view| matches!(view.health(), Health::Down { .. })).await;
    let Health::Down { reason, .. } = view.health() else { panic!() };
    assert_eq!(&**reason, "no disk");
    assert_eq!(rig.names(), ["local-cluster", "alpha"]);
    rig.store.recover();
    rig.until(|view| *view.health() == Health::Following).await;
    assert_eq!(rig.names(), ["local-cluster", "alpha"]);
}

#[tokio::test]
async fn what_cannot_be_read_is_left_out_and_listed() {
    let rig = Rig::start(&[]);
    rig.put("clusters/alpha", json("alpha", "https://a")).await;
    rig.put("clusters/alpha", json("other", "https://a")).await;
    rig.put("clusters/beta", "{".into()).await;
    rig.put("clusters/gamma", json("gamma", "https://a")).await;
    let view = Arc::clone(&rig.views.registry.borrow());
    let unreadable: Vec<_> = view.unreadable().keys().map(|key| &**key).collect();
    assert_eq!(unreadable, ["clusters/alpha", "clusters/beta"]);
    assert_eq!(rig.names(), ["local-cluster", "gamma"]);
    rig.put("clusters/beta", json("beta", "https://a")).await;
    assert_eq!(rig.views.registry.borrow().unreadable().len(), 1);
}
