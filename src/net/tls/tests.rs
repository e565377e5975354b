//! Handshakes with certificates that webpki alone does not accept.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, CustomExtension, ExtendedKeyUsagePurpose, IsCa,
    KeyPair,
};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tempfile::TempDir;
use tokio::{io::AsyncWriteExt as _, net::TcpStream};
use tokio_rustls::TlsAcceptor;

use super::{ClientFiles, PROVIDER, ServerTls, Usage, certificates_in_use};
use crate::{
    net::{ConnectError, secure},
    types::TlsFiles,
};

const NAME: &str = "sensu.example.com";

/// Presents whatever it was given; rustls's own resolver wants to read the certificate first.
#[derive(Debug)]
struct Blindly(Arc<CertifiedKey>);

impl ResolvesServerCert for Blindly {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

struct Server {
    cert: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

impl Server {
    /// With a certificate that is made from `params` and signed by its own key.
    fn self_signed(change: impl FnOnce(&mut CertificateParams)) -> Self {
        let mut params = CertificateParams::new([NAME.to_owned()]).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let cert = params.self_signed(&key).unwrap().der().clone();
        Self { cert, key: PrivateKeyDer::try_from(key.serialize_der()).unwrap() }
    }

    fn from_file(text: &[u8]) -> Self {
        let cert = CertificateDer::from_pem_slice(text).unwrap();
        Self { cert, key: PrivateKeyDer::from_pem_slice(text).unwrap() }
    }

    fn pem(&self) -> String {
        use base64::{Engine as _, engine::general_purpose::STANDARD};
        format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", STANDARD.encode(&self.cert))
    }

    /// What comes of a handshake with it, in one version of TLS.
    async fn handshake_in(
        &self,
        version: &'static rustls::SupportedProtocolVersion,
        name: &str,
        files: &TlsFiles,
    ) -> Result<(), String> {
        let key = PROVIDER.key_provider.load_private_key(self.key.clone_key()).unwrap();
        let mut config = ServerConfig::builder_with_provider(PROVIDER.clone())
            .with_protocol_versions(&[version])
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(Blindly(Arc::new(CertifiedKey::new(vec![self.cert.clone()], key)))));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let (client, server) = tokio::io::duplex(64 * 1024);
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let accepting = tokio::spawn(async move { acceptor.accept(server).await?.shutdown().await });
        let config = ClientFiles::read(files).unwrap().config(b"http/1.1").map_err(|e| e.to_string())?;
        let done = secure(client, name.to_owned(), Arc::new(config)).await;
        let _ = accepting.await;
        done.map(drop).map_err(|error| match error {
            ConnectError::Tls(error) => error.to_string(),
            error => error.to_string(),
        })
    }

