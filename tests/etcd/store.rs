use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use fedgate::{
    etcd::{
        Client, Config,
        proto::{Compare, DeleteRangeRequest, Op, PutRequest, RangeRequest, TxnRequest},
    },
    registry::{
        EtcdStore, Event, Health, Precondition, Registry, Store, StoreError, Views, key_of, reflector,
    },
    types::{Backend, Cluster, Kind, Snapshot, Source, TlsFiles},
};
use tokio::{sync::watch, task::JoinSet};

use crate::{
    etcd_server::Etcd,
    proxy::Proxy,
    store_suite::{self, next},
    wait::PATIENCE,
};

/// A gateway's part that has to do with the store.
struct Gateway {
    store: Arc<EtcdStore>,
    views: Views,
    _config: watch::Sender<Arc<Snapshot>>,
    _tasks: JoinSet<()>,
}

impl Gateway {
    fn on(etcd: &Etcd) -> Self {
        Self::at(etcd.client())
    }

    fn behind(proxy: &Proxy) -> Self {
        let config = Config::new(vec![proxy.endpoint()], TlsFiles::default());
        Self::at(Arc::new(Client::new(config).unwrap()))
    }

    fn at(client: Arc<Client>) -> Self {
        let store = Arc::new(EtcdStore::new(client, "/fedgate/"));
        let (config, configured) = watch::channel(Arc::new(Snapshot::new([local()])));
        let (reflector, views) = reflector(configured);
        let mut tasks = JoinSet::new();
        tasks.spawn(reflector.run(store.clone()));
        Self { store, views, _config: config, _tasks: tasks }
    }

    /// Registers a cluster and waits until this gateway routes to it.
    async fn register(&self, name: &str) -> u64 {
        let version = self.store.put(&key(name), json(name), Precondition::Any).await.unwrap();
        self.until(|view| view.revision() >= version).await;
        version
    }

    async fn until(&self, mut done: impl FnMut(&Registry) -> bool) {
        let mut registry = self.views.registry.clone();
        let seen = tokio::time::timeout(PATIENCE, registry.wait_for(|view| done(view))).await;
        seen.unwrap_or_else(|_| panic!("it stays at {:?}", self.views.registry.borrow())).unwrap();
    }

    async fn until_following(&self) {
        self.until(|view| *view.health() == Health::Following).await;
    }

    /// Why it is down, once it is.
    async fn until_down(&self) -> String {
        let mut found = String::new();
        self.until(|view| match view.health() {
            Health::Down { reason, .. } => {
                found = reason.to_string();
                true
            }
            _ => false,
        })
        .await;
        found
    }

    fn names(&self) -> Vec<String> {
        let snapshot = self.views.snapshot.borrow();
        snapshot.iter().map(|c| c.name.to_string()).filter(|name| name != "local-cluster").collect()
    }
}

fn local() -> Cluster {
    let backend: Backend = "https://local.example.com".parse().unwrap();
    Cluster {
        name: "local-cluster".parse().unwrap(),
        backends: vec![backend],
        tls: TlsFiles::default(),
        source: Source::Local,
    }
}

fn key(name: &str) -> String {
    key_of(Kind::Cluster, name)
}

fn json(name: &str) -> Bytes {
    let text = format!(
        r#"{{"type":"Cluster","api_version":"federation/v1","metadata":{{"name":"{name}"}},"spec":{{"api_urls":["https://{name}"]}}}}"#
    );
    text.into()
}

async fn put(client: &Client, key: &str, value: &str) -> i64 {
    client.put(PutRequest::new(key, value)).await.unwrap().header.unwrap().revision
}

/// Runs a function of the suite on an etcd of its own.
async fn on_etcd(test: impl AsyncFn(Arc<dyn Store>)) {
    let etcd = Etcd::start().await;
    test(Arc::new(EtcdStore::new(etcd.client(), "/fedgate"))).await;
}

store_suite::suite!(on_etcd);

