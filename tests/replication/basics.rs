//! What is copied, what is not, and what stays.

use std::time::Duration;

use fedgate::{
    corev2::Type,
    registry::{MemoryStore, Store as _},
    telemetry::Metrics,
};

use crate::support::{
    CALLS, WATCHES, becomes, delete, dump, eventually,
    federation::{BINDINGS, Federation, cluster},
    gateway::{Gateway, definition, register, replicate, replicate_in, unregister},
    get, metric,
    objects::{cluster_role, cluster_role_binding, object, role, role_binding},
    put, revision,
};

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
    let mut federation = Federation::builder();
    for kind in Type::ALL {
        federation = if kind.is_namespaced() {
            federation.replicate_in(kind.name(), kind, "dev")
        } else {
            federation.replicate(kind.name(), kind)
        };
        for namespace in ["dev", "dev2"] {
            let namespace = kind.is_namespaced().then_some(namespace);
            let value = object(kind, namespace.unwrap_or_default(), "x");
            federation = federation.at_source(&kind.key(namespace, "x"), &value);
        }
    }
    let f = federation.start().await;
    for kind in Type::ALL {
        let namespace = kind.is_namespaced().then_some("dev");
        let value = object(kind, namespace.unwrap_or_default(), "x");
        becomes(&f.a, &kind.key(namespace, "x"), Some(&value)).await;
        f.gateway.follows(kind.name()).await;
        if kind.is_namespaced() {
            assert_eq!(get(&f.a, &kind.key(Some("dev2"), "x")).await, None);
        }
    }
    for kind in Type::ALL {
        unregister(&f.store, kind.name()).await;
    }
    for kind in Type::ALL {
        becomes(&f.a, &kind.key(kind.is_namespaced().then_some("dev"), "x"), None).await;
    }
}

#[tokio::test]
async fn what_is_the_followers_own_stays_and_what_is_ours_is_put_back() {
    let (ours, equal, own) =
        (format!("{BINDINGS}ours"), format!("{BINDINGS}equal"), format!("{BINDINGS}own"));
    let value = |name| cluster_role_binding(name, "view", "ops");
    let federation = Federation::builder()
        .at_source(&ours, &value("ours"))
        .at_source(&equal, &value("equal"))
        .at_follower(&ours, &cluster_role_binding("ours", "edit", "others"))
        .at_follower(&equal, &value("equal"))
        .at_follower(&own, &value("own"));
    let f = federation.start().await;
    let before = dump(&f.a, "/sensu.io/").await;
    replicate(&f.store, "r", Type::ClusterRoleBinding, &f.alpha).await;
    f.gateway.until("r", "owns both", |status| status.keys == 2).await;
    becomes(&f.a, &ours, Some(&value("ours"))).await;
    // Seeded bindings differ in bytes from cluster to cluster; they and the others have not been touched.
    let after = dump(&f.a, "/sensu.io/").await;
    for (key, value) in before.iter().filter(|(key, _)| **key != ours) {
        assert_eq!(after.get(key), Some(value), "{key}");
    }
    // An edit and a deletion on the follower.
    put(&f.a, &ours, &cluster_role_binding("ours", "admin", "intruders")).await;
    becomes(&f.a, &ours, Some(&value("ours"))).await;
    delete(&f.a, &equal).await;
    becomes(&f.a, &equal, Some(&value("equal"))).await;
    // What was found equal is revoked too; the follower's own stays to the end.
    delete(&f.local, &equal).await;
    becomes(&f.a, &equal, None).await;
    unregister(&f.store, "r").await;
    becomes(&f.a, &ours, None).await;
    assert_eq!(get(&f.a, &own).await, Some(value("own")));
    let end = dump(&f.a, "/sensu.io/").await;
    for (key, value) in before.iter().filter(|(key, _)| **key != ours && **key != equal) {
        assert_eq!(end.get(key), Some(value), "{key}");
    }
    eventually("the destination is forgotten", async || {
        f.store.list("replication/destinations/").await.unwrap().is_empty()
    })
    .await;
    assert_eq!(dump(&f.a, "/fedgate/replication/owned/").await.len(), 0);
}

