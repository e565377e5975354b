//! What is known to differ, or not known to be equal, and what is to be done about it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use tokio::time::Instant;

use super::{
    RBAC,
    decide::{Op, Problem, References, Scope, Verdict, World},
    image::{Changes, Content, Standing},
    queue::Queue,
    record::{RECORDS, object_of, owner_of, record_of},
};
use crate::corev2::{ObjectKey, Type};

/// What a destination's task is to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Assignment {
    /// Grows with each change.
    pub(super) generation: u64,
    /// By name.
    pub(super) scopes: Vec<Scope>,
    /// See [`World::hands_off`].
    pub(super) hands_off: BTreeSet<Arc<str>>,
    /// How often everything is compared, and how soon something is put back that was put back before.
    pub(super) interval: Duration,
}

/// Both sides, at one moment.
#[derive(Clone, Copy)]
pub(super) struct Sides<'a> {
    pub(super) source: &'a Content,
    pub(super) dest: &'a Content,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Work {
    records: String,
    pub(super) queue: Queue,
    dirty: BTreeMap<Bytes, Cause>,
    compare: Compare,
    /// Numbers of the last changes that were looked at, of source and destination.
    seen: (u64, u64),
    /// Areas of the source that were complete at the last look.
    complete: BTreeSet<&'static str>,
    /// When changes of the source came that have not been copied.
    arrived: HashMap<Bytes, Instant>,
    /// What has been put back since the last comparison: not at once a second time, in case somebody else insists.
    repaired: BTreeSet<Bytes>,
    /// Those of them that are different again.
    deferred: BTreeSet<Bytes>,
    refused: BTreeMap<Bytes, String>,
    problems: BTreeMap<Bytes, Problem>,
    /// Roles that bindings name and that are not there.
    missing: BTreeSet<Bytes>,
    /// Roles that are kept without rules.
    emptied: BTreeSet<Bytes>,
    /// All bindings are to be looked at again.
    bindings_due: bool,
}

/// Why a key is looked at. A later one outranks an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Cause {
    /// To be sure.
    Check,
    /// It changed in the destination.
    Dest,
    /// It changed in the source, or what it depends on did.
    Source,
}

/// Whether everything is to be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Compare {
    No,
    /// What is equal in bytes, owned and without problem counts as settled.
    Glance,
    Fully,
}

// === impl Work ===

impl Work {
    pub(super) fn new(records: String) -> Self {
        Self {
            records,
            queue: Queue::default(),
            dirty: BTreeMap::new(),
            compare: Compare::Fully,
            seen: (0, 0),
            complete: BTreeSet::new(),
            arrived: HashMap::new(),
            repaired: BTreeSet::new(),
            deferred: BTreeSet::new(),
            refused: BTreeMap::new(),
            problems: BTreeMap::new(),
            missing: BTreeSet::new(),
            emptied: BTreeSet::new(),
            bindings_due: false,
        }
    }

    /// Begins from nothing: what was known is not relied on.
    pub(super) fn start_over(&mut self) {
        *self = Self {
            seen: self.seen,
            arrived: std::mem::take(&mut self.arrived),
            ..Self::new(self.records.clone())
        };
    }

    /// The interval has passed.
    pub(super) fn compare(&mut self) {
        self.compare = self.compare.max(Compare::Glance);
        self.repaired.clear();
        // Whatever names them has a problem and is looked at.
        self.missing.clear();
        self.dirty.extend(std::mem::take(&mut self.deferred).into_iter().map(|key| (key, Cause::Source)));
        for key in std::mem::take(&mut self.refused).into_keys() {
            self.dirty.insert(key, Cause::Source);
        }
    }