#[tokio::test]
async fn two_gateways_see_each_others_writes_and_conflicts() {
    let etcd = Etcd::start().await;
    let (one, two) = (Gateway::on(&etcd), Gateway::on(&etcd));
    two.until(|view| view.secret().is_some()).await;
    let begun = Instant::now();
    let version = one.store.put(&key("alpha"), json("alpha"), Precondition::Absent).await.unwrap();
    two.until(|view| view.revision() >= version).await;
    println!("written and seen by the other after {:?}", begun.elapsed());
    one.until(|view| view.revision() >= version).await;
    assert_eq!(two.names(), ["alpha"]);

    let newer = two.store.put(&key("alpha"), json("alpha"), Precondition::Version(version)).await.unwrap();
    let lost = one.store.put(&key("alpha"), json("alpha"), Precondition::Version(version)).await;
    assert!(matches!(lost, Err(StoreError::Conflict)), "{lost:?}");
    let lost = one.store.delete(&key("alpha"), Precondition::Version(version)).await;
    assert!(matches!(lost, Err(StoreError::Conflict)), "{lost:?}");
    let deleted = one.store.delete(&key("alpha"), Precondition::Version(newer)).await.unwrap().unwrap();
    two.until(|view| view.revision() >= deleted).await;
    assert!(two.names().is_empty());
}

#[tokio::test]
async fn gateways_share_one_secret_and_replace_a_lost_one() {
    let etcd = Etcd::start().await;
    let gateways = [Gateway::on(&etcd), Gateway::on(&etcd), Gateway::on(&etcd)];
    let secret = |gateway: &Gateway| gateway.views.registry.borrow().secret().cloned();
    for gateway in &gateways {
        gateway.until(|view| view.secret().is_some()).await;
    }
    let made = secret(&gateways[0]);
    assert!(gateways.iter().all(|gateway| secret(gateway) == made));
    etcd.client().delete_range(DeleteRangeRequest::prefix(b"/fedgate/")).await.unwrap();
    for gateway in &gateways {
        gateway.until(|view| view.secret() != made.as_ref()).await;
        gateway.until(|view| view.secret().is_some()).await;
    }
    assert!(gateways.iter().all(|gateway| secret(gateway) == secret(&gateways[0])));
}

#[tokio::test]
async fn a_killed_etcd_leaves_the_last_view_and_is_followed_again() {
    let mut etcd = Etcd::start().await;
    let (one, two) = (Gateway::on(&etcd), Gateway::on(&etcd));
    one.register("alpha").await;
    two.until(|view| view.get(Kind::Cluster, "alpha").is_some()).await;
    etcd.kill();
    let killed = Instant::now();
    let reason = one.until_down().await;
    println!("{reason}; noticed after {:?}", killed.elapsed());
    assert!(reason.contains("unreachable") && killed.elapsed() < Duration::from_secs(20), "{reason}");
    two.until_down().await;
    let refused = one.store.put(&key("beta"), json("beta"), Precondition::Any).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    assert_eq!(one.names(), ["alpha"]);

    etcd.restart().await;
    // Nothing has changed except that it is followed again.
    one.until_following().await;
    two.until_following().await;
    assert_eq!((one.names(), two.names()), (vec!["alpha".to_owned()], vec!["alpha".to_owned()]));
    let version = two.register("beta").await;
    one.until(|view| view.revision() >= version).await;
    assert_eq!(one.names(), ["alpha", "beta"]);
}

#[tokio::test]
async fn an_etcd_that_hangs_is_down_within_twenty_seconds() {
    let etcd = Etcd::start().await;
    let gateway = Gateway::on(&etcd);
    gateway.register("alpha").await;
    etcd.signal("STOP");
    let stopped = Instant::now();
    let beta = key("beta");
    let write = gateway.store.put(&beta, json("beta"), Precondition::Any);
    let (write, after) = tokio::join!(write, async {
        gateway.until_down().await;
        stopped.elapsed()
    });
    println!("noticed after {after:?}");
    assert!(after < Duration::from_secs(20), "{after:?}");
    // etcd has the request in its socket, and does it later.
    assert!(matches!(write, Err(StoreError::Unknown(_))), "{write:?}");
    etcd.signal("CONT");
    gateway.until_following().await;
    let stored = gateway.store.get(&beta).await.unwrap().is_some();
    gateway.register("gamma").await;
    assert_eq!(gateway.names().len(), 2 + usize::from(stored));
}

