use crate::telemetry::metrics::{Counter, Family, Registry};

/// Counters since start. Each is read on its own: they need not add up at any moment.
#[derive(Debug)]
pub struct Metrics {
    requests: ByResult,
    lookups: ByResult,
    /// Requests let through.
    pub ok: Counter,
    /// Requests refused.
    pub rejected: Counter,
    /// Tokens found in the cache.
    pub hits: Counter,
    /// Tokens not found in the cache, and verified.
    pub misses: Counter,
}

type ByResult = Family<[(&'static str, &'static str); 1], Counter>;

// === impl Metrics ===

impl Metrics {
    /// Adds `auth_total` and `token_cache_total`.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("auth", "Requests by the result of authentication", self.requests.clone());
        registry.register("token_cache", "Look-ups in the cache of verified tokens", self.lookups.clone());
    }
}

impl Default for Metrics {
    fn default() -> Self {
        // The counters are taken out of their families once: a request increments one without looking it up.
        let (requests, lookups) = (ByResult::default(), ByResult::default());
        let counter = |family: &ByResult, result| family.get_or_create_owned(&[("result", result)]);
        Self {
            ok: counter(&requests, "ok"),
            rejected: counter(&requests, "rejected"),
            hits: counter(&lookups, "hit"),
            misses: counter(&lookups, "miss"),
            requests,
            lookups,
        }
    }
}
