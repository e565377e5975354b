//! What breaks, and what is said about it.

use std::{fs, path::Path, time::Duration};

use fedgate::{
    corev2::Type,
    registry::MemoryStore,
    types::{ReplicatorState, TlsFiles},
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;

use crate::{
    basics::{BINDINGS, cluster},
    etcd_server::Etcd,
    support::{
        becomes, delete, eventually,
        gateway::{Gateway, definition, register, replicate},
        objects::{cluster_role_binding, seed},
        proxy::{Link, Proxy},
        put, revision,
    },
};

pub(crate) type Ca = CertifiedIssuer<'static, KeyPair>;

pub(crate) fn ca() -> Ca {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// Writes a certificate of the CA and its key as `{name}.pem` and `{name}-key.pem`.
pub(crate) fn issue(ca: &Ca, dir: &Path, name: &str) {
    let key = KeyPair::generate().unwrap();
    let cert = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap().signed_by(&key, ca).unwrap();
    fs::write(dir.join(format!("{name}.pem")), cert.pem()).unwrap();
    fs::write(dir.join(format!("{name}-key.pem")), key.serialize_pem()).unwrap();
}

/// An etcd that wants client certificates of the CA.
pub(crate) async fn secure_etcd(ca: &Ca, dir: &Path) -> Etcd {
    fs::write(dir.join("ca.pem"), ca.pem()).unwrap();
    issue(ca, dir, "server");
    issue(ca, dir, "client");
    let path = |name: &str| dir.join(name).to_str().unwrap().to_owned();
    let tls = TlsFiles {
        trusted_ca_file: Some(path("ca.pem").into()),
        cert_file: Some(path("client.pem").into()),
        key_file: Some(path("client-key.pem").into()),
        insecure_skip_tls_verify: false,
    };
    let (cert, key, ca) = (path("server.pem"), path("server-key.pem"), path("ca.pem"));
    let flags = ["--cert-file", &cert, "--key-file", &key, "--trusted-ca-file", &ca, "--client-cert-auth"];
    Etcd::with(&flags, tls).await
}

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
    let restarted = tokio::spawn(async move {
        // Its own probe uses the client's certificate too.
        tokio::time::sleep(Duration::from_millis(500)).await;
        alpha.start_again();
        alpha
    });
    let alpha = restarted.await.unwrap();
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
    let ((mut source, local), (alpha, a)) = {
        let (s, a) = tokio::join!(cluster("local"), cluster("alpha"));
        (s, a)
    };
    let store = MemoryStore::new();
    replicate(&store, "r", Type::ClusterRoleBinding, &alpha).await;
    let (key, value) = numbered(1);
    put(&local, &key, &value).await;
    let gateway = Gateway::alone(&source, &store);
    becomes(&a, &key, Some(&value)).await;
    source.kill();
    gateway.says("r", "local cluster's etcd").await;
    // What is known is kept up.
    delete(&a, &key).await;
    becomes(&a, &key, Some(&value)).await;
    source.wipe();
    source.restart().await;
    gateway.says("r", "no roles or bindings at all").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    becomes(&a, &key, Some(&value)).await;
    // Once it is a Sensu cluster again, it counts.
    seed(&local, "local").await;
    becomes(&a, &key, None).await;
    gateway.follows("r").await;
}

#[tokio::test]
async fn deletions_reach_the_follower_whatever_was_down_or_forgotten() {
    let ((source, local), (mut alpha, a)) = {
        let (s, a) = tokio::join!(cluster("local"), cluster("alpha"));
        (s, a)
    };
    let store = MemoryStore::new();
    replicate(&store, "r", Type::ClusterRoleBinding, &alpha).await;
    for n in 0..6 {
        let (key, value) = numbered(n);
        put(&local, &key, &value).await;
    }
    let gateway = Gateway::alone(&source, &store);
    gateway.until("r", "owns all", |status| status.keys == 6).await;
    // While the gateway is down, and history is forgotten.
    drop(gateway);
    delete(&local, &numbered(0).0).await;
    let now = revision(&local).await;
    local.compact(now).await.unwrap();
    let gateway = Gateway::alone(&source, &store);
    becomes(&a, &numbered(0).0, None).await;
    // While the follower is down.
    alpha.kill();
    delete(&local, &numbered(1).0).await;
    gateway.until("r", "is behind", |status| status.lag.is_some_and(|lag| !lag.is_zero())).await;
    alpha.restart().await;
    becomes(&a, &numbered(1).0, None).await;
    // While the follower stands still, and history is forgotten on both sides.
    alpha.signal("STOP");
    delete(&local, &numbered(2).0).await;
    let now = revision(&local).await;
    local.compact(now).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    alpha.signal("CONT");
    let now = revision(&a).await;
    a.compact(now).await.unwrap();
    becomes(&a, &numbered(2).0, None).await;
    // While the source is down.
    source.signal("STOP");
    tokio::time::sleep(Duration::from_secs(1)).await;
    source.signal("CONT");
    delete(&local, &numbered(3).0).await;
    becomes(&a, &numbered(3).0, None).await;
    gateway.until("r", "owns the rest", |status| status.keys == 2).await;
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
async fn a_user_without_rights_is_shown() {
    let ((source, local), (alpha, a)) = tokio::join!(cluster("local"), cluster("alpha"));
    let store = MemoryStore::new();
    alpha.ctl(&["user", "add", "root:x"]);
    alpha.ctl(&["user", "grant-role", "root", "root"]);
    alpha.ctl(&["auth", "enable"]);
    replicate(&store, "r", Type::ClusterRoleBinding, &alpha).await;
    let gateway = Gateway::alone(&source, &store);
    assert!(gateway.says("r", "refuses access").await < Duration::from_secs(10));
    alpha.ctl(&["--user", "root:x", "auth", "disable"]);
    let (key, value) = numbered(1);
    put(&local, &key, &value).await;
    becomes(&a, &key, Some(&value)).await;
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

/// What a watch that opens at the revision up to which history was forgotten does not tell.
#[tokio::test]
async fn a_deletion_during_a_partition_is_noticed_though_history_ends_with_it() {
    let ((source, local), (alpha, a)) = tokio::join!(cluster("local"), cluster("alpha"));
    let store = MemoryStore::new();
    let proxy = Proxy::to(alpha.endpoint()).await;
    register(&store, &definition("r", Type::ClusterRoleBinding, &proxy.url, &TlsFiles::default())).await;
    let gateway = Gateway::alone(&source, &store);
    let (key, value) = numbered(1);
    put(&local, &key, &value).await;
    becomes(&a, &key, Some(&value)).await;
    gateway.follows("r").await;
    proxy.set(Link::Cut);
    gateway.says("r", "not being watched").await;
    delete(&a, &key).await;
    let now = revision(&a).await;
    a.compact(now).await.unwrap();
    proxy.set(Link::Up);
    becomes(&a, &key, Some(&value)).await;
}
