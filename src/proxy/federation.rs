//! The registry's door: requests for `federation/v1`.
//!
//! They are answered on the control plane's runtime, where the store lives; a worker only waits. A client that goes
//! away does not undo a write that has begun.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Method, Response};
use tokio::{runtime::Handle, sync::watch, time};

use crate::{
    api::{Api, ApiError},
    types::{Caller, Snapshot},
    wire::Body,
};

/// Hands requests to the control plane. Cheap to clone.
#[derive(Clone)]
pub struct Federation {
    control: Handle,
    api: Api,
    routed: Routed,
}

/// Tells when all workers route by the newest set of clusters. Cheap to clone.
#[derive(Clone)]
pub struct Routed {
    newest: watch::Receiver<Arc<Snapshot>>,
    workers: Arc<[watch::Receiver<Arc<Snapshot>>]>,
}

// === impl Federation ===

impl Federation {
    /// `control` is the runtime that the store and the views of `api` live on.
    pub fn new(control: Handle, api: Api, routed: Routed) -> Self {
        Self { control, api, routed }
    }

    /// Whether the caller may ask for that at all, before its body is read.
    pub(super) fn may_ask(&self, method: &Method, path: &str, caller: &Caller) -> Result<(), ApiError> {
        self.api.may_ask(method, path, caller)
    }

    /// Answers one request; `path` is what follows `/api/enterprise/federation/v1/`, still encoded.
    ///
    /// A write is answered once all workers route by it, or after a moment without.
    pub(super) async fn answer(
        &self,
        method: Method,
        path: String,
        query: Option<String>,
        headers: HeaderMap,
        body: Bytes,
        caller: Caller,
    ) -> Result<Response<Body>, ApiError> {
        let Self { control, api, routed } = self.clone();
        let answering = control.spawn(async move {
            let answer = api.handle(&method, &path, query.as_deref(), &headers, &body, &caller).await?;
            if !matches!(method, Method::GET | Method::HEAD) && answer.status().is_success() {
                routed.everywhere().await;
            }
            Ok(answer)
        });
        match answering.await {
            Ok(answer) => answer,
            Err(ended) => match ended.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Err(ApiError::Stopping),
            },
        }
    }
}

// === impl Routed ===

impl Routed {
    /// `newest` is what is published; `workers` are what each worker has applied.
    pub fn new(
        newest: watch::Receiver<Arc<Snapshot>>,
        workers: impl IntoIterator<Item = watch::Receiver<Arc<Snapshot>>>,
    ) -> Self {
        Self { newest, workers: workers.into_iter().collect() }
    }

    async fn everywhere(self) {
        let newest = Arc::clone(&self.newest.borrow());
        for worker in self.workers.iter() {
            // Newer is as good: a worker that skipped this one will not go back to it.
            let applied = |snapshot: &Arc<Snapshot>| {
                Arc::ptr_eq(snapshot, &newest) || !Arc::ptr_eq(&self.newest.borrow(), &newest)
            };
            if time::timeout(ROUTED_TIMEOUT, worker.clone().wait_for(applied)).await.is_err() {
                tracing::warn!("a change was stored, but a worker is too busy to route by it yet");
                return;
            }
        }
    }
}

/// How long the answer to a write waits for busy workers.
const ROUTED_TIMEOUT: Duration = Duration::from_secs(1);
