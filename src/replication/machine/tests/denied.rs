//! Kinds that a destination denies, against a store that is simulated.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message as _;

use super::*;
use crate::{
    corev2::{ClusterRole, ClusterRoleBinding, ObjectMeta, RoleRef, Subject},
    etcd::proto,
    replication::cache::OpenKeyspace,
};

const CHECKS: &str = "/sensu.io/checks/";
const BINDINGS: &str = "/sensu.io/rbac/clusterrolebindings/";
const OWNED: &str = "/fedgate/replication/owned/ours/";

/// An etcd, as its cache shows it.
struct Side {
    cache: Arc<ReplicaCache>,
    open: BTreeMap<&'static str, OpenKeyspace>,
    keys: BTreeMap<String, Vec<u8>>,
    revision: i64,
}

/// A machine between a source and a destination that denies what the test says.
struct Sim {
    machine: Machine,
    source: Side,
    dest: Side,
    /// Prefixes that may not be written.
    denied: BTreeSet<&'static str>,
    /// What was written (true) and deleted, in this order.
    log: Vec<(String, bool)>,
    /// Transactions that were denied.
    refusals: Vec<Instant>,
    now: Instant,
}

fn metadata(namespace: &str, name: &str) -> ObjectMeta {
    ObjectMeta { name: name.into(), namespace: namespace.into(), ..ObjectMeta::default() }
}

fn role_entry(name: &str) -> (String, Vec<u8>) {
    let value =
        ClusterRole { rules: vec![crate::corev2::Rule::default()], metadata: Some(metadata("", name)) };
    (format!("{ROLES}{name}"), value.encode_to_vec())
}

fn binding_entry(name: &str, role: &str, group: &str) -> (String, Vec<u8>) {
    let value = ClusterRoleBinding {
        subjects: vec![Subject { kind: "Group".into(), name: group.into() }],
        role_ref: Some(RoleRef { kind: "ClusterRole".into(), name: role.into() }),
        metadata: Some(metadata("", name)),
    };
    (format!("{BINDINGS}{name}"), value.encode_to_vec())
}

fn check_entry(namespace: &str, name: &str) -> (String, Vec<u8>) {
    let metadata = metadata(namespace, name).encode_to_vec();
    let mut value = vec![0xd2, 0x01, u8::try_from(metadata.len()).unwrap()];
    value.extend(metadata);
    (format!("{CHECKS}{namespace}/{name}"), value)
}

/// An object and its ownership record.
fn owned((key, value): (String, Vec<u8>), by: &str) -> [(String, Vec<u8>); 2] {
    let record = key.replace("/sensu.io/", OWNED);
    [(key, value), (record, by.as_bytes().to_vec())]
}

