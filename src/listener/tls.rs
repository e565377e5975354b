use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use arc_swap::ArcSwap;
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// The listener's certificate and key, exchangeable while connections go on.
#[derive(Clone)]
pub struct ServerTls {
    config: Arc<ArcSwap<ServerConfig>>,
}

/// A certificate or key could not be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file is missing, unreadable, or holds no PEM of that kind.
    #[error("cannot read {what} from {}: {error}", .path.display())]
    Read {
        /// `certificates` or `a private key`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What went wrong.
        error: rustls::pki_types::pem::Error,
    },
    /// The file holds no certificate.
    #[error("{} holds no certificate: a PEM file with the server's chain is needed", .0.display())]
    Empty(PathBuf),
    /// The key does not fit the certificate, or has an algorithm that is not supported.
    #[error("the key in {} does not work with the certificate: {error}", .path.display())]
    Pair {
        /// The key's file.
        path: PathBuf,
        /// What went wrong.
        error: rustls::Error,
    },
}

// === impl ServerTls ===

impl ServerTls {
    /// Loads a PEM certificate chain and its key. Offers HTTP/2 and HTTP/1.1.
    pub fn load(cert_file: &Path, key_file: &Path) -> Result<Self, TlsError> {
        Ok(Self { config: Arc::new(ArcSwap::from_pointee(server_config(cert_file, key_file)?)) })
    }

    /// Loads the files again for new connections. On an error nothing changes.
    pub fn reload(&self, cert_file: &Path, key_file: &Path) -> Result<(), TlsError> {
        self.config.store(Arc::new(server_config(cert_file, key_file)?));
        Ok(())
    }

    pub(super) async fn accept<I>(&self, io: I) -> std::io::Result<TlsStream<I>>
    where
        I: AsyncRead + AsyncWrite + Unpin,
    {
        TlsAcceptor::from(self.config.load_full()).accept(io).await
    }
}

fn server_config(cert_file: &Path, key_file: &Path) -> Result<ServerConfig, TlsError> {
    let read = |what, path: &Path| {
        let path = path.to_owned();
        move |error| TlsError::Read { what, path, error }
    };
    let chain = CertificateDer::pem_file_iter(cert_file)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(read("certificates", cert_file))?;
    if chain.is_empty() {
        return Err(TlsError::Empty(cert_file.to_owned()));
    }
    let key = PrivateKeyDer::from_pem_file(key_file).map_err(read("a private key", key_file))?;
    let pair = |error| TlsError::Pair { path: key_file.to_owned(), error };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(pair)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(pair)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    if let Ok(ticketer) = rustls::crypto::aws_lc_rs::Ticketer::new() {
        config.ticketer = ticketer;
    }
    Ok(config)
}
