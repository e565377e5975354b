//! Connections to the clusters: one HTTP/1.1 pool per backend and worker, TLS per cluster, failover, health checks.
//!
//! Every worker owns a [`Manager`]; only [`TlsConfigs`](crate::net::TlsConfigs), the [`HealthBoard`] and snapshots are
//! shared between workers. A request goes through [`ClusterClient::send`], which picks a backend, takes an idle connection or opens
//! one, and decides what may be sent again. The answer's [`Body`](crate::wire::Body) brings the connection back
//! when it has been read to its end.
//!
//! Two things keep requests from backends that do not work: the [`Prober`], one for the process, whose verdicts reach
//! the workers through the [`HealthBoard`], and each pool's own breaker, which counts failed attempts to connect. A backend
//! that is down is tried last; when all are, a request fails at once. A verdict that is not renewed expires, and a
//! passed check allows the breakers a trial: a backend that is back waits for one check at most.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::types::units;

mod board;
mod body;
mod breaker;
mod cluster;
mod connect;
mod error;
mod health;
mod manager;
mod metrics;
mod openings;
mod pick;
mod pool;

#[cfg(test)]
mod tests;

pub use board::HealthBoard;
pub use cluster::{ClusterClient, Repeatable};
pub use connect::{BoxFuture, Connect, Connector};
pub use error::{Error, Phase};
pub use health::{Cause, CheckError, Config as HealthConfig, Passed, Prober, check, register_metrics};
pub use manager::Manager;
pub use metrics::Metrics;
pub use openings::Openings;

pub use crate::net::{BoxIo, ConnectError};

/// `upstream`: connections to the clusters; each worker has its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
pub struct Config {
    /// Longest time to open one connection: name, TCP and TLS together.
    #[serde(with = "units::duration")]
    pub connect_timeout: Duration,
    /// Longest time from [`ClusterClient::send`] to the head of the answer, every attempt included.
    #[serde(with = "units::duration")]
    pub head_timeout: Duration,
    /// Longest wait for the next part of an answer's body.
    #[serde(with = "units::duration")]
    pub idle_body_timeout: Duration,
    /// How long an unused connection is kept.
    #[serde(with = "units::duration")]
    pub idle_connection_timeout: Duration,
    /// Unused connections kept per backend.
    pub max_idle_connections: usize,
    /// Open connections per backend, used ones included. Not a key of the configuration.
    #[serde(skip)]
    pub max_connections: usize,
    /// How often a request that is safe to repeat is sent again, to another backend if there is one; 0 is never.
    pub retries: usize,
    /// How backends are checked.
    pub health: HealthConfig,
}

// === impl Config ===

impl Default for Config {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(2),
            // A Sensu backend gives up on an answer 15 s after the request (`api-write-timeout`).
            head_timeout: Duration::from_secs(15),
            idle_body_timeout: Duration::from_secs(15),
            // A Sensu backend closes a connection after 15 s without a request; below that, the race between
            // its close and our next request does not happen.
            idle_connection_timeout: Duration::from_secs(10),
            max_idle_connections: 128,
            max_connections: 1024,
            retries: 2,
            health: HealthConfig::default(),
        }
    }
}