    /// Notes what has changed on both sides.
    pub(super) fn look(&mut self, assignment: &Assignment, sides: Sides<'_>, now: Instant) {
        let complete: BTreeSet<_> = areas(&assignment.scopes)
            .filter(|area| is_source(sides.source) && is_complete(sides.source, area))
            .collect();
        if self.complete != complete {
            self.complete = complete;
            self.compare = Compare::Fully;
        }
        let changes = (sides.source.since(self.seen.0), sides.dest.since(self.seen.1));
        self.seen = (sides.source.changes(), sides.dest.changes());
        match changes.0 {
            Changes::Everything => self.compare = Compare::Fully,
            Changes::Keys(keys) => {
                for key in keys {
                    self.source_changed(assignment, sides, key, now);
                }
            }
        }
        match changes.1 {
            Changes::Everything => self.compare = Compare::Fully,
            Changes::Keys(keys) => {
                for key in keys {
                    self.dest_changed(assignment, sides, key);
                }
            }
        }
        // A destination may be away for days while names come and go.
        if self.dirty.len() > MOST_NOTED {
            self.dirty.clear();
            self.compare = Compare::Fully;
        }
    }

    fn source_changed(&mut self, assignment: &Assignment, sides: Sides<'_>, key: Bytes, now: Instant) {
        let Some(parsed) = ObjectKey::parse(&key) else { return };
        let covered = parsed.is_ok_and(|object| assignment.scopes.iter().any(|scope| scope.covers(&object)));
        self.role_changed(assignment, sides, sides.source, &key);
        if covered && self.arrived.len() < MOST_NOTED {
            self.arrived.entry(key.clone()).or_insert(now);
        }
        self.dirty.insert(key, Cause::Source);
    }

    fn dest_changed(&mut self, assignment: &Assignment, sides: Sides<'_>, key: Bytes) {
        let key = if key.starts_with(RECORDS.as_bytes()) {
            let Some(object) = object_of(&self.records, &key) else { return };
            object
        } else {
            key
        };
        if is_binding(&key) {
            self.emptied_again();
        }
        self.role_changed(assignment, sides, sides.dest, &key);
        let cause = self.dirty.entry(key).or_insert(Cause::Dest);
        *cause = (*cause).max(Cause::Dest);
    }

    /// A role that went, or came when it was missing, concerns the bindings that name it.
    fn role_changed(&mut self, assignment: &Assignment, sides: Sides<'_>, side: &Content, key: &Bytes) {
        let is_role = matches!(ObjectKey::parse(key), Some(Ok(object)) if object.kind.is_role());
        if is_role && (side.get(key).is_none() || self.missing.contains(key)) {
            self.bindings_again(&assignment.scopes, sides);
        }
    }

    fn bindings_again(&mut self, scopes: &[Scope], sides: Sides<'_>) {
        for scope in scopes.iter().filter(|scope| scope.kind.is_binding()) {
            for (key, _) in sides.source.range(scope.prefix().as_bytes()) {
                self.dirty.insert(key.clone(), Cause::Source);
            }
        }
    }

    /// Decides on everything that was noted. Returns whether there is nothing to do.
    pub(super) fn decide(&mut self, assignment: &Assignment, sides: Sides<'_>) -> bool {
        let scopes = self.known_scopes(assignment);
        if std::mem::take(&mut self.bindings_due) {
            self.bindings_again(&assignment.scopes, sides);
        }
        let compare = std::mem::replace(&mut self.compare, Compare::No);
        if compare == Compare::Fully {
            self.queue.clear();
            self.problems.clear();
            self.missing.clear();
            self.emptied.clear();
        }
        let dirty = self.collect(compare, &scopes, sides);
        if compare == Compare::Fully {
            self.arrived.retain(|key, _| dirty.contains_key(key));
        }
        let (bindings, others): (Vec<_>, Vec<_>) = dirty.into_iter().partition(|(key, _)| is_binding(key));
        // Whether a role may go depends on which bindings go.
        for keys in [bindings, others] {
            if keys.is_empty() {
                continue;
            }
            let refused = std::mem::take(&mut self.refused);
            let world = World {
                source: sides.source,
                dest: sides.dest,
                scopes: &scopes,
                hands_off: &assignment.hands_off,
                refused: &refused,
                records: &self.records,
            };
            let leaving = |key: &Bytes| self.queue.deletes(key);
            let references = References::new(world, &leaving);
            let look = |(key, cause): (Bytes, Cause)| {
                let settled =
                    cause == Cause::Check && !self.problems.contains_key(&key) && world.is_settled(&key);
                (!settled).then(|| (world.decide(&key, &references), key, cause))
            };
            let verdicts: Vec<_> = keys.into_iter().filter_map(look).collect();
            self.refused = refused;
            let came = verdicts.iter().any(|(verdict, key, _)| {
                matches!(verdict.op, Some((_, Op::Put { .. }))) && self.missing.contains(key)
            });
            for (verdict, key, cause) in verdicts {
                self.note(verdict, key, cause);
            }
            if came {
                self.missing.clear();
                self.bindings_due = true;
            }
        }
        self.queue.is_empty()
    }

