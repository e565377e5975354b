use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use http::StatusCode;

use crate::{
    error::{Classify, ErrorKind, Reply},
    telemetry::metrics::{self, Count, Registry},
    wire::{Budget, Held},
};

/// What all list requests of the process share: a limit on their number, and one on the memory they hold.
#[derive(Debug)]
pub struct Shared {
    max_in_flight: usize,
    in_flight: AtomicUsize,
    refused: Count,
    memory: Arc<Budget>,
}

/// Too many fan-outs are in flight: a limit of the gateway. The client should retry.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("too many list requests are in flight; try again")]
pub struct Overloaded;

/// One fan-out's share; gives everything back when dropped.
#[derive(Debug)]
pub(super) struct Ticket {
    shared: Arc<Shared>,
    memory: Held,
}

// === impl Shared ===

impl Shared {
    /// `max_in_flight` fan-outs that together buffer about `max_bytes`.
    pub fn new(max_in_flight: usize, max_bytes: usize) -> Arc<Self> {
        let (in_flight, refused) = (AtomicUsize::new(0), Count::default());
        Arc::new(Self { max_in_flight, in_flight, refused, memory: Budget::new(max_bytes) })
    }

    /// Adds `fanouts_in_flight`, its limit, and `fanouts_refused_total`.
    pub fn register(self: &Arc<Self>, registry: &mut Registry) {
        let shared = Arc::clone(self);
        metrics::collect(registry, move |families| {
            families.gauge("fanouts_in_flight", "Lists in flight.", shared.in_flight())?;
            families.gauge("fanouts_limit", "Lists that may be in flight.", shared.max_in_flight)?;
            let refused = shared.refused.get();
            families.counter("fanouts_refused", "Lists refused because too many were in flight.", refused)
        });
    }

    /// What all lists together hold in memory.
    pub fn memory(&self) -> &Arc<Budget> {
        &self.memory
    }

    /// Bytes buffered at this moment.
    pub fn buffered_bytes(&self) -> usize {
        self.memory.held_bytes()
    }

    /// Fan-outs in flight at this moment.
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    pub(super) fn begin(self: &Arc<Self>) -> Result<Ticket, Overloaded> {
        if self.in_flight.fetch_add(1, Ordering::Relaxed) >= self.max_in_flight {
            self.in_flight.fetch_sub(1, Ordering::Relaxed);
            self.refused.inc();
            return Err(Overloaded);
        }
        Ok(Ticket { shared: Arc::clone(self), memory: self.memory.hold() })
    }
}

// === impl Ticket ===

impl Ticket {
    pub(super) fn add(&mut self, bytes: usize) {
        // What does not fit is not refused: the merge stops reading on instead.
        let _ = self.memory.add(bytes);
    }

    /// What one more task of the same fan-out holds, counted by itself.
    pub(super) fn share(&self) -> Held {
        self.shared.memory.hold()
    }

    pub(super) fn release(&mut self, bytes: usize) {
        self.memory.release(bytes);
    }

    /// Whether the process holds all it may. Counted after the fact, so it is passed by at most one read per member.
    pub(super) fn exhausted(&self) -> bool {
        self.memory.is_exhausted()
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.shared.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

// === impl Overloaded ===

impl Classify for Overloaded {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Overload
    }

    fn reply(&self) -> Reply {
        let mut reply = Reply::router(StatusCode::SERVICE_UNAVAILABLE, 0, self.to_string());
        reply.retry_after = Some(1);
        reply
    }
}
