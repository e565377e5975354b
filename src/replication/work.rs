//! Keys that differ or may differ, and what has to be done about them.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use tokio::time::Instant;

use super::{
    RBAC,
    cache::{Changes, Content, SyncState},
    decide::{Op, Problem, References, Scope, Verdict, World},
    queue::Queue,
    record::{RECORDS, object_of, owner_of, record_of},
    refused::Refused,
};
use crate::corev2::{ObjectKey, Type};

/// What a destination's task has to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Assignment {
    /// Increases with each change.
    pub(super) generation: u64,
    /// By name.
    pub(super) scopes: Vec<Scope>,
    /// See [`World::foreign_owners`].
    pub(super) foreign_owners: BTreeSet<Arc<str>>,
    /// How often everything is compared, and how soon a key is restored that was restored before.
    pub(super) interval: Duration,
    /// The place that is recorded in the gateways' store as one where all of `scopes` may own something. Nothing is
    /// written to any other.
    pub(super) recorded: Option<String>,
    /// Nothing is wanted there: once nothing is owned, everything that is ours goes.
    pub(super) leaves: bool,
    /// Replicators, and the stores of federations whose keys an operator has them take over.
    pub(super) adopts: BTreeSet<(Arc<str>, String)>,
}

// === impl Assignment ===

impl Assignment {
    /// Whether a replicator takes over the keys of the federation of a store.
    pub(super) fn adopts(&self, name: &Arc<str>, store: &str) -> bool {
        self.adopts.iter().any(|(replicator, from)| replicator == name && from == store)
    }

    /// Whether any replicator does.
    pub(super) fn adopts_from(&self, store: &str) -> bool {
        self.adopts.iter().any(|(_, from)| from == store)
    }
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
    /// The last changes of source and destination that were examined, by number.
    seen: (u64, u64),
    /// Keyspaces of the source that were complete when last examined.
    complete: BTreeSet<&'static str>,
    /// Keyspaces of the destination that could not be relied on then. See [`World::unseen`].
    unseen: BTreeSet<&'static str>,
    /// When changes of the source arrived that have not been copied.
    arrived: HashMap<Bytes, Instant>,
    /// Keys restored since the last comparison: not restored again before the next, in case something else keeps
    /// changing them.
    repaired: BTreeSet<Bytes>,
    /// Those of them that differ again.
    deferred: BTreeSet<Bytes>,
    pub(super) refused: Refused,
    problems: BTreeMap<Bytes, Problem>,
    /// Roles that bindings name and that do not exist.
    missing: BTreeSet<Bytes>,
    /// Roles that are kept without rules.
    emptied: BTreeSet<Bytes>,
    /// All bindings have to be examined again.
    bindings_due: bool,
}

/// Why a key is examined. Later variants outrank earlier ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Cause {
    /// A routine comparison.
    Check,
    /// It changed in the destination.
    Dest,
    /// It changed in the source, or what it depends on did.
    Source,
}

