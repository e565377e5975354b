//! Runs decisions to their end, one write at a time, and checks the result after each.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::{
    corev2::{ClusterRoleBinding, RoleBinding, RoleRef, Subject},
    etcd,
    replication::{
        RBAC,
        cache::{OwnWrite, ReplicaCache, tests::cache_of},
        record::{RECORDS, owned_prefix},
        work::{Assignment, Sides, Work},
    },
};

type State = BTreeMap<Bytes, Bytes>;

const NAMES: [&str; 5] = ["a", "b", "view", "cluster-admin", "system:x"];
const GROUPS: [&str; 3] = ["g", "cluster-admins", "system:users"];

fn meta(namespace: &str, name: &str) -> ObjectMeta {
    ObjectMeta { name: name.into(), namespace: namespace.into(), ..ObjectMeta::default() }
}

/// An object of a type; `variant` decides what is in it. The last ones are bad.
fn value(object: &ObjectKey<'_>, variant: usize) -> Bytes {
    let (namespace, name) = (object.namespace.unwrap_or_default(), object.name);
    let verb = ["get", "list"][variant % 2];
    let rules =
        vec![crate::corev2::Rule { verbs: vec![verb.into()], resources: vec![], resource_names: vec![] }];
    let subjects = vec![Subject { kind: "Group".into(), name: GROUPS[variant % 3].into() }];
    let kind = if object.namespace.is_some() && variant.is_multiple_of(2) { "Role" } else { "ClusterRole" };
    let role_ref = Some(RoleRef { kind: kind.into(), name: NAMES[variant % NAMES.len()].into() });
    if variant >= BAD {
        return Bytes::from_static(if variant == BAD { b"\xff\xff" } else { b"" });
    }
    let metadata = Some(meta(namespace, name));
    let value = match object.kind {
        Type::ClusterRole => ClusterRole { rules, metadata }.encode_to_vec(),
        Type::Role => Role { rules, metadata }.encode_to_vec(),
        Type::ClusterRoleBinding => ClusterRoleBinding { subjects, role_ref, metadata }.encode_to_vec(),
        _ => RoleBinding { subjects, role_ref, metadata }.encode_to_vec(),
    };
    value.into()
}

const BAD: usize = 30;
const KINDS: [Type; 4] = [Type::ClusterRole, Type::Role, Type::ClusterRoleBinding, Type::RoleBinding];

/// A key with a value, by numbers.
fn entry(kind: usize, namespace: usize, name: usize, variant: usize) -> (Bytes, Bytes) {
    let kind = KINDS[kind];
    let namespace = kind.is_namespaced().then_some(["dev", "dev2"][namespace]);
    let key = kind.key(namespace, NAMES[name]);
    let object = ObjectKey { kind, namespace, name: NAMES[name] };
    (key.into(), value(&object, variant))
}

fn cache(state: &State) -> Arc<ReplicaCache> {
    cache_of(&[RBAC, RECORDS], state.iter().map(|(key, value)| (&key[..], &value[..], 1)))
}

fn parse(key: &Bytes) -> ObjectKey<'_> {
    ObjectKey::parse(key).unwrap().unwrap()
}

/// Bindings of missing roles, for the subjects who alone could repair them.
fn traps(state: &State) -> BTreeSet<Bytes> {
    let bindings =
        state.iter().filter(|(key, _)| key.starts_with(RBAC.as_bytes()) && parse(key).kind.is_binding());
    let is_trap = |(key, value): &(&Bytes, &Bytes)| {
        let binding = Binding::read(&parse(key), value);
        binding.is_vital() && binding.role.as_ref().is_none_or(|role| !state.contains_key(role))
    };
    bindings.filter(is_trap).map(|(key, _)| key.clone()).collect()
}

struct Case {
    source: State,
    dest: State,
    /// Owned in the destination, by a replicator's number.
    scopes: Vec<Scope>,
}

const STORE: &str = "s";

fn owns(dest: &State, key: &Bytes) -> bool {
    dest.contains_key(&record_of(&owned_prefix(STORE), key))
}