    /// The replicators; those whose source is not known are held.
    fn known_scopes(&self, assignment: &Assignment) -> Vec<Scope> {
        let held = |scope: &Scope| scope.held || !self.knows(scope.kind);
        assignment.scopes.iter().map(|scope| Scope { held: held(scope), ..scope.clone() }).collect()
    }

    /// The keys to look at.
    fn collect(&mut self, compare: Compare, scopes: &[Scope], sides: Sides<'_>) -> BTreeMap<Bytes, Cause> {
        let mut dirty = std::mem::take(&mut self.dirty);
        let cause = match compare {
            Compare::No => return dirty,
            Compare::Glance => Cause::Check,
            Compare::Fully => Cause::Source,
        };
        let mut add = |key: Bytes| {
            let noted = dirty.entry(key).or_insert(cause);
            *noted = (*noted).max(cause);
        };
        for scope in scopes {
            for (key, _) in sides.source.range(scope.prefix().as_bytes()) {
                add(key.clone());
            }
        }
        for (record, _) in sides.dest.range(self.records.as_bytes()) {
            if let Some(object) = object_of(&self.records, record) {
                add(object);
            }
        }
        dirty
    }

    fn note(&mut self, verdict: Verdict, key: Bytes, cause: Cause) {
        if cause == Cause::Dest && verdict.op.is_some() && !self.repaired.insert(key.clone()) {
            // Put back once already: again with the next comparison.
            self.deferred.insert(key);
            return;
        }
        self.deferred.remove(&key);
        if verdict.op.is_none() {
            self.arrived.remove(&key);
        }
        self.queue.set(&key, verdict.op);
        self.missing.extend(verdict.missing);
        if verdict.emptied {
            self.emptied.insert(key.clone());
        } else {
            self.emptied.remove(&key);
        }
        match verdict.problem {
            Some(problem) => self.problems.insert(key, problem),
            None => self.problems.remove(&key),
        };
    }

    /// A key was written as decided.
    pub(super) fn done(&mut self, key: &Bytes) {
        self.arrived.remove(key);
        self.queue.set(key, None);
        if is_binding(key) {
            self.emptied_again();
        }
    }

    /// Roles that wait for the end of bindings are looked at when a binding changes.
    fn emptied_again(&mut self) {
        // Which bindings may stay depends on whether these do.
        self.bindings_due |= !self.emptied.is_empty();
        self.dirty.extend(self.emptied.iter().map(|role| (role.clone(), Cause::Source)));
    }

    /// The destination does not take a key. It is left out until the next comparison.
    pub(super) fn refuse(&mut self, assignment: &Assignment, sides: Sides<'_>, key: &Bytes, reason: String) {
        self.queue.set(key, None);
        self.refused.insert(key.clone(), reason);
        self.dirty.insert(key.clone(), Cause::Source);
        // A binding whose role does not arrive must be thought over.
        self.bindings_again(&assignment.scopes, sides);
    }

