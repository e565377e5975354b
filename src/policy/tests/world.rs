//! A local cluster, followers, and gateways that replicate between them. Time is paused.
//!
//! Whatever stops stops as with SIGSTOP: what was on its way to a stopped cluster arrives when it goes on, however long ago
//! the gateway has given up waiting; and a stopped gateway sends, when it goes on, what it was about to send, whoever leads
//! then.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures::future::{self, BoxFuture, FutureExt as _};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::{sync::watch, task::JoinHandle, time::sleep};

use crate::{
    leadership::{LeaderStatus, Leadership, Term, Topic},
    policy::{Answer, Comparer, Handle, LABEL, OUR_GROUP, Reach, Settings, supervisor},
    registry::{
        Entry, Events, MemoryStore, Precondition, Registry, Store, StoreError, Views, key_of, reflector,
        store_id,
    },
    sim::{Options, Sensu, SharedKeys},
    types::{GivenUp, Kind, PolicyStatus, Snapshot},
};

/// The clusters, and how the network to each misbehaves.
pub(super) struct Net {
    clusters: BTreeMap<String, Sensu>,
    faults: watch::Sender<BTreeMap<String, Fault>>,
    /// What is on its way to replace or delete something: cluster and path. Sensu takes no condition with it.
    pub(super) under_way: Mutex<Vec<(String, String)>>,
    /// Writes of the gateways by cluster: method and path.
    pub(super) writes: Mutex<Vec<(String, String)>>,
    /// The same of those that a cluster has refused.
    pub(super) refusals: Mutex<Vec<(String, String)>>,
    random: Mutex<fastrand::Rng>,
}

/// How the network to a cluster misbehaves.
#[derive(Clone, Debug, Default)]
pub(super) struct Fault {
    pub(super) is_cut: bool,
    pub(super) is_stopped: bool,
    /// Of a hundred requests, how many are lost, and of how many only the answer is.
    pub(super) lost: u8,
    pub(super) unanswered: u8,
    /// Collections that the cluster does not know, and those that it refuses.
    pub(super) unknown: BTreeSet<&'static str>,
    pub(super) forbidden: BTreeSet<&'static str>,
    /// Collections of which it refuses every write.
    pub(super) refused: BTreeSet<&'static str>,
    /// A member that the cluster's version does not have.
    pub(super) drops: Option<&'static str>,
}

pub(super) struct World {
    pub(super) net: Arc<Net>,
    pub(super) store: Arc<Counted>,
    pub(super) federation: String,
    registry: watch::Receiver<Arc<Registry>>,
    gateways: Vec<Gateway>,
    /// Which of them leads, and in which term.
    leader: Option<usize>,
    term: u64,
    published: watch::Sender<Option<LeaderStatus>>,
}

/// A gateway on the store that all of a world share.
struct Gateway {
    handle: Handle,
    task: Option<JoinHandle<()>>,
    terms: watch::Sender<Option<Term>>,
    is_stopped: watch::Sender<bool>,
    trap: Trap,
}

/// A store that counts what is asked of it.
pub(super) struct Counted {
    inner: MemoryStore,
    calls: AtomicU64,
}

impl Counted {
    /// So far.
    pub(super) fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    fn count(&self) -> &MemoryStore {
        self.calls.fetch_add(1, Ordering::Relaxed);
        &self.inner
    }
}

impl Store for Counted {
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Entry>, StoreError>> {
        self.count().get(key)
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<Entry>, StoreError>> {
        self.count().list(prefix)
    }

    fn put<'a>(
        &'a self,
        key: &'a str,
        value: Bytes,
        expected: Precondition,
    ) -> BoxFuture<'a, Result<u64, StoreError>> {
        self.count().put(key, value, expected)
    }

    fn delete<'a>(
        &'a self,
        key: &'a str,
        expected: Precondition,
    ) -> BoxFuture<'a, Result<Option<u64>, StoreError>> {
        self.count().delete(key, expected)
    }

    fn watch(&self) -> Events {
        self.inner.watch()
    }
}

/// Where a gateway stops: right before it sends this.
type Trap = Arc<Mutex<Option<(Method, String)>>>;

/// A leadership without an election: the world says who leads.
struct Scripted {
    terms: watch::Sender<Option<Term>>,
    published: watch::Sender<Option<LeaderStatus>>,
}

