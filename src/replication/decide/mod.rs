//! Decides what has to be done with one key: pure, from what both sides hold.
//!
//! | the source has | the destination | then |
//! |---|---|---|
//! | a good value | another one, or none | it is written, and owned |
//! | a good value | an equal one | it is owned, not written |
//! | nothing | something owned | it is deleted |
//! | nothing | something not owned | it is the follower's: left alone |
//! | a bad value (see [`Unfit`]) | anything | reported and left alone: the last good version stays |
//!
//! A bad value is not a revocation. To revoke a right, an object is deleted or replaced, and that is copied; nobody does it
//! by damaging the object, which would stop their own cluster. If the follower's copy were deleted, a damaged role would
//! break all its subjects on every follower.
//!
//! Two more rules keep followers usable. A binding to a role that does not exist makes a backend answer 500 to the
//! binding's subjects: such a binding is not copied to a follower if its subjects are those who could repair it (it would
//! grant nothing there anyway). And a role that has to be deleted while a binding of the follower's own names it is emptied
//! instead: its rights are gone, and its subjects keep their other rights. The same goes for a binding of ours that the
//! follower does not let go.

use std::{cmp::Reverse, collections::BTreeSet, sync::Arc};

use bytes::Bytes;
use prost::Message as _;

use super::{
    cache::{Content, Entry},
    keyspace_of,
    record::{owner_of, record_of},
    refused::Refused,
};
use crate::corev2::{
    ClusterRole, ObjectKey, ObjectMeta, Role, Type, Unfit,
    protect::{Protection, protection},
};

mod binding;
mod references;
mod scope;

use binding::Binding;
pub(super) use references::References;
pub(super) use scope::{Problem, Scope};

/// Both sides at one moment, and what has to be copied.
#[derive(Clone, Copy)]
pub(super) struct World<'a> {
    pub(super) source: &'a Content,
    pub(super) dest: &'a Content,
    /// By name.
    pub(super) scopes: &'a [Scope],
    /// Replicators whose records must be left alone here: another task of this gateway serves them at this place, or
    /// their definition cannot be read.
    pub(super) foreign_owners: &'a BTreeSet<Arc<str>>,
    /// What the destination refuses, and why.
    pub(super) refused: &'a Refused,
    /// Keyspaces of the destination that have not been read, or are not followed: nothing is written there, and only what
    /// needs no look at them is deleted.
    pub(super) unseen: &'a BTreeSet<&'static str>,
    /// The prefix of this store's ownership records.
    pub(super) records: &'a str,
}

/// What to do with a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Op {
    /// Write it, and its ownership record if there is none.
    Put { value: Bytes, own: Option<Arc<str>> },
    /// It is equal already: only own it.
    Own(Arc<str>),
    /// Delete it and its record.
    Delete,
    /// Leave it alone; delete its record.
    Disown,
}

/// The order of writes: what is done first sorts first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    /// First, deletions of bindings, users and their API keys: revocations take effect at once.
    Revoke(Reverse<Type>),
    /// Then deletions of what nothing refers to.
    Delete(Reverse<Type>),
    /// Then new and changed objects, roles before bindings.
    Put(Type),
    /// Last, deletions of roles that bindings named until they were replaced.
    Last(Reverse<Type>),
}

/// What was decided about a key.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) op: Option<(Rank, Op)>,
    pub(super) problem: Option<Problem>,
    /// The role that the binding names and that does not exist.
    pub(super) missing: Option<Bytes>,
    /// The key is a role that is kept without rules until a binding is gone.
    pub(super) emptied: bool,
    /// Nothing can be decided or done now.
    pub(super) waits: bool,
}

/// Who owns a key in the destination.
enum Owner<'a> {
    Nobody,
    /// A replicator of ours that still copies it.
    Valid,
    /// A replicator that is gone, or no longer copies it.
    Stale,
    /// A replicator whose records are left alone here.
    Other(#[expect(dead_code, reason = "for reading in a debugger")] &'a str),
}

// === impl World ===

impl<'a> World<'a> {
    /// Decides about a key of Sensu.
    pub(super) fn decide(&self, key: &Bytes, references: &References<'_>) -> Verdict {
        let object = match ObjectKey::parse(key) {
            Some(Ok(object)) => object,
            Some(Err(unfit)) => return self.unfit_key(key, &unfit),
            None => return Verdict::default(),
        };
        if self.refused.is_denied(key) {
            return WAIT;
        }
        if let Some(reason) = self.refused.reason(key) {
            let problem = self.wanted(&object).map(|scope| scope.error(key, &reason));
            return Verdict { problem, ..Verdict::default() };
        }
        match protection(&object) {
            Protection::Untouched => Verdict::default(),
            protection => match self.wanted(&object) {
                Some(scope) if scope.held => Verdict::default(),
                Some(scope) => self.wanted_key(key, &object, scope, protection, references),
                None => self.unwanted_key(key, &object, protection, references),
            },
        }
    }

