use std::{sync::Arc, time::SystemTime};

use futures::StreamExt;
use tokio::sync::watch;

use super::{
    Entry, Event, Health, Item, Registry, Secret, Store,
    secret::{self, Maker},
};
use crate::types::{Kind, Snapshot};

/// What the reflector publishes. Cheap to clone; reading never blocks.
#[derive(Clone, Debug)]
pub struct Views {
    /// The clusters for the data plane. Changes only when a cluster does.
    pub snapshot: watch::Receiver<Arc<Snapshot>>,
    /// Everything registered, with versions and how current it is.
    pub registry: watch::Receiver<Arc<Registry>>,
}

/// Follows a store and the configuration, and publishes the views that result from both.
pub struct Reflector {
    config: watch::Receiver<Arc<Snapshot>>,
    snapshot: watch::Sender<Arc<Snapshot>>,
    registry: watch::Sender<Arc<Registry>>,
}

/// A reflector and its views, which show only the configuration until the store has been read.
///
/// `config` holds the local cluster and those of the configuration file; a reload sends new ones.
pub fn reflector(config: watch::Receiver<Arc<Snapshot>>) -> (Reflector, Views) {
    let configured = Arc::clone(&config.borrow());
    let unread = Registry::new(configured);
    let (snapshot, snapshot_view) = watch::channel(Arc::new(unread.snapshot()));
    let (registry, registry_view) = watch::channel(Arc::new(unread));
    let views = Views { snapshot: snapshot_view, registry: registry_view };
    (Reflector { config, snapshot, registry }, views)
}

// === impl Reflector ===

impl Reflector {
    /// Runs until all other holders of the store have dropped it, and creates the store's [`Secret`] if it has none.
    /// Cancel-safe: the views stay as they are.
    pub async fn run(mut self, store: Arc<dyn Store>) {
        let mut events = store.watch();
        let mut maker = Maker::new(&store);
        // The watch ends when the store is dropped: this must not keep it alive.
        drop(store);
        let mut reloads = true;
        loop {
            if self.registry.borrow().lacks_secret() {
                maker.begin();
            }
            tokio::select! {
                () = maker.run() => {}
                event = events.next() => match event {
                    Some(event) => self.change(|registry| registry.apply(event)),
                    None => return,
                },
                changed = self.config.changed(), if reloads => {
                    reloads = changed.is_ok();
                    let config = Arc::clone(&self.config.borrow_and_update());
                    self.change(|registry| registry.config = config);
                }
            }
        }
    }

    fn change(&mut self, change: impl FnOnce(&mut Registry)) {
        let mut registry = Registry::clone(&self.registry.borrow());
        change(&mut registry);
        let snapshot = registry.snapshot();
        self.snapshot.send_if_modified(|current| {
            let changed = **current != snapshot;
            if changed {
                *current = Arc::new(snapshot);
            }
            changed
        });
        // After the snapshot: whoever sees a revision here can rely on its clusters being routed to.
        self.registry.send_replace(Arc::new(registry));
    }
}

// === impl Registry ===

impl Registry {
    /// Whether the store is available and has no secret.
    fn lacks_secret(&self) -> bool {
        self.secret.is_none() && self.health == Health::Following
    }

    fn apply(&mut self, event: Event) {
        match event {
            Event::Reset { entries, revision } => {
                self.secret = None;
                self.items.clear();
                self.unreadable.clear();
                for entry in entries {
                    self.put(entry);
                }
                self.revision = revision;
                if matches!(self.health, Health::Down { .. }) {
                    tracing::info!(revision, "the registry's store is available again");
                }
                self.health = Health::Following;
                self.was_read = true;
            }
            Event::Put(entry) => {
                // A watch that resumes may repeat old events.
                self.revision = self.revision.max(entry.version);
                self.put(entry);
            }
            Event::Deleted { key, revision } => {
                self.revision = self.revision.max(revision);
                self.items.remove(&key);
                self.unreadable.remove(&key);
                if &*key == secret::KEY {
                    self.secret = None;
                }
            }
            Event::Down(reason) => {
                let since = match &self.health {
                    Health::Down { reason: known, .. } if *known == reason => return,
                    Health::Down { since, .. } => *since,
                    Health::Starting | Health::Following => SystemTime::now(),
                };
                tracing::error!(%reason, "the registry's store is down: the clusters seen last stay in use");
                self.health = Health::Down { since, reason };
            }
        }
    }

    fn put(&mut self, entry: Entry) {
        let key = Arc::clone(&entry.key);
        if &*key == secret::KEY {
            self.secret = Secret::parse(&entry);
            return;
        }
        let is_resource =
            key.split_once('/').is_some_and(|(collection, _)| Kind::of_collection(collection).is_some());
        if !is_resource {
            return;
        }
        match Item::parse(entry) {
            Ok(item) => {
                self.warn_if_hidden(&item);
                self.unreadable.remove(&key);
                self.items.insert(key, Arc::new(item));
            }
            Err(reason) => {
                // Its previous content no longer holds either.
                tracing::warn!(%key, %reason, "a registered resource cannot be read and is left out");
                self.items.remove(&key);
                self.unreadable.insert(key, reason);
            }
        }
    }

    fn warn_if_hidden(&self, item: &Item) {
        let resource = &item.checked.resource;
        if resource.kind == Kind::Cluster && self.from_config(&resource.metadata.name).is_some() {
            tracing::warn!(cluster = %resource.metadata.name, "the cluster is registered, but the one of the same name in the configuration file is used");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_is_down_from_the_start_has_not_been_read() {
        let mut registry = Registry::new(Arc::new(Snapshot::new([])));
        let known = |registry: &Registry| (registry.was_read(), registry.snapshot().is_loaded());
        assert_eq!(known(&registry), (false, false));
        registry.apply(Event::Down("refused".into()));
        assert_eq!(known(&registry), (false, false));
        registry.apply(Event::Reset { entries: Vec::new(), revision: 1 });
        assert_eq!(known(&registry), (true, true));
        registry.apply(Event::Down("refused".into()));
        assert_eq!(known(&registry), (true, true));
    }
}
