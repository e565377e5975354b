use std::{fmt, sync::Arc};

use arc_swap::ArcSwap;
use http::HeaderValue;

use crate::auth::{Clock, KeyError, MintClaims, Session, SigningKey, SystemClock};

/// Signs tokens with the private key that the clusters trust. Cheap to clone; clones share the key.
#[derive(Clone)]
pub struct Minter {
    key: Arc<ArcSwap<SigningKey>>,
    clock: Arc<dyn Clock>,
}

// === impl Minter ===

impl Minter {
    /// With the system's clock.
    pub fn new(key: Arc<SigningKey>) -> Self {
        Self::with_clock(key, Arc::new(SystemClock))
    }

    /// With another clock.
    pub fn with_clock(key: Arc<SigningKey>, clock: Arc<dyn Clock>) -> Self {
        Self { key: Arc::new(ArcSwap::new(key)), clock }
    }

    /// Signs with another key from now on.
    pub fn replace(&self, key: Arc<SigningKey>) {
        self.key.store(key);
    }

    /// An `Authorization` header of that user and these groups, marked as sensitive. Valid for five minutes by
    /// this machine's clock; a cluster whose clock is further ahead refuses it. Without `iat` and `nbf`, by which every
    /// cluster whose clock is a second behind would refuse it.
    ///
    /// # Errors
    ///
    /// [`KeyError::Sign`] when the random source fails.
    pub fn bearer(&self, subject: &str, groups: &[String]) -> Result<HeaderValue, KeyError> {
        let exp = self.now().saturating_add(LIFETIME);
        let token = self.key.load().mint(&MintClaims { exp, sub: subject, groups })?;
        let mut header = HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| KeyError::Sign)?;
        header.set_sensitive(true);
        Ok(header)
    }

    /// An access token that continues a session, and its end in seconds since the Unix epoch.
    ///
    /// # Errors
    ///
    /// As [`bearer`](Self::bearer).
    pub fn renew(&self, session: &Session) -> Result<(String, i64), KeyError> {
        let end = self.now().saturating_add(LIFETIME);
        Ok((session.renew(&self.key.load(), end)?, end))
    }

    /// The gateway's own, for its requests to the local cluster.
    pub(super) fn own_bearer(&self) -> Result<HeaderValue, KeyError> {
        self.bearer(OWN_NAME, &[ADMINS.to_owned()])
    }

    /// Seconds since the Unix epoch.
    pub(super) fn now(&self) -> i64 {
        self.clock.unix_seconds()
    }
}

impl fmt::Debug for Minter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Minter").field("key", &self.key.load()).finish_non_exhaustive()
    }
}

/// Seconds that a token is valid: as long as Sensu's own access tokens.
const LIFETIME: i64 = 300;

/// The user of the gateway's own requests, as a cluster's audit log shows it.
const OWN_NAME: &str = "fedgate";

/// The group that `sensu-backend init` makes the administrators.
const ADMINS: &str = "cluster-admins";
