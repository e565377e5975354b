use std::sync::Arc;

use tokio::sync::watch;

use crate::{listener::Phase, registry::Registry};

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
    pub fn check(&self) -> Result<(), &'static str> {
        if *self.phase.borrow() >= Phase::Announcing {
            return Err("shutting down\n");
        }
        // Registered clusters would be missing. Later on, a store that is down is no reason: the last view is used.
        if self.registry.borrow().was_read() {
            Ok(())
        } else {
            Err("the registry has not been read yet: see the log\n")
        }
    }
}
