use std::{
    collections::BTreeMap,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwap;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
};

use super::{metrics::Reloads, notify::Notifier, web};
use crate::{
    auth::{Authenticator, KeyFiles, Keys, SigningKey},
    authz::Minter,
    config::{self, Root},
    error::Chain,
    net::{ServerTls, TlsConfigs},
    telemetry::{Access, LogHandle},
    types::Snapshot,
    webui::Content,
};

/// Where a configuration came from, to read it again.
#[derive(Clone, Debug)]
pub struct Source {
    /// The file.
    pub path: PathBuf,
    /// The environment at start.
    pub env: BTreeMap<String, String>,
}

/// Applies changed files while the gateway runs: on SIGHUP, and when a file changes.
///
/// Keys, certificates, clusters, the web UI and what is logged take effect at once; the rest at the next start, which is
/// logged. A bad file changes nothing, and the log says why.
pub(super) struct Reloader {
    pub(super) current: Root,
    pub(super) source: Option<Source>,
    pub(super) authenticator: Arc<Authenticator>,
    pub(super) tls: Option<ServerTls>,
    pub(super) tls_configs: TlsConfigs,
    /// The clusters of the configuration, for the registry.
    pub(super) configured: watch::Sender<Arc<Snapshot>>,
    /// Signs with the private key, when there is one.
    pub(super) minter: Option<Minter>,
    /// What is served as the web UI.
    pub(super) web: Arc<ArcSwap<Content>>,
    pub(super) logs: LogHandle,
    pub(super) notifier: Notifier,
    pub(super) access: Arc<Access>,
    /// How it went, for the metrics.
    pub(super) reloads: Reloads,
    pub(super) hangup: Signal,
    /// The files as they were read last.
    pub(super) seen: Stamps,
    /// Why the last change could not be applied yet.
    pub(super) fault: Option<String>,
}

/// Listens for SIGHUP from now on: one that comes before the reloader runs must neither end the process nor be lost.
pub(super) fn hangups() -> std::io::Result<Signal> {
    signal(SignalKind::hangup())
}

/// What a change of a file changes; `None` when it is not there.
type Stamp = Option<(SystemTime, u64, u64, i64, i64)>;

/// Files and their stamps.
pub(super) type Stamps = BTreeMap<PathBuf, Stamp>;

/// What was read of all files but the clusters' certificates.
struct Loaded {
    keys: Keys,
    private: Option<Arc<SigningKey>>,
    web: Content,
}

// === impl Reloader ===

impl Reloader {
    /// Takes the files as they are now as read: only later changes are applied.
    pub(super) fn with_baseline(mut self) -> Self {
        self.seen = stamps(self.files());
        self
    }

    /// Runs until the process ends. A file system that hangs stops this, and nothing else.
    pub(super) async fn run(mut self) {
        let mut ticks = tokio::time::interval(WATCH_INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let asked = tokio::select! {
                received = self.hangup.recv() => received.is_some(),
                _ = ticks.tick() => false,
            };
            let now = self.stamps().await;
            // A file that was not needed before is read when it is first used.
            let changed = now.iter().any(|(path, stamp)| self.seen.get(path).is_some_and(|old| old != stamp));
            // Stamped before reading: a change in between is seen at the next tick.
            self.seen = now;
            if asked || changed || self.fault.is_some() {
                let logged = self.fault.take().filter(|_| !asked && !changed);
                self.reload(logged).await;
            }
            // Clusters come and go, and their files are few and small: read, not stamped.
            for error in self.tls_configs.reload(asked).await {
                let error = Chain(&*error);
                tracing::error!(%error, "a cluster's certificate files cannot be used; the old ones stay");
            }
        }
    }

    /// What fails is tried again, as another of the files may be what is missing; it is logged unless it is what was
    /// `logged` last.
    async fn reload(&mut self, logged: Option<String>) {
        // What is tried again is no reload that anybody has asked for.
        let is_retry = logged.is_some();
        if !is_retry {
            self.notifier.reloading();
        }
        let read = self.try_reload().await;
        self.reloads.record(read.is_ok());
        match read {
            Ok(root) => {
                tracing::info!("configuration and files were read again");
                let other_files = self.current != root || root.web_ui.directory.is_some();
                self.current = root;
                if other_files {
                    self.seen = self.stamps().await;
                }
            }
            Err(error) => {
                if logged.as_ref() != Some(&error) {
                    tracing::error!(
                        error,
                        "the changed configuration or its files are wrong; nothing was changed"
                    );
                }
                self.fault = Some(error);
            }
        }
        if !is_retry || self.fault.is_none() {
            self.notifier.reloaded(self.fault.is_none());
        }
    }

    async fn try_reload(&mut self) -> Result<Root, String> {
        let root = match self.source.clone() {
            None => self.current.clone(),
            Some(source) => {
                let loaded = run_blocking(move || config::load(&source.path, &source.env)).await;
                loaded.map_err(|error| error.to_string())?
            }
        };
        self.apply(&root).await?;
        Ok(root)
    }

