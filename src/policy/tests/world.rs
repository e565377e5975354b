//! A local cluster, followers, and a gateway that replicates between them. Time is paused.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
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
    leadership::{Leadership, Term},
    policy::{Answer, Comparer, LABEL, OUR_GROUP, Reach, Settings, supervisor},
    registry::{MemoryStore, Precondition, Registry, Store, Views, key_of, reflector, store_id},
    sim::{Options, Sensu, SharedKeys},
    types::{Kind, PolicyStatus, Snapshot},
};

/// The clusters, and how the network to each misbehaves.
pub(super) struct Net {
    clusters: BTreeMap<String, Sensu>,
    faults: Mutex<BTreeMap<String, Fault>>,
    /// Writes of the gateway by cluster: method and path.
    pub(super) writes: Mutex<Vec<(String, String)>>,
    random: Mutex<fastrand::Rng>,
}

/// How the network to a cluster misbehaves.
#[derive(Clone, Debug, Default)]
pub(super) struct Fault {
    pub(super) is_cut: bool,
    /// Requests are never answered.
    pub(super) hangs: bool,
    /// Of a hundred requests, how many are lost, and of how many only the answer is.
    pub(super) lost: u8,
    pub(super) unanswered: u8,
    /// Collections that the cluster does not know, and those that it refuses.
    pub(super) unknown: BTreeSet<&'static str>,
    pub(super) forbidden: BTreeSet<&'static str>,
    /// A member that the cluster's version does not have.
    pub(super) drops: Option<&'static str>,
}

pub(super) struct World {
    pub(super) net: Arc<Net>,
    pub(super) store: Arc<MemoryStore>,
    pub(super) federation: String,
    registry: watch::Receiver<Arc<Registry>>,
    term: watch::Sender<Option<Term>>,
    gateway: Option<JoinHandle<()>>,
    pub(super) statuses: watch::Receiver<Arc<Vec<PolicyStatus>>>,
}

struct Scripted(watch::Sender<Option<Term>>);

impl Leadership for Scripted {
    fn terms(&self) -> watch::Receiver<Option<Term>> {
        self.0.subscribe()
    }

    fn run(&self) -> BoxFuture<'_, ()> {
        future::pending().boxed()
    }

    fn resign(&self, _: bool) -> BoxFuture<'_, ()> {
        future::ready(()).boxed()
    }
}

// === impl Net ===

impl Net {
    pub(super) fn cluster(&self, name: &str) -> &Sensu {
        &self.clusters[name]
    }

    pub(super) fn fault(&self, cluster: &str, change: impl FnOnce(&mut Fault)) {
        change(self.faults.lock().entry(cluster.to_owned()).or_default());
    }

    pub(super) fn heal(&self) {
        self.faults.lock().clear();
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
        let fault = self.faults.lock().get(cluster).cloned().unwrap_or_default();
        let draw = self.random.lock().u8(..100);
        if fault.hangs {
            return future::pending().await;
        }
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

impl Reach for Net {
    fn send<'a>(
        &'a self,
        cluster: &'a str,
        subject: &'a str,
        request: Request<Bytes>,
    ) -> BoxFuture<'a, Result<Answer, String>> {
        self.exchange(cluster, subject, request).boxed()
    }
}

// === impl World ===

impl World {
    /// With followers of these names, all registered, and a gateway that leads.
    pub(super) async fn new(followers: &[&str], seed: u64) -> Self {
        let keys = Arc::new(SharedKeys::generate().unwrap());
        let sensu = |name: &str| {
            let options = Options { name: name.to_owned(), keys: Arc::clone(&keys), ..Options::default() };
            (name.to_owned(), Sensu::new(options))
        };
        let clusters = ["local-cluster"].iter().chain(followers).map(|name| sensu(name)).collect();
        let net = Arc::new(Net {
            clusters,
            faults: Mutex::default(),
            writes: Mutex::default(),
            random: Mutex::new(fastrand::Rng::with_seed(seed)),
        });
        let store = Arc::new(MemoryStore::new());
        let federation = store_id(&*store).await.unwrap();
        let (_, configured) = watch::channel(Arc::new(Snapshot::new([])));
        let (reflector, Views { registry, .. }) = reflector(configured);
        tokio::spawn(reflector.run(Arc::clone(&store) as Arc<dyn Store>));
        let term = watch::Sender::new(Some(Term::forever(1, "here", "home")));
        let statuses = watch::channel(Arc::default()).1;
        let mut world = Self { net, store, federation, registry, term, gateway: None, statuses };
        for name in followers {
            world.register(name).await;
        }
        world.start();
        world
    }

    pub(super) fn start(&mut self) {
        let settings = Settings { source: None, competes: false };
        let leadership = Arc::new(Scripted(self.term.clone()));
        let store = Arc::clone(&self.store) as Arc<dyn Store>;
        let (supervisor, handle) = supervisor(settings, self.registry.clone(), store, leadership).unwrap();
        self.statuses = handle.statuses;
        let reach = Arc::clone(&self.net) as Arc<dyn Reach>;
        self.gateway = Some(tokio::spawn(supervisor.run(reach, future::pending())));
    }

    /// What compares, in this gateway or in another one.
    pub(super) fn comparer(&self) -> Comparer {
        let store = Arc::clone(&self.store) as Arc<dyn Store>;
        Comparer::new(self.registry.clone(), store, Arc::clone(&self.net) as Arc<dyn Reach>)
    }

    /// As `kill -9` does.
    pub(super) fn kill(&mut self) {
        if let Some(gateway) = self.gateway.take() {
            gateway.abort();
        }
    }

    pub(super) fn lead(&self, leads: bool) {
        self.term.send_replace(leads.then(|| Term::forever(1, "here", "home")));
    }

    async fn put(&self, kind: Kind, name: &str, spec: &Value) {
        let value = json!({
            "type": kind.type_name(), "api_version": "federation/v1", "metadata": {"name": name}, "spec": spec,
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
        let mut spec = json!({
            "resources": ["Namespace", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding", "CheckConfig"],
            "clusters": ["*"],
            "replication_interval_seconds": 10,
        });
        for (key, value) in other.as_object().unwrap() {
            spec[key] = value.clone();
        }
        self.put(Kind::Replicator, name, &spec).await;
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
        panic!("never: {what}; {:#?}", self.statuses.borrow());
    }

    /// Waits until a `Replicator`'s status in a cluster is that.
    pub(super) async fn until_status(
        &self,
        replicator: &str,
        cluster: &str,
        is: impl Fn(&crate::types::PolicyClusterStatus) -> bool,
    ) {
        let holds = |world: &Self| {
            let statuses = world.statuses.borrow();
            let found = statuses.iter().find(|it| &*it.name == replicator);
            found.and_then(|it| it.clusters.iter().find(|it| &*it.cluster == cluster)).is_some_and(&is)
        };
        self.until(&format!("the status of {replicator} in {cluster}"), holds).await;
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
