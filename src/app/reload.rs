use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use arc_swap::ArcSwap;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
};
use tracing::level_filters::LevelFilter;

use super::{authority::signing_key, build::WATCH_INTERVAL, web};
use crate::{
    auth::{Authenticator, KeyFiles},
    authz::Minter,
    config::{self, LogLevel, Root},
    listener::ServerTls,
    telemetry::LogHandle,
    types::Snapshot,
    upstream::TlsConfigs,
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

/// Applies changed files while the gateway runs: on SIGHUP, and when a file's time or size changes.
///
/// Keys, certificates, clusters, the web UI and the log level take effect at once; the rest at the next start, which is
/// said. A bad file changes nothing and says why.
pub(super) struct Reloader {
    pub(super) current: Root,
    pub(super) source: Option<Source>,
    pub(super) authenticator: Arc<Authenticator>,
    pub(super) tls: Option<ServerTls>,
    pub(super) tls_configs: Arc<TlsConfigs>,
    /// The clusters of the configuration, for the registry.
    pub(super) configured: watch::Sender<Arc<Snapshot>>,
    /// All clusters, for their files.
    pub(super) registered: watch::Receiver<Arc<Snapshot>>,
    /// Counts changes of the clusters' certificates.
    pub(super) certificates: watch::Sender<u64>,
    /// Signs with the private key, when there is one.
    pub(super) minter: Option<Minter>,
    /// What is served as the web UI.
    pub(super) web: Arc<ArcSwap<Content>>,
    pub(super) logs: LogHandle,
    pub(super) hangup: Signal,
    /// The files as they were read last.
    pub(super) seen: BTreeMap<PathBuf, Stamp>,
}

/// Listens for SIGHUP from now on: one that comes before the reloader runs must neither end the process nor be lost.
pub(super) fn hangups() -> std::io::Result<Signal> {
    signal(SignalKind::hangup())
}

/// A file's time and size; `None` when it is not there.
pub(super) type Stamp = Option<(SystemTime, u64)>;

// === impl Reloader ===

impl Reloader {
    /// Takes what is there now as read.
    pub(super) fn looked(mut self) -> Self {
        self.seen = self.stamps();
        self
    }

    /// Runs for ever.
    pub(super) async fn run(mut self) {
        let mut ticks = tokio::time::interval(WATCH_INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let asked = tokio::select! {
                received = self.hangup.recv() => received.is_some(),
                _ = ticks.tick() => false,
            };
            let now = self.stamps();
            // A file that nobody needed before is read by whoever needs it now.
            let changed = now.iter().any(|(path, stamp)| self.seen.get(path).is_some_and(|old| old != stamp));
            // Stamped before reading: a change in between is seen at the next tick.
            self.seen = now;
            if (asked || changed) && self.reload() {
                self.seen = self.stamps();
            }
        }
    }

    /// Whether the set of files to watch may have changed.
    fn reload(&mut self) -> bool {
        let root = match &self.source {
            None => self.current.clone(),
            Some(source) => match config::load(&source.path, &source.env) {
                Ok(root) => root,
                Err(error) => {
                    tracing::error!(%error, "the changed configuration is wrong; nothing was changed");
                    return false;
                }
            },
        };
        if let Err(error) = self.apply(&root) {
            tracing::error!(error, "the changed files are wrong; nothing was changed");
            return false;
        }
        tracing::info!("configuration and files were read again");
        let other_files = self.current != root || root.web_ui.directory.is_some();
        self.current = root;
        other_files
    }

    /// Everything is loaded before anything is changed.
    fn apply(&mut self, root: &Root) -> Result<(), String> {
        let keys = KeyFiles::load(&root.auth.jwt_public_key_files).map_err(|e| e.to_string())?;
        let private = signing_key(root, &keys).map_err(|e| e.to_string())?;
        let snapshot = root.snapshot();
        if let Some((cluster, error)) = self.tls_configs.prepare(&snapshot).into_iter().next() {
            return Err(format!("cluster {cluster}: {error}"));
        }
        let web = web::content(root).map_err(|e| e.to_string())?;
        if let Some((tls, (cert, key))) = self.tls.as_ref().zip(root.listen.tls()) {
            tls.reload(cert, key).map_err(|e| e.to_string())?;
        }
        let certificates = self.tls_configs.reload();
        for error in certificates.failed {
            tracing::error!(%error, "a cluster's certificate files cannot be used; the old ones stay");
        }
        if certificates.changed {
            self.certificates.send_modify(|generation| *generation += 1);
        }
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
        self.logs.set_level(log_level(root.log.level));
        if needs_restart(&self.current, root) {
            tracing::warn!(
                "only keys, certificates, clusters, web-ui and log.level change while running; the rest at the next start"
            );
        }
        Ok(())
    }

    fn stamps(&self) -> BTreeMap<PathBuf, Stamp> {
        let root = &self.current;
        let clusters = Arc::clone(&self.registered.borrow());
        let of_clusters = clusters.iter().flat_map(|cluster| {
            let tls = &cluster.tls;
            [&tls.trusted_ca_file, &tls.cert_file, &tls.key_file].map(Clone::clone)
        });
        self.source
            .iter()
            .map(|source| source.path.clone())
            .chain(root.auth.jwt_public_key_files.iter().cloned())
            .chain(root.auth.jwt_private_key_file.iter().cloned())
            .chain(root.listen.cert_file.iter().cloned())
            .chain(root.listen.key_file.iter().cloned())
            .chain(of_clusters.flatten())
            .chain(self.web.load().watched().iter().cloned())
            .map(|path| {
                let stamp = stamp(&path);
                (path, stamp)
            })
            .collect()
    }
}

/// The filter that a configured level stands for.
pub fn log_level(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}

/// Whether anything differs that this module does not apply.
fn needs_restart(old: &Root, new: &Root) -> bool {
    let mut applied = old.clone();
    applied.clusters.clone_from(&new.clusters);
    applied.local_cluster.clone_from(&new.local_cluster);
    applied.auth.jwt_public_key_files.clone_from(&new.auth.jwt_public_key_files);
    applied.web_ui.clone_from(&new.web_ui);
    applied.log.level = new.log.level;
    applied.listen.cert_file.clone_from(&new.listen.cert_file);
    applied.listen.key_file.clone_from(&new.listen.key_file);
    applied != *new
}

fn stamp(path: &Path) -> Stamp {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}