/// Carries out everything, and looks at each step. Returns the destination's end and how many writes that took.
fn run(case: &Case) -> (State, usize) {
    let source = cache(&case.source);
    let mut dest = case.dest.clone();
    let before = traps(&dest);
    let assignment = Assignment { scopes: case.scopes.clone(), ..Assignment::default() };
    let mut work = Work::new(owned_prefix(STORE));
    let mut writes = 0;
    loop {
        let dest_cache = cache(&dest);
        let (source, content) = (source.read(), dest_cache.read());
        let sides = Sides { source: &source, dest: &content };
        // Each cache is a new one: only the first look is at everything.
        if writes == 0 {
            work.look(&assignment, sides, tokio::time::Instant::now());
        }
        if work.decide(&assignment, sides) {
            return (dest, writes);
        }
        let (key, op) = work.queue.batch(1, false).remove(0);
        let object = parse(&key);
        let record = record_of(&owned_prefix(STORE), &key);
        assert_ne!(protection(&object), Protection::Untouched, "{key:?}");
        match op {
            Op::Put { value, own } => {
                let is_new = dest.get(&key) != Some(&value);
                let empty = empty_role(&object);
                assert!(is_new && (case.source.get(&key) == Some(&value) || value == empty), "{key:?}");
                dest.insert(key.clone(), value);
                dest.extend(own.map(|name| (record, Bytes::copy_from_slice(name.as_bytes()))));
            }
            Op::Own(name) => {
                assert!(dest.contains_key(&key), "{key:?}");
                dest.insert(record, Bytes::copy_from_slice(name.as_bytes()));
            }
            Op::Delete => {
                let is_equal = case.source.get(&key) == dest.get(&key) && object.kind.is_binding();
                assert!(owns(&dest, &key) || is_equal, "{key:?} is not ours");
                assert_ne!(protection(&object), Protection::Kept, "{key:?}");
                dest.remove(&key);
                dest.remove(&record);
            }
            Op::Disown => assert!(dest.remove(&record).is_some(), "{key:?}"),
        }
        work.done(&key);
        let new: Vec<_> = traps(&dest).difference(&before).cloned().collect();
        assert!(new.is_empty(), "{new:?} lock a subject out after {key:?}");
        writes += 1;
        assert!(writes < 200, "no end");
    }
}

fn entries() -> impl Strategy<Value = State> {
    let one = (0..4_usize, 0..2_usize, 0..NAMES.len(), 0..=BAD + 1);
    proptest::collection::vec(one, 0..14).prop_map(|all| {
        all.into_iter()
            .map(|(kind, namespace, name, variant)| entry(kind, namespace, name, variant))
            .collect()
    })
}

fn scopes() -> impl Strategy<Value = Vec<Scope>> {
    proptest::collection::vec((0..4_usize, 0..3_usize, proptest::bool::weighted(0.1)), 0..6).prop_map(|all| {
        let scope = |(n, (kind, namespace, held)): (usize, (usize, usize, bool))| Scope {
            name: format!("r{n}").into(),
            kind: KINDS[kind],
            namespace: KINDS[kind]
                .is_namespaced()
                .then_some(["dev", "dev2"].get(namespace))
                .flatten()
                .map(ToString::to_string),
            held,
        };
        all.into_iter().enumerate().map(scope).collect()
    })
}

fn cases() -> impl Strategy<Value = Case> {
    (entries(), entries(), scopes(), any::<u64>()).prop_map(|(mut source, mut dest, scopes, seed)| {
        let mut random = fastrand::Rng::with_seed(seed);
        // Some are equal, some of the destination's are owned, by replicators that are there or not.
        let (one, other) = (source.clone(), dest.clone());
        dest.extend(one.into_iter().filter(|_| random.u8(..3) == 0));
        source.extend(other.into_iter().filter(|_| random.u8(..5) == 0));
        let keys: Vec<Bytes> = dest.keys().cloned().collect();
        for key in keys {
            if random.bool() && protection(&parse(&key)) != Protection::Untouched {
                dest.insert(record_of(&owned_prefix(STORE), &key), format!("r{}", random.u8(..8)).into());
            }
        }
        // A source is not without any role or binding.
        let (key, value) = entry(0, 0, 3, 0);
        source.insert(key, value);
        Case { source, dest, scopes }
    })
}

