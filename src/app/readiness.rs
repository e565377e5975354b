use std::sync::Arc;

use tokio::sync::watch;

use crate::{
    listener::Phase,
    registry::{Health, Registry},
};

/// Whether a load balancer should send requests here. Cheap to clone; asking never waits.
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

    /// The error is a line for the answer's body.
    pub(super) fn check(&self) -> Result<(), &'static str> {
        if *self.phase.borrow() >= Phase::Announcing {
            return Err("shutting down\n");
        }
        // Registered clusters would be 404, and lists lack them without saying so. Later on the last view is used.
        match self.registry.borrow().health() {
            Health::Starting => Err("the registry has not been read yet: see the log\n"),
            Health::Following | Health::Down { .. } => Ok(()),
        }
    }
}
