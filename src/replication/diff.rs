//! What an etcd replicator would do now, and whether the follower equals the source: found by reading both etcds once, for
//! one request. Nothing is written, and it does not matter which gateway leads.
//!
//! What differs is found by the same [`Work`] that replicates. The follower is read first: else what was changed and
//! copied meanwhile would look as if the follower were ahead, and the change would be shown the wrong way round.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};

use super::{
    RBAC,
    cache::{Content, ReplicaCache},
    decide::{Op, Problem},
    keyspace_of,
    machine::IS_SOURCE,
    memory::{Address, Memory},
    plan::{View, Wanted},
    record::{FENCE, Fence, RECORDS, owned_prefix},
    work::{Assignment, Sides, Work},
};
use crate::{
    corev2::{
        ClusterRole, ClusterRoleBinding, ObjectKey, Role, RoleBinding, RoleRef, Rule, Subject, Type, decode,
        difference,
    },
    etcd::{
        Client, Config, Error, Event, explain,
        proto::{KeyValue, RangeRequest},
    },
    registry::{Registry, Store},
    types::{
        Comparison, Difference, DifferenceAction, FieldDifference, Kind, PlaceComparison, ReplicatorSpec,
        Spec,
    },
};

/// Compares on request. Cheap to clone.
#[derive(Clone)]
pub struct Comparer {
    registry: watch::Receiver<Arc<Registry>>,
    store: Arc<dyn Store>,
    source: Config,
}

/// What is compared.
struct Task {
    name: Arc<str>,
    kind: Type,
    /// What the task of the destination has to do.
    assignment: Assignment,
    /// Nothing is copied before something else is done.
    is_held: bool,
    store_id: String,
}

// === impl Comparer ===

impl Comparer {
    /// `registry` must follow `store`; `source` is the local cluster's etcd.
    pub fn new(registry: watch::Receiver<Arc<Registry>>, store: Arc<dyn Store>, source: Config) -> Self {
        Self { registry, store, source }
    }

    /// Compares an etcd replicator's follower with the source; `None` if none of that name is registered. Takes at most
    /// 25 s.
    pub async fn compare(&self, name: &str) -> Option<Comparison> {
        let start = Instant::now();
        let registry = Arc::clone(&self.registry.borrow());
        let item = registry.get(Kind::EtcdReplicator, name)?;
        let Spec::EtcdReplicator(spec) = &item.checked.spec else { return None };
        let address = Address::of(spec);
        let compared = timeout(LIMIT, self.place(&registry, name, spec, &address)).await;
        let compared = compared.unwrap_or_else(|_| Err(TOO_SLOW.to_owned()));
        let mut place = compared
            .unwrap_or_else(|why| PlaceComparison { error: Some(why.into()), ..PlaceComparison::default() });
        place.name = address.describe().into();
        place.took = start.elapsed();
        Some(Comparison { dry_run: false, took: place.took, places: vec![place] })
    }

    async fn place(
        &self,
        registry: &Registry,
        name: &str,
        spec: &ReplicatorSpec,
        address: &Address,
    ) -> Result<PlaceComparison, String> {
        let task = self.task(registry, name, spec, address).await?;
        let there = Client::new(Config::new(address.endpoints.clone(), address.tls.clone()));
        let there = there.map_err(|error| explain(&error))?;
        let here = Client::new(self.source.clone()).map_err(|error| at_source(&explain(&error)))?;
        let [rbac, own] = task.keyspaces();
        let dest = load(&there, &[RECORDS, rbac, own]).await?;
        let source = load(&here, &[rbac, own]).await.map_err(|why| at_source(&why))?;
        let fence =
            here.range(RangeRequest::key(FENCE)).await.ok().and_then(|answer| answer.kvs.into_iter().next());
        let fence = fence.and_then(|kv| Fence::parse(&kv.value));
        let (source, dest) = (source.read(), dest.read());
        task.judge(Sides { source: &source, dest: &dest }, fence.as_ref())
    }

