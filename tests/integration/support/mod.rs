//! Three simulated clusters with one key pair, and a gateway in front of them.

mod balancer;
mod net;
mod peer;
mod server;
mod tls;

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use arc_swap::ArcSwap;
use bytes::Bytes;
use fedgate::{
    api::Api,
    auth::{self, Authenticator, KeyFiles, SigningKey},
    authz::{AdminGroups, Minter},
    error::BoxError,
    fanout, graphql,
    listener::Phase,
    proxy::{
        Compressor, Federation, Gateway, Logins, OutageSessions, Readiness, Resources, Settings, Stack, stack,
    },
    registry::{self, MemoryStore, Store},
    sim::{Options, Recorded, Sensu, SharedKeys},
    types::{Backend, Cluster, Snapshot, Source, TlsFiles},
    upstream::{self, Manager},
    webui::{Content, WebUi},
    wire::Body,
};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::sync::watch;
use tower::ServiceExt;

pub(crate) use balancer::{Balancer, Certificate};
pub(crate) use net::{Line, Net, Secure};
pub(crate) use peer::Act;
pub(crate) use server::{Running, asked, cluster as simulated, h1, logs, read, request_of, send};
pub(crate) use tls::{certificate, tls_client};

/// The gateway's own name, as clients use it.
pub(crate) const HOST: &str = "gw.example.com:8080";

/// A gateway and its three clusters.
pub(crate) struct World {
    pub(crate) local: Sensu,
    pub(crate) alpha: Sensu,
    pub(crate) beta: Sensu,
    pub(crate) net: Arc<Net>,
    pub(crate) keys: Arc<SharedKeys>,
    pub(crate) authenticator: Arc<Authenticator>,
    pub(crate) fan_outs: Arc<fanout::Shared>,
    pub(crate) phase: watch::Sender<Phase>,
    pub(crate) outage: Option<OutageSessions>,
    registry: watch::Receiver<Arc<registry::Registry>>,
    clusters: Arc<ArcSwap<Snapshot>>,
    upstream: Manager,
    stack: Stack,
}

/// What a test may want otherwise.
pub(crate) struct Setup {
    pub(crate) settings: Settings,
    /// Fan-outs in flight.
    pub(crate) fan_outs: usize,
    /// Bytes that all fan-outs may buffer.
    pub(crate) buffered: usize,
    /// `auth.outage-sessions`.
    pub(crate) outage: Option<Duration>,
    /// Sensu's web UI. The cluster `web-ui` of [`Net`] is its dashboard.
    pub(crate) web: Content,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

// === impl Setup ===

impl Default for Setup {
    fn default() -> Self {
        Self {
            settings: Settings::default(),
            fan_outs: 1000,
            buffered: 256 << 20,
            outage: None,
            web: Content::default(),
        }
    }
}

// === impl World ===

impl World {
    pub(crate) fn new() -> Self {
        Self::with(Setup::default())
    }

    pub(crate) fn with(setup: Setup) -> Self {
        let keys = Arc::new(SharedKeys::generate().unwrap());
        let sensu = |name: &str| {
            Sensu::new(Options { name: name.to_owned(), keys: Arc::clone(&keys), ..Options::default() })
        };
        let (local, alpha, beta) = (sensu("local-cluster"), sensu("alpha"), sensu("beta"));
        let net = Arc::new(Net::new([local.clone(), alpha.clone(), beta.clone()]));
        let snapshot = Arc::new(Snapshot::new(["local-cluster", "alpha", "beta"].map(cluster)));
        let upstream = Manager::new(upstream::Config::default(), Arc::clone(&net) as Arc<_>);
        upstream.apply(&snapshot);
        let clusters = Arc::new(ArcSwap::new(Arc::clone(&snapshot)));
        let authenticator = Arc::new(authenticator(&keys));
        let fan_outs = fanout::Shared::new(setup.fan_outs, setup.buffered);
        let (phase, seen) = watch::channel(Phase::Running);
        let (federation, readiness, registry) = registered(Arc::clone(&snapshot), seen);
        let outage = setup
            .outage
            .map(|longest| OutageSessions::new(Arc::clone(&authenticator), minter(&keys), longest));
        let gateway = Gateway {
            resources: Arc::new(Resources {
                logins: Arc::new(Logins::new(setup.settings.limits.login_failures)),
                graphql: graphql::Engine::new(setup.settings.graphql()),
                compressor: Arc::new(Compressor::new(setup.settings.compression)),
                settings: setup.settings,
                access: Arc::default(),
                fan_outs: Arc::clone(&fan_outs),
                bodies: fedgate::wire::Budget::new(fedgate::wire::budget::REQUEST_BODY_BYTES),
                readiness,
                registry: registry.clone(),
                federation,
                outage_sessions: outage.clone(),
            }),
            clusters: Arc::clone(&clusters),
            upstream: upstream.clone(),
            exchange: None,
            web: WebUi::new(
                Arc::new(ArcSwap::from_pointee(setup.web)),
                Manager::new(upstream::Config::default(), Arc::clone(&net) as Arc<_>),
            ),
        };
        let stack = stack(gateway, Arc::clone(&authenticator), &[]);
        Self {
            local,
            alpha,
            beta,
            net,
            keys,
            authenticator,
            fan_outs,
            phase,
            outage,
            registry,
            clusters,
            upstream,
            stack,
        }
    }

