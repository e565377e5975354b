//! Which rights suffice where etcd's access control is on, and what is said when one of them lacks.

use std::sync::Arc;

use fedgate::{
    corev2::Type,
    etcd::Client,
    leadership::{Alone, Election, Leadership},
    registry::{EtcdStore, MemoryStore, Precondition, Store},
};

use crate::support::{
    becomes, delete, eventually,
    federation::BINDINGS,
    gateway::{Gateway, replicate, unregister},
    get,
    guarded::Guarded,
    objects::{cluster_role_binding, object},
    put,
};

/// A right, and where.
type Grant = (&'static str, &'static str);

/// An etcd where the gateway has these rights.
async fn guarded(name: &str, granted: &[Grant]) -> Guarded {
    let etcd = Guarded::cluster(name).await;
    for (right, prefix) in granted {
        etcd.grant(right, prefix);
    }
    etcd
}

async fn replicate_both(store: &dyn Store, to: &Guarded) {
    replicate(store, "bindings", Type::ClusterRoleBinding, &to.etcd).await;
    replicate(store, "checks", Type::CheckConfig, &to.etcd).await;
}

#[test]
fn the_documentation_has_these_rights() {
    let sites = [("source", &SOURCE[..]), ("destination", &CHECKS[..]), ("store", &STORE[..])];
    for (site, (right, prefix)) in
        sites.iter().flat_map(|(site, grants)| grants.iter().map(move |it| (site, it)))
    {
        let row = format!("| {site} | {right} | `{prefix}` |");
        assert!(DOCUMENTATION.contains(&row), "{row}");
    }
    for kind in Type::ALL {
        let prefix = kind.prefix();
        let below = prefix.strip_prefix("/sensu.io/").unwrap();
        let named = if below.starts_with("rbac/") { "`/sensu.io/rbac/`" } else { &format!("`{below}`") };
        assert!(DOCUMENTATION.contains(named), "{prefix}");
    }
}

#[tokio::test]
async fn the_least_rights_of_the_documentation_suffice() {
    let (source, alpha, beta, shared) = tokio::join!(
        guarded("local", &SOURCE),
        guarded("alpha", &DESTINATION),
        guarded("beta", &CHECKS),
        guarded("store", &STORE)
    );
    let client = shared.etcd.client();
    let store = || Arc::new(EtcdStore::new(Arc::clone(&client), "/fedgate/"));
    replicate_both(&*store(), &alpha).await;
    replicate(&*store(), "only-checks", Type::CheckConfig, &beta.etcd).await;
    let start = |name| {
        let election = Election::new(Arc::clone(&client), "/fedgate/", name, Election::TTL);
        Gateway::start(source.etcd.config(), store(), election)
    };
    let one = start("one");
    let (binding, check) = (binding(1), check(1));
    for (key, value) in [&binding, &check] {
        put(&source.root, key, value).await;
        becomes(&alpha.root, key, Some(value)).await;
    }
    becomes(&beta.root, &check.0, Some(&check.1)).await;
    for name in NAMES {
        one.follows(name).await;
    }
    // Another gateway learns the status from the store, and takes over.
    let two = start("two");
    two.until("checks", "is known", |status| status.keys > 0).await;
    one.stop().await;
    two.until("checks", "leads", |status| status.leader).await;
    for (key, _) in [&binding, &check] {
        delete(&source.root, key).await;
        becomes(&alpha.root, key, None).await;
    }
    becomes(&beta.root, &check.0, None).await;
    for name in NAMES {
        unregister(&*store(), name).await;
        eventually("it is gone", async || two.status(name).is_none()).await;
    }
}

