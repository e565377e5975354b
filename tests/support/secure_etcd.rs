//! An etcd that is reached over TLS, and the certificates for it.

use std::{fs, path::Path};

use fedgate::types::TlsFiles;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

use crate::etcd_server::Etcd;

pub(crate) type Ca = CertifiedIssuer<'static, KeyPair>;

pub(crate) fn ca() -> Ca {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// Writes a certificate of the CA, for a user of this name, and its key as `{name}.pem` and `{name}-key.pem`.
pub(crate) fn issue(ca: &Ca, dir: &Path, name: &str) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    let cert = params.signed_by(&key, ca).unwrap();
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
