//! Decides what has to be done with one object in one cluster: pure, from what both sides hold.
//!
//! | the source has | the cluster has | then |
//! |---|---|---|
//! | an original | nothing | it is created |
//! | an original | a copy of this federation's that differs | it is changed |
//! | an original | one that is the cluster's own | that is a conflict: reported, or overwritten where that is configured |
//! | an original | a copy of another federation's | that is a conflict: reported, or taken over where that one is named |
//! | nothing, or itself a copy | a copy of this federation's | it is deleted, unless copies are to be kept |
//! | nothing, or itself a copy | one that is not this federation's | that is the cluster's own: left alone |
//!
//! Two federations must not fight over a cluster: what another one has copied there is only ever taken over by name, which
//! is for federations that are gone; and one whose copies come back after that is not gone, and is left alone.
//!
//! An equal object that is not this federation's is a conflict, too: a later change or revocation would not reach it. Only
//! what every cluster seeds by itself is taken as it is when it is equal, and so are namespaces, which are nothing but
//! names.
//!
//! Nobody is locked out: [`protection`] says what is never touched; a binding that would give administrators, agents or
//! all users a role that is not there is not written; a role that a binding still names is emptied in place of being
//! deleted; and what gives the gateway's own group its rights is left alone where nothing else does.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::object::{Binding, Digest, Key, Object};
use crate::{
    corev2::{
        ObjectKey, Type,
        protect::{Protection, protection},
    },
    types::{OnConflict, OnDelete},
};

mod lifeline;

/// What one `Replicator` keeps in a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Scope {
    pub(super) name: Arc<str>,
    pub(super) kinds: BTreeSet<Type>,
    pub(super) namespace: Option<String>,
    pub(super) conflicts: OnConflict,
    pub(super) on_delete: OnDelete,
    pub(super) dry_run: bool,
    /// The federations whose copies it takes over.
    pub(super) adopts: BTreeSet<Arc<str>>,
}

/// The objects of the source.
#[derive(Clone, Debug, Default)]
pub(super) struct Originals {
    /// A kind that has not been read is missing.
    pub(super) kinds: BTreeMap<Type, Arc<BTreeMap<Key, Arc<Object>>>>,
}

/// What a cluster holds.
#[derive(Clone, Debug, Default)]
pub(super) struct Copies {
    /// A kind that has not been read is missing.
    pub(super) kinds: BTreeMap<Type, BTreeMap<Key, Copy>>,
    /// Whose the namespaces are: a namespace itself cannot say so, but the role that every cluster makes with it does.
    pub(super) makers: BTreeMap<String, Owner>,
    /// Federations that have put back what this one took over: they are not gone.
    pub(super) alive: BTreeSet<Arc<str>>,
}

/// An object of a cluster, as far as it matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Copy {
    pub(super) digest: Digest,
    pub(super) owner: Owner,
    pub(super) binding: Option<Binding>,
}

/// Whose an object is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// Copied by this federation.
    Ours,
    /// Copied by another one, which is this.
    Other(Arc<str>),
    /// The cluster's own.
    Nobody,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Op {
    Create(Arc<Object>),
    /// Also makes it this federation's.
    Update(Arc<Object>),
    /// Takes a role's rules away.
    Empty,
    Delete,
}

/// The order of writes: what is done first sorts first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    /// Deletions of bindings: revocations take effect at once.
    Revoke(Reverse<Type>),
    /// Changes of roles and bindings, and roles that are emptied: each may revoke something.
    Change(Type),
    /// What is new, and other changes: namespaces, roles, bindings, the rest.
    Put(Type),
    /// Deletions of what nothing refers to any more, in the reverse order.
    Delete(Reverse<Type>),
}

/// Why an object is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Remark {
    /// It is not this federation's.
    Conflict(&'static str),
    /// It is not copied, and the cluster differs because of it.
    Problem(String),
    /// Something to know.
    Warning(String),
}

/// What was decided about an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) op: Option<(Rank, Op)>,
    pub(super) remark: Option<Remark>,
    /// The cluster holds a copy of this federation's.
    pub(super) is_owned: bool,
}

/// Both sides at one moment, and what is to be kept.
pub(super) struct World<'a> {
    pub(super) source: &'a Originals,
    pub(super) copies: &'a Copies,
    /// By name.
    pub(super) scopes: &'a [Scope],
    /// What was kept there before, and is to be removed.
    pub(super) past: &'a [Scope],
    pub(super) refused: Refused<'a>,
    /// What gives the gateway's own group its rights.
    lifelines: BTreeSet<&'a Key>,
    /// Roles that bindings name which stay or come.
    named: BTreeSet<&'a Key>,
}