#[tokio::test]
async fn what_was_compacted_while_away_is_caught_up_with() {
    let etcd = Etcd::start().await;
    let proxy = Proxy::to(&etcd.endpoint()).await;
    let (near, far) = (Gateway::on(&etcd), Gateway::behind(&proxy));
    near.register("gone").await;
    far.until(|view| view.get(Kind::Cluster, "gone").is_some()).await;
    proxy.unplug();
    far.until_down().await;
    near.store.delete(&key("gone"), Precondition::Any).await.unwrap();
    let version = near.register("new").await;
    etcd.client().compact(version.try_into().unwrap()).await.unwrap();
    assert_eq!(far.names(), ["gone"]);
    proxy.plug_in();
    far.until(|view| view.revision() >= version && *view.health() == Health::Following).await;
    assert_eq!(far.names(), ["new"]);
    near.register("newer").await;
    far.until(|view| view.get(Kind::Cluster, "newer").is_some()).await;
}

#[tokio::test]
async fn a_short_interruption_is_no_failure() {
    let etcd = Etcd::start().await;
    let proxy = Proxy::to(&etcd.endpoint()).await;
    let (near, far) = (Gateway::on(&etcd), Gateway::behind(&proxy));
    far.until_following().await;
    let mut views = far.views.registry.clone();
    proxy.unplug();
    proxy.plug_in();
    let version = near.register("alpha").await;
    let reached = tokio::time::timeout(PATIENCE, async {
        while views.borrow_and_update().revision() < version {
            assert_eq!(*views.borrow().health(), Health::Following);
            views.changed().await.unwrap();
        }
    });
    reached.await.unwrap();
}

#[tokio::test]
async fn a_registry_of_a_newer_schema_is_left_alone() {
    let etcd = Etcd::start().await;
    let client = etcd.client();
    put(&client, "/fedgate/schema", "2\n").await;
    put(&client, "/fedgate/registry/clusters/alpha", "of a later day").await;
    let gateway = Gateway::on(&etcd);
    let reason = gateway.until_down().await;
    assert!(reason.contains("/fedgate/ in etcd has schema 2\\n, which this version cannot read"), "{reason}");
    let store = &gateway.store;
    let results = [
        store.get(&key("alpha")).await.map(drop),
        store.list("clusters/").await.map(drop),
        store.put(&key("alpha"), "x".into(), Precondition::Any).await.map(drop),
        store.put(&key("beta"), "x".into(), Precondition::Absent).await.map(drop),
        store.delete(&key("alpha"), Precondition::Any).await.map(drop),
    ];
    for result in results {
        assert!(matches!(result, Err(StoreError::Schema { .. })), "{result:?}");
    }
    let all = client.range(RangeRequest::prefix(b"/fedgate/")).await.unwrap();
    assert_eq!(all.kvs.len(), 2, "{:?}", all.kvs);
    assert!(gateway.views.registry.borrow().unreadable().is_empty());
}

#[tokio::test]
async fn check_config_knows_a_registry_of_a_newer_schema() {
    let etcd = Etcd::start().await;
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("fedgate.yaml");
    let text = format!(
        "auth: {{ jwt-public-key-files: [/nowhere] }}\nlocal-cluster: {{ api-urls: [\"http://127.0.0.1:1\"] }}\n\
         listen: {{ address: 127.0.0.1:0 }}\nstore: {{ etcd: {{ endpoints: [\"{}\"] }} }}\n",
        etcd.endpoint()
    );
    std::fs::write(&config, text).unwrap();
    let row = || {
        let mut check = std::process::Command::new(env!("CARGO_BIN_EXE_fedgate"));
        let output = check.arg("check-config").arg("--config").arg(&config).env_clear().output().unwrap();
        let table = String::from_utf8(output.stdout).unwrap();
        table.lines().find(|line| line.contains("registry etcd")).unwrap().to_owned()
    };
    let client = etcd.client();
    for schema in [None, Some("1")] {
        if let Some(schema) = schema {
            put(&client, "/fedgate/schema", schema).await;
        }
        let row = row();
        assert!(row.starts_with("works  registry etcd ") && row.ends_with("  ok"), "{row}");
    }
    put(&client, "/fedgate/schema", "2").await;
    let row = row();
    assert!(
        row.starts_with("FAILS  registry etcd ") && row.contains("/fedgate/ in etcd has schema 2"),
        "{row}"
    );
    let all = client.range(RangeRequest::prefix(b"/fedgate/")).await.unwrap();
    assert_eq!(all.kvs.len(), 1, "a check writes nothing");
}

