//! Copies that nothing keeps any more and that are still to be removed: their `Replicator` was deleted, or narrowed. None of
//! them is forgotten silently: each stays in the status until it is gone or given up.

use std::{collections::BTreeMap, sync::Arc};

use super::{Abandoned, decide::Scope, machine::Assignment, memory::Memory, status::Report};
use crate::{
    registry::{Registry, Store, StoreError, key_of},
    types::{Kind, LeftCopies, OnDelete},
};

/// What is left by `Replicator` and cluster.
pub(super) type LeftBehind = BTreeMap<Arc<str>, Vec<Remains>>;

/// What is left in one cluster.
#[derive(Clone, Debug)]
pub(super) struct Remains {
    pub(super) copies: LeftCopies,
    /// Whether the cluster is not there, perhaps for good.
    is_away: bool,
}

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
            add(&mut found, scope, Remains { copies, is_away: left.is_away });
        }
    }
    // A cluster that is not registered is left as it is, but who deletes a `Replicator` is told of it.
    for cluster in memory.clusters().filter(|cluster| !is_registered(cluster)) {
        for scope in memory.of(cluster).iter().filter(|scope| is_deleted(registry, scope)) {
            let error = Some(NOT_REGISTERED.into());
            let copies = LeftCopies { cluster: Arc::clone(cluster), keys: None, error };
            add(&mut found, scope, Remains { copies, is_away: true });
        }
    }
    found
}

/// One that was narrowed before it was deleted is remembered as it was each time, but counted as a whole.
fn add(found: &mut LeftBehind, scope: &Scope, remains: Remains) {
    let all = found.entry(Arc::clone(&scope.name)).or_default();
    if all.iter().all(|it| it.copies.cluster != remains.copies.cluster) {
        all.push(remains);
    }
}

/// Whether copies are to be removed because their `Replicator` is not registered any more.
pub(super) fn is_deleted(registry: &Registry, scope: &Scope) -> bool {
    scope.on_delete == OnDelete::Remove
        && registry.get(Kind::Replicator, &scope.name).is_none()
        // One that cannot be read at present may ask for anything.
        && !registry.is_unreadable(Kind::Replicator, &scope.name)
}

/// Forgets the copies of a `Replicator` that is not registered in these clusters: they stay there. Any gateway of a store
/// can do this; the one that leads reads it there.
pub(super) async fn give_up(store: &dyn Store, abandoned: &Abandoned) -> Result<(), StoreError> {
    let name = &abandoned.replicator;
    if store.get(&key_of(Kind::Replicator, name)).await?.is_some() {
        return Ok(());
    }
    let mut memory = Memory::load(store).await?;
    for cluster in &abandoned.clusters {
        let all = memory.of(cluster);
        let kept: Vec<Scope> = all.iter().filter(|scope| scope.name != *name).cloned().collect();
        if kept.len() < all.len() {
            memory.keep(store, cluster, kept).await?;
            tracing::warn!(replicator = %name, %cluster, "gave up the copies of a deleted replicator in a cluster: they stay there");
        }
    }
    Ok(())
}

/// What is wrong with what is left, if something is. `deleted` is the name of a `Replicator` that is not registered any more.
pub(super) fn trouble(left: &[Remains], deleted: Option<&str>) -> Option<Arc<str>> {
    let waiting: Vec<&Remains> = left.iter().filter(|it| it.copies.error.is_some()).collect();
    // What may never come back is named first.
    let first = waiting.iter().find(|it| it.is_away).or_else(|| waiting.first())?;
    let (cluster, why) = (&first.copies.cluster, first.copies.error.as_ref()?);
    let others = match waiting.len() - 1 {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let end = match deleted.filter(|_| first.is_away) {
        Some(name) => {
            format!(
                ". If it never comes back, its copies can be given up (fedgate delete replicator {name} --give-up)"
            )
        }
        None => String::new(),
    };
    Some(format!("removing copies: waits for {cluster}{others} ({why}){end}").into())
}

const NOT_REGISTERED: &str = "no cluster of that name is registered";

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::{corev2::Type, registry::MemoryStore, types::OnConflict};

    fn scope(name: &str) -> Scope {
        Scope {
            name: name.into(),
            kinds: [Type::Role].into(),
            namespace: None,
            conflicts: OnConflict::Report,
            on_delete: OnDelete::Remove,
            dry_run: false,
            adopts: BTreeSet::new(),
        }
    }

    #[tokio::test]
    async fn only_what_cannot_be_removed_is_given_up() {
        let store = MemoryStore::new();
        let mut memory = Memory::load(&store).await.unwrap();
        for cluster in ["alpha", "beta"] {
            memory.keep(&store, &cluster.into(), vec![scope("a"), scope("b")]).await.unwrap();
        }
        let abandoned =
            Abandoned { replicator: "a".into(), clusters: ["alpha".into(), "gone".into()].into() };
        give_up(&store, &abandoned).await.unwrap();
        let left = Memory::load(&store).await.unwrap();
        assert_eq!(left.of("alpha"), [scope("b")]);
        assert_eq!(left.of("beta"), [scope("a"), scope("b")], "it is being removed there");
    }
}
