use std::{path::Path, sync::Arc};

use aws_lc_rs::digest;
use rustls::{
    ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier, client::danger::ServerCertVerifier,
    pki_types::CertificateDer,
};

use super::{
    PROVIDER, TlsError,
    bundle::Bundle,
    danger::AcceptAny,
    in_use::{CertificateFile, InUse, Usage},
    pem::{certificates, private_key, read},
    verify::Verifier,
};
use crate::types::TlsFiles;

/// The contents of a client's certificate files.
pub struct ClientFiles {
    files: TlsFiles,
    roots: Roots,
    client: Option<(Vec<u8>, Vec<u8>)>,
}

enum Roots {
    File(Vec<u8>),
    System(Vec<CertificateDer<'static>>),
    Any,
}

// === impl ClientFiles ===

impl ClientFiles {
    /// Reads the files. Blocks: see [`in_time`](crate::net::in_time).
    pub fn read(files: &TlsFiles) -> Result<Self, TlsError> {
        let roots = match &files.trusted_ca_file {
            _ if files.insecure_skip_tls_verify => Roots::Any,
            Some(path) => Roots::File(read(path)?),
            None => Roots::System(rustls_native_certs::load_native_certs().certs),
        };
        let client = match (&files.cert_file, &files.key_file) {
            (Some(cert), Some(key)) => Some((read(cert)?, read(key)?)),
            (None, None) => None,
            (Some(path), None) | (None, Some(path)) => return Err(TlsError::Half { path: path.clone() }),
        };
        Ok(Self { files: files.clone(), roots, client })
    }

    /// The client side of TLS 1.2 and 1.3 for one protocol, named as in ALPN.
    pub fn config(&self, protocol: &[u8]) -> Result<ClientConfig, TlsError> {
        let Self { files, roots, client } = self;
        let mut in_use = Vec::new();
        let client = match (client, &files.cert_file, &files.key_file) {
            (Some((chain, key)), Some(cert_path), Some(key_path)) => {
                let chain = certificates(chain, cert_path)?;
                in_use.push(CertificateFile::new(cert_path, Usage::Client, &chain, Vec::new()));
                Some((chain, private_key(key, key_path)?, cert_path, key_path))
            }
            _ => None,
        };
        let verifier = verifier(roots, files, in_use)?;
        let builder = builder().dangerous().with_custom_certificate_verifier(verifier);
        let mut config = match client {
            Some((chain, key, cert_path, key_path)) => {
                builder.with_client_auth_cert(chain, key).map_err(|source| TlsError::Pair {
                    cert: cert_path.clone(),
                    key: key_path.clone(),
                    source,
                })?
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![protocol.to_vec()];
        Ok(config)
    }

    /// Over everything that was read, to find out whether a later reading differs.
    pub fn digest(&self) -> [u8; 32] {
        let mut context = digest::Context::new(&digest::SHA256);
        let mut add = |part: &[u8]| {
            context.update(&part.len().to_le_bytes());
            context.update(part);
        };
        match &self.roots {
            Roots::File(text) => add(text),
            Roots::System(certs) => certs.iter().for_each(|cert| add(cert)),
            Roots::Any => {}
        }
        if let Some((cert, key)) = &self.client {
            add(cert);
            add(key);
        }
        let mut sum = [0; 32];
        sum.copy_from_slice(context.finish().as_ref());
        sum
    }
}

fn builder() -> ConfigBuilder<ClientConfig, WantsVerifier> {
    ClientConfig::builder_with_provider(PROVIDER.clone())
        .with_safe_default_protocol_versions()
        .expect("the aws-lc-rs provider has suites for TLS 1.2 and 1.3")
}

/// Decides about server certificates, and lists the files in use for as long as it does.
fn verifier(
    roots: &Roots,
    files: &TlsFiles,
    mut in_use: Vec<CertificateFile>,
) -> Result<Arc<dyn ServerCertVerifier>, TlsError> {
    let (roots, certs) = match roots {
        Roots::Any => return Ok(Arc::new(AcceptAny { _in_use: InUse::new(in_use) })),
        Roots::System(certs) => (system_roots(certs)?, certs.clone()),
        Roots::File(text) => {
            let path = files.trusted_ca_file.as_deref().unwrap_or(Path::new(""));
            let Bundle { roots, certs, unreadable } = Bundle::read(text, path)?;
            in_use.push(CertificateFile::new(path, Usage::Ca, &certs, unreadable));
            (roots, certs)
        }
    };
    let verifier = Verifier::new(roots, &certs, InUse::new(in_use)).map_err(|_| TlsError::NoSystemRoots)?;
    Ok(Arc::new(verifier))
}

fn system_roots(certs: &[CertificateDer<'static>]) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    // System stores may hold certificates that webpki does not read; the others still count.
    roots.add_parsable_certificates(certs.iter().cloned());
    if roots.is_empty() { Err(TlsError::NoSystemRoots) } else { Ok(roots) }
}
