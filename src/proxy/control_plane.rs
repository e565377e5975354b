//! `federation/v1` is answered on the control plane's runtime, where the store lives; a worker only waits. A client that
//! goes away does not undo a write that has begun.

use bytes::Bytes;
use http::{HeaderMap, Method, Response};
use tokio::runtime::Handle;

use crate::{
    api::{Admitted, Api, ApiError},
    telemetry::trace,
    types::Caller,
    wire::Body,
};

/// Hands requests to the control plane. Cheap to clone.
#[derive(Clone)]
pub struct Federation {
    control: Handle,
    api: Api,
}

// === impl Federation ===

impl Federation {
    /// `control` is the runtime that the store and the views of `api` live on.
    pub fn new(control: Handle, api: Api) -> Self {
        Self { control, api }
    }

    /// What the caller may do there; decided on the worker, as it waits for nothing.
    pub(super) fn admit(&self, method: &Method, path: &str, caller: &Caller) -> Result<Admitted, ApiError> {
        self.api.admit(method, path, caller)
    }

    pub(super) async fn answer(
        &self,
        admitted: Admitted,
        query: Option<String>,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Response<Body>, ApiError> {
        let api = self.api.clone();
        let answering = async move { api.handle(admitted, query.as_deref(), &headers, &body).await };
        match self.control.spawn(trace::within(trace::current(), answering)).await {
            Ok(answer) => answer,
            Err(ended) => match ended.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Err(ApiError::Stopping),
            },
        }
    }
}
