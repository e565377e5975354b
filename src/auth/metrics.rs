use std::sync::Arc;

use crate::telemetry::metrics::{Count, PerWorker, Registry, collect};

/// Counts since start. Each is read on its own: they need not add up at any moment.
#[derive(Clone, Debug, Default)]
pub struct Metrics(Arc<PerWorker<Counts>>);

/// What one worker has counted.
#[derive(Debug, Default)]
pub struct Counts {
    /// Requests let through.
    pub ok: Count,
    /// Requests refused.
    pub rejected: Count,
    /// Tokens found in the cache.
    pub hits: Count,
    /// Tokens not found in the cache, and verified.
    pub misses: Count,
}

// === impl Metrics ===

impl Metrics {
    /// Adds `auth_total` and `token_cache_total`.
    pub fn register(&self, registry: &mut Registry) {
        let metrics = self.clone();
        collect(registry, move |families| {
            families.counters(
                "auth",
                "Requests by the result of authentication.",
                [
                    ([("result", "ok")], metrics.sum(|it| &it.ok)),
                    ([("result", "rejected")], metrics.sum(|it| &it.rejected)),
                ],
            )?;
            families.counters(
                "token_cache",
                "Look-ups in the cache of verified tokens.",
                [
                    ([("result", "hit")], metrics.sum(|it| &it.hits)),
                    ([("result", "miss")], metrics.sum(|it| &it.misses)),
                ],
            )
        });
    }

    /// One count of all workers together.
    pub fn sum(&self, count: impl Fn(&Counts) -> &Count) -> u64 {
        self.0.sum(count)
    }

    pub(super) fn here(&self) -> &Counts {
        self.0.here()
    }
}
