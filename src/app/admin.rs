use std::{
    convert::Infallible,
    fmt::Write as _,
    sync::{Arc, atomic::Ordering},
};

use futures::future::{Ready, ready};
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use tokio::sync::watch;
use tower::{Service, service_fn};

use crate::{
    auth::Authenticator,
    fanout,
    proxy::Readiness,
    replication,
    telemetry::label_value,
    types::{BackendState, ClusterHealth, Snapshot},
    wire::{self, Body},
};

/// What the admin listener reports about.
#[derive(Clone)]
pub(super) struct Admin {
    pub(super) readiness: Readiness,
    pub(super) authenticator: Arc<Authenticator>,
    pub(super) fan_outs: Arc<fanout::Shared>,
    pub(super) clusters: watch::Receiver<Arc<Snapshot>>,
    pub(super) replication: Option<Arc<replication::Metrics>>,
    pub(super) health: watch::Receiver<Arc<Vec<ClusterHealth>>>,
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
            "/metrics" => wire::text(StatusCode::OK, self.metrics()),
            _ => wire::text(StatusCode::NOT_FOUND, "not found\n"),
        }
    }

    /// Prometheus text format 0.0.4.
    fn metrics(&self) -> String {
        let stats = self.authenticator.stats();
        let mut text = String::new();
        let mut family = |name: &str, kind: &str, help: &str, samples: &[(&str, u64)]| {
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
            for (labels, value) in samples {
                let _ = writeln!(text, "{name}{labels} {value}");
            }
        };
        family(
            "fedgate_build_info",
            "gauge",
            "Version of the running binary.",
            &[(concat!("{version=\"", env!("CARGO_PKG_VERSION"), "\"}"), 1)],
        );
        family(
            "fedgate_auth_total",
            "counter",
            "Requests by the result of authentication.",
            &[
                ("{result=\"ok\"}", stats.ok.load(Ordering::Relaxed)),
                ("{result=\"rejected\"}", stats.rejected.load(Ordering::Relaxed)),
            ],
        );
        family(
            "fedgate_token_cache_total",
            "counter",
            "Look-ups in the cache of verified tokens.",
            &[
                ("{result=\"hit\"}", stats.hits.load(Ordering::Relaxed)),
                ("{result=\"miss\"}", stats.misses.load(Ordering::Relaxed)),
            ],
        );
        let clusters = self.clusters.borrow().len() as u64;
        family(
            "fedgate_registry_clusters",
            "gauge",
            "Registered clusters, the local one included.",
            &[("", clusters)],
        );
        family(
            "fedgate_fanouts_in_flight",
            "gauge",
            "Lists over several clusters in work.",
            &[("", self.fan_outs.in_flight() as u64)],
        );
        family(
            "fedgate_fanout_buffered_bytes",
            "gauge",
            "Bytes of lists held in memory.",
            &[("", self.fan_outs.buffered_bytes() as u64)],
        );
        backends_up(&self.health.borrow(), &mut text);
        if let Some(replication) = &self.replication {
            text.push_str(&replication.render());
        }
        text
    }
}

/// One sample for each backend that has been checked: as many as are registered, at most.
fn backends_up(health: &[ClusterHealth], text: &mut String) {
    text.push_str(
        "# HELP fedgate_backend_up Whether a backend passes its health checks.\n# TYPE fedgate_backend_up gauge\n",
    );
    for cluster in health {
        for backend in &cluster.backends {
            let up = match backend.state {
                BackendState::Unknown => continue,
                BackendState::Up => 1,
                BackendState::Down => 0,
            };
            let (name, url) = (label_value(cluster.name.as_str()), label_value(&backend.backend.to_string()));
            let _ = writeln!(text, r#"fedgate_backend_up{{cluster="{name}",backend="{url}"}} {up}"#);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::types::BackendHealth;

    #[test]
    fn a_backend_is_up_or_down_once_it_has_been_checked() {
        let backend = |url: &str, state| BackendHealth {
            backend: url.parse().unwrap(),
            state,
            since: SystemTime::UNIX_EPOCH,
            error: None,
            latency: None,
        };
        let cluster =
            |name: &str, backends| ClusterHealth { name: name.parse().unwrap(), version: None, backends };
        let health = [
            cluster("local-cluster", vec![backend("https://[::1]:1", BackendState::Up)]),
            cluster(
                "alpha",
                vec![backend("http://a:2", BackendState::Down), backend("http://a:3", BackendState::Unknown)],
            ),
        ];
        let mut text = String::new();
        backends_up(&health, &mut text);
        let samples: Vec<_> = text.lines().skip(2).collect();
        assert_eq!(
            samples,
            [
                r#"fedgate_backend_up{cluster="local-cluster",backend="https://[::1]:1"} 1"#,
                r#"fedgate_backend_up{cluster="alpha",backend="http://a:2"} 0"#,
            ]
        );
    }
}