/// Whether everything has to be examined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Compare {
    No,
    /// Keys that are equal in bytes, owned and without problems are skipped.
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
            unseen: BTreeSet::new(),
            arrived: HashMap::new(),
            repaired: BTreeSet::new(),
            deferred: BTreeSet::new(),
            refused: Refused::default(),
            problems: BTreeMap::new(),
            missing: BTreeSet::new(),
            emptied: BTreeSet::new(),
            bindings_due: false,
        }
    }

    /// Starts over: nothing found so far is relied on.
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
        // The bindings that name them have a problem each, and are therefore examined.
        self.missing.clear();
        self.dirty.extend(std::mem::take(&mut self.deferred).into_iter().map(|key| (key, Cause::Source)));
        self.dirty.extend(self.refused.forget_keys().map(|key| (key, Cause::Source)));
    }

    /// Kinds that were denied are examined when it is time to try them again.
    pub(super) fn try_denied(&mut self, sides: Sides<'_>, now: Instant) {
        for prefix in self.refused.due(now) {
            let source = sides.source.range(prefix.as_bytes()).map(|(key, _)| key.clone());
            self.dirty.extend(source.map(|key| (key, Cause::Source)));
            let records = record_of(&self.records, prefix.as_bytes());
            let owned = sides.dest.range(&records).filter_map(|(record, _)| object_of(&self.records, record));
            self.dirty.extend(owned.map(|key| (key, Cause::Source)));
        }
    }

    /// Notes what has changed on both sides.
    pub(super) fn look(&mut self, assignment: &Assignment, sides: Sides<'_>, now: Instant) {
        let complete: BTreeSet<_> = keyspaces(&assignment.scopes)
            .filter(|keyspace| is_source(sides.source) && is_complete(sides.source, keyspace))
            .collect();
        let is_unseen =
            |keyspace: &&'static str| !matches!(sides.dest.sync_state([keyspace]), SyncState::Current);
        let unseen: BTreeSet<_> =
            keyspaces(&assignment.scopes).chain([RBAC]).filter(|keyspace| is_unseen(keyspace)).collect();
        if self.complete != complete || self.unseen != unseen {
            self.complete = complete;
            self.unseen = unseen;
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
        // A destination may be unreachable for days while names come and go.
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

    /// A role that disappeared, or appeared after it was missing, affects the bindings that name it.
    fn role_changed(&mut self, assignment: &Assignment, sides: Sides<'_>, side: &Content, key: &Bytes) {
        if is_role(key) && (side.get(key).is_none() || self.missing.contains(key)) {
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

    /// Decides about every key that was noted. Returns whether there is nothing to write.
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
        // Whether a role may be deleted depends on which bindings are.
        for keys in [bindings, others] {
            if keys.is_empty() {
                continue;
            }
            let refused = std::mem::take(&mut self.refused);
            let world = World {
                source: sides.source,
                dest: sides.dest,
                scopes: &scopes,
                foreign_owners: &assignment.foreign_owners,
                refused: &refused,
                unseen: &self.unseen,
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
        let queue = &self.queue;
        if self.refused.settle(|prefix| queue.has_under(prefix)) {
            self.granted();
            return self.decide(assignment, sides);
        }
        self.queue.is_empty()
    }

    /// The replicators; those whose source has not been read are held.
    fn known_scopes(&self, assignment: &Assignment) -> Vec<Scope> {
        let held = |scope: &Scope| scope.held || !self.knows(scope.kind);
        assignment.scopes.iter().map(|scope| Scope { held: held(scope), ..scope.clone() }).collect()
    }

    /// The keys to examine.
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
            // Restored once already: again with the next comparison.
            self.deferred.insert(key);
            return;
        }
        self.deferred.remove(&key);
        if verdict.op.is_none() && !verdict.waits {
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
        if self.refused.granted(key) {
            self.granted();
        }
        self.queue.set(key, None);
        if is_binding(key) {
            self.emptied_again();
        }
    }

    /// Something is not denied any more: what depends on it is examined.
    fn granted(&mut self) {
        self.bindings_due = true;
        self.emptied_again();
    }

    /// Roles that are kept until bindings are gone are examined when a binding changes.
    fn emptied_again(&mut self) {
        // Whether bindings may stay depends on whether these roles do.
        self.bindings_due |= !self.emptied.is_empty();
        self.dirty.extend(self.emptied.iter().map(|role| (role.clone(), Cause::Source)));
    }

    /// The destination refuses a key. It is left out until the next comparison.
    pub(super) fn refuse(&mut self, assignment: &Assignment, sides: Sides<'_>, key: &Bytes, reason: String) {
        self.queue.set(key, None);
        self.refused.refuse(key.clone(), reason);
        self.dirty.insert(key.clone(), Cause::Source);
        self.refused_again(assignment, sides);
    }

    /// The destination denies a kind in a namespace. It is left alone until then.
    pub(super) fn deny(
        &mut self,
        assignment: &Assignment,
        sides: Sides<'_>,
        prefix: String,
        text: Arc<str>,
        until: Instant,
    ) {
        self.queue.remove_under(&prefix);
        self.refused.deny(prefix, text, until);
        self.refused_again(assignment, sides);
    }

    /// A binding whose role does not arrive must be decided again, and a role whose binding does not go.
    fn refused_again(&mut self, assignment: &Assignment, sides: Sides<'_>) {
        self.bindings_again(&assignment.scopes, sides);
        let leaving = self.queue.keys().filter(|key| is_role(key)).cloned().collect::<Vec<_>>();
        self.dirty.extend(leaving.into_iter().map(|key| (key, Cause::Source)));
    }

    /// Whether everything noted has been decided.
    pub(super) fn is_decided(&self) -> bool {
        self.dirty.is_empty() && !self.bindings_due && self.compare == Compare::No
    }

    /// The problems of all replicators, by key.
    pub(super) fn problems(&self) -> &BTreeMap<Bytes, Problem> {
        &self.problems
    }

    /// Whether everything noted has been decided and written.
    pub(super) fn is_done(&self) -> bool {
        self.queue.is_empty() && self.is_decided()
    }

    /// Whether, in addition, no difference remains in what a replicator copies.
    pub(super) fn is_equal(&self, scope: &Scope) -> bool {
        let prefix = scope.prefix();
        let is_error = |problem: &Problem| problem.is_error && problem.replicator == scope.name;
        self.is_done()
            && !self.deferred.iter().any(|key| key.starts_with(prefix.as_bytes()))
            && !self.problems.values().any(is_error)
    }

    /// Whether the destination's objects of a type can be relied on.
    pub(super) fn sees(&self, kind: Type) -> bool {
        !self.unseen.contains(super::keyspace_of(kind))
    }

    /// Whether the source of a type can be relied on.
    pub(super) fn knows(&self, kind: Type) -> bool {
        self.complete.contains(super::keyspace_of(kind))
    }

    /// The problems of a replicator: the number of errors, the number of warnings, and the first error, or else the first
    /// warning.
    pub(super) fn problems_of(&self, replicator: &str) -> (usize, usize, Option<&str>) {
        let of = |is_error: bool| {
            self.problems.values().filter(move |it| it.is_error == is_error && &*it.replicator == replicator)
        };
        let first = of(true).next().or_else(|| of(false).next()).map(|problem| &*problem.text);
        (of(true).count(), of(false).count(), first)
    }

    /// When the oldest change arrived that has not been copied for a replicator.
    pub(super) fn oldest(&self, scope: &Scope) -> Option<Instant> {
        let prefix = scope.prefix();
        self.arrived.iter().filter(|(key, _)| key.starts_with(prefix.as_bytes())).map(|(_, at)| *at).min()
    }

    /// The replicator that a write counts for: the one that copies the key, or else the one that owns it.
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

    /// Who owns keys that cannot be removed now, because their kind is denied or, with roles, cannot be read; and why.
    pub(super) fn stuck(&self, dest: &Content) -> BTreeMap<String, Arc<str>> {
        let denied = self.refused.denials().map(|(prefix, text)| (prefix, Arc::clone(text)));
        let unread = super::trouble_of(dest, RBAC).into_iter().flat_map(|text| {
            let roles = Type::ALL.into_iter().filter(|kind| kind.is_role());
            roles.map(move |kind| (kind.prefix(), Arc::clone(&text)))
        });
        let mut stuck = BTreeMap::new();
        for (prefix, text) in denied.chain(unread) {
            for (_, record) in dest.range(&record_of(&self.records, prefix.as_bytes())) {
                stuck.entry(owner_of(&record.value).to_owned()).or_insert_with(|| Arc::clone(&text));
            }
        }
        stuck
    }

    /// How many changes are noted.
    #[cfg(test)]
    pub(super) fn noted(&self) -> usize {
        self.dirty.len().max(self.arrived.len())
    }

    /// The ownership record of a key.
    pub(super) fn record_of(&self, key: &Bytes) -> Bytes {
        record_of(&self.records, key)
    }
}

/// Most changes that are noted one by one while nothing can be written. After more, everything is examined.
const MOST_NOTED: usize = 16_384;

fn is_role(key: &Bytes) -> bool {
    matches!(ObjectKey::parse(key), Some(Ok(object)) if object.kind.is_role())
}

/// Whether a key is a binding's, of whatever form.
fn is_binding(key: &Bytes) -> bool {
    Type::ALL.iter().any(|kind| kind.is_binding() && key.starts_with(kind.prefix().as_bytes()))
}

/// The keyspaces that replicators read.
pub(super) fn keyspaces(scopes: &[Scope]) -> impl Iterator<Item = &'static str> {
    scopes.iter().map(|scope| super::keyspace_of(scope.kind))
}

/// Whether this is the store of a Sensu cluster. Every cluster has roles and bindings from its first start on: a store
/// without any is the wrong one, or has just lost its data, and nothing is concluded from what it lacks.
pub(super) fn is_source(content: &Content) -> bool {
    is_complete(content, &RBAC) && content.range(RBAC.as_bytes()).next().is_some()
}

fn is_complete(content: &Content, keyspace: &&'static str) -> bool {
    !matches!(content.sync_state([keyspace]), SyncState::Incomplete(_))
}
