//! What replication keeps in the registry's store: the store's identity, and where something was written.
//!
//! | key | value |
//! |---|---|
//! | `replication/id` | identifies the store in every destination |
//! | `replication/destinations/<id>` | how to reach a destination, and the replicators that may own something there |
//!
//! A replicator that is deleted, even while no gateway runs, leaves its destination here until that is clean or is given
//! up, because a destination may never come back. Deleting the key gives it up too.
//!
//! Before anything is written for a replicator, it is recorded here as one that may own something. One that never got so
//! far leaves nothing behind.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    registry::{Precondition, STORE_ID, Store, StoreError, store_id},
    types::{Backend, ReplicatorSpec, TlsFiles},
};

/// How to reach a destination. Replicators with equal addresses share a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) endpoints: Vec<Backend>,
    pub(super) tls: TlsFiles,
}

/// A destination that something may have been written to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KnownDestination {
    pub(super) address: Address,
    /// Replicators that are, or were, to be copied there.
    pub(super) names: BTreeSet<Arc<str>>,
    /// Those of them that may own something there, and how many keys when last counted.
    pub(super) owners: BTreeMap<Arc<str>, u64>,
    /// The destination's own identity, once seen.
    pub(super) place: Option<String>,
}

/// What is kept, as it is in the store.
#[derive(Debug, Default)]
pub(super) struct Memory {
    pub(super) store_id: String,
    pub(super) destinations: BTreeMap<String, KnownDestination>,
    /// The versions of the destinations' entries: another gateway may give something up.
    versions: BTreeMap<String, u64>,
}

/// As stored.
#[derive(Serialize, Deserialize)]
struct Stored {
    endpoints: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trusted_ca_file: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cert_file: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key_file: Option<String>,
    #[serde(default)]
    insecure: bool,
    replicators: BTreeSet<String>,
    /// Missing in what earlier versions stored: any of them may own something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    owners: Option<BTreeMap<String, u64>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    place: Option<String>,
}

// === impl Address ===

impl Address {
    pub(super) fn of(spec: &ReplicatorSpec) -> Self {
        let mut endpoints = spec.endpoints.clone();
        endpoints.sort_by_key(Backend::to_string);
        endpoints.dedup();
        Self { endpoints, tls: spec.tls.clone() }
    }

    /// Equal for equal addresses, in every process.
    pub(super) fn id(&self) -> String {
        let mut text = self.describe();
        for file in [&self.tls.trusted_ca_file, &self.tls.cert_file, &self.tls.key_file] {
            text.push('\n');
            text.push_str(&file.as_deref().map(|path| path.to_string_lossy()).unwrap_or_default());
        }
        text.push_str(if self.tls.insecure_skip_tls_verify { "\ninsecure" } else { "" });
        Uuid::new_v5(&NAMESPACE, text.as_bytes()).simple().to_string()
    }

    pub(super) fn shares_member(&self, other: &Self) -> bool {
        let is_same = |a: &Backend, b: &Backend| (&a.host, a.port) == (&b.host, b.port);
        self.endpoints.iter().any(|a| other.endpoints.iter().any(|b| is_same(a, b)))
    }

    /// For an operator.
    pub(super) fn describe(&self) -> String {
        self.endpoints.iter().map(Backend::to_string).collect::<Vec<_>>().join(",")
    }
}

// === impl Known ===

impl KnownDestination {
    fn parse(value: &[u8]) -> Option<Self> {
        let stored: Stored = serde_json::from_slice(value).ok()?;
        let endpoints = stored.endpoints.iter().map(|text| text.parse().ok()).collect::<Option<Vec<_>>>()?;
        let tls = TlsFiles {
            trusted_ca_file: stored.trusted_ca_file.map(Into::into),
            cert_file: stored.cert_file.map(Into::into),
            key_file: stored.key_file.map(Into::into),
            insecure_skip_tls_verify: stored.insecure,
        };
        let names: BTreeSet<Arc<str>> = stored.replicators.into_iter().map(Into::into).collect();
        let owners = match stored.owners {
            Some(owners) => owners.into_iter().map(|(name, keys)| (name.into(), keys)).collect(),
            None => names.iter().map(|name| (Arc::clone(name), 0)).collect(),
        };
        (!endpoints.is_empty()).then_some(Self {
            address: Address { endpoints, tls },
            names,
            owners,
            place: stored.place,
        })
    }

    /// The same for these replicators only; `None` when there are none.
    pub(super) fn only(&self, names: BTreeSet<Arc<str>>) -> Option<Self> {
        let mut owners = self.owners.clone();
        owners.retain(|name, _| names.contains(name));
        (!names.is_empty()).then(|| Self { names, owners, ..self.clone() })
    }

    fn to_bytes(&self) -> Vec<u8> {
        let path =
            |file: &Option<std::path::PathBuf>| file.as_ref().map(|path| path.to_string_lossy().into_owned());
        let tls = &self.address.tls;
        let stored = Stored {
            endpoints: self.address.endpoints.iter().map(Backend::to_string).collect(),
            trusted_ca_file: path(&tls.trusted_ca_file),
            cert_file: path(&tls.cert_file),
            key_file: path(&tls.key_file),
            insecure: tls.insecure_skip_tls_verify,
            replicators: self.names.iter().map(ToString::to_string).collect(),
            owners: Some(self.owners.iter().map(|(name, keys)| (name.to_string(), *keys)).collect()),
            place: self.place.clone(),
        };
        serde_json::to_vec(&stored).expect("texts always serialize")
    }
}

// === impl Memory ===

impl Memory {
    /// Reads everything; gives the store an identity if it has none.
    pub(super) async fn load(store: &dyn Store) -> Result<Self, StoreError> {
        let store_id = store_id(store).await?;
        Self::read(store, store_id).await
    }