    /// Whether everything that is known has been carried out.
    pub(super) fn is_done(&self) -> bool {
        self.queue.is_empty() && self.dirty.is_empty() && !self.bindings_due && self.compare == Compare::No
    }

    /// Whether, besides, nothing is known to differ.
    pub(super) fn is_equal(&self) -> bool {
        self.is_done() && self.deferred.is_empty() && !self.problems.values().any(|problem| problem.is_error)
    }

    /// Areas of the source that can be relied on.
    pub(super) fn knows(&self, kind: Type) -> bool {
        self.complete.contains(super::area_of(kind))
    }

    /// What is reported about a replicator: the number of errors, the number of warnings, and the first of the worse
    /// kind.
    pub(super) fn problems_of(&self, replicator: &str) -> (usize, usize, Option<&str>) {
        let of = |is_error: bool| {
            self.problems.values().filter(move |it| it.is_error == is_error && &*it.replicator == replicator)
        };
        let first = of(true).next().or_else(|| of(false).next()).map(|problem| &*problem.text);
        (of(true).count(), of(false).count(), first)
    }

    /// When the oldest change came that has not been copied for a replicator.
    pub(super) fn oldest(&self, scope: &Scope) -> Option<Instant> {
        let prefix = scope.prefix();
        self.arrived.iter().filter(|(key, _)| key.starts_with(prefix.as_bytes())).map(|(_, at)| *at).min()
    }

    /// Whose a write is: the replicator's that wants the key, else the one's that owns it.
    pub(super) fn writer_of(
        &self,
        assignment: &Assignment,
        sides: Sides<'_>,
        key: &Bytes,
        op: &Op,
    ) -> Arc<str> {
        if let Op::Own(name) | Op::Put { own: Some(name), .. } = op {
            return Arc::clone(name);
        }
        let object = ObjectKey::parse(key).and_then(Result::ok);
        let scope = object.and_then(|object| assignment.scopes.iter().find(|scope| scope.covers(&object)));
        match scope {
            Some(scope) => Arc::clone(&scope.name),
            None => {
                sides.dest.get(&record_of(&self.records, key)).map_or("", |it| owner_of(&it.value)).into()
            }
        }
    }

    /// How many keys each replicator owns in the destination.
    pub(super) fn owned(&self, dest: &Content) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        for (_, record) in dest.range(self.records.as_bytes()) {
            *counts.entry(owner_of(&record.value).to_owned()).or_default() += 1;
        }
        counts
    }

    /// How much is kept of changes that wait.
    #[cfg(test)]
    pub(super) fn noted(&self) -> usize {
        self.dirty.len().max(self.arrived.len())
    }

    /// The ownership record of a key.
    pub(super) fn record_of(&self, key: &Bytes) -> Bytes {
        record_of(&self.records, key)
    }
}

/// Most changes that are noted one by one while nothing can be done about them. After more, everything is looked at.
const MOST_NOTED: usize = 16_384;

/// Whether a key is a binding's, of whatever form.
fn is_binding(key: &Bytes) -> bool {
    Type::ALL.iter().any(|kind| kind.is_binding() && key.starts_with(kind.prefix().as_bytes()))
}

/// The areas that replicators read.
pub(super) fn areas(scopes: &[Scope]) -> impl Iterator<Item = &'static str> {
    scopes.iter().map(|scope| super::area_of(scope.kind))
}

/// Whether this is the store of a Sensu cluster. Each has roles and bindings from its first start on: a store without
/// any is a wrong one, or one that has just been lost, and nothing is concluded from what it lacks.
pub(super) fn is_source(content: &Content) -> bool {
    is_complete(content, &RBAC) && content.range(RBAC.as_bytes()).next().is_some()
}

fn is_complete(content: &Content, area: &&'static str) -> bool {
    !matches!(content.standing([area]), Standing::Incomplete(_))
}
