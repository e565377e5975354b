use std::{fmt, sync::Arc, time::Duration};

use aws_lc_rs::digest::{SHA256, digest};
use http::{HeaderValue, StatusCode};
use moka::sync::Cache;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use tokio::time::Instant;

use super::{LocalError, Minter, flights::Flights, local};
use crate::{
    corev2,
    error::{Classify, ErrorKind, Reply},
    types::Principal,
    upstream::Manager,
};

/// The API keys that were looked up, for all workers. Cheap to clone.
#[derive(Clone)]
pub struct Exchange(Arc<Shared>);

/// One worker's way to exchange API keys. Cheap to clone.
///
/// Concurrent requests with the same key ask the local cluster once. A revoked key, or a change to the groups of its
/// user, takes effect within `auth.api-key-ttl`.
#[derive(Clone)]
pub struct KeyExchange {
    shared: Arc<Shared>,
    manager: Manager,
    flights: Arc<Flights<KeyId, Outcome>>,
}

/// Why an API key could not be exchanged for a user.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ExchangeError {
    /// The local cluster has no such key, the user of the key no longer exists, or the name is one that no key can have.
    /// Usual cause: the key was revoked, or belongs to another cluster.
    #[error("the API key is not known to the local cluster")]
    Refused,
    /// The local cluster gave no usable answer.
    #[error(transparent)]
    Local(#[from] LocalError),
}

/// The user of a key, or why there is none.
type Outcome = Result<Arc<Principal>, ExchangeError>;

/// SHA-256 of a key, so that no key is kept in memory.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct KeyId([u8; 32]);

/// What all workers share.
struct Shared {
    minter: Minter,
    lifetime: Duration,
    accepted: Cache<KeyId, Accepted>,
    /// Keys that were refused, each with the time until which it stays so. A cache of their own, so that a flood of
    /// guesses evicts no accepted key.
    refused: Cache<KeyId, Instant>,
}

#[derive(Clone)]
struct Accepted {
    principal: Arc<Principal>,
    until: Instant,
}

/// The fields of an API key resource that are used here.
#[derive(Deserialize)]
struct ApiKey {
    metadata: corev2::ObjectMeta,
    username: String,
}

// === impl Exchange ===

impl Exchange {
    /// Looks each key up again after `lifetime` (`auth.api-key-ttl`); zero looks it up for each request.
    pub fn new(minter: Minter, lifetime: Duration) -> Self {
        let accepted = Cache::builder()
            .max_capacity(MAX_ACCEPTED_BYTES)
            .weigher(|_, accepted: &Accepted| weigh(&accepted.principal))
            // Only frees memory: what decides is `Accepted::until`, by a clock that tests can set.
            .time_to_live(lifetime.min(MAX_LIFETIME))
            .build();
        let refused = Cache::builder().max_capacity(MAX_REFUSED).time_to_live(REFUSED_LIFETIME).build();
        Self(Arc::new(Shared { minter, lifetime: lifetime.min(MAX_LIFETIME), accepted, refused }))
    }

    /// For one worker, which uses its own connections.
    pub fn worker(&self, manager: Manager) -> KeyExchange {
        KeyExchange { shared: Arc::clone(&self.0), manager, flights: Arc::default() }
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange").field("lifetime", &self.0.lifetime).finish_non_exhaustive()
    }
}

// === impl KeyExchange ===

impl KeyExchange {
    /// The user that an `Authorization: Key …` header identifies, with the groups that the local cluster has for it. As
    /// in Sensu, the `system:users` of a login is not among them, and the key of a disabled user works.
    ///
    /// `expires_at` is when the key is looked up again. Cancel-safe.
    ///
    /// # Errors
    ///
    /// [`ExchangeError::Refused`], as Sensu's 401; [`ExchangeError::Local`] when the local cluster gives no answer.
    pub async fn resolve(&self, authorization: &HeaderValue) -> Result<Arc<Principal>, ExchangeError> {
        let key = key_of(authorization).ok_or(ExchangeError::Refused)?;
        let id = KeyId::of(key);
        if let Some(outcome) = self.shared.find(id) {
            return outcome;
        }
        let (shared, manager, key) = (Arc::clone(&self.shared), self.manager.clone(), key.to_owned());
        let flight = self.flights.join(id, || {
            Box::pin(async move {
                let outcome = shared.look_up(&manager, &key).await;
                shared.remember(id, &outcome);
                outcome
            })
        });
        flight.await
    }

    /// An `Authorization` header with a token of that user for other clusters, marked as sensitive. It holds the user's
    /// name and groups only, and is valid for five minutes. Cheap enough to sign for each request: about 20 µs.
    ///
    /// # Errors
    ///
    /// [`ExchangeError::Local`] when the random source fails.
    pub fn token_for(&self, who: &Principal) -> Result<HeaderValue, ExchangeError> {
        let token = self.shared.minter.bearer(&who.subject, &who.groups);
        token.map_err(|error| LocalError::Mint(Arc::new(error)).into())
    }

    #[cfg(test)]
    pub(super) fn in_progress(&self) -> usize {
        self.flights.len()
    }
}

