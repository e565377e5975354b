//! `check-config`: tries everything that a configuration names.

mod certificates;
mod row;
mod store;

use std::sync::Arc;

use arc_swap::ArcSwap;
use http::{HeaderMap, Method, StatusCode};

use self::row::{Row, table};
use super::{ConfigFile, Failure, environment, look::Look, output, runtime::control_runtime};
use crate::{
    auth::KeyFiles,
    config::{self, Root},
    error::Chain,
    net::{ServerTls, TlsConfigs},
    types::{Backend, Cluster, ClusterName, conflicts},
    upstream::{self, Connector, Manager, Passed},
    webui::{Content, WebUi},
};

/// `fedgate check-config`.
pub(super) fn run(file: &ConfigFile) -> Result<(), Failure> {
    let runtime = control_runtime()?;
    let root = runtime.block_on(config::load_in_time(&file.config, &environment()))?;
    let rows = runtime.block_on(check(&root));
    // A hanging file system must not keep the process alive.
    runtime.shutdown_background();
    let shown = output::print(&table(&rows, Look::stdout()));
    match rows.iter().filter(|row| row.has_failed()).count() {
        0 => shown,
        failed => Err(Failure::new(1, format!("{failed} of {} checks failed", rows.len()))),
    }
}

async fn check(root: &Root) -> Vec<Row> {
    let mut rows = Vec::new();
    for path in &root.auth.jwt_public_key_files {
        let loaded = KeyFiles::load_in_time(std::slice::from_ref(path)).await;
        rows.push(Row::loaded("public key", path, loaded));
    }
    // Kept, so that the certificate is among those in use.
    let mut listener = None;
    if let Some((cert, key)) = root.listen.tls() {
        let loaded = ServerTls::load_in_time(cert, key).await.map_err(|error| Chain(&error).to_string());
        rows.push(Row::loaded("certificate", cert, loaded.as_ref()));
        listener = loaded.ok();
    }
    let tls = TlsConfigs::new();
    let snapshot = root.snapshot();
    let mut etcd_clusters = Vec::new();
    let broken = tls.prepare(&snapshot).await;
    for cluster in snapshot.iter() {
        let bad_files = broken
            .iter()
            .find(|(name, _)| *name == cluster.name)
            .map(|(_, error)| Chain(&**error).to_string());
        for backend in &cluster.backends {
            let result = match &bad_files {
                Some(error) => Err(error.clone()),
                None => reach(root, &tls, cluster, backend).await,
            };
            if let Some(id) = result.as_ref().ok().and_then(|passed| passed.etcd_cluster) {
                etcd_clusters.push((Arc::clone(cluster), backend.clone(), id));
            }
            let result = result.map(|passed| format!("ok, Sensu {}", passed.version));
            rows.push(Row::new(format_args!("cluster {} {backend}", cluster.name), result));
        }
    }
    let etcd_cluster = |cluster: &Cluster, backend: &Backend| {
        let found = etcd_clusters.iter().find(|(of, url, _)| of.name == cluster.name && url == backend);
        found.map(|(_, _, id)| *id)
    };
    rows.extend(conflicts(&snapshot, etcd_cluster).into_iter().map(|conflict| {
        let names: Vec<_> = conflict.clusters.iter().map(ClusterName::as_str).collect();
        Row::new(format_args!("clusters {}", names.join(", ")), Err(conflict.message))
    }));
    rows.extend(store::rows(root).await);
    rows.extend(web_ui(root, &tls).await);
    rows.extend(certificates::rows(root).await);
    drop(listener);
    rows
}

async fn web_ui(root: &Root, tls: &TlsConfigs) -> Option<Row> {
    if let Some(directory) = &root.web_ui.directory {
        return Some(Row::loaded("web UI", directory, Content::directory_in_time(directory, false).await));
    }
    let dashboard = root.web_ui.upstream.as_ref()?;
    let content = Content::upstream(dashboard.clone(), root.local_cluster.tls());
    let web_ui = WebUi::new(Arc::new(ArcSwap::from_pointee(content)), manager(root, tls));
    let result = match web_ui.answer(&Method::GET, "/", &HeaderMap::new()).await {
        Ok(Some(answer)) if answer.status() == StatusCode::OK => Ok("ok".into()),
        Ok(answer) => {
            let status = answer.map_or(StatusCode::NOT_FOUND, |answer| answer.status());
            Err(format!("/ answered {status}: is this a dashboard listener?"))
        }
        Err(error) => Err(Chain(&error).to_string()),
    };
    Some(Row::new(format_args!("web UI {dashboard}"), result))
}

fn manager(root: &Root, tls: &TlsConfigs) -> Manager {
    let connector = Connector::new(tls.clone(), root.upstream.connect_timeout);
    Manager::new(root.upstream, Arc::new(connector))
}

/// Asks one backend who it is, which needs no credentials.
async fn reach(
    root: &Root,
    tls: &TlsConfigs,
    cluster: &Cluster,
    backend: &Backend,
) -> Result<Passed, String> {
    let connector = Connector::new(tls.clone(), root.upstream.connect_timeout);
    let limit = root.upstream.connect_timeout + root.upstream.head_timeout;
    upstream::check(&connector, cluster, backend, limit).await.map_err(|error| error.to_string())
}
