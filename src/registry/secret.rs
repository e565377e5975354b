use std::{
    fmt,
    sync::{Arc, Weak},
    time::Duration,
};

use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt as _};
use tokio::time::sleep;

use super::{Entry, Precondition, Store, StoreError};

/// 32 random bytes that all gateways of one store share, to sign continue tokens.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret([u8; 32]);

/// Creates the secret of a store that has none, in the background.
pub(super) struct Maker {
    store: Weak<dyn Store>,
    /// The attempt in progress, with the pause after it. Its result is the error message.
    attempt: Option<BoxFuture<'static, Option<String>>>,
    /// The failure that was logged last.
    logged: Option<String>,
}

// === impl Secret ===

impl Secret {
    /// The store's secret. The first gateway to ask creates it, also in place of one that was damaged.
    pub async fn get_or_create(store: &dyn Store) -> Result<Self, StoreError> {
        for _ in 0..ATTEMPTS {
            let expected = match store.get(KEY).await? {
                None => Precondition::Absent,
                Some(entry) => match Self::parse(&entry) {
                    Some(secret) => return Ok(secret),
                    None => Precondition::Version(entry.version),
                },
            };
            let mut bytes = [0; 32];
            aws_lc_rs::rand::fill(&mut bytes)
                .map_err(|_| StoreError::unavailable("the system returned no random bytes"))?;
            match store.put(KEY, Bytes::copy_from_slice(&bytes), expected).await {
                Ok(_) => return Ok(Self(bytes)),
                // Another gateway was faster: its secret is used.
                Err(StoreError::Conflict) => {}
                Err(error) => return Err(error),
            }
        }
        Err(StoreError::Conflict)
    }

    /// Reads the secret's entry; `None` for any other.
    pub(super) fn parse(entry: &Entry) -> Option<Self> {
        if &*entry.key != KEY {
            return None;
        }
        entry.value.as_ref().try_into().ok().map(Self)
    }

    /// The bytes, for a MAC.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

// === impl Maker ===

impl Maker {
    pub(super) fn new(store: &Arc<dyn Store>) -> Self {
        Self { store: Arc::downgrade(store), attempt: None, logged: None }
    }

    /// Starts an attempt, unless one is in progress or was made a moment ago.
    pub(super) fn begin(&mut self) {
        let store = self.store.clone();
        self.attempt.get_or_insert_with(|| {
            async move {
                let failure = match store.upgrade() {
                    Some(store) => Secret::get_or_create(&*store).await.err(),
                    None => None,
                };
                // The store is not held during the pause, so that its owners can close it.
                sleep(PAUSE).await;
                failure.map(|error| error.to_string())
            }
            .boxed()
        });
    }

    /// Drives the attempt until another one may start; pending forever without one. Cancel-safe.
    pub(super) async fn run(&mut self) {
        let failure = match &mut self.attempt {
            Some(attempt) => attempt.await,
            None => std::future::pending().await,
        };
        self.attempt = None;
        // A gateway without the right to write would fill the log.
        if let Some(error) = failure.as_ref().filter(|_| failure != self.logged) {
            tracing::warn!(%error, "cannot create the secret for continue tokens yet: lists are not paged until it exists");
        }
        self.logged = failure;
    }
}

/// Its key in the store.
pub(super) const KEY: &str = "secrets/continue";
/// Attempts, in case other gateways create it at the same time.
const ATTEMPTS: usize = 3;
/// Between two attempts.
const PAUSE: Duration = Duration::from_secs(2);
