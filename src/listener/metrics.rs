use std::net::SocketAddr;

use super::HeaderError;
use crate::telemetry::metrics::{Counter, Family, Registry};

/// Connections that were not served, since start. Cheap to clone: all clones count together.
#[derive(Clone, Debug)]
pub struct Metrics {
    refused: Family<[(&'static str, &'static str); 1], Counter>,
    /// Without a PROXY header, or with a malformed one.
    no_proxy_header: Counter,
}

// === impl Metrics ===

impl Metrics {
    /// Adds `listener_refused_total`.
    pub fn register(&self, registry: &mut Registry) {
        let help = "Connections that were closed before their first request, by reason";
        registry.register("listener_refused", help, self.refused.clone());
    }

    /// A connection had no PROXY header. `peer` is who has opened it.
    pub(super) fn refuse(&self, peer: SocketAddr, error: &HeaderError) {
        // Health checks that only connect are no fault.
        if matches!(error, HeaderError::Nothing) {
            return tracing::debug!(%peer, %error, "connection ended");
        }
        self.no_proxy_header.inc();
        tracing::info!(
            %peer,
            %error,
            "a connection was closed: with listen.proxy-protocol, the load balancer has to send a PROXY header"
        );
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let refused = Family::<[(&'static str, &'static str); 1], Counter>::default();
        Self { no_proxy_header: refused.get_or_create_owned(&[("reason", "proxy-header")]), refused }
    }
}