/// Why the cluster has refused what is to be done with an object, while it is not tried again.
pub(super) type Refused<'a> = &'a dyn Fn(&Key) -> Option<Arc<str>>;

// === impl Scope ===

impl Scope {
    /// The first `Replicator` that keeps this; one that only reports if there is no other.
    pub(super) fn first_of<'a>(scopes: &'a [Self], key: &Key) -> Option<&'a Self> {
        let covering = || scopes.iter().filter(|scope| scope.covers(key));
        covering().find(|scope| !scope.dry_run).or_else(|| covering().next())
    }

    pub(super) fn covers(&self, key: &Key) -> bool {
        self.kinds.contains(&key.kind)
            && (!key.kind.is_namespaced()
                || self.namespace.as_deref().is_none_or(|name| name == key.namespace))
    }
}

// === impl Originals ===

impl Originals {
    /// The object, unless it came by replication itself: chains and circles end here.
    pub(super) fn original(&self, key: &Key) -> Option<&Arc<Object>> {
        let object = self.kinds.get(&key.kind)?.get(key)?;
        let came_by_replication = match key.kind {
            Type::Namespace => self.maker(&key.name).and_then(federation_of).is_some(),
            _ => object.origin.is_some(),
        };
        (!came_by_replication).then_some(object)
    }

    fn maker(&self, namespace: &str) -> Option<&str> {
        let role = Key::new(Type::Role, namespace, MAKERS_ROLE);
        Some(&self.kinds.get(&Type::Role)?.get(&role)?.creator)
    }

    /// Whether it is known what there is of a kind.
    pub(super) fn knows(&self, kind: Type) -> bool {
        self.kinds.contains_key(&kind) && (kind != Type::Namespace || self.kinds.contains_key(&Type::Role))
    }
}

// === impl Copies ===

impl Copies {
    pub(super) fn get(&self, key: &Key) -> Option<&Copy> {
        self.kinds.get(&key.kind)?.get(key)
    }

    pub(super) fn owner(&self, key: &Key) -> Owner {
        match key.kind {
            Type::Namespace => self.makers.get(&key.name).cloned().unwrap_or(Owner::Nobody),
            _ => self.get(key).map_or(Owner::Nobody, |copy| copy.owner.clone()),
        }
    }

    fn bindings(&self) -> impl Iterator<Item = (&Key, &Copy, &Binding)> {
        let kinds = [Type::ClusterRoleBinding, Type::RoleBinding].into_iter();
        let all = kinds.filter_map(|kind| self.kinds.get(&kind)).flatten();
        all.filter_map(|(key, copy)| Some((key, copy, copy.binding.as_ref()?)))
    }
}

// === impl Owner ===

impl Owner {
    /// Of what a federation has copied, if one has; `home` is this one.
    pub(super) fn of(origin: Option<&str>, home: &str) -> Self {
        match origin {
            None => Self::Nobody,
            Some(origin) if origin == home => Self::Ours,
            Some(origin) => Self::Other(origin.into()),
        }
    }
}

// === impl Op ===

impl Op {
    /// The digest of what is written; `None` when something is taken away.
    pub(super) fn wanted(&self) -> Option<Digest> {
        match self {
            Self::Create(original) | Self::Update(original) => Some(original.digest),
            Self::Empty | Self::Delete => None,
        }
    }

    /// What it does, for people.
    pub(super) fn verb(&self) -> &'static str {
        match self {
            Self::Create(_) => "create",
            Self::Update(_) => "update",
            Self::Empty => "empty",
            Self::Delete => "delete",
        }
    }
}

// === impl World ===

impl<'a> World<'a> {
    pub(super) fn new(
        source: &'a Originals,
        copies: &'a Copies,
        scopes: &'a [Scope],
        past: &'a [Scope],
        refused: Refused<'a>,
    ) -> Self {
        let lifelines = lifeline::lifelines(copies);
        let mut world = Self { source, copies, scopes, past, refused, lifelines, named: BTreeSet::new() };
        let leaves =
            |key: &Key| matches!(world.decide(key).op, Some((_, Op::Delete))) && refused(key).is_none();
        let staying = copies.bindings().filter(|(key, ..)| !leaves(key));
        let staying = staying.map(|(_, _, binding)| binding);
        let coming = BINDINGS.iter().filter_map(|kind| source.kinds.get(kind)).flat_map(|kind| kind.iter());
        let coming = coming
            .filter(|(key, _)| matches!(world.decide(key).op, Some((_, Op::Create(_) | Op::Update(_)))));
        let coming = coming.filter_map(|(_, original)| original.binding.as_ref());
        world.named = staying.chain(coming).filter_map(|binding| binding.role.as_ref()).collect();
        world
    }

