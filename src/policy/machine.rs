//! What the task of one cluster does next: a pure state machine, whose input is how its last request ended, what the
//! source holds, and the time.
//!
//! ```text
//!            due                    every kind listed            nothing differs
//!   Waiting ─────► Listing (pages) ──────────────────► Writing ──────────────────► Waiting
//!      ▲              │ away                             │ away          │ source or replicators changed
//!      └── back-off ◄─┴──────────────────────────────────┘               └──────► Writing
//! ```
//!
//! What a cluster holds is known from its lists, and from the writes since. So a change of the source is written at once,
//! without a list. Each write that replaces or deletes something is decided once more on what is there right before it.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    mem,
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::time::Instant;

use super::{
    client::{Failure, Page},
    decide::{Copies, Copy, MAKERS_ROLE, Op, Originals, Owner, Scope, World, federation_of},
    object::{Digest, Key, Object},
    plan::{Action, Plan, Summary},
    refusals::{Doubts, Refusals},
};
use crate::{corev2::Type, net::Backoff};

/// What a cluster is to hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Assignment {
    /// By name.
    pub(super) scopes: Vec<Scope>,
    /// What is to be removed.
    pub(super) past: Vec<Scope>,
    /// How often everything is compared.
    pub(super) interval: Duration,
}

/// What to do next.
#[derive(Debug, PartialEq)]
pub(super) enum Step {
    /// Read a page.
    List { kind: Type, namespace: Option<String>, from: Option<String> },
    /// Write, after a look at what is there.
    Write(Action),
    /// Nothing before this.
    Wait(Instant),
}

/// How a write ended.
#[derive(Debug)]
pub(super) enum Written {
    /// It was carried out. What the cluster made of it, where that was looked at.
    Done(Option<Object>),
    /// Something else is there than was expected: nothing was written.
    Changed(Option<Object>),
    Failed(Failure),
}

/// The state of one cluster's task.
pub(super) struct Machine {
    federation: Arc<str>,
    pub(super) assignment: Arc<Assignment>,
    pub(super) copies: Copies,
    listing: Option<Listing>,
    /// The kinds of this round that are still to be listed.
    queue: VecDeque<Type>,
    /// When everything is listed again.
    due: Instant,
    pub(super) plan: Plan,
    actions: VecDeque<Action>,
    /// Something has changed since the plan was made.
    stale: bool,
    /// The same of what only a part of the plan depends on.
    doubts: Doubts,
    failures: u32,
    /// Why the cluster cannot be used.
    pub(super) away: Option<Arc<str>>,
    /// Why a kind cannot be read.
    pub(super) troubles: BTreeMap<Type, Arc<str>>,
    refused: Refusals,
    /// What was taken over from which federation.
    taken: BTreeMap<Key, Arc<str>>,
    /// What was written, and what the cluster made of it, where the two differ: another version leaves something out.
    made: BTreeMap<Key, Made>,
    /// Whether everything has been listed since the replicators changed.
    pub(super) is_complete: bool,
    /// When that ended last.
    pub(super) listed_at: Option<Instant>,
    /// When each `Replicator`'s objects were last known to equal the source's, all of them.
    pub(super) last_sync: BTreeMap<Arc<str>, SystemTime>,
    /// The kinds of the source that cannot be read at present.
    unread: BTreeSet<Type>,
    /// How many there have been, as of errors.
    pub(super) writes: u64,
    pub(super) errors: u64,
    /// How often everything was compared.
    #[cfg(test)]
    pub(super) comparisons: u64,
    random: fastrand::Rng,
}

/// A list that is being read.
struct Listing {
    kind: Type,
    namespace: Option<String>,
    from: Option<String>,
    found: BTreeMap<Key, Copy>,
    makers: BTreeMap<String, Owner>,
}

/// A write whose result reads otherwise.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Made {
    original: Digest,
    copy: Option<Digest>,
}

// === impl Machine ===

impl Machine {
    pub(super) fn new(federation: Arc<str>, assignment: Arc<Assignment>, now: Instant, seed: u64) -> Self {
        let mut machine = Self {
            federation,
            assignment: Arc::default(),
            copies: Copies::default(),
            listing: None,
            queue: VecDeque::new(),
            due: now,
            plan: Plan::default(),
            actions: VecDeque::new(),
            stale: false,
            doubts: Doubts::default(),
            failures: 0,
            away: None,
            troubles: BTreeMap::new(),
            refused: Refusals::default(),
            taken: BTreeMap::new(),
            made: BTreeMap::new(),
            is_complete: false,
            listed_at: None,
            last_sync: BTreeMap::new(),
            unread: BTreeSet::new(),
            writes: 0,
            errors: 0,
            #[cfg(test)]
            comparisons: 0,
            random: fastrand::Rng::with_seed(seed),
        };
        machine.assign(assignment, now);
        machine
    }

