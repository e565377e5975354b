use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use aws_lc_rs::digest::{SHA256, digest};
use moka::{Expiry, sync::Cache};

use crate::types::Principal;

/// Verified tokens, by the SHA-256 of the token: collision-resistant, and no token is kept in memory.
pub(super) struct TokenCache {
    entries: Cache<TokenId, Entry>,
}

/// SHA-256 of a token.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct TokenId([u8; 32]);

#[derive(Clone)]
struct Entry {
    /// Which set of keys verified it. An entry of an earlier set is as good as none.
    generation: u64,
    principal: Arc<Principal>,
    /// From insertion to `exp`.
    lifetime: Duration,
}

/// Drops entries when their token expires.
struct AtExpiry;

// === impl TokenId ===

impl TokenId {
    pub(super) fn of(token: &str) -> Self {
        let mut id = [0; 32];
        id.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
        Self(id)
    }
}

// === impl TokenCache ===

impl TokenCache {
    /// Room for `entries` tokens of the usual size; tokens with many groups take the room of several.
    pub(super) fn new(entries: u64) -> Self {
        let entries = Cache::builder()
            .max_capacity(entries.saturating_mul(u64::from(USUAL_BYTES)))
            .weigher(|_, entry: &Entry| weigh(&entry.principal))
            .expire_after(AtExpiry)
            .build();
        Self { entries }
    }

    /// The principal, if keys of this generation verified the token and it has not expired at `now`.
    pub(super) fn get(&self, id: &TokenId, generation: u64, now: i64) -> Option<Arc<Principal>> {
        let entry = self.entries.get(id)?;
        // The cache's own expiry runs on a monotonic clock, which a corrected wall clock does not move.
        (entry.generation == generation && now < entry.principal.expires_at).then_some(entry.principal)
    }

    pub(super) fn insert(&self, id: TokenId, generation: u64, principal: Arc<Principal>, now: i64) {
        let seconds = u64::try_from(principal.expires_at.saturating_sub(now)).unwrap_or(0);
        let lifetime = Duration::from_secs(seconds).min(MAX_LIFETIME);
        self.entries.insert(id, Entry { generation, principal, lifetime });
    }

    pub(super) fn clear(&self) {
        self.entries.invalidate_all();
    }

    /// How many entries there are, after pending work is done.
    #[cfg(test)]
    pub(super) fn len(&self) -> u64 {
        self.entries.run_pending_tasks();
        self.entries.entry_count()
    }
}

impl Expiry<TokenId, Entry> for AtExpiry {
    fn expire_after_create(&self, _: &TokenId, entry: &Entry, _: Instant) -> Option<Duration> {
        Some(entry.lifetime)
    }

    fn expire_after_update(
        &self,
        _: &TokenId,
        entry: &Entry,
        _: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(entry.lifetime)
    }
}

/// Bytes that an entry holds, but at least [`USUAL_BYTES`]: so the capacity bounds both count and bytes.
fn weigh(principal: &Principal) -> u32 {
    let held: usize = principal.groups.iter().map(|group| group.len() + GROUP_BYTES).sum();
    u32::try_from(held + principal.subject.len() + ENTRY_BYTES).unwrap_or(u32::MAX).max(USUAL_BYTES)
}

/// What a user with some ten groups takes.
const USUAL_BYTES: u32 = 1024;

/// A `String` and its allocation.
const GROUP_BYTES: usize = 40;

/// Key, value, `Arc` and the cache's own nodes, roughly.
const ENTRY_BYTES: usize = 320;

/// Longest stay: a token without an end in sight is verified once a day.
const MAX_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);
