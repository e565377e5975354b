use std::{
    fs,
    path::PathBuf,
    sync::{Barrier, LazyLock},
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, Issuer, KeyPair};
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    server::WebPkiClientVerifier,
};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::{
    net::{ClientFiles, TlsConfigs, TlsError, secure},
    types::BackendState,
    upstream::{Connector, HealthConfig, Prober},
};

type Ca = CertifiedIssuer<'static, KeyPair>;

/// A backend behind TLS, in memory. Answers one request per connection with what client certificate it saw.
struct TlsNet {
    server: Arc<ServerConfig>,
    configs: TlsConfigs,
}

impl Connect for TlsNet {
    fn connect(&self, cluster: &Cluster, backend: &Backend) -> BoxFuture<'_, Result<BoxIo, ConnectError>> {
        let (files, host) = (cluster.tls.clone(), backend.host.clone());
        async move {
            let config = self.configs.get(&files).await;
            let (client, server) = tokio::io::duplex(64 * 1024);
            let acceptor = TlsAcceptor::from(self.server.clone());
            tokio::spawn(async move {
                let mut io = acceptor.accept(server).await?;
                let mut buffer = [0; 4096];
                let _ = io.read(&mut buffer).await?;
                let seen = if io.get_ref().1.peer_certificates().is_some() { "some" } else { "none" };
                io.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n{seen}").as_bytes())
                    .await?;
                io.read(&mut buffer).await
            });
            secure(client, host, config.map_err(ConnectError::Files)?).await
        }
        .boxed()
    }
}

