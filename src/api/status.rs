use std::{collections::HashMap, time::SystemTime};

use serde::Serialize;

use super::{
    format::{UNREADABLE, rfc3339, tenths},
    policy_status::{Policy, policies},
};
use crate::{
    registry::{self, Registry},
    types::{
        self, Backend, BackendHealth, BackendState, Cluster, ClusterHealth, ClusterName, Kind, OutageStatus,
        PolicyStatus, ReplicatorState, ReplicatorStatus, Snapshot, Source, TlsFiles, conflicts,
    },
};

/// What has been found out.
#[derive(Clone, Copy)]
pub(super) struct Findings<'a> {
    pub(super) clusters: &'a [ClusterHealth],
    pub(super) replicators: &'a [ReplicatorStatus],
    pub(super) policies: &'a [PolicyStatus],
}

/// For whom a status is written, and what else the authorizer says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Viewer {
    /// Whether error texts are shown: they may name files and certificates.
    pub(super) detailed: bool,
    /// Where the rules come from that decide who may write.
    pub(super) authorization: &'static str,
    /// Why they cannot decide about the viewer, who then sees no other error text.
    pub(super) authorization_error: Option<&'static str>,
}

/// Everything at a glance.
#[derive(Serialize)]
struct Status<'a> {
    /// Whether everything below is current and has been checked.
    complete: bool,
    clusters: Vec<ClusterStatus<'a>>,
    replicators: Vec<AnyReplicator<'a>>,
    /// Only when there are any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    conflicts: Vec<Conflict>,
    authorization: &'static str,
    /// Only when they are configured.
    #[serde(skip_serializing_if = "Option::is_none")]
    outage_sessions: Option<OutageSessions>,
    /// Only when the rules cannot decide about the caller.
    #[serde(skip_serializing_if = "Option::is_none")]
    authorization_error: Option<&'static str>,
    /// Only when the store does not work.
    #[serde(skip_serializing_if = "Option::is_none")]
    store: Option<Store<'a>>,
}

/// `up` is all backends, `degraded` some, `down` none; a backend that has not been checked yet is `down`, too: it has not
/// been seen to answer.
#[derive(Serialize)]
struct ClusterStatus<'a> {
    name: &'a str,
    source: &'static str,
    version: Option<&'a str>,
    state: &'static str,
    since: Option<String>,
    error: Option<&'a str>,
    backends: Vec<BackendStatus<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

#[derive(Serialize)]
struct BackendStatus<'a> {
    url: String,
    state: &'static str,
    since: Option<String>,
    error: Option<&'a str>,
    latency_ms: Option<f64>,
    /// Sixteen hexadecimal digits, as etcd shows it, once it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    etcd_cluster_id: Option<String>,
}

/// Registered clusters that get in each other's way.
#[derive(Serialize)]
struct Conflict {
    kind: &'static str,
    clusters: Vec<String>,
    message: String,
}

#[derive(Serialize)]
#[serde(untagged)]
enum AnyReplicator<'a> {
    Etcd(Replicator<'a>),
    Api(Policy<'a>),
}

#[derive(Serialize)]
struct Replicator<'a> {
    name: &'a str,
    state: &'static str,
    since: Option<String>,
    error: Option<&'a str>,
    keys: u64,
    lag_seconds: Option<f64>,
    last_sync: Option<String>,
    leader: bool,
    /// It is not registered any more.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    deleted: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    left_behind: Vec<Left<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    orphans: Vec<Orphan<'a>>,
}

/// What a replicator still owns where it is not registered any more.
#[derive(Serialize)]
struct Left<'a> {
    destination: &'a str,
    keys: u64,
    error: Option<&'a str>,
}

/// What a federation that is gone still owns in the destination.
#[derive(Serialize)]
struct Orphan<'a> {
    federation: &'a str,
    gateway: &'a str,
    keys: u64,
}

#[derive(Serialize)]
struct OutageSessions {
    active: bool,
    since: Option<String>,
    longest_seconds: u64,
    renewed: u64,
}

#[derive(Serialize)]
struct Store<'a> {
    state: &'static str,
    since: Option<String>,
    error: Option<&'a str>,
}

