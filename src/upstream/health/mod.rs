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

pub use metrics::register as register_metrics;

use self::{
    check::{CheckError, Passed, check},
    track::Track,
};
use super::{
    connect::Connect,
    signal::{Key, Signal, Signals},
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

/// Checks every backend of every cluster, for ever.
///
/// One task: each backend has one future that waits for its time and then asks, so that a slow one holds up nobody, and
/// that is dropped when its cluster goes.
pub struct Prober {
    config: Config,
    connect: Arc<dyn Connect>,
    signals: Arc<Signals>,
    clusters: watch::Receiver<Arc<Snapshot>>,
    published: watch::Sender<Arc<Vec<ClusterHealth>>>,
    targets: HashMap<Arc<Key>, Target>,
    checks: FuturesUnordered<Abortable<BoxFuture<'static, Done>>>,
    slots: Arc<Semaphore>,
}

/// One backend under watch.
struct Target {
    cluster: Arc<Cluster>,
    track: Track,
    since: SystemTime,
    error: Option<Arc<str>>,
    latency: Option<Duration>,
    version: Option<Arc<str>>,
    signal: Arc<Signal>,
    /// Ends the check that is waiting or under way.
    check: AbortHandle,
}

/// A check that has ended.
struct Done {
    key: Arc<Key>,
    started: Instant,
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
    /// A prober that follows `clusters`, and what it finds: every cluster in the snapshot's order, unknown at first.
    ///
    /// Give the same `signals` to the workers' [`Manager`](super::Manager)s, and `connect` that opens connections as
    /// theirs does.
    pub fn new(
        config: Config,
        connect: Arc<dyn Connect>,
        clusters: watch::Receiver<Arc<Snapshot>>,
        signals: Arc<Signals>,
    ) -> (Self, watch::Receiver<Arc<Vec<ClusterHealth>>>) {
        let (published, health) = watch::channel(Arc::default());
        let mut prober = Self {
            config,
            connect,
            signals,
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

    /// Starts to watch what is new in the snapshot and forgets what is gone.
    fn follow(&mut self) {
        let snapshot = Arc::clone(&self.clusters.borrow_and_update());
        let mut old = mem::take(&mut self.targets);
        let mut new = Vec::new();
        for cluster in snapshot.iter() {
            for backend in &cluster.backends {
                let key = Key::new(cluster, backend);
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
            target.signal.clear();
        }
        // Spread over time, and therefore apart for ever after.
        let window = self.config.interval.min(SPACING * u32::try_from(new.len()).unwrap_or(u32::MAX));
        for (key, cluster) in new {
            let start = Instant::now() + window.mul_f64(fastrand::f64());
            let check = self.schedule(&key, Arc::clone(&cluster), start);
            let target = Target::new(cluster, self.signals.of(&key), check);
            self.targets.insert(key, target);
        }
        let all = snapshot.iter().map(|cluster| self.health_of(cluster)).collect();
        self.published.send_replace(Arc::new(all));
    }

    /// Plans a backend's next check.
    fn schedule(&self, key: &Arc<Key>, cluster: Arc<Cluster>, start: Instant) -> AbortHandle {
        let (key, connect, slots) = (Arc::clone(key), Arc::clone(&self.connect), Arc::clone(&self.slots));
        let limit = self.config.timeout;
        let future: BoxFuture<'static, Done> = Box::pin(async move {
            sleep_until(start).await;
            // Waiting for it is not the backend's fault, so it is not part of the check's time.
            let _slot = slots.acquire().await;
            let started = Instant::now();
            let result = check(&*connect, &cluster, &key.backend, limit).await;
            Done { key, started, result }
        });
        let (check, handle) = abortable(future);
        self.checks.push(check);
        handle
    }

    fn record(&mut self, Done { key, started, result }: Done) {
        let Some(mut target) = self.targets.remove(&key) else { return };
        let was = target.track.state;
        // The next check says something by then, whatever it comes to.
        let valid = Instant::now() + self.config.interval + self.config.timeout;
        target.take(result, valid, &self.config);
        if target.track.state != was {
            self.log(&key, was, &target);
        }
        let cluster = Arc::clone(&target.cluster);
        target.check = self.schedule(&key, Arc::clone(&cluster), started + self.config.interval);
        self.targets.insert(key, target);
        let health = self.health_of(&cluster);
        self.published.send_modify(|all| {
            // In place, unless somebody is looking at it.
            if let Some(old) = Arc::make_mut(all).iter_mut().find(|old| old.name == health.name) {
                *old = health;
            }
        });
    }

    /// One line when a backend has changed, and another when its cluster has no other that is not down.
    fn log(&self, key: &Key, was: BackendState, target: &Target) {
        let (cluster, backend) = (&key.cluster, &key.backend);
        let others = self.targets.iter().filter(|(other, _)| other.cluster == *cluster);
        let alone = others.map(|(_, other)| other.track.state).all(|state| state == BackendState::Down);
        match (was, target.track.state) {
            (_, BackendState::Down) => {
                let error = target.error.as_deref().unwrap_or_default();
                tracing::warn!(%cluster, %backend, error, "a backend is down");
                if alone {
                    tracing::warn!(%cluster, "the cluster is down: no backend passes its health checks");
                }
            }
            (BackendState::Down, _) => {
                tracing::info!(%cluster, %backend, "a backend is up again");
                if alone {
                    tracing::info!(%cluster, "the cluster is up again");
                }
            }
            _ => {}
        }
    }

    fn health_of(&self, cluster: &Cluster) -> ClusterHealth {
        let target = |backend| Some((backend, self.targets.get(&Key::new(cluster, backend))?));
        let targets: Vec<_> = cluster.backends.iter().filter_map(target).collect();
        ClusterHealth {
            name: cluster.name.clone(),
            version: version(&targets),
            backends: targets.iter().map(|(backend, target)| target.health(backend)).collect(),
        }
    }
}

/// What a backend that is up says, or else what one said before.
fn version(targets: &[(&Backend, &Target)]) -> Option<Arc<str>> {
    let up = targets.iter().filter(|(_, target)| target.track.state == BackendState::Up);
    up.chain(targets).find_map(|(_, target)| target.version.clone())
}

// === impl Target ===

impl Target {
    fn new(cluster: Arc<Cluster>, signal: Arc<Signal>, check: AbortHandle) -> Self {
        Self {
            cluster,
            track: Track::new(),
            since: SystemTime::now(),
            error: None,
            latency: None,
            version: None,
            signal,
            check,
        }
    }

    /// Takes in a result, and tells the data plane. Until `valid`, what it says holds.
    fn take(&mut self, result: Result<Passed, CheckError>, valid: Instant, config: &Config) {
        let was = self.track.state;
        self.track = self.track.step(result.is_ok(), config);
        let down = self.track.state == BackendState::Down;
        match result {
            Ok(Passed { version, latency }) => {
                self.version = Some(version);
                self.latency = Some(latency);
                self.signal.passed();
                if down { self.signal.avoid() } else { self.error = None }
            }
            Err(error) => {
                // Where something answers, a request costs no waiting, and only `/version` may be kept from us.
                if down && error.is_answer() {
                    self.signal.avoid();
                } else if down {
                    self.signal.refuse(valid);
                }
                self.error = Some(error.to_string().into());
            }
        }
        if !down {
            self.signal.clear();
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
        }
    }
}

/// Checks under way at once. Beyond that they come later, which makes nobody look down.
const MAX_CHECKS: usize = 256;

/// Mean distance between the first checks of backends that are registered together.
const SPACING: Duration = Duration::from_millis(10);
