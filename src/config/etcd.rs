//! The sections that name an etcd or a file to keep things in.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::units::texts;
use crate::types::Backend;

/// `store`: where registered clusters and replicators are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
pub struct Store {
    /// One file, for one gateway. Not used when `etcd` has endpoints.
    pub embedded: EmbeddedStore,
    /// An etcd that several gateways share.
    pub etcd: EtcdStore,
}

/// `store.embedded`: one file, for one gateway.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
pub struct EmbeddedStore {
    /// The file; it and its directory are made when missing.
    pub path: PathBuf,
}

/// `store.etcd`: an etcd that several gateways share. Not used without endpoints.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
pub struct EtcdStore {
    /// Client URLs of its members.
    #[serde(with = "texts")]
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

/// `replication`: copies of RBAC resources from the local cluster to others.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
pub struct Replication {
    /// Whether this gateway takes part in it. It needs `source.endpoints` too.
    pub enabled: bool,
    /// The local cluster's etcd.
    pub source: EtcdSource,
}

/// `replication.source`: the local cluster's etcd. The rules that say who may register clusters are read there too.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
pub struct EtcdSource {
    /// Client URLs of its members. Empty: there is no access to it.
    #[serde(with = "texts")]
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

// === impl EmbeddedStore ===

impl Default for EmbeddedStore {
    fn default() -> Self {
        Self { path: PathBuf::from("/var/lib/fedgate/registry.redb") }
    }
}

// === impl EtcdStore ===

impl Default for EtcdStore {
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

// === impl Replication ===

impl Default for Replication {
    fn default() -> Self {
        Self { enabled: true, source: EtcdSource::default() }
    }
}
