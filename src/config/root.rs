use std::{net::SocketAddr, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    Replication, Store, WebUi,
    units::{address, duration, size, text, texts},
};
use crate::types::{Backend, Cidr, Cluster, ClusterName, ListScope, Snapshot, Source};

/// The whole configuration, checked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
pub struct Root {
    /// The listener that clients use.
    pub listen: Listen,
    /// The listener for metrics and health checks.
    pub admin: Admin,
    /// How requests are authenticated.
    pub auth: Auth,
    /// The cluster that issues the tokens.
    pub local_cluster: LocalCluster,
    /// The remote clusters.
    pub clusters: Vec<StaticCluster>,
    /// Where registered clusters and replicators are kept.
    pub store: Store,
    /// Copies of RBAC resources from the local cluster to others.
    pub replication: Replication,
    /// How lists are gathered from several clusters.
    pub fan_out: FanOut,
    /// Connections to the clusters.
    pub upstream: Upstream,
    /// Where the files of Sensu's own web UI come from.
    pub web_ui: WebUi,
    /// What one client or all of them may use.
    pub limits: Limits,
    /// How the process stops.
    pub shutdown: Shutdown,
    /// Browsers on other origins.
    pub cors: Cors,
    /// What is logged, and how.
    pub log: Log,
}

/// `listen`: the listener that clients use.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
pub struct Listen {
    /// Where to listen; `[::]:8080` is port 8080, Sensu's own, on every address.
    #[serde(with = "address")]
    pub address: SocketAddr,
    /// Certificate chain in PEM; needs `key_file`. Without both: plain HTTP.
    pub cert_file: Option<PathBuf>,
    /// Private key in PEM; needs `cert_file`.
    pub key_file: Option<PathBuf>,
    /// Allow plain HTTP on an address that is not a loopback one, where tokens travel in the clear.
    pub allow_plaintext: bool,
    /// Peers whose `X-Forwarded-*` headers are believed.
    #[serde(with = "texts")]
    pub trusted_proxies: Vec<Cidr>,
    /// Worker threads; 0 is one per core.
    pub workers: usize,
}

/// `admin`: the listener for metrics and health checks; plain HTTP.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
pub struct Admin {
    /// Where to listen: by default on loopback only, since it asks for no credentials.
    #[serde(with = "address")]
    pub address: SocketAddr,
}

/// `auth`: how requests are authenticated.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
pub struct Auth {
    /// Public keys of the clusters' token pair, in PEM. At least one; several while keys are rotated.
    pub jwt_public_key_files: Vec<PathBuf>,
    /// Private key of the pair, in PEM. With it, API keys work in every cluster, and the local cluster's RBAC can be
    /// read through its API.
    pub jwt_private_key_file: Option<PathBuf>,
    /// Groups whose members may register clusters and replicators while the local cluster's RBAC cannot be read.
    pub admin_groups: Vec<String>,
    /// How long an API key's user and groups are remembered.
    #[serde(with = "duration")]
    pub api_key_ttl: Duration,
    /// Remembered verified tokens.
    pub token_cache: TokenCache,
}

/// `auth.token-cache`: remembered verified tokens.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
pub struct TokenCache {
    /// How many at most; 0 verifies every request anew.
    pub entries: u64,
}

/// `local-cluster`: the cluster that the gateway belongs to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
pub struct LocalCluster {
    /// 1 to 64 backends of the cluster, as `https://host:port`.
    #[serde(with = "texts")]
    pub api_urls: Vec<Backend>,
    /// CA bundle that replaces the system's roots.
    pub trusted_ca_file: Option<PathBuf>,
    /// Client certificate chain; needs `key_file`.
    pub cert_file: Option<PathBuf>,
    /// Client key; needs `cert_file`.
    pub key_file: Option<PathBuf>,
    /// Accept any server certificate.
    pub insecure_skip_tls_verify: bool,
}

/// One item of `clusters`: a remote cluster.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct StaticCluster {
    /// Its unique name.
    #[serde(with = "text")]
    pub name: ClusterName,
    /// 1 to 64 backends of the cluster, as `https://host:port`.
    #[serde(with = "texts")]
    pub api_urls: Vec<Backend>,
    /// CA bundle that replaces the system's roots.
    #[serde(default)]
    pub trusted_ca_file: Option<PathBuf>,
    /// Client certificate chain; needs `key_file`.
    #[serde(default)]
    pub cert_file: Option<PathBuf>,
    /// Client key; needs `cert_file`.
    #[serde(default)]
    pub key_file: Option<PathBuf>,
    /// Accept any server certificate.
    #[serde(default)]
    pub insecure_skip_tls_verify: bool,
}

/// `fan-out`: how lists are gathered from several clusters.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
pub struct FanOut {
    /// Which clusters a list asks when the request names none.
    pub default_scope: ListScope,
    /// How long one member may take; shorter than `timeout`, so that the others' answers are still in time.
    #[serde(with = "duration")]
    pub member_timeout: Duration,
    /// How long until the answer's head goes out.
    #[serde(with = "duration")]
    pub timeout: Duration,
    /// How much of a member's body is held back until the head goes out.
    #[serde(with = "size")]
    pub buffer_bytes: usize,
    /// How much all members of one list together are read ahead of the client. A Sensu backend cuts an answer
    /// that is not read within 15 s.
    #[serde(with = "size")]
    pub read_ahead_bytes: usize,
    /// Largest body of one member.
    #[serde(with = "size")]
    pub max_member_bytes: u64,
    /// Most clusters that one list asks.
    pub max_members: usize,
}