fn ca() -> Ca {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn issue(issuer: &Issuer<'_, KeyPair>, name: &str) -> (rcgen::Certificate, KeyPair) {
    let key = KeyPair::generate().unwrap();
    (CertificateParams::new([name.to_owned()]).unwrap().signed_by(&key, issuer).unwrap(), key)
}

fn write(dir: &TempDir, name: &str, text: &str) -> PathBuf {
    let path = dir.path().join(name);
    fs::write(&path, text).unwrap();
    path
}

/// A backend with a certificate of `ca`, and its cluster.
fn backend(ca: &Ca, asks_client: bool, files: TlsFiles) -> (Arc<TlsNet>, Snapshot) {
    let (cert, key) = issue(ca, "sensu.example.com");
    let builder = ServerConfig::builder();
    let builder = if asks_client {
        let mut roots = RootCertStore::empty();
        roots.add(ca.der().clone()).unwrap();
        builder.with_client_cert_verifier(WebPkiClientVerifier::builder(roots.into()).build().unwrap())
    } else {
        builder.with_no_client_auth()
    };
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let mut server = builder.with_single_cert(vec![cert.der().clone()], key).unwrap();
    server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let net = Arc::new(TlsNet { server: Arc::new(server), configs: TlsConfigs::new() });
    (net, Snapshot::new([Cluster { tls: files, ..cluster("alpha", &[1]) }]))
}

/// What a call to it gives.
async fn call(ca: &Ca, asks_client: bool, files: TlsFiles) -> Result<String, Error> {
    let (net, snapshot) = backend(ca, asks_client, files);
    let manager = Manager::new(Config::default(), net);
    manager.apply(&snapshot);
    text(manager.cluster("alpha").unwrap().send(get("/")).await?).await
}

/// What a health check of it finds wrong.
async fn check(ca: &Ca, asks_client: bool, files: TlsFiles) -> String {
    let (net, snapshot) = backend(ca, asks_client, files);
    let (_clusters, seen) = tokio::sync::watch::channel(Arc::new(snapshot));
    let (prober, mut health) = Prober::new(HealthConfig::default(), net, seen, Arc::default());
    let prober = tokio::spawn(prober.run());
    let checked = health.wait_for(|health| health[0].backends[0].state != BackendState::Unknown);
    let error = checked.await.unwrap()[0].backends[0].error.clone().unwrap_or_default();
    prober.abort();
    error.to_string()
}

#[tokio::test(start_paused = true)]
async fn a_health_check_says_what_is_wrong_with_the_certificates() {
    let dir = TempDir::new().unwrap();
    let (ours, theirs) = (ca(), ca());
    let trusting = |file| TlsFiles { trusted_ca_file: Some(file), ..TlsFiles::default() };
    let right = trusting(write(&dir, "ca.pem", &ours.pem()));
    let wrong = trusting(write(&dir, "other.pem", &theirs.pem()));
    // The double answers "none", which is not a version: the handshake was good.
    assert!(check(&ours, false, right.clone()).await.starts_with("not a Sensu API: "));
    let unknown = check(&ours, false, wrong).await;
    assert_eq!(
        unknown,
        "tls: invalid peer certificate: BadSignature; the CA that is named has another key than the one that signed its certificate"
    );
    assert_eq!(
        check(&ours, true, right).await,
        "tls: received fatal alert: CertificateRequired; it wants a client certificate: name cert and key"
    );
    let missing = check(&ours, false, trusting(dir.path().join("no.pem"))).await;
    assert!(
        missing.starts_with("tls: cannot read ") && missing.contains("/no.pem: No such file"),
        "{missing}"
    );
}

#[tokio::test(start_paused = true)]
async fn the_ca_of_the_cluster_decides() {
    let dir = TempDir::new().unwrap();
    let (ours, theirs) = (ca(), ca());
    let right = TlsFiles { trusted_ca_file: Some(write(&dir, "ca.pem", &ours.pem())), ..TlsFiles::default() };
    let wrong =
        TlsFiles { trusted_ca_file: Some(write(&dir, "other.pem", &theirs.pem())), ..TlsFiles::default() };
    assert_eq!(call(&ours, false, right).await.unwrap(), "none");

    let error = call(&ours, false, wrong.clone()).await.unwrap_err();
    assert!(matches!(error, Error::Tls { .. }), "{error:?}");
    assert_eq!(error.class().as_str(), "tls");
    assert_eq!(error.to_string(), "the TLS handshake with cluster \"alpha\" failed");

    let insecure = TlsFiles { insecure_skip_tls_verify: true, ..wrong };
    assert_eq!(call(&ours, false, insecure).await.unwrap(), "none");
}

#[tokio::test(start_paused = true)]
async fn the_client_certificate_is_presented() {
    let dir = TempDir::new().unwrap();
    let ca = ca();
    let (cert, key) = issue(&ca, "gateway");
    let with = TlsFiles {
        trusted_ca_file: Some(write(&dir, "ca.pem", &ca.pem())),
        cert_file: Some(write(&dir, "cert.pem", &cert.pem())),
        key_file: Some(write(&dir, "key.pem", &key.serialize_pem())),
        ..TlsFiles::default()
    };
    let without = TlsFiles { cert_file: None, key_file: None, ..with.clone() };
    assert_eq!(call(&ca, true, with).await.unwrap(), "some");
    // TLS 1.3 refuses after the client's part of the handshake: still a TLS failure.
    let error = call(&ca, true, without).await.unwrap_err();
    assert!(matches!(error, Error::Tls { .. }), "{error:?}");
}

#[tokio::test]
async fn unusable_files_are_named() {
    let dir = TempDir::new().unwrap();
    let ca = ca();
    let (cert, key) = issue(&ca, "gateway");
    let other = KeyPair::generate().unwrap().serialize_pem();
    let ca_file = Some(write(&dir, "ca.pem", &ca.pem()));
    let cert_file = Some(write(&dir, "cert.pem", &cert.pem()));
    let key_file = Some(write(&dir, "key.pem", &key.serialize_pem()));
    let good = TlsFiles { trusted_ca_file: ca_file, cert_file, key_file, ..TlsFiles::default() };
    let configs = TlsConfigs::new();
    assert!(configs.get(&good).await.is_ok());

    let missing = TlsFiles { trusted_ca_file: Some(dir.path().join("no.pem")), ..good.clone() };
    let empty = TlsFiles { trusted_ca_file: good.key_file.clone(), ..good.clone() };
    let junk = "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n";
    let junk = TlsFiles { trusted_ca_file: Some(write(&dir, "junk.pem", junk)), ..good.clone() };
    let mismatch = TlsFiles { key_file: Some(write(&dir, "other.pem", &other)), ..good.clone() };
    let half = TlsFiles { key_file: None, ..good };
    for (files, name) in [
        (missing, "no.pem"),
        (empty, "key.pem"),
        (junk, "junk.pem"),
        (mismatch, "other.pem"),
        (half, "cert.pem"),
    ] {
        let error = configs.get(&files).await.unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
    }
}

/// `alpha` over TLS with these files.
fn over_tls(name: &str, files: &TlsFiles) -> Cluster {
    let mut cluster = cluster(name, &[1]);
    cluster.backends[0].tls = true;
    cluster.tls = files.clone();
    cluster
}

#[tokio::test]
async fn a_reload_takes_what_works_and_keeps_what_worked() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("ca.pem");
    let files = TlsFiles { trusted_ca_file: Some(path.clone()), ..TlsFiles::default() };
    let configs = TlsConfigs::new();
    let changes = configs.changes();
    let failed = configs.prepare(&Snapshot::new([over_tls("alpha", &files)])).await;
    assert!(matches!(&failed[..], [(name, error)]
        if name.as_str() == "alpha" && matches!(**error, TlsError::Read { .. })));
    assert_eq!(configs.reload(false).await.len(), 0, "a fault is reported once");

    let reload = || async {
        let failed = configs.reload(false).await.len();
        (*changes.borrow(), failed)
    };
    fs::write(&path, ca().pem()).unwrap();
    assert!(configs.get(&files).await.is_err(), "only a reload reads files again");
    assert_eq!(reload().await, (1, 0));
    let first = configs.get(&files).await.unwrap();
    assert_eq!(reload().await, (1, 0));
    assert!(Arc::ptr_eq(&first, &configs.get(&files).await.unwrap()), "the same files keep their sessions");

    let never = TlsFiles::default();
    assert!(configs.have_changed_since(0, &files) && !configs.have_changed_since(1, &files));
    assert!(!configs.have_changed_since(0, &never));

    fs::write(&path, "nothing").unwrap();
    assert_eq!(reload().await, (1, 1));
    assert_eq!(reload().await, (1, 0), "a fault is reported once");
    assert!(Arc::ptr_eq(&first, &configs.get(&files).await.unwrap()), "a bad reload changes nothing");

    fs::write(&path, ca().pem()).unwrap();
    assert_eq!(reload().await, (2, 0));
    assert!(!Arc::ptr_eq(&first, &configs.get(&files).await.unwrap()));

    configs.forget_unused(&Snapshot::new([]));
    fs::remove_file(&path).unwrap();
    assert_eq!(reload().await, (2, 0), "what no cluster needs is forgotten");
}

