use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::{sync::watch, time::timeout};

use super::{
    Entry, Secret,
    resource::{self, Checked},
};
use crate::types::{Cluster, Kind, Resource, Snapshot, Source};

/// A registered resource and its version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The resource.
    pub checked: Checked,
    /// As stored; its version makes the `ETag`.
    pub entry: Entry,
}

/// Everything registered at one moment. Never changed in place.
#[derive(Clone, Debug)]
pub struct Registry {
    pub(super) config: Arc<Snapshot>,
    pub(super) items: BTreeMap<Arc<str>, Arc<Item>>,
    pub(super) unreadable: BTreeMap<Arc<str>, String>,
    pub(super) secret: Option<Secret>,
    pub(super) revision: u64,
    pub(super) health: Health,
    pub(super) was_read: bool,
}

/// How current a [`Registry`] is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// The store has not been read yet.
    Starting,
    /// Changes arrive as they are made.
    Following,
    /// The store is not available: this is its last known content.
    Down {
        /// When it was noticed.
        since: SystemTime,
        /// The store's error, for the log and for administrators.
        reason: Arc<str>,
    },
}

// === impl Item ===

impl Item {
    /// Reads a stored resource. The error says what is wrong with it.
    pub fn parse(entry: Entry) -> Result<Self, String> {
        let (collection, name) = entry.key.split_once('/').unwrap_or_default();
        let kind = Kind::of_collection(collection).ok_or("this version has no such collection")?;
        let checked = Checked::parse(kind, Some(name), &entry.value).map_err(|e| e.to_string())?;
        Ok(Self { checked, entry })
    }
}

// === impl Registry ===

impl Registry {
    pub(super) fn new(config: Arc<Snapshot>) -> Self {
        Self {
            config,
            items: BTreeMap::new(),
            unreadable: BTreeMap::new(),
            secret: None,
            revision: 0,
            health: Health::Starting,
            was_read: false,
        }
    }

    /// The registered resource of that name, which does not include the clusters of the configuration file.
    pub fn get(&self, kind: Kind, name: &str) -> Option<&Arc<Item>> {
        self.items.get(super::key_of(kind, name).as_str())
    }

    /// All registered resources of a kind by name, also those hidden by a cluster of the configuration file.
    pub fn list(&self, kind: Kind) -> impl Iterator<Item = &Arc<Item>> {
        self.items.values().filter(move |item| item.checked.resource.kind == kind)
    }

    /// The item for an entry of the store, if this view shows exactly that version of it.
    pub fn item_of(&self, entry: &Entry) -> Option<&Arc<Item>> {
        self.items.get(&entry.key).filter(|item| item.entry.version == entry.version)
    }

    /// Whether this view shows exactly these entries, which are all of a kind.
    pub fn shows(&self, kind: Kind, entries: &[Entry]) -> bool {
        let unreadable = entries.iter().filter(|entry| self.unreadable.contains_key(&entry.key)).count();
        let known = entries.iter().filter(|entry| self.item_of(entry).is_some()).count();
        known + unreadable == entries.len() && known == self.list(kind).count()
    }

    /// The local cluster and the clusters of the configuration file.
    pub fn config(&self) -> &Arc<Snapshot> {
        &self.config
    }

    /// The cluster of that name which the configuration sets, the local one included.
    pub fn from_config(&self, name: &str) -> Option<&Arc<Cluster>> {
        self.config.get(name)
    }

    /// The clusters of the configuration file in the form of registered ones.
    pub fn config_resources(&self) -> impl Iterator<Item = Resource> {
        let listed = self.config.iter().filter(|cluster| cluster.source == Source::Config);
        listed.map(|cluster| resource::of_config(cluster))
    }

    /// Keys of what is stored but cannot be read, and why. Usual cause: a newer gateway on the same store.
    pub fn unreadable(&self) -> &BTreeMap<Arc<str>, String> {
        &self.unreadable
    }

    /// Names of what is stored of a kind but cannot be read, and why.
    pub fn unreadable_of(&self, kind: Kind) -> impl Iterator<Item = (&str, &str)> {
        self.unreadable.iter().filter_map(move |(key, reason)| {
            let (collection, name) = key.split_once('/')?;
            (collection == kind.collection()).then_some((name, &**reason))
        })
    }

    /// Whether there is a resource of that name which cannot be read.
    pub fn is_unreadable(&self, kind: Kind, name: &str) -> bool {
        self.unreadable.contains_key(super::key_of(kind, name).as_str())
    }

    /// The secret that signs continue tokens. `None` until the store has been read and the secret created.
    pub fn secret(&self) -> Option<&Secret> {
        self.secret.as_ref()
    }

    /// The secret as soon as there is one. A new store has it within moments; one that was down at start, once it is back.
    /// `None` for one that stays down.
    pub async fn wait_for_secret(registry: &watch::Receiver<Arc<Self>>) -> Option<Secret> {
        let mut registry = registry.clone();
        let settled =
            registry.wait_for(|view| view.secret().is_some() || matches!(view.health(), Health::Down { .. }));
        match timeout(SECRET_TIMEOUT, settled).await {
            Ok(Ok(view)) => view.secret().cloned(),
            Ok(Err(_)) | Err(_) => None,
        }
    }

    /// The store's revision that this shows.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Whether the store has been read since the start. Before that, this shows only the configuration.
    pub fn was_read(&self) -> bool {
        self.was_read
    }

    /// How current this is.
    pub fn health(&self) -> &Health {
        &self.health
    }

    /// The clusters for the data plane; those of the configuration take precedence. Incomplete until the store has been
    /// read.
    pub fn snapshot(&self) -> Snapshot {
        let registered = self.list(Kind::Cluster).filter_map(|item| item.checked.cluster());
        let snapshot =
            Snapshot::new(self.config.iter().map(|cluster| Cluster::clone(cluster)).chain(registered));
        if self.was_read { snapshot } else { snapshot.without_registered() }
    }
}

/// How long a page may wait for the secret that seals its token.
const SECRET_TIMEOUT: Duration = Duration::from_secs(3);
