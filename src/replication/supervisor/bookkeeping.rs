//! What the supervisor keeps in the registry's store, and how it makes sure that a deletion is one.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{REVIEW, Supervisor, Task};
use crate::{
    registry::{Registry, StoreError, key_of},
    replication::{
        Abandoned,
        leader_status::cut,
        memory::{KnownDestination, Memory},
        plan::{self, Wanted},
        status::Report,
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
                self.counts_due |= now >= self.next_count;
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

    /// Records destinations before anything is written to them, so that they will be cleaned up; and which replicators may
    /// own something there, once that is possible.
    pub(super) async fn record_destinations(&mut self, wanted: &Wanted) -> Result<(), Arc<str>> {
        let places = self.places();
        let Some(memory) = &mut self.memory else { return Ok(()) };
        for (id, destination) in &wanted.destinations {
            let view = plan::View { wanted, known: &memory.destinations, places: &places };
            let names = view.names(id);
            let mut owners = view.owners(id, &names);
            if self.tasks.get(id).is_some_and(|task| task.reports.borrow().fence.is_some()) {
                for scope in &destination.scopes {
                    owners.entry(Arc::clone(&scope.name)).or_default();
                }
            }
            let place = places.get(id).cloned();
            let known = KnownDestination { address: destination.address.clone(), names, owners, place };
            let kept = memory.keep(&*self.store, id, Some(known)).await;
            if let Err(error) = kept {
                return Err(self.not_kept(&error));
            }
        }
        Ok(())
    }

    /// The store did not take what has to be kept. What another gateway has changed is read again.
    fn not_kept(&mut self, error: &StoreError) -> Arc<str> {
        if matches!(error, StoreError::Conflict) {
            self.next_review = Instant::now();
        }
        registry_error(error)
    }

    /// Removes replicators from destinations where they own nothing any more, and destinations without replicators.
    pub(super) async fn end_clean_destinations(&mut self, wanted: &Wanted) {
        let places = self.places();
        let are_counts_due = std::mem::take(&mut self.counts_due);
        if are_counts_due {
            self.next_count = Instant::now() + COUNT_INTERVAL;
        }
        let Some(memory) = &mut self.memory else { return };
        let ids: Vec<String> = memory.destinations.keys().cloned().collect();
        for id in ids {
            let report = self.tasks.get(&id).and_then(Task::current_report);
            let view = plan::View { wanted, known: &memory.destinations, places: &places };
            let overdue = |id: &str, name: &Arc<str>| self.leaving.is_overdue(id, name);
            let names = view.remaining(&id, report.as_ref(), &overdue);
            let Some(known) = memory.destinations.get(&id) else { continue };
            let mut remains = known.only(names);
            if let (Some(known), Some(report)) = (&mut remains, &report) {
                known.count(report, are_counts_due);
            }
            let is_over = remains.is_none();
            if let Err(error) = memory.keep(&*self.store, &id, remains).await {
                self.trouble = Some(self.not_kept(&error));
                return;
            }
            if is_over {
                self.tasks.remove(&id);
            }
        }
        self.tasks.retain(|id, _| memory.destinations.contains_key(id));
    }

    /// Gives up, for an operator, what a replicator still owns where it is no longer registered. The gateway that leads
    /// learns of it from the store, when it is another one.
    pub(super) async fn give_up(&mut self, registry: &Registry, abandoned: &Abandoned) {
        let wanted = Wanted::of(registry);
        if wanted.unreadable.contains(&abandoned.replicator) {
            return;
        }
        let mut outcome = Err(StoreError::Conflict);
        for _ in 0..ATTEMPTS {
            outcome = self.try_to_give_up(&wanted, abandoned).await;
            if !matches!(outcome, Err(StoreError::Conflict)) {
                break;
            }
        }
        if let Err(error) = outcome {
            // Whoever asked for it was told that it has begun.
            tracing::error!(replicator = %abandoned.replicator, %error, "the keys of a deleted replicator were not given up: ask again");
            if !matches!(error, StoreError::Conflict) {
                self.trouble = Some(registry_error(&error));
            }
        }
        // What was changed is read again.
        self.next_review = Instant::now();
    }

    async fn try_to_give_up(&self, wanted: &Wanted, abandoned: &Abandoned) -> Result<(), StoreError> {
        let name = &abandoned.replicator;
        let mut memory = Memory::load(&*self.store).await?;
        for (id, known) in memory.destinations.clone() {
            let is_wanted =
                wanted.destinations.get(&id).is_some_and(|it| it.scopes.iter().any(|it| it.name == *name));
            let described = known.address.describe();
            // A gateway that does not lead knows the published text.
            let is_stuck =
                [&*described, &*cut(&described)].iter().any(|it| abandoned.destinations.contains(*it));
            if is_wanted || !is_stuck || !known.names.contains(name) {
                continue;
            }
            let names: BTreeSet<_> = known.names.iter().filter(|known| *known != name).cloned().collect();
            memory.keep(&*self.store, &id, known.only(names)).await?;
            tracing::warn!(replicator = %name, destination = known.address.describe(), "gave up the keys of a replicator in a destination: they stay there");
        }
        Ok(())
    }
}

// === impl KnownDestination ===

impl KnownDestination {
    /// Counts the keys of those who may own something: all of them, or only those who owned nothing before.
    fn count(&mut self, report: &Report, all: bool) {
        for (name, keys) in &mut self.owners {
            let found = report.keys_of(name);
            if all || *keys == 0 {
                *keys = found;
            }
        }
    }
}

fn registry_error(error: &StoreError) -> Arc<str> {
    format!("the gateway's registry: {error}").into()
}

const BEHIND: &str = "the gateway has not caught up with its registry yet";

const LOST: &str = "the gateways' store has been replaced: its replication/id is missing or different. What was \
     replicated stays on the followers. Restore the store, or register the replicators again: they take over what came \
     from the same source";

/// How often the memory is read again, which a change of another gateway waits for.
const MEMORY_REFRESH: Duration = Duration::from_secs(5);

/// How often it is stored how many keys each replicator owns.
const COUNT_INTERVAL: Duration = Duration::from_secs(60);

/// How often something is given up against other gateways that change the same.
const ATTEMPTS: usize = 8;
