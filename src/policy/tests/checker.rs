//! Random changes on all sides, with everything failing in between: requests and answers are lost, clusters and gateways stop
//! and go on, gateways are killed and take over from each other, clusters come and go. Then what has to hold is checked.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use http::Method;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::world::{World, binding, check, cluster_role, role};
use crate::{
    corev2::Type,
    policy::object::{Key, Object},
    types::PolicyStatus,
};

const GATEWAYS: [usize; 2] = [0, 1];
const FOLLOWERS: [&str; 3] = ["alpha", "beta", "gamma"];
const NAMES: [&str; 4] = ["a", "b", "c", "view"];
const NAMESPACES: [&str; 3] = ["default", "web", "db"];
const KINDS: [Type; 6] = [
    Type::Namespace,
    Type::ClusterRole,
    Type::Role,
    Type::ClusterRoleBinding,
    Type::RoleBinding,
    Type::CheckConfig,
];

/// The world, and what its people have done.
pub(super) struct Checker {
    pub(super) world: World,
    random: fastrand::Rng,
    registered: BTreeSet<&'static str>,
    /// The clusters and the gateways that are stopped.
    stopped: BTreeSet<&'static str>,
    paused: BTreeSet<usize>,
    is_replicated: bool,
    /// What is the followers' own, as it was written last.
    own: BTreeMap<(&'static str, String), Value>,
    pub(super) trail: Vec<String>,
}

// === impl Checker ===

impl Checker {
    pub(super) async fn new(seed: u64) -> Self {
        let mut world = World::new(&FOLLOWERS, seed).await;
        world.add_gateway();
        world.replicate("rbac", &json!({})).await;
        Self {
            world,
            random: fastrand::Rng::with_seed(seed),
            registered: FOLLOWERS.into(),
            stopped: BTreeSet::new(),
            paused: BTreeSet::new(),
            is_replicated: true,
            own: BTreeMap::new(),
            trail: Vec::new(),
        }
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.random.usize(..of.len())]
    }

    /// An object: its path in the API, its key, and what it is.
    fn draw(&mut self) -> (String, String, Value) {
        let (kind, name, namespace) = (self.pick(&KINDS), self.pick(&NAMES), self.pick(&NAMESPACES));
        let verb = self.pick(&["get", "list"]);
        let target = self.pick(&NAMES);
        let object = match kind {
            Type::Namespace => json!({"name": namespace}),
            Type::ClusterRole => cluster_role(name, verb),
            Type::Role => role(verb, &json!({"name": name, "namespace": namespace})),
            Type::ClusterRoleBinding => binding(name, target, verb),
            Type::RoleBinding => {
                let mut binding = binding(name, target, verb);
                binding["metadata"]["namespace"] = namespace.into();
                binding["role_ref"]["type"] = self.pick(&["Role", "ClusterRole"]).into();
                binding
            }
            _ => check(namespace, name, verb),
        };
        let collection = kind.collection();
        let path = match kind {
            Type::Namespace => format!("namespaces/{namespace}"),
            _ if kind.is_namespaced() => format!("namespaces/{namespace}/{collection}/{name}"),
            _ => format!("{collection}/{name}"),
        };
        let key = kind.key(kind.is_namespaced().then_some(namespace), name);
        let key = if kind == Type::Namespace { Type::Namespace.key(None, namespace) } else { key };
        (path, key["/sensu.io/".len()..].to_owned(), object)
    }

    async fn act(&mut self) {
        match self.random.u8(..100) {
            0..45 => self.change_the_source(),
            45..70 => self.change_a_follower(),
            70..75 => {
                let cluster = self.pick(&FOLLOWERS);
                let (lost, unanswered, is_cut) =
                    (self.random.u8(..30), self.random.u8(..30), self.random.u8(..4) == 0);
                self.trail.push(format!("the network to {cluster} fails ({lost}, {unanswered}, {is_cut})"));
                self.world.net.fault(cluster, |fault| {
                    (fault.lost, fault.unanswered, fault.is_cut) = (lost, unanswered, is_cut);
                });
            }
            75..78 => {
                let cluster = self.pick(&["local-cluster", "alpha", "beta", "gamma"]);
                self.trail.push(format!("{cluster} stops"));
                self.stopped.insert(cluster);
                self.world.net.fault(cluster, |fault| fault.is_stopped = true);
            }
            78..80 => {
                self.trail.push("the network to the source is cut".into());
                self.world.net.fault("local-cluster", |fault| fault.is_cut = true);
            }
            80..84 => self.heal(),
            84..94 => self.trouble_a_gateway().await,
            94..98 => self.register().await,
            _ => {
                self.is_replicated = !self.is_replicated;
                self.trail.push(format!("replicated: {}", self.is_replicated));
                self.set_replicator().await;
            }
        }
    }

    /// Somebody writes or deletes something somewhere.
    pub(super) fn change_something(&mut self) {
        if self.random.u8(..3) == 0 { self.change_a_follower() } else { self.change_the_source() }
    }