    /// In both versions, which must agree.
    async fn handshake(&self, name: &str, files: &TlsFiles) -> Result<(), String> {
        let old = self.handshake_in(&rustls::version::TLS12, name, files).await;
        let new = self.handshake_in(&rustls::version::TLS13, name, files).await;
        assert_eq!(old, new);
        new
    }
}

fn ca(params: &mut CertificateParams) {
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
}

fn write(dir: &TempDir, name: &str, text: &str) -> PathBuf {
    let path = dir.path().join(name);
    fs::write(&path, text).unwrap();
    path
}

fn trusting(path: PathBuf) -> TlsFiles {
    TlsFiles { trusted_ca_file: Some(path), ..TlsFiles::default() }
}

fn insecure() -> TlsFiles {
    TlsFiles { insecure_skip_tls_verify: true, ..TlsFiles::default() }
}

#[tokio::test]
async fn a_self_signed_certificate_is_trusted_when_it_is_its_own_ca() {
    let dir = TempDir::new().unwrap();
    for server in [Server::self_signed(ca), Server::self_signed(|_| ())] {
        let files = trusting(write(&dir, "own.pem", &server.pem()));
        assert_eq!(server.handshake(NAME, &files).await, Ok(()));
        let wrong = server.handshake("other.example.com", &files).await.unwrap_err();
        assert!(wrong.contains("not valid for name"), "{wrong}");
        let twin = Server::self_signed(ca);
        let refused = twin.handshake(NAME, &files).await;
        assert!(refused.is_err(), "the same names, but another key");
    }
}

/// Of joined files that an editor has put marks into, no certificate is passed over.
#[tokio::test]
async fn byte_order_marks_before_pem_blocks_are_skipped() {
    let dir = TempDir::new().unwrap();
    let (first, second) = (Server::self_signed(ca), Server::self_signed(|_| ()));
    let bundle = write(&dir, "ca.pem", &format!("\u{feff}{}\u{feff}{}", first.pem(), second.pem()));
    for server in [first, second] {
        assert_eq!(server.handshake(NAME, &trusting(bundle.clone())).await, Ok(()));
    }
    let own = rcgen::generate_simple_self_signed([NAME.to_owned()]).unwrap();
    let cert = write(&dir, "cert.pem", &format!("\u{feff}{}", own.cert.pem()));
    let key = write(&dir, "key.pem", &format!("\u{feff}{}", own.signing_key.serialize_pem()));
    assert!(ServerTls::load(&cert, &key).is_ok());
    let files = TlsFiles { cert_file: Some(cert), key_file: Some(key), ..insecure() };
    assert!(ClientFiles::read(&files).unwrap().config(b"h2").is_ok());
    let utf_16: Vec<u8> = own.cert.pem().encode_utf16().flat_map(u16::to_le_bytes).collect();
    let path = dir.path().join("utf-16.pem");
    fs::write(&path, [&b"\xff\xfe"[..], &utf_16].concat()).unwrap();
    let refused = ClientFiles::read(&trusting(path)).err().unwrap().to_string();
    assert!(refused.ends_with("utf-16.pem: it is UTF-16 text: save it as UTF-8"), "{refused}");
}

#[tokio::test]
async fn a_certificate_that_is_listed_itself_needs_no_issuer() {
    let dir = TempDir::new().unwrap();
    let mut params = CertificateParams::default();
    ca(&mut params);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let cert = CertificateParams::new([NAME.to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    let server =
        Server { cert: cert.der().clone(), key: PrivateKeyDer::try_from(key.serialize_der()).unwrap() };
    assert_eq!(server.handshake(NAME, &trusting(write(&dir, "leaf.pem", &cert.pem()))).await, Ok(()));
    let other = trusting(write(&dir, "other.pem", &Server::self_signed(ca).pem()));
    assert!(server.handshake(NAME, &other).await.is_err());
}

#[tokio::test]
async fn trust_by_itself_replaces_the_chain_and_no_other_check() {
    let dir = TempDir::new().unwrap();
    let expired = Server::self_signed(|params| {
        ca(params);
        params.not_before = rcgen::date_time_ymd(2000, 1, 1);
        params.not_after = rcgen::date_time_ymd(2001, 1, 1);
    });
    let early = Server::self_signed(|params| {
        ca(params);
        params.not_before = rcgen::date_time_ymd(2126, 1, 1);
        params.not_after = rcgen::date_time_ymd(2127, 1, 1);
    });
    let for_clients = Server::self_signed(|params| {
        ca(params);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    });
    let for_servers = Server::self_signed(|params| {
        ca(params);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    });
    for (server, wrong) in [
        (&expired, Some("Expired")),
        (&early, Some("NotValidYet")),
        (&for_clients, Some("InvalidPurpose")),
        (&for_servers, None),
    ] {
        let files = trusting(write(&dir, "own.pem", &server.pem()));
        let done = server.handshake(NAME, &files).await;
        match wrong {
            None => assert_eq!(done, Ok(())),
            Some(wrong) => {
                let said = done.unwrap_err();
                let words = said.replace([' ', '-', '_'], "").to_lowercase();
                let known = match wrong {
                    "InvalidPurpose" => words.contains("purpose"),
                    "NotValidYet" => words.contains("notvalidyet"),
                    _ => words.contains("expired"),
                };
                assert!(known, "{wrong}: {said}");
            }
        }
        assert_eq!(server.handshake(NAME, &insecure()).await, Ok(()), "{wrong:?}");
    }
}

#[tokio::test]
async fn insecure_accepts_certificates_that_webpki_does_not_read() {
    let dir = TempDir::new().unwrap();
    let critical = Server::self_signed(|params| {
        let mut unknown = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99_999, 1], vec![5, 0]);
        unknown.set_criticality(true);
        params.custom_extensions.push(unknown);
    });
    let version_1 = Server::from_file(include_bytes!("../../../tests/data/tls/x509-v1.pem"));
    for server in [critical, version_1] {
        assert_eq!(server.handshake(NAME, &insecure()).await, Ok(()));
        let refused = server.handshake(NAME, &trusting(write(&dir, "own.pem", &server.pem()))).await;
        assert!(
            refused.is_err(),
            "as in Go, where an unknown critical extension or no name at all is refused"
        );
        // Its signature is still checked.
        let stolen = Server { cert: server.cert, key: Server::self_signed(|_| ()).key };
        assert!(stolen.handshake(NAME, &insecure()).await.is_err());
    }
}

/// Killed on drop.
struct Openssl(Child);

impl Drop for Openssl {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// rustls serves no such certificate.
fn serve_short_rsa(dir: &Path, version: &str) -> (Openssl, u16) {
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:1024", "-nodes", "-days", "1", "-subj", "/CN=old"])
        .args(["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "key.pem", "-out", "cert.pem"])
        .current_dir(dir)
        .stderr(Stdio::null())
        .status();
    assert!(made.expect("openssl is installed").success());
    let mut server = Command::new("openssl")
        .args(["s_server", "-accept", "127.0.0.1:0", "-cert", "cert.pem", "-key", "key.pem", version])
        // OpenSSL's own default has come to forbid such keys.
        .args(["-cipher", "DEFAULT:@SECLEVEL=0", "-naccept", "1"])
        .current_dir(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(server.stdout.take().unwrap()).lines();
    let server = Openssl(server);
    let port = lines
        .map_while(Result::ok)
        .find_map(|line| line.strip_prefix("ACCEPT ")?.rsplit(':').next()?.parse().ok());
    (server, port.expect("openssl says where it listens"))
}

#[tokio::test]
async fn insecure_accepts_rsa_keys_of_1024_bits() {
    for version in ["-tls1_2", "-tls1_3"] {
        let dir = TempDir::new().unwrap();
        let (_server, port) = serve_short_rsa(dir.path(), version);
        let tcp = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let config = ClientFiles::read(&insecure()).unwrap().config(b"http/1.1").unwrap();
        let done = secure(tcp, "127.0.0.1".to_owned(), Arc::new(config)).await;
        assert!(done.is_ok(), "{version}: {:?}", done.err());
        // Trusted by itself, it is called what it is: nobody has made a bad signature.
        let (_server, port) = serve_short_rsa(dir.path(), version);
        let tcp = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let config =
            ClientFiles::read(&trusting(dir.path().join("cert.pem"))).unwrap().config(b"http/1.1").unwrap();
        let refused = secure(tcp, "127.0.0.1".to_owned(), Arc::new(config)).await.err().unwrap();
        assert!(format!("{refused:?}").contains("ShortRsaKey"), "{version}: {refused:?}");
    }
}

#[tokio::test]
async fn files_are_listed_as_in_use_for_as_long_as_connections_are_made_with_them() {
    let dir = TempDir::new().unwrap();
    let server = Server::self_signed(|params| params.not_after = rcgen::date_time_ymd(2101, 1, 1));
    let path = write(
        &dir,
        "ca.pem",
        &format!("{}-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n", server.pem()),
    );
    let listed = || certificates_in_use().into_iter().find(|file| file.path == path);
    let config = ClientFiles::read(&trusting(path.clone())).unwrap().config(b"h2").unwrap();
    let file = listed().unwrap();
    assert_eq!((file.usage, file.certificates.len(), file.unreadable.len()), (Usage::Ca, 1, 1));
    assert_eq!(file.certificates[0].not_after, 4_133_980_800);
    let connection = Arc::new(config);
    assert!(listed().is_some());
    drop(connection);
    assert_eq!(listed(), None);
}

/// `SSLKEYLOGFILE` must never make the gateway write down the keys of its sessions.
#[tokio::test]
async fn session_keys_are_never_logged() {
    let server = Server::self_signed(|_| ());
    let dir = TempDir::new().unwrap();
    let client = ClientFiles::read(&trusting(write(&dir, "ca.pem", &server.pem()))).unwrap();
    for label in ["CLIENT_RANDOM", "CLIENT_TRAFFIC_SECRET_0", "SERVER_HANDSHAKE_TRAFFIC_SECRET"] {
        assert!(!client.config(b"h2").unwrap().key_log.will_log(label));
    }
}