impl Side {
    fn new(keyspaces: &[&'static str], keys: impl IntoIterator<Item = (String, Vec<u8>)>) -> Self {
        let mut side = Self {
            cache: ReplicaCache::new(),
            open: BTreeMap::new(),
            keys: keys.into_iter().collect(),
            revision: 1,
        };
        for keyspace in keyspaces {
            side.read(keyspace);
        }
        side
    }

    /// A keyspace is read, and followed from now on.
    fn read(&mut self, keyspace: &'static str) {
        let open = self.cache.open(keyspace);
        let items = self.keys.iter().filter(|(key, _)| key.starts_with(keyspace));
        let items = items.map(|(key, value)| Event::Item(kv(key, value, 1)));
        let done = Event::ResetDone { revision: self.revision };
        self.cache.apply(open, [Event::Reset].into_iter().chain(items).chain([done]));
        self.open.insert(keyspace, open);
    }

    /// The watch of a keyspace is lost.
    fn lose(&mut self, keyspace: &'static str) {
        let error = Error::Denied { reason: "permission denied".into() };
        let event = Event::Interrupted { error, retry_in: Duration::ZERO };
        let open = *self.open.entry(keyspace).or_insert_with(|| self.cache.open(keyspace));
        self.cache.apply(open, [event]);
    }

    fn write(&mut self, key: &str, value: Option<&[u8]>) {
        self.revision += 1;
        let event = if let Some(value) = value {
            self.keys.insert(key.to_owned(), value.to_vec());
            Event::Put(kv(key, value, self.revision))
        } else if self.keys.remove(key).is_some() {
            Event::Delete { key: key.into(), revision: self.revision }
        } else {
            return;
        };
        if let Some((_, open)) = self.open.iter().find(|(keyspace, _)| key.starts_with(**keyspace)) {
            self.cache.apply(*open, [event]);
        }
    }
}

fn kv(key: &str, value: &[u8], mod_revision: i64) -> KeyValue {
    KeyValue { key: key.into(), value: value.into(), mod_revision, ..KeyValue::default() }
}

impl Sim {
    /// Roles, bindings and checks are replicated. The fence is held, and the destination read.
    fn new(
        source: impl IntoIterator<Item = (String, Vec<u8>)>,
        dest: impl IntoIterator<Item = (String, Vec<u8>)>,
    ) -> Self {
        let now = Instant::now();
        let mut machine = Machine::new("ours", FENCE_TTL, now, fastrand::Rng::with_seed(1));
        let scope = |name: &str, kind| Scope { name: name.into(), kind, namespace: None, held: false };
        let scopes = vec![
            scope("bindings", Type::ClusterRoleBinding),
            scope("checks", Type::CheckConfig),
            scope("roles", Type::ClusterRole),
        ];
        machine.assign(Arc::new(assignment(scopes)), now);
        machine.lead(Some(Term::forever(3, "me", HOME)));
        // Every cluster has one.
        let seed = binding_entry("cluster-admin", "cluster-admin", "cluster-admins");
        let fence = (FENCE.to_owned(), fence("ours", 3, "me"));
        let place = (PLACE.to_owned(), b"p".to_vec());
        let federation = Federation { gateway: "me".to_owned(), source: Some("source".to_owned()) };
        let federation = (federation_key("ours"), federation.to_bytes());
        let source = Side::new(&[RBAC, CHECKS], [seed.clone()].into_iter().chain(source));
        let dest =
            Side::new(&[RBAC, CHECKS, RECORDS], [seed, fence, place, federation].into_iter().chain(dest));
        let mut sim = Self {
            machine,
            source,
            dest,
            denied: BTreeSet::new(),
            log: Vec::new(),
            refusals: Vec::new(),
            now,
        };
        sim.step(Input::Woke);
        let fence = sim.dest.keys[FENCE].clone();
        sim.step(found(1, fence));
        sim
    }

    fn step(&mut self, input: Input) -> Command {
        let (source, dest) = (self.source.cache.read(), self.dest.cache.read());
        self.machine.step(input, Sides { source: &source, dest: &dest }, self.now)
    }

    /// Runs until it waits. Returns until when.
    fn run(&mut self) -> Instant {
        let is_proven = matches!(self.machine.state, State::Holding { .. });
        let mut command = self.step(if is_proven { Input::Woke } else { proof(None) });
        for _ in 0..1000 {
            command = match command {
                Command::Wait { until } => return until.unwrap(),
                Command::Write(batch) => {
                    let input = self.carry_out(&batch);
                    self.step(input)
                }
                Command::Settle(settlement) => {
                    for (key, value) in settlement.request.success.iter().map(of_proto) {
                        self.dest.write(&key, value.as_deref());
                    }
                    self.step(Input::Settled)
                }
                command => panic!("{command:?}"),
            };
        }
        panic!("it never comes to rest: {:?}", self.log);
    }

    fn carry_out(&mut self, batch: &Batch) -> Input {
        let ops: Vec<(String, Option<Vec<u8>>)> = batch.request.success.iter().map(of_proto).collect();
        if ops.iter().any(|(key, _)| self.denied.iter().any(|prefix| key.starts_with(prefix))) {
            self.refusals.push(self.now);
            return Input::Failed(Error::Denied { reason: "permission denied".into() });
        }
        for (key, value) in ops {
            if key.starts_with("/sensu.io/") {
                self.log.push((key.clone(), value.is_some()));
            }
            self.dest.write(&key, value.as_deref());
        }
        Input::Written
    }

    /// Nothing is denied any more, and what was is tried again.
    fn grant(&mut self) {
        self.denied.clear();
        for _ in 0..4 {
            self.now = self.run();
        }
    }

    fn problem(&self, name: &str) -> Option<String> {
        let scope = self.machine.assignment.scopes.iter().find(|scope| &*scope.name == name).unwrap();
        let text = self.machine.work.refused.denial_under(&scope.prefix());
        text.map(ToString::to_string)
    }