    fn heal(&mut self) {
        self.trail.push("every cluster is well and goes on".into());
        self.stopped.clear();
        self.world.net.heal();
    }

    async fn trouble_a_gateway(&mut self) {
        let gateway = self.pick(&GATEWAYS);
        match self.random.u8(..3) {
            0 => {
                self.trail.push(format!("gateway {gateway} is killed"));
                self.paused.remove(&gateway);
                let pause = self.random.u64(..3000);
                self.world.restart(gateway, Duration::from_millis(pause)).await;
            }
            1 if self.paused.remove(&gateway) => self.resume(gateway).await,
            1 => {
                self.trail.push(format!("gateway {gateway} stops"));
                self.paused.insert(gateway);
                self.world.pause(gateway);
            }
            _ => {
                self.trail.push("nobody leads".into());
                self.world.lead_none();
            }
        }
        if self.random.u8(..4) > 0 {
            self.elect();
        }
    }

    /// Lets one lead that is not stopped, unless one does.
    fn elect(&mut self) {
        let able: Vec<usize> = GATEWAYS.into_iter().filter(|it| !self.paused.contains(it)).collect();
        if self.world.leader().is_none() && !able.is_empty() {
            let leader = self.pick(&able);
            self.trail.push(format!("gateway {leader} leads"));
            self.world.lead(leader);
        }
    }

    async fn resume(&mut self, gateway: usize) {
        self.trail.push(format!("gateway {gateway} goes on"));
        let unaware = self.random.u64(..2000);
        self.world.resume(gateway, Duration::from_millis(unaware)).await;
    }

    async fn set_replicator(&self) {
        if self.is_replicated {
            self.world.replicate("rbac", &json!({})).await;
        } else {
            self.world.remove("rbac").await;
        }
    }

    fn change_the_source(&mut self) {
        let (path, _, object) = self.draw();
        let method = if self.random.u8(..3) == 0 { Method::DELETE } else { Method::PUT };
        if self.stopped.contains("local-cluster") {
            return;
        }
        self.trail.push(format!("source: {method} {path} {object}"));
        self.world.call("local-cluster", &method, &path, &object);
    }

    fn change_a_follower(&mut self) {
        let cluster = self.pick(&FOLLOWERS);
        let (path, key, object) = self.draw();
        // What a gateway is writing there at this moment wins: nothing could hinder that.
        let under_way = (cluster.to_owned(), format!("/api/core/v2/{path}"));
        if self.stopped.contains(cluster) || self.world.net.under_way.lock().contains(&under_way) {
            return;
        }
        let there = self.world.object(cluster, &key);
        let is_copy = there.as_ref().is_some_and(|it| self.world.is_copy(it));
        match self.random.u8(..3) {
            // Whatever it was, it is the follower's own now: it bears no label.
            0 if key.starts_with("namespaces/") => return,
            0 => {
                if self.world.call(cluster, &Method::PUT, &path, &object) {
                    self.own.insert((cluster, key), object.clone());
                }
            }
            1 if !key.starts_with("namespaces/") => {
                self.world.call(cluster, &Method::DELETE, &path, &Value::Null);
                self.own.remove(&(cluster, key));
            }
            _ if is_copy => {
                let mut edited = object.clone();
                edited["metadata"] = there.unwrap_or_default()["metadata"].clone();
                self.world.call(cluster, &Method::PUT, &path, &edited);
            }
            _ => return,
        }
        self.trail.push(format!("{cluster}: {path} {object}"));
    }

    async fn register(&mut self) {
        let cluster = self.pick(&FOLLOWERS);
        if self.registered.remove(cluster) {
            self.trail.push(format!("{cluster} leaves"));
            self.world.unregister(cluster).await;
        } else {
            self.trail.push(format!("{cluster} joins"));
            self.registered.insert(cluster);
            self.world.register(cluster).await;
        }
    }

    /// Ends every fault, waits until nothing is written any more, and checks.
    async fn check(&mut self) {
        self.heal();
        for gateway in std::mem::take(&mut self.paused) {
            self.resume(gateway).await;
        }
        self.elect();
        for _ in 0..400 {
            self.world.net.writes.lock().clear();
            sleep(Duration::from_secs(25)).await;
            if self.world.net.writes.lock().is_empty() && self.faults().is_empty() {
                return;
            }
        }
        let faults = self.faults();
        let writes = self.world.net.writes.lock().clone();
        panic!(
            "{faults:#?}\nstill written: {writes:#?}\n{:#?}\n{}",
            GATEWAYS.map(|gateway| self.world.statuses_of(gateway)),
            self.trail.join("\n")
        );
    }

