//! Against guessing passwords and API keys.
//!
//! Failures are counted for each pair of a client's address and a user name (or an API key), and for each address. So
//! nobody is locked out by somebody else's failures:
//!
//! | who | allowed failures |
//! |---|---|
//! | one user name, or one key of one cluster, from one address | `limits.login-failures` |
//! | all names and keys that have never worked from this address, together | ten times as many |
//!
//! A user who has logged in from an address before is not held up by what others fail there, such as behind one NAT; and
//! what fails elsewhere under the user's name never matters. There is no limit for a name over all addresses: it would be
//! a way to lock out its user.
//!
//! An attempt takes a place in each of its buckets while it is under way, so that many at once are no way around them,
//! and gives it back unless it fails. Where the last places are taken by attempts that may still succeed, the next one
//! waits for them: good logins are never refused, however many come at once. Everything is in memory of fixed size. A
//! request with a token takes no part in this.

mod bucket;
mod credential;
mod layer;
mod metrics;
#[cfg(test)]
mod tests;

use std::{
    hash::{BuildHasher, RandomState},
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
    time::Duration,
};

use http::StatusCode;
use moka::{policy::EvictionPolicy, sync::Cache};

use self::{
    bucket::{Bucket, Place},
    credential::Credential,
    metrics::Metrics,
};
use crate::{
    error::{Classify, ErrorKind, Reply},
    telemetry::metrics::{Registry, collect},
    types::Rate,
};

pub use credential::Kind;
pub use layer::{LoginLayer, LoginService};

/// The failures of all workers' clients.
pub struct Logins {
    rate: Rate,
    buckets: Cache<Key, Arc<Bucket>>,
    /// Pairs that have worked.
    known: Cache<Key, ()>,
    hasher: RandomState,
    metrics: Metrics,
}

/// Too many failures: the attempt is not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many failed logins: try again in {after} seconds")]
pub struct TooManyFailures {
    /// When the next attempt may be made.
    pub after: u32,
}

/// Whose failures: an address, and what was tried there. 0 is everything. Hashed by a key of this process, so that nobody
/// can choose two names for one bucket, and no name is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    address: u128,
    subject: u64,
}

/// An attempt under way.
struct Attempt<'a> {
    logins: &'a Logins,
    key: Key,
    kind: Kind,
    is_known: bool,
    /// Given up without a word, such as when its client leaves, it counts as failed.
    places: [Option<Place>; 2],
}

/// What became of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// A cluster has accepted the credentials.
    Good,
    /// It has refused them.
    Bad,
    /// Nobody has judged them.
    Unjudged,
}

// === impl Logins ===

impl Logins {
    /// Allows so many failures.
    pub fn new(rate: Rate) -> Self {
        Self::with_room(rate, BUCKETS)
    }

    fn with_room(rate: Rate, most: u64) -> Self {
        // Whoever has tried last is forgotten last.
        let buckets = Cache::builder()
            .max_capacity(most)
            .eviction_policy(EvictionPolicy::lru())
            // By then it is as good as new.
            .time_to_idle(rate.period.saturating_mul(2))
            .build();
        let known = Cache::builder().max_capacity(KNOWN).time_to_idle(REMEMBERED).build();
        Self { rate, buckets, known, hasher: RandomState::new(), metrics: Metrics::default() }
    }

    /// Adds `login_failures_total`, `logins_refused_total` and `login_buckets`.
    pub fn register(self: &Arc<Self>, registry: &mut Registry) {
        let logins = Arc::clone(self);
        collect(registry, move |families| {
            logins.metrics.write(families)?;
            let help = "Addresses and users whose failed logins are counted at the moment.";
            families.gauge("login_buckets", help, logins.buckets.entry_count())
        });
    }

    /// Lets an attempt through, or says when the next one may be made.
    async fn admit(&self, client: IpAddr, credential: &Credential) -> Result<Attempt<'_>, TooManyFailures> {
        let key = Key { address: network(client), subject: self.subject(credential) };
        let is_known = self.known.get(&key).is_some();
        let mut attempt =
            Attempt { logins: self, key, kind: credential.kind, is_known, places: [None, None] };
        if is_known && credential.kind == Kind::ApiKey {
            // The very key has worked before, so it is no guess, and waits for nothing.
            return Ok(attempt);
        }
        attempt.places[0] = Some(self.place(key, self.rate, client, credential.kind).await?);
        if !is_known {
            let together = Rate { count: self.rate.count.saturating_mul(TOGETHER), ..self.rate };
            let everything = Key { subject: 0, ..key };
            match self.place(everything, together, client, credential.kind).await {
                Ok(place) => attempt.places[1] = Some(place),
                Err(refused) => {
                    attempt.end(Verdict::Unjudged);
                    return Err(refused);
                }
            }
        }
        Ok(attempt)
    }

    async fn place(
        &self,
        key: Key,
        rate: Rate,
        client: IpAddr,
        kind: Kind,
    ) -> Result<Place, TooManyFailures> {
        let bucket = self.buckets.get_with(key, || Arc::new(Bucket::new(rate)));
        bucket.place().await.map_err(|refusal| {
            self.metrics.refused(kind);
            if refusal.is_first {
                tracing::warn!(
                    %client,
                    credentials = kind.name(),
                    every_user = key.subject == 0,
                    "too many failed logins: more are refused for some time"
                );
            }
            TooManyFailures { after: u32::try_from(refusal.after.as_secs() + 1).unwrap_or(u32::MAX) }
        })
    }

    fn subject(&self, credential: &Credential) -> u64 {
        self.hasher.hash_one((credential.kind, &credential.subject)).max(1)
    }
}

impl std::fmt::Debug for Logins {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Logins").field("rate", &self.rate).finish_non_exhaustive()
    }
}

// === impl Attempt ===

impl Attempt<'_> {
    fn end(self, verdict: Verdict) {
        let Self { logins, key, kind, is_known, places } = self;
        match verdict {
            Verdict::Good if !is_known => logins.known.insert(key, ()),
            Verdict::Bad => {
                logins.metrics.failed(kind);
                // A user goes on being known: it is the password that may have been guessed.
                if kind == Kind::ApiKey {
                    logins.known.invalidate(&key);
                }
            }
            Verdict::Good | Verdict::Unjudged => {}
        }
        if verdict != Verdict::Bad {
            let [pair, everything] = places;
            if let Some(pair) = pair {
                pair.give_back(verdict == Verdict::Good);
            }
            if let Some(everything) = everything {
                everything.give_back(false);
            }
        }
    }
}

// === impl TooManyFailures ===

impl Classify for TooManyFailures {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Client
    }

    fn reply(&self) -> Reply {
        let mut reply = Reply::router(StatusCode::TOO_MANY_REQUESTS, 0, self.to_string());
        reply.retry_after = Some(self.after);
        reply
    }
}

/// What counts as one address: with IPv6, the network that one subscriber has.
fn network(client: IpAddr) -> u128 {
    match client.to_canonical() {
        IpAddr::V4(address) => u128::from(address.to_ipv6_mapped()),
        IpAddr::V6(address) => u128::from(address) & (u128::from(Ipv6Addr::from_bits(u128::MAX)) << 64),
    }
}

/// How many times the failures of one user all those at an address may have together.
const TOGETHER: u32 = 10;

/// Some 20 MiB when full.
const BUCKETS: u64 = 100_000;

/// Some 10 MiB when full.
const KNOWN: u64 = 100_000;

/// How long a pair is known after it was used last: over a holiday.
const REMEMBERED: Duration = Duration::from_secs(30 * 24 * 3600);
