//! An in-memory imitation of a Sensu Go 6.12 backend, for the demo and for tests.
//!
//! It answers as a real backend does over HTTP: routes, error dialects, JSON of every resource, tokens,
//! RBAC, pages, and the hazards that a gateway must guard against. What a test cannot get from a well-behaved
//! backend, [`Faults`] adds. It shares no code with the gateway, so that a bug cannot hide on both sides.
//!
//! Not imitated: agents, scheduling and handlers.

mod auth;
mod call;
mod clock;
mod demo;
mod dispatch;
mod entities;
mod events;
mod faults;
mod generic;
mod graphql;
mod json;
mod keys;
mod kinds;
mod misc;
mod namespaces;
mod patch;
mod proto;
mod rbac;
mod reply;
mod route;
mod schema;
mod seed;
mod server;
mod silenced;
mod store;
mod token;
mod users;

use std::{collections::BTreeMap, fmt, sync::Arc};

use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use parking_lot::{Mutex, MutexGuard};

pub use clock::Clock;
pub use faults::{Faults, Recorded};
pub use keys::{KeyError, SharedKeys};
pub use reply::Dropped;

use self::{
    call::Call,
    rbac::User,
    reply::{Failure, Reply},
    store::{Store, Stored},
};

/// One imitated cluster. Cheap to clone; clones are the same cluster.
#[derive(Clone)]
pub struct Sensu(Arc<Inner>);

/// How to set up a cluster.
#[derive(Clone)]
pub struct Options {
    /// The cluster's name; its backend entity is `<name>-backend-1`.
    pub name: String,
    /// The key pair it signs and verifies tokens with.
    pub keys: Arc<SharedKeys>,
    /// The administrator, in group `cluster-admins`.
    pub admin_user: String,
    /// Its password.
    pub admin_password: String,
    /// The time it goes by.
    pub clock: Clock,
    /// Whether clients reach it over TLS, which decides the scheme of the `iss` claim.
    pub tls: bool,
    /// `api-serve-wait-time` in seconds: while set, most of the API answers 503.
    pub startup_wait: Option<u32>,
}

struct Inner {
    name: String,
    keys: Arc<SharedKeys>,
    secret: [u8; 32],
    id: u64,
    tls: bool,
    clock: Clock,
    faults: Faults,
    state: Mutex<State>,
}

/// What changes.
#[derive(Default)]
struct State {
    store: Store,
    /// Sessions by user and id: the id of the refresh token that is good, and when the session ends.
    sessions: BTreeMap<(String, String), (String, i64)>,
    opt_out: bool,
    startup_wait: Option<u32>,
    /// What the demo's life is drawn from.
    demo: Option<fastrand::Rng>,
}

/// What a handler works on.
struct Context<'a> {
    inner: &'a Inner,
    state: &'a mut State,
    call: &'a Call,
    user: &'a User,
    now: i64,
}

type Outcome = Result<Reply, Failure>;

// === impl Options ===

impl Default for Options {
    /// A cluster `sensu` with a fresh key pair and the administrator `admin` / `P@ssw0rd!`.
    ///
    /// # Panics
    ///
    /// When the machine has no working random source.
    fn default() -> Self {
        Self {
            name: "sensu".into(),
            keys: Arc::new(SharedKeys::generate().expect("a working random source")),
            admin_user: "admin".into(),
            admin_password: "P@ssw0rd!".into(),
            clock: Clock::default(),
            tls: true,
            startup_wait: None,
        }
    }
}

// === impl Sensu ===

impl Sensu {
    /// A cluster as it is after `sensu-backend init`.
    ///
    /// # Panics
    ///
    /// When the machine has no working random source.
    pub fn new(options: Options) -> Self {
        let mut state = State { startup_wait: options.startup_wait, ..State::default() };
        seed::init(&mut state.store, &options);
        let mut secret = [0; 32];
        aws_lc_rs::rand::fill(&mut secret).expect("a working random source");
        Self(Arc::new(Inner {
            id: fastrand::u64(1 << 60..),
            name: options.name,
            keys: options.keys,
            tls: options.tls,
            secret,
            clock: options.clock,
            faults: Faults::default(),
            state: Mutex::new(state),
        }))
    }