/// The way of one gateway to the clusters.
#[derive(Clone)]
struct Link {
    net: Arc<Net>,
    is_stopped: watch::Sender<bool>,
    trap: Trap,
}

impl Leadership for Scripted {
    fn terms(&self) -> watch::Receiver<Option<Term>> {
        self.terms.subscribe()
    }

    fn run(&self) -> BoxFuture<'_, ()> {
        future::pending().boxed()
    }

    fn resign(&self, _: bool) -> BoxFuture<'_, ()> {
        future::ready(()).boxed()
    }

    fn publish_status(&self, topic: Topic, status: Bytes) {
        // The election's etcd takes it from the leader only.
        if self.terms.borrow().as_ref().is_some_and(Term::is_current) {
            self.published.send_replace(Some(LeaderStatus::of("leader", topic, Some(status))));
        }
    }

    fn leader_status(&self) -> watch::Receiver<Option<LeaderStatus>> {
        self.published.subscribe()
    }
}

// === impl Net ===

impl Net {
    pub(super) fn cluster(&self, name: &str) -> &Sensu {
        &self.clusters[name]
    }

    pub(super) fn fault(&self, cluster: &str, change: impl FnOnce(&mut Fault)) {
        self.faults.send_modify(|faults| change(faults.entry(cluster.to_owned()).or_default()));
    }

    pub(super) fn heal(&self) {
        self.faults.send_replace(BTreeMap::new());
    }

    async fn exchange(
        &self,
        cluster: &str,
        subject: &str,
        request: Request<Bytes>,
    ) -> Result<Answer, String> {
        // Longer for some than for others, so that tasks overlap in every way.
        let latency = 1 + self.random.lock().u64(..4);
        sleep(Duration::from_millis(latency)).await;
        let mut faults = self.faults.subscribe();
        let goes_on = |faults: &BTreeMap<String, Fault>| !faults.get(cluster).is_some_and(|it| it.is_stopped);
        let _ = faults.wait_for(goes_on).await;
        let fault = faults.borrow().get(cluster).cloned().unwrap_or_default();
        let draw = self.random.lock().u8(..100);
        if fault.is_cut || draw < fault.lost {
            return Err("the network is cut".to_owned());
        }
        let path = request.uri().path().to_owned();
        let is_of =
            |all: &BTreeSet<&'static str>| all.iter().any(|it| path.split('/').any(|part| part == *it));
        for (all, status) in
            [(&fault.unknown, StatusCode::NOT_FOUND), (&fault.forbidden, StatusCode::FORBIDDEN)]
        {
            if is_of(all) {
                return Ok(Answer { status, headers: http::HeaderMap::new(), body: Bytes::new() });
            }
        }
        if request.method() != Method::GET && is_of(&fault.refused) {
            self.refusals.lock().push((cluster.to_owned(), format!("{} {path}", request.method())));
            let status = StatusCode::FORBIDDEN;
            return Ok(Answer { status, headers: http::HeaderMap::new(), body: Bytes::new() });
        }
        if request.method() != Method::GET {
            self.writes.lock().push((cluster.to_owned(), format!("{} {path}", request.method())));
        }
        let sensu = self.cluster(cluster);
        let claims = json!({"sub": subject, "groups": [OUR_GROUP], "exp": i64::MAX / 2});
        let token = sensu.keys().mint(&claims);
        let (mut head, mut body) = request.into_parts();
        if let (Some(member), Ok(Value::Object(mut sent))) = (fault.drops, serde_json::from_slice(&body)) {
            sent.remove(member);
            body = Value::Object(sent).to_string().into();
        }
        head.headers.insert("authorization", format!("Bearer {token}").parse().unwrap());
        let (head, body) = sensu.handle(Request::from_parts(head, Full::new(body))).await.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        if draw < fault.lost + fault.unanswered {
            return Err("the answer was lost".to_owned());
        }
        Ok(Answer { status: head.status, headers: head.headers, body })
    }
}

// === impl Link ===

