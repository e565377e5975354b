//! What is copied, what is not, and what stays.

use std::{sync::Arc, time::Duration};

use fedgate::{
    corev2::Type,
    etcd::Client,
    registry::{MemoryStore, Store as _},
    telemetry::Metrics,
};

use crate::{
    etcd_server::Etcd,
    support::{
        becomes, delete, dump, eventually,
        gateway::{Gateway, definition, register, replicate, replicate_in, unregister},
        get,
        objects::{cluster_role, cluster_role_binding, object, role, role_binding, seed},
        put, revision,
    },
};

pub(crate) const BINDINGS: &str = "/sensu.io/rbac/clusterrolebindings/";

/// An etcd with what every Sensu cluster has.
pub(crate) async fn cluster(name: &str) -> (Etcd, Arc<Client>) {
    let etcd = Etcd::start().await;
    let client = etcd.client();
    seed(&client, name).await;
    (etcd, client)
}

#[tokio::test]
async fn a_binding_is_in_both_followers_within_a_second_and_gone_within_a_second() {
    let ((source, local), (alpha, a), (beta, b)) =
        tokio::join!(cluster("local"), cluster("alpha"), cluster("beta"));
    let store = MemoryStore::new();
    replicate(&store, "to-alpha", Type::ClusterRoleBinding, &alpha).await;
    replicate(&store, "to-beta", Type::ClusterRoleBinding, &beta).await;
    let gateway = Gateway::alone(&source, &store);
    gateway.follows("to-alpha").await;
    gateway.follows("to-beta").await;
    let key = format!("{BINDINGS}ops");
    let value = cluster_role_binding("ops", "view", "ops");
    put(&local, &key, &value).await;
    for follower in [&a, &b] {
        assert!(becomes(follower, &key, Some(&value)).await < Duration::from_secs(1));
    }
    gateway.until("to-alpha", "owns a key", |status| status.keys == 1).await;
    delete(&local, &key).await;
    for follower in [&a, &b] {
        assert!(becomes(follower, &key, None).await < Duration::from_secs(1));
    }
    gateway.until("to-alpha", "owns nothing", |status| status.keys == 0).await;
    gateway.stop().await;
}

#[tokio::test]
async fn every_type_is_copied_and_a_namespace_catches_no_neighbour() {
    let ((source, local), (alpha, a)) = tokio::join!(cluster("local"), cluster("alpha"));
    let store = MemoryStore::new();
    for kind in Type::ALL {
        if kind.is_namespaced() {
            replicate_in(&store, kind.name(), kind, "dev", &alpha).await;
        } else {
            replicate(&store, kind.name(), kind, &alpha).await;
        }
        for namespace in ["dev", "dev2"] {
            let namespace = kind.is_namespaced().then_some(namespace);
            let value = object(kind, namespace.unwrap_or_default(), "x");
            put(&local, &kind.key(namespace, "x"), &value).await;
        }
    }
    let gateway = Gateway::alone(&source, &store);
    for kind in Type::ALL {
        let namespace = kind.is_namespaced().then_some("dev");
        let value = object(kind, namespace.unwrap_or_default(), "x");
        becomes(&a, &kind.key(namespace, "x"), Some(&value)).await;
        gateway.follows(kind.name()).await;
        if kind.is_namespaced() {
            assert_eq!(get(&a, &kind.key(Some("dev2"), "x")).await, None);
        }
    }
    for kind in Type::ALL {
        unregister(&store, kind.name()).await;
    }
    for kind in Type::ALL {
        becomes(&a, &kind.key(kind.is_namespaced().then_some("dev"), "x"), None).await;
    }
}