    fn has(&self, key: &str) -> bool {
        self.dest.keys.contains_key(key)
    }

    fn is_synced(&self, name: &str) -> bool {
        self.machine.synced.contains(name) && self.machine.last_sync.contains_key(name)
    }
}

fn of_proto(op: &proto::RequestOp) -> (String, Option<Vec<u8>>) {
    let text = |key: &[u8]| String::from_utf8(key.to_vec()).unwrap();
    match op.request.as_ref().unwrap() {
        proto::Op::Put(put) => (text(&put.key), Some(put.value.clone())),
        proto::Op::DeleteRange(delete) => (text(&delete.key), None),
        other @ proto::Op::Range(_) => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_denied_deletion_holds_up_no_revocation_and_no_other_kind() {
    let (check, binding) = (check_entry("dev", "c"), binding_entry("b", "r", "g"));
    let dest = [owned(check.clone(), "checks"), owned(binding.clone(), "bindings")].concat();
    let new = binding_entry("new", "r", "g");
    let mut sim = Sim::new([role_entry("r"), new.clone()], dest);
    sim.denied.insert(CHECKS);
    let until = sim.run();
    let role = format!("{ROLES}r");
    assert_eq!(sim.log, [(binding.0.clone(), false), (role, true), (new.0.clone(), true)]);
    assert!(until <= sim.now + Duration::from_millis(500), "{:?}", until - sim.now);
    let text = sim.problem("checks").unwrap();
    assert!(
        text.contains("/sensu.io/checks/dev/ may not be written") && text.contains("refuses access"),
        "{text}"
    );
    assert!(sim.is_synced("bindings") && sim.is_synced("roles") && !sim.is_synced("checks"));
    let tally = std::mem::take(&mut sim.machine.tally);
    assert_eq!((tally.denied, tally.errors), (vec!["checks".into()], 0));
    // A revocation while the other kind is left alone.
    sim.source.write(&new.0, None);
    sim.run();
    assert!(!sim.has(&new.0) && sim.refusals.len() == 1);
    // The pauses grow, up to a bound.
    while sim.refusals.len() < 12 {
        sim.now = sim.run();
    }
    let longest = sim.refusals.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
    assert!(longest >= LONGEST_RETRY / 2 && longest <= LONGEST_RETRY, "{longest:?}");
    // Once it is granted, everything is as it must be, and the problem is gone.
    sim.grant();
    assert!(!sim.has(&check.0) && sim.problem("checks").is_none() && sim.is_synced("checks"));
    assert!(!sim.machine.one_kind);
}

#[tokio::test(start_paused = true)]
async fn what_may_only_be_read_does_not_stall_what_shares_its_batch() {
    let checks = (0..100).map(|n| check_entry(["a", "b"][n % 2], &format!("c{n}")));
    let all = [role_entry("r"), binding_entry("b", "r", "g")].into_iter().chain(checks);
    let mut sim = Sim::new(all, []);
    sim.denied.insert("/sensu.io/checks/a/");
    sim.run();
    assert!(sim.has(&format!("{ROLES}r")) && sim.has(&format!("{BINDINGS}b")));
    let copied = sim.dest.keys.keys().filter(|key| key.starts_with(CHECKS)).count();
    assert_eq!(copied, 50, "the other namespace is copied");
    assert!(sim.refusals.len() <= 3, "{}: not one for each object", sim.refusals.len());
    assert!(sim.problem("checks").unwrap().contains("/sensu.io/checks/a/"));
    sim.grant();
    assert_eq!(sim.dest.keys.keys().filter(|key| key.starts_with(CHECKS)).count(), 100);
    assert!(sim.is_synced("checks"));
}

#[tokio::test(start_paused = true)]
async fn a_kind_that_cannot_be_read_delays_no_other_and_what_is_gone_there_goes() {
    let gone = check_entry("dev", "gone");
    let dest = [owned(gone.clone(), "checks"), owned(binding_entry("b", "r", "g"), "bindings")].concat();
    let mut sim = Sim::new([role_entry("r"), check_entry("dev", "c")], dest);
    sim.dest.lose(CHECKS);
    sim.run();
    let role = format!("{ROLES}r");
    let gone = (gone.0, false);
    assert_eq!(sim.log, [(format!("{BINDINGS}b"), false), gone, (role, true)]);
    assert!(sim.is_synced("roles") && !sim.is_synced("checks"));
    let scope = sim.machine.assignment.scopes[1].clone();
    assert!(sim.machine.work.oldest(&scope).is_none(), "nothing has changed since");
    sim.source.write(&check_entry("dev", "d").0, Some(&check_entry("dev", "d").1));
    sim.run();
    assert!(sim.machine.work.oldest(&scope).is_some(), "the change waits");
    sim.dest.read(CHECKS);
    sim.run();
    assert!(sim.has(&check_entry("dev", "c").0) && sim.has(&check_entry("dev", "d").0));
    assert!(sim.is_synced("checks") && sim.machine.work.oldest(&scope).is_none());
}

#[tokio::test(start_paused = true)]
async fn without_sight_of_roles_and_bindings_revocations_and_checks_go_on_and_no_role_goes() {
    let binding = binding_entry("b", "r", "g");
    let dest = [owned(binding.clone(), "bindings"), owned(role_entry("r"), "roles")].concat();
    let mut sim = Sim::new([role_entry("new"), check_entry("dev", "c")], dest);
    sim.dest.lose(RBAC);
    sim.run();
    assert_eq!(sim.log, [(binding.0, false), (check_entry("dev", "c").0, true)]);
    sim.dest.read(RBAC);
    sim.run();
    assert!(sim.has(&format!("{ROLES}new")) && !sim.has(&format!("{ROLES}r")));
}

#[tokio::test(start_paused = true)]
async fn a_role_whose_binding_may_not_be_deleted_loses_its_rules() {
    let (role, binding) = (role_entry("r"), binding_entry("b", "r", "g"));
    let dest = [owned(binding.clone(), "bindings"), owned(role.clone(), "roles")].concat();
    let mut sim = Sim::new([], dest);
    sim.denied.insert(BINDINGS);
    sim.run();
    let left = ClusterRole::decode(&sim.dest.keys[&role.0][..]).unwrap();
    assert!(sim.has(&binding.0) && left.rules.is_empty(), "it grants nothing, and is not missing");
    sim.grant();
    assert!(!sim.has(&binding.0) && !sim.has(&role.0));
    assert_eq!(sim.log[1..], [(binding.0, false), (role.0, false)]);
}

#[tokio::test(start_paused = true)]
async fn a_binding_of_a_role_that_may_not_be_written_waits_if_it_would_lock_somebody_out() {
    let (vital, other) = (binding_entry("v", "r", "cluster-admins"), binding_entry("b", "r", "g"));
    let mut sim = Sim::new([role_entry("r"), vital.clone(), other.clone()], []);
    sim.denied.insert(ROLES);
    sim.run();
    assert!(!sim.has(&vital.0) && sim.has(&other.0));
    assert!(sim.machine.work.problems_of("bindings").2.unwrap().contains("does not have"));
    sim.grant();
    assert!(sim.has(&vital.0));
    assert_eq!(sim.machine.work.problems_of("bindings"), (0, 0, None));
}

#[tokio::test(start_paused = true)]
async fn a_denied_fence_is_followed_by_a_pause() {
    let denied = || Input::Failed(Error::Denied { reason: "permission denied".into() });
    let mut sim = Sim::new([role_entry("r")], []);
    let proof = proof(None);
    assert!(matches!(sim.step(proof), Command::Write(_)));
    assert!(matches!(sim.step(Input::Fenced), Command::ReadFence));
    assert!(waits(&sim.step(denied())) > sim.now);
    assert!(sim.machine.trouble.is_some() && sim.machine.work.refused.denies_nothing());
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_removed_of_a_deleted_replicator_is_known_by_its_reason() {
    let dest = [owned(check_entry("dev", "c"), "deleted"), owned(role_entry("r"), "too")].concat();
    let mut sim = Sim::new([], dest);
    sim.denied.insert(CHECKS);
    sim.dest.lose(RBAC);
    sim.run();
    let stuck = sim.machine.work.stuck(&sim.dest.cache.read());
    assert!(
        stuck["deleted"].contains("may not be written") && stuck["too"].contains("not being watched"),
        "{stuck:?}"
    );
    sim.dest.read(RBAC);
    sim.grant();
    assert!(sim.machine.work.stuck(&sim.dest.cache.read()).is_empty());
    assert!(!sim.has(&check_entry("dev", "c").0) && !sim.has(&role_entry("r").0));
}

proptest::proptest! {
    /// Whatever is denied, the rest converges as if it were alone, in the lawful order, and all of it once it is granted.
    #[test]
    fn the_rest_converges_whatever_is_denied(
        at_source in proptest::collection::btree_set((0..3_u8, 0..3_u8, 0..3_u8), 0..8),
        owned_keys in proptest::collection::btree_set((0..3_u8, 0..3_u8, 0..3_u8), 0..8),
        denied in proptest::collection::btree_set(0..5_usize, 0..4),
        unseen in proptest::option::of(0..2_usize),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().start_paused(true).build().unwrap();
        let _entered = runtime.enter();
        let entry = |&(kind, name, other): &(u8, u8, u8)| match kind {
            0 => role_entry(&format!("r{name}")),
            1 => binding_entry(&format!("b{name}"), &format!("r{other}"), ["g", "cluster-admins"][usize::from(other % 2)]),
            _ => check_entry(["a", "b"][usize::from(other % 2)], &format!("c{name}")),
        };
        let by = |kind: u8| ["roles", "bindings", "checks"][usize::from(kind)];
        let prefixes = [ROLES, BINDINGS, CHECKS, "/sensu.io/checks/a/", "/sensu.io/checks/b/"];
        let source: BTreeMap<_, _> = at_source.iter().map(entry).collect();
        let dest = owned_keys.iter().flat_map(|it| owned(entry(it), by(it.0)));
        let before: BTreeMap<_, _> = dest.collect();
        let mut sim = Sim::new(source.clone(), before.clone());
        sim.denied = denied.iter().map(|n| prefixes[*n]).collect();
        let unseen = unseen.map(|n| [CHECKS, RBAC][n]);
        if let Some(keyspace) = unseen {
            sim.dest.lose(keyspace);
        }
        for _ in 0..6 {
            sim.now = sim.run();
        }
        let is_denied = |sim: &Sim, key: &str| sim.denied.iter().any(|prefix| key.starts_with(prefix));
        for key in before.keys().filter(|key| key.starts_with("/sensu.io/")) {
            // Revocations, and whatever else needs no look at what is there.
            if !source.contains_key(key) && !key.starts_with(ROLES) {
                assert_eq!(sim.has(key), is_denied(&sim, key), "{key}");
            }
        }
        for (key, value) in source.iter().filter(|(key, _)| key.starts_with(CHECKS)) {
            if !is_denied(&sim, key) && unseen != Some(CHECKS) {
                assert_eq!(sim.dest.keys.get(key), Some(value));
            }
        }
        for key in source.keys().filter(|key| key.starts_with(ROLES)) {
            if !is_denied(&sim, key) && unseen != Some(RBAC) {
                assert!(sim.has(key), "{key}");
            }
        }
        let revoked = sim.log.iter().rposition(|(key, put)| key.starts_with(BINDINGS) && !put);
        if denied.is_empty() && unseen.is_none() {
            let first_put = sim.log.iter().position(|(_, put)| *put);
            let in_order = revoked.zip(first_put).is_none_or(|(revoked, put)| revoked < put);
            // Bindings that a later decision takes away are those for administrators, of roles that go.
            assert!(in_order || at_source.iter().any(|(kind, _, other)| *kind == 1 && other % 2 == 1), "{:?}", sim.log);
        }
        // No binding is left with a role that was taken from under it.
        for (key, value) in sim.dest.keys.iter().filter(|(key, _)| key.starts_with(BINDINGS) && !source.contains_key(*key)) {
            let role = ClusterRoleBinding::decode(&value[..]).unwrap().role_ref.unwrap().name;
            let role = format!("{ROLES}{role}");
            if before.contains_key(&role) && !key.ends_with("cluster-admin") {
                assert!(sim.has(&role), "{key} {role}");
            }
        }
        sim.denied.clear();
        if let Some(keyspace) = unseen {
            sim.dest.read(keyspace);
        }
        for _ in 0..4 {
            sim.now = sim.run();
        }
        for key in sim.dest.keys.keys().filter(|key| key.starts_with("/sensu.io/") && !key.ends_with("cluster-admin")) {
            assert!(source.contains_key(key), "{key} is too much");
        }
        for (key, value) in source.iter().filter(|(key, _)| !key.starts_with(BINDINGS)) {
            assert_eq!(sim.dest.keys.get(key), Some(value), "{key}");
        }
    }
}