impl Link {
    async fn exchange(
        self,
        cluster: String,
        subject: String,
        request: Request<Bytes>,
    ) -> Result<Answer, String> {
        let is_it = |(method, path): &mut (Method, String)| {
            request.method() == method && request.uri().path() == path && cluster != "local-cluster"
        };
        if self.trap.lock().take_if(is_it).is_some() {
            self.is_stopped.send_replace(true);
        }
        let is_write = matches!(*request.method(), Method::PUT | Method::DELETE);
        let write = is_write.then(|| (cluster.clone(), request.uri().path().to_owned()));
        self.net.under_way.lock().extend(write.clone());
        self.goes_on().await;
        let sent = self.net.exchange(&cluster, &subject, request).await;
        if let Some(write) = write {
            let mut all = self.net.under_way.lock();
            let index = all.iter().position(|it| *it == write).unwrap();
            all.swap_remove(index);
        }
        self.goes_on().await;
        sent
    }

    /// Waits while the gateway is stopped.
    async fn goes_on(&self) {
        let _ = self.is_stopped.subscribe().wait_for(|is_stopped| !is_stopped).await;
    }
}

impl Reach for Link {
    fn send<'a>(
        &'a self,
        cluster: &'a str,
        subject: &'a str,
        request: Request<Bytes>,
    ) -> BoxFuture<'a, Result<Answer, String>> {
        // What is on its way arrives, whether or not anybody still waits for it. (What a gateway has not sent when it is killed
        // while it is stopped waits forever.)
        let sent = tokio::spawn(self.clone().exchange(cluster.to_owned(), subject.to_owned(), request));
        async move { sent.await.unwrap() }.boxed()
    }
}

// === impl World ===

impl World {
    /// With followers of these names, all registered, and one gateway, which leads.
    pub(super) async fn new(followers: &[&str], seed: u64) -> Self {
        let keys = Arc::new(SharedKeys::generate().unwrap());
        let sensu = |name: &str| {
            let options = Options { name: name.to_owned(), keys: Arc::clone(&keys), ..Options::default() };
            (name.to_owned(), Sensu::new(options))
        };
        let clusters = ["local-cluster"].iter().chain(followers).map(|name| sensu(name)).collect();
        let net = Arc::new(Net {
            clusters,
            faults: watch::Sender::default(),
            under_way: Mutex::default(),
            writes: Mutex::default(),
            refusals: Mutex::default(),
            random: Mutex::new(fastrand::Rng::with_seed(seed)),
        });
        let mut world = Self::on(net).await;
        for name in followers {
            world.register(name).await;
        }
        world.add_gateway();
        world.lead(0);
        world
    }

    /// Another federation with the same clusters, none of them registered, and one gateway, which leads.
    pub(super) async fn beside(&self) -> Self {
        let mut world = Self::on(Arc::clone(&self.net)).await;
        world.add_gateway();
        world.lead(0);
        world
    }

    async fn on(net: Arc<Net>) -> Self {
        let store = Arc::new(Counted { inner: MemoryStore::new(), calls: AtomicU64::new(0) });
        let federation = store_id(&*store).await.unwrap();
        let (_, configured) = watch::channel(Arc::new(Snapshot::new([])));
        let (reflector, Views { registry, .. }) = reflector(configured);
        tokio::spawn(reflector.run(Arc::clone(&store) as Arc<dyn Store>));
        let published = watch::Sender::new(None);
        Self { net, store, federation, registry, gateways: Vec::new(), leader: None, term: 0, published }
    }

    /// One that does not lead yet.
    pub(super) fn add_gateway(&mut self) {
        let gateway = self.spawn();
        self.gateways.push(gateway);
    }

    fn spawn(&self) -> Gateway {
        let (terms, is_stopped, trap) =
            (watch::Sender::new(None), watch::Sender::new(false), Trap::default());
        let settings = Settings { source: None, competes: false };
        let leadership = Arc::new(Scripted { terms: terms.clone(), published: self.published.clone() });
        let store = Arc::clone(&self.store) as Arc<dyn Store>;
        let (supervisor, handle) = supervisor(settings, self.registry.clone(), store, leadership).unwrap();
        let link =
            Link { net: Arc::clone(&self.net), is_stopped: is_stopped.clone(), trap: Arc::clone(&trap) };
        let task = tokio::spawn(supervisor.run(Arc::new(link), future::pending()));
        Gateway { handle, task: Some(task), terms, is_stopped, trap }
    }

