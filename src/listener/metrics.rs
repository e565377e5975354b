use std::{net::SocketAddr, sync::Arc};

use tokio::sync::Semaphore;

use super::HeaderError;
use crate::telemetry::metrics::{Count, PerWorker, Registry, collect};

/// What became of connections, since start. Cheap to clone: all clones count together.
#[derive(Clone, Debug, Default)]
pub struct Metrics(Arc<PerWorker<Counts>>);

/// A worker's share.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) accepted: Count,
    /// Accepted while as many as may be were open.
    pub(super) delayed: Count,
    pub(super) handshakes: Count,
    pub(super) handshakes_failed: Count,
    pub(super) handshakes_late: Count,
    /// Without a PROXY header, or with a malformed one.
    no_proxy_header: Count,
    /// No request came in time.
    pub(super) silent: Count,
    /// The last request could not be read.
    pub(super) unreadable: Count,
}

// === impl Metrics ===

impl Metrics {
    /// Adds `listener_accepted_total`, `listener_handshakes_total` and `listener_refused_total`.
    pub fn register(&self, registry: &mut Registry) {
        let counts = Arc::clone(&self.0);
        collect(registry, move |families| {
            let sum = |count: fn(&Counts) -> &Count| counts.sum(count);
            families.counter(
                "listener_accepted",
                "Connections that were accepted.",
                sum(|it| &it.accepted),
            )?;
            families.counter(
                "listener_delayed",
                "Connections that waited because as many as may be were open.",
                sum(|it| &it.delayed),
            )?;
            families.counters(
                "listener_handshakes",
                "TLS handshakes with clients.",
                [
                    ([("result", "ok")], sum(|it| &it.handshakes)),
                    ([("result", "failed")], sum(|it| &it.handshakes_failed)),
                    ([("result", "timeout")], sum(|it| &it.handshakes_late)),
                ],
            )?;
            families.counters(
                "listener_refused",
                "Connections that the gateway closed, by reason.",
                [
                    ([("reason", "proxy-header")], sum(|it| &it.no_proxy_header)),
                    ([("reason", "handshake")], sum(|it| &it.handshakes_failed)),
                    ([("reason", "timeout")], sum(|it| &it.silent) + sum(|it| &it.handshakes_late)),
                    ([("reason", "unreadable")], sum(|it| &it.unreadable)),
                ],
            )
        });
    }

    /// A connection had no PROXY header. `peer` is who has opened it.
    pub(super) fn refuse(&self, peer: SocketAddr, error: &HeaderError) {
        // Health checks that only connect are no fault.
        if matches!(error, HeaderError::Nothing) {
            return tracing::debug!(%peer, %error, "connection ended");
        }
        self.here().no_proxy_header.inc();
        tracing::info!(
            %peer,
            %error,
            "a connection was closed: with listen.proxy-protocol, the load balancer has to send a PROXY header"
        );
    }

    pub(super) fn here(&self) -> &Counts {
        self.0.here()
    }
}

/// Adds `listener_connections` and its limit: `permits` are what is left of `most`.
pub fn register_connections(permits: Arc<Semaphore>, most: usize, registry: &mut Registry) {
    collect(registry, move |families| {
        let open = most.saturating_sub(permits.available_permits());
        families.gauge("listener_connections", "Open connections of clients.", open)?;
        families.gauge("listener_connections_limit", "Connections of clients that may be open.", most)
    });
}