    /// Waits until the registry has been read, as a real gateway has by the time that clients come.
    pub(crate) async fn ready(&self) {
        let read = |view: &Arc<registry::Registry>| *view.health() == registry::Health::Following;
        self.registry.clone().wait_for(read).await.unwrap();
    }

    /// Has the gateway know these clusters and no others.
    pub(crate) fn register(&self, names: &[&str]) {
        let snapshot = Snapshot::new(names.iter().map(|name| cluster(name)));
        self.upstream.apply(&snapshot);
        self.clusters.store(Arc::new(snapshot));
    }

    /// The answer's head; its body still flows.
    pub(crate) async fn open(&self, request: Request<Body>) -> Response<Body> {
        self.stack.clone().oneshot(request).await.unwrap()
    }

    /// Sends a request and reads the answer to its end.
    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let (head, body) = self.open(request).await.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer { status: head.status, headers: head.headers, body }
    }

    /// As the administrator.
    pub(crate) async fn get(&self, target: &str) -> Answer {
        self.send(self.request(Method::GET, target, "")).await
    }

    /// As the administrator, with a body.
    pub(crate) async fn call(&self, method: Method, target: &str, body: impl Into<Bytes>) -> Answer {
        self.send(self.request(method, target, body)).await
    }

    /// A request of the administrator, to be changed further.
    pub(crate) fn request(&self, method: Method, target: &str, body: impl Into<Bytes>) -> Request<Body> {
        let mut request = plain(method, target, body);
        let value = format!("Bearer {}", self.token("admin", &["cluster-admins", "system:users"]));
        request.headers_mut().insert("authorization", value.parse().unwrap());
        request
    }

    /// A token as the clusters issue them.
    pub(crate) fn token(&self, user: &str, groups: &[&str]) -> String {
        self.keys.mint(&claims(user, groups, now() + 300))
    }

    pub(crate) fn sensus(&self) -> [&Sensu; 3] {
        [&self.local, &self.alpha, &self.beta]
    }

    /// What the clusters were asked so far.
    pub(crate) fn requests(&self) -> Vec<Recorded> {
        self.sensus().iter().flat_map(|sensu| sensu.requests()).collect()
    }

    /// Fails when any cluster was asked anything.
    #[track_caller]
    pub(crate) fn nothing_was_forwarded(&self, why: &str) {
        let targets: Vec<_> = self.requests().into_iter().map(|r| r.path_and_query).collect();
        assert!(targets.is_empty(), "{why}: {targets:?}");
    }

    /// Forgets what the clusters were asked.
    pub(crate) fn forget(&self) {
        for sensu in self.sensus() {
            sensu.faults().clear_requests();
        }
    }

    /// Creates something directly in a cluster, past the gateway.
    pub(crate) async fn put(&self, sensu: &Sensu, target: &str, object: &Value) {
        let request = self.request(Method::PUT, target, object.to_string());
        let answer = sensu.handle(request).await;
        let status = answer.status();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        assert!(status.is_success(), "{target}: {status} {body:?}");
    }

    /// Asks a cluster directly, past the gateway.
    pub(crate) async fn direct(&self, sensu: &Sensu, target: &str) -> Answer {
        let (head, body) = sensu.handle(self.request(Method::GET, target, "")).await.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer { status: head.status, headers: head.headers, body }
    }

    /// A check `name` in the namespace `default` of a cluster.
    pub(crate) async fn put_check(&self, sensu: &Sensu, name: &str) {
        let target = format!("/api/core/v2/namespaces/default/checks/{name}");
        self.put(sensu, &target, &check("default", name)).await;
    }