    /// What compares, in this gateway or in another one.
    pub(super) fn comparer(&self) -> Comparer {
        let store = Arc::clone(&self.store) as Arc<dyn Store>;
        let link =
            Link { net: Arc::clone(&self.net), is_stopped: watch::Sender::new(false), trap: Trap::default() };
        Comparer::new(self.registry.clone(), store, Arc::new(link))
    }

    /// As `kill -9` does, and starts it again; it does not lead then.
    pub(super) async fn restart(&mut self, gateway: usize, pause: Duration) {
        self.gateways[gateway].kill();
        if self.leader == Some(gateway) {
            self.leader = None;
            self.published.send_replace(None);
        }
        sleep(pause).await;
        self.gateways[gateway] = self.spawn();
    }

    /// Kills the only one, for good.
    pub(super) fn kill(&mut self) {
        self.gateways.iter_mut().for_each(Gateway::kill);
    }

    /// Makes this gateway the leader, in a term of its own. The one before learns of it unless it is stopped.
    pub(super) fn lead(&mut self, gateway: usize) {
        self.lead_none();
        self.term += 1;
        self.leader = Some(gateway);
        self.gateways[gateway].terms.send_replace(Some(Term::forever(self.term, "here", "home")));
    }

    pub(super) fn lead_none(&mut self) {
        self.leader = None;
        self.published.send_replace(None);
        for gateway in self.gateways.iter().filter(|gateway| !*gateway.is_stopped.borrow()) {
            gateway.terms.send_replace(None);
        }
    }

    /// SIGSTOP: its term ends unnoticed.
    pub(super) fn pause(&mut self, gateway: usize) {
        let stopped = &self.gateways[gateway];
        stopped.is_stopped.send_replace(true);
        stopped.terms.send_modify(|term| {
            *term = term.take().map(|term| term.ending(tokio::time::Instant::now()));
        });
        if self.leader == Some(gateway) {
            self.leader = None;
        }
    }

    /// SIGSTOP right before it sends this to a follower.
    pub(super) fn pause_at(&self, gateway: usize, method: &Method, path: &str) {
        *self.gateways[gateway].trap.lock() = Some((method.clone(), path.to_owned()));
    }

    pub(super) fn is_paused(&self, gateway: usize) -> bool {
        *self.gateways[gateway].is_stopped.borrow()
    }

    /// SIGCONT: only after a while does it learn that it does not lead any more.
    pub(super) async fn resume(&mut self, gateway: usize, unaware: Duration) {
        self.gateways[gateway].is_stopped.send_replace(false);
        sleep(unaware).await;
        if self.leader != Some(gateway) {
            self.gateways[gateway].terms.send_replace(None);
        }
    }

    pub(super) fn leader(&self) -> Option<usize> {
        self.leader
    }

    /// What a gateway shows.
    pub(super) fn statuses_of(&self, gateway: usize) -> Arc<Vec<PolicyStatus>> {
        Arc::clone(&self.gateways[gateway].handle.statuses.borrow())
    }

    /// What the first one shows.
    pub(super) fn statuses(&self) -> Arc<Vec<PolicyStatus>> {
        self.statuses_of(0)
    }

    pub(super) fn give_up(&self, gateway: usize, name: &str) -> GivenUp {
        self.gateways[gateway].handle.give_up(name)
    }

    async fn put(&self, kind: Kind, name: &str, spec: &Value) {
        self.put_annotated(kind, name, spec, &json!({})).await;
    }

    async fn put_annotated(&self, kind: Kind, name: &str, spec: &Value, annotations: &Value) {
        let metadata = json!({"name": name, "annotations": annotations});
        let value = json!({
            "type": kind.type_name(), "api_version": "federation/v1", "metadata": metadata, "spec": spec,
        });
        self.store.put(&key_of(kind, name), value.to_string().into(), Precondition::Any).await.unwrap();
    }

    pub(super) async fn register(&self, cluster: &str) {
        self.put(Kind::Cluster, cluster, &json!({"api_urls": [format!("http://{cluster}:8080")]})).await;
    }

    pub(super) async fn unregister(&self, cluster: &str) {
        self.store.delete(&key_of(Kind::Cluster, cluster), Precondition::Any).await.unwrap();
    }

    /// Puts a `Replicator` of all RBAC types and checks, with other members of its spec.
    pub(super) async fn replicate(&self, name: &str, other: &Value) {
        self.replicate_annotated(name, other, &json!({})).await;
    }

