use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rustls::ClientConfig;

use crate::{
    tls::{ClientFiles, TlsError},
    types::{ClusterName, Snapshot, TlsFiles},
};

/// The client side of TLS per set of files, built once and shared by all workers.
///
/// TLS 1.2 and 1.3, `http/1.1` only, sessions resumed.
#[derive(Default)]
pub struct TlsConfigs {
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

struct Entry {
    /// Over everything that was read; tells whether a reload changes anything.
    digest: Option<[u8; 32]>,
    config: Result<Arc<ClientConfig>, Arc<TlsError>>,
}

// === impl TlsConfigs ===

impl TlsConfigs {
    /// Holds no configuration yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Builds what the clusters of a snapshot need; what failed before is tried again.
    ///
    /// Reads files: call it before publishing the snapshot, outside the workers. Returns the clusters that
    /// cannot be reached over TLS now.
    pub fn prepare(&self, snapshot: &Snapshot) -> Vec<(ClusterName, Arc<TlsError>)> {
        self.lock().retain(|_, entry| entry.config.is_ok());
        snapshot
            .iter()
            .filter(|cluster| cluster.backends.iter().any(|backend| backend.tls))
            .filter_map(|cluster| Some((cluster.name.clone(), self.get(&cluster.tls).err()?)))
            .collect()
    }

    /// Forgets what no cluster of the snapshot needs. Call it after publishing the snapshot.
    pub fn forget_unused(&self, snapshot: &Snapshot) {
        self.lock().retain(|files, _| snapshot.iter().any(|cluster| cluster.tls == *files));
    }

    /// The configuration for a set of files, read now if it is not there yet.
    pub fn get(&self, files: &TlsFiles) -> Result<Arc<ClientConfig>, Arc<TlsError>> {
        let mut entries = self.lock();
        if let Some(entry) = entries.get(files) {
            return entry.config.clone();
        }
        // Under the lock, so that several workers read the files once; `prepare` keeps this path cold.
        let entry = load(files);
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
            let fresh = load(&files);
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

    fn lock(&self) -> MutexGuard<'_, HashMap<TlsFiles, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn load(files: &TlsFiles) -> Entry {
    match ClientFiles::read(files) {
        Err(error) => Entry { digest: None, config: Err(Arc::new(error)) },
        Ok(read) => {
            let config = read.config(b"http/1.1").map(Arc::new).map_err(Arc::new);
            Entry { digest: Some(read.digest()), config }
        }
    }
}