    pub(super) fn scope(&self, key: &Key) -> Option<&'a Scope> {
        Scope::first_of(self.scopes, key)
    }

    pub(super) fn decide(&self, key: &Key) -> Verdict {
        let scope = self.scope(key);
        // What nothing keeps any more leaves, whatever the source has.
        if !self.copies.kinds.contains_key(&key.kind) || (scope.is_some() && !self.source.knows(key.kind)) {
            return Verdict::default();
        }
        let namespace = (!key.namespace.is_empty()).then_some(&*key.namespace);
        let protection = protection(&ObjectKey { kind: key.kind, namespace, name: &key.name });
        if protection == Protection::Untouched {
            return Verdict::default();
        }
        let verdict = match (scope, self.source.original(key)) {
            (Some(scope), Some(original)) => self.wanted(key, original, scope, protection),
            _ => self.unwanted(key, protection),
        };
        let changes = matches!(verdict.op, Some((_, Op::Update(_) | Op::Empty | Op::Delete)));
        if changes && self.lifelines.contains(key) {
            return Verdict { op: None, remark: Some(Remark::Problem(LIFELINE.to_owned())), ..verdict };
        }
        verdict
    }

    /// Whether a copy of another federation's is taken over.
    fn is_adopted(&self, key: &Key, owner: &Owner) -> bool {
        let Owner::Other(federation) = owner else { return false };
        let takes = |scope: &Scope| scope.adopts.contains(federation);
        let is_asked = match self.scope(key) {
            Some(scope) => takes(scope),
            None => self.past.iter().any(|scope| scope.covers(key) && takes(scope)),
        };
        is_asked && !self.copies.alive.contains(federation)
    }

    /// The other federation that has copied this, if it is not taken over. Whoever may write in the cluster may write any
    /// label: what cannot be a federation's is not offered to be adopted.
    pub(super) fn foreign(&self, key: &Key) -> Option<Arc<str>> {
        match self.copies.owner(key) {
            owner if self.is_adopted(key, &owner) => None,
            Owner::Other(federation) if is_identity(&federation) => Some(federation),
            Owner::Other(_) | Owner::Ours | Owner::Nobody => None,
        }
    }

    fn wanted(&self, key: &Key, original: &Arc<Object>, scope: &Scope, protection: Protection) -> Verdict {
        let owner = self.copies.owner(key);
        let is_ours = owner == Owner::Ours;
        let is_adopted = self.is_adopted(key, &owner);
        // The creator of a namespace stays what it is.
        let is_owned = is_ours || (is_adopted && key.kind == Type::Namespace);
        let mut verdict = Verdict { is_owned, ..Verdict::default() };
        let remark = original.binding.as_ref().and_then(|binding| self.dangles(binding));
        if let Some(remark @ Remark::Problem(_)) = remark {
            return Verdict { remark: Some(remark), ..verdict };
        }
        verdict.remark = remark;
        let Some(copy) = self.copies.get(key) else {
            if key.kind.is_namespaced() && !self.will_have_namespace(&key.namespace) {
                let remark = Some(Remark::Problem(NO_NAMESPACE.to_owned()));
                return Verdict { remark, ..verdict };
            }
            return Verdict { op: Some((Rank::Put(key.kind), Op::Create(Arc::clone(original)))), ..verdict };
        };
        let is_equal = copy.digest == original.digest;
        let is_as_it_is =
            key.kind == Type::Namespace || is_ours || (protection == Protection::Kept && !is_adopted);
        if is_equal && is_as_it_is {
            return verdict;
        }
        let is_overwritten = owner == Owner::Nobody && scope.conflicts == OnConflict::Overwrite;
        if !(is_ours || is_adopted || is_overwritten) {
            let why = match (owner, is_equal) {
                (Owner::Other(_), _) => OTHERS,
                (_, true) => EQUAL,
                (_, false) => DIFFERS,
            };
            return Verdict { remark: Some(Remark::Conflict(why)), ..verdict };
        }
        Verdict {
            op: Some((self.rank_of_change(key, original), Op::Update(Arc::clone(original)))),
            ..verdict
        }
    }

    /// A change may take rights away, so it comes early; but a binding waits for its role.
    fn rank_of_change(&self, key: &Key, original: &Object) -> Rank {
        let role = original.binding.as_ref().and_then(|binding| binding.role.as_ref());
        let has_role = role.is_none_or(|role| self.copies.get(role).is_some());
        let grants = key.kind.is_role() || key.kind.is_binding();
        if grants && has_role { Rank::Change(key.kind) } else { Rank::Put(key.kind) }
    }

    /// What must not be there. What is not this federation's stays.
    fn unwanted(&self, key: &Key, protection: Protection) -> Verdict {
        let owner = self.copies.owner(key);
        let is_owned = owner == Owner::Ours || self.is_adopted(key, &owner);
        let mut verdict = Verdict { is_owned, ..Verdict::default() };
        let Some(copy) = self.copies.get(key).filter(|_| verdict.is_owned) else { return Verdict::default() };
        let is_removed = match self.scope(key) {
            Some(scope) => scope.on_delete == OnDelete::Remove,
            None => self.past.iter().any(|scope| scope.covers(key)),
        };
        if !is_removed || protection == Protection::Kept {
            return verdict;
        }
        let reverse = Reverse(key.kind);
        verdict.op = if key.kind.is_binding() {
            Some((Rank::Revoke(reverse), Op::Delete))
        } else if !key.kind.is_role() {
            Some((Rank::Delete(reverse), Op::Delete))
        } else if !BINDINGS.iter().all(|kind| self.copies.kinds.contains_key(kind)) {
            // Not known yet whether something names it.
            None
        } else if self.named.contains(key) {
            verdict.remark = Some(Remark::Warning(STILL_NAMED.to_owned()));
            (copy.digest != key.emptied_digest()).then_some((Rank::Change(key.kind), Op::Empty))
        } else {
            Some((Rank::Delete(reverse), Op::Delete))
        };
        verdict
    }

    /// What is wrong with a binding whose role will not be there.
    fn dangles(&self, binding: &Binding) -> Option<Remark> {
        if binding.role.as_ref().is_some_and(|role| self.will_exist(role)) {
            return None;
        }
        if binding.is_vital {
            return Some(Remark::Problem(WOULD_LOCK_OUT.to_owned()));
        }
        let role = binding.role.as_ref().map_or_else(|| "no possible role".to_owned(), Key::to_string);
        Some(Remark::Warning(format!("it names {role}, which the cluster does not have: {ITS_SUBJECTS}")))
    }

    fn will_exist(&self, role: &Key) -> bool {
        let comes = || {
            self.scope(role).is_some_and(|scope| !scope.dry_run)
                && matches!(self.decide(role).op, Some((_, Op::Create(_))))
                && (self.refused)(role).is_none()
        };
        self.copies.get(role).is_some() || comes()
    }

    fn will_have_namespace(&self, name: &str) -> bool {
        let key = Key::new(Type::Namespace, "", name);
        let is_copied = || {
            self.scope(&key).is_some()
                && self.source.original(&key).is_some()
                && (self.refused)(&key).is_none()
        };
        // One that was not looked for is taken to be there.
        !self.copies.kinds.contains_key(&Type::Namespace) || self.copies.get(&key).is_some() || is_copied()
    }
}