    /// Keeps something else from now on.
    pub(super) fn assign(&mut self, assignment: Arc<Assignment>, now: Instant) {
        let narrowed = |it: &Assignment| it.narrowed_to().map(str::to_owned);
        let is_known = assignment.kinds().is_subset(&self.assignment.kinds())
            && narrowed(&assignment) == narrowed(&self.assignment);
        if assignment.adopts() != self.assignment.adopts() {
            // Somebody has decided anew who is gone.
            self.copies.alive.clear();
            self.taken.clear();
        }
        self.assignment = assignment;
        self.stale = true;
        // The interval may have become shorter.
        self.due = self.due.min(now + self.assignment.interval);
        let kinds = self.assignment.kinds();
        self.copies.kinds.retain(|kind, _| kinds.contains(kind));
        self.troubles.retain(|kind, _| kinds.contains(kind));
        let scopes = &self.assignment.scopes;
        self.last_sync.retain(|name, _| scopes.iter().any(|scope| scope.name == *name));
        if !is_known {
            (self.listing, self.is_complete) = (None, false);
            self.queue.clear();
            if self.away.is_none() {
                self.due = now;
            }
        }
    }

    /// The source, or what is known of it, has changed.
    pub(super) fn source_changed(&mut self) {
        self.stale = true;
    }

    /// Which kinds of the source cannot be read: what was read of them last is compared all the same.
    pub(super) fn source_unread(&mut self, kinds: impl Iterator<Item = Type>) {
        self.unread = kinds.collect();
    }

    /// Whether the source's side of a `Replicator` cannot be read.
    pub(super) fn is_source_unread(&self, scope: &Scope) -> bool {
        source_kinds([scope]).iter().any(|kind| self.unread.contains(kind))
    }

    pub(super) fn next(&mut self, source: &Originals, now: Instant) -> Step {
        if now < self.due && self.away.is_some() {
            return Step::Wait(self.due);
        }
        if now >= self.due {
            self.queue = self.assignment.kinds().into_iter().collect();
            self.listing = None;
            self.due = now + self.assignment.interval;
        }
        if let Some(step) = self.next_page() {
            return step;
        }
        let is_doubtful = match self.actions.front() {
            Some(action) => self.doubts.concern(action),
            None => self.refused.is_due(now),
        };
        if self.stale || is_doubtful {
            self.compare(source, now);
        }
        if let Some(action) = self.actions.front() {
            return Step::Write(action.clone());
        }
        Step::Wait(self.refused.next().map_or(self.due, |again| again.min(self.due)))
    }

    fn next_page(&mut self) -> Option<Step> {
        if self.listing.is_none() {
            let kind = self.queue.pop_front()?;
            let namespace = self.assignment.narrowed_to().filter(|_| is_narrowed(kind)).map(str::to_owned);
            self.listing = Some(Listing {
                kind,
                namespace,
                from: None,
                found: BTreeMap::new(),
                makers: BTreeMap::new(),
            });
        }
        let listing = self.listing.as_ref()?;
        let (kind, namespace, from) = (listing.kind, listing.namespace.clone(), listing.from.clone());
        Some(Step::List { kind, namespace, from })
    }

    /// What the list that was asked for last has.
    pub(super) fn listed(&mut self, page: Result<Page, Failure>, now: Instant) {
        let Some(mut listing) = self.listing.take() else { return };
        let kind = listing.kind;
        let page = match page {
            Ok(page) => page,
            Err(Failure::Away(why)) => return self.lost(why, now),
            Err(failure) => {
                self.copies.kinds.remove(&kind);
                self.troubles.insert(kind, failure.to_string().into());
                self.errors += 1;
                return self.end_of_list(now);
            }
        };
        self.back();
        for object in page.objects {
            if object.key.kind == Type::Role && object.key.name == MAKERS_ROLE {
                let maker = Owner::of(federation_of(&object.creator), &self.federation);
                self.note_alive(&Key::new(Type::Namespace, "", &object.key.namespace), &maker);
                listing.makers.insert(object.key.namespace.clone(), maker);
            }
            let (key, copy) = self.copy_of(object);
            self.note_alive(&key, &copy.owner);
            listing.found.insert(key, copy);
        }
        if listing.found.len() > MAX_OBJECTS {
            self.copies.kinds.remove(&kind);
            self.troubles.insert(kind, format!("it has more than {MAX_OBJECTS}").into());
            return self.end_of_list(now);
        }
        listing.from = page.next;
        if listing.from.is_some() {
            self.listing = Some(listing);
            return;
        }
        self.troubles.remove(&kind);
        if kind == Type::Role {
            self.copies.makers = listing.makers;
        }
        self.copies.kinds.insert(kind, listing.found);
        self.end_of_list(now);
    }

