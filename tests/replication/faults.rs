//! What breaks, and what is said about it.

use std::{sync::Arc, time::Duration};

use fedgate::{
    corev2::Type,
    registry::MemoryStore,
    telemetry::Metrics,
    types::{ReplicatorState, TlsFiles},
};
use tempfile::TempDir;

use crate::{
    etcd_server::Etcd,
    secure_etcd::{ca, issue, secure_etcd},
    support::{
        becomes, delete, eventually,
        federation::{BINDINGS, Federation, cluster},
        gateway::{Gateway, definition, register, replicate},
        objects::{cluster_role_binding, object, seed},
        proxy::Link,
        put, revision,
    },
};

fn numbered(n: usize) -> (String, Vec<u8>) {
    let name = format!("b{n}");
    (format!("{BINDINGS}{name}"), cluster_role_binding(&name, "view", "g"))
}

#[tokio::test]
async fn certificates_are_used_when_replaced_and_refused_ones_are_shown() {
    let (dirs, theirs) = ([TempDir::new().unwrap(), TempDir::new().unwrap()], ca());
    let ours = ca();
    let (source, mut alpha) =
        tokio::join!(secure_etcd(&ours, dirs[0].path()), secure_etcd(&ours, dirs[1].path()));
    let (local, a) = (source.client(), alpha.client());
    seed(&local, "local").await;
    seed(&a, "alpha").await;
    let store = MemoryStore::new();
    replicate(&store, "r", Type::ClusterRoleBinding, &alpha).await;
    let gateway = Gateway::alone(&source, &store);
    let (key, value) = numbered(1);
    put(&local, &key, &value).await;
    becomes(&a, &key, Some(&value)).await;
    // A rotation to a certificate that is not taken; it shows with the next connection.
    issue(&theirs, dirs[1].path(), "client");
    alpha.kill();
    gateway.says("r", "not being watched").await;
    // Not waited for: the test's own client uses that certificate too.
    alpha.start_again();
    assert!(gateway.says("r", "TLS").await < Duration::from_secs(20));
    let (second, value) = numbered(2);
    put(&local, &second, &value).await;
    issue(&ours, dirs[1].path(), "client");
    becomes(&a, &second, Some(&value)).await;
    gateway.follows("r").await;
    drop(alpha);
}

#[tokio::test]
async fn a_wrong_definition_is_shown_within_ten_seconds() {
    let (source, _local) = cluster("local").await;
    let alpha = Etcd::start().await;
    let store = MemoryStore::new();
    let none = TlsFiles::default();
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    // Something that speaks HTTP/1.1, as Sensu's API does.
    let http = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let http_url = format!("http://{}", http.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = http.accept().await {
            let _ = tokio::io::AsyncWriteExt::write_all(
                &mut stream,
                b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n",
            )
            .await;
        }
    });
    let missing = TlsFiles { trusted_ca_file: Some("/nonexistent/ca.pem".into()), ..none.clone() };
    let cases = [
        ("closed", closed, &none, "unreachable"),
        ("silent", format!("http://{}", silent.local_addr().unwrap()), &none, "did not answer in time"),
        ("api", http_url, &none, "client port (2379"),
        ("scheme", alpha.endpoint().to_string().replace("http:", "https:"), &none, "TLS"),
        ("file", alpha.endpoint().to_string().replace("http:", "https:"), &missing, "/nonexistent/ca.pem"),
        ("name", "http://nowhere.invalid:2379".to_owned(), &none, "unreachable"),
    ];
    for (name, url, tls, _) in &cases {
        register(&store, &definition(name, Type::ClusterRole, url, tls)).await;
    }
    let gateway = Gateway::alone(&source, &store);
    for (name, _, _, text) in &cases {
        assert!(gateway.says(name, text).await < Duration::from_secs(10), "{name}");
        assert_eq!(gateway.status(name).unwrap().state, ReplicatorState::Retrying);
    }
}