#[tokio::test]
async fn what_is_the_followers_own_stays_and_what_is_ours_is_put_back() {
    let ((source, local), (alpha, a)) = tokio::join!(cluster("local"), cluster("alpha"));
    let store = MemoryStore::new();
    let (ours, equal, own) =
        (format!("{BINDINGS}ours"), format!("{BINDINGS}equal"), format!("{BINDINGS}own"));
    let value = |name| cluster_role_binding(name, "view", "ops");
    put(&local, &ours, &value("ours")).await;
    put(&local, &equal, &value("equal")).await;
    put(&a, &ours, &cluster_role_binding("ours", "edit", "others")).await;
    put(&a, &equal, &value("equal")).await;
    put(&a, &own, &value("own")).await;
    let before = dump(&a, "/sensu.io/").await;
    replicate(&store, "r", Type::ClusterRoleBinding, &alpha).await;
    let gateway = Gateway::alone(&source, &store);
    gateway.until("r", "owns both", |status| status.keys == 2).await;
    becomes(&a, &ours, Some(&value("ours"))).await;
    // Seeded bindings differ in bytes from cluster to cluster; they and the others have not been touched.
    let after = dump(&a, "/sensu.io/").await;
    for (key, value) in before.iter().filter(|(key, _)| **key != ours) {
        assert_eq!(after.get(key), Some(value), "{key}");
    }
    // An edit and a deletion on the follower.
    put(&a, &ours, &cluster_role_binding("ours", "admin", "intruders")).await;
    becomes(&a, &ours, Some(&value("ours"))).await;
    delete(&a, &equal).await;
    becomes(&a, &equal, Some(&value("equal"))).await;
    // What was found equal is revoked too; the follower's own stays to the end.
    delete(&local, &equal).await;
    becomes(&a, &equal, None).await;
    unregister(&store, "r").await;
    becomes(&a, &ours, None).await;
    assert_eq!(get(&a, &own).await, Some(value("own")));
    let end = dump(&a, "/sensu.io/").await;
    for (key, value) in before.iter().filter(|(key, _)| **key != ours && **key != equal) {
        assert_eq!(end.get(key), Some(value), "{key}");
    }
    eventually("the destination is forgotten", async || {
        store.list("replication/destinations/").await.unwrap().is_empty()
    })
    .await;
    assert_eq!(dump(&a, "/fedgate/replication/owned/").await.len(), 0);
}

#[tokio::test]
async fn a_restart_a_resync_and_idle_time_write_nothing() {
    let ((source, local), (alpha, a)) = tokio::join!(cluster("local"), cluster("alpha"));
    let store = MemoryStore::new();
    for n in 0..200 {
        let name = format!("b{n:03}");
        put(&local, &format!("{BINDINGS}{name}"), &cluster_role_binding(&name, "view", "ops")).await;
    }
    put(&local, &Type::Role.key(Some("dev"), "r"), &role("dev", "r", &["get"])).await;
    put(&local, &Type::RoleBinding.key(Some("dev"), "r"), &role_binding("dev", "r", "r", "g")).await;
    for kind in [Type::ClusterRoleBinding, Type::Role, Type::RoleBinding, Type::ClusterRole, Type::User] {
        replicate(&store, kind.name(), kind, &alpha).await;
    }
    let gateway = Gateway::alone(&source, &store);
    gateway.until("ClusterRoleBinding", "owns all", |status| status.keys == 200).await;
    for kind in [Type::ClusterRoleBinding, Type::Role, Type::RoleBinding, Type::ClusterRole, Type::User] {
        gateway.follows(kind.name()).await;
    }
    let first = revision(&a).await;
    assert_eq!(dump(&a, BINDINGS).await.len(), 203);
    // A kill, a good end, and an etcd that comes back.
    drop(gateway);
    let gateway = Gateway::alone(&source, &store);
    gateway.until("ClusterRoleBinding", "owns all", |status| status.keys == 200).await;
    gateway.follows("RoleBinding").await;
    gateway.stop().await;
    let gateway = Gateway::alone(&source, &store);
    gateway.follows("ClusterRoleBinding").await;
    tokio::time::sleep(Duration::from_secs(7)).await;
    assert_eq!(revision(&a).await, first, "the follower's revision moved");
    // The same content under new revisions is no change either.
    let key = format!("{BINDINGS}b000");
    put(&local, &key, &cluster_role_binding("b000", "view", "ops")).await;
    put(&local, &format!("{BINDINGS}last"), &cluster_role_binding("last", "view", "ops")).await;
    becomes(&a, &format!("{BINDINGS}last"), Some(&cluster_role_binding("last", "view", "ops"))).await;
    assert_eq!(revision(&a).await, first + 1);
    gateway.stop().await;
}