    /// Whether a key is equal and owned, by a quick check that ignores missing roles.
    pub(super) fn is_settled(&self, key: &Bytes) -> bool {
        let values = (self.source.get(key), self.dest.get(key));
        let (Some(source), Some(dest)) = values else { return false };
        if source.value != dest.value {
            return false;
        }
        match ObjectKey::parse(key) {
            Some(Ok(object)) => matches!(self.owner(key, &object), Owner::Valid),
            _ => false,
        }
    }

    /// The first replicator that copies this; one that is held only if there is no other.
    pub(super) fn wanted(&self, object: &ObjectKey<'_>) -> Option<&'a Scope> {
        let covering = || self.scopes.iter().filter(|scope| scope.covers(object));
        covering().find(|scope| !scope.held).or_else(|| covering().next())
    }

    fn owner(&self, key: &Bytes, object: &ObjectKey<'_>) -> Owner<'a> {
        let Some(record) = self.dest.get(&record_of(self.records, key)) else { return Owner::Nobody };
        let name = owner_of(&record.value);
        if self.foreign_owners.contains(name) {
            return Owner::Other(name);
        }
        match self.scopes.iter().find(|scope| &*scope.name == name) {
            Some(scope) if scope.covers(object) => Owner::Valid,
            _ => Owner::Stale,
        }
    }

    /// Whether a key without an owner will be owned.
    fn will_own(&self, key: &Bytes, object: &ObjectKey<'_>) -> bool {
        let wanted = self.wanted(object).is_some_and(|scope| !scope.held);
        wanted
            && protection(object) != Protection::Untouched
            && self.source.get(key).is_some_and(|source| object.check(&source.value).is_ok())
    }

    fn unfit_key(&self, key: &Bytes, unfit: &Unfit) -> Verdict {
        let scope = self.scopes.iter().find(|scope| key.starts_with(scope.prefix().as_bytes()));
        match (scope, self.source.get(key)) {
            (Some(scope), Some(_)) => {
                Verdict { problem: Some(scope.error(key, unfit)), ..Verdict::default() }
            }
            _ => Verdict::default(),
        }
    }

    fn wanted_key(
        &self,
        key: &Bytes,
        object: &ObjectKey<'_>,
        scope: &Scope,
        protection: Protection,
        references: &References<'_>,
    ) -> Verdict {
        let Some(Entry { value, .. }) = self.source.get(key) else {
            return self.unwanted_key(key, object, protection, references);
        };
        if self.unseen.contains(keyspace_of(object.kind)) {
            return WAIT;
        }
        if let Err(unfit) = object.check(value) {
            let op = self.if_it_locks_out(key, object, protection, references);
            return Verdict { op, problem: Some(scope.error(key, &unfit)), ..Verdict::default() };
        }
        let mut verdict = Verdict::default();
        if object.kind.is_binding() {
            let binding = Binding::read(object, value);
            if let Some(missing) = binding.role.clone().filter(|role| !self.will_exist(role, references)) {
                verdict.missing = Some(missing);
            }
            if binding.role.is_none() || verdict.missing.is_some() {
                if binding.is_vital() {
                    // An equal value counts as ours, recorded or not.
                    let is_ours = self.dest.get(key).is_some_and(|dest| object.kind.same(&dest.value, value));
                    let delete = (Rank::Revoke(Reverse(object.kind)), Op::Delete);
                    let gone = self.unwanted_key(key, object, protection, references).op;
                    verdict.problem = Some(scope.error(key, &WOULD_LOCK_OUT));
                    return Verdict { op: gone.or(is_ours.then_some(delete)), ..verdict };
                }
                verdict.problem = Some(scope.warning(key, &binding.dangles()));
            }
        }
        let owner = self.owner(key, object);
        let own = || match owner {
            Owner::Nobody | Owner::Stale => Some(Arc::clone(&scope.name)),
            Owner::Valid | Owner::Other(_) => None,
        };
        let equal = self.dest.get(key).is_some_and(|dest| object.kind.same(&dest.value, value));
        let op = if equal { own().map(Op::Own) } else { Some(Op::Put { value: value.clone(), own: own() }) };
        Verdict { op: op.map(|op| (Rank::Put(object.kind), op)), ..verdict }
    }

    /// The last good version of a binding is kept only while it does no harm.
    fn if_it_locks_out(
        &self,
        key: &Bytes,
        object: &ObjectKey<'_>,
        protection: Protection,
        references: &References<'_>,
    ) -> Option<(Rank, Op)> {
        let dest = self.dest.get(key).filter(|_| object.kind.is_binding())?;
        let binding = Binding::read(object, &dest.value);
        let dangles = binding.role.as_ref().is_none_or(|role| !self.will_exist(role, references));
        if dangles && binding.is_vital() {
            self.unwanted_key(key, object, protection, references).op
        } else {
            None
        }
    }

    /// A key that must not be there. What is not owned stays.
    fn unwanted_key(
        &self,
        key: &Bytes,
        object: &ObjectKey<'_>,
        protection: Protection,
        references: &References<'_>,
    ) -> Verdict {
        let owned = matches!(self.owner(key, object), Owner::Valid | Owner::Stale);
        if !owned {
            return Verdict::default();
        }
        let reverse = Reverse(object.kind);
        let only = |rank, op| Verdict { op: Some((rank, op)), ..Verdict::default() };
        if protection == Protection::Kept {
            return only(Rank::Delete(reverse), Op::Disown);
        }
        // Also if the key was not there when last seen: deleting only the record would leave behind what was written since.
        if object.kind.is_binding() || matches!(object.kind, Type::User | Type::ApiKey) {
            return only(Rank::Revoke(reverse), Op::Delete);
        }
        if !object.kind.is_role() {
            return only(Rank::Delete(reverse), Op::Delete);
        }
        if self.unseen.contains(keyspace_of(object.kind)) {
            return WAIT;
        }
        let named = references.of(key);
        if named.by_local || named.by_vital {
            let empty = empty_role(object);
            let done = self.dest.get(key).is_some_and(|dest| object.kind.same(&dest.value, &empty));
            let op = (!done).then_some((Rank::Put(object.kind), Op::Put { value: empty, own: None }));
            return Verdict { op, emptied: true, problem: self.emptied(key), ..Verdict::default() };
        }
        only(if named.by_owned { Rank::Last(reverse) } else { Rank::Delete(reverse) }, Op::Delete)
    }

    fn emptied(&self, key: &Bytes) -> Option<Problem> {
        let owner = owner_of(&self.dest.get(&record_of(self.records, key))?.value);
        let scope = self.scopes.iter().find(|scope| &*scope.name == owner)?;
        Some(scope.warning(key, STILL_NAMED))
    }

    /// Whether the destination will have this role when everything is done.
    fn will_exist(&self, role: &Bytes, references: &References<'_>) -> bool {
        let Some(Ok(object)) = ObjectKey::parse(role) else { return false };
        let is_there = self.dest.get(role).is_some();
        if protection(&object) == Protection::Untouched {
            return is_there;
        }
        let wanted = self.wanted(&object).filter(|scope| !scope.held);
        if let (Some(_), Some(source)) = (wanted, self.source.get(role)) {
            return is_there || (!self.refused.holds(role) && object.check(&source.value).is_ok());
        }
        let leaves = matches!(self.owner(role, &object), Owner::Valid | Owner::Stale)
            && self.wanted(&object).is_none_or(|scope| !scope.held)
            && protection(&object) != Protection::Kept
            && !self.refused.holds(role)
            && !references.of(role).by_local;
        is_there && !leaves
    }
}

/// Nothing can be decided or done now.
const WAIT: Verdict = Verdict { op: None, problem: None, missing: None, emptied: false, waits: true };

/// A role of this name without rules.
fn empty_role(object: &ObjectKey<'_>) -> Bytes {
    let metadata = Some(ObjectMeta {
        name: object.name.to_owned(),
        namespace: object.namespace.unwrap_or_default().to_owned(),
        ..ObjectMeta::default()
    });
    let value = match object.kind {
        Type::Role => Role { rules: Vec::new(), metadata }.encode_to_vec(),
        _ => ClusterRole { rules: Vec::new(), metadata }.encode_to_vec(),
    };
    value.into()
}

const WOULD_LOCK_OUT: &str = "it gives administrators, agents or all users a role that the follower does not have, \
     which would make it refuse them everything: it is not copied until the role is there (replicate the role too)";

const STILL_NAMED: &str = "the role is deleted, but a binding that stays on the follower names it: it is kept there \
     without rules until that binding is gone";

#[cfg(test)]
mod tests;
