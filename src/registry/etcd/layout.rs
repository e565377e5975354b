//! Which keys of an etcd belong to a registry, and which schema it has.

use std::{fmt, str, sync::Arc};

use crate::{
    etcd::{Client, Mirror, proto::KeyValue},
    registry::{Entry, StoreError},
};

/// Where a registry is in etcd.
pub(in crate::registry) struct Layout {
    /// Ends in `/`.
    prefix: String,
    entries: String,
    schema: String,
}

/// What a registry says about its format.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Schema {
    /// Nothing: the registry is new.
    #[default]
    Absent,
    /// The one that this version reads and writes.
    Current,
    /// Any other.
    Foreign(String),
}

// === impl Layout ===

impl Layout {
    pub(in crate::registry) fn new(prefix: &str) -> Self {
        let mut prefix = prefix.to_owned();
        if !prefix.ends_with('/') {
            prefix.push('/');
        }
        Self { entries: format!("{prefix}registry/"), schema: format!("{prefix}schema"), prefix }
    }

    /// etcd's key for a key of the store.
    pub(super) fn key(&self, key: &str) -> String {
        format!("{}{key}", self.entries)
    }

    pub(super) fn schema_key(&self) -> &str {
        &self.schema
    }

    pub(super) fn is_schema(&self, key: &[u8]) -> bool {
        key == self.schema.as_bytes()
    }

    /// The store's key for a key of etcd. `None` for keys that no gateway writes.
    pub(super) fn entry_key<'a>(&self, key: &'a [u8]) -> Option<&'a str> {
        str::from_utf8(key.strip_prefix(self.entries.as_bytes())?).ok()
    }

    pub(super) fn entry(&self, kv: KeyValue) -> Option<Entry> {
        let key = self.entry_key(&kv.key)?.into();
        Some(Entry { key, value: kv.value.into(), version: version(kv.mod_revision) })
    }

    /// Why a registry of this schema is left alone.
    pub(super) fn refusal(&self, schema: &Schema) -> Option<StoreError> {
        let Schema::Foreign(found) = schema else { return None };
        Some(StoreError::Schema { registry: self.to_string(), found: found.clone() })
    }

    /// One range from the entries to the schema, so that the changes of both arrive in one order.
    pub(super) fn mirror(&self, client: &Arc<Client>) -> Mirror {
        Mirror::range(Arc::clone(client), &*self.entries, format!("{}\0", self.schema))
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in etcd", self.prefix)
    }
}

// === impl Schema ===

impl Schema {
    pub(super) fn of(value: &[u8]) -> Self {
        if value == SCHEMA.as_bytes() {
            return Self::Current;
        }
        Self::Foreign(value[..value.len().min(MAX_SCHEMA_BYTES)].escape_ascii().to_string())
    }

    /// From the answer to a read of the schema's key.
    pub(super) fn in_answer(kvs: &[KeyValue]) -> Self {
        kvs.first().map_or(Self::Absent, |kv| Self::of(&kv.value))
    }
}

/// The store's version for a revision of etcd, which is never negative.
pub(super) fn version(revision: i64) -> u64 {
    u64::try_from(revision).unwrap_or(0)
}

/// The schema of this version.
pub(super) const SCHEMA: &str = "1";

/// Shown of a foreign schema.
const MAX_SCHEMA_BYTES: usize = 20;

/// Largest registry that is read or followed: some ten thousand clusters. More means that the prefix is not ours.
pub(super) const MAX_BYTES: usize = 64 << 20;
