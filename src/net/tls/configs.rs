use std::{collections::HashMap, path::PathBuf, sync::Arc, time::Duration};

use futures::{
    FutureExt,
    future::{BoxFuture, Shared, join_all},
};
use parking_lot::Mutex;
use rustls::ClientConfig;
use tokio::{sync::watch, time::timeout};

use super::{ClientFiles, TlsError};
use crate::{
    error::Chain,
    net::{FILE_TIMEOUT, FileTimeout, in_time_then},
    types::{ClusterName, Snapshot, TlsFiles},
};

/// The client side of TLS per set of files, built once and shared by all workers. Cheap to clone.
///
/// TLS 1.2 and 1.3, `http/1.1` only, sessions resumed. Files are read off the runtimes' threads, and never while a lock
/// is held: a file system that hangs delays only the clusters whose files it has.
#[derive(Clone)]
pub struct TlsConfigs {
    inner: Arc<Inner>,
}

/// Reads certificate files. May block.
pub type ReadFiles = fn(&TlsFiles) -> Result<ClientFiles, TlsError>;

struct Inner {
    entries: Mutex<HashMap<TlsFiles, Entry>>,
    read: ReadFiles,
    /// Counts changes of what was in use.
    changes: watch::Sender<u64>,
}

type Built = Result<Arc<ClientConfig>, Arc<TlsError>>;

#[derive(Default)]
struct Entry {
    /// Over everything that was read, to find out whether a later reading differs.
    digest: Option<[u8; 32]>,
    /// What new connections get. `None` before the first reading.
    config: Option<Built>,
    /// The reading that is under way.
    reading: Option<Reading>,
    /// The number of its last change.
    changed: u64,
    /// What the last reading found wrong, so that it is reported once.
    fault: Option<String>,
}

/// A reading under way; every waiter gets its outcome.
type Reading = Shared<BoxFuture<'static, Outcome>>;

#[derive(Clone)]
struct Outcome {
    config: Built,
    /// Whether it is a fault that the previous reading did not find.
    is_new: bool,
}

/// A reading that has begun. While it exists, no second one of the same files starts.
struct UnderWay {
    inner: Arc<Inner>,
    files: TlsFiles,
}

// === impl TlsConfigs ===

impl Default for TlsConfigs {
    fn default() -> Self {
        Self::new()
    }
}

impl TlsConfigs {
    /// Holds no configuration yet.
    pub fn new() -> Self {
        Self::with_reader(ClientFiles::read)
    }

    /// Reads files with something else than [`ClientFiles::read`], for tests.
    pub fn with_reader(read: ReadFiles) -> Self {
        let changes = watch::channel(0).0;
        Self { inner: Arc::new(Inner { entries: Mutex::default(), read, changes }) }
    }

    /// Counts the changes after which new connections differ from those that are open, which are to be replaced.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.inner.changes.subscribe()
    }

    /// Whether a set of files has changed since there were `count` changes.
    pub fn have_changed_since(&self, count: u64, files: &TlsFiles) -> bool {
        self.inner.entries.lock().get(files).is_some_and(|entry| entry.changed > count)
    }

    /// Builds what the clusters of a snapshot need; what failed before is tried again. Takes no longer than
    /// [`FILE_TIMEOUT`].
    pub async fn prepare(&self, snapshot: &Snapshot) -> Vec<(ClusterName, Arc<TlsError>)> {
        self.prepare_within(snapshot, FILE_TIMEOUT).await
    }

    /// The same in another time.
    ///
    /// Call it before publishing the snapshot, so that no request waits for files. Returns the clusters that cannot be
    /// reached over TLS now; one whose files could not be read in time works as soon as they have been.
    pub async fn prepare_within(
        &self,
        snapshot: &Snapshot,
        limit: Duration,
    ) -> Vec<(ClusterName, Arc<TlsError>)> {
        let over_tls =
            || snapshot.iter().filter(|cluster| cluster.backends.iter().any(|backend| backend.tls));
        let mut readings = Vec::new();
        for cluster in over_tls() {
            if !matches!(self.inner.known(&cluster.tls), Some(Ok(_))) {
                readings.extend(self.begin(&cluster.tls).ok());
            }
        }
        let _ = timeout(limit, join_all(readings)).await;
        let failed = over_tls().filter_map(|cluster| {
            let error = self.inner.known_by_now(&cluster.tls).err()?;
            Some((cluster.name.clone(), error))
        });
        failed.collect()
    }

    /// Forgets what no cluster of the snapshot needs. Call it after publishing the snapshot.
    pub fn forget_unused(&self, snapshot: &Snapshot) {
        self.inner.entries.lock().retain(|files, _| snapshot.iter().any(|cluster| cluster.tls == *files));
    }

    /// The configuration for a set of files, which are read now if they have not been yet.
    pub async fn get(&self, files: &TlsFiles) -> Result<Arc<ClientConfig>, Arc<TlsError>> {
        if let Some(config) = self.inner.known(files) {
            return config;
        }
        let (Ok(reading) | Err(reading)) = self.begin(files);
        reading.await.config
    }

    /// Reads all files again, the system's CAs only if `all`. What cannot be used changes nothing, and is returned
    /// unless the previous reading failed in the same way; unchanged files keep their configuration and its sessions.
    /// Open connections stay as they are: see [`changes`](Self::changes).
    pub async fn reload(&self, all: bool) -> Vec<Arc<TlsError>> {
        let known: Vec<TlsFiles> = self.inner.entries.lock().keys().cloned().collect();
        let wanted =
            known.iter().filter(|files| all || files.trusted_ca_file.is_some() || files.cert_file.is_some());
        let readings: Vec<_> = wanted.filter_map(|files| self.begin(files).ok()).collect();
        let new_fault = |reading: Reading| async move {
            let outcome = timeout(FILE_TIMEOUT, reading).await.ok()?;
            outcome.config.err().filter(|_| outcome.is_new)
        };
        join_all(readings.into_iter().map(new_fault)).await.into_iter().flatten().collect()
    }

    /// Begins to read a set of files. The error is the reading that is under way already.
    fn begin(&self, files: &TlsFiles) -> Result<Reading, Reading> {
        let mut entries = self.inner.entries.lock();
        let entry = entries.entry(files.clone()).or_default();
        if let Some(reading) = &entry.reading {
            return Err(reading.clone());
        }
        let under_way = UnderWay { inner: Arc::clone(&self.inner), files: files.clone() };
        let (inner, files) = (Arc::clone(&self.inner), files.clone());
        let read = async move {
            let read = move || {
                let read = (under_way.inner.read)(&under_way.files);
                (under_way, read)
            };
            match in_time_then(read, |(under_way, read)| under_way.make(read)).await {
                Ok(outcome) => outcome,
                Err(timeout) => inner.timed_out(&files, timeout),
            }
        };
        let reading = read.boxed().shared();
        entry.reading = Some(reading.clone());
        // It goes on when every waiter has gone.
        drop(tokio::spawn(reading.clone()));
        Ok(reading)
    }
}

