//! What has to be done in one cluster, in its order: pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    decide::{Copy, Op, Owner, Rank, Remark, Scope, Verdict, World},
    object::{Digest, Key},
};
use crate::types::{ForeignCopies, PendingChanges};

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
    /// What is left of what each kept that keeps it no more.
    pub(super) past: BTreeMap<Arc<str>, Summary>,
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
    /// How many of the pending ones the cluster has refused and are not tried at present.
    refused: u64,
    /// Objects that there is something to say about, and the first of them.
    pub(super) warnings: (u64, Option<Arc<str>>),
    /// With `dry_run`, what would be done first, in its order.
    changes: BTreeSet<(Rank, Key, &'static str)>,
    /// What other federations have copied.
    foreign: BTreeMap<Arc<str>, Foreign>,
}

/// What another federation has copied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Foreign {
    keys: u64,
    /// The first of them that has an original here.
    in_the_way: Option<Arc<str>>,
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

    /// Notes that the cluster does not take a write, without comparing everything again.
    pub(super) fn note_refusal(&mut self, scope: Option<&Scope>, key: &Key, why: &str) {
        let summary = scope.and_then(|scope| self.scopes.get_mut(&scope.name));
        if let Some(summary) = summary {
            summary.refused += 1;
            note(&mut summary.problems, key, why);
        }
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
        let summary = match scope {
            Some(scope) => self.scopes.entry(Arc::clone(&scope.name)).or_default(),
            // An emptied role is still to be deleted.
            None if verdict.op.is_none() && verdict.remark.is_none() => return,
            None => {
                let Some(past) = world.past.iter().find(|past| past.covers(key)) else { return };
                self.past.entry(Arc::clone(&past.name)).or_default()
            }
        };
        summary.add(world, key, &verdict, scope);
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
    fn add(&mut self, world: &World<'_>, key: &Key, verdict: &Verdict, scope: Option<&Scope>) {
        self.owned += u64::from(verdict.is_owned);
        let foreign = world.foreign(key);
        match &verdict.remark {
            Some(Remark::Conflict(why)) if foreign.is_none() => self.conflict(key, why),
            Some(Remark::Problem(why)) => note(&mut self.problems, key, why),
            Some(Remark::Warning(why)) => note(&mut self.warnings, key, why),
            Some(Remark::Conflict(_)) | None => {}
        }
        if let Some(federation) = foreign {
            let found = self.foreign.entry(federation).or_default();
            found.keys += 1;
            if matches!(verdict.remark, Some(Remark::Conflict(_))) {
                found.in_the_way.get_or_insert_with(|| key.to_string().into());
            }
        }
        let Some((rank, op)) = &verdict.op else { return };
        match op {
            Op::Create(_) => self.pending.create += 1,
            Op::Update(_) | Op::Empty => self.pending.update += 1,
            Op::Delete => self.pending.delete += 1,
        }
        if scope.is_some_and(|scope| scope.dry_run) {
            self.changes.insert((*rank, key.clone(), op.verb()));
            if self.changes.len() > EXAMPLES {
                self.changes.pop_last();
            }
        }
        if let Some(why) = (world.refused)(key) {
            self.refused += 1;
            note(&mut self.problems, key, &why);
        }
    }

    /// Whether there is more to write than what was refused.
    pub(super) fn is_behind(&self) -> bool {
        self.pending.total() > self.refused
    }

    /// Whether nothing is to be done, and nothing is left out.
    pub(super) fn is_equal(&self) -> bool {
        self.pending.total() == 0 && self.problems.0 == 0
    }

    /// With `dry_run`, what would be done first, in its order.
    pub(super) fn changes(&self) -> Vec<Arc<str>> {
        self.changes.iter().map(|(_, key, verb)| format!("{verb} {key}").into()).collect()
    }

    /// What other federations have copied, of those whose copies stand in the way, and the first of these. What does not
    /// is left to live beside this one's.
    pub(super) fn orphans(&self) -> impl Iterator<Item = (ForeignCopies, &Arc<str>)> {
        let in_the_way = self.foreign.iter().filter_map(|(federation, found)| {
            let copies = ForeignCopies { federation: Arc::clone(federation), keys: found.keys };
            Some((copies, found.in_the_way.as_ref()?))
        });
        in_the_way.take(EXAMPLES)
    }

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

/// How many conflicts, and how many changes, are shown by name.
const EXAMPLES: usize = 10;
