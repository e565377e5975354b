//! What is to be done with one key: pure, from what both sides hold.
//!
//! | the source has | the destination | then |
//! |---|---|---|
//! | a good value | another one, or none | it is written, and owned |
//! | a good value | an equal one | it is owned, not written |
//! | nothing | something owned | it is deleted |
//! | nothing | something not owned | it is the follower's: left alone |
//! | a bad value (see [`Unfit`]) | anything | reported and left alone: the last good version stays |
//!
//! A bad value is no revocation. Whoever wants to take a right away deletes or replaces the object, and that arrives;
//! nobody does it by damaging the object, which would stop their own cluster. To delete the follower's copy would let
//! a damaged role break, on every follower, all who are bound to it.
//!
//! Two more rules keep followers usable. A binding of a role that does not exist makes a backend answer 500 to its
//! subjects: such a binding is not brought to a follower if its subjects are those who could repair it (it would give
//! no right there anyway). And a role that is to be deleted while a binding of the follower's own names it is emptied
//! instead: its rights are gone, and its subjects' other rights stay.

use std::{
    cell::OnceCell,
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
    sync::Arc,
};

use bytes::Bytes;
use prost::Message as _;

use super::{
    image::{Content, Entry},
    protect::{Protection, is_vital, protection},
    record::{owner_of, record_of},
};
use crate::corev2::{
    ClusterRole, ClusterRoleBinding, ObjectKey, ObjectMeta, Role, RoleBinding, RoleRef, Subject, Type, Unfit,
    decode,
};

/// What one replicator copies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Scope {
    /// The replicator.
    pub(super) name: Arc<str>,
    pub(super) kind: Type,
    pub(super) namespace: Option<String>,
    /// Nothing is done for it yet: its old destination is being cleaned.
    pub(super) held: bool,
}

/// Both sides at one moment, and what is wanted.
#[derive(Clone, Copy)]
pub(super) struct World<'a> {
    pub(super) source: &'a Content,
    pub(super) dest: &'a Content,
    /// By name.
    pub(super) scopes: &'a [Scope],
    /// Replicators whose records are somebody else's to judge: another task of this gateway serves them at this place,
    /// or their definition cannot be read.
    pub(super) hands_off: &'a BTreeSet<Arc<str>>,
    /// Keys that the destination does not take, and why.
    pub(super) refused: &'a BTreeMap<Bytes, String>,
    /// What this store's ownership records begin with.
    pub(super) records: &'a str,
}

/// What to do with a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Op {
    /// Write it, and the record of ownership if it is not there.
    Put { value: Bytes, own: Option<Arc<str>> },
    /// It is as it should be: own it.
    Own(Arc<str>),
    /// Delete it and its record.
    Delete,
    /// Let it be; delete the record.
    Disown,
}

/// The order of things: what is done first sorts first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    /// Bindings go first: what is revoked is revoked at once.
    Revoke(Reverse<Type>),
    /// Then what nobody refers to.
    Delete(Reverse<Type>),
    /// Then what is new, roles before bindings.
    Put(Type),
    /// Last, roles that the bindings just replaced have named.
    Late(Reverse<Type>),
}

/// Something to report about a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    /// Whose.
    pub(super) replicator: Arc<str>,
    /// Whether something is not as the source has it; else it is only a warning.
    pub(super) is_error: bool,
    pub(super) text: String,
}

/// What a look at a key comes to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) op: Option<(Rank, Op)>,
    pub(super) problem: Option<Problem>,
    /// The role that a binding names and that is not there.
    pub(super) missing: Option<Bytes>,
    /// It is a role that waits, empty, for the end of a binding.
    pub(super) emptied: bool,
}

/// Who names which role in the destination. Built when first asked.
pub(super) struct References<'a> {
    world: World<'a>,
    /// Bindings that are about to be deleted.
    leaving: &'a dyn Fn(&Bytes) -> bool,
    built: OnceCell<HashMap<Bytes, Named>>,
}

/// Which bindings name a role.
#[derive(Clone, Copy, Debug, Default)]
struct Named {
    /// One of the follower's own.
    by_local: bool,
    /// One of ours that stays.
    by_owned: bool,
    /// One of those is for somebody without whom the follower cannot be repaired.
    by_vital: bool,
}