    /// Everything that does not hold.
    fn faults(&self) -> Vec<String> {
        let source = self.objects("local-cluster");
        let mut faults = Vec::new();
        for cluster in &self.registered {
            let there = self.objects(cluster);
            for (key, original) in source.iter().filter(|_| self.is_replicated) {
                if is_untouchable(key) {
                    continue;
                }
                let is_fine = match there.get(key) {
                    None => !can_exist(key, &there, &source),
                    Some(copy) if copy.origin.is_some() => copy.digest == original.digest,
                    Some(_) => true,
                };
                if !is_fine {
                    faults.push(format!("{cluster}: {key} is not as in the source"));
                }
            }
            for (key, copy) in there.iter().filter(|(_, copy)| copy.origin.is_some()) {
                let is_wanted = self.is_replicated && source.contains_key(key);
                if !is_wanted && !may_stay(key, copy, &there) {
                    faults.push(format!("{cluster}: {key} is still there"));
                }
            }
        }
        for ((cluster, key), object) in &self.own {
            let is_same = |found: &Value| {
                ["rules", "subjects", "role_ref", "command"].iter().all(|it| {
                    object.get(it).is_none_or(|part| {
                        without_null(found.get(it).unwrap_or(&Value::Null)) == without_null(part)
                    })
                })
            };
            if !self
                .world
                .object(cluster, key)
                .is_some_and(|found| is_same(&found) && !self.world.is_copy(&found))
            {
                faults.push(format!("{cluster}: its own {key} was touched"));
            }
        }
        faults.extend(self.disagreement());
        faults
    }

    /// Where the gateways do not show the same.
    fn disagreement(&self) -> Option<String> {
        let said = |gateway| -> Vec<PolicyStatus> {
            let mut all = (*self.world.statuses_of(gateway)).clone();
            for status in &mut all {
                status.leader = false;
                status.since = std::time::SystemTime::UNIX_EPOCH;
                for cluster in &mut status.clusters {
                    (cluster.lag, cluster.last_sync) = (None, None);
                    cluster.since = std::time::SystemTime::UNIX_EPOCH;
                }
            }
            all
        };
        let both = GATEWAYS.map(said);
        (both[0] != both[1]).then(|| format!("the gateways do not show the same: {both:#?}"))
    }

    fn objects(&self, cluster: &str) -> BTreeMap<Key, Object> {
        let mut found = BTreeMap::new();
        for kind in KINDS {
            let names = NAMES.iter().map(|name| (*name).to_owned());
            let of_kind: Vec<String> = match kind {
                Type::Namespace => NAMESPACES.iter().map(|name| kind.key(None, name)).collect(),
                _ if kind.is_namespaced() => NAMESPACES
                    .iter()
                    .flat_map(|namespace| NAMES.iter().map(|name| kind.key(Some(namespace), name)))
                    .collect(),
                _ => names.map(|name| kind.key(None, &name)).collect(),
            };
            for key in of_kind {
                let object = self.world.object(cluster, &key["/sensu.io/".len()..]);
                let object = object.and_then(|object| Object::read(kind, &object.to_string()));
                found.extend(object.map(|object| (object.key.clone(), object)));
            }
        }
        found
    }
}

/// Whether an object could be there: its namespace is.
fn can_exist(key: &Key, there: &BTreeMap<Key, Object>, source: &BTreeMap<Key, Object>) -> bool {
    let namespace = Key::new(Type::Namespace, "", &key.namespace);
    key.namespace.is_empty() || there.contains_key(&namespace) || source.contains_key(&namespace)
}

/// Whether a copy without an original has to stay: what every cluster has, or a role that a binding names, without
/// rights.
fn may_stay(key: &Key, copy: &Object, there: &BTreeMap<Key, Object>) -> bool {
    let names = |it: &Object| it.binding.as_ref().is_some_and(|it| it.role.as_ref() == Some(key));
    let is_seed = key.kind == Type::ClusterRole && key.name == "view";
    is_seed || (key.kind.is_role() && copy.digest == key.emptied_digest() && there.values().any(names))
}

fn is_untouchable(key: &Key) -> bool {
    (key.kind.is_role() || key.kind.is_binding()) && key.name == "cluster-admin"
}

/// Members that a cluster writes as null where none were sent.
fn without_null(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let kept = map.iter().filter(|(_, value)| !value.is_null());
            Value::Object(kept.map(|(key, value)| (key.clone(), without_null(value))).collect())
        }
        Value::Array(items) => items.iter().map(without_null).collect(),
        other => other.clone(),
    }
}

#[tokio::test(start_paused = true)]
async fn followers_come_to_equal_the_source_whatever_happens() {
    let given = std::env::var("FEDGATE_POLICY_SEED").ok().and_then(|text| text.parse().ok());
    let seed = given.unwrap_or_else(|| fastrand::u64(..));
    println!("FEDGATE_POLICY_SEED={seed}");
    let mut seeds = fastrand::Rng::with_seed(seed);
    for _ in 0..WORLDS {
        let mut checker = Checker::new(seeds.u64(..)).await;
        for _ in 0..ROUNDS {
            for _ in 0..checker.random.usize(3..15) {
                checker.act().await;
                let pause = checker.random.u64(..2500);
                sleep(Duration::from_millis(pause)).await;
            }
            checker.check().await;
            checker.trail.clear();
        }
    }
}

/// Together 200 rounds.
const WORLDS: usize = 10;
const ROUNDS: usize = 20;