/// Where those who read a file named `hangs` wait until the test comes, too.
static HANGING: LazyLock<Barrier> = LazyLock::new(|| Barrier::new(2));

fn read_unless_hanging(files: &TlsFiles) -> Result<ClientFiles, TlsError> {
    if files.trusted_ca_file.as_ref().is_some_and(|path| path.ends_with("hangs")) {
        HANGING.wait();
    }
    let insecure = TlsFiles { insecure_skip_tls_verify: true, ..files.clone() };
    ClientFiles::read(&insecure)
}

// Time stands still while files are read, however slow the machine is.
#[tokio::test(start_paused = true)]
async fn many_clusters_with_files_of_their_own_are_all_ready() {
    let dir = TempDir::new().unwrap();
    let pem = ca().pem();
    let clusters = (0..200).map(|n| {
        let file = Some(write(&dir, &format!("{n}.pem"), &pem));
        over_tls(&format!("c{n}"), &TlsFiles { trusted_ca_file: file, ..TlsFiles::default() })
    });
    let configs = TlsConfigs::new();
    assert_eq!(configs.prepare(&Snapshot::new(clusters)).await.len(), 0);
    assert_eq!(configs.reload(true).await.len(), 0);
}

#[tokio::test]
async fn hanging_files_delay_only_their_cluster_and_work_once_they_are_read() {
    let named = |name: &str| TlsFiles { trusted_ca_file: Some(name.into()), ..TlsFiles::default() };
    let (slow, quick) = (named("/mnt/hangs"), named("/etc/quick"));
    let configs = TlsConfigs::with_reader(read_unless_hanging);
    let mut changes = configs.changes();
    let clusters = Snapshot::new([over_tls("slow", &slow), over_tls("quick", &quick)]);

    let begin = std::time::Instant::now();
    let failed = configs.prepare_within(&clusters, Duration::from_secs(1)).await;
    assert!(begin.elapsed() < crate::net::FILE_TIMEOUT, "a change of other clusters does not wait for it");
    assert!(matches!(&failed[..], [(name, error)]
        if name.as_str() == "slow" && matches!(**error, TlsError::Timeout { .. })));
    assert!(failed[0].1.to_string().contains("/mnt/hangs"), "{}", failed[0].1);
    assert!(configs.get(&quick).await.is_ok());
    // All of these would take seconds each if they waited for it again.
    let begin = std::time::Instant::now();
    for _ in 0..5 {
        assert!(configs.get(&slow).await.is_err());
        assert_eq!(configs.prepare(&clusters).await.len(), 1);
        assert!(configs.reload(true).await.is_empty());
    }
    assert!(begin.elapsed() < crate::net::FILE_TIMEOUT * 2);

    HANGING.wait();
    changes.changed().await.unwrap();
    assert!(configs.get(&slow).await.is_ok());
}

#[tokio::test]
async fn the_connector_speaks_tcp() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let connector = Connector::new(TlsConfigs::new(), Duration::from_secs(2));
    let manager = Manager::new(Config::default(), Arc::new(connector));
    let mut alpha = cluster("alpha", &[port]);
    alpha.backends[0].host = "localhost".into();
    manager.apply(&Snapshot::new([alpha]));
    let client = manager.cluster("alpha").unwrap();
    let (response, io) = tokio::join!(client.send(get("/")), async {
        let (mut io, _) = listener.accept().await.unwrap();
        assert_ne!(io.read(&mut [0; 1024]).await.unwrap(), 0);
        io.write_all(OK.as_bytes()).await.unwrap();
        io
    });
    assert_eq!(text(response.unwrap()).await.unwrap(), "ok");
    drop((io, listener));
    let error = client.send(get("/")).await.unwrap_err();
    assert_eq!(error.class().as_str(), "unreachable", "{error:?}");
}