/// Who owns a key in the destination.
enum Owner<'a> {
    Nobody,
    /// A replicator of ours that still wants it.
    Valid,
    /// A replicator that is gone, or wants it no more.
    Stale,
    /// Not ours to judge.
    Other(#[expect(dead_code, reason = "for reading in a debugger")] &'a str),
}

// === impl Scope ===

impl Scope {
    pub(super) fn covers(&self, key: &ObjectKey<'_>) -> bool {
        self.kind == key.kind && self.namespace.as_deref().is_none_or(|name| key.namespace == Some(name))
    }

    /// What its keys begin with.
    pub(super) fn prefix(&self) -> String {
        self.kind.prefix_in(self.namespace.as_deref())
    }
}

// === impl World ===

impl<'a> World<'a> {
    /// What to do with a key of Sensu's.
    pub(super) fn decide(&self, key: &Bytes, references: &References<'_>) -> Verdict {
        let object = match ObjectKey::parse(key) {
            Some(Ok(object)) => object,
            Some(Err(unfit)) => return self.unfit_key(key, &unfit),
            None => return Verdict::default(),
        };
        if let Some(reason) = self.refused.get(key) {
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

    /// Whether a key is as it should be and owned, at a glance. Says nothing about roles that are missing.
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

    /// The first replicator that copies this; one that is held only if no other does.
    pub(super) fn wanted(&self, object: &ObjectKey<'_>) -> Option<&'a Scope> {
        let covering = || self.scopes.iter().filter(|scope| scope.covers(object));
        covering().find(|scope| !scope.held).or_else(|| covering().next())
    }

    fn owner(&self, key: &Bytes, object: &ObjectKey<'_>) -> Owner<'a> {
        let Some(record) = self.dest.get(&record_of(self.records, key)) else { return Owner::Nobody };
        let name = owner_of(&record.value);
        if self.hands_off.contains(name) {
            return Owner::Other(name);
        }
        match self.scopes.iter().find(|scope| &*scope.name == name) {
            Some(scope) if scope.covers(object) => Owner::Valid,
            _ => Owner::Stale,
        }
    }

    /// Whether a key that is nobody's yet is about to be owned.
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
                    // What is equal is ours, recorded or not.
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

    /// The last good version of a binding stays only as long as it does no harm.
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

    /// A key that shall not be there. What is not owned stays.
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
        // Also what is not there by the last that was seen: to delete only the record would leave behind what came since.
        if object.kind.is_binding() {
            return only(Rank::Revoke(reverse), Op::Delete);
        }
        if !object.kind.is_role() {
            return only(Rank::Delete(reverse), Op::Delete);
        }
        let named = references.of(key);
        if named.by_local || named.by_vital {
            let empty = empty_role(object);
            let done = self.dest.get(key).is_some_and(|dest| object.kind.same(&dest.value, &empty));
            let op = (!done).then_some((Rank::Put(object.kind), Op::Put { value: empty, own: None }));
            return Verdict { op, emptied: true, problem: self.emptied(key), ..Verdict::default() };
        }
        only(if named.by_owned { Rank::Late(reverse) } else { Rank::Delete(reverse) }, Op::Delete)
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
            return is_there || (!self.refused.contains_key(role) && object.check(&source.value).is_ok());
        }
        let leaves = matches!(self.owner(role, &object), Owner::Valid | Owner::Stale)
            && self.wanted(&object).is_none_or(|scope| !scope.held)
            && protection(&object) != Protection::Kept
            && !references.of(role).by_local;
        is_there && !leaves
    }
}

impl Scope {
    fn error(&self, key: &Bytes, what: &dyn fmt::Display) -> Problem {
        self.problem(key, true, &what.to_string())
    }

    fn warning(&self, key: &Bytes, what: &str) -> Problem {
        self.problem(key, false, what)
    }

    fn problem(&self, key: &Bytes, is_error: bool, what: &str) -> Problem {
        let text = format!("{}: {what}", printable_key(self.kind, key));
        Problem { replicator: Arc::clone(&self.name), is_error, text }
    }
}

/// A key for an operator. An API key's name is the API key itself.
fn printable_key(kind: Type, key: &Bytes) -> String {
    if kind == Type::ApiKey {
        return format!("{}…", kind.prefix());
    }
    let text = key.escape_ascii().to_string();
    text.chars().take(MAX_KEY_CHARS).collect()
}

/// An object of this role's names without rules.
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

/// What a binding says.
struct Binding {
    subjects: Vec<Subject>,
    role_ref: RoleRef,
    /// The key of the role; `None` if there can be none.
    role: Option<Bytes>,
}

// === impl Binding ===

impl Binding {
    fn read(object: &ObjectKey<'_>, value: &[u8]) -> Self {
        let (subjects, role_ref) = if object.kind == Type::RoleBinding {
            let read = decode::<RoleBinding>(value, "RoleBinding").unwrap_or_default();
            (read.subjects, read.role_ref)
        } else {
            let read = decode::<ClusterRoleBinding>(value, "ClusterRoleBinding").unwrap_or_default();
            (read.subjects, read.role_ref)
        };
        let role_ref = role_ref.unwrap_or_default();
        let role = match (&*role_ref.kind, object.namespace) {
            ("ClusterRole", _) => Some(Type::ClusterRole.key(None, &role_ref.name)),
            ("Role", Some(namespace)) => Some(Type::Role.key(Some(namespace), &role_ref.name)),
            _ => None,
        };
        Self { subjects, role_ref, role: role.map(Bytes::from) }
    }

    fn is_vital(&self) -> bool {
        self.subjects.iter().any(|subject| is_vital(&subject.kind, &subject.name))
    }

    fn dangles(&self) -> String {
        let name: String = self.role_ref.name.escape_debug().take(MAX_KEY_CHARS).collect();
        format!(
            "it names the {} {name}, which the follower does not have: its subjects get error 500 there",
            self.role_ref.kind
        )
    }
}

// === impl References ===

impl<'a> References<'a> {
    pub(super) fn new(world: World<'a>, leaving: &'a dyn Fn(&Bytes) -> bool) -> Self {
        Self { world, leaving, built: OnceCell::new() }
    }

    fn of(&self, role: &Bytes) -> Named {
        self.built.get_or_init(|| self.build()).get(role).copied().unwrap_or_default()
    }

    fn build(&self) -> HashMap<Bytes, Named> {
        let mut names: HashMap<Bytes, Named> = HashMap::new();
        for kind in [Type::ClusterRoleBinding, Type::RoleBinding] {
            for (key, entry) in self.world.dest.range(kind.prefix().as_bytes()) {
                let parsed = ObjectKey::parse(key).and_then(Result::ok);
                // Sensu lists what lies under longer keys too.
                let object = parsed.unwrap_or_else(|| nested(kind, key));
                let binding = Binding::read(&object, &entry.value);
                let is_vital = binding.is_vital();
                let Some(role) = binding.role else { continue };
                match self.world.owner(key, &object) {
                    Owner::Nobody if !self.world.will_own(key, &object) => {
                        names.entry(role).or_default().by_local = true;
                    }
                    _ if (self.leaving)(key) => {}
                    _ => {
                        let entry = names.entry(role).or_default();
                        entry.by_owned = true;
                        entry.by_vital |= is_vital;
                    }
                }
            }
        }
        names
    }
}

/// The namespace of a binding whose key has too many parts.
fn nested(kind: Type, key: &Bytes) -> ObjectKey<'_> {
    let rest =
        key.strip_prefix(kind.prefix().as_bytes()).and_then(|rest| rest.split(|byte| *byte == b'/').next());
    let namespace = rest.and_then(|part| std::str::from_utf8(part).ok()).filter(|_| kind.is_namespaced());
    ObjectKey { kind, namespace, name: "" }
}

const WOULD_LOCK_OUT: &str = "it gives administrators, agents or all users a role that the follower does not have, \
     which would make it refuse them everything: it is not copied until the role is there (replicate the role too)";

const STILL_NAMED: &str = "the role is deleted, but a binding that stays on the follower names it: it is kept there \
     without rules until that binding is gone";

/// More of a name is not repeated.
const MAX_KEY_CHARS: usize = 200;

#[cfg(test)]
mod tests;