    /// The same; what these federations have copied is taken over.
    pub(super) async fn adopt(&self, name: &str, other: &Value, federations: &str) {
        self.replicate_annotated(name, other, &json!({"fedgate.io/adopt": federations})).await;
    }

    async fn replicate_annotated(&self, name: &str, other: &Value, annotations: &Value) {
        let mut spec = json!({
            "resources": ["Namespace", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding", "CheckConfig"],
            "clusters": ["*"],
            "replication_interval_seconds": 10,
        });
        for (key, value) in other.as_object().unwrap() {
            spec[key] = value.clone();
        }
        self.put_annotated(Kind::Replicator, name, &spec, annotations).await;
    }

    pub(super) async fn remove(&self, name: &str) {
        self.store.delete(&key_of(Kind::Replicator, name), Precondition::Any).await.unwrap();
    }

    /// An administrator's request to one cluster.
    pub(super) fn call(&self, cluster: &str, method: &Method, path: &str, body: &Value) -> bool {
        self.net.cluster(cluster).apply(method, &format!("/api/core/v2/{path}"), body).is_success()
    }

    #[track_caller]
    pub(super) fn write(&self, cluster: &str, path: &str, object: &Value) {
        assert!(self.call(cluster, &Method::PUT, path, object), "{cluster}: {path} {object}");
    }

    #[track_caller]
    pub(super) fn delete(&self, cluster: &str, path: &str) {
        assert!(self.call(cluster, &Method::DELETE, path, &Value::Null), "{cluster}: {path}");
    }

    /// Whether people of these groups can use a cluster at all: an error of its own means that nobody can repair it.
    pub(super) async fn answers(&self, cluster: &str, user: &str, groups: &[&str]) -> u16 {
        let sensu = self.net.cluster(cluster);
        let token = sensu.keys().mint(&json!({"sub": user, "groups": groups, "exp": i64::MAX / 2}));
        let request = Request::builder().uri("/api/core/v2/namespaces/default/checks");
        let request = request.header("authorization", format!("Bearer {token}"));
        sensu.handle(request.body(Full::new(Bytes::new())).unwrap()).await.status().as_u16()
    }

    /// An object of a cluster.
    pub(super) fn object(&self, cluster: &str, key: &str) -> Option<Value> {
        let found = self.net.cluster(cluster).etcd_get(&format!("/sensu.io/{key}"))?;
        Some(serde_json::from_slice(&found).unwrap())
    }

    /// Whether it bears this federation's label.
    pub(super) fn is_copy(&self, object: &Value) -> bool {
        object["metadata"]["labels"][LABEL] == *self.federation
    }

    /// Waits until this holds.
    pub(super) async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        for _ in 0..3000 {
            if holds(self) {
                return;
            }
            sleep(Duration::from_millis(500)).await;
        }
        panic!("never: {what}; {:#?}", self.statuses());
    }

    /// Waits until a `Replicator`'s status in a cluster is that.
    pub(super) async fn until_status(
        &self,
        replicator: &str,
        cluster: &str,
        is: impl Fn(&crate::types::PolicyClusterStatus) -> bool,
    ) {
        let holds = |world: &Self| {
            let statuses = world.statuses();
            let found = statuses.iter().find(|it| &*it.name == replicator);
            found.and_then(|it| it.clusters.iter().find(|it| &*it.cluster == cluster)).is_some_and(&is)
        };
        self.until(&format!("the status of {replicator} in {cluster}"), holds).await;
    }
}

// === impl Gateway ===

impl Gateway {
    fn kill(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.kill();
    }
}

pub(super) fn role(verb: &str, metadata: &Value) -> Value {
    json!({"metadata": metadata, "rules": [{"verbs": [verb], "resources": ["checks"]}]})
}

pub(super) fn cluster_role(name: &str, verb: &str) -> Value {
    role(verb, &json!({"name": name}))
}

pub(super) fn binding(name: &str, role: &str, group: &str) -> Value {
    json!({
        "metadata": {"name": name}, "role_ref": {"type": "ClusterRole", "name": role},
        "subjects": [{"type": "Group", "name": group}],
    })
}

pub(super) fn check(namespace: &str, name: &str, command: &str) -> Value {
    json!({"metadata": {"name": name, "namespace": namespace}, "command": command, "interval": 60})
}