#[tokio::test]
async fn no_follower_can_be_locked_out() {
    let ((source, local), (alpha, a)) = tokio::join!(cluster("local"), cluster("alpha"));
    let store = MemoryStore::new();
    // The source's seeds are other ones, and some are gone.
    for name in ["cluster-admin", "system:user", "view"] {
        put(&local, &Type::ClusterRole.key(None, name), &cluster_role(name, &["get"])).await;
    }
    delete(&local, &Type::ClusterRole.key(None, "system:agent")).await;
    delete(&local, &format!("{BINDINGS}system:agent")).await;
    let before = dump(&a, "/sensu.io/").await;
    let kinds = [
        Type::ClusterRole,
        Type::ClusterRoleBinding,
        Type::Role,
        Type::RoleBinding,
        Type::User,
        Type::Namespace,
    ];
    for kind in kinds {
        replicate(&store, kind.name(), kind, &alpha).await;
    }
    let gateway = Gateway::alone(&source, &store);
    let view = Type::ClusterRole.key(None, "view");
    becomes(&a, &view, Some(&cluster_role("view", &["get"]))).await;
    for kind in kinds {
        gateway.follows(kind.name()).await;
    }
    // A binding of administrators to a role that only the source has had.
    let trap = format!("{BINDINGS}a-trap");
    put(&local, &trap, &cluster_role_binding("a-trap", "nowhere", "cluster-admins")).await;
    gateway.says("ClusterRoleBinding", "a-trap").await;
    assert_eq!(get(&a, &trap).await, None);
    put(&local, &Type::ClusterRole.key(None, "nowhere"), &cluster_role("nowhere", &["get"])).await;
    becomes(&a, &trap, Some(&cluster_role_binding("a-trap", "nowhere", "cluster-admins"))).await;
    delete(&local, &Type::ClusterRole.key(None, "nowhere")).await;
    becomes(&a, &Type::ClusterRole.key(None, "nowhere"), None).await;
    assert_eq!(get(&a, &trap).await, None);
    // The source loses its seeds, and the replicators go.
    delete(&local, &view).await;
    delete(&local, &Type::User.key(None, "admin")).await;
    put(&local, &format!("{BINDINGS}mark"), &cluster_role_binding("mark", "edit", "x")).await;
    becomes(&a, &format!("{BINDINGS}mark"), Some(&cluster_role_binding("mark", "edit", "x"))).await;
    for kind in kinds {
        unregister(&store, kind.name()).await;
    }
    becomes(&a, &format!("{BINDINGS}mark"), None).await;
    eventually("all records are gone", async || dump(&a, "/fedgate/replication/owned/").await.is_empty())
        .await;
    let after = dump(&a, "/sensu.io/").await;
    assert!(before.keys().eq(after.keys()), "{:?} {:?}", before.keys(), after.keys());
    let updated = ["admin", "edit", "view"].map(|name| Type::ClusterRole.key(None, name));
    for (key, value) in before.iter().filter(|(key, _)| !updated.contains(key)) {
        assert_eq!(after.get(key), Some(value), "{key}");
    }
}

#[tokio::test]
async fn a_value_that_would_break_a_backend_is_reported_and_never_copied() {
    let ((source, local), (alpha, a)) = tokio::join!(cluster("local"), cluster("alpha"));
    let store = MemoryStore::new();
    replicate(&store, "r", Type::ClusterRoleBinding, &alpha).await;
    let good = format!("{BINDINGS}good");
    let value = cluster_role_binding("good", "view", "ops");
    put(&local, &good, &value).await;
    let bad = [
        (format!("{BINDINGS}garbage"), b"\xff\xff".to_vec()),
        (format!("{BINDINGS}empty"), vec![]),
        (format!("{BINDINGS}other"), value.clone()),
        (format!("{BINDINGS}nested/good"), value.clone()),
    ];
    for (key, value) in &bad {
        put(&local, key, value).await;
    }
    let gateway = Gateway::alone(&source, &store);
    gateway.says("r", "4 objects are not copied").await;
    becomes(&a, &good, Some(&value)).await;
    for (key, _) in &bad {
        assert_eq!(get(&a, key).await, None, "{key}");
    }
    // The last good version stays until somebody says what shall be.
    put(&local, &good, b"\xff").await;
    gateway.says("r", "5 objects are not copied").await;
    assert_eq!(get(&a, &good).await, Some(value));
    delete(&local, &good).await;
    becomes(&a, &good, None).await;
    for (key, _) in &bad {
        delete(&local, key).await;
    }
    gateway.until("r", "has no error", |status| status.error.is_none()).await;
}