    fn end_of_list(&mut self, now: Instant) {
        self.stale = true;
        if self.queue.is_empty() {
            (self.is_complete, self.listed_at) = (true, Some(now));
        }
    }

    /// Makes a new plan, and notes whether there is nothing to do.
    fn compare(&mut self, source: &Originals, now: Instant) {
        (self.stale, self.doubts) = (false, Doubts::default());
        #[cfg(test)]
        {
            self.comparisons += 1;
        }
        let scopes = &self.assignment.scopes;
        // What nothing keeps is to be removed, whatever the source has.
        let wanted = |key: &Key| {
            Scope::first_of(scopes, key).and_then(|_| source.original(key)).map(|original| original.digest)
        };
        // Something else than what was refused is tried at once.
        self.refused.keep_wanted(wanted);
        self.made.retain(|key, made| wanted(key) == Some(made.original));
        let until = self.refused.horizon(now);
        let refused = |key: &Key| self.refused.why(key, until);
        let (scopes, past) = (&self.assignment.scopes, &self.assignment.past);
        let world = World::new(source, &self.copies, scopes, past, &refused);
        let is_as_made = |key: &Key, original: Digest, copy: Digest| {
            self.made.get(key) == Some(&Made { original, copy: Some(copy) })
        };
        self.plan = Plan::of(&world, &is_as_made);
        self.actions = mem::take(&mut self.plan.actions).into();
        let planned: BTreeSet<&Key> = self.actions.iter().map(|action| &action.key).collect();
        self.refused.keep_planned(until, &planned);
        self.note_sync(source);
    }

    /// An empty plan says nothing where a kind could not be read, on either side, or was refused. Conflicts do not count: what
    /// is the cluster's own is meant to stay.
    fn note_sync(&mut self, source: &Originals) {
        if !self.is_complete || self.away.is_some() || !self.troubles.is_empty() {
            return;
        }
        let now = SystemTime::now();
        let assignment = Arc::clone(&self.assignment);
        for scope in &assignment.scopes {
            let is_known =
                !self.is_source_unread(scope) && scope.kinds.iter().all(|kind| source.knows(*kind));
            if is_known && self.plan.scopes.get(&scope.name).is_some_and(Summary::is_equal) {
                self.last_sync.insert(Arc::clone(&scope.name), now);
            }
        }
    }

    /// How the write that was asked for last ended.
    pub(super) fn wrote(&mut self, written: Written, now: Instant) {
        let Some(action) = self.actions.pop_front() else { return };
        let key = &action.key;
        match written {
            Written::Done(seen) => {
                self.back();
                self.writes += 1;
                self.refused.forget(key);
                self.remember(&action, seen.as_ref());
            }
            Written::Changed(seen) => {
                self.back();
                self.doubts.changed(key);
                match seen {
                    Some(object) => self.put(object),
                    None => self.drop_copy(key),
                }
            }
            Written::Failed(Failure::Away(why)) => self.lost(why, now),
            Written::Failed(failure) => self.refuse(&action, &failure, now),
        }
        if self.actions.is_empty() {
            // Something may have become possible, such as a role's deletion.
            self.stale = true;
        }
    }

    fn refuse(&mut self, action: &Action, failure: &Failure, now: Instant) {
        self.errors += 1;
        let why: Arc<str> = failure.to_string().into();
        self.plan.note_refusal(Scope::first_of(&self.assignment.scopes, &action.key), &action.key, &why);
        self.doubts.refused(action);
        self.refused.add(action, why, now, &mut self.random);
    }

    /// What the cluster holds after a write.
    fn remember(&mut self, action: &Action, seen: Option<&Object>) {
        let key = &action.key;
        if let Some((_, Owner::Other(federation))) = &action.expected {
            self.taken.insert(key.clone(), Arc::clone(federation));
        }
        match &action.op {
            Op::Create(original) | Op::Update(original) => {
                let made = Made { original: original.digest, copy: seen.map(|it| it.digest) };
                self.made.insert(key.clone(), made);
                let digest = made.copy.unwrap_or(original.digest);
                let copy = Copy { digest, owner: Owner::Ours, binding: original.binding.clone() };
                self.copies.kinds.entry(key.kind).or_default().insert(key.clone(), copy);
                if key.kind == Type::Namespace {
                    self.copies.makers.insert(key.name.clone(), Owner::Ours);
                }
            }
            Op::Empty => {
                let copy = Copy { digest: key.emptied_digest(), owner: Owner::Ours, binding: None };
                self.copies.kinds.entry(key.kind).or_default().insert(key.clone(), copy);
            }
            Op::Delete => self.drop_copy(key),
        }
    }

