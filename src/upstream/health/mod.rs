//! Active health checks: who answers, since when, and how fast.

mod check;
mod metrics;
mod track;

use std::{
    collections::HashMap,
    mem,
    sync::Arc,
    time::{Duration, SystemTime},
};

use futures::{
    StreamExt,
    future::{AbortHandle, Abortable, BoxFuture, abortable},
    stream::FuturesUnordered,
};
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{Semaphore, watch},
    time::{Instant, sleep_until},
};

use check::check_and;
pub use check::{Cause, CheckError, Passed, check};
pub use metrics::register as register_metrics;

use self::track::Track;
use super::{
    board::{BackendKey, HealthBoard, HealthEntry},
    connect::Connect,
};
use crate::types::{Backend, BackendHealth, BackendState, Cluster, ClusterHealth, Snapshot, units};

/// `upstream.health`: how backends are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
pub struct Config {
    /// From the start of one check of a backend to that of the next.
    #[serde(with = "units::duration")]
    pub interval: Duration,
    /// Longest time for one check, from name resolution to the end of the answer; at most `interval`.
    #[serde(with = "units::duration")]
    pub timeout: Duration,
    /// Failed checks in a row until a backend that was up counts as down.
    pub unhealthy_after: u32,
    /// Passed checks in a row until a backend that was down counts as up.
    pub healthy_after: u32,
}

/// Checks every backend of every cluster until it is dropped.
///
/// One task with a future per backend, which waits until the check is due: a slow backend delays no other, and the
/// future is dropped with its cluster.
pub struct Prober {
    config: Config,
    connect: Arc<dyn Connect>,
    board: Arc<HealthBoard>,
    clusters: watch::Receiver<Arc<Snapshot>>,
    published: watch::Sender<Arc<Vec<ClusterHealth>>>,
    targets: HashMap<Arc<BackendKey>, Target>,
    checks: FuturesUnordered<Abortable<BoxFuture<'static, Done>>>,
    slots: Arc<Semaphore>,
}

/// One backend that is checked.
struct Target {
    cluster: Arc<Cluster>,
    track: Track,
    since: SystemTime,
    error: Option<Arc<str>>,
    latency: Option<Duration>,
    version: Option<Arc<str>>,
    etcd_cluster: Option<u64>,
    /// When it was last asked for its etcd cluster.
    identified: Option<Instant>,
    entry: Arc<HealthEntry>,
    /// Ends the check that is waiting or under way.
    check: AbortHandle,
}

/// A check that has ended.
struct Done {
    key: Arc<BackendKey>,
    started: Instant,
    /// Whether it asked for the etcd cluster.
    identify: bool,
    result: Result<Passed, CheckError>,
}

// === impl Config ===

impl Default for Config {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(3),
            unhealthy_after: 3,
            healthy_after: 2,
        }
    }
}

// === impl Prober ===

impl Prober {
    /// A prober that follows `clusters`, and its findings: every cluster in the snapshot's order, unknown at first.
    ///
    /// Give the same `board` to the workers' [`Manager`](super::Manager)s, and `connect` that opens connections as
    /// theirs does.
    pub fn new(
        config: Config,
        connect: Arc<dyn Connect>,
        clusters: watch::Receiver<Arc<Snapshot>>,
        board: Arc<HealthBoard>,
    ) -> (Self, watch::Receiver<Arc<Vec<ClusterHealth>>>) {
        let (published, health) = watch::channel(Arc::default());
        let mut prober = Self {
            config,
            connect,
            board,
            clusters,
            published,
            targets: HashMap::new(),
            checks: FuturesUnordered::new(),
            slots: Arc::new(Semaphore::new(MAX_CHECKS)),
        };
        prober.follow();
        (prober, health)
    }

    /// Runs until the snapshots end.
    pub async fn run(mut self) {
        loop {
            tokio::select! {
                changed = self.clusters.changed() => match changed {
                    Ok(()) => self.follow(),
                    Err(_) => return,
                },
                Some(ended) = self.checks.next() => {
                    // An error is a check whose cluster is gone.
                    if let Ok(done) = ended {
                        self.record(done);
                    }
                }
            }
        }
    }

    /// Starts to check what is new in the snapshot and forgets what is gone.
    fn follow(&mut self) {
        let snapshot = Arc::clone(&self.clusters.borrow_and_update());
        let mut old = mem::take(&mut self.targets);
        let mut new = Vec::new();
        for cluster in snapshot.iter() {
            for backend in &cluster.backends {
                let key = BackendKey::new(cluster, backend);
                match old.remove_entry(&key) {
                    Some((key, target)) => {
                        self.targets.insert(key, Target { cluster: Arc::clone(cluster), ..target });
                    }
                    None => new.push((Arc::new(key), Arc::clone(cluster))),
                }
            }
        }
        for target in old.into_values() {
            target.check.abort();
            target.entry.clear();
        }
        // Spread over time, and by the fixed interval they stay so.
        let window = self.config.interval.min(SPACING * u32::try_from(new.len()).unwrap_or(u32::MAX));
        for (key, cluster) in new {
            let start = Instant::now() + window.mul_f64(fastrand::f64());
            let check = self.schedule(&key, Arc::clone(&cluster), start, true);
            let target = Target::new(cluster, self.board.of(&key), check);
            self.targets.insert(key, target);
        }
        let all = snapshot.iter().map(|cluster| self.health_of(cluster)).collect();
        self.published.send_replace(Arc::new(all));
    }

