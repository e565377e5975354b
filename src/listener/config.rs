use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::ProxyProtocol;
use crate::{
    types::{Cidr, Rate, units},
    wire::budget::LIST_READ_AHEAD_BYTES,
};

/// `listen`: the listener that clients use.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
pub struct Config {
    /// Where to listen; `[::]:8080` is port 8080, Sensu's own, on every address.
    #[serde(with = "units::address")]
    pub address: SocketAddr,
    /// Certificate chain in PEM; needs `key_file`. Without both: plain HTTP.
    pub cert_file: Option<PathBuf>,
    /// Private key in PEM; needs `cert_file`.
    pub key_file: Option<PathBuf>,
    /// Allow plain HTTP on an address that is not a loopback one, where tokens travel in the clear.
    pub allow_plaintext: bool,
    /// Whether a load balancer says who the client is. Then nobody but the load balancer may reach the listener.
    pub proxy_protocol: ProxyProtocol,
    /// How long a connection may be without requests. Longer than the load balancer keeps it, or a request meets its end.
    #[serde(with = "units::duration")]
    pub keep_alive: Duration,
    /// Peers whose `X-Forwarded-*` headers are believed.
    pub trusted_proxies: Vec<Cidr>,
    /// How long browsers are to use TLS only, counted from their last answer (`Strict-Transport-Security`). Needs TLS.
    #[serde(with = "units::duration_or_off")]
    pub hsts: Option<Duration>,
    /// Worker threads; 0 is one per core.
    pub workers: usize,
}

/// `admin`: the listener for metrics and health checks; plain HTTP.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
pub struct Admin {
    /// Where to listen: by default on loopback only, since it asks for no credentials.
    #[serde(with = "units::address")]
    pub address: SocketAddr,
}

/// `limits`: what one client or all of them may use. The listener obeys those of connections and heads, the request path
/// the others.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
pub struct Limits {
    /// Open client connections in the process.
    pub connections: usize,
    /// Concurrent HTTP/2 streams of one connection.
    pub streams: u32,
    /// Header fields of one request.
    pub headers: usize,
    /// Request line and header fields together.
    #[serde(with = "units::size")]
    pub head_bytes: usize,
    /// Body of one request; Sensu's own limit.
    #[serde(with = "units::size")]
    pub request_body_bytes: usize,
    /// From the connection's start to the first complete head, PROXY header and TLS included.
    #[serde(with = "units::duration")]
    pub head_timeout: Duration,
    /// Lists over several clusters that are in work at once.
    pub fan_outs: usize,
    /// What all lists together are read ahead of their clients.
    #[serde(with = "units::size")]
    pub read_ahead_bytes: usize,
    /// Refused passwords and API keys of one client's address and one user or key.
    pub login_failures: Rate,
}

/// `shutdown`: how the process stops.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
pub struct Shutdown {
    /// How long to go on accepting while `/readyz` already says 503, for load balancers to notice.
    #[serde(with = "units::duration")]
    pub announce: Duration,
    /// How long requests in work may still take.
    #[serde(with = "units::duration")]
    pub drain: Duration,
}

// === impl Config ===

impl Config {
    /// Certificate and key, when TLS is configured.
    pub fn tls(&self) -> Option<(&PathBuf, &PathBuf)> {
        self.cert_file.as_ref().zip(self.key_file.as_ref())
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            address: SocketAddr::from((Ipv6Addr::UNSPECIFIED, 8080)),
            cert_file: None,
            key_file: None,
            allow_plaintext: false,
            proxy_protocol: ProxyProtocol::Off,
            keep_alive: KEEP_ALIVE,
            trusted_proxies: Vec::new(),
            hsts: None,
            workers: 0,
        }
    }
}

// === impl Admin ===

impl Default for Admin {
    fn default() -> Self {
        Self { address: SocketAddr::from((Ipv4Addr::LOCALHOST, 9180)) }
    }
}

// === impl Limits ===

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            streams: 100,
            headers: 100,
            head_bytes: 64 << 10,
            request_body_bytes: 512_000,
            head_timeout: Duration::from_secs(10),
            fan_outs: 1000,
            read_ahead_bytes: LIST_READ_AHEAD_BYTES,
            login_failures: Rate::per_minute(10),
        }
    }
}

// === impl Shutdown ===

impl Default for Shutdown {
    fn default() -> Self {
        Self { announce: Duration::ZERO, drain: Duration::from_secs(30) }
    }
}

/// Google's load balancers keep idle connections for 600 s, others for less. The one that closes first must be the balancer:
/// it knows whether a request is on its way.
const KEEP_ALIVE: Duration = Duration::from_secs(620);