impl std::fmt::Debug for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "source {:#?}\ndest {:#?}\nscopes {:#?}", self.source, self.dest, self.scopes)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn every_step_is_safe_and_the_end_is_the_source(case in cases()) {
        let (end, _) = run(&case);
        let world_scopes: Vec<&Scope> = case.scopes.iter().filter(|scope| !scope.held).collect();
        for (key, value) in &case.source {
            let object = parse(key);
            let is_wanted = world_scopes.iter().any(|scope| scope.covers(&object));
            let is_good = object.check(value).is_ok() && protection(&object) != Protection::Untouched;
            if is_wanted && is_good && !traps(&with(&end, key, value)).contains(key) && !is_void(&end, &object, value) {
                let is_there = end.get(key).is_some_and(|found| object.kind.same(found, value));
                prop_assert!(is_there && owns(&end, key), "{:?}", key);
            }
        }
        for (key, value) in case.dest.iter().filter(|(key, _)| key.starts_with(RBAC.as_bytes())) {
            let object = parse(key);
            let is_held = case.scopes.iter().any(|scope| scope.held && scope.covers(&object));
            let is_wanted = world_scopes.iter().any(|scope| scope.covers(&object));
            let is_local = !owns(&case.dest, key) && (!is_wanted || !case.source.contains_key(key));
            if is_local || (is_held && !is_wanted) {
                prop_assert_eq!(end.get(key), Some(value), "{:?} is not ours to change", key);
            } else if !is_held && !case.source.contains_key(key) && protection(&object) == Protection::None {
                let emptied = end.get(key).is_none_or(|left| *left == empty_role(&object));
                prop_assert!(emptied, "{:?} survives", key);
            }
        }
        // Once more: nothing to do.
        let again = Case { source: case.source.clone(), dest: end, scopes: case.scopes.clone() };
        let (_, writes) = run(&again);
        prop_assert_eq!(writes, 0);
    }
}

/// Whether a binding for those who could repair things gives a role that waits, empty, to be deleted.
fn is_void(state: &State, object: &ObjectKey<'_>, value: &Bytes) -> bool {
    let binding = object.kind.is_binding().then(|| Binding::read(object, value)).filter(Binding::is_vital);
    let role = binding.and_then(|binding| binding.role);
    role.is_some_and(|role| state.get(&role).is_some_and(|found| *found == empty_role(&parse(&role))))
}

/// The state with a key as it would be.
fn with(state: &State, key: &Bytes, value: &Bytes) -> State {
    let mut state = state.clone();
    state.insert(key.clone(), value.clone());
    state
}

fn decide_one(source: &State, dest: &State, scope: &Scope, key: &Bytes) -> Verdict {
    let (source, dest) = (cache(source), cache(dest));
    let (source, dest) = (source.read(), dest.read());
    let records = owned_prefix(STORE);
    let world = World {
        source: &source,
        dest: &dest,
        scopes: std::slice::from_ref(scope),
        foreign_owners: &BTreeSet::from(["other".into()]),
        refused: &Refused::default(),
        unseen: &BTreeSet::new(),
        records: &records,
    };
    world.decide(key, &References::new(world, &|_| false))
}

#[test]
fn what_another_task_or_an_unreadable_definition_owns_is_left_alone() {
    let scope = Scope { name: "r".into(), kind: Type::Role, namespace: None, held: false };
    let (key, value) = entry(0, 0, 0, 0);
    let record = record_of(&owned_prefix(STORE), &key);
    for (owner, op) in [("other", None), ("gone", Some(Op::Delete))] {
        let dest = State::from([
            (key.clone(), value.clone()),
            (record.clone(), Bytes::from_static(owner.as_bytes())),
        ]);
        assert_eq!(decide_one(&State::new(), &dest, &scope, &key).op.map(|(_, op)| op), op, "{owner}");
    }
}