    /// Reads everything; a store without identity, whose gateways own nothing anywhere, stays as it is.
    pub(super) async fn look(store: &dyn Store) -> Result<Self, StoreError> {
        let id = store.get(STORE_ID).await?;
        let id = id.map_or_else(|| "none".to_owned(), |id| String::from_utf8_lossy(&id.value).into_owned());
        Self::read(store, id).await
    }

    async fn read(store: &dyn Store, store_id: String) -> Result<Self, StoreError> {
        let (mut destinations, mut versions) = (BTreeMap::new(), BTreeMap::new());
        for entry in store.list(DESTINATIONS).await? {
            let id = entry.key[DESTINATIONS.len()..].to_owned();
            versions.insert(id.clone(), entry.version);
            match KnownDestination::parse(&entry.value) {
                Some(known) => {
                    destinations.insert(id, known);
                }
                None => {
                    tracing::error!(key = %entry.key, "the record of a replication destination cannot be read");
                }
            }
        }
        Ok(Self { store_id, destinations, versions })
    }

    /// Whether a store is the one that this was read from, and still has its contents.
    pub(super) async fn is_of(&self, store: &dyn Store) -> Result<bool, StoreError> {
        let found = store.get(STORE_ID).await?;
        Ok(found.is_some_and(|entry| entry.value == self.store_id.as_bytes()))
    }

    /// Stores what is known of a destination; `None` deletes it. [`StoreError::Conflict`]: another gateway has changed it, and
    /// everything has to be loaded again.
    pub(super) async fn keep(
        &mut self,
        store: &dyn Store,
        id: &str,
        known: Option<KnownDestination>,
    ) -> Result<(), StoreError> {
        if self.destinations.get(id) == known.as_ref() {
            return Ok(());
        }
        let key = format!("{DESTINATIONS}{id}");
        let version = self.versions.get(id).copied();
        let expected = version.map_or(Precondition::Absent, Precondition::Version);
        if let Some(known) = known {
            let version = store.put(&key, known.to_bytes().into(), expected).await?;
            self.versions.insert(id.to_owned(), version);
            self.destinations.insert(id.to_owned(), known);
        } else {
            store.delete(&key, expected).await?;
            self.versions.remove(id);
            self.destinations.remove(id);
        }
        Ok(())
    }
}

const DESTINATIONS: &str = "replication/destinations/";

/// The namespace of identities derived from addresses.
const NAMESPACE: Uuid = Uuid::from_u128(0x6f1b_5d0e_9a57_4c1c_8b0a_5f7f_0c1d_2e3a);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::MemoryStore;

    fn known() -> KnownDestination {
        let tls = TlsFiles { trusted_ca_file: Some("/ca.pem".into()), ..TlsFiles::default() };
        let endpoints = vec!["https://b:2379".parse().unwrap(), "https://a:2379".parse().unwrap()];
        KnownDestination {
            address: Address { endpoints, tls },
            names: BTreeSet::from(["x".into(), "y".into()]),
            owners: BTreeMap::from([("x".into(), 7)]),
            place: Some("p".into()),
        }
    }

    #[tokio::test]
    async fn a_store_keeps_its_identity_and_its_destinations() {
        let store = MemoryStore::new();
        let mut first = Memory::load(&store).await.unwrap();
        first.keep(&store, "1", Some(known())).await.unwrap();
        first.keep(&store, "2", Some(known())).await.unwrap();
        first.keep(&store, "2", None).await.unwrap();
        let second = Memory::load(&store).await.unwrap();
        assert_eq!(second.store_id, first.store_id);
        assert_eq!(second.destinations, BTreeMap::from([("1".to_owned(), known())]));
        let other = Memory::load(&MemoryStore::new()).await.unwrap();
        assert_ne!(other.store_id, first.store_id);
    }

    #[test]
    fn whoever_an_earlier_version_recorded_may_own_something() {
        let stored = br#"{"endpoints":["https://a:2379"],"replicators":["x","y"]}"#;
        let known = KnownDestination::parse(stored).unwrap();
        assert_eq!(known.owners, BTreeMap::from([("x".into(), 0), ("y".into(), 0)]));
    }

    #[tokio::test]
    async fn what_another_gateway_has_changed_is_not_overwritten() {
        let store = MemoryStore::new();
        let mut first = Memory::load(&store).await.unwrap();
        first.keep(&store, "1", Some(known())).await.unwrap();
        let mut second = Memory::load(&store).await.unwrap();
        second.keep(&store, "1", None).await.unwrap();
        let changed = KnownDestination { place: None, ..known() };
        let kept = first.keep(&store, "1", Some(changed)).await;
        assert!(matches!(kept, Err(StoreError::Conflict)), "{kept:?}");
        assert!(Memory::load(&store).await.unwrap().destinations.is_empty());
    }

    #[test]
    fn an_address_is_the_same_whatever_the_order_and_another_with_other_files() {
        let spec = |urls: &[&str], ca: Option<&str>| ReplicatorSpec {
            endpoints: urls.iter().map(|url| url.parse().unwrap()).collect(),
            tls: TlsFiles { trusted_ca_file: ca.map(Into::into), ..TlsFiles::default() },
            api_version: "core/v2".into(),
            resource: "Role".into(),
            namespace: None,
            interval: std::time::Duration::from_secs(30),
        };
        let id = |urls: &[&str], ca| Address::of(&spec(urls, ca)).id();
        assert_eq!(id(&["https://a", "https://b"], None), id(&["https://b", "https://a"], None));
        assert_ne!(id(&["https://a"], None), id(&["https://a"], Some("/ca")));
        assert_ne!(id(&["https://a"], None), id(&["https://b"], None));
    }
}
