//! What the workers have sent to each cluster, for Prometheus.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Weak},
    time::Duration,
};

use http::Response;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::error::Error;
use crate::{
    telemetry::metrics::{ByStatus, Count, Distribution, Durations, Families, Registry, collect},
    types::{ClusterName, FailureClass},
};

/// The managers whose requests are counted. Cheap to clone.
///
/// A manager keeps the counts of a cluster as long as the cluster is registered, so there are no series of others.
#[derive(Clone, Debug, Default)]
pub struct Metrics(Arc<Mutex<Vec<Weak<dyn Counted>>>>);

/// One worker's clients.
pub(super) trait Counted: fmt::Debug + Send + Sync {
    /// Visits each cluster's counts and open connections.
    fn visit(&self, visit: &mut dyn FnMut(&ClusterName, &Arc<Counts>, usize));
}

/// What one worker has sent to one cluster.
#[derive(Debug, Default)]
pub(super) struct Counts {
    begun: Count,
    ended: Count,
    answers: ByStatus,
    durations: Durations,
    retries: Count,
    cancelled: Count,
    failures: ByClass,
    member_failures: ByClass,
}

#[derive(Debug, Default)]
struct ByClass([Count; FailureClass::ALL.len()]);

/// A request that is under way; one that is dropped was given up.
pub(super) struct Sent<'a> {
    counts: &'a Counts,
    begun: Instant,
    answered: bool,
}

// === impl Metrics ===

impl Metrics {
    /// Adds the families `upstream_…` and `fanout_member_failures_total`.
    pub fn register(&self, registry: &mut Registry) {
        let metrics = self.clone();
        collect(registry, move |families| metrics.write(families));
    }

    /// Counts what this manager's clients send, too.
    pub(super) fn include(&self, manager: Weak<dyn Counted>) {
        let mut managers = self.0.lock();
        managers.retain(|known| known.strong_count() > 0);
        managers.push(manager);
    }

    fn write(&self, families: &mut Families<'_>) -> fmt::Result {
        let managers: Vec<Arc<dyn Counted>> = self.0.lock().iter().filter_map(Weak::upgrade).collect();
        let mut clusters: BTreeMap<ClusterName, Cluster> = BTreeMap::new();
        for manager in &managers {
            manager.visit(&mut |name, counts, connections| {
                let cluster = clusters.entry(name.clone()).or_default();
                cluster.connections += connections;
                cluster.counts.push(Arc::clone(counts));
            });
        }
        write(&clusters, families)
    }
}

/// What all workers together have to do with a cluster.
#[derive(Default)]
struct Cluster {
    connections: usize,
    counts: Vec<Arc<Counts>>,
}

fn write(clusters: &BTreeMap<ClusterName, Cluster>, families: &mut Families<'_>) -> fmt::Result {
    let each = || clusters.iter().map(|(name, cluster)| ([("cluster", name.as_str())], cluster));
    let named = |name: &str, key: &'static str, value: String| [("cluster", name.to_owned()), (key, value)];
    families.counters(
        "upstream_requests",
        "Answers of clusters, by their status.",
        clusters.iter().flat_map(|(name, cluster)| {
            let answers = ByStatus::summed(cluster.counts.iter().map(|counts| &counts.answers));
            answers.map(move |(code, count)| (named(name.as_str(), "code", code.to_string()), count))
        }),
    )?;
    families.counters(
        "upstream_failures",
        "Requests to clusters without a whole answer, by what went wrong.",
        clusters.iter().flat_map(|(name, cluster)| {
            let failures =
                cluster.by_class(|counts| &counts.failures).map(|(class, sum)| (class.as_str(), sum));
            let cancelled = [("cancelled", cluster.sum(|counts| &counts.cancelled))];
            let samples = failures.chain(cancelled);
            samples.map(move |(error, count)| (named(name.as_str(), "error", error.to_owned()), count))
        }),
    )?;
    families.histograms(
        "upstream_duration_seconds",
        "From sending a request to a cluster to the head of its answer.",
        each().map(|(labels, cluster)| (labels, cluster.durations())),
    )?;
    families.counters(
        "upstream_retries",
        "Requests that were sent to a cluster once more.",
        each().map(|(labels, cluster)| (labels, cluster.sum(|counts| &counts.retries))),
    )?;
    families.gauges(
        "upstream_requests_in_flight",
        "Requests that wait for the head of a cluster's answer.",
        each().map(|(labels, cluster)| {
            let ended = cluster.sum(|counts| &counts.ended);
            (labels, cluster.sum(|counts| &counts.begun).saturating_sub(ended))
        }),
    )?;
    families.gauges(
        "upstream_connections",
        "Open connections to a cluster, used and unused.",
        each().map(|(labels, cluster)| (labels, cluster.connections)),
    )?;
    families.counters(
        "fanout_member_failures",
        "Clusters that are missing in an answer of several, by what went wrong.",
        clusters.iter().flat_map(|(name, cluster)| {
            let failures = cluster.by_class(|counts| &counts.member_failures);
            failures.map(move |(class, sum)| (named(name.as_str(), "error", class.to_string()), sum))
        }),
    )
}

// === impl Cluster ===

impl Cluster {
    fn sum(&self, count: impl Fn(&Counts) -> &Count) -> u64 {
        self.counts.iter().map(|counts| count(counts).get()).sum()
    }

    fn by_class(&self, of: impl Fn(&Counts) -> &ByClass) -> impl Iterator<Item = (FailureClass, u64)> {
        FailureClass::ALL
            .into_iter()
            .map(move |class| (class, self.sum(|counts| &of(counts).0[class as usize])))
    }

    fn durations(&self) -> Distribution {
        let mut all = Distribution::default();
        self.counts.iter().for_each(|counts| all.add(&counts.durations));
        all
    }
}

// === impl Counts ===

impl Counts {
    /// A request is about to be sent.
    pub(super) fn send(&self, now: Instant) -> Sent<'_> {
        self.begun.inc();
        Sent { counts: self, begun: now, answered: false }
    }

    /// A request is sent once more.
    pub(super) fn retried(&self) {
        self.retries.inc();
    }

    /// There is no answer, or not all of it.
    pub(super) fn failed(&self, class: FailureClass) {
        self.failures.0[class as usize].inc();
    }

    /// The cluster is missing in an answer of several.
    pub(super) fn missing(&self, class: FailureClass) {
        self.member_failures.0[class as usize].inc();
    }
}

// === impl Sent ===

impl Sent<'_> {
    /// What became of it.
    pub(super) fn ended<B>(mut self, answer: &Result<Response<B>, Error>) {
        self.answered = true;
        match answer {
            Ok(response) => {
                self.counts.answers.inc(response.status());
                self.counts.durations.observe(self.elapsed());
            }
            Err(error) => self.counts.failed(error.class()),
        }
    }

    fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }
}

impl Drop for Sent<'_> {
    fn drop(&mut self) {
        self.counts.ended.inc();
        if !self.answered {
            self.counts.cancelled.inc();
        }
    }
}