    async fn task(
        &self,
        registry: &Registry,
        name: &str,
        spec: &ReplicatorSpec,
        address: &Address,
    ) -> Result<Task, String> {
        let kind =
            Type::of_name(&spec.resource).ok_or("this version of the gateway does not know its resource")?;
        let read = timeout(STORE_LIMIT, Memory::look(&*self.store)).await;
        let read = read.map_err(|_| "the gateway's registry does not answer".to_owned())?;
        let memory = read.map_err(|error| format!("the gateway's registry: {error}"))?;
        let wanted = Wanted::of(registry);
        let places = memory.destinations.iter();
        let places = places.filter_map(|(id, known)| Some((id.clone(), known.place.clone()?))).collect();
        let view = View { wanted: &wanted, known: &memory.destinations, places: &places };
        let mut assignment = view.assignment(&address.id(), &|_, _| false);
        let own = assignment.scopes.iter_mut().find(|scope| &*scope.name == name);
        let is_held = own.is_some_and(|own| std::mem::take(&mut own.held));
        Ok(Task { name: name.into(), kind, assignment, is_held, store_id: memory.store_id })
    }
}

/// What an etcd holds in some keyspaces, at one revision each. The error says in words why it cannot be read.
async fn load(client: &Client, keyspaces: &[&'static str]) -> Result<Arc<ReplicaCache>, String> {
    let cache = ReplicaCache::new();
    let mut room = MAX_BYTES;
    let all: BTreeSet<&'static str> = keyspaces.iter().copied().collect();
    for keyspace in all {
        let opened = cache.open(keyspace);
        let mut attempts = 0;
        let (revision, found) = loop {
            match scan(client, keyspace, room).await {
                // It is read at one revision, which may be compacted away meanwhile.
                Err(Failure::Etcd(Error::Compacted { .. })) if attempts < ATTEMPTS => attempts += 1,
                Err(Failure::Etcd(error)) => return Err(format!("{keyspace}: {}", explain(&error))),
                Err(Failure::TooLarge) => return Err(format!("{keyspace}: {TOO_LARGE}")),
                Ok(found) => break found,
            }
        };
        room -= found.iter().map(size).sum::<usize>();
        let items = found.into_iter().map(Event::Item);
        cache.apply(opened, [Event::Reset].into_iter().chain(items).chain([Event::ResetDone { revision }]));
    }
    Ok(cache)
}

enum Failure {
    Etcd(Error),
    TooLarge,
}

async fn scan(client: &Client, keyspace: &str, room: usize) -> Result<(i64, Vec<KeyValue>), Failure> {
    let mut request = RangeRequest { limit: PAGE, ..RangeRequest::prefix(keyspace.as_bytes()) };
    let (mut found, mut bytes) = (Vec::new(), 0);
    loop {
        let answer = client.range(request.clone()).await.map_err(Failure::Etcd)?;
        if request.revision == 0 {
            request.revision = answer.header.map_or(0, |header| header.revision);
        }
        bytes += answer.kvs.iter().map(size).sum::<usize>();
        if bytes > room {
            return Err(Failure::TooLarge);
        }
        let last = answer.kvs.last().map(|kv| kv.key.clone());
        found.extend(answer.kvs);
        match last.filter(|_| answer.more) {
            Some(last) => request.key = [&last[..], &[0]].concat(),
            None => return Ok((request.revision, found)),
        }
    }
}

fn size(kv: &KeyValue) -> usize {
    kv.key.len() + kv.value.len() + OVERHEAD
}

fn at_source(why: &str) -> String {
    format!("the local cluster's etcd: {why}")
}

// === impl Task ===

impl Task {
    fn keyspaces(&self) -> [&'static str; 2] {
        [RBAC, keyspace_of(self.kind)]
    }

    /// `fence` is what the source holds.
    fn judge(&self, sides: Sides<'_>, fence: Option<&Fence>) -> Result<PlaceComparison, String> {
        let there = sides.dest.get(FENCE.as_bytes()).and_then(|entry| Fence::parse(&entry.value));
        if let (Some(here), Some(there)) = (fence, &there)
            && here.place == there.place
        {
            return Err(IS_SOURCE.to_owned());
        }
        let mut work = Work::new(owned_prefix(&self.store_id));
        work.look(&self.assignment, sides, Instant::now());
        if !work.knows(self.kind) {
            return Err(at_source(NO_SOURCE));
        }
        for _ in 0..ROUNDS {
            work.decide(&self.assignment, sides);
            if work.is_decided() {
                break;
            }
        }
        let mut found =
            PlaceComparison { compared: self.compared(sides.source), ..PlaceComparison::default() };
        let (mut owned, mut disowned) = (0_u64, 0_u64);
        for (key, op) in work
            .queue
            .iter()
            .filter(|(key, op)| *work.writer_of(&self.assignment, sides, key, op) == *self.name)
        {
            match op {
                Op::Own(_) => owned += 1,
                Op::Disown => disowned += 1,
                Op::Put { .. } | Op::Delete => self.note(&mut found, sides, &work, key, op),
            }
        }
        for (key, problem) in work.problems().iter().filter(|(_, problem)| problem.replicator == self.name) {
            // The others are said with what is done.
            if work.queue.has(key) {
                continue;
            }
            if problem.is_error {
                let why = problem.what().to_owned();
                let difference = Difference { why, ..self.difference(key, DifferenceAction::Blocked) };
                found.add(difference, || fields(self.kind, sides, key));
            } else {
                found.warn(problem.text.clone());
            }
        }
        if owned > 0 {
            found.warn(format!("{owned} {EQUAL_ALREADY}"));
        }
        if disowned > 0 {
            found.warn(format!("{disowned} {LEFT_THERE}"));
        }
        if self.is_held {
            found.warn(HELD.to_owned());
        }
        if let Some(other) = there.filter(|there| there.store != self.store_id) {
            found.warn(format!("{}, a gateway of another federation, {KEEPS_OUT}", other.gateway));
        }
        Ok(found)
    }

    fn compared(&self, source: &Content) -> u64 {
        let scopes = self.assignment.scopes.iter().filter(|scope| scope.name == self.name);
        let count = scopes.map(|scope| source.range(scope.prefix().as_bytes()).count()).sum::<usize>();
        u64::try_from(count).unwrap_or(u64::MAX)
    }

    fn note(&self, found: &mut PlaceComparison, sides: Sides<'_>, work: &Work, key: &Bytes, op: &Op) {
        let is_there = sides.dest.get(key).is_some();
        let is_owned = sides.dest.get(&work.record_of(key)).is_some();
        let has_original = sides.source.get(key).is_some();
        let (action, why) = match op {
            Op::Delete if !is_there => return,
            Op::Delete if has_original => (DifferenceAction::Delete, UNWANTED),
            Op::Delete => (DifferenceAction::Delete, GONE),
            _ if !is_there => (DifferenceAction::Create, MISSING),
            _ if !has_original => (DifferenceAction::Update, GONE),
            _ if is_owned => (DifferenceAction::Update, EDITED),
            _ => (DifferenceAction::Update, OVERWRITTEN),
        };
        let remark = work.problems().get(key).map(Problem::what);
        let why = remark.map_or_else(|| why.to_owned(), |remark| format!("{why}; {remark}"));
        let difference = Difference { why, ..self.difference(key, action) };
        let is_update = action == DifferenceAction::Update && has_original;
        found.add(difference, || if is_update { fields(self.kind, sides, key) } else { Vec::new() });
    }

    /// The name of an API key is the secret itself.
    fn difference(&self, key: &Bytes, action: DifferenceAction) -> Difference {
        let (kind, namespace, name) = match ObjectKey::parse(key) {
            Some(Ok(object)) if object.kind == Type::ApiKey => (object.kind, "", HIDDEN.to_owned()),
            Some(Ok(object)) => (object.kind, object.namespace.unwrap_or_default(), object.name.to_owned()),
            _ if self.kind == Type::ApiKey => (self.kind, "", HIDDEN.to_owned()),
            _ => (self.kind, "", key.escape_ascii().to_string().chars().take(MAX_NAME).collect()),
        };
        let namespace = namespace.to_owned();
        Difference { kind: kind.name(), namespace, name, action, why: String::new(), fields: Vec::new() }
    }
}

/// In which fields both sides differ, of types that can be read.
fn fields(kind: Type, sides: Sides<'_>, key: &Bytes) -> Vec<FieldDifference> {
    let read = |content: &Content| content.get(key).and_then(|entry| shown(kind, &entry.value));
    match (read(sides.source), read(sides.dest)) {
        (Some(source), Some(dest)) => difference::fields(kind, &source, &dest),
        _ => Vec::new(),
    }
}

/// A role or a binding as the API shows it, without what a cluster sets by itself.
fn shown(kind: Type, value: &Bytes) -> Option<Value> {
    let rules = |rules: Vec<Rule>| -> Value {
        let rule = |it: Rule| json!({"verbs": it.verbs, "resources": it.resources, "resource_names": it.resource_names});
        rules.into_iter().map(rule).collect()
    };
    let grants = |subjects: Vec<Subject>, role: Option<RoleRef>| -> (Value, Value) {
        let subject = |it: Subject| json!({"type": it.kind, "name": it.name});
        let role = role.unwrap_or_default();
        (subjects.into_iter().map(subject).collect(), json!({"type": role.kind, "name": role.name}))
    };
    let what = kind.name();
    let (mut object, metadata) = match kind {
        Type::Role => {
            let it = decode::<Role>(value, what).ok()?;
            (json!({"rules": rules(it.rules)}), it.metadata)
        }
        Type::ClusterRole => {
            let it = decode::<ClusterRole>(value, what).ok()?;
            (json!({"rules": rules(it.rules)}), it.metadata)
        }
        Type::RoleBinding => {
            let it = decode::<RoleBinding>(value, what).ok()?;
            let (subjects, role_ref) = grants(it.subjects, it.role_ref);
            (json!({"subjects": subjects, "role_ref": role_ref}), it.metadata)
        }
        Type::ClusterRoleBinding => {
            let it = decode::<ClusterRoleBinding>(value, what).ok()?;
            let (subjects, role_ref) = grants(it.subjects, it.role_ref);
            (json!({"subjects": subjects, "role_ref": role_ref}), it.metadata)
        }
        _ => return None,
    };
    let metadata = metadata.unwrap_or_default();
    object["metadata"] = json!({
        "labels": metadata.labels, "annotations": metadata.annotations, "created_by": metadata.created_by,
    });
    Some(object)
}

const MISSING: &str = "the follower has none";

const EDITED: &str = "it differs from the local cluster's";

const OVERWRITTEN: &str = "the follower's own is overwritten";

const GONE: &str = "the local cluster has none any more";

const UNWANTED: &str = "the replicator does not copy it any more";

const EQUAL_ALREADY: &str = "equal already: from now on the replicator's, and deleted with their originals";

const LEFT_THERE: &str = "seeded by every cluster and gone from the local one: they stay on the follower";

const HELD: &str = "nothing is copied before what the replicator owns in its old destination is removed";

const KEEPS_OUT: &str = "writes there, and this one does not while it does";

const NO_SOURCE: &str =
    "it has no roles and bindings, as every Sensu cluster has: it is the wrong one, or has lost its data";

const TOO_SLOW: &str = "it was not read within 25 s";

const TOO_LARGE: &str = "there is more than can be compared on request (256 MiB)";

/// In place of a name that is a secret.
const HIDDEN: &str = "…";

const MAX_NAME: usize = 200;

/// Shorter than `fedgate diff` and `fedgate verify` wait, whatever sensuctl has saved.
const LIMIT: Duration = Duration::from_secs(25);

const STORE_LIMIT: Duration = Duration::from_secs(5);

/// How often what was decided may lead to other decisions.
const ROUNDS: usize = 4;

/// How often a keyspace is read again.
const ATTEMPTS: usize = 3;

/// Keys that are read at once.
const PAGE: i64 = 500;

/// Most bytes of one side that are held.
const MAX_BYTES: usize = 256 << 20;

/// Of an entry in memory, about.
const OVERHEAD: usize = 200;
