use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use aws_lc_rs::digest;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::{CryptoProvider, aws_lc_rs as provider},
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject},
};

use super::danger::AcceptAny;
use crate::types::{ClusterName, Snapshot, TlsFiles};

/// The client side of TLS per set of files, built once and shared by all workers.
///
/// TLS 1.2 and 1.3, `http/1.1` only, sessions resumed.
pub struct TlsConfigs {
    provider: Arc<CryptoProvider>,
    entries: Mutex<HashMap<TlsFiles, Entry>>,
}

/// What reading the files again came to.
#[derive(Debug, Default)]
pub struct Reload {
    /// Whether new connections differ from those that are open.
    pub changed: bool,
    /// Files that cannot be used now.
    pub failed: Vec<Arc<TlsError>>,
}

/// Why certificate files cannot be used.
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
    /// A file is not PEM, or is damaged.
    #[error("{} is not valid PEM", .path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// Where the parser stopped.
        source: pem::Error,
    },
    /// A PEM file without any certificate: often the key was given in its place.
    #[error("{} contains no certificate", .path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// A certificate of the CA bundle cannot be used as a root.
    #[error("{} contains a certificate that cannot be a CA", .path.display())]
    Ca {
        /// The file.
        path: PathBuf,
        /// What rustls says.
        source: rustls::Error,
    },
    /// Certificate and key do not belong together, or the key is of an unknown type.
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
    /// The system has no CA certificates: install them, or name a CA file for the cluster.
    #[error("the system has no CA certificates")]
    NoSystemRoots,
}

struct Entry {
    /// Over everything that was read; tells whether a reload changes anything.
    digest: Option<[u8; 32]>,
    config: Result<Arc<ClientConfig>, Arc<TlsError>>,
}

/// What the files hold.
struct Material {
    roots: Roots,
    client: Option<(Vec<u8>, Vec<u8>)>,
}

enum Roots {
    File(Vec<u8>),
    System(Vec<CertificateDer<'static>>),
    Any,
}

// === impl TlsConfigs ===

impl TlsConfigs {
    /// Holds no configuration yet.
    pub fn new() -> Self {
        Self { provider: Arc::new(provider::default_provider()), entries: Mutex::default() }
    }

    /// Builds what the clusters of a snapshot need and forgets what none of them needs.
    ///
    /// Reads files: call it before publishing the snapshot, outside the workers. Returns the clusters that
    /// cannot be reached over TLS now; the error stays until [`TlsConfigs::reload`] succeeds.
    pub fn prepare(&self, snapshot: &Snapshot) -> Vec<(ClusterName, Arc<TlsError>)> {
        let wanted: Vec<_> = snapshot.iter().filter(|c| c.backends.iter().any(|b| b.tls)).collect();
        let failed = wanted
            .iter()
            .filter_map(|cluster| Some((cluster.name.clone(), self.get(&cluster.tls).err()?)))
            .collect();
        self.lock().retain(|files, _| wanted.iter().any(|cluster| cluster.tls == *files));
        failed
    }

    /// The configuration for a set of files, read now if it is not there yet.
    pub fn get(&self, files: &TlsFiles) -> Result<Arc<ClientConfig>, Arc<TlsError>> {
        let mut entries = self.lock();
        if let Some(entry) = entries.get(files) {
            return entry.config.clone();
        }
        // Under the lock, so that several workers read the files once; `prepare` keeps this path cold.
        let entry = self.load(files);
        let config = entry.config.clone();
        entries.insert(files.clone(), entry);
        config
    }

    /// Reads all files again. What cannot be used is returned and changes nothing; unchanged files keep their
    /// configuration and its sessions. Open connections stay as they are: see [`Manager::renew`].
    ///
    /// [`Manager::renew`]: super::Manager::renew
    pub fn reload(&self) -> Reload {
        let known: Vec<TlsFiles> = self.lock().keys().cloned().collect();
        let mut reload = Reload::default();
        for files in known {
            let fresh = self.load(&files);
            if let Err(error) = &fresh.config {
                reload.failed.push(error.clone());
            }
            let mut entries = self.lock();
            let Some(entry) = entries.get_mut(&files) else { continue };
            let broken = fresh.config.is_err() && entry.config.is_ok();
            let same = fresh.digest.is_some() && fresh.digest == entry.digest && entry.config.is_ok();
            if !broken && !same {
                reload.changed |= fresh.config.is_ok();
                *entry = fresh;
            }
        }
        reload
    }

    fn load(&self, files: &TlsFiles) -> Entry {
        match Material::read(files) {
            Err(error) => Entry { digest: None, config: Err(Arc::new(error)) },
            Ok(material) => {
                let config = material.build(files, &self.provider).map(Arc::new).map_err(Arc::new);
                Entry { digest: Some(material.digest()), config }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TlsFiles, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for TlsConfigs {
    fn default() -> Self {
        Self::new()
    }
}

// === impl Material ===

impl Material {
    fn read(files: &TlsFiles) -> Result<Self, TlsError> {
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
        Ok(Self { roots, client })
    }

    fn build(&self, files: &TlsFiles, provider: &Arc<CryptoProvider>) -> Result<ClientConfig, TlsError> {
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .expect("the aws-lc-rs provider has suites for TLS 1.2 and 1.3");
        let builder = match &self.roots {
            Roots::Any => {
                builder.dangerous().with_custom_certificate_verifier(Arc::new(AcceptAny(provider.clone())))
            }
            Roots::System(certs) => builder.with_root_certificates(system_roots(certs)?),
            Roots::File(text) => {
                let path = files.trusted_ca_file.as_deref().unwrap_or(Path::new(""));
                builder.with_root_certificates(roots_of(text, path)?)
            }
        };
        let mut config = match (&self.client, &files.cert_file, &files.key_file) {
            (Some((chain, key)), Some(cert_path), Some(key_path)) => builder
                .with_client_auth_cert(certificates(chain, cert_path)?, private_key(key, key_path)?)
                .map_err(|source| TlsError::Pair {
                    cert: cert_path.clone(),
                    key: key_path.clone(),
                    source,
                })?,
            _ => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }

    fn digest(&self) -> [u8; 32] {
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

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|source| TlsError::Read { path: path.to_owned(), source })
}

fn certificates(text: &[u8], path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certs: Vec<_> = CertificateDer::pem_slice_iter(text)
        .collect::<Result<_, _>>()
        .map_err(|source| TlsError::Pem { path: path.to_owned(), source })?;
    if certs.is_empty() { Err(TlsError::Empty { path: path.to_owned() }) } else { Ok(certs) }
}

fn private_key(text: &[u8], path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(text).map_err(|source| TlsError::Pem { path: path.to_owned(), source })
}

fn roots_of(text: &[u8], path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for cert in certificates(text, path)? {
        roots.add(cert).map_err(|source| TlsError::Ca { path: path.to_owned(), source })?;
    }
    Ok(roots)
}

fn system_roots(certs: &[CertificateDer<'static>]) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    // System stores may hold certificates that webpki does not read; the others still count.
    roots.add_parsable_certificates(certs.iter().cloned());
    if roots.is_empty() { Err(TlsError::NoSystemRoots) } else { Ok(roots) }
}
