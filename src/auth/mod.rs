//! Who is asking: bearer tokens are verified here, API keys are left to the cluster that issued them.
//!
//! An [`Authenticator`] holds the public keys and a cache of verified tokens; [`AuthLayer`] puts it in front
//! of a service. Everything is decided in place, without I/O. What a token must look like follows Sensu, which
//! verifies it again. One difference: Sensu accepts a token without `exp` for ever, and this gateway does not.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use http::HeaderMap;

use crate::types::{AuthScope, Caller, Principal};

mod bearer;
mod cache;
mod clock;
mod config;
mod error;
#[doc(hidden)]
pub mod fuzzing;
mod keys;
mod layer;
mod metrics;
mod session;
mod signing;
#[cfg(test)]
mod tests;
mod verify;

pub use bearer::{Credentials, credentials};
use cache::{TokenCache, TokenId};
pub use clock::{Clock, SystemClock};
pub use config::{Config, TokenCacheConfig};
pub use error::{AuthError, KeyError};
pub use keys::{Curve, KeyFiles, Keys, PublicKey};
pub use layer::{AuthFuture, AuthLayer, AuthService};
pub use metrics::Metrics;
pub use session::Session;
pub use signing::{MintClaims, SigningKey};
pub use verify::Verifier;

/// Most public keys: a forged token costs one signature check for each key of its curve.
pub const MAX_KEYS: usize = 16;

/// Decides who is asking. Shared by all workers.
pub struct Authenticator {
    keys: ArcSwap<Current>,
    generations: AtomicU64,
    cache: TokenCache,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
}

/// A set of keys, and a number that no other set has.
struct Current {
    generation: u64,
    verifier: Verifier,
}

// === impl Authenticator ===

impl Authenticator {
    /// With the keys of [`KeyFiles::load`] and the system's clock.
    pub fn new(config: &Config, keys: Keys) -> Self {
        Self::with_clock(config, keys, Arc::new(SystemClock))
    }

    /// With another clock.
    pub fn with_clock(config: &Config, keys: Keys, clock: Arc<dyn Clock>) -> Self {
        Self {
            keys: ArcSwap::from_pointee(Current { generation: 0, verifier: Verifier::new(keys) }),
            generations: AtomicU64::new(1),
            cache: TokenCache::new(config.token_cache.entries),
            clock,
            metrics: Metrics::default(),
        }
    }

    /// Who sends a request with these headers.
    ///
    /// # Errors
    ///
    /// What is wrong with the credential, or [`AuthError::Missing`] where there has to be one.
    pub fn authenticate(&self, headers: &HeaderMap, scope: AuthScope) -> Result<Caller, AuthError> {
        let caller = self.judge(headers, scope);
        let counts = self.metrics.here();
        if caller.is_ok() { &counts.ok } else { &counts.rejected }.inc();
        caller
    }

    fn judge(&self, headers: &HeaderMap, scope: AuthScope) -> Result<Caller, AuthError> {
        match (credentials(headers)?, scope) {
            (Credentials::Bearer(token), _) => self.verify(token).map(Caller::Token),
            (Credentials::ApiKey, _) => Ok(Caller::ApiKey),
            (Credentials::None | Credentials::Basic | Credentials::Other, scope) => match scope {
                AuthScope::Api => Err(AuthError::Missing),
                AuthScope::GraphQl | AuthScope::Open => Ok(Caller::Anonymous),
            },
        }
    }

    /// Whom a token (the text after `Bearer `) speaks for; from the cache when it was verified before.
    ///
    /// # Errors
    ///
    /// As [`Verifier::verify`].
    pub fn verify(&self, token: &str) -> Result<Arc<Principal>, AuthError> {
        let now = self.clock.unix_seconds();
        let current = self.keys.load();
        let id = TokenId::of(token);
        if let Some(principal) = self.cache.get(&id, current.generation, now) {
            self.metrics.here().hits.inc();
            return Ok(principal);
        }
        self.metrics.here().misses.inc();
        let principal = current.verifier.verify(token, now)?;
        self.cache.insert(id, current.generation, Arc::clone(&principal), now);
        Ok(principal)
    }

    /// The session of these tokens, when the cluster that issued it has renewed it within `longest`; not from the cache,
    /// which has no expired tokens.
    ///
    /// # Errors
    ///
    /// The [`AuthError`] that says what is wrong with one of the tokens.
    pub fn session(&self, access: &str, refresh: &str, longest: Duration) -> Result<Session, AuthError> {
        let now = self.clock.unix_seconds();
        Session::judge(&self.keys.load().verifier, access, refresh, now, longest)
    }

    /// Replaces the keys and forgets every verified token.
    ///
    /// A verification under way with the old keys may still let its own request through, but what it leaves in
    /// the cache bears the old generation and is never found.
    pub fn reload(&self, keys: Keys) {
        let generation = self.generations.fetch_add(1, Ordering::Relaxed);
        self.keys.store(Arc::new(Current { generation, verifier: Verifier::new(keys) }));
        self.cache.clear();
    }

    /// Its counters since start.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }
}

impl std::fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authenticator").field("metrics", &self.metrics).finish_non_exhaustive()
    }
}