/// A number of etcd's own metrics, all labels summed.
async fn metric(etcd: &Etcd, name: &str) -> u64 {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let endpoint = etcd.endpoint();
    let mut stream = tokio::net::TcpStream::connect((endpoint.host.as_str(), endpoint.port)).await.unwrap();
    stream.write_all(b"GET /metrics HTTP/1.0\r\nhost: a\r\n\r\n").await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    let lines = text.lines().filter(|line| line.starts_with(name));
    let values = lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap());
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counters are whole numbers")]
    let sum = values.sum::<f64>() as u64;
    sum
}

const WATCHES: &str = "etcd_debugging_mvcc_watcher_total";
const CALLS: &str = "grpc_server_started_total";

#[tokio::test]
async fn fifty_replicators_share_a_watch_of_the_source_and_ask_nothing_when_idle() {
    let ((source, local), (alpha, a), (beta, b)) =
        tokio::join!(cluster("local"), cluster("alpha"), cluster("beta"));
    let store = MemoryStore::new();
    for n in 0..50 {
        let to = if n % 2 == 0 { &alpha } else { &beta };
        let kind = [Type::Role, Type::RoleBinding][n / 2 % 2];
        replicate_in(&store, &format!("r{n}"), kind, &format!("ns{}", n / 4), to).await;
    }
    let gateway = Gateway::alone(&source, &store);
    for n in 0..50 {
        gateway.follows(&format!("r{n}")).await;
    }
    for (follower, n) in [(&a, 0), (&b, 1)] {
        let key = Type::Role.key(Some("ns0"), "x");
        put(&local, &key, &role("ns0", "x", &["get"])).await;
        becomes(follower, &key, Some(&role("ns0", "x", &["get"]))).await;
        gateway.until(&format!("r{n}"), "owns it", |status| status.keys == 1).await;
    }
    assert_eq!(metric(&source, WATCHES).await, 1);
    // The follower's records are watched too.
    assert_eq!(metric(&alpha, WATCHES).await, 2);
    let calls =
        async || [metric(&source, CALLS).await, metric(&alpha, CALLS).await, metric(&beta, CALLS).await];
    let before = calls().await;
    tokio::time::sleep(Duration::from_secs(7)).await;
    assert_eq!(calls().await, before, "an idle replicator asks something");
}

#[tokio::test]
async fn any_endpoint_of_the_list_will_do() {
    let ((source, local), (alpha, a)) = tokio::join!(cluster("local"), cluster("alpha"));
    let store = MemoryStore::new();
    let url = format!("http://127.0.0.1:1, {}", alpha.endpoint());
    let definition = definition("r", Type::ClusterRoleBinding, &url, &alpha.config().tls);
    register(&store, &definition).await;
    let gateway = Gateway::alone(&source, &store);
    let value = cluster_role_binding("b", "view", "g");
    put(&local, &format!("{BINDINGS}b"), &value).await;
    becomes(&a, &format!("{BINDINGS}b"), Some(&value)).await;
    gateway.follows("r").await;
    let metrics = Metrics::new(|registry| gateway.handle.metrics.register(registry)).render();
    for line in [
        "fedgate_replication_keys{replicator=\"r\"} 1",
        "fedgate_replication_lag_seconds{replicator=\"r\"} 0",
        "fedgate_replication_writes_total{replicator=\"r\"} 1",
        "fedgate_replication_errors_total{replicator=\"r\"} 0",
        "fedgate_replication_last_success_timestamp_seconds{replicator=\"r\"} 1",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
}
