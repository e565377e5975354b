use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::telemetry::metrics::{Count, PerWorker, Registry, collect};

/// What the listener has done with connections, for Prometheus. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Metrics(Arc<PerWorker<Counts>>);

/// A worker's share.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) accepted: Count,
    /// Accepted while all permits were taken.
    pub(super) delayed: Count,
    pub(super) handshakes: Count,
    pub(super) handshakes_failed: Count,
    pub(super) handshakes_late: Count,
    /// No request came in time.
    pub(super) silent: Count,
    /// The last request could not be read.
    pub(super) unreadable: Count,
}

// === impl Metrics ===

impl Metrics {
    /// Adds the families `connections_…` and `tls_handshakes_total`. `permits` bounds the open connections: `most`.
    pub fn register(&self, permits: Arc<Semaphore>, most: usize, registry: &mut Registry) {
        let counts = Arc::clone(&self.0);
        collect(registry, move |families| {
            let open = most.saturating_sub(permits.available_permits());
            families.gauge("connections_open", "Connections of clients.", open)?;
            families.gauge("connections_limit", "Connections of clients that may be open.", most)?;
            families.counter(
                "connections",
                "Connections that were accepted.",
                counts.sum(|it| &it.accepted),
            )?;
            families.counter(
                "connections_delayed",
                "Connections that waited because as many as may be were open.",
                counts.sum(|it| &it.delayed),
            )?;
            families.counters(
                "tls_handshakes",
                "TLS handshakes with clients.",
                [
                    ([("result", "ok")], counts.sum(|it| &it.handshakes)),
                    ([("result", "failed")], counts.sum(|it| &it.handshakes_failed)),
                    ([("result", "timeout")], counts.sum(|it| &it.handshakes_late)),
                ],
            )?;
            families.counters(
                "connections_refused",
                "Connections that the gateway closed, by the reason.",
                [
                    ([("reason", "handshake")], counts.sum(|it| &it.handshakes_failed)),
                    (
                        [("reason", "timeout")],
                        counts.sum(|it| &it.silent) + counts.sum(|it| &it.handshakes_late),
                    ),
                    ([("reason", "unreadable")], counts.sum(|it| &it.unreadable)),
                ],
            )
        });
    }

    pub(super) fn here(&self) -> &Counts {
        self.0.here()
    }
}
