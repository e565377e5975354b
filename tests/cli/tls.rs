//! Certificates: which servers are trusted.

use std::{sync::Arc, thread, time::Duration};

use fedgate::sim::{Options, Sensu};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::{net::TcpListener, sync::watch};
use tokio_rustls::TlsAcceptor;

use crate::{server::PASSWORD, user::User};

pub(crate) type Ca = CertifiedIssuer<'static, KeyPair>;

pub(crate) struct Secure {
    pub(crate) url: String,
    stop: Option<watch::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Drop for Secure {
    fn drop(&mut self) {
        drop(self.stop.take());
        let _ = self.thread.take().map(thread::JoinHandle::join);
    }
}

pub(crate) fn ca() -> Ca {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// The server side of TLS with a certificate of this CA for a name.
pub(crate) fn acceptor(ca: &Ca, name: &str) -> TlsAcceptor {
    let key = KeyPair::generate().unwrap();
    let cert = CertificateParams::new([name.to_owned()]).unwrap().signed_by(&key, ca).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// A Sensu double behind a certificate of this CA for a name.
pub(crate) fn serve(ca: &Ca, name: &str) -> Secure {
    let acceptor = acceptor(ca, name);
    let (ready, started) = std::sync::mpsc::channel();
    let (stop, mut stopped) = watch::channel(());
    let thread = thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let sensu = Sensu::new(Options::default());
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            ready.send(format!("https://{}", listener.local_addr().unwrap())).unwrap();
            loop {
                let (stream, _) = tokio::select! {
                    accepted = listener.accept() => accepted.unwrap(),
                    _ = stopped.changed() => return,
                };
                let (sensu, acceptor) = (sensu.clone(), acceptor.clone());
                tokio::spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        sensu.serve_connection(stream).await;
                    }
                });
            }
        });
    });
    let url = started.recv_timeout(Duration::from_secs(30)).unwrap();
    Secure { url, stop: Some(stop), thread: Some(thread) }
}

#[test]
fn only_the_named_ca_is_trusted_unless_the_user_waives_it() {
    let (ours, theirs) = (ca(), ca());
    let server = serve(&ours, "127.0.0.1");
    let mut user = User::without_login();
    user.set("FEDGATE_PASSWORD", PASSWORD);
    let ours = user.write("ours.pem", &ours.pem());
    let theirs = user.write("theirs.pem", &theirs.pem());
    let list = ["list", "namespace", "--url", &server.url, "--user", "admin"];
    let with = |more: &[&'static str]| [&list[..], more].concat();

    assert!(user.ok(&[&list[..], &["--trusted-ca-file", &ours]].concat()).contains("sensu-system"));
    let line = user.fails(&[&list[..], &["--trusted-ca-file", &theirs]].concat(), 69);
    assert!(line.starts_with("no trusted connection to https://127.0.0.1:"), "{line}");
    assert!(line.contains("invalid peer certificate") && line.ends_with("names the CA to trust"), "{line}");
    user.ok(&with(&["--insecure-skip-tls-verify"]));
    user.set("SENSU_TRUSTED_CA_FILE", &ours);
    user.ok(&with(&[]));
    // A name that the certificate does not have.
    let url = server.url.replace("127.0.0.1", "localhost");
    let line = user.fails(&["list", "namespace", "--url", &url, "--user", "admin"], 69);
    assert!(line.starts_with("no trusted connection to https://localhost:"), "{line}");
}
