use std::{sync::Arc, time::Duration};

use tokio::sync::watch;

use super::{config, json};
use crate::{
    registry::{Health, MemoryStore, Precondition, Registry, Store, Views, reflector},
    types::{Kind, Snapshot, Source},
};

struct Rig {
    store: MemoryStore,
    /// The reflector alone keeps no store.
    _shared: Arc<dyn Store>,
    reload: watch::Sender<Arc<Snapshot>>,
    views: Views,
}

impl Rig {
    fn start(names: &[&str]) -> Self {
        let store = MemoryStore::new();
        let (reload, configured) = watch::channel(config(names));
        let (reflector, views) = reflector(configured);
        let shared: Arc<dyn Store> = Arc::new(store.clone());
        tokio::spawn(reflector.run(Arc::clone(&shared)));
        Self { store, _shared: shared, reload, views }
    }

    async fn put(&self, key: &str, value: bytes::Bytes) {
        let version = self.store.put(key, value, Precondition::Any).await.unwrap();
        self.until(|view| view.revision() >= version).await;
    }

    async fn until(&self, done: impl FnMut(&Registry) -> bool) -> Arc<Registry> {
        let mut done = done;
        let mut registry = self.views.registry.clone();
        let seen = tokio::time::timeout(Duration::from_secs(60), registry.wait_for(|view| done(view))).await;
        Arc::clone(&seen.expect("it does not come to that").unwrap())
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

#[tokio::test]
async fn a_store_is_given_its_secret_whenever_it_lacks_one() {
    let rig = Rig::start(&[]);
    let first = rig.until(|view| view.secret().is_some()).await.secret().cloned();
    let entry = rig.store.get("secrets/continue").await.unwrap().unwrap();
    assert_eq!(first.unwrap().as_bytes()[..], entry.value);
    rig.put("clusters/alpha", json("alpha", "https://a")).await;
    assert_eq!(rig.store.get("secrets/continue").await.unwrap().unwrap(), entry, "made once");

    tokio::time::pause();
    rig.store.delete("secrets/continue", Precondition::Any).await.unwrap();
    rig.until(|view| view.secret().is_none()).await;
    rig.until(|view| view.secret().is_some()).await;
    // Damaged by hand.
    let version = rig.store.put("secrets/continue", "short".into(), Precondition::Any).await.unwrap();
    rig.until(|view| view.revision() >= version && view.secret().is_none()).await;
    rig.until(|view| view.secret().is_some()).await;
}

#[tokio::test]
async fn a_store_that_is_down_gets_its_secret_later_and_keeps_the_one_it_had() {
    let rig = Rig::start(&[]);
    rig.store.break_down("no disk");
    rig.until(|view| matches!(view.health(), Health::Down { .. })).await;
    assert_eq!(rig.views.registry.borrow().secret(), None);
    tokio::time::pause();
    rig.store.recover();
    let made = rig.until(|view| view.secret().is_some()).await.secret().cloned();
    rig.store.break_down("no disk");
    let view = rig.until(|view| matches!(view.health(), Health::Down { .. })).await;
    assert_eq!(view.secret(), made.as_ref());
}

#[tokio::test]
async fn the_secret_is_not_printed() {
    let rig = Rig::start(&[]);
    let view = rig.until(|view| view.secret().is_some()).await;
    let bytes = view.secret().unwrap().as_bytes();
    let entry = rig.store.get("secrets/continue").await.unwrap().unwrap();
    let printed = format!("{view:?} {entry:?} {:?}", crate::registry::Event::Put(entry.clone()));
    for leak in [format!("{bytes:?}"), format!("{:?}", entry.value)] {
        let leak = &leak[leak.len() / 2..];
        assert!(!printed.contains(leak), "{printed}");
    }
    assert!(view.list(Kind::Cluster).next().is_none() && view.unreadable().is_empty());
}
