use std::sync::Arc;

use tokio::sync::watch;

use crate::{
    telemetry::metrics::{Registry, collect},
    types::{BackendHealth, BackendState, ClusterHealth},
};

/// Adds `backend_up`: one sample for each backend that has been checked, so as many as are registered at most.
pub fn register(health: watch::Receiver<Arc<Vec<ClusterHealth>>>, registry: &mut Registry) {
    collect(registry, move |families| {
        let health = Arc::clone(&health.borrow());
        families.gauges("backend_up", "Whether a backend passes its health checks.", samples(&health))?;
        families.gauges(
            "backend_check_duration_seconds",
            "How long the last health check took that a backend has passed.",
            latencies(&health),
        )
    });
}

fn latencies(health: &[ClusterHealth]) -> impl Iterator<Item = ([(&'static str, String); 2], f64)> {
    health.iter().flat_map(|cluster| {
        let taken = cluster.backends.iter().filter_map(|backend| Some((backend, backend.latency?)));
        taken.map(|(backend, latency)| (labels(cluster, backend), latency.as_secs_f64()))
    })
}

fn labels(cluster: &ClusterHealth, backend: &BackendHealth) -> [(&'static str, String); 2] {
    [("cluster", cluster.name.as_str().to_owned()), ("backend", backend.backend.to_string())]
}

fn samples(health: &[ClusterHealth]) -> impl Iterator<Item = ([(&'static str, String); 2], u64)> {
    health.iter().flat_map(|cluster| {
        cluster.backends.iter().filter_map(|backend| {
            let up = match backend.state {
                BackendState::Unknown => return None,
                BackendState::Up => 1,
                BackendState::Down => 0,
            };
            Some((labels(cluster, backend), up))
        })
    })
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::telemetry::Metrics;

    #[test]
    fn a_backend_is_up_or_down_once_it_has_been_checked() {
        let backend = |url: &str, state| BackendHealth {
            backend: url.parse().unwrap(),
            state,
            since: SystemTime::UNIX_EPOCH,
            error: None,
            latency: (state == BackendState::Up).then_some(Duration::from_millis(250)),
            etcd_cluster: None,
        };
        let cluster =
            |name: &str, backends| ClusterHealth { name: name.parse().unwrap(), version: None, backends };
        let health = vec![
            cluster("local-cluster", vec![backend("https://[::1]:1", BackendState::Up)]),
            cluster(
                "alpha",
                vec![backend("http://a:2", BackendState::Down), backend("http://a:3", BackendState::Unknown)],
            ),
        ];
        let (_sender, health) = watch::channel(Arc::new(health));
        let text = Metrics::new(|registry| register(health, registry)).render();
        let latency = r#"fedgate_backend_check_duration_seconds{cluster="local-cluster",backend="https://[::1]:1"} 0.25"#;
        let latencies: Vec<_> =
            text.lines().filter(|line| line.starts_with("fedgate_backend_check")).collect();
        assert_eq!(latencies, [latency]);
        let samples: Vec<_> = text.lines().filter(|line| line.starts_with("fedgate_backend_up")).collect();
        assert_eq!(
            samples,
            [
                r#"fedgate_backend_up{cluster="local-cluster",backend="https://[::1]:1"} 1"#,
                r#"fedgate_backend_up{cluster="alpha",backend="http://a:2"} 0"#,
            ]
        );
    }
}
