use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::{CryptoProvider, aws_lc_rs as provider},
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject},
};

use super::danger::AcceptAny;
use crate::types::TlsFiles;

/// Why certificate files cannot be used. The text names the file.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file is missing or may not be read.
    #[error("cannot read {}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A file is not PEM, is damaged, or holds something else than it should.
    #[error("{} holds no valid PEM of the expected kind", .path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// Where the parser stopped.
        source: pem::Error,
    },
    /// A certificate of the CA bundle cannot be used as a root.
    #[error("{} contains a certificate that cannot be a CA", .path.display())]
    Ca {
        /// The file.
        path: PathBuf,
        /// What rustls says.
        source: rustls::Error,
    },
    /// Certificate and key do not belong together, as during a rotation, or the key is of an unknown type.
    #[error("{} and {} cannot be used as client certificate and key", .cert.display(), .key.display())]
    Pair {
        /// The certificate file.
        cert: PathBuf,
        /// The key file.
        key: PathBuf,
        /// What rustls says.
        source: rustls::Error,
    },
    /// Only one of client certificate and key is given.
    #[error("{} is given alone: a client needs both a certificate and a key", .path.display())]
    Half {
        /// The file that was given.
        path: PathBuf,
    },
    /// The system has no CA certificates: install them, or name a CA file.
    #[error("the system has no CA certificates")]
    NoSystemRoots,
}

/// Reads the files and builds the client side of TLS for HTTP/2. Blocks.
pub(super) fn client_config(files: &TlsFiles) -> Result<ClientConfig, TlsError> {
    let provider = Arc::new(provider::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .expect("the aws-lc-rs provider has suites for TLS 1.2 and 1.3");
    let builder = if files.insecure_skip_tls_verify {
        builder.dangerous().with_custom_certificate_verifier(accept_any(provider))
    } else {
        builder.with_root_certificates(roots(files.trusted_ca_file.as_deref())?)
    };
    let mut config = match (&files.cert_file, &files.key_file) {
        (Some(cert), Some(key)) => builder
            .with_client_auth_cert(certificates(cert)?, private_key(key)?)
            .map_err(|source| TlsError::Pair { cert: cert.clone(), key: key.clone(), source })?,
        (None, None) => builder.with_no_client_auth(),
        (Some(path), None) | (None, Some(path)) => return Err(TlsError::Half { path: path.clone() }),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

fn accept_any(provider: Arc<CryptoProvider>) -> Arc<AcceptAny> {
    Arc::new(AcceptAny(provider))
}

fn roots(file: Option<&Path>) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    let Some(path) = file else {
        // System stores may hold certificates that webpki does not read; the others still count.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return if roots.is_empty() { Err(TlsError::NoSystemRoots) } else { Ok(roots) };
    };
    for cert in certificates(path)? {
        roots.add(cert).map_err(|source| TlsError::Ca { path: path.to_owned(), source })?;
    }
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let pem_error = |source| TlsError::Pem { path: path.to_owned(), source };
    let certs: Vec<_> =
        CertificateDer::pem_slice_iter(&read(path)?).collect::<Result<_, _>>().map_err(pem_error)?;
    if certs.is_empty() { Err(pem_error(pem::Error::NoItemsFound)) } else { Ok(certs) }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(&read(path)?)
        .map_err(|source| TlsError::Pem { path: path.to_owned(), source })
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|source| TlsError::Read { path: path.to_owned(), source })
}
