use std::{
    collections::HashMap,
    sync::{
        Arc, Weak,
        atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed},
    },
};

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::types::{Backend, Cluster, ClusterName, FailureClass, TlsFiles};

/// What the health checks found of each backend, published to the workers.
///
/// The [`Prober`](super::Prober) writes it and every [`Manager`](super::Manager) reads it. A request only loads an
/// atomic; the lock is taken when a backend is seen for the first time. Without a prober all backends are equal.
#[derive(Debug)]
pub struct HealthBoard {
    epoch: Epoch,
    entries: Mutex<HashMap<BackendKey, Weak<HealthEntry>>>,
}

/// What a check is about. The same backend may be reachable for one cluster and not for another, whose certificates
/// differ.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct BackendKey {
    pub(super) cluster: ClusterName,
    pub(super) tls: TlsFiles,
    pub(super) backend: Backend,
}

/// What the checks found of one backend.
#[derive(Debug)]
pub(super) struct HealthEntry {
    epoch: Epoch,
    /// [`GOOD`], or until when it is not worth trying: a verdict that is not renewed must not last.
    refused_until: AtomicU64,
    /// The index in [`REASONS`] of what the last refusal was for.
    reason: AtomicU8,
    /// Checks that it passed.
    passes: AtomicU32,
}

/// Whether requests should go to a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HealthVerdict {
    /// It passes its checks, or has not been checked.
    Use,
    /// Only when there is no better one: it was down and may be back.
    Avoid,
    /// Its last checks got no answer: a request would not either.
    Refuse,
}

/// The origin of the milliseconds that stand for instants in atomics.
#[derive(Clone, Copy, Debug)]
pub(super) struct Epoch(Instant);

// === impl HealthBoard ===

impl HealthBoard {
    /// Has no backend yet.
    pub fn new() -> Self {
        Self { epoch: Epoch::now(), entries: Mutex::default() }
    }

    /// The entry of a backend, the same for the prober and for each worker's pool.
    pub(super) fn of(&self, key: &BackendKey) -> Arc<HealthEntry> {
        let mut entries = self.entries.lock();
        if let Some(entry) = entries.get(key).and_then(Weak::upgrade) {
            return entry;
        }
        entries.retain(|_, entry| entry.strong_count() > 0);
        let entry = Arc::new(HealthEntry {
            epoch: self.epoch,
            refused_until: AtomicU64::new(GOOD),
            reason: AtomicU8::new(0),
            passes: AtomicU32::new(0),
        });
        entries.insert(key.clone(), Arc::downgrade(&entry));
        entry
    }
}

impl Default for HealthBoard {
    fn default() -> Self {
        Self::new()
    }
}

// === impl BackendKey ===

impl BackendKey {
    pub(super) fn new(cluster: &Cluster, backend: &Backend) -> Self {
        Self { cluster: cluster.name.clone(), tls: cluster.tls.clone(), backend: backend.clone() }
    }
}

// === impl HealthEntry ===

impl HealthEntry {
    pub(super) fn verdict(&self, now: Instant) -> HealthVerdict {
        match self.refused_until.load(Relaxed) {
            GOOD => HealthVerdict::Use,
            until if self.epoch.millis(now) < until => HealthVerdict::Refuse,
            _ => HealthVerdict::Avoid,
        }
    }

    pub(super) fn passes(&self) -> u32 {
        self.passes.load(Relaxed)
    }

    /// Use it.
    pub(super) fn clear(&self) {
        self.refused_until.store(GOOD, Relaxed);
    }

    /// It is down, but something answers there.
    pub(super) fn avoid(&self) {
        self.refused_until.store(LONG_AGO, Relaxed);
    }

    /// It is down, and this is why; the next check renews this before `until`.
    pub(super) fn refuse(&self, until: Instant, reason: FailureClass) {
        // Not read together with the time: of two reasons in a row, either is true.
        let index = REASONS.iter().position(|known| *known == reason).unwrap_or_default();
        self.reason.store(u8::try_from(index).unwrap_or_default(), Relaxed);
        self.refused_until.store(self.epoch.millis(until).max(LONG_AGO), Relaxed);
    }

    /// Why it was refused last.
    pub(super) fn reason(&self) -> FailureClass {
        REASONS.get(usize::from(self.reason.load(Relaxed))).copied().unwrap_or(REASONS[0])
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

/// What a check without an answer can find.
const REASONS: [FailureClass; 3] = [FailureClass::Unreachable, FailureClass::Timeout, FailureClass::Tls];

const GOOD: u64 = 0;

/// The earliest time that is not [`GOOD`].
const LONG_AGO: u64 = 1;