    /// Fails unless every fan-out has given back what it held.
    #[track_caller]
    pub(crate) fn nothing_is_held(&self) {
        assert_eq!((self.fan_outs.in_flight(), self.fan_outs.buffered_bytes()), (0, 0));
    }
}

// === impl Answer ===

impl Answer {
    /// A header's text; empty when it is missing.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }

    /// Fails unless status and body are exactly these.
    #[track_caller]
    pub(crate) fn is(&self, status: u16, body: &str) {
        assert_eq!((self.status.as_u16(), self.text()), (status, body));
    }

    /// The values of one member of every item, such as `/metadata/name`.
    #[track_caller]
    pub(crate) fn each(&self, pointer: &str) -> Vec<String> {
        let list = self.json();
        let items = list.as_array().unwrap_or_else(|| panic!("no list: {list}"));
        items
            .iter()
            .map(|item| item.pointer(pointer).and_then(Value::as_str).unwrap_or("-").to_owned())
            .collect()
    }
}

fn cluster(name: &str) -> Cluster {
    Cluster {
        name: name.parse().unwrap(),
        backends: vec![Backend { tls: false, host: name.to_owned(), port: 8080 }],
        tls: TlsFiles::default(),
        source: Source::Config,
    }
}

fn authenticator(keys: &SharedKeys) -> Authenticator {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), keys.public_pem()).unwrap();
    let keys = KeyFiles::load(&[file.path().to_owned()]).unwrap();
    Authenticator::new(&auth::Config::default(), keys)
}

fn minter(keys: &SharedKeys) -> Minter {
    let [public, private] = [keys.public_pem(), keys.private_pem()].map(|pem| {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), pem).unwrap();
        file
    });
    let keys = KeyFiles::load(&[public.path().to_owned()]).unwrap();
    Minter::new(Arc::new(SigningKey::load(private.path(), &keys).unwrap()))
}

/// A request without credentials.
pub(crate) fn plain(method: Method, target: &str, body: impl Into<Bytes>) -> Request<Body> {
    // Without a content type Sensu takes a body for a form.
    let media = if method == Method::PATCH { "application/merge-patch+json" } else { "application/json" };
    let request =
        Request::builder().method(method).uri(target).header("host", HOST).header("content-type", media);
    request.body(Body::full(body)).unwrap()
}

/// A body that arrives as a stream of unknown length.
pub(crate) fn chunked(chunks: impl IntoIterator<Item = &'static str>) -> Body {
    let frames: Vec<_> = chunks
        .into_iter()
        .map(|c| Ok::<_, BoxError>(http_body::Frame::data(Bytes::from_static(c.as_bytes()))))
        .collect();
    Body::boxed(http_body_util::StreamBody::new(futures::stream::iter(frames)))
}

pub(crate) fn claims(user: &str, groups: &[&str], expires: i64) -> Value {
    json!({
        "exp": expires, "jti": "1", "iss": format!("https://{HOST}"), "sub": user, "groups": groups,
        "provider": {"provider_id": "basic", "provider_type": "", "user_id": user},
        "api_key": false, "session_id": "s",
    })
}

pub(crate) fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().try_into().unwrap()
}

/// A check as clients write it.
pub(crate) fn check(namespace: &str, name: &str) -> Value {
    json!({
        "command": "true", "interval": 60, "publish": true, "subscriptions": ["linux"],
        "metadata": {"name": name, "namespace": namespace},
    })
}

/// An entity as clients write it.
pub(crate) fn entity(namespace: &str, name: &str) -> Value {
    json!({"entity_class": "proxy", "metadata": {"name": name, "namespace": namespace}})
}

/// A registry in memory that follows the test's runtime. What is registered is listed, but not routed to: that is
/// tested with whole servers.
fn registered(
    configured: Arc<Snapshot>,
    phase: watch::Receiver<Phase>,
) -> (Federation, Readiness, watch::Receiver<Arc<registry::Registry>>) {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let (_, configured) = watch::channel(configured);
    let (reflector, views) = registry::reflector(configured);
    tokio::spawn(reflector.run(Arc::clone(&store)));
    let api = Api::new(store, views.registry.clone(), Arc::new(AdminGroups(vec!["cluster-admins".into()])));
    let federation = Federation::new(tokio::runtime::Handle::current(), api);
    (federation, Readiness::new(phase, views.registry.clone()), views.registry)
}