// === impl Inner ===

impl Inner {
    fn known(&self, files: &TlsFiles) -> Option<Built> {
        self.entries.lock().get(files)?.config.clone()
    }

    fn unchanged(&self, files: &TlsFiles, digest: [u8; 32]) -> Option<Arc<ClientConfig>> {
        let entries = self.entries.lock();
        let entry = entries.get(files).filter(|entry| entry.digest == Some(digest))?;
        entry.config.clone()?.ok()
    }

    /// What has not been read by now has timed out.
    fn known_by_now(&self, files: &TlsFiles) -> Built {
        self.known(files).unwrap_or_else(|| self.timed_out(files, FileTimeout).config)
    }

    fn timed_out(&self, files: &TlsFiles, source: FileTimeout) -> Outcome {
        let path = [&files.trusted_ca_file, &files.cert_file].into_iter().flatten().next();
        let path = path.cloned().unwrap_or_else(|| PathBuf::from("the system's CA certificates"));
        self.take(files, None, Err(Arc::new(TlsError::Timeout { path, source })))
    }

    /// A configuration that works is used, unless it is the one in use; one that does not replaces none that works.
    fn take(&self, files: &TlsFiles, digest: Option<[u8; 32]>, fresh: Built) -> Outcome {
        let fault = fresh.as_ref().err().map(|error| Chain(&**error).to_string());
        let mut entries = self.entries.lock();
        let Some(entry) = entries.get_mut(files) else {
            return Outcome { config: fresh, is_new: true };
        };
        let is_new = entry.fault != fault;
        entry.fault = fault;
        let works = matches!(entry.config, Some(Ok(_)));
        let same = works && digest.is_some() && digest == entry.digest;
        if !same && (fresh.is_ok() || !works) {
            if fresh.is_ok() && entry.config.is_some() {
                self.changes.send_modify(|count| {
                    *count += 1;
                    entry.changed = *count;
                });
            }
            entry.digest = digest;
            entry.config = Some(fresh.clone());
        }
        Outcome { config: fresh, is_new }
    }
}

// === impl UnderWay ===

impl UnderWay {
    fn make(self, read: Result<ClientFiles, TlsError>) -> Outcome {
        let Self { inner, files } = &self;
        let read = match read {
            Ok(read) => read,
            Err(error) => return inner.take(files, None, Err(Arc::new(error))),
        };
        let digest = read.digest();
        // What has not changed is not built again: a bundle of CAs costs milliseconds.
        let config = match inner.unchanged(files, digest) {
            Some(config) => Ok(config),
            None => read.config(b"http/1.1").map(Arc::new).map_err(Arc::new),
        };
        inner.take(files, Some(digest), config)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if let Some(entry) = self.inner.entries.lock().get_mut(&self.files) {
            entry.reading = None;
        }
    }
}