    /// Everything is loaded before anything is changed.
    async fn apply(&mut self, root: &Root) -> Result<(), String> {
        let snapshot = root.snapshot();
        if let Some((cluster, error)) = self.tls_configs.prepare(&snapshot).await.into_iter().next() {
            return Err(format!("cluster {cluster}: {}", Chain(&*error)));
        }
        let (wanted, tls) = (root.clone(), self.tls.clone());
        let Loaded { keys, private, web } = run_blocking(move || load(&wanted, tls.as_ref())).await?;
        self.authenticator.reload(keys);
        // Replaced even when it is the same: a dashboard's connections may need the new certificates.
        self.web.store(Arc::new(web));
        if let Some((minter, key)) = self.minter.as_ref().zip(private) {
            minter.replace(key);
        }
        let snapshot = Arc::new(snapshot);
        self.configured.send_if_modified(|current| {
            let changed = *current != snapshot;
            *current = snapshot;
            changed
        });
        self.logs.set_level(root.log.level);
        self.access.set_lines(root.log.access);
        if needs_restart(&self.current, root) {
            tracing::warn!(
                "only keys, certificates, clusters, web-ui, log.level and log.access change while running; the rest at the next start"
            );
        }
        Ok(())
    }

    async fn stamps(&self) -> Stamps {
        let files = self.files();
        run_blocking(move || stamps(files)).await
    }

    fn files(&self) -> Vec<PathBuf> {
        let root = &self.current;
        self.source
            .iter()
            .map(|source| source.path.clone())
            .chain(root.auth.jwt_public_key_files.iter().cloned())
            .chain(root.auth.jwt_private_key_file.iter().cloned())
            .chain(root.listen.cert_file.iter().cloned())
            .chain(root.listen.key_file.iter().cloned())
            .chain(self.web.load().watched().iter().cloned())
            .collect()
    }
}

/// The listener's certificate is in use when this returns, and nothing else.
fn load(root: &Root, tls: Option<&ServerTls>) -> Result<Loaded, String> {
    let keys = KeyFiles::load(&root.auth.jwt_public_key_files).map_err(|e| e.to_string())?;
    let private = root.auth.jwt_private_key_file.as_ref().map(|path| SigningKey::load(path, &keys));
    let private = private.transpose().map_err(|e| e.to_string())?.map(Arc::new);
    let web = web::content(root).map_err(|e| e.to_string())?;
    if let Some((tls, (cert, key))) = tls.zip(root.listen.tls()) {
        tls.reload(cert, key).map_err(|e| Chain(&e).to_string())?;
    }
    Ok(Loaded { keys, private, web })
}

/// Runs work on files on a thread of its own, for as long as it takes.
async fn run_blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let mut task = tokio::task::spawn_blocking(work);
    let done = if let Ok(done) = tokio::time::timeout(PATIENCE, &mut task).await {
        done
    } else {
        tracing::error!("reading the configuration's files hangs: nothing is reloaded until it ends");
        task.await
    };
    match done.map_err(tokio::task::JoinError::try_into_panic) {
        Ok(done) => done,
        Err(Ok(panic)) => std::panic::resume_unwind(panic),
        // The runtime ends, and this with it.
        Err(Err(_)) => std::future::pending().await,
    }
}

fn stamps(files: Vec<PathBuf>) -> Stamps {
    let stamped = |path: PathBuf| {
        let stamp = stamp(&path);
        (path, stamp)
    };
    files.into_iter().map(stamped).collect()
}

/// Whether anything differs that this module does not apply.
fn needs_restart(old: &Root, new: &Root) -> bool {
    let mut applied = old.clone();
    applied.clusters.clone_from(&new.clusters);
    applied.local_cluster.clone_from(&new.local_cluster);
    applied.auth.jwt_public_key_files.clone_from(&new.auth.jwt_public_key_files);
    applied.web_ui.clone_from(&new.web_ui);
    (applied.log.level, applied.log.access) = (new.log.level, new.log.access);
    // Replaced where there was one; what a first one makes possible, or a last one no longer, begins with the process.
    if old.auth.jwt_private_key_file.is_some() == new.auth.jwt_private_key_file.is_some() {
        applied.auth.jwt_private_key_file.clone_from(&new.auth.jwt_private_key_file);
    }
    if old.listen.tls().is_some() == new.listen.tls().is_some() {
        applied.listen.cert_file.clone_from(&new.listen.cert_file);
        applied.listen.key_file.clone_from(&new.listen.key_file);
    }
    applied != *new
}

fn stamp(path: &Path) -> Stamp {
    let found = std::fs::metadata(path).ok()?;
    // A file that was put in place of another may have its time and size.
    Some((found.modified().ok()?, found.len(), found.ino(), found.ctime(), found.ctime_nsec()))
}

/// How long files may take before it is logged.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often files are looked at for changes.
const WATCH_INTERVAL: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    fn root(more: &str) -> Root {
        let text = format!(
            "listen: {{address: '127.0.0.1:1', cert-file: /c, key-file: /k}}\nlocal-cluster: {{api-urls: ['https://a:1']}}\n{more}"
        );
        config::parse(&text, "f.yaml", &BTreeMap::new()).unwrap()
    }

    #[test]
    fn only_what_was_not_applied_needs_a_restart() {
        let auth = |more: &str| root(&format!("auth: {{jwt-public-key-files: [/p]{more}}}\n"));
        let old = auth(", jwt-private-key-file: /s");
        let mut moved = auth(", jwt-private-key-file: /elsewhere");
        moved.auth.jwt_public_key_files = vec!["/q".into()];
        moved.listen.cert_file = Some("/c2".into());
        moved.listen.key_file = Some("/k2".into());
        assert!(!needs_restart(&old, &moved), "all of these were just read");
        assert!(
            needs_restart(&old, &auth("")) && needs_restart(&auth(""), &old),
            "exchange is set up at start"
        );
        let mut plain = old.clone();
        (plain.listen.cert_file, plain.listen.key_file) = (None, None);
        assert!(needs_restart(&old, &plain) && needs_restart(&plain, &old));
        let mut limits = old.clone();
        limits.limits.connections += 1;
        assert!(needs_restart(&old, &limits));
    }
}
