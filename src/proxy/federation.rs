//! Requests for `federation/v1`.
//!
//! They are answered on the control plane's runtime, where the store lives; a worker only waits. A client that goes
//! away does not undo a write that has begun.

use bytes::Bytes;
use http::{HeaderMap, Request, Response, request::Parts};
use tokio::runtime::Handle;

use super::{Gateway, body};
use crate::{
    api::{self, Admitted, Api, ApiError},
    error::BoxError,
    types::Caller,
    wire::Body,
};

/// Hands requests to the control plane. Cheap to clone.
#[derive(Clone)]
pub struct Federation {
    control: Handle,
    api: Api,
}

// === impl Gateway ===

impl Gateway {
    /// Answers one request; `path` is what follows `/api/enterprise/federation/v1/`, still encoded.
    pub(super) async fn federation(
        &self,
        request: Request<Body>,
        path: &str,
        caller: &Caller,
    ) -> Result<Response<Body>, BoxError> {
        let (parts, incoming) = request.into_parts();
        let query = parts.uri.query().map(ToOwned::to_owned);
        let Parts { method, headers, .. } = parts;
        let caller = self.identify(caller, &headers).await?;
        let federation = &self.resources.federation;
        // Before the body is read: whoever may not write need not be listened to.
        let admitted = federation.api.admit(&method, path, &caller)?;
        let (body, _held) = body::read(incoming, api::MAX_BODY, &self.resources.bodies).await?;
        Ok(federation.answer(admitted, query, headers, body).await?)
    }
}

// === impl Federation ===

impl Federation {
    /// `control` is the runtime that the store and the views of `api` live on.
    pub fn new(control: Handle, api: Api) -> Self {
        Self { control, api }
    }

    async fn answer(
        &self,
        admitted: Admitted,
        query: Option<String>,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Response<Body>, ApiError> {
        let api = self.api.clone();
        let answering = async move { api.handle(admitted, query.as_deref(), &headers, &body).await };
        match self.control.spawn(answering).await {
            Ok(answer) => answer,
            Err(ended) => match ended.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Err(ApiError::Stopping),
            },
        }
    }
}