#[test]
fn when_a_value_goes_bad_the_last_good_binding_goes_only_if_it_is_ours_and_locks_somebody_out() {
    let kind = Type::ClusterRoleBinding;
    let scope = Scope { name: "r".into(), kind, namespace: None, held: false };
    let key = Bytes::from(kind.key(None, "x"));
    let record = record_of(&owned_prefix(STORE), &key);
    let role = Bytes::from(Type::ClusterRole.key(None, "x"));
    let binding = |group: &str, kind: &str| {
        ClusterRoleBinding {
            subjects: vec![Subject { kind: "Group".into(), name: group.into() }],
            role_ref: Some(RoleRef { kind: kind.into(), name: "x".into() }),
            metadata: Some(meta("", "x")),
        }
        .encode_to_vec()
    };
    let source = State::from([(key.clone(), Bytes::from_static(b"\xff\xff"))]);
    for (group, role_kind, has_role, is_owned, goes) in [
        ("cluster-admins", "ClusterRole", false, true, true),
        ("cluster-admins", "Anything", true, true, true),
        ("cluster-admins", "ClusterRole", true, true, false),
        ("cluster-admins", "ClusterRole", false, false, false),
        ("g", "ClusterRole", false, true, false),
    ] {
        let mut dest = State::from([(key.clone(), binding(group, role_kind).into())]);
        if is_owned {
            dest.insert(record.clone(), Bytes::from_static(b"r"));
        }
        if has_role {
            let rules = ClusterRole { rules: Vec::new(), metadata: Some(meta("", "x")) };
            dest.insert(role.clone(), rules.encode_to_vec().into());
        }
        let verdict = decide_one(&source, &dest, &scope, &key);
        let expected = goes.then_some((Rank::Revoke(Reverse(kind)), Op::Delete));
        assert_eq!(verdict.op, expected, "{group} {role_kind} {has_role} {is_owned}");
        assert!(verdict.problem.is_some_and(|problem| problem.is_error));
    }
}

#[test]
fn a_key_with_too_many_parts_is_reported_by_the_replicator_that_meets_it() {
    let scope = Scope { name: "r".into(), kind: Type::Role, namespace: Some("dev".into()), held: false };
    let (_, value) = entry(1, 0, 0, 0);
    for (key, is_met) in [("dev/a/b", true), ("dev2/a/b", false), ("dev", false)] {
        let key = Bytes::from(format!("{}{key}", Type::Role.prefix()));
        let verdict = decide_one(&State::from([(key.clone(), value.clone())]), &State::new(), &scope, &key);
        assert_eq!((verdict.op, verdict.problem.is_some()), (None, is_met), "{key:?}");
    }
}

#[test]
fn an_api_key_is_not_shown() {
    let scope = Scope { name: "r".into(), kind: Type::ApiKey, namespace: None, held: false };
    let text = scope.error(&Bytes::from_static(b"/sensu.io/apikeys/secret"), &"x").text;
    assert!(!text.contains("secret"), "{text}");
}

/// Two images that live on, and work between them.
struct Live {
    source: (Arc<ReplicaCache>, crate::replication::cache::OpenKeyspace),
    dest: (Arc<ReplicaCache>, crate::replication::cache::OpenKeyspace),
    work: Work,
    assignment: Assignment,
    revision: i64,
}

impl Live {
    fn new(case: &Case) -> Self {
        let open = |state: &State| {
            let cache = cache(state);
            // The mirror's own keyspace, opened again with the same content.
            let keyspace = cache.open(RBAC);
            let events = state.iter().filter(|(key, _)| key.starts_with(RBAC.as_bytes()));
            let items: Vec<_> = events.map(|(key, value)| etcd::Event::Item(kv(key, value, 1))).collect();
            cache.apply(
                keyspace,
                [etcd::Event::Reset].into_iter().chain(items).chain([etcd::Event::ResetDone { revision: 1 }]),
            );
            (cache, keyspace)
        };
        let assignment = Assignment { scopes: case.scopes.clone(), ..Assignment::default() };
        let work = Work::new(owned_prefix(STORE));
        Self { source: open(&case.source), dest: open(&case.dest), work, assignment, revision: 1 }
    }