#[tokio::test]
async fn a_schema_that_changes_under_a_running_gateway_stops_it_until_it_is_back() {
    let etcd = Etcd::start().await;
    let client = etcd.client();
    let gateway = Gateway::on(&etcd);
    let version = gateway.register("alpha").await;
    put(&client, "/fedgate/schema", "2").await;
    put(&client, "/fedgate/registry/clusters/alpha", "of a later day").await;
    let reason = gateway.until_down().await;
    assert!(reason.contains("schema 2"), "{reason}");
    let refused = gateway.store.put(&key("alpha"), "x".into(), Precondition::Version(version)).await;
    assert!(matches!(refused, Err(StoreError::Schema { .. })), "{refused:?}");
    assert_eq!(gateway.names(), ["alpha"]);

    let restored = json("alpha");
    put(&client, "/fedgate/registry/clusters/alpha", str::from_utf8(&restored).unwrap()).await;
    put(&client, "/fedgate/schema", "1").await;
    gateway.until_following().await;
    gateway.register("beta").await;
    assert_eq!(gateway.names(), ["alpha", "beta"]);
    // Everything deleted by hand is a new registry.
    client.delete_range(DeleteRangeRequest::prefix(b"/fedgate/")).await.unwrap();
    gateway.until(|view| view.list(Kind::Cluster).next().is_none()).await;
    gateway.register("gamma").await;
    let schema = client.range(RangeRequest::key("/fedgate/schema")).await.unwrap();
    assert_eq!(schema.kvs[0].value, b"1");
}

#[tokio::test]
async fn neighbours_under_a_similar_prefix_are_not_seen() {
    let etcd = Etcd::start().await;
    let client = etcd.client();
    let theirs = [
        "/fedgate2/registry/clusters/a",
        "/fedgate2/schema",
        "/fedgate/registry",
        "/fedgate/registry0",
        "/fedgate/replicators/registry/clusters/a",
        "/fedgate/schema2",
        "/fedgate/schem",
        "/fedgate/zeta",
        "/fedgate",
        "registry/clusters/a",
    ];
    for key in theirs {
        put(&client, key, "9").await;
    }
    let store = EtcdStore::new(client.clone(), "/fedgate");
    let mut events = store.watch();
    let Event::Reset { entries, .. } = next(&mut events).await else { panic!() };
    assert!(entries.is_empty(), "{entries:?}");
    assert!(store.list("").await.unwrap().is_empty());
    for key in theirs {
        put(&client, key, "9").await;
        client.delete_range(DeleteRangeRequest::key(key)).await.unwrap();
    }
    let version = store.put("clusters/mine", "x".into(), Precondition::Absent).await.unwrap();
    let Event::Put(entry) = next(&mut events).await else { panic!() };
    assert_eq!((&*entry.key, entry.version), ("clusters/mine", version));
    let other = EtcdStore::new(client, "/fedgate2/");
    assert!(other.list("").await.unwrap().is_empty());
}

#[tokio::test]
async fn a_large_registry_comes_in_pages() {
    let etcd = Etcd::start().await;
    let client = etcd.client();
    let keys: Vec<_> = (0..1201).map(|n| format!("clusters/{n:05}")).collect();
    for some in keys.chunks(100) {
        let puts = some.iter().map(|key| PutRequest::new(format!("/fedgate/registry/{key}"), "x"));
        let request = TxnRequest {
            compare: vec![Compare::absent("/fedgate/schema")],
            success: puts.map(|put| Op::Put(put).into()).collect(),
            failure: Vec::new(),
        };
        assert!(client.txn(request).await.unwrap().succeeded);
    }
    let store = EtcdStore::new(client, "/fedgate/");
    let listed = store.list("clusters/").await.unwrap();
    assert!(listed.iter().map(|entry| &*entry.key).eq(&keys));
    let Event::Reset { entries, .. } = next(&mut store.watch()).await else { panic!() };
    assert_eq!(entries, listed);
}
