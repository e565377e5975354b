//! What a `Replicator` would do now, and whether its copies equal their originals: found by reading both sides once, for
//! one request. Nothing is written, and it does not matter which gateway leads.
//!
//! The cluster is read by the same machine that replicates, and what differs is decided by the same functions. One that
//! only reports (`dry_run`) is compared as if it did not.
//!
//! The source is read first. Where something differs it is read again, after the cluster: else what was changed and copied
//! meanwhile would look as if the cluster were ahead, and the change would be shown the wrong way round.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures::{StreamExt as _, future::join_all, stream};
use serde_json::Value;
use tokio::{
    sync::{Mutex, watch},
    time::{Instant, timeout, timeout_at},
};

use super::{
    client::{Client, Page, Reach},
    decide::{Op, Owner, Remark, SUBJECT, Scope, Verdict, World},
    machine::{Assignment, Machine, Step},
    memory::Memory,
    object::Key,
    plan,
    source::{Room, Source, list_within},
    supervisor::View,
};
use crate::{
    corev2::{Type, difference},
    registry::{Registry, STORE_ID, Store, StoreError},
    types::{
        ClusterName, Comparison, Difference, DifferenceAction, FieldDifference, LOCAL_CLUSTER,
        PlaceComparison, Targets,
    },
};

/// Compares on request. Cheap to clone.
#[derive(Clone)]
pub struct Comparer {
    registry: watch::Receiver<Arc<Registry>>,
    store: Arc<dyn Store>,
    reach: Arc<dyn Reach>,
    /// How many bytes of the local cluster's objects may be held.
    room: usize,
}

/// What all clusters of one comparison share.
struct Shared {
    start: Instant,
    deadline: Instant,
    name: Arc<str>,
    federation: Arc<str>,
    reach: Arc<dyn Reach>,
    subject: Arc<str>,
    local: Local,
}

/// The local cluster.
struct Local {
    client: Client,
    kinds: BTreeSet<Type>,
    room: usize,
    /// When it was last read, and what it held.
    read: Mutex<Option<(Instant, Arc<Source>)>>,
}

/// What objects of the cluster look like, where the source has another one of the name.
#[derive(Default)]
struct Seen {
    objects: HashMap<Key, Bytes>,
    bytes: usize,
}

// === impl Comparer ===

impl Comparer {
    /// `registry` must follow `store`.
    pub fn new(
        registry: watch::Receiver<Arc<Registry>>,
        store: Arc<dyn Store>,
        reach: Arc<dyn Reach>,
    ) -> Self {
        Self { registry, store, reach, room: MAX_BYTES }
    }

    /// The same with less room.
    #[cfg(test)]
    pub(super) fn with_room(self, room: usize) -> Self {
        Self { room, ..self }
    }

    /// Compares the clusters of a `Replicator`, or `only` one of them; `None` if none of that name is registered. Takes
    /// at most 25 s: clusters that are not done by then are named.
    pub async fn compare(&self, name: &str, only: Option<&str>) -> Option<Comparison> {
        let start = Instant::now();
        let registry = Arc::clone(&self.registry.borrow());
        let mut view = View::of(&registry);
        let (spec, scope) = view.scopes.iter_mut().find(|(_, scope)| &*scope.name == name)?;
        let dry_run = std::mem::take(&mut scope.dry_run);
        let targets = spec.clusters.clone();
        let places = match timeout(STORE_LIMIT, self.remembered()).await {
            Ok(Ok((federation, memory))) => {
                let planned = view.plan(&memory, &registry);
                let names = names(name, &targets, &view, &planned, only);
                let deadline = start + LIMIT;
                self.places(name, federation.into(), names, planned, deadline).await
            }
            unread => {
                let why = match unread {
                    Ok(Err(error)) => format!("the gateway's registry: {error}"),
                    _ => "the gateway's registry does not answer".to_owned(),
                };
                let names = names(name, &targets, &view, &BTreeMap::new(), only);
                names.into_iter().map(|cluster| PlaceComparison::unknown(cluster, &*why)).collect()
            }
        };
        Some(Comparison { dry_run, places, took: start.elapsed() })
    }

    /// This federation's name, and what its copies may be of. One that has never copied anything has no name yet, and
    /// reading does not give it one.
    async fn remembered(&self) -> Result<(String, Memory), StoreError> {
        let id = self.store.get(STORE_ID).await?;
        let id =
            id.map_or_else(|| NO_FEDERATION.to_owned(), |id| String::from_utf8_lossy(&id.value).into_owned());
        Ok((id, Memory::load(&*self.store).await?))
    }

