use std::{fs, path::Path};

use fedgate::{
    etcd::{Client, Config, Error, TlsError, proto::RangeRequest},
    types::TlsFiles,
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;

use crate::etcd_server::Etcd;

type Ca = CertifiedIssuer<'static, KeyPair>;

fn ca() -> Ca {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// Writes a certificate of the CA and its key as `{name}.pem` and `{name}-key.pem`.
fn issue(ca: &Ca, dir: &Path, name: &str) {
    let key = KeyPair::generate().unwrap();
    let cert = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap().signed_by(&key, ca).unwrap();
    fs::write(dir.join(format!("{name}.pem")), cert.pem()).unwrap();
    fs::write(dir.join(format!("{name}-key.pem")), key.serialize_pem()).unwrap();
}

/// An etcd that wants client certificates of the CA.
async fn secure_etcd(ca: &Ca, dir: &Path) -> Etcd {
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

async fn ask(client: &Client) -> Result<(), Error> {
    client.range(RangeRequest::key("/tls")).await.map(drop)
}

#[tokio::test]
async fn certificates_are_read_again_for_each_connection() {
    let dir = TempDir::new().unwrap();
    let (ours, theirs) = (ca(), ca());
    let mut etcd = secure_etcd(&ours, dir.path()).await;
    let client = etcd.client();
    ask(&client).await.unwrap();

    // A certificate that etcd does not take: the connection that is open stays, the next one is refused.
    issue(&theirs, dir.path(), "client");
    ask(&client).await.unwrap();
    let fresh = etcd.client();
    let error = ask(&fresh).await.unwrap_err();
    assert!(matches!(error, Error::Tls { .. }), "{error:?}");
    fs::write(dir.path().join("client-key.pem"), "half written").unwrap();
    let error = ask(&fresh).await.unwrap_err();
    assert!(matches!(&error, Error::Files(cause) if matches!(**cause, TlsError::NoKey { .. })), "{error:?}");
    assert!(error.to_string().contains("client-key.pem"), "{error}");

    // The next rotation is a good one.
    issue(&ours, dir.path(), "client");
    ask(&fresh).await.unwrap();
    etcd.kill();
    etcd.restart().await;
    ask(&client).await.unwrap();
}

#[tokio::test]
async fn a_server_of_another_ca_is_refused_unless_told_otherwise() {
    let dir = TempDir::new().unwrap();
    let etcd = secure_etcd(&ca(), dir.path()).await;
    let other = dir.path().join("other.pem");
    fs::write(&other, ca().pem()).unwrap();
    let with = |change: fn(&mut TlsFiles)| {
        let mut tls = TlsFiles { trusted_ca_file: Some(other.clone()), ..etcd.config().tls };
        change(&mut tls);
        Client::new(Config::new(vec![etcd.endpoint()], tls)).unwrap()
    };
    let error = ask(&with(|_| ())).await.unwrap_err();
    assert!(matches!(&error, Error::Tls { reason, .. } if reason.contains("certificate")), "{error:?}");
    ask(&with(|tls| tls.insecure_skip_tls_verify = true)).await.unwrap();
    let error = ask(&with(|tls| tls.key_file = None)).await.unwrap_err();
    assert!(matches!(&error, Error::Files(cause) if matches!(**cause, TlsError::Half { .. })), "{error:?}");
    let nobody = with(|tls| {
        tls.insecure_skip_tls_verify = true;
        (tls.cert_file, tls.key_file) = (None, None);
    });
    let error = ask(&nobody).await.unwrap_err();
    assert!(matches!(error, Error::Tls { .. }), "{error:?}");
}