impl fmt::Debug for KeyExchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyExchange").field("lifetime", &self.shared.lifetime).finish_non_exhaustive()
    }
}

// === impl KeyId ===

impl KeyId {
    fn of(key: &str) -> Self {
        let mut id = [0; 32];
        id.copy_from_slice(digest(&SHA256, key.as_bytes()).as_ref());
        Self(id)
    }
}

// === impl Shared ===

impl Shared {
    fn find(&self, id: KeyId) -> Option<Outcome> {
        let now = Instant::now();
        if let Some(accepted) = self.accepted.get(&id).filter(|accepted| now < accepted.until) {
            return Some(Ok(accepted.principal));
        }
        self.refused.get(&id).filter(|until| now < *until).map(|_| Err(ExchangeError::Refused))
    }

    fn remember(&self, id: KeyId, outcome: &Outcome) {
        let now = Instant::now();
        match outcome {
            Ok(principal) => {
                let accepted = Accepted { principal: Arc::clone(principal), until: now + self.lifetime };
                self.accepted.insert(id, accepted);
            }
            Err(ExchangeError::Refused) => {
                self.accepted.invalidate(&id);
                self.refused.insert(id, now + REFUSED_LIFETIME);
            }
            Err(ExchangeError::Local(_)) => {}
        }
    }

    /// Gets the key and its user from the local cluster.
    async fn look_up(&self, manager: &Manager, key: &str) -> Outcome {
        let found: ApiKey = self.get(manager, "apikeys", key).await?;
        // A path that was resolved to another resource did not lead to the key that was asked for.
        if found.metadata.name != key || !is_one_segment(&found.username) {
            return Err(ExchangeError::Refused);
        }
        let user: corev2::User = self.get(manager, "users", &found.username).await?;
        if user.username != found.username {
            return Err(LocalError::Malformed("user").into());
        }
        let lifetime = i64::try_from(self.lifetime.as_secs()).unwrap_or(i64::MAX);
        let expires_at = self.minter.now().saturating_add(lifetime);
        Ok(Arc::new(Principal { subject: user.username, groups: user.groups, expires_at }))
    }

    async fn get<T: for<'de> Deserialize<'de>>(
        &self,
        manager: &Manager,
        collection: &'static str,
        name: &str,
    ) -> Result<T, ExchangeError> {
        let answer = local::get(manager, &self.minter, &target(collection, name), MAX_RESOURCE).await?;
        match answer.status {
            StatusCode::OK => serde_json::from_slice(&answer.body)
                .map_err(|_| LocalError::Malformed("API key or user").into()),
            StatusCode::NOT_FOUND => Err(ExchangeError::Refused),
            status => Err(LocalError::of_status(status).into()),
        }
    }
}

// === impl ExchangeError ===

impl Classify for ExchangeError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Refused => ErrorKind::Client,
            Self::Local(error) => error.kind(),
        }
    }

    fn reply(&self) -> Reply {
        match self {
            Self::Refused => Reply::middleware(StatusCode::UNAUTHORIZED, 5, "invalid credentials"),
            Self::Local(error) => error.reply(),
        }
    }
}

/// The key in a header, if the local cluster can have one of that name.
pub(super) fn key_of(authorization: &HeaderValue) -> Option<&str> {
    let key = authorization.as_bytes().strip_prefix(b"Key ")?;
    // An HTTP/1 parser has dropped trailing white space; over HTTP/2 it can still be here.
    let key = std::str::from_utf8(key.trim_ascii_end()).ok()?;
    is_one_segment(key).then_some(key)
}

/// Whether Sensu stores a resource of that name under a key of its own. Sensu joins names into paths and cleans them: a
/// slash or dots would lead to resources of other kinds, which may decode as the key of another user.
fn is_one_segment(name: &str) -> bool {
    let is_plain = |c: char| c != '/' && !c.is_control();
    !name.is_empty() && name.len() <= MAX_NAME && name != "." && name != ".." && name.chars().all(is_plain)
}

/// The path of a resource. The name has passed [`is_one_segment`].
pub(super) fn target(collection: &str, name: &str) -> String {
    format!("/api/core/v2/{collection}/{}", utf8_percent_encode(name, NON_ALPHANUMERIC))
}

/// Approximate size of an entry, in bytes.
fn weigh(principal: &Principal) -> u32 {
    let groups: usize = principal.groups.iter().map(|group| group.len() + 40).sum();
    u32::try_from(groups + principal.subject.len() + 320).unwrap_or(u32::MAX)
}

/// Room for about 20,000 keys of users with ten groups.
const MAX_ACCEPTED_BYTES: u64 = 16 << 20;

const MAX_REFUSED: u64 = 10_000;

/// A key that is created after it was refused works after this at the latest.
const REFUSED_LIFETIME: Duration = Duration::from_secs(5);

/// Bounds `auth.api-key-ttl`, so that adding it to an instant cannot overflow.
const MAX_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// Longest key or user name, in bytes. Sensu's own keys have 36.
const MAX_NAME: usize = 256;

/// Largest API key or user resource, in bytes: a token of all its groups must still fit into a header.
const MAX_RESOURCE: usize = 256 << 10;
