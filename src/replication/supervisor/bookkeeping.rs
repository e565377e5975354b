//! What the supervisor keeps in the registry's store, and how it makes sure that a deletion is one.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{REVIEW, Supervisor, Task};
use crate::{
    registry::{Registry, StoreError, key_of},
    replication::{
        memory::{KnownDestination, Memory},
        plan::{self, Wanted},
    },
    types::Kind,
};

// === impl Supervisor ===

impl Supervisor {
    /// Loads the memory, and reads it again at intervals, because an operator may have given up a destination. Returns
    /// whether it is there.
    pub(super) async fn load_memory(&mut self) -> bool {
        let now = Instant::now();
        if self.memory.is_some() && now < self.next_review {
            return true;
        }
        match Memory::load(&*self.store).await {
            Ok(memory) => {
                if self.memory.as_ref().is_some_and(|old| old.store_id != memory.store_id) {
                    self.store_was_replaced().await;
                }
                self.memory = Some(memory);
                self.next_review = now + MEMORY_REFRESH;
                self.trouble = None;
            }
            Err(error) => {
                self.next_review = now + REVIEW;
                self.trouble = Some(registry_error(&error));
            }
        }
        self.memory.is_some()
    }

    /// The store is another one: everything that runs for the old one ends.
    pub(super) async fn store_was_replaced(&mut self) {
        tracing::error!("{LOST}");
        self.memory = None;
        self.is_current = false;
        self.stop_tasks().await;
    }

    /// Confirms with the store that replicators were deleted from the registry. A store that has lost everything, or
    /// another one in its place, would remove from every follower what was copied there.
    ///
    /// A view that is behind the store is not trusted either, as it may be when the gateway has just become the leader.
    pub(super) async fn confirm_deletions(
        &mut self,
        registry: &Registry,
        wanted: &Wanted,
    ) -> Result<(), Arc<str>> {
        let Some(memory) = &self.memory else { return Ok(()) };
        let deleted: BTreeSet<_> = plan::deleted(&memory.destinations, wanted).collect();
        if !self.is_current || !deleted.is_subset(&self.deleted) {
            if !memory.is_of(&*self.store).await.map_err(|error| registry_error(&error))? {
                self.store_was_replaced().await;
                return Err(LOST.into());
            }
            let prefix = key_of(Kind::EtcdReplicator, "");
            let entries = self.store.list(&prefix).await.map_err(|error| registry_error(&error))?;
            if !registry.shows(Kind::EtcdReplicator, &entries) {
                return Err(BEHIND.into());
            }
            self.is_current = true;
        }
        self.deleted = deleted;
        Ok(())
    }

    /// Records destinations before anything is written to them, so that they will be cleaned up.
    pub(super) async fn record_destinations(&mut self, wanted: &Wanted) -> Result<(), Arc<str>> {
        let places = self.places();
        let Some(memory) = &mut self.memory else { return Ok(()) };
        for (id, destination) in &wanted.destinations {
            let names = plan::View { wanted, known: &memory.destinations, places: &places }.names(id);
            let known = KnownDestination {
                address: destination.address.clone(),
                names,
                place: places.get(id).cloned(),
            };
            let kept = memory.keep(&*self.store, id, Some(known)).await;
            kept.map_err(|error| registry_error(&error))?;
        }
        Ok(())
    }

    /// Removes replicators from destinations where they own nothing any more, and destinations without replicators.
    pub(super) async fn end_clean_destinations(&mut self, wanted: &Wanted) {
        let places = self.places();
        let Some(memory) = &mut self.memory else { return };
        let ids: Vec<String> = memory.destinations.keys().cloned().collect();
        for id in ids {
            let report = self.tasks.get(&id).and_then(Task::current_report);
            let view = plan::View { wanted, known: &memory.destinations, places: &places };
            let overdue = |id: &str, name: &Arc<str>| self.leaving.is_overdue(id, name);
            let names = view.remaining(&id, report.as_ref(), &overdue);
            let Some(known) = memory.destinations.get(&id) else { continue };
            let remains = (!names.is_empty()).then(|| KnownDestination { names, ..known.clone() });
            let is_over = remains.is_none();
            if let Err(error) = memory.keep(&*self.store, &id, remains).await {
                self.trouble = Some(registry_error(&error));
                return;
            }
            if is_over {
                self.tasks.remove(&id);
            }
        }
        self.tasks.retain(|id, _| memory.destinations.contains_key(id));
    }

    /// Gives up, for an operator, what a replicator still owns where it is no longer registered.
    pub(super) async fn give_up(&mut self, registry: &Registry, name: &Arc<str>) {
        let wanted = Wanted::of(registry);
        let Some(memory) = self.memory.as_mut().filter(|_| !wanted.unreadable.contains(name)) else { return };
        for id in memory.destinations.keys().cloned().collect::<Vec<_>>() {
            let is_wanted =
                wanted.destinations.get(&id).is_some_and(|it| it.scopes.iter().any(|it| it.name == *name));
            let Some(known) = memory.destinations.get(&id).filter(|_| !is_wanted) else { continue };
            let names: BTreeSet<_> = known.names.iter().filter(|known| *known != name).cloned().collect();
            let remains = (!names.is_empty()).then(|| KnownDestination { names, ..known.clone() });
            tracing::warn!(replicator = %name, destination = known.address.describe(), "gave up the keys of a replicator in a destination: they stay there");
            if let Err(error) = memory.keep(&*self.store, &id, remains).await {
                self.trouble = Some(registry_error(&error));
            }
        }
    }
}

fn registry_error(error: &StoreError) -> Arc<str> {
    format!("the gateway's registry: {error}").into()
}

const BEHIND: &str = "the gateway has not caught up with its registry yet";

const LOST: &str = "the gateways' store has been replaced: its replication/id is missing or different. What was \
     replicated stays on the followers. Restore the store; or register the replicators again, and delete the key \
     /fedgate/replication/fence in each follower's etcd";

/// How often the memory is read again.
const MEMORY_REFRESH: Duration = Duration::from_secs(60);