    /// Whether the same was written before and reads otherwise: then it is looked at what the cluster makes of it.
    pub(super) fn is_repeated(&self, action: &Action) -> bool {
        let Op::Update(original) = &action.op else { return false };
        self.made.get(&action.key).is_some_and(|made| made.original == original.digest)
    }

    fn put(&mut self, object: Object) {
        let (key, copy) = self.copy_of(object);
        self.note_alive(&key, &copy.owner);
        self.copies.kinds.entry(key.kind).or_default().insert(key, copy);
    }

    /// Another federation's copy where this one's was, or where this one removed that one's.
    fn note_alive(&mut self, key: &Key, owner: &Owner) {
        let Owner::Other(federation) = owner else { return };
        if self.copies.owner(key) == Owner::Ours || self.taken.get(key) == Some(federation) {
            self.copies.alive.insert(Arc::clone(federation));
        }
    }

    fn drop_copy(&mut self, key: &Key) {
        if let Some(kind) = self.copies.kinds.get_mut(&key.kind) {
            kind.remove(key);
        }
        if key.kind == Type::Namespace {
            self.copies.makers.remove(&key.name);
        }
    }

    fn copy_of(&self, object: Object) -> (Key, Copy) {
        let owner = Owner::of(object.origin.as_deref(), &self.federation);
        (object.key, Copy { digest: object.digest, owner, binding: object.binding })
    }

    fn back(&mut self) {
        (self.failures, self.away) = (0, None);
    }

    /// The cluster is not there: everything is read again when it is.
    fn lost(&mut self, why: Arc<str>, now: Instant) {
        self.errors += 1;
        self.due = now + RETRY.delay(self.failures, &mut self.random);
        self.failures = self.failures.saturating_add(1);
        self.away = Some(why);
        self.listing = None;
        self.queue.clear();
        self.stale = true;
        self.actions.clear();
    }

    /// Whether everything is as it should be, or said why not.
    pub(super) fn is_settled(&self) -> bool {
        self.is_complete && self.away.is_none() && self.actions.is_empty() && !self.stale
    }

    /// Whether nothing is left of what is to be removed.
    pub(super) fn is_clean(&self) -> bool {
        self.is_settled() && self.troubles.is_empty() && self.plan.past.is_empty()
    }
}

// === impl Assignment ===

impl Assignment {
    fn all(&self) -> impl Iterator<Item = &Scope> {
        self.scopes.iter().chain(&self.past)
    }

    fn adopts(&self) -> BTreeSet<&Arc<str>> {
        self.all().flat_map(|scope| &scope.adopts).collect()
    }

    /// The kinds that have to be known of a cluster.
    pub(super) fn kinds(&self) -> BTreeSet<Type> {
        let mut kinds: BTreeSet<Type> = self.all().flat_map(|scope| scope.kinds.iter().copied()).collect();
        if kinds.iter().any(|kind| kind.is_role() || kind.is_binding()) {
            // Which roles are there, and what names them.
            kinds.extend([Type::ClusterRole, Type::Role, Type::ClusterRoleBinding, Type::RoleBinding]);
        }
        if kinds.iter().any(|kind| kind.is_namespaced()) {
            kinds.insert(Type::Namespace);
        }
        if kinds.contains(&Type::Namespace) {
            // Whose they are.
            kinds.insert(Type::Role);
        }
        kinds
    }

    /// The kinds that have to be known of the source.
    pub(super) fn source_kinds(&self) -> BTreeSet<Type> {
        source_kinds(&self.scopes)
    }

    /// The one namespace that all of it is about.
    fn narrowed_to(&self) -> Option<&str> {
        let mut all = self.all().map(|scope| scope.namespace.as_deref());
        let first = all.next()??;
        all.all(|namespace| namespace == Some(first)).then_some(first)
    }
}

/// The kinds that have to be known of the source for these.
fn source_kinds<'a>(scopes: impl IntoIterator<Item = &'a Scope>) -> BTreeSet<Type> {
    let mut kinds: BTreeSet<Type> =
        scopes.into_iter().flat_map(|scope| scope.kinds.iter().copied()).collect();
    if kinds.contains(&Type::Namespace) {
        kinds.insert(Type::Role);
    }
    kinds
}

/// Whether a list of one namespace is enough. Roles and bindings refer to each other across namespaces.
fn is_narrowed(kind: Type) -> bool {
    kind.is_namespaced() && !kind.is_role() && !kind.is_binding()
}

/// Before a cluster that is away is tried again.
const RETRY: Backoff =
    Backoff { first: Duration::from_secs(1), longest: Duration::from_secs(60), jitter: 0.5 };

/// Most objects of one kind in one cluster that are compared: some 200 bytes each.
pub(super) const MAX_OBJECTS: usize = 100_000;
