//! The checks of the places where the gateway keeps and reads state.

use std::{path::Path, sync::Arc};

use super::row::Row;
use crate::{
    auth::{KeyFiles, SigningKey},
    config::Root,
    error::Chain,
    etcd::{Client, Config, proto::RangeRequest},
    registry::{EmbeddedStore, EtcdStore, Found},
    types::{Backend, TlsFiles},
};

/// The private key, the registry's file or etcd, and the local cluster's etcd, as far as they are configured.
pub(super) async fn rows(root: &Root) -> Vec<Row> {
    let mut rows = Vec::new();
    if let Some(path) = &root.auth.jwt_private_key_file {
        let loaded = match KeyFiles::load_in_time(&root.auth.jwt_public_key_files).await {
            Ok(keys) => SigningKey::load_in_time(path, &keys).await.map(drop),
            Err(error) => Err(error),
        };
        rows.push(Row::loaded("private key", path, loaded));
    }
    let store = &root.store.etcd;
    if store.endpoints.is_empty() {
        let path = &root.store.embedded.path;
        rows.push(Row::new(format_args!("registry {}", path.display()), embedded(path).await));
    }
    for endpoint in &store.endpoints {
        let result = registry(endpoint, store.tls(), &store.prefix).await;
        rows.push(Row::new(format_args!("registry etcd {endpoint}"), result));
    }
    let source = &root.replication.source;
    for endpoint in &source.endpoints {
        let result = sensu_keys(endpoint, source.tls()).await.and_then(|found| match found {
            0 => Err("holds none of Sensu's keys: is this the local cluster's etcd?".to_owned()),
            found => Ok(found),
        });
        rows.push(Row::new(format_args!("local etcd {endpoint}"), result.map(|_| "ok".into())));
    }
    rows
}

async fn embedded(path: &Path) -> Result<String, String> {
    match EmbeddedStore::in_time(path, EmbeddedStore::check).await.flatten() {
        Ok(Found::Registry) => Ok("ok".into()),
        Ok(Found::Nothing) => Ok("ok, will be created".into()),
        Ok(Found::InUse) => Ok("in use by a running gateway, not read".into()),
        Err(error) => Err(error.to_string()),
    }
}

/// Whether the registry's place in etcd can be read and is one of this version.
async fn registry(endpoint: &Backend, tls: TlsFiles, prefix: &str) -> Result<String, String> {
    let store = EtcdStore::new(Arc::new(client(endpoint, tls)?), prefix);
    store.check_schema().await.map(|()| "ok".into()).map_err(|error| Chain(&error).to_string())
}

/// How many of Sensu's keys there are.
async fn sensu_keys(endpoint: &Backend, tls: TlsFiles) -> Result<i64, String> {
    let request = RangeRequest { count_only: true, ..RangeRequest::prefix(SENSU.as_bytes()) };
    let answer = client(endpoint, tls)?.range(request).await;
    answer.map(|answer| answer.count).map_err(|error| Chain(&error).to_string())
}

fn client(endpoint: &Backend, tls: TlsFiles) -> Result<Client, String> {
    Client::new(Config::new(vec![endpoint.clone()], tls)).map_err(|error| Chain(&error).to_string())
}

const SENSU: &str = "/sensu.io/";
