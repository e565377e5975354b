use std::sync::Arc;

use tokio::sync::watch;

use crate::{
    telemetry::metrics::{Registry, collect},
    types::{BackendState, ClusterHealth},
};

/// Adds `backend_up`: one sample for each backend that has been checked, so as many as are registered at most.
pub fn register(health: watch::Receiver<Arc<Vec<ClusterHealth>>>, registry: &mut Registry) {
    collect(registry, move |families| {
        let health = Arc::clone(&health.borrow());
        families.gauges("backend_up", "Whether a backend passes its health checks.", samples(&health))
    });
}

fn samples(health: &[ClusterHealth]) -> impl Iterator<Item = ([(&'static str, String); 2], u64)> {
    health.iter().flat_map(|cluster| {
        cluster.backends.iter().filter_map(|backend| {
            let up = match backend.state {
                BackendState::Unknown => return None,
                BackendState::Up => 1,
                BackendState::Down => 0,
            };
            let labels =
                [("cluster", cluster.name.as_str().to_owned()), ("backend", backend.backend.to_string())];
            Some((labels, up))
        })
    })
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::{telemetry::Metrics, types::BackendHealth};

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
        let health = vec![
            cluster("local-cluster", vec![backend("https://[::1]:1", BackendState::Up)]),
            cluster(
                "alpha",
                vec![backend("http://a:2", BackendState::Down), backend("http://a:3", BackendState::Unknown)],
            ),
        ];
        let (_sender, health) = watch::channel(Arc::new(health));
        let text = Metrics::new(|registry| register(health, registry)).render();
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