    /// A key is written or deleted on one side.
    fn change(&mut self, in_source: bool, key: &Bytes, value: Option<&Bytes>) {
        self.revision += 1;
        let revision = self.revision;
        let event = match value {
            Some(value) => etcd::Event::Put(kv(key, value, revision)),
            None => etcd::Event::Delete { key: key.to_vec(), revision },
        };
        let (cache, keyspace) = if in_source { &self.source } else { &self.dest };
        cache.apply(*keyspace, [event]);
    }

    /// Carries out at most so much.
    fn work(&mut self, mut most: usize) {
        loop {
            let (source, dest) = (self.source.0.read(), self.dest.0.read());
            let sides = Sides { source: &source, dest: &dest };
            self.work.look(&self.assignment, sides, tokio::time::Instant::now());
            if self.work.decide(&self.assignment, sides) || most == 0 {
                return;
            }
            most -= 1;
            let batch = self.work.queue.batch(2, false);
            let epoch = dest.epoch();
            drop((source, dest));
            self.revision += 1;
            for (key, op) in batch {
                let record = record_of(&owned_prefix(STORE), &key);
                let name = |name: &Arc<str>| Bytes::copy_from_slice(name.as_bytes());
                let written = match op {
                    Op::Put { value, own } => vec![
                        Some(OwnWrite::Put(key.clone(), value)),
                        own.map(|owner| OwnWrite::Put(record, name(&owner))),
                    ],
                    Op::Own(owner) => vec![Some(OwnWrite::Put(record, name(&owner)))],
                    Op::Delete => vec![Some(OwnWrite::Deleted(key.clone())), Some(OwnWrite::Deleted(record))],
                    Op::Disown => vec![Some(OwnWrite::Deleted(record))],
                };
                self.dest.0.wrote(epoch, self.revision, written.into_iter().flatten());
                self.work.done(&key);
            }
        }
    }

    /// What examining every key would still change.
    fn left(&self) -> Vec<(Bytes, Op)> {
        let (source, dest) = (self.source.0.read(), self.dest.0.read());
        let sides = Sides { source: &source, dest: &dest };
        let mut fresh = Work::new(owned_prefix(STORE));
        fresh.look(&self.assignment, sides, tokio::time::Instant::now());
        fresh.decide(&self.assignment, sides);
        fresh.queue.batch(usize::MAX, false)
    }
}

fn kv(key: &Bytes, value: &Bytes, mod_revision: i64) -> etcd::proto::KeyValue {
    etcd::proto::KeyValue { key: key.to_vec(), value: value.to_vec(), mod_revision, ..Default::default() }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// What follows single changes ends where a look at everything would.
    #[test]
    fn following_leaves_nothing_to_do(
        case in cases(),
        changes in proptest::collection::vec(
            (any::<bool>(), (0..4_usize, 0..2_usize, 0..NAMES.len(), 0..=BAD + 1), proptest::bool::weighted(0.4), 0..4_usize),
            0..25,
        ),
    ) {
        let mut live = Live::new(&case);
        live.work(usize::MAX);
        for (in_source, (kind, namespace, name, variant), is_deletion, most) in changes {
            let (key, value) = entry(kind, namespace, name, variant);
            // Without it, there would be no source.
            if !in_source || name != 3 {
                live.change(in_source, &key, (!is_deletion).then_some(&value));
            }
            live.work(most);
        }
        live.work(usize::MAX);
        // What was put back before waits for the interval.
        live.work.compare();
        live.work(usize::MAX);
        prop_assert_eq!(live.left(), vec![]);
    }
}