    async fn places(
        &self,
        name: &str,
        federation: Arc<str>,
        names: BTreeSet<Arc<str>>,
        planned: BTreeMap<Arc<str>, Assignment>,
        deadline: Instant,
    ) -> Vec<PlaceComparison> {
        let narrowed = |cluster: &Arc<str>| planned.get(cluster).map(|assignment| narrowed(assignment, name));
        let tasks: Vec<_> = names.into_iter().map(|cluster| (narrowed(&cluster), cluster)).collect();
        let kinds = tasks.iter().filter_map(|(assignment, _)| assignment.as_ref());
        let kinds = kinds.flat_map(Assignment::source_kinds).collect();
        let subject: Arc<str> = format!("{SUBJECT}{federation}").into();
        let client = Client::new(Arc::clone(&self.reach), LOCAL_CLUSTER.into(), Arc::clone(&subject));
        let local = Local { client, kinds, room: self.room, read: Mutex::default() };
        let (name, reach) = (name.into(), Arc::clone(&self.reach));
        let start = Instant::now();
        let shared = Shared { start, deadline, name, federation, reach, subject, local };
        let comparisons = tasks.into_iter().map(|(assignment, cluster)| {
            let shared = &shared;
            async move {
                let Some(assignment) = assignment else {
                    return PlaceComparison::unknown(cluster, "no cluster of that name is registered");
                };
                let compared = timeout_at(deadline, shared.in_cluster(&cluster, assignment)).await;
                compared.unwrap_or_else(|_| PlaceComparison::unknown(cluster, TOO_SLOW))
            }
        });
        stream::iter(comparisons).buffered(AT_ONCE).collect().await
    }
}

/// The clusters that a `Replicator` copies to, or may have copied to before.
fn names(
    name: &str,
    targets: &Targets,
    view: &View,
    planned: &BTreeMap<Arc<str>, Assignment>,
    only: Option<&str>,
) -> BTreeSet<Arc<str>> {
    let targeted: BTreeSet<&ClusterName> = match targets {
        Targets::All => view.clusters.iter().collect(),
        Targets::Named(names) => names.iter().collect(),
    };
    let left = planned.iter().filter(|(_, it)| it.past.iter().any(|scope| &*scope.name == name));
    let all = targeted.into_iter().map(|cluster| cluster.as_str().into());
    let all = all.chain(left.map(|(cluster, _)| Arc::clone(cluster)));
    all.filter(|cluster: &Arc<str>| only.is_none_or(|only| **cluster == *only)).collect()
}

/// An assignment without what makes no difference to one `Replicator`: of the others only what roles, bindings and
/// namespaces depend on.
fn narrowed(assignment: &Assignment, name: &str) -> Assignment {
    let is_own = |scope: &&Scope| &*scope.name == name;
    let own = assignment.scopes.iter().chain(&assignment.past).filter(is_own);
    let mut kinds: BTreeSet<Type> = own.flat_map(|scope| scope.kinds.iter().copied()).collect();
    kinds.extend(Type::ALL.into_iter().filter(|kind| kind.is_role() || kind.is_binding()));
    kinds.insert(Type::Namespace);
    let narrow = |scopes: &[Scope]| {
        let scopes = scopes
            .iter()
            .cloned()
            .map(|scope| Scope { kinds: scope.kinds.intersection(&kinds).copied().collect(), ..scope });
        scopes.filter(|scope| !scope.kinds.is_empty()).collect()
    };
    Assignment {
        scopes: narrow(&assignment.scopes),
        past: narrow(&assignment.past),
        interval: assignment.interval,
    }
}

// === impl Shared ===

impl Shared {
    async fn in_cluster(&self, cluster: &Arc<str>, assignment: Assignment) -> PlaceComparison {
        let start = Instant::now();
        let source = self.local.since(self.start).await;
        let client = Client::new(Arc::clone(&self.reach), Arc::clone(cluster), Arc::clone(&self.subject));
        let mut machine = Machine::new(Arc::clone(&self.federation), Arc::new(assignment), start, 0);
        let mut seen = Seen::default();
        // The time stands still for the machine: it lists everything once, however long that takes.
        while let Step::List { kind, namespace, from } = machine.next(&source.originals, start) {
            let page = client.list(kind, namespace.as_deref(), from.as_deref()).await;
            if let Ok(page) = &page {
                seen.note(page, &source);
            }
            machine.listed(page, start);
        }
        let mut found = self.judge(cluster, &machine, &source, &seen);
        if found.counts.total() > 0 {
            // Reading it once more must not cost what is known already.
            let again = timeout_at(self.deadline - MARGIN, self.local.since(Instant::now())).await;
            match again.ok().filter(|again| knows_as_much(again, &source, &machine)) {
                Some(again) => found = self.judge(cluster, &machine, &again, &seen),
                None => found.warnings.insert(0, NOT_READ_AGAIN.to_owned()),
            }
        }
        found.took = start.elapsed();
        found
    }

