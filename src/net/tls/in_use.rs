//! The certificates that connections are made with, whoever makes them: for the metric of their expiry and for
//! `check-config`.

use std::{
    collections::{BTreeSet, HashMap},
    path::{Path, PathBuf},
    sync::{Arc, LazyLock, Weak},
};

use parking_lot::Mutex;
use rustls::pki_types::CertificateDer;

use super::x509::Certificate;

/// A certificate file in use, and what was read from it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CertificateFile {
    /// The file.
    pub path: PathBuf,
    /// What for.
    pub usage: Usage,
    /// What it holds, the first to expire first, as far as it is kept.
    pub certificates: Vec<Certificate>,
    /// What is wrong with the certificates in it that are left out.
    pub unreadable: Vec<String>,
}

/// What a certificate is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Usage {
    /// To check those of peers.
    Ca,
    /// To identify the gateway to clusters and etcd.
    Client,
    /// To identify the gateway to its clients.
    Server,
}

/// Keeps files listed as in use for as long as it exists: it belongs into what the connections are made with.
#[derive(Debug)]
pub(super) struct InUse(
    #[expect(dead_code, reason = "the list refers to it weakly: it exists to be dropped")]
    Arc<Vec<CertificateFile>>,
);

/// Weak, so that nothing needs to be told what is no longer used.
#[derive(Default)]
struct Ledger {
    files: Vec<Weak<Vec<CertificateFile>>>,
    /// What was logged last of the files that are partly unreadable.
    logged: HashMap<PathBuf, Vec<String>>,
}

// === impl Usage ===

impl Usage {
    /// As in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ca => "ca",
            Self::Client => "client",
            Self::Server => "server",
        }
    }
}

// === impl CertificateFile ===

impl CertificateFile {
    pub(super) fn new(
        path: &Path,
        usage: Usage,
        certs: &[CertificateDer<'_>],
        unreadable: Vec<String>,
    ) -> Self {
        let certificates: BTreeSet<_> = certs.iter().filter_map(|cert| Certificate::read(cert)).collect();
        let certificates = certificates.into_iter().take(MAX_PER_FILE).collect();
        Self { path: path.to_owned(), usage, certificates, unreadable }
    }
}

// === impl InUse ===

impl InUse {
    /// Lists the files, and logs what is unreadable in them unless that is known.
    pub(super) fn new(files: Vec<CertificateFile>) -> Self {
        let files = Arc::new(files);
        let mut ledger = LEDGER.lock();
        for file in files.iter() {
            ledger.log(file);
        }
        ledger.files.retain(|file| file.strong_count() > 0);
        ledger.files.push(Arc::downgrade(&files));
        Self(files)
    }
}

// === impl Ledger ===

impl Ledger {
    fn log(&mut self, file: &CertificateFile) {
        if file.unreadable.is_empty() {
            self.logged.remove(&file.path);
            return;
        }
        if self.logged.get(&file.path) == Some(&file.unreadable) {
            return;
        }
        tracing::warn!(
            file = %file.path.display(),
            left_out = file.unreadable.join("; "),
            "some certificates of a CA bundle cannot be read: the others are used"
        );
        if self.logged.len() < MAX_LOGGED {
            self.logged.insert(file.path.clone(), file.unreadable.clone());
        }
    }
}

/// The certificate files that connections of this process are made with, in order, each as often as it has different
/// contents. Where no CA file is named, the system's certificates are used, which are not listed.
pub fn certificates_in_use() -> BTreeSet<CertificateFile> {
    let held: Vec<_> = LEDGER.lock().files.iter().filter_map(Weak::upgrade).collect();
    held.iter().flat_map(|files| files.iter().cloned()).collect()
}

static LEDGER: LazyLock<Mutex<Ledger>> = LazyLock::new(Mutex::default);

/// Certificates of one file that are listed: those that expire first.
const MAX_PER_FILE: usize = 32;

/// Files whose faults are remembered.
const MAX_LOGGED: usize = 1024;
