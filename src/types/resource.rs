use std::{collections::BTreeMap, path::Path, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Backend, PolicySpec, TlsFiles};

/// The `api_version` of everything that federation registers.
pub const FEDERATION_V1: &str = "federation/v1";

/// What can be registered through `federation/v1`. Its name in Rust is its `type` on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// A remote cluster.
    Cluster,
    /// A copy of one resource type from the local cluster's etcd to another.
    EtcdReplicator,
    /// Copies of several resource types from the local cluster to others, through their APIs.
    Replicator,
}

/// The `metadata` of a resource. Keys that are empty are not written, as Sensu does it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// Unique among the resources of its kind.
    pub name: String,
    /// Free key-value pairs.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Free key-value pairs that are not meant for selection.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// The user who wrote it last.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub created_by: String,
}

/// A resource in Sensu's wrapped form, as stored and as answered.
///
/// The spec is kept as the client sent it, key order included: configuration management compares what it sent with
/// what it reads back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resource {
    /// What it is.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// Always [`FEDERATION_V1`].
    pub api_version: String,
    /// Name, labels, author.
    pub metadata: Metadata,
    /// As sent, with defaults for what Sensu always shows.
    pub spec: Map<String, Value>,
}

/// What a resource's spec means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Spec {
    /// Of a [`Kind::Cluster`].
    Cluster(ClusterSpec),
    /// Of a [`Kind::EtcdReplicator`].
    EtcdReplicator(ReplicatorSpec),
    /// Of a [`Kind::Replicator`].
    Replicator(PolicySpec),
}

/// How a remote cluster is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterSpec {
    /// 1 to 64 backends in the order sent.
    pub backends: Vec<Backend>,
    /// `ca_cert`, `cert`, `key` and `insecure`.
    pub tls: TlsFiles,
}

/// What is replicated to where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicatorSpec {
    /// 1 to 64 etcd endpoints of the destination, in the order of `url`.
    pub endpoints: Vec<Backend>,
    /// `ca_cert`, `cert`, `key` and `insecure`.
    pub tls: TlsFiles,
    /// `core/v2`.
    pub api_version: String,
    /// The Sensu type, such as `ClusterRole`.
    pub resource: String,
    /// Only this namespace; `None` is all.
    pub namespace: Option<String>,
    /// How often the destination is compared with the source as a whole.
    pub interval: Duration,
}

// === impl Kind ===

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Cluster, Self::EtcdReplicator, Self::Replicator];

    /// The `type` in the wrapped form.
    pub const fn type_name(self) -> &'static str {
        match self {
            Self::Cluster => "Cluster",
            Self::EtcdReplicator => "EtcdReplicator",
            Self::Replicator => "Replicator",
        }
    }

    /// The path segment of its collection, which is also the resource name in Sensu's RBAC rules.
    pub const fn collection(self) -> &'static str {
        match self {
            Self::Cluster => "clusters",
            Self::EtcdReplicator => "etcd-replicators",
            Self::Replicator => "replicators",
        }
    }

    /// What a person calls one.
    pub const fn noun(self) -> &'static str {
        match self {
            Self::Cluster => "cluster",
            Self::EtcdReplicator => "etcd replicator",
            Self::Replicator => "replicator",
        }
    }

    /// The kind whose collection this is.
    pub fn of_collection(segment: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.collection() == segment)
    }
}

// === impl Metadata ===

impl Metadata {
    /// Names, in an annotation of a replicator, the federations whose copies it takes over.
    const ADOPT: &str = "fedgate.io/adopt";

    /// The federations whose copies a replicator takes over.
    pub fn adopted(&self) -> impl Iterator<Item = &str> {
        let named = self.annotations.get(Self::ADOPT).into_iter().flat_map(|text| text.split(','));
        named.map(str::trim).filter(|it| !it.is_empty())
    }
}

// === impl Spec ===

impl Spec {
    /// Certificate files and their fields' names.
    pub fn files(&self) -> impl Iterator<Item = (&'static str, &Path)> {
        let tls = match self {
            Self::Cluster(spec) => Some(&spec.tls),
            Self::EtcdReplicator(spec) => Some(&spec.tls),
            Self::Replicator(_) => None,
        };
        let files = tls.map(|tls| {
            [
                ("spec.ca_cert", &tls.trusted_ca_file),
                ("spec.cert", &tls.cert_file),
                ("spec.key", &tls.key_file),
            ]
        });
        files.into_iter().flatten().filter_map(|(field, file)| Some((field, file.as_deref()?)))
    }
}