/// Writes what is registered, and how it is, as JSON.
///
/// What is registered decides: findings about anything else are left out, and what has not been looked at is listed, too.
pub(super) fn render(
    view: &Registry,
    found: Findings<'_>,
    outage_sessions: Option<OutageStatus>,
    viewer: Viewer,
) -> Vec<u8> {
    let snapshot = view.snapshot();
    let health: HashMap<_, _> = found.clusters.iter().map(|cluster| (&cluster.name, cluster)).collect();
    let facts: Vec<_> =
        snapshot.iter().map(|cluster| Facts::gather(cluster, health.get(&cluster.name).copied())).collect();
    let in_conflict = in_conflict(&snapshot, &health);
    let store = store(view.health(), viewer);
    let checked = facts.iter().flat_map(|facts| &facts.backends).all(|(_, health)| is_known(*health));
    let mut clusters: Vec<_> = facts.iter().map(|facts| facts.status(view, viewer, &in_conflict)).collect();
    clusters.extend(view.unreadable_of(Kind::Cluster).map(|(name, _)| ClusterStatus {
        name,
        source: source(Source::Api),
        version: None,
        state: "down",
        since: None,
        error: viewer.shows(UNREADABLE),
        backends: Vec::new(),
        warnings: Vec::new(),
    }));
    let etcd = all_replicators(view, found.replicators, viewer).into_iter().map(AnyReplicator::Etcd);
    let by_api = policies(view, found.policies, viewer.detailed).into_iter().map(AnyReplicator::Api);
    let replicators = etcd.chain(by_api);
    let status = Status {
        complete: checked && store.is_none() && view.unreadable().is_empty(),
        clusters,
        replicators: replicators.collect(),
        conflicts: in_conflict,
        authorization: viewer.authorization,
        outage_sessions: outage_sessions.map(OutageSessions::from),
        authorization_error: viewer.authorization_error,
        store,
    };
    serde_json::to_vec(&status)
        .expect("it has no map whose keys are not strings, and no number that is not one")
}

/// What has been found out about one cluster.
struct Facts<'a> {
    cluster: &'a Cluster,
    version: Option<&'a str>,
    /// `None` right after a change, before health checks have begun.
    backends: Vec<(&'a Backend, Option<&'a BackendHealth>)>,
}

// === impl OutageSessions ===

impl From<OutageStatus> for OutageSessions {
    fn from(status: OutageStatus) -> Self {
        Self {
            active: status.since.is_some(),
            since: status.since.map(rfc3339),
            longest_seconds: status.longest.as_secs(),
            renewed: status.renewed,
        }
    }
}

// === impl Viewer ===

impl Viewer {
    fn shows(self, error: &str) -> Option<&str> {
        self.detailed.then_some(error)
    }
}

// === impl Facts ===

impl<'a> Facts<'a> {
    fn gather(cluster: &'a Cluster, health: Option<&'a ClusterHealth>) -> Self {
        let of = |backend: &Backend| health?.backends.iter().find(|health| health.backend == *backend);
        let backends = cluster.backends.iter().map(|backend| (backend, of(backend))).collect();
        Self { cluster, version: health.and_then(|health| health.version.as_deref()), backends }
    }

    fn status(&self, view: &Registry, viewer: Viewer, conflicts: &[Conflict]) -> ClusterStatus<'a> {
        let backends = self.backends.iter().map(|(backend, health)| backend_status(backend, *health, viewer));
        let backends: Vec<_> = backends.collect();
        let (state, since) = self.state();
        let error =
            backends.iter().filter(|backend| backend.state == "down").find_map(|backend| backend.error);
        ClusterStatus {
            name: self.cluster.name.as_str(),
            source: source(self.cluster.source),
            version: self.version,
            state,
            since: since.map(rfc3339),
            error,
            backends,
            warnings: self.warnings(view, conflicts),
        }
    }

    /// The state, and since when, as far as the backends' own times show.
    fn state(&self) -> (&'static str, Option<SystemTime>) {
        let since = |up: bool| {
            let matching = self.backends.iter().filter(move |(_, health)| is_up(*health) == up);
            matching.filter_map(|(_, health)| health.map(|health| health.since))
        };
        let ups = self.backends.iter().filter(|(_, health)| is_up(*health)).count();
        match ups {
            0 => ("down", since(false).max()),
            all if all == self.backends.len() => ("up", since(true).max()),
            // Since the first of one kind joined the other.
            _ => ("degraded", since(true).min().max(since(false).min())),
        }
    }

    fn warnings(&self, view: &Registry, conflicts: &[Conflict]) -> Vec<String> {
        let mut warnings = warnings(&self.cluster.backends, &self.cluster.tls);
        if self.cluster.source != Source::Api && view.get(Kind::Cluster, self.cluster.name.as_str()).is_some()
        {
            warnings.push("it hides a registered cluster of the same name".to_owned());
        }
        let name = self.cluster.name.as_str();
        let own = conflicts.iter().filter(|conflict| conflict.clusters.iter().any(|other| other == name));
        warnings.extend(own.map(|conflict| conflict.message.clone()));
        warnings
    }
}

/// Where somebody on the way could listen.
pub(super) fn warnings(backends: &[Backend], tls: &TlsFiles) -> Vec<String> {
    let insecure = tls.insecure_skip_tls_verify.then(|| "server certificates are not verified".to_owned());
    let plain = backends.iter().filter(|backend| !backend.tls);
    insecure.into_iter().chain(plain.map(|backend| format!("{backend} is spoken to in plain HTTP"))).collect()
}

