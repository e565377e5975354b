use std::{convert::Infallible, sync::Arc};

use futures::future::{Ready, ready};
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use tower::{Service, service_fn};

use crate::{
    proxy::Readiness,
    telemetry::Metrics,
    wire::{self, Body},
};

/// What the admin listener answers from.
#[derive(Clone)]
pub(super) struct Admin {
    pub(super) readiness: Readiness,
    pub(super) metrics: Arc<Metrics>,
}

// === impl Admin ===

impl Admin {
    /// `/livez`, `/readyz` and `/metrics`; no credentials, so it belongs on loopback.
    pub(super) fn service(
        self,
    ) -> impl Service<
        Request<Incoming>,
        Response = Response<Body>,
        Error = Infallible,
        Future = Ready<Result<Response<Body>, Infallible>>,
    > + Clone
    + Send
    + 'static {
        service_fn(move |request: Request<Incoming>| {
            ready(Ok(self.answer(request.method(), request.uri().path())))
        })
    }

    fn answer(&self, method: &Method, path: &str) -> Response<Body> {
        if !matches!(*method, Method::GET | Method::HEAD) {
            return wire::text(StatusCode::METHOD_NOT_ALLOWED, "");
        }
        match path {
            "/livez" => wire::text(StatusCode::OK, "ok\n"),
            "/readyz" => match self.readiness.check() {
                Ok(()) => wire::text(StatusCode::OK, "ok\n"),
                Err(reason) => wire::text(StatusCode::SERVICE_UNAVAILABLE, reason),
            },
            "/metrics" => self.metrics(),
            _ => wire::text(StatusCode::NOT_FOUND, "not found\n"),
        }
    }

    fn metrics(&self) -> Response<Body> {
        let mut response = wire::text(StatusCode::OK, self.metrics.render());
        let content_type = HeaderValue::from_static(Metrics::CONTENT_TYPE);
        response.headers_mut().insert(header::CONTENT_TYPE, content_type);
        response
    }
}
