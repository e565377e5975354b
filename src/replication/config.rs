use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{
    etcd,
    types::{Backend, certificate_files},
};

/// `replication`: copies of RBAC resources from the local cluster to others.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
pub struct Config {
    /// Whether this gateway takes part in it. It needs `source.endpoints` too.
    pub enabled: bool,
    /// The local cluster's etcd.
    pub source: SourceConfig,
}

/// `replication.source`: the local cluster's etcd. The rules that say who may register clusters are read there too.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
pub struct SourceConfig {
    /// Client URLs of its members. Empty: there is no access to it.
    pub endpoints: Vec<Backend>,
    /// CA bundle that replaces the system's roots.
    pub trusted_ca_file: Option<PathBuf>,
    /// Client certificate chain; needs `key_file`.
    pub cert_file: Option<PathBuf>,
    /// Client key; needs `cert_file`.
    pub key_file: Option<PathBuf>,
    /// Accept any server certificate.
    pub insecure_skip_tls_verify: bool,
}

certificate_files!(SourceConfig);

// === impl Config ===

impl Default for Config {
    fn default() -> Self {
        Self { enabled: true, source: SourceConfig::default() }
    }
}

// === impl SourceConfig ===

impl SourceConfig {
    /// How to reach the local cluster's etcd, when the configuration gives access to it.
    pub fn etcd(&self) -> Option<etcd::Config> {
        (!self.endpoints.is_empty()).then(|| etcd::Config::new(self.endpoints.clone(), self.tls()))
    }
}