    /// Plans a backend's next check.
    fn schedule(
        &self,
        key: &Arc<BackendKey>,
        cluster: Arc<Cluster>,
        start: Instant,
        identify: bool,
    ) -> AbortHandle {
        let (key, connect, slots) = (Arc::clone(key), Arc::clone(&self.connect), Arc::clone(&self.slots));
        let limit = self.config.timeout;
        let future: BoxFuture<'static, Done> = Box::pin(async move {
            sleep_until(start).await;
            // Waiting for it is not the backend's fault, so it is not part of the check's time.
            let _slot = slots.acquire().await;
            let started = Instant::now();
            let result = check_and(identify, &*connect, &cluster, &key.backend, limit).await;
            Done { key, started, identify, result }
        });
        let (check, handle) = abortable(future);
        self.checks.push(check);
        handle
    }

    fn record(&mut self, Done { key, started, identify, result }: Done) {
        let Some(mut target) = self.targets.remove(&key) else { return };
        let was = target.track.state;
        // The next check has ended by then, one way or the other.
        let valid = Instant::now() + self.config.interval + self.config.timeout;
        if identify && result.is_ok() {
            target.identified = Some(started);
        }
        target.take(result, valid, &self.config);
        if target.track.state != was {
            self.log(&key, was, &target);
        }
        let cluster = Arc::clone(&target.cluster);
        let next = started + self.config.interval;
        target.check = self.schedule(&key, Arc::clone(&cluster), next, target.is_to_be_identified(next));
        self.targets.insert(key, target);
        let health = self.health_of(&cluster);
        self.published.send_modify(|all| {
            // In place, unless a reader holds it.
            if let Some(old) = Arc::make_mut(all).iter_mut().find(|old| old.name == health.name) {
                *old = health;
            }
        });
    }

    /// One line when a backend has changed, and another when all others of its cluster are down.
    fn log(&self, key: &BackendKey, was: BackendState, target: &Target) {
        let (cluster, backend) = (&key.cluster, &key.backend);
        let others = self.targets.iter().filter(|(other, _)| other.cluster == *cluster);
        let others_are_down =
            others.map(|(_, other)| other.track.state).all(|state| state == BackendState::Down);
        match (was, target.track.state) {
            (_, BackendState::Down) => {
                let error = target.error.as_deref().unwrap_or_default();
                tracing::warn!(%cluster, %backend, error, "a backend is down");
                if others_are_down {
                    tracing::warn!(%cluster, "the cluster is down: no backend passes its health checks");
                }
            }
            (BackendState::Down, _) => {
                tracing::info!(%cluster, %backend, "a backend is up again");
                if others_are_down {
                    tracing::info!(%cluster, "the cluster is up again");
                }
            }
            _ => {}
        }
    }

    fn health_of(&self, cluster: &Cluster) -> ClusterHealth {
        let target = |backend| Some((backend, self.targets.get(&BackendKey::new(cluster, backend))?));
        let targets: Vec<_> = cluster.backends.iter().filter_map(target).collect();
        ClusterHealth {
            name: cluster.name.clone(),
            version: version(&targets),
            backends: targets.iter().map(|(backend, target)| target.health(backend)).collect(),
        }
    }
}

/// The version of a backend that is up, or else the last one that was seen.
fn version(targets: &[(&Backend, &Target)]) -> Option<Arc<str>> {
    let up = targets.iter().filter(|(_, target)| target.track.state == BackendState::Up);
    up.chain(targets).find_map(|(_, target)| target.version.clone())
}

// === impl Target ===

impl Target {
    fn new(cluster: Arc<Cluster>, entry: Arc<HealthEntry>, check: AbortHandle) -> Self {
        Self {
            cluster,
            track: Track::new(),
            since: SystemTime::now(),
            error: None,
            latency: None,
            version: None,
            etcd_cluster: None,
            identified: None,
            entry,
            check,
        }
    }

    /// Whether a check at that time is to ask for the etcd cluster: now and then, and when another one may have taken its
    /// place.
    fn is_to_be_identified(&self, at: Instant) -> bool {
        let is_known = self.identified.is_some_and(|asked| at.duration_since(asked) < IDENTIFY_EVERY);
        !is_known || self.track.state != BackendState::Up
    }

    /// Records a result and publishes it to the workers, where it holds until `valid`.
    fn take(&mut self, result: Result<Passed, CheckError>, valid: Instant, config: &Config) {
        let was = self.track.state;
        self.track = self.track.step(result.is_ok(), config);
        let down = self.track.state == BackendState::Down;
        match result {
            Ok(Passed { version, latency, etcd_cluster }) => {
                self.etcd_cluster = etcd_cluster.or(self.etcd_cluster);
                self.version = Some(version);
                self.latency = Some(latency);
                self.entry.passed();
                if down { self.entry.avoid() } else { self.error = None }
            }
            Err(error) => {
                match error.class() {
                    Some(class) if down => self.entry.refuse(valid, class),
                    // Where something answers, a request does not wait, and perhaps only `/version` is blocked.
                    None if down => self.entry.avoid(),
                    _ => {}
                }
                self.error = Some(error.to_string().into());
            }
        }
        if !down {
            self.entry.clear();
        }
        if self.track.state != was {
            self.since = SystemTime::now();
        }
    }

    fn health(&self, backend: &Backend) -> BackendHealth {
        BackendHealth {
            backend: backend.clone(),
            state: self.track.state,
            since: self.since,
            error: self.error.clone(),
            latency: self.latency,
            etcd_cluster: self.etcd_cluster,
        }
    }
}

/// Checks at a time. Beyond that they start later, which is not held against the backend.
const MAX_CHECKS: usize = 256;

/// A backend's cluster seldom changes, and telling it costs a backend some requests to its etcd.
const IDENTIFY_EVERY: Duration = Duration::from_secs(60);

/// Mean distance between the first checks of backends that are registered together.
const SPACING: Duration = Duration::from_millis(10);
