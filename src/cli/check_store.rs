//! What `check-config` tries of the places where the gateway keeps and reads state.

use std::{fs, path::Path};

use super::check::Row;
use crate::{
    auth::{KeyFiles, SigningKey},
    config::Root,
    error::Chain,
    etcd::{Client, Config, proto::RangeRequest},
    types::{Backend, TlsFiles},
};

/// The private key, the registry's file or etcd, and the local cluster's etcd; only what is configured.
pub(super) async fn rows(root: &Root) -> Vec<Row> {
    let mut rows = Vec::new();
    if let Some(path) = &root.auth.jwt_private_key_file {
        let keys = KeyFiles::load(&root.auth.jwt_public_key_files);
        let loaded = keys.and_then(|keys| SigningKey::load(path, &keys));
        rows.push(Row {
            what: format!("private key {}", path.display()),
            result: loaded.map(|_| "ok".into()).map_err(|e| e.to_string()),
        });
    }
    let store = &root.store.etcd;
    if store.endpoints.is_empty() {
        let path = &root.store.embedded.path;
        rows.push(Row { what: format!("registry {}", path.display()), result: file(path) });
    }
    for endpoint in &store.endpoints {
        let result = etcd(endpoint, store.tls(), &store.prefix).await.map(|_| "ok".into());
        rows.push(Row { what: format!("registry etcd {endpoint}"), result });
    }
    let source = &root.replication.source;
    for endpoint in &source.endpoints {
        let result = etcd(endpoint, source.tls(), SENSU).await.and_then(|found| match found {
            0 => Err("holds none of Sensu's keys: is this the local cluster's etcd?".to_owned()),
            found => Ok(found),
        });
        rows.push(Row { what: format!("local etcd {endpoint}"), result: result.map(|_| "ok".into()) });
    }
    rows
}

/// Whether the registry can be kept there. Creates nothing, and does not open it: a gateway may be running on it.
fn file(path: &Path) -> Result<String, String> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match fs::File::options().read(true).write(true).open(path) {
        Ok(_) => return Ok("ok".into()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error.to_string()),
    }
    // The nearest directory that is there is where the rest would be made.
    let existing = parent.ancestors().find(|directory| directory.exists()).unwrap_or(Path::new("/"));
    let probe = existing.join(format!(".fedgate-check-{}", std::process::id()));
    fs::File::create_new(&probe)
        .and_then(|_| fs::remove_file(&probe))
        .map_err(|error| format!("cannot be made in {}: {error}", existing.display()))?;
    Ok("ok, will be made".into())
}

/// How many keys begin so.
async fn etcd(endpoint: &Backend, tls: TlsFiles, prefix: &str) -> Result<i64, String> {
    let client =
        Client::new(Config::new(vec![endpoint.clone()], tls)).map_err(|error| Chain(&error).to_string())?;
    let request = RangeRequest { count_only: true, ..RangeRequest::prefix(prefix.as_bytes()) };
    client.range(request).await.map(|answer| answer.count).map_err(|error| Chain(&error).to_string())
}

const SENSU: &str = "/sensu.io/";
