mod clients;
mod comparisons;
mod requests;
mod status;
mod trials;

use std::{io, path::Path, sync::Arc};

use http::{HeaderMap, HeaderName, Method, Response, StatusCode};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::Api;
use crate::{
    authz::AdminGroups,
    error::{Classify, Reply},
    registry::{EmbeddedStore, MemoryStore, Store, Views, reflector},
    types::{Caller, Cluster, Principal, Snapshot, Source, TlsFiles},
    wire::{self, Body},
};

/// An API over a store, with cluster `gamma` in the configuration.
struct Rig {
    api: Api,
    views: Views,
}

/// An answer as a client has it.
#[derive(Debug)]
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

// === impl Rig ===

impl Rig {
    fn over(store: Arc<dyn Store>) -> Self {
        let (_, configured) = watch::channel(Arc::new(Snapshot::new([
            cluster("local-cluster", Source::Local),
            cluster("gamma", Source::Config),
        ])));
        let (reflector, views) = reflector(configured);
        tokio::spawn(reflector.run(Arc::clone(&store)));
        let authorizer = Arc::new(AdminGroups(vec!["cluster-admins".to_owned()]));
        let api = Api::new(store, views.registry.clone(), authorizer).with_files(readable);
        Self { api, views }
    }

    fn new() -> Self {
        Self::over(Arc::new(MemoryStore::new()))
    }

    async fn send(
        &self,
        caller: &Caller,
        method: Method,
        target: &str,
        headers: &[(HeaderName, &str)],
        body: &[u8],
    ) -> Answer {
        let (path, query) =
            target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
        let headers = headers.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect();
        let answer = match self.api.admit(&method, path, caller) {
            Ok(admitted) => self.api.handle(admitted, query, &headers, body).await,
            Err(error) => Err(error),
        };
        match answer {
            Ok(response) => response.into(),
            Err(error) => wire::reply(&Reply { close: false, ..error.reply() }).into(),
        }
    }

    async fn call(&self, method: Method, target: &str, body: &Value) -> Answer {
        self.send(&admin(), method, target, &[], body.to_string().as_bytes()).await
    }

    async fn get(&self, target: &str) -> Answer {
        self.send(&viewer(), Method::GET, target, &[], b"").await
    }

    fn routed(&self) -> Vec<String> {
        self.views.snapshot.borrow().iter().map(|cluster| cluster.name.to_string()).collect()
    }
}

// === impl Answer ===

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("{self:?}"))
    }

    /// Of a list's items.
    fn names(&self) -> Vec<String> {
        let name = |item: &Value| item["metadata"]["name"].as_str().unwrap().to_owned();
        self.json().as_array().unwrap().iter().map(name).collect()
    }

    fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }
}

impl From<Response<Body>> for Answer {
    fn from(response: Response<Body>) -> Self {
        let (head, body) = response.into_parts();
        let body = String::from_utf8(body.as_full().unwrap().to_vec()).unwrap();
        Self { status: head.status, headers: head.headers, body }
    }
}

fn cluster(name: &str, source: Source) -> Cluster {
    let backends = vec![format!("https://{name}.example.com:8080").parse().unwrap()];
    Cluster { name: name.parse().unwrap(), backends, tls: TlsFiles::default(), source }
}

fn readable(path: &Path) -> io::Result<()> {
    if path.starts_with("/etc/sensu") { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) }
}

fn user(name: &str, group: &str) -> Caller {
    let groups = vec![group.to_owned(), "system:users".to_owned()];
    Caller::Token(Arc::new(Principal { subject: name.to_owned(), groups, expires_at: 0 }))
}

fn admin() -> Caller {
    user("admin", "cluster-admins")
}

fn viewer() -> Caller {
    user("viewer", "viewers")
}

/// Each kind of store, empty, behind an API.
fn rigs() -> (tempfile::TempDir, [Rig; 2]) {
    let directory = tempfile::tempdir().unwrap();
    let embedded = EmbeddedStore::open(&directory.path().join("registry.redb")).unwrap();
    (directory, [Rig::new(), Rig::over(Arc::new(embedded))])
}

fn cluster_body(name: &str, urls: &[&str]) -> Value {
    json!({
        "type": "Cluster", "api_version": "federation/v1", "metadata": {"name": name}, "spec": {"api_urls": urls}
    })
}

fn replicator_body(name: &str, spec: &Value) -> Value {
    json!({"type": "EtcdReplicator", "api_version": "federation/v1", "metadata": {"name": name}, "spec": spec})
}