#[tokio::test]
async fn a_restart_a_resync_and_idle_time_write_nothing() {
    let kinds = [Type::ClusterRoleBinding, Type::Role, Type::RoleBinding, Type::ClusterRole, Type::User];
    let mut federation = Federation::builder()
        .at_source(&Type::Role.key(Some("dev"), "r"), &role("dev", "r", &["get"]))
        .at_source(&Type::RoleBinding.key(Some("dev"), "r"), &role_binding("dev", "r", "r", "g"));
    for n in 0..200 {
        let name = format!("b{n:03}");
        let value = cluster_role_binding(&name, "view", "ops");
        federation = federation.at_source(&format!("{BINDINGS}{name}"), &value);
    }
    for kind in kinds {
        federation = federation.replicate(kind.name(), kind);
    }
    let mut f = federation.start().await;
    f.gateway.until("ClusterRoleBinding", "owns all", |status| status.keys == 200).await;
    for kind in kinds {
        f.gateway.follows(kind.name()).await;
    }
    let first = revision(&f.a).await;
    assert_eq!(dump(&f.a, BINDINGS).await.len(), 203);
    // A kill, a good end, and an etcd that comes back.
    drop(f.gateway);
    f.gateway = Gateway::alone(&f.source, &f.store);
    f.gateway.until("ClusterRoleBinding", "owns all", |status| status.keys == 200).await;
    f.gateway.follows("RoleBinding").await;
    f.gateway.stop().await;
    f.gateway = Gateway::alone(&f.source, &f.store);
    f.gateway.follows("ClusterRoleBinding").await;
    f.gateway.compares_twice("ClusterRoleBinding").await;
    assert_eq!(revision(&f.a).await, first, "the follower's revision moved");
    // The same content under new revisions is no change either.
    let key = format!("{BINDINGS}b000");
    put(&f.local, &key, &cluster_role_binding("b000", "view", "ops")).await;
    put(&f.local, &format!("{BINDINGS}last"), &cluster_role_binding("last", "view", "ops")).await;
    becomes(&f.a, &format!("{BINDINGS}last"), Some(&cluster_role_binding("last", "view", "ops"))).await;
    assert_eq!(revision(&f.a).await, first + 1);
    f.gateway.stop().await;
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
    let good = format!("{BINDINGS}good");
    let value = cluster_role_binding("good", "view", "ops");
    let mut bindings = Federation::of_bindings().at_source(&good, &value);
    let bad = [
        (format!("{BINDINGS}garbage"), b"\xff\xff".to_vec()),
        (format!("{BINDINGS}empty"), vec![]),
        (format!("{BINDINGS}other"), value.clone()),
        (format!("{BINDINGS}nested/good"), value.clone()),
    ];
    for (key, value) in &bad {
        bindings = bindings.at_source(key, value);
    }
    let f = bindings.start().await;
    f.gateway.says("r", "4 objects are not copied").await;
    becomes(&f.a, &good, Some(&value)).await;
    for (key, _) in &bad {
        assert_eq!(get(&f.a, key).await, None, "{key}");
    }
    // The last good version stays until the source has a good one again, or none.
    put(&f.local, &good, b"\xff").await;
    f.gateway.says("r", "5 objects are not copied").await;
    assert_eq!(get(&f.a, &good).await, Some(value));
    delete(&f.local, &good).await;
    becomes(&f.a, &good, None).await;
    for (key, _) in &bad {
        delete(&f.local, key).await;
    }
    f.gateway.until("r", "has no error", |status| status.error.is_none()).await;
}

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
    gateway.compares_twice("r0").await;
    gateway.compares_twice("r1").await;
    assert_eq!(calls().await, before, "an idle replicator asks something");
}

#[tokio::test]
async fn any_endpoint_of_the_list_will_do() {
    let f = Federation::builder().start().await;
    let url = format!("http://127.0.0.1:1, {}", f.alpha.endpoint());
    register(&f.store, &definition("r", Type::ClusterRoleBinding, &url, &f.alpha.config().tls)).await;
    let value = cluster_role_binding("b", "view", "g");
    put(&f.local, &format!("{BINDINGS}b"), &value).await;
    becomes(&f.a, &format!("{BINDINGS}b"), Some(&value)).await;
    f.gateway.follows("r").await;
    let metrics = Metrics::new(|registry| f.gateway.handle.metrics.register(registry)).render();
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