    /// What the machine would do, and what it would leave.
    fn judge(&self, cluster: &Arc<str>, machine: &Machine, source: &Source, seen: &Seen) -> PlaceComparison {
        let mut found = PlaceComparison { name: Arc::clone(cluster), ..PlaceComparison::default() };
        if let Some(why) = &machine.away {
            found.error = Some(Arc::clone(why));
            return found;
        }
        let (scopes, past) = (&machine.assignment.scopes, &machine.assignment.past);
        found.error = trouble(machine, source);
        let none_refused = |_: &Key| None;
        let world = World::new(&source.originals, &machine.copies, scopes, past, &none_refused);
        let mut judged: Vec<(&Key, Verdict)> = plan::keys(&world)
            .filter(|key| self.concerns(&world, key))
            .map(|key| (key, world.decide(key)))
            .collect();
        found.compared = u64::try_from(Self::originals(&world, &judged)).unwrap_or(u64::MAX);
        judged.retain(|(_, verdict)| verdict.op.is_some() || verdict.remark.is_some());
        // What is left alone comes after what is done.
        judged.sort_by_cached_key(|(key, verdict)| {
            let rank = verdict.op.as_ref().map(|(rank, _)| *rank);
            (rank.is_none(), rank, (*key).clone())
        });
        for (key, verdict) in judged {
            Self::note(&mut found, &world, key, verdict, seen);
        }
        found
    }

    /// How many originals there are that the cluster should hold.
    fn originals(world: &World<'_>, judged: &[(&Key, Verdict)]) -> usize {
        let is_kept = |key: &&Key| world.scope(key).is_some() && world.source.original(key).is_some();
        judged.iter().map(|(key, _)| *key).filter(is_kept).count()
    }

    /// Whether an object is this `Replicator`'s concern.
    fn concerns(&self, world: &World<'_>, key: &Key) -> bool {
        match world.scope(key) {
            Some(scope) => scope.name == self.name,
            None => world.past.iter().any(|scope| scope.name == self.name && scope.covers(key)),
        }
    }

    fn note(found: &mut PlaceComparison, world: &World<'_>, key: &Key, verdict: Verdict, seen: &Seen) {
        let is_conflict = matches!(verdict.remark, Some(Remark::Conflict(_)));
        let remark = match verdict.remark {
            Some(Remark::Warning(text)) if verdict.op.is_none() => {
                return found.warn(format!("{key}: {text}"));
            }
            Some(Remark::Conflict(text)) => Some(text.to_owned()),
            Some(Remark::Problem(text) | Remark::Warning(text)) => Some(text),
            None => None,
        };
        let owner = world.copies.owner(key);
        let (action, why) = match &verdict.op {
            Some((_, Op::Create(_))) => (DifferenceAction::Create, MISSING),
            Some((_, Op::Update(original))) => {
                let is_equal = world.copies.get(key).is_some_and(|copy| copy.digest == original.digest);
                let why = match (owner, is_equal) {
                    (Owner::Ours, _) => EDITED,
                    (Owner::Other(_), _) => TAKEN_OVER,
                    (Owner::Nobody, true) => UNLABELLED,
                    (Owner::Nobody, false) => OVERWRITTEN,
                };
                (DifferenceAction::Update, why)
            }
            Some((_, Op::Empty)) => (DifferenceAction::Update, GONE),
            Some((_, Op::Delete)) => (DifferenceAction::Delete, Self::why_deleted(world, key)),
            None if is_conflict => (DifferenceAction::Conflict, ""),
            None => (DifferenceAction::Blocked, ""),
        };
        let why = match remark {
            Some(remark) if why.is_empty() => remark,
            Some(remark) => format!("{why}; {remark}"),
            None => why.to_owned(),
        };
        let difference = Difference {
            kind: key.kind.name(),
            namespace: key.namespace.clone(),
            name: key.name.clone(),
            action,
            why,
            fields: Vec::new(),
        };
        found.add(difference, || seen.fields(world, key));
    }

