use std::{path::Path, sync::Arc};

use arc_swap::ArcSwap;
use rustls::{ServerConfig, crypto::aws_lc_rs::Ticketer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::{
    PROVIDER, TlsError,
    in_use::{CertificateFile, InUse, Usage},
    pem,
};
use crate::net::in_time;

/// The listener's certificate and key, replaceable while connections go on.
#[derive(Clone)]
pub struct ServerTls {
    loaded: Arc<ArcSwap<Loaded>>,
}

struct Loaded {
    config: Arc<ServerConfig>,
    _in_use: InUse,
}

// === impl ServerTls ===

impl ServerTls {
    /// Loads a PEM certificate chain and its key. Offers HTTP/2 and HTTP/1.1. Blocks: see
    /// [`load_in_time`](Self::load_in_time).
    pub fn load(cert_file: &Path, key_file: &Path) -> Result<Self, TlsError> {
        Ok(Self { loaded: Arc::new(ArcSwap::from_pointee(server_config(cert_file, key_file)?)) })
    }

    /// As [`load`](Self::load), but off the runtime's thread, and gives up on a file system that hangs.
    pub async fn load_in_time(cert_file: &Path, key_file: &Path) -> Result<Self, TlsError> {
        let (cert, key) = (cert_file.to_owned(), key_file.to_owned());
        let timed_out = |source| TlsError::Timeout { path: cert_file.to_owned(), source };
        in_time(move || Self::load(&cert, &key)).await.map_err(timed_out)?
    }

    /// Loads the files again for new connections. On an error nothing changes. Blocks.
    pub fn reload(&self, cert_file: &Path, key_file: &Path) -> Result<(), TlsError> {
        self.loaded.store(Arc::new(server_config(cert_file, key_file)?));
        Ok(())
    }

    /// The server side of a handshake.
    ///
    /// # Errors
    /// With the transport: the peer has been sent an alert, and should be left the time to read it.
    pub async fn accept<I>(&self, io: I) -> Result<TlsStream<I>, (std::io::Error, I)>
    where
        I: AsyncRead + AsyncWrite + Unpin,
    {
        TlsAcceptor::from(Arc::clone(&self.loaded.load().config)).accept(io).into_fallible().await
    }
}

fn server_config(cert_file: &Path, key_file: &Path) -> Result<Loaded, TlsError> {
    let chain = pem::certificates(&pem::read(cert_file)?, cert_file)?;
    let key = pem::private_key(&pem::read(key_file)?, key_file)?;
    let file = CertificateFile::new(cert_file, Usage::Server, &chain, Vec::new());
    let mut config = ServerConfig::builder_with_provider(PROVIDER.clone())
        .with_safe_default_protocol_versions()
        .expect("the aws-lc-rs provider has suites for TLS 1.2 and 1.3")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|source| TlsError::Pair { cert: cert_file.to_owned(), key: key_file.to_owned(), source })?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    if let Ok(ticketer) = Ticketer::new() {
        config.ticketer = ticketer;
    }
    Ok(Loaded { config: Arc::new(config), _in_use: InUse::new(vec![file]) })
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf, time::Duration};

    use tempfile::TempDir;

    use super::*;

    fn pair(directory: &TempDir) -> (PathBuf, PathBuf) {
        let issued = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (cert, key) = (directory.path().join("cert.pem"), directory.path().join("key.pem"));
        fs::write(&cert, issued.cert.pem()).unwrap();
        fs::write(&key, issued.signing_key.serialize_pem()).unwrap();
        (cert, key)
    }

    /// Opening a pipe without a writer, or reading a device to its end, would never return.
    fn promptly<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
        let (done, result) = std::sync::mpsc::channel();
        std::thread::spawn(move || done.send(work()));
        result.recv_timeout(Duration::from_secs(5)).expect("the file was refused at once")
    }

    #[test]
    fn only_regular_files_are_read_at_start_and_at_reload() {
        let directory = tempfile::tempdir().unwrap();
        let (cert, key) = pair(&directory);
        let fifo = directory.path().join("fifo");
        assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        let tls = ServerTls::load(&cert, &key).unwrap();
        let in_use = tls.loaded.load_full();
        for endless in [fifo, PathBuf::from("/dev/zero")] {
            for (cert, key) in [(endless.clone(), key.clone()), (cert.clone(), endless)] {
                let tls = tls.clone();
                let (started, reloaded) =
                    promptly(move || (ServerTls::load(&cert, &key).err(), tls.reload(&cert, &key)));
                assert!(matches!(started, Some(TlsError::Read { .. })), "{started:?}");
                assert!(matches!(reloaded, Err(TlsError::Read { .. })), "{reloaded:?}");
            }
        }
        assert!(Arc::ptr_eq(&in_use, &tls.loaded.load_full()), "a failed reload changes nothing");
        tls.reload(&cert, &key).unwrap();
    }

    #[test]
    fn a_certificate_and_a_key_given_in_each_others_place_are_named() {
        let directory = tempfile::tempdir().unwrap();
        let (cert, key) = pair(&directory);
        let error = |cert: &Path, key: &Path| ServerTls::load(cert, key).err().unwrap();
        assert!(matches!(error(&key, &key), TlsError::Empty { path } if path == key));
        assert!(matches!(error(&cert, &cert), TlsError::NoKey { path } if path == cert));
        let other = tempfile::tempdir().unwrap();
        assert!(matches!(error(&cert, &pair(&other).1), TlsError::Pair { .. }));
    }
}
