//! Who is asking: bearer tokens are verified here, API keys are left to the cluster that issued them.
//!
//! An [`Authenticator`] holds the public keys and a cache of verified tokens; [`AuthLayer`] puts it in front
//! of a service. Everything is decided in place, without I/O. What a token must look like follows Sensu, which
//! judges it again, except that Sensu takes a token without `exp` for ever and this gateway does not.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use arc_swap::ArcSwap;
use http::HeaderMap;

use crate::types::{AuthScope, Caller, Principal};

mod bearer;
mod cache;
mod clock;
mod error;
#[doc(hidden)]
pub mod fuzzing;
mod keys;
mod layer;
mod signing;
#[cfg(test)]
mod tests;
mod verify;

pub use bearer::{Credentials, credentials};
use cache::{TokenCache, TokenId};
pub use clock::{Clock, SystemClock};
pub use error::{AuthError, KeyError};
pub use keys::{Curve, KeyFiles, Keys, PublicKey};
pub use layer::{AuthFuture, AuthLayer, AuthService};
pub use signing::{MintClaims, SigningKey};
pub use verify::Verifier;

/// Longest token that is looked at, in bytes. Some 1,500 groups.
pub const MAX_TOKEN_BYTES: usize = 64 * 1024;

/// Most public keys: a forged token costs one signature check for each key of its curve.
pub const MAX_KEYS: usize = 16;

/// What the configuration says about authentication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// PEM files of the public keys, in the order in which they are tried.
    pub jwt_public_key_files: Vec<PathBuf>,
    /// How many verified tokens are remembered; 0 verifies every time.
    pub token_cache_entries: u64,
}

/// Decides who is asking. Shared by all workers.
pub struct Authenticator {
    keys: ArcSwap<Current>,
    generations: AtomicU64,
    cache: TokenCache,
    clock: Arc<dyn Clock>,
    stats: Stats,
}

/// Counters since start, for telemetry to read. Each is read on its own: they need not add up at any moment.
#[derive(Debug, Default)]
pub struct Stats {
    /// Tokens found in the cache.
    pub hits: AtomicU64,
    /// Tokens not found in the cache, and verified.
    pub misses: AtomicU64,
    /// Requests let through.
    pub ok: AtomicU64,
    /// Requests refused.
    pub rejected: AtomicU64,
}

/// A set of keys, and a number that no other set has.
struct Current {
    generation: u64,
    verifier: Verifier,
}

// === impl Config ===

impl Default for Config {
    fn default() -> Self {
        Self { jwt_public_key_files: Vec::new(), token_cache_entries: DEFAULT_CACHE_ENTRIES }
    }
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
            cache: TokenCache::new(config.token_cache_entries),
            clock,
            stats: Stats::default(),
        }
    }

    /// Who sends a request with these headers.
    ///
    /// # Errors
    ///
    /// What is wrong with the credential, or [`AuthError::Missing`] where there has to be one.
    pub fn authenticate(&self, headers: &HeaderMap, scope: AuthScope) -> Result<Caller, AuthError> {
        let caller = self.judge(headers, scope);
        count(if caller.is_ok() { &self.stats.ok } else { &self.stats.rejected });
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
        // Before anything is spent on its length.
        if token.len() > MAX_TOKEN_BYTES {
            return Err(AuthError::TooLong);
        }
        let now = self.clock.unix_seconds();
        let current = self.keys.load();
        let id = TokenId::of(token);
        if let Some(principal) = self.cache.get(&id, current.generation, now) {
            count(&self.stats.hits);
            return Ok(principal);
        }
        count(&self.stats.misses);
        let principal = current.verifier.verify(token, now)?;
        self.cache.insert(id, current.generation, Arc::clone(&principal), now);
        Ok(principal)
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

    /// The counters.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }
}

impl std::fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authenticator").field("stats", &self.stats).finish_non_exhaustive()
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Some 100 MiB when full.
const DEFAULT_CACHE_ENTRIES: u64 = 100_000;