#[tokio::test]
async fn one_right_less_is_named_and_is_no_outage() {
    let (source, dest) = tokio::join!(guarded("local", &SOURCE), guarded("alpha", &DESTINATION));
    let store = MemoryStore::new();
    replicate_both(&store, &dest).await;
    for (n, (site, (right, prefix), instead, replicator, said)) in [
        (&source, SOURCE[0], None, "bindings", "read /sensu.io/rbac/"),
        (&source, SOURCE[1], None, "checks", "read /sensu.io/checks/"),
        (&dest, DESTINATION[0], None, "bindings", "read /sensu.io/rbac/"),
        (&dest, DESTINATION[0], Some("read"), "bindings", "write /sensu.io/rbac/clusterrolebindings/"),
        (&dest, DESTINATION[1], None, "checks", "read /sensu.io/checks/"),
        (&dest, DESTINATION[1], Some("read"), "checks", "write /sensu.io/checks/"),
        (&dest, DESTINATION[2], None, "bindings", "read /fedgate/replication/"),
        (&dest, DESTINATION[2], Some("read"), "bindings", "write /fedgate/replication/"),
    ]
    .into_iter()
    .enumerate()
    {
        site.revoke(prefix);
        if let Some(instead) = instead {
            site.grant(instead, prefix);
        }
        for (key, value) in [binding(n), check(n)] {
            put(&source.root, &key, &value).await;
        }
        let gateway =
            Gateway::start(source.etcd.config(), Arc::new(store.clone()), Alone::new("test", "here"));
        gateway.says(replicator, "refuses access").await;
        gateway.says(replicator, said).await;
        let error = gateway.status(replicator).unwrap().error.unwrap();
        assert!(!error.contains("does not answer"), "{error}");
        // Granted, it goes on without a restart.
        site.grant(right, prefix);
        for (key, value) in [binding(n), check(n)] {
            becomes(&dest.root, &key, Some(&value)).await;
        }
    }
}

#[tokio::test]
async fn the_rights_that_the_store_lacks_are_named() {
    let shared = guarded("store", &[("read", "/fedgate/registry/")]).await;
    let client: Arc<Client> = shared.etcd.client();
    let store = EtcdStore::new(Arc::clone(&client), "/fedgate/");
    let error = store.get("clusters/alpha").await.unwrap_err().to_string();
    assert!(error.contains("refuses access") && error.contains("read /fedgate/schema"), "{error}");
    shared.grant("read", "/fedgate/");
    assert!(store.get("clusters/alpha").await.unwrap().is_none());
    let error = store.put("clusters/alpha", "{}".into(), Precondition::Any).await.unwrap_err().to_string();
    assert!(error.contains("write /fedgate/registry/clusters/alpha"), "{error}");
    let election = Election::new(Arc::clone(&client), "/fedgate/", "one", Election::TTL);
    let mut terms = election.terms();
    tokio::select! {
        () = election.run() => unreachable!("it never ends"),
        () = async {
            shared.grant(STORE[0].0, STORE[0].1);
            terms.wait_for(Option::is_some).await.unwrap();
        } => {}
    }
    assert!(get(&shared.root, "/fedgate/replication/leader").await.is_some());
}

fn binding(n: usize) -> (String, Vec<u8>) {
    let name = format!("b{n}");
    (format!("{BINDINGS}{name}"), cluster_role_binding(&name, "view", "g"))
}

fn check(n: usize) -> (String, Vec<u8>) {
    let name = format!("c{n}");
    (Type::CheckConfig.key(Some("default"), &name), object(Type::CheckConfig, "default", &name))
}

const NAMES: [&str; 3] = ["bindings", "checks", "only-checks"];

const DOCUMENTATION: &str = include_str!("../../docs/operations.md");

/// The rights of docs/operations.md, for replicators of cluster role bindings and of checks.
const SOURCE: [Grant; 3] =
    [("read", "/sensu.io/rbac/"), ("read", "/sensu.io/checks/"), ("read", "/fedgate/replication/")];

const DESTINATION: [Grant; 3] = [
    ("readwrite", "/sensu.io/rbac/"),
    ("readwrite", "/sensu.io/checks/"),
    ("readwrite", "/fedgate/replication/"),
];

/// The same for checks alone.
const CHECKS: [Grant; 3] = [("read", "/sensu.io/rbac/"), DESTINATION[1], DESTINATION[2]];

const STORE: [Grant; 1] = [("readwrite", "/fedgate/")];
