//! What has to be done in one cluster, in its order: pure.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    decide::{Copy, Op, Owner, Rank, Remark, World},
    object::{Digest, Key},
};
use crate::types::PendingChanges;

/// One write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Action {
    pub(super) rank: Rank,
    pub(super) key: Key,
    pub(super) op: Op,
    /// What the cluster held when this was decided; nothing, or something else since, has it decided again.
    pub(super) expected: Option<(Digest, Owner)>,
}

/// Everything that differs between a cluster and the source.
#[derive(Clone, Debug, Default)]
pub(super) struct Plan {
    /// In the order of writing.
    pub(super) actions: Vec<Action>,
    /// What concerns each `Replicator`.
    pub(super) scopes: BTreeMap<Arc<str>, Summary>,
    /// How many copies are left of what is to be removed.
    pub(super) left: u64,
}

/// What concerns one `Replicator` in a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Summary {
    /// Copies that there are.
    pub(super) owned: u64,
    pub(super) pending: PendingChanges,
    pub(super) conflicts: u64,
    /// The first conflicts.
    pub(super) examples: Vec<Arc<str>>,
    /// Objects that cannot be copied, and the first of them.
    pub(super) problems: (u64, Option<Arc<str>>),
    /// Objects that there is something to say about, and the first of them.
    pub(super) warnings: (u64, Option<Arc<str>>),
}

// === impl Plan ===

impl Plan {
    /// Compares everything. `is_as_made` says whether a copy is what this cluster makes of an original.
    pub(super) fn of(world: &World<'_>, is_as_made: &dyn Fn(&Key, Digest, Digest) -> bool) -> Self {
        let mut plan = Self::default();
        for scope in world.scopes {
            plan.scopes.entry(Arc::clone(&scope.name)).or_default();
        }
        for key in keys(world) {
            plan.add(world, key, is_as_made);
        }
        plan.actions.sort_by(|a, b| (a.rank, &a.key).cmp(&(b.rank, &b.key)));
        plan
    }

    fn add(&mut self, world: &World<'_>, key: &Key, is_as_made: &dyn Fn(&Key, Digest, Digest) -> bool) {
        let mut verdict = world.decide(key);
        let copy = world.copies.get(key);
        if let (Some((_, Op::Update(original))), Some(Copy { digest, owner: Owner::Ours, .. })) =
            (&verdict.op, copy)
            && is_as_made(key, original.digest, *digest)
        {
            (verdict.op, verdict.remark) = (None, Some(Remark::Warning(MADE_OTHERWISE.to_owned())));
        }
        let scope = world.scope(key);
        let summary = scope.and_then(|scope| self.scopes.get_mut(&scope.name));
        if let Some(summary) = summary {
            summary.owned += u64::from(verdict.is_owned);
            match &verdict.remark {
                Some(Remark::Conflict(why)) => summary.conflict(key, why),
                Some(Remark::Problem(why)) => note(&mut summary.problems, key, why),
                Some(Remark::Warning(why)) => note(&mut summary.warnings, key, why),
                None => {}
            }
            match &verdict.op {
                Some((_, Op::Create(_))) => summary.pending.create += 1,
                Some((_, Op::Update(_) | Op::Empty)) => summary.pending.update += 1,
                Some((_, Op::Delete)) => summary.pending.delete += 1,
                None => {}
            }
            if let Some(why) = (world.refused)(key).filter(|_| verdict.op.is_some()) {
                note(&mut summary.problems, key, &why);
            }
        } else {
            // An emptied role is still to be deleted.
            self.left += u64::from(verdict.op.is_some() || verdict.remark.is_some());
        }
        let Some((rank, op)) = verdict.op else { return };
        if scope.is_some_and(|scope| scope.dry_run) || (world.refused)(key).is_some() {
            return;
        }
        let expected = copy.map(|copy| (copy.digest, world.copies.owner(key)));
        self.actions.push(Action { rank, key: key.clone(), op, expected });
    }
}

/// Every object of the kinds that are known of the cluster, on either side.
pub(super) fn keys<'a>(world: &World<'a>) -> impl Iterator<Item = &'a Key> + use<'a> {
    let (source, copies) = (world.source, world.copies);
    copies.kinds.iter().flat_map(move |(kind, copies)| {
        let originals = source.kinds.get(kind).map(|it| &**it);
        let only_there =
            copies.keys().filter(move |key| originals.is_none_or(|originals| !originals.contains_key(*key)));
        originals.into_iter().flat_map(|originals| originals.keys()).chain(only_there)
    })
}

// === impl Summary ===

impl Summary {
    fn conflict(&mut self, key: &Key, why: &str) {
        self.conflicts += 1;
        if self.examples.len() < EXAMPLES {
            self.examples.push(format!("{key}: {why}").into());
        }
    }
}

fn note(found: &mut (u64, Option<Arc<str>>), key: &Key, why: &str) {
    found.0 += 1;
    found.1.get_or_insert_with(|| format!("{key}: {why}").into());
}

const MADE_OTHERWISE: &str =
    "the cluster shows it otherwise than it was written: its version leaves something out";

/// How many conflicts are shown by name.
const EXAMPLES: usize = 10;