/// The federation of a creator that is a gateway which replicates, this one or another.
pub(super) fn federation_of(creator: &str) -> Option<&str> {
    creator.strip_prefix(SUBJECT)
}

/// Whether a store can be called that. It is named in an annotation, between commas.
fn is_identity(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
}

/// What begins the name by which gateways write into clusters.
pub(super) const SUBJECT: &str = "fedgate:";

/// The role that every cluster makes with a namespace, as the user who makes the namespace.
pub(super) const MAKERS_ROLE: &str = "system:pipeline";

const BINDINGS: [Type; 2] = [Type::ClusterRoleBinding, Type::RoleBinding];

const DIFFERS: &str = "there is another one of that name, which is the cluster's own";

const EQUAL: &str =
    "there is an equal one, but it is the cluster's own: neither changes nor its deletion would reach it";

const OTHERS: &str = "there is one of that name, which another federation has copied there: only if that one is gone, take \
     it over (fedgate adopt replicator NAME)";

const NO_NAMESPACE: &str = "its namespace does not exist there: replicate Namespace, too, or create it";

const ITS_SUBJECTS: &str = "its subjects get error 500 there";

const WOULD_LOCK_OUT: &str = "it gives administrators, agents or all users a role that the cluster does not have, which \
     would make it refuse them everything: it is not copied until the role is there (replicate the role too)";

const STILL_NAMED: &str = "it is deleted, but a binding that stays in the cluster names it: it is kept there without \
     rights until that binding is gone";

const LIFELINE: &str = "only through it the group cluster-admins, and with it this gateway, has rights in the cluster: it \
     is left as it is, so that nobody is locked out";

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
