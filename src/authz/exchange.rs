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

/// What is known of API keys, for all workers. Cheap to clone.
#[derive(Clone)]
pub struct Exchange(Arc<Known>);

/// One worker's way to exchange API keys. Cheap to clone.
///
/// Requests with one key that come together ask the local cluster once. A key that was revoked, and a user whose
/// groups have changed, go on as before for `auth.api-key-ttl`.
#[derive(Clone)]
pub struct KeyExchange {
    known: Arc<Known>,
    manager: Manager,
    flights: Arc<Flights<KeyId, Outcome>>,
}

/// Why an API key brought no user.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ExchangeError {
    /// The local cluster knows no such key, its user is gone, or no key can be named so. Usual cause: it was revoked,
    /// or belongs to another cluster.
    #[error("the API key is not known to the local cluster")]
    Refused,
    /// The local cluster could not be asked.
    #[error(transparent)]
    Local(#[from] LocalError),
}

/// What a key stands for.
type Outcome = Result<Arc<Principal>, ExchangeError>;

/// SHA-256 of a key: no key is held.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct KeyId([u8; 32]);

struct Known {
    minter: Minter,
    lifetime: Duration,
    good: Cache<KeyId, Good>,
    /// Apart, so that a flood of guesses drives no good key out. Until when.
    bad: Cache<KeyId, Instant>,
}

#[derive(Clone)]
struct Good {
    principal: Arc<Principal>,
    until: Instant,
}

/// What of an API key resource matters.
#[derive(Deserialize)]
struct ApiKey {
    metadata: corev2::ObjectMeta,
    username: String,
}

// === impl Exchange ===

impl Exchange {
    /// Asks for each key anew after `lifetime` (`auth.api-key-ttl`); zero asks each time.
    pub fn new(minter: Minter, lifetime: Duration) -> Self {
        let good = Cache::builder()
            .max_capacity(MAX_GOOD_BYTES)
            .weigher(|_, good: &Good| weigh(&good.principal))
            // Moka's clock is not the one that decides: this only frees memory.
            .time_to_live(lifetime.min(MAX_LIFETIME))
            .build();
        let bad = Cache::builder().max_capacity(MAX_BAD).time_to_live(BAD_LIFETIME).build();
        Self(Arc::new(Known { minter, lifetime: lifetime.min(MAX_LIFETIME), good, bad }))
    }

    /// For one worker, which asks over its own connections.
    pub fn worker(&self, manager: Manager) -> KeyExchange {
        KeyExchange { known: Arc::clone(&self.0), manager, flights: Arc::default() }
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange").field("lifetime", &self.0.lifetime).finish_non_exhaustive()
    }
}

// === impl KeyExchange ===

impl KeyExchange {
    /// Whom an `Authorization: Key …` header speaks for, as the local cluster has it: the user's own groups, without
    /// the `system:users` of a login, as in Sensu. As there, the key of a disabled user works.
    ///
    /// `expires_at` is when the key is asked for again. May be dropped at any time.
    ///
    /// # Errors
    ///
    /// [`ExchangeError::Refused`], as Sensu's 401; [`ExchangeError::Local`] when the local cluster cannot tell.
    pub async fn resolve(&self, authorization: &HeaderValue) -> Result<Arc<Principal>, ExchangeError> {
        let key = key_of(authorization).ok_or(ExchangeError::Refused)?;
        let id = KeyId::of(key);
        if let Some(outcome) = self.known.find(id) {
            return outcome;
        }
        let (known, manager, key) = (Arc::clone(&self.known), self.manager.clone(), key.to_owned());
        let flight = self.flights.join(id, || {
            Box::pin(async move {
                let outcome = known.ask(&manager, &key).await;
                known.remember(id, &outcome);
                outcome
            })
        });
        flight.await
    }

    /// An `Authorization` header with a token of that user for other clusters, marked as sensitive: the user's name
    /// and groups and nothing else, good for five minutes. Sign one for each request: it costs some 20 µs.
    ///
    /// # Errors
    ///
    /// [`ExchangeError::Local`] when the random source fails.
    pub fn token_for(&self, who: &Principal) -> Result<HeaderValue, ExchangeError> {
        let token = self.known.minter.bearer(&who.subject, &who.groups);
        token.map_err(|error| LocalError::Mint(Arc::new(error)).into())
    }

    #[cfg(test)]
    pub(super) fn under_way(&self) -> usize {
        self.flights.len()
    }
}

impl fmt::Debug for KeyExchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyExchange").field("lifetime", &self.known.lifetime).finish_non_exhaustive()
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

// === impl Known ===

impl Known {
    fn find(&self, id: KeyId) -> Option<Outcome> {
        let now = Instant::now();
        if let Some(good) = self.good.get(&id).filter(|good| now < good.until) {
            return Some(Ok(good.principal));
        }
        self.bad.get(&id).filter(|until| now < *until).map(|_| Err(ExchangeError::Refused))
    }

    fn remember(&self, id: KeyId, outcome: &Outcome) {
        let now = Instant::now();
        match outcome {
            Ok(principal) => {
                let good = Good { principal: Arc::clone(principal), until: now + self.lifetime };
                self.good.insert(id, good);
            }
            Err(ExchangeError::Refused) => {
                self.good.invalidate(&id);
                self.bad.insert(id, now + BAD_LIFETIME);
            }
            Err(ExchangeError::Local(_)) => {}
        }
    }

    /// Looks the key and its user up.
    async fn ask(&self, manager: &Manager, key: &str) -> Outcome {
        let found: ApiKey = self.get(manager, "apikeys", key).await?;
        // What another path led to is not the key that was asked for.
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

/// Whether Sensu keeps a resource of that name under its own key. It joins names into paths and cleans those: a slash
/// or dots would lead it to resources of other kinds, which may decode as a key of somebody else.
fn is_one_segment(name: &str) -> bool {
    let is_plain = |c: char| c != '/' && !c.is_control();
    !name.is_empty() && name.len() <= MAX_NAME && name != "." && name != ".." && name.chars().all(is_plain)
}

/// The path of a resource. The name has passed [`is_one_segment`].
pub(super) fn target(collection: &str, name: &str) -> String {
    format!("/api/core/v2/{collection}/{}", utf8_percent_encode(name, NON_ALPHANUMERIC))
}

/// Bytes that an entry takes, roughly.
fn weigh(principal: &Principal) -> u32 {
    let groups: usize = principal.groups.iter().map(|group| group.len() + 40).sum();
    u32::try_from(groups + principal.subject.len() + 320).unwrap_or(u32::MAX)
}

/// For some 20,000 keys of users with ten groups.
const MAX_GOOD_BYTES: u64 = 16 << 20;

const MAX_BAD: u64 = 10_000;

/// A key that was just made works after this at the latest.
const BAD_LIFETIME: Duration = Duration::from_secs(5);

/// Longer than anybody means.
const MAX_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// Longest key or user name, in bytes. Sensu's own keys have 36.
const MAX_NAME: usize = 256;

/// Largest API key or user resource, in bytes: a token of all its groups must still fit into a header.
const MAX_RESOURCE: usize = 256 << 10;
