use std::sync::Arc;

use http::{HeaderValue, Method, Response, StatusCode, header};
use tokio::sync::watch;

use crate::{
    listener::Phase,
    registry::Registry,
    routing::Probe,
    wire::{self, Body},
};

/// Whether a load balancer should send requests here. Cheap to clone; checking never waits.
#[derive(Clone)]
pub struct Readiness {
    phase: watch::Receiver<Phase>,
    registry: watch::Receiver<Arc<Registry>>,
}

// === impl Readiness ===

impl Readiness {
    /// Of a process in this phase with this view of the registry.
    pub fn new(phase: watch::Receiver<Phase>, registry: watch::Receiver<Arc<Registry>>) -> Self {
        Self { phase, registry }
    }

    /// `/livez` and `/readyz` on the main listener. `OPTIONS` is how some load balancers check health.
    pub(super) fn answer(&self, probe: Probe, method: &Method) -> Response<Body> {
        if !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) {
            let mut response = wire::text(StatusCode::METHOD_NOT_ALLOWED, "");
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD, OPTIONS"));
            return response;
        }
        match self.check() {
            Err(reason) if probe == Probe::Ready => wire::text(StatusCode::SERVICE_UNAVAILABLE, reason),
            _ => wire::text(StatusCode::OK, "ok\n"),
        }
    }

    /// The error is a line for the answer's body.
    pub fn check(&self) -> Result<(), &'static str> {
        if *self.phase.borrow() >= Phase::Announcing {
            return Err("shutting down\n");
        }
        // Registered clusters would be missing. A store that goes down later is no reason: the last view is used.
        if self.registry.borrow().was_read() {
            Ok(())
        } else {
            Err("the registry has not been read yet: see the log\n")
        }
    }
}