/// `upstream`: connections to the clusters.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
pub struct Upstream {
    /// TCP and TLS together.
    #[serde(with = "duration")]
    pub connect_timeout: Duration,
    /// From the request to the response's head; Sensu itself gives up after 15 s.
    #[serde(with = "duration")]
    pub head_timeout: Duration,
    /// Longest silence in a body.
    #[serde(with = "duration")]
    pub idle_body_timeout: Duration,
    /// How long an unused connection is kept; below the 15 s after which Sensu closes it.
    #[serde(with = "duration")]
    pub idle_connection_timeout: Duration,
    /// Unused connections kept per backend and worker.
    pub max_idle_connections: usize,
    /// How often a request that is safe to repeat is tried again; 0 is never.
    pub retries: u32,
    /// How backends are checked.
    pub health: Health,
}

/// `upstream.health`: how backends are checked.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
pub struct Health {
    /// From one check of a backend to the next.
    #[serde(with = "duration")]
    pub interval: Duration,
    /// Longest time for one check; at most `interval`.
    #[serde(with = "duration")]
    pub timeout: Duration,
    /// Failed checks in a row until a backend counts as down.
    pub unhealthy_after: u32,
    /// Passed checks in a row until it counts as up again.
    pub healthy_after: u32,
}

/// `limits`: what one client or all of them may use.
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
    #[serde(with = "size")]
    pub head_bytes: usize,
    /// Body of one request; Sensu's own limit.
    #[serde(with = "size")]
    pub request_body_bytes: usize,
    /// From the connection's start to the first complete head, TLS included.
    #[serde(with = "duration")]
    pub head_timeout: Duration,
    /// Lists over several clusters that are in work at once.
    pub fan_outs: usize,
    /// What all lists together are read ahead of their clients.
    #[serde(with = "size")]
    pub read_ahead_bytes: usize,
}

/// `shutdown`: how the process stops.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
pub struct Shutdown {
    /// How long to go on accepting while `/readyz` already says 503, for load balancers to notice.
    #[serde(with = "duration")]
    pub announce: Duration,
    /// How long requests in work may still take.
    #[serde(with = "duration")]
    pub drain: Duration,
}

/// `cors`: browsers on other origins.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
pub struct Cors {
    /// Origins as browsers write them, such as `https://dashboard.example.com`. Empty: CORS is off.
    pub allowed_origins: Vec<String>,
}

/// `log`: what is logged, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
pub struct Log {
    /// One JSON object per line, or text for people.
    pub format: LogFormat,
    /// The least severe level that is written.
    pub level: LogLevel,
}

/// How a log line is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// One JSON object per line.
    #[default]
    Json,
    /// Text for people.
    Text,
}

/// The least severe level that is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogLevel {
    /// A human must act.
    Error,
    /// Something is wrong but handled.
    Warn,
    /// One line per request and per event of the process.
    #[default]
    Info,
    /// For the search of a fault.
    Debug,
    /// Everything.
    Trace,
}

// === impl Root ===

impl Root {
    /// The clusters that the configuration names.
    pub fn snapshot(&self) -> Snapshot {
        let local = Cluster {
            name: ClusterName::local(),
            backends: self.local_cluster.api_urls.clone(),
            tls: self.local_cluster.tls(),
            source: Source::Local,
        };
        let remote = self.clusters.iter().map(|cluster| Cluster {
            name: cluster.name.clone(),
            backends: cluster.api_urls.clone(),
            tls: cluster.tls(),
            source: Source::Config,
        });
        Snapshot::new(std::iter::once(local).chain(remote))
    }
}

// === impl Listen ===

impl Listen {
    /// Certificate and key, when TLS is configured.
    pub fn tls(&self) -> Option<(&PathBuf, &PathBuf)> {
        self.cert_file.as_ref().zip(self.key_file.as_ref())
    }
}

impl Default for Listen {
    fn default() -> Self {
        Self {
            address: SocketAddr::from((std::net::Ipv6Addr::UNSPECIFIED, 8080)),
            cert_file: None,
            key_file: None,
            allow_plaintext: false,
            trusted_proxies: Vec::new(),
            workers: 0,
        }
    }
}

// === impl Admin ===

impl Default for Admin {
    fn default() -> Self {
        Self { address: SocketAddr::from((std::net::Ipv4Addr::LOCALHOST, 9180)) }
    }
}

// === impl Auth ===

impl Default for Auth {
    fn default() -> Self {
        Self {
            jwt_public_key_files: Vec::new(),
            jwt_private_key_file: None,
            admin_groups: vec!["cluster-admins".to_owned()],
            api_key_ttl: Duration::from_secs(60),
            token_cache: TokenCache::default(),
        }
    }
}

// === impl TokenCache ===

impl Default for TokenCache {
    fn default() -> Self {
        Self { entries: 100_000 }
    }
}

// === impl FanOut ===

impl Default for FanOut {
    fn default() -> Self {
        Self {
            default_scope: ListScope::All,
            member_timeout: Duration::from_secs(10),
            timeout: Duration::from_secs(12),
            buffer_bytes: 1 << 20,
            read_ahead_bytes: 16 << 20,
            max_member_bytes: 1 << 30,
            max_members: 256,
        }
    }
}

// === impl Upstream ===

impl Default for Upstream {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(2),
            head_timeout: Duration::from_secs(15),
            idle_body_timeout: Duration::from_secs(15),
            idle_connection_timeout: Duration::from_secs(10),
            max_idle_connections: 128,
            retries: 2,
            health: Health::default(),
        }
    }
}

// === impl Health ===

impl Default for Health {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(3),
            unhealthy_after: 3,
            healthy_after: 2,
        }
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
            read_ahead_bytes: 256 << 20,
        }
    }
}

// === impl Shutdown ===

impl Default for Shutdown {
    fn default() -> Self {
        Self { announce: Duration::ZERO, drain: Duration::from_secs(30) }
    }
}
