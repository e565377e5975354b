use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::types::{Backend, ClusterName, certificate_files};

/// `local-cluster`: the cluster that the gateway belongs to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
pub struct LocalCluster {
    /// 1 to 64 backends of the cluster, as `https://host:port`.
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
    pub name: ClusterName,
    /// 1 to 64 backends of the cluster, as `https://host:port`.
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

/// `store`: where registered clusters and replicators are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
pub struct Config {
    /// One file, for one gateway. Not used when `etcd` has endpoints.
    pub embedded: EmbeddedConfig,
    /// An etcd that several gateways share.
    pub etcd: EtcdConfig,
}

/// `store.embedded`: one file, for one gateway.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
pub struct EmbeddedConfig {
    /// The file; it and its directory are made when missing.
    pub path: PathBuf,
}

/// `store.etcd`: an etcd that several gateways share. Not used without endpoints.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
pub struct EtcdConfig {
    /// Client URLs of its members.
    pub endpoints: Vec<Backend>,
    /// CA bundle that replaces the system's roots.
    pub trusted_ca_file: Option<PathBuf>,
    /// Client certificate chain; needs `key_file`.
    pub cert_file: Option<PathBuf>,
    /// Client key; needs `cert_file`.
    pub key_file: Option<PathBuf>,
    /// Accept any server certificate.
    pub insecure_skip_tls_verify: bool,
    /// Begins every key; ends in `/`.
    pub prefix: String,
}

certificate_files!(LocalCluster, StaticCluster, EtcdConfig);

// === impl EmbeddedConfig ===

impl Default for EmbeddedConfig {
    fn default() -> Self {
        Self { path: PathBuf::from("/var/lib/fedgate/registry.redb") }
    }
}

// === impl EtcdConfig ===

impl Default for EtcdConfig {
    fn default() -> Self {
        Self {
            endpoints: Vec::new(),
            trusted_ca_file: None,
            cert_file: None,
            key_file: None,
            insecure_skip_tls_verify: false,
            prefix: "/fedgate/".to_owned(),
        }
    }
}