    fn why_deleted(world: &World<'_>, key: &Key) -> &'static str {
        if world.scope(key).is_none() {
            return UNWANTED;
        }
        let has_one = world.source.kinds.get(&key.kind).is_some_and(|kind| kind.contains_key(key));
        if has_one { COPY_ITSELF } else { GONE }
    }
}

/// Whether of all that matters no kind is missing that was there `before`.
fn knows_as_much(source: &Source, before: &Source, machine: &Machine) -> bool {
    let wanted = machine.assignment.source_kinds();
    let is_new = |kind: &Type| wanted.contains(kind) && !before.troubles.contains_key(kind);
    !source.troubles.keys().any(is_new)
}

/// Why not everything is known of both sides.
fn trouble(machine: &Machine, source: &Source) -> Option<Arc<str>> {
    let wanted = machine.assignment.source_kinds();
    let local = source.troubles.iter().filter(|(kind, _)| wanted.contains(kind));
    let local = local.map(|(kind, why)| format!("the local cluster: {}: {why}", kind.name()));
    let there = machine.troubles.iter().map(|(kind, why)| format!("{}: {why}", kind.name()));
    let all: Vec<String> = local.chain(there).collect();
    (!all.is_empty()).then(|| all.join("; ").into())
}

// === impl Local ===

impl Local {
    /// What it holds, read from this moment on. Those who ask while it is read wait for that.
    async fn since(&self, moment: Instant) -> Arc<Source> {
        let mut read = self.read.lock().await;
        if let Some((at, source)) = &*read
            && *at >= moment
        {
            return Arc::clone(source);
        }
        let at = Instant::now();
        let room = Room::new(self.room);
        let lists =
            self.kinds.iter().map(async |kind| (*kind, list_within(&self.client, *kind, &room).await));
        let mut source = Source::default();
        for (kind, list) in join_all(lists).await {
            match list {
                Ok(objects) => {
                    source.originals.kinds.insert(kind, Arc::new(objects));
                }
                Err(failure) => {
                    source.troubles.insert(kind, failure.to_string().into());
                }
            }
        }
        let source = Arc::new(source);
        *read = Some((at, Arc::clone(&source)));
        source
    }
}

// === impl Seen ===

impl Seen {
    /// Keeps what differs, up to a bound.
    fn note(&mut self, page: &Page, source: &Source) {
        for object in &page.objects {
            let original =
                source.originals.kinds.get(&object.key.kind).and_then(|kind| kind.get(&object.key));
            let differs = original.is_some_and(|original| original.digest != object.digest);
            if differs && self.bytes + object.json.len() <= MAX_SEEN {
                self.bytes += object.json.len();
                self.objects.insert(object.key.clone(), object.json.clone());
            }
        }
    }

    fn fields(&self, world: &World<'_>, key: &Key) -> Vec<FieldDifference> {
        let Some((original, copy)) = world.source.original(key).zip(self.objects.get(key)) else {
            return Vec::new();
        };
        let read = |json: &[u8]| serde_json::from_slice::<Value>(json).unwrap_or_default();
        difference::fields(key.kind, &read(&original.json), &read(copy))
    }
}

const MISSING: &str = "the cluster has none";

const EDITED: &str = "it differs from the local cluster's";

const OVERWRITTEN: &str = "the cluster's own is overwritten";

const TAKEN_OVER: &str = "another federation's copy is taken over";

const UNLABELLED: &str = "the cluster's own is equal and becomes a copy";

const GONE: &str = "the local cluster has none any more";

const COPY_ITSELF: &str = "the local cluster's is itself a copy of another federation's";

const UNWANTED: &str = "the replicator does not copy it any more";

const NOT_READ_AGAIN: &str =
    "the local cluster was not read again: what changed meanwhile may be shown the wrong way round";

const TOO_SLOW: &str = "it was not read within 25 s";

/// In place of the name of a federation that has none: no store makes such a one.
const NO_FEDERATION: &str = "none";

/// Shorter than `fedgate diff` and `fedgate verify` wait, whatever sensuctl has saved: what is known of the other clusters has
/// to arrive.
const LIMIT: Duration = Duration::from_secs(25);

/// How much of it is kept for the answer when the local cluster is read again.
const MARGIN: Duration = Duration::from_secs(2);

const STORE_LIMIT: Duration = Duration::from_secs(5);

/// Clusters that are read at once, each with one request in flight.
const AT_ONCE: usize = 16;

/// Most bytes of the local cluster's objects that are held.
const MAX_BYTES: usize = 256 << 20;

/// Most bytes of one cluster's objects that are kept to show in which fields they differ.
const MAX_SEEN: usize = 4 << 20;
