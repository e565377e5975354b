//! Tests of what is about to be written: the same checks as for a write, then whether what it names can be reached.
//! Nothing is stored.

use std::{sync::Arc, time::Duration};

use futures::future::BoxFuture;
use http::{Response, StatusCode};
use serde::Serialize;
use tokio::sync::Semaphore;

use super::{Api, ApiError, format::tenths, status::warnings};
use crate::{
    registry::{Item, resource::Checked},
    types::{Backend, Cluster, Kind, Principal, Snapshot, Spec, Targets},
    wire::{self, Body},
};

/// Tries to reach everything that a resource names, in bounded time. Changes nothing anywhere.
pub type TryOut = Arc<dyn Fn(Checked) -> BoxFuture<'static, Vec<Tried>> + Send + Sync>;

/// How it went with one backend, or with one endpoint of an etcd.
#[derive(Clone, Debug)]
pub struct Tried {
    /// Which.
    pub backend: Backend,
    /// What was found, or why it does not work, in words for an administrator.
    pub result: Result<Found, String>,
}

/// A backend that answers as it should.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its version; empty when it does not say.
    pub version: String,
    /// How long it took, from the first packet to the answer.
    pub latency: Duration,
}

/// What tries, and how many may at once.
#[derive(Clone)]
pub(super) struct Trials {
    run: TryOut,
    slots: Arc<Semaphore>,
}

/// The answer, in the words of `status`.
#[derive(Serialize)]
struct Report {
    ok: bool,
    backends: Vec<BackendReport>,
    warnings: Vec<String>,
}

#[derive(Serialize)]
struct BackendReport {
    url: String,
    state: &'static str,
    version: Option<String>,
    error: Option<String>,
    latency_ms: Option<f64>,
}

// === impl Trials ===

impl Trials {
    pub(super) fn new(run: TryOut) -> Self {
        Self { run, slots: Arc::new(Semaphore::new(AT_ONCE)) }
    }
}

impl Default for Trials {
    /// Tries nothing, and so finds nothing that works.
    fn default() -> Self {
        Self::new(Arc::new(|_| Box::pin(async { Vec::new() })))
    }
}

// === impl Api ===

impl Api {
    pub(super) async fn test(
        &self,
        kind: Kind,
        name: &str,
        body: &[u8],
        who: &Principal,
    ) -> Result<Response<Body>, ApiError> {
        let _slot = self.trials.slots.try_acquire().map_err(|_| ApiError::Testing)?;
        self.refuse_configured(kind, name)?;
        let checked = self.read(kind, Some(name), body, who).await?;
        let view = self.view();
        if let Some(Ok(old)) = self.entry(&view, kind, name).await?.map(Item::parse) {
            checked.may_replace(&old.checked)?;
        }
        tracing::info!(user = %who.subject, kind = kind.noun(), name, "tested");
        let tried = (self.trials.run)(checked.clone()).await;
        let mut warnings = match &checked.spec {
            Spec::Cluster(spec) => warnings(&spec.backends, &spec.tls),
            Spec::EtcdReplicator(spec) => warnings(&spec.endpoints, &spec.tls),
            Spec::Replicator(spec) => unregistered(&spec.clusters, &view.snapshot()),
        };
        if let Some(cluster) = checked.cluster() {
            warnings.extend(view.snapshot().iter().filter_map(|other| shared(&cluster, other)));
        }
        let report = Report {
            // One that acts in registered clusters reaches nothing by itself.
            ok: (kind == Kind::Replicator || !tried.is_empty())
                && tried.iter().all(|tried| tried.result.is_ok()),
            backends: tried.into_iter().map(BackendReport::from).collect(),
            warnings,
        };
        let json = serde_json::to_vec(&report).expect("it has no map, and no number that is not one");
        Ok(wire::json(StatusCode::OK, json))
    }
}

/// Names of clusters that a `Replicator` waits for.
fn unregistered(targets: &Targets, registered: &Snapshot) -> Vec<String> {
    let Targets::Named(names) = targets else { return Vec::new() };
    let missing = names.iter().filter(|name| registered.get(name.as_str()).is_none());
    missing.map(|name| format!("no cluster {name} is registered yet")).collect()
}

/// One cluster under two names lists everything twice.
fn shared(cluster: &Cluster, other: &Cluster) -> Option<String> {
    let backend = cluster.backends.iter().find(|backend| other.backends.contains(backend))?;
    (cluster.name != other.name).then(|| {
        format!("{backend} is also of cluster {}: everything in it will be listed twice", other.name)
    })
}

// === impl BackendReport ===

impl From<Tried> for BackendReport {
    fn from(Tried { backend, result }: Tried) -> Self {
        let url = backend.to_string();
        match result {
            Ok(Found { version, latency }) => Self {
                url,
                state: "up",
                version: Some(version).filter(|version| !version.is_empty()),
                error: None,
                latency_ms: Some(tenths(latency.as_secs_f64() * 1e3)),
            },
            Err(error) => Self { url, state: "down", version: None, error: Some(error), latency_ms: None },
        }
    }
}

/// Each holds up to 64 connections for some seconds.
const AT_ONCE: usize = 4;
