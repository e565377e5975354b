//! Copies that nothing keeps any more and that are still to be removed: their `Replicator` was deleted, or narrowed. None of
//! them is forgotten silently: each stays in the status until it is gone or given up.

use std::{collections::BTreeMap, sync::Arc};

use super::{decide::Scope, machine::Assignment, memory::Memory, status::Report};
use crate::{
    registry::{Registry, Store, StoreError, key_of},
    types::{Kind, LeftCopies, OnDelete},
};

/// What is left by `Replicator` and cluster.
pub(super) type LeftBehind = BTreeMap<Arc<str>, Vec<LeftCopies>>;

/// What is left, as far as the clusters' tasks, of which `reports` has the last, and `memory` know. `is_registered` says whether there is a cluster of that name.
pub(super) fn left_behind(
    registry: &Registry,
    memory: &Memory,
    reports: impl Iterator<Item = (Arc<str>, Arc<Assignment>, Report)>,
    is_registered: impl Fn(&str) -> bool,
) -> LeftBehind {
    let mut found = LeftBehind::new();
    for (cluster, assignment, report) in reports {
        for scope in &assignment.past {
            let left = report.left.get(&scope.name).cloned().unwrap_or_default();
            if left.keys == Some(0) && left.error.is_none() {
                // It is only looked for a straggler.
                continue;
            }
            let copies = LeftCopies { cluster: Arc::clone(&cluster), keys: left.keys, error: left.error };
            found.entry(Arc::clone(&scope.name)).or_default().push(copies);
        }
    }
    // A cluster that is not registered is left as it is, but who deletes a `Replicator` is told of it.
    for cluster in memory.clusters().filter(|cluster| !is_registered(cluster)) {
        for scope in memory.of(cluster).iter().filter(|scope| is_deleted(registry, scope)) {
            let error = Some(NOT_REGISTERED.into());
            let copies = LeftCopies { cluster: Arc::clone(cluster), keys: None, error };
            found.entry(Arc::clone(&scope.name)).or_default().push(copies);
        }
    }
    found
}

/// Whether copies are to be removed because their `Replicator` is not registered any more.
pub(super) fn is_deleted(registry: &Registry, scope: &Scope) -> bool {
    scope.on_delete == OnDelete::Remove
        && registry.get(Kind::Replicator, &scope.name).is_none()
        // One that cannot be read at present may ask for anything.
        && !registry.is_unreadable(Kind::Replicator, &scope.name)
}

/// Forgets the copies of a `Replicator` that is not registered: they stay where they are. Any gateway of a store can do
/// this; the one that leads reads it there.
pub(super) async fn give_up(store: &dyn Store, name: &str) -> Result<(), StoreError> {
    if store.get(&key_of(Kind::Replicator, name)).await?.is_some() {
        return Ok(());
    }
    let mut memory = Memory::load(store).await?;
    let clusters: Vec<Arc<str>> = memory.clusters().cloned().collect();
    for cluster in clusters {
        let all = memory.of(&cluster);
        let kept: Vec<Scope> = all.iter().filter(|scope| *scope.name != *name).cloned().collect();
        if kept.len() < all.len() {
            memory.keep(store, &cluster, kept).await?;
            tracing::warn!(replicator = %name, %cluster, "gave up the copies of a deleted replicator in a cluster: they stay there");
        }
    }
    Ok(())
}

/// What is wrong with what is left, if something is.
pub(super) fn trouble(left: &[LeftCopies], is_deleted: bool) -> Option<Arc<str>> {
    let mut waiting = left.iter().filter_map(|it| Some((&it.cluster, it.error.as_ref()?)));
    let (cluster, why) = waiting.next()?;
    let others = match waiting.count() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let end = if is_deleted { GIVE_UP } else { "" };
    Some(format!("removing copies: waits for {cluster}{others} ({why}){end}").into())
}

const NOT_REGISTERED: &str = "no cluster of that name is registered";

const GIVE_UP: &str =
    ". If it never comes back, delete the replicator a second time: its copies are given up";