#[tokio::test]
async fn a_source_that_is_away_or_empty_deletes_nothing() {
    let (key, value) = numbered(1);
    let mut f = Federation::of_bindings().at_source(&key, &value).start().await;
    becomes(&f.a, &key, Some(&value)).await;
    f.source.kill();
    f.gateway.says("r", "local cluster's etcd").await;
    // The last known state is kept.
    delete(&f.a, &key).await;
    becomes(&f.a, &key, Some(&value)).await;
    f.source.wipe();
    f.source.restart().await;
    f.gateway.says("r", "no roles or bindings at all").await;
    // Nor with the next comparison.
    let before = revision(&f.a).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(revision(&f.a).await, before);
    becomes(&f.a, &key, Some(&value)).await;
    // Once it is a Sensu cluster again, it counts.
    seed(&f.local, "local").await;
    becomes(&f.a, &key, None).await;
    f.gateway.follows("r").await;
}

#[tokio::test]
async fn deletions_reach_the_follower_whatever_was_down_or_forgotten() {
    let mut bindings = Federation::of_bindings();
    for n in 0..6 {
        let (key, value) = numbered(n);
        bindings = bindings.at_source(&key, &value);
    }
    let mut f = bindings.start().await;
    f.gateway.until("r", "owns all", |status| status.keys == 6).await;
    // While the gateway is down, and history is forgotten.
    drop(f.gateway);
    delete(&f.local, &numbered(0).0).await;
    let now = revision(&f.local).await;
    f.local.compact(now).await.unwrap();
    f.gateway = Gateway::alone(&f.source, &f.store);
    becomes(&f.a, &numbered(0).0, None).await;
    // While the follower is down.
    f.alpha.kill();
    delete(&f.local, &numbered(1).0).await;
    f.gateway.until("r", "is behind", |status| status.lag.is_some_and(|lag| !lag.is_zero())).await;
    f.alpha.restart().await;
    becomes(&f.a, &numbered(1).0, None).await;
    // While the follower stands still, and history is forgotten on both sides.
    f.alpha.signal("STOP");
    delete(&f.local, &numbered(2).0).await;
    let now = revision(&f.local).await;
    f.local.compact(now).await.unwrap();
    f.gateway.until("r", "is behind", |status| status.lag.is_some_and(|lag| !lag.is_zero())).await;
    f.alpha.signal("CONT");
    let now = revision(&f.a).await;
    f.a.compact(now).await.unwrap();
    becomes(&f.a, &numbered(2).0, None).await;
    // While the source is down.
    f.source.signal("STOP");
    let deleting = tokio::spawn({
        let local = Arc::clone(&f.local);
        async move { delete(&local, &numbered(3).0).await }
    });
    tokio::task::yield_now().await;
    f.source.signal("CONT");
    deleting.await.unwrap();
    becomes(&f.a, &numbered(3).0, None).await;
    f.gateway.until("r", "owns the rest", |status| status.keys == 2).await;
}

#[tokio::test]
async fn a_full_follower_is_shown_and_still_revokes() {
    let (source, local) = cluster("local").await;
    let alpha = Etcd::with(&["--quota-backend-bytes", "2000000"], TlsFiles::default()).await;
    let a = alpha.client();
    seed(&a, "alpha").await;
    let store = MemoryStore::new();
    replicate(&store, "r", Type::ClusterRoleBinding, &alpha).await;
    let gateway = Gateway::alone(&source, &store);
    let (key, value) = numbered(1);
    put(&local, &key, &value).await;
    becomes(&a, &key, Some(&value)).await;
    let filler = vec![0; 400_000];
    eventually("it is full", async || {
        a.put(fedgate::etcd::proto::PutRequest::new("/filler", &filler[..])).await.is_err()
    })
    .await;
    let (second, value) = numbered(2);
    put(&local, &second, &value).await;
    gateway.says("r", "space quota").await;
    delete(&local, &key).await;
    becomes(&a, &key, None).await;
    let now = revision(&a).await;
    a.compact(now).await.unwrap();
    alpha.ctl(&["defrag"]);
    alpha.ctl(&["alarm", "disarm"]);
    becomes(&a, &second, Some(&value)).await;
    gateway.follows("r").await;
}

#[tokio::test]
async fn an_outage_that_begins_when_nothing_is_copied_is_counted_on_either_side() {
    let mut f = Federation::of_bindings().proxied().start().await;
    f.gateway.follows("r").await;
    let page = Metrics::new(|registry| f.gateway.handle.metrics.register(registry));
    let errors = || {
        let text = page.render();
        let line = text.lines().find_map(|line| line.strip_prefix("fedgate_replication_errors_total{"));
        line.unwrap().rsplit(' ').next().unwrap().parse::<u64>().unwrap()
    };
    assert_eq!(errors(), 0);
    f.proxy().set(Link::Cut);
    eventually("the follower's outage is counted", async || errors() > 0).await;
    f.proxy().set(Link::Up);
    f.gateway.follows("r").await;
    let before = errors();
    f.source.kill();
    eventually("the source's outage is counted", async || errors() > before).await;
}

