//! Plain data that every module speaks: names, clusters, callers. Parsed on construction, no I/O.

mod cidr;
mod cluster;
mod conflict;
mod connection;
mod difference;
mod failure;
mod name;
mod page;
mod policy;
mod principal;
mod rate;
mod resource;
pub mod rfc3339;
mod scope;
mod shape;
mod status;
pub mod units;

pub use cidr::{Cidr, CidrError};
pub(crate) use cluster::certificate_files;
pub use cluster::{Backend, Cluster, Snapshot, Source, TlsFiles, UrlError};
pub use conflict::{Conflict, ConflictKind, conflicts, mixed_urls};
pub use connection::ConnInfo;
pub use difference::{
    Comparison, Difference, DifferenceAction, DifferenceCounts, FieldDifference, MAX_DIFFERENCES,
    PlaceComparison,
};
pub use failure::FailureClass;
pub use name::{ClusterName, LOCAL_CLUSTER, NameError, NamespaceRef};
pub use page::{PageRequest, Paging};
pub use policy::{
    ForeignCopies, LeftCopies, OnConflict, OnDelete, PendingChanges, PolicyClusterStatus, PolicySpec,
    PolicyStatus, Targets,
};
pub use principal::{Caller, Principal};
pub use rate::{Rate, RateError};
pub use resource::{ClusterSpec, FEDERATION_V1, Kind, Metadata, ReplicatorSpec, Resource, Spec};
pub use scope::{AuthScope, ListScope};
pub use shape::Shape;
pub use status::{
    BackendHealth, BackendState, ClusterHealth, GivenUp, LeftBehind, Orphans, OutageStatus, ReplicatorState,
    ReplicatorStatus,
};
