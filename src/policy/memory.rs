//! What is kept in the registry's store: what `Replicator`s may have copied into each cluster, so that it is removed when
//! one is deleted or narrowed, even while no gateway runs.
//!
//! | key | value |
//! |---|---|
//! | `policy/clusters/<cluster>` | the `Replicator`s that copies may be of there, as they were last |
//!
//! A `Replicator` is recorded before anything is written for it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use super::decide::Scope;
use crate::{
    corev2::Type,
    registry::{Precondition, Store, StoreError},
    types::{OnConflict, OnDelete},
};

/// What is kept, by cluster.
#[derive(Debug, Default)]
pub(super) struct Memory {
    clusters: BTreeMap<Arc<str>, Vec<Scope>>,
    versions: BTreeMap<Arc<str>, u64>,
}

/// As stored.
#[derive(Serialize, Deserialize)]
struct Stored {
    replicator: String,
    resources: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    namespace: Option<String>,
    #[serde(default)]
    keep: bool,
    /// The federations whose copies it took over.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    adopts: BTreeSet<String>,
}

// === impl Memory ===

impl Memory {
    pub(super) async fn load(store: &dyn Store) -> Result<Self, StoreError> {
        let mut memory = Self::default();
        for entry in store.list(CLUSTERS).await? {
            let cluster: Arc<str> = entry.key[CLUSTERS.len()..].into();
            memory.versions.insert(Arc::clone(&cluster), entry.version);
            match serde_json::from_slice::<Vec<Stored>>(&entry.value) {
                Ok(stored) => {
                    memory.clusters.insert(cluster, stored.into_iter().map(Scope::from).collect());
                }
                Err(_) => {
                    tracing::error!(key = %entry.key, "the record of what was replicated to a cluster cannot be read");
                }
            }
        }
        Ok(memory)
    }

    pub(super) fn clusters(&self) -> impl Iterator<Item = &Arc<str>> {
        self.clusters.keys()
    }

    pub(super) fn of(&self, cluster: &str) -> &[Scope] {
        self.clusters.get(cluster).map(Vec::as_slice).unwrap_or_default()
    }

    /// Whether nothing may have been copied anywhere.
    pub(super) fn is_empty(&self) -> bool {
        self.clusters.is_empty() && self.versions.is_empty()
    }

    /// Stores what copies may be of in a cluster. [`StoreError::Conflict`]: another gateway has changed it, and everything
    /// has to be loaded again.
    pub(super) async fn keep(
        &mut self,
        store: &dyn Store,
        cluster: &Arc<str>,
        scopes: Vec<Scope>,
    ) -> Result<(), StoreError> {
        // Read back, they have defaults for what is not kept.
        let scopes: Vec<Scope> = scopes.iter().map(|scope| Scope::from(Stored::from(scope))).collect();
        if self.of(cluster) == scopes {
            return Ok(());
        }
        let key = format!("{CLUSTERS}{cluster}");
        let expected =
            self.versions.get(cluster).copied().map_or(Precondition::Absent, Precondition::Version);
        if scopes.is_empty() {
            store.delete(&key, expected).await?;
            self.versions.remove(cluster);
            self.clusters.remove(cluster);
            return Ok(());
        }
        let stored: Vec<Stored> = scopes.iter().map(Stored::from).collect();
        let value = serde_json::to_vec(&stored).expect("texts always serialize");
        let version = store.put(&key, value.into(), expected).await?;
        self.versions.insert(Arc::clone(cluster), version);
        self.clusters.insert(Arc::clone(cluster), scopes);
        Ok(())
    }
}

impl From<&Scope> for Stored {
    fn from(scope: &Scope) -> Self {
        Self {
            replicator: scope.name.to_string(),
            resources: scope.kinds.iter().map(|kind| kind.name().to_owned()).collect(),
            namespace: scope.namespace.clone(),
            keep: scope.on_delete == OnDelete::Keep,
            adopts: scope.adopts.iter().map(ToString::to_string).collect(),
        }
    }
}

impl From<Stored> for Scope {
    fn from(stored: Stored) -> Self {
        Self {
            name: stored.replicator.into(),
            kinds: stored.resources.iter().filter_map(|name| Type::of_name(name)).collect(),
            namespace: stored.namespace,
            conflicts: OnConflict::Report,
            on_delete: if stored.keep { OnDelete::Keep } else { OnDelete::Remove },
            dry_run: false,
            adopts: stored.adopts.into_iter().map(Arc::from).collect(),
        }
    }
}

/// What the keys begin with.
pub(super) const CLUSTERS: &str = "policy/clusters/";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::MemoryStore;

    fn scope(name: &str, on_delete: OnDelete) -> Scope {
        Scope {
            name: name.into(),
            kinds: [Type::Role, Type::Namespace].into(),
            namespace: Some("web".into()),
            conflicts: OnConflict::Report,
            on_delete,
            dry_run: false,
            adopts: ["old".into()].into(),
        }
    }

    #[tokio::test]
    async fn what_was_kept_is_there_after_a_restart() {
        let store = MemoryStore::new();
        let mut memory = Memory::load(&store).await.unwrap();
        let all = vec![scope("a", OnDelete::Keep), scope("b", OnDelete::Remove)];
        memory.keep(&store, &"alpha".into(), all.clone()).await.unwrap();
        let mut again = Memory::load(&store).await.unwrap();
        assert_eq!((again.of("alpha"), again.clusters().count()), (&all[..], 1));
        again.keep(&store, &"alpha".into(), Vec::new()).await.unwrap();
        assert!(Memory::load(&store).await.unwrap().of("alpha").is_empty());
        let behind = memory.keep(&store, &"alpha".into(), vec![scope("c", OnDelete::Keep)]).await;
        assert!(matches!(behind, Err(StoreError::Conflict)), "another gateway was there");
    }
}