    /// The name it was made with.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The key pair it signs with.
    pub fn keys(&self) -> &SharedKeys {
        &self.0.keys
    }

    /// The time it goes by.
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// The knobs that make it misbehave.
    pub fn faults(&self) -> &Faults {
        &self.0.faults
    }

    /// The last requests, oldest first: up to a thousand, and up to 64 MiB of bodies.
    pub fn requests(&self) -> Vec<Recorded> {
        self.0.faults.requests()
    }

    /// Signs claims under any header with the cluster's own HS256 secret, as anyone who reads its store could.
    pub fn mint_hs256(&self, header: &serde_json::Value, claims: &serde_json::Value) -> String {
        token::mint_hs256(&self.0.secret, &header.to_string(), &claims.to_string())
    }

    /// The object under a store key such as `/sensu.io/rbac/clusterroles/view`, as bare JSON.
    pub fn etcd_get(&self, key: &str) -> Option<Vec<u8>> {
        match self.0.lock().store.get(key)? {
            Stored::Object(object) => {
                let mut text = String::new();
                json::write_value(&mut text, &serde_json::Value::Object(object.clone()));
                Some(text.into_bytes())
            }
            Stored::Raw(bytes) => Some(bytes.clone()),
        }
    }

    /// Writes a key past the API: protobuf (RBAC, namespaces, users, API keys) or bare JSON of any kind.
    /// Anything else is kept and does not decode, with Sensu's consequences.
    pub fn etcd_put(&self, key: &str, value: &[u8]) {
        self.0.lock().store.put_bytes(key, value);
    }

    /// Deletes a key past the API; whether it was there.
    pub fn etcd_delete(&self, key: &str) -> bool {
        self.0.lock().store.remove(key)
    }

    /// Sends a JSON body to one of its own routes as a cluster administrator, without a connection.
    ///
    /// Handy to set a test up: `apply(&Method::PUT, "/api/core/v2/namespaces/web", &json!({"name": "web"}))`.
    pub fn apply(&self, method: &Method, path: &str, body: &serde_json::Value) -> StatusCode {
        let claims = serde_json::json!({"sub": "admin", "groups": ["cluster-admins"]});
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Ok(value) = HeaderValue::try_from(format!("Bearer {}", self.keys().mint(&claims))) {
            headers.insert(header::AUTHORIZATION, value);
        }
        let (path, query) = path.split_once('?').map_or((path, None), |(p, q)| (p, Some(q.to_owned())));
        let call = Call {
            method: method.to_string(),
            path: path.to_owned(),
            query,
            headers,
            body: body.to_string().into(),
            host: self.name().to_owned(),
        };
        self.answer(&call).status()
    }

    /// Fills the cluster with pleasant demo data, the same for the same seed.
    pub fn seed_demo(&self, seed: u64) {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut state = self.0.lock();
        demo::seed(&mut state.store, &mut random, self.0.clock.now());
        state.demo = Some(random);
    }

    /// Lets events happen: new timestamps, history, some status flips.
    pub fn tick(&self) {
        let mut state = self.0.lock();
        let mut random = state.demo.take().unwrap_or_default();
        demo::tick(&mut state.store, &mut random, self.0.clock.now());
        state.demo = Some(random);
    }
}

impl fmt::Debug for Sensu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Sensu").field(&self.name()).finish()
    }
}

// === impl Inner ===

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

// === impl Context ===

impl Context<'_> {
    /// Sensu's refusal to create something in a namespace that does not exist.
    fn require_namespace(&self, namespace: &str) -> Result<(), Failure> {
        if self.state.store.contains(&format!("/sensu.io/namespaces/{namespace}")) {
            return Ok(());
        }
        Err(Failure::router(0, format!("the namespace {namespace} does not exist")))
    }
}

#[cfg(test)]
mod tests;
