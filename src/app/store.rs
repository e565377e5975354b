use std::{fs, io, os::unix::fs::DirBuilderExt, path::Path, sync::Arc};

use super::BuildError;
use crate::{
    config::Root,
    etcd,
    registry::{EmbeddedStore, EtcdStore, Store},
};

/// The store that the configuration names. Blocks on the disk; an etcd is not asked yet.
pub(super) fn open(root: &Root) -> Result<Arc<dyn Store>, BuildError> {
    let shared = &root.store.etcd;
    if !shared.endpoints.is_empty() {
        let client = etcd::Client::new(etcd::Config::new(shared.endpoints.clone(), shared.tls()))?;
        return Ok(Arc::new(EtcdStore::new(Arc::new(client), &shared.prefix)));
    }
    let path = &root.store.embedded.path;
    make_parent(path).map_err(|source| BuildError::StoreDirectory { path: path.clone(), source })?;
    Ok(Arc::new(EmbeddedStore::open(path)?))
}

/// A client of the local cluster's etcd, when the configuration gives access to it.
pub(super) fn local_etcd(root: &Root) -> Result<Option<Arc<etcd::Client>>, BuildError> {
    let source = &root.replication.source;
    if source.endpoints.is_empty() {
        return Ok(None);
    }
    let client = etcd::Client::new(etcd::Config::new(source.endpoints.clone(), source.tls()))?;
    Ok(Some(Arc::new(client)))
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