#[tokio::test]
async fn an_object_that_is_too_large_for_the_follower_is_left_out_alone() {
    let (source, local) = cluster("local").await;
    let alpha = Etcd::with(&["--max-request-bytes", "100000"], TlsFiles::default()).await;
    let a = alpha.client();
    seed(&a, "alpha").await;
    let store = MemoryStore::new();
    replicate(&store, "assets", Type::Asset, &alpha).await;
    replicate(&store, "r", Type::ClusterRoleBinding, &alpha).await;
    let asset = |name: &str| (Type::Asset.key(Some("dev"), name), object(Type::Asset, "dev", name));
    let (small, mut large) = (asset("a/small"), asset("b/large"));
    // As its URL.
    large.1.extend([0x12, 0xc0, 0x9a, 0x0c]);
    large.1.extend(std::iter::repeat_n(b'x', 200_000));
    let (key, value) = numbered(1);
    for (key, value) in [&small, &large, &(key.clone(), value.clone())] {
        put(&local, key, value).await;
    }
    let gateway = Gateway::alone(&source, &store);
    becomes(&a, &small.0, Some(&small.1)).await;
    becomes(&a, &key, Some(&value)).await;
    gateway.says("assets", "b/large: a request to etcd or its answer is too large").await;
    gateway.follows("r").await;
    delete(&local, &key).await;
    assert!(becomes(&a, &key, None).await < Duration::from_secs(2));
    gateway.compares_twice("r").await;
    delete(&local, &large.0).await;
    gateway.until("assets", "has no error", |status| status.error.is_none()).await;
}

#[tokio::test]
async fn a_user_without_rights_is_shown() {
    let f = Federation::builder().start().await;
    f.alpha.ctl(&["user", "add", "root:x"]);
    f.alpha.ctl(&["user", "grant-role", "root", "root"]);
    f.alpha.ctl(&["auth", "enable"]);
    replicate(&f.store, "r", Type::ClusterRoleBinding, &f.alpha).await;
    assert!(f.gateway.says("r", "refuses access").await < Duration::from_secs(10));
    f.alpha.ctl(&["--user", "root:x", "auth", "disable"]);
    let (key, value) = numbered(1);
    put(&f.local, &key, &value).await;
    becomes(&f.a, &key, Some(&value)).await;
}

#[tokio::test]
async fn the_local_clusters_own_etcd_is_refused_as_a_destination() {
    let (source, local) = cluster("local").await;
    let store = MemoryStore::new();
    let before = crate::support::dump(&local, "/sensu.io/").await;
    // By another address, at that.
    let url = source.endpoint().to_string().replace("127.0.0.1", "localhost");
    register(&store, &definition("r", Type::ClusterRoleBinding, &url, &TlsFiles::default())).await;
    let gateway = Gateway::alone(&source, &store);
    assert!(gateway.says("r", "own etcd").await < Duration::from_secs(10));
    assert_eq!(gateway.status("r").unwrap().state, ReplicatorState::Rejected);
    crate::support::gateway::unregister(&store, "r").await;
    eventually("it is forgotten", async || gateway.status("r").is_none()).await;
    assert_eq!(crate::support::dump(&local, "/sensu.io/").await, before);
    assert!(crate::support::dump(&local, "/fedgate/replication/owned/").await.is_empty());
}

/// A watch that opens at the compacted revision does not report it.
#[tokio::test]
async fn a_deletion_during_a_partition_is_noticed_though_history_ends_with_it() {
    let (key, value) = numbered(1);
    let f = Federation::of_bindings().at_source(&key, &value).proxied().start().await;
    becomes(&f.a, &key, Some(&value)).await;
    f.gateway.follows("r").await;
    f.proxy().set(Link::Cut);
    f.gateway.says("r", "not being watched").await;
    delete(&f.a, &key).await;
    let now = revision(&f.a).await;
    f.a.compact(now).await.unwrap();
    f.proxy().set(Link::Up);
    becomes(&f.a, &key, Some(&value)).await;
}
