use std::{
    collections::HashMap,
    sync::{
        Arc, Weak,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
};

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::types::{Backend, Cluster, ClusterName, TlsFiles};

/// What the health checks say about each backend, on its way to the workers.
///
/// The [`Prober`](super::Prober) writes it and every [`Manager`](super::Manager) reads it. A request only loads an
/// atomic; the lock is for whoever meets a backend for the first time. Without a prober every backend is as good as
/// the other.
#[derive(Debug)]
pub struct Signals {
    epoch: Epoch,
    signals: Mutex<HashMap<Key, Weak<Signal>>>,
}

/// What a check is about. One backend of two clusters, or with other certificates, may fare differently.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) cluster: ClusterName,
    pub(super) tls: TlsFiles,
    pub(super) backend: Backend,
}

/// What the checks say about one backend.
#[derive(Debug)]
pub(super) struct Signal {
    epoch: Epoch,
    /// [`GOOD`], or until when it need not be tried: a verdict that nobody renews must not last.
    refused_until: AtomicU64,
    /// Counts the checks that it passed.
    passes: AtomicU32,
}

/// Whether to send requests to a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Advice {
    /// Nothing speaks against it.
    Use,
    /// Only if there is no better one: it was down and may be back.
    Avoid,
    /// It would be in vain: its last checks found nobody there.
    Refuse,
}

/// Where milliseconds are counted from, to keep points in time in atomics.
#[derive(Clone, Copy, Debug)]
pub(super) struct Epoch(Instant);

// === impl Signals ===

impl Signals {
    /// Knows no backend yet.
    pub fn new() -> Self {
        Self { epoch: Epoch::now(), signals: Mutex::default() }
    }

    /// The one signal of a backend, for its prober and for each worker's pool alike.
    pub(super) fn of(&self, key: &Key) -> Arc<Signal> {
        let mut signals = self.signals.lock();
        if let Some(signal) = signals.get(key).and_then(Weak::upgrade) {
            return signal;
        }
        signals.retain(|_, signal| signal.strong_count() > 0);
        let signal = Arc::new(Signal {
            epoch: self.epoch,
            refused_until: AtomicU64::new(GOOD),
            passes: AtomicU32::new(0),
        });
        signals.insert(key.clone(), Arc::downgrade(&signal));
        signal
    }
}

impl Default for Signals {
    fn default() -> Self {
        Self::new()
    }
}

// === impl Key ===

impl Key {
    pub(super) fn new(cluster: &Cluster, backend: &Backend) -> Self {
        Self { cluster: cluster.name.clone(), tls: cluster.tls.clone(), backend: backend.clone() }
    }
}

// === impl Signal ===

impl Signal {
    pub(super) fn advice(&self, now: Instant) -> Advice {
        match self.refused_until.load(Relaxed) {
            GOOD => Advice::Use,
            until if self.epoch.millis(now) < until => Advice::Refuse,
            _ => Advice::Avoid,
        }
    }

    pub(super) fn passes(&self) -> u32 {
        self.passes.load(Relaxed)
    }

    /// It may be used from now on.
    pub(super) fn clear(&self) {
        self.refused_until.store(GOOD, Relaxed);
    }

    /// It is down, but answers.
    pub(super) fn avoid(&self) {
        self.refused_until.store(LONG_AGO, Relaxed);
    }

    /// It is down, which the next check renews before then.
    pub(super) fn refuse(&self, until: Instant) {
        self.refused_until.store(self.epoch.millis(until).max(LONG_AGO), Relaxed);
    }

    pub(super) fn passed(&self) {
        self.passes.fetch_add(1, Relaxed);
    }
}

// === impl Epoch ===

impl Epoch {
    pub(super) fn now() -> Self {
        Self(Instant::now())
    }

    pub(super) fn millis(self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.0).as_millis()).unwrap_or(u64::MAX)
    }
}

const GOOD: u64 = 0;

/// The earliest time that is not [`GOOD`].
const LONG_AGO: u64 = 1;
