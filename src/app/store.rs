use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::Path,
    sync::Arc,
};

use tokio::sync::watch;
use uuid::Uuid;

use super::error::BuildError;
use crate::{
    authz::Minter,
    config::Root,
    etcd,
    leadership::{Alone, Election, Leadership},
    policy,
    registry::{EmbeddedStore, EtcdStore, Registry, Store, TracedStore},
    replication::{self, Supervisor},
    telemetry::trace::Tracer,
};

/// A store and the leadership among the gateways that share it.
pub(super) type Opened = (Arc<dyn Store>, Arc<dyn Leadership>);

/// The store that the configuration names, and what decides which of the gateways that share it replicates. An etcd is not
/// contacted yet.
pub(super) async fn open(root: &Root, tracer: Option<&Tracer>) -> Result<Opened, BuildError> {
    let (store, leadership) = open_plain(root).await?;
    // Not in between when nothing records.
    let store = if tracer.is_some() { Arc::new(TracedStore(store)) } else { store };
    Ok((store, leadership))
}

async fn open_plain(root: &Root) -> Result<Opened, BuildError> {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let shared = &root.store.etcd;
    if !shared.endpoints.is_empty() {
        let config = etcd::Config::new(shared.endpoints.clone(), shared.tls());
        let client = Arc::new(etcd::Client::new(config)?);
        let election = Election::new(Arc::clone(&client), &shared.prefix, &host, Election::TTL);
        return Ok((Arc::new(EtcdStore::new(client, &shared.prefix)), election));
    }
    let path = &root.store.embedded.path;
    let (store, home) = EmbeddedStore::in_time(path, open_embedded).await??;
    Ok((Arc::new(store), Alone::new(&host, &home)))
}

/// The store, and its [`home`]. Blocks on the disk.
fn open_embedded(path: &Path) -> Result<(EmbeddedStore, String), BuildError> {
    make_parent(path).map_err(|error| BuildError::StoreDirectory { path: path.to_owned(), error })?;
    Ok((EmbeddedStore::open(path)?, home(path)))
}

/// Identifies this machine, as long as it runs, and the file. While the store is open no other process has it open, so a
/// gateway that finds this in a destination knows that whoever wrote it has ended. On another machine, a copy of this one
/// included, and for another file it is another one.
fn home(path: &Path) -> String {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok();
    let file = fs::metadata(path).ok();
    let Some((boot, file)) = boot.zip(file) else { return Uuid::new_v4().simple().to_string() };
    let text = format!("{} {} {}", boot.trim(), file.dev(), file.ino());
    Uuid::new_v5(&Uuid::NAMESPACE_OID, text.as_bytes()).simple().to_string()
}

/// What replicates, when the configuration lets it.
pub(super) fn replication(
    root: &Root,
    registry: watch::Receiver<Arc<Registry>>,
    store: &Arc<dyn Store>,
    leadership: Arc<dyn Leadership>,
    tracer: Option<&Tracer>,
) -> Result<Option<(Supervisor, replication::Handle)>, BuildError> {
    let Some(source) = root.replication.source.etcd().filter(|_| root.replication.enabled) else {
        return Ok(None);
    };
    let settings = replication::Settings { tracer: tracer.cloned(), ..replication::Settings::new(source) };
    Ok(Some(replication::supervisor(settings, registry, Arc::clone(store), leadership)?))
}

/// What replicates by API, when the configuration lets it. The private key is what it takes.
pub(super) fn policy(
    root: &Root,
    registry: watch::Receiver<Arc<Registry>>,
    store: &Arc<dyn Store>,
    leadership: Arc<dyn Leadership>,
    minter: Option<&Minter>,
) -> Result<Option<(policy::Supervisor, policy::Handle)>, BuildError> {
    if !root.replication.enabled || minter.is_none() {
        return Ok(None);
    }
    let source = root.replication.source.etcd();
    let settings = policy::Settings { competes: source.is_none(), source };
    Ok(Some(policy::supervisor(settings, registry, Arc::clone(store), leadership)?))
}

/// For its owner only: what is registered names hosts and certificate files.
fn make_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() && !parent.exists() => {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(parent)
        }
        _ => Ok(()),
    }
}