fn backend_status<'a>(
    backend: &Backend,
    health: Option<&'a BackendHealth>,
    viewer: Viewer,
) -> BackendStatus<'a> {
    let error = if is_known(health) { health.and_then(|h| h.error.as_deref()) } else { Some(NOT_CHECKED) };
    BackendStatus {
        url: backend.to_string(),
        state: if is_up(health) { "up" } else { "down" },
        since: health.map(|health| rfc3339(health.since)),
        error: error.filter(|_| viewer.detailed),
        latency_ms: health
            .and_then(|health| health.latency)
            .map(|latency| tenths(latency.as_secs_f64() * 1e3)),
        etcd_cluster_id: health.and_then(|health| health.etcd_cluster).map(|id| format!("{id:016x}")),
    }
}

fn in_conflict(snapshot: &Snapshot, health: &HashMap<&ClusterName, &ClusterHealth>) -> Vec<Conflict> {
    let etcd_cluster = |cluster: &Cluster, backend: &Backend| {
        let found = health.get(&cluster.name)?.backends.iter().find(|health| health.backend == *backend);
        found?.etcd_cluster
    };
    let written = |conflict: types::Conflict| Conflict {
        kind: conflict.kind.as_str(),
        clusters: conflict.clusters.iter().map(|name| name.as_str().to_owned()).collect(),
        message: conflict.message,
    };
    conflicts(snapshot, etcd_cluster).into_iter().map(written).collect()
}

/// Every registered one by name, and the deleted ones that have left something behind.
fn all_replicators<'a>(
    view: &'a Registry,
    found: &'a [ReplicatorStatus],
    viewer: Viewer,
) -> Vec<Replicator<'a>> {
    let none = |name: &'a str, state: ReplicatorState, error| Replicator {
        name,
        state: state.as_str(),
        since: None,
        error: viewer.shows(error),
        keys: 0,
        lag_seconds: None,
        last_sync: None,
        leader: false,
        deleted: false,
        left_behind: Vec::new(),
        orphans: Vec::new(),
    };
    let names = view.list(Kind::EtcdReplicator).map(|item| item.checked.resource.metadata.name.as_str());
    let readable = names.map(|name| match found.iter().find(|status| *status.name == *name) {
        None => none(name, ReplicatorState::Stopped, REPLICATION_OFF),
        Some(status) => replicator(status, viewer),
    });
    let unreadable = view
        .unreadable_of(Kind::EtcdReplicator)
        .map(|(name, _)| none(name, ReplicatorState::Rejected, UNREADABLE));
    let is_registered = |status: &&ReplicatorStatus| {
        view.get(Kind::EtcdReplicator, &status.name).is_some()
            || view.is_unreadable(Kind::EtcdReplicator, &status.name)
    };
    let deleted = found.iter().filter(|status| status.is_deleted && !is_registered(status));
    readable.chain(unreadable).chain(deleted.map(|status| replicator(status, viewer))).collect()
}

fn replicator(status: &ReplicatorStatus, viewer: Viewer) -> Replicator<'_> {
    Replicator {
        name: &status.name,
        state: status.state.as_str(),
        since: Some(rfc3339(status.since)),
        error: status.error.as_deref().filter(|_| viewer.detailed),
        keys: status.keys,
        lag_seconds: status.lag.map(|lag| tenths(lag.as_secs_f64())),
        last_sync: status.last_sync.map(rfc3339),
        leader: status.leader,
        deleted: status.is_deleted,
        left_behind: status
            .left_behind
            .iter()
            .map(|left| Left {
                destination: &left.destination,
                keys: left.keys,
                error: left.error.as_deref().filter(|_| viewer.detailed),
            })
            .collect(),
        orphans: status
            .orphans
            .iter()
            .map(|it| Orphan { federation: &it.federation, gateway: &it.gateway, keys: it.keys })
            .collect(),
    }
}

fn store(health: &registry::Health, viewer: Viewer) -> Option<Store<'_>> {
    match health {
        registry::Health::Following => None,
        registry::Health::Starting => Some(Store { state: "starting", since: None, error: None }),
        registry::Health::Down { since, reason } => {
            Some(Store { state: "down", since: Some(rfc3339(*since)), error: viewer.shows(reason) })
        }
    }
}

fn is_up(health: Option<&BackendHealth>) -> bool {
    health.is_some_and(|health| health.state == BackendState::Up)
}

fn is_known(health: Option<&BackendHealth>) -> bool {
    health.is_some_and(|health| health.state != BackendState::Unknown)
}

const fn source(source: Source) -> &'static str {
    match source {
        Source::Api => "api",
        Source::Config => "config",
        Source::Local => "local",
    }
}

const NOT_CHECKED: &str = "not checked yet";

const REPLICATION_OFF: &str = "replication is off on this gateway";
