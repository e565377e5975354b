//! The `federation/v1` API: clusters and replicators as resources that are listed, read, written and deleted.
//!
//! Sensu's wrapped JSON, status codes and error spelling. Over Sensu it adds paging, strong `ETag`s with `If-Match`
//! and `If-None-Match` on writes, and errors that name the field. No HTTP server in here: a request comes in as its
//! parts, and its answer goes out as a value.

mod conditions;
mod diff;
mod error;
mod format;
mod lists;
mod page;
mod policy_status;
mod status;
mod store_stall;
mod trial;
mod visibility;
mod write;

#[cfg(test)]
mod tests;

use std::{io, path::Path, sync::Arc, time::Duration};

use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use percent_encoding::percent_decode_str;
use tokio::{sync::watch, time};

use conditions::etag;
pub use diff::{Compare, Comparisons};
pub use error::ApiError;
use lists::{Lists, join, listed};
use page::Page;
use status::{Findings, Viewer};
use store_stall::StoreStallMemo;
use trial::Trials;
pub use trial::{Found, Tried, TryOut};
use visibility::Visibility;
use write::asks_to_give_up;

use crate::{
    authz::{Authorizer, AuthzError, Verb},
    net::read_file,
    registry::{Entry, Health, Item, Registry, Secret, Store, StoreError, key_of, resource},
    types::{
        Caller, ClusterHealth, GivenUp, Kind, OutageStatus, PolicyStatus, Principal, ReplicatorStatus,
        Snapshot,
    },
    wire::{self, Body, header::SENSU_CONTINUE},
};

/// Says whether a certificate file can be read on the gateway. May block.
pub type ReadableFile = fn(&Path) -> io::Result<()>;

/// Abandons what a deleted replicator of either kind cannot remove at present.
pub type GiveUp = Arc<dyn Fn(Kind, &str) -> GivenUp + Send + Sync>;

/// The state of every `Replicator`, by name.
pub type Policies = watch::Receiver<Arc<Vec<PolicyStatus>>>;

/// Says how sessions of the local cluster are renewed while it is away.
pub type OutageSessions = Arc<dyn Fn() -> OutageStatus + Send + Sync>;

/// Answers requests for `federation/v1`. Cheap to clone.
#[derive(Clone)]
pub struct Api {
    store: Arc<dyn Store>,
    registry: watch::Receiver<Arc<Registry>>,
    authorizer: Arc<dyn Authorizer>,
    readable: ReadableFile,
    health: watch::Receiver<Arc<Vec<ClusterHealth>>>,
    replicators: watch::Receiver<Arc<Vec<ReplicatorStatus>>>,
    give_up: GiveUp,
    policies: Option<Policies>,
    outage_sessions: Option<OutageSessions>,
    stall: StoreStallMemo,
    lists: Lists,
    visibility: Visibility,
    trials: Trials,
    comparisons: Comparisons,
}

/// What a path asks for.
struct Target {
    kind: Kind,
    /// Decoded; `None` is the collection.
    name: Option<String>,
    /// As the path has it, which is how Sensu's rules see a name; empty for the collection.
    encoded_name: String,
    /// What is asked in place of the resource.
    instead: Option<Instead>,
}

/// What follows the path of a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Instead {
    /// It is to be tested instead of written.
    Test,
    /// What it would do is read instead of itself.
    Diff,
}

/// A request whose caller may make it. Only [`Api::admit`] makes one, so who may do what is decided in one place.
#[derive(Debug)]
pub struct Admitted {
    action: Action,
    principal: Arc<Principal>,
}

#[derive(Debug)]
enum Action {
    Status,
    Permissions,
    NotAllowed { allowed: &'static str },
    List(Kind),
    Get(Kind, String),
    Create(Kind),
    Put(Kind, String),
    Test(Kind, String),
    Delete(Kind, String),
    Diff { kind: Kind, name: String, encoded_name: String },
}

// === impl Api ===

impl Api {
    /// `registry` must follow `store`. Health and replication have no state yet.
    pub fn new(
        store: Arc<dyn Store>,
        registry: watch::Receiver<Arc<Registry>>,
        authorizer: Arc<dyn Authorizer>,
    ) -> Self {
        // Their last value stays readable.
        let (health, replicators) = (watch::channel(Arc::default()).1, watch::channel(Arc::default()).1);
        Self {
            store,
            authorizer,
            readable: |path| read_file(path).map(drop),
            health,
            replicators,
            give_up: Arc::new(|_, _| GivenUp::Unknown),
            policies: None,
            outage_sessions: None,
            stall: StoreStallMemo::default(),
            lists: Lists::default(),
            visibility: Visibility::new(registry.clone()),
            trials: Trials::default(),
            comparisons: Comparisons::default(),
            registry,
        }
    }

    /// Adds the state of clusters and replicators to `status`.
    #[must_use]
    pub fn with_status(
        self,
        health: watch::Receiver<Arc<Vec<ClusterHealth>>>,
        replicators: watch::Receiver<Arc<Vec<ReplicatorStatus>>>,
    ) -> Self {
        Self { health, replicators, ..self }
    }

    /// Makes writes wait for the workers as well: `newest` is the registry's set of clusters, `applied` what each worker
    /// routes by.
    #[must_use]
    pub fn with_workers(
        self,
        newest: watch::Receiver<Arc<Snapshot>>,
        applied: impl IntoIterator<Item = watch::Receiver<Arc<Snapshot>>>,
    ) -> Self {
        Self { visibility: self.visibility.with_workers(newest, applied), ..self }
    }

    /// Lets `Replicator`s be written, which takes a gateway that can sign tokens, and adds their state to `status`.
    #[must_use]
    pub fn with_policies(self, policies: Policies) -> Self {
        Self { policies: Some(policies), ..self }
    }

    /// Adds the sessions that are renewed in an outage to `status`.
    #[must_use]
    pub fn with_outage_sessions(self, status: OutageSessions) -> Self {
        Self { outage_sessions: Some(status), ..self }
    }

    /// Lets `?give_up=true` abandon what a deleted replicator has left in a place that never comes back.
    #[must_use]
    pub fn with_give_up(self, give_up: GiveUp) -> Self {
        Self { give_up, ..self }
    }

    /// Adds what tries a resource out before it is written.
    #[must_use]
    pub fn with_trials(self, run: TryOut) -> Self {
        Self { trials: Trials::new(run), ..self }
    }

    /// Adds what compares the two sides of replicators.
    #[must_use]
    pub fn with_comparisons(self, comparisons: Comparisons) -> Self {
        Self { comparisons, ..self }
    }

    /// Replaces the check that certificate files can be read, which looks at the disk.
    #[must_use]
    pub fn with_files(self, readable: ReadableFile) -> Self {
        Self { readable, ..self }
    }

    /// Checks that a caller may ask for this, whatever the body says. `path` is what follows
    /// `/api/enterprise/federation/v1/`, still encoded. Waits for nothing.
    pub fn admit(&self, method: &Method, path: &str, caller: &Caller) -> Result<Admitted, ApiError> {
        let principal = match caller {
            Caller::Token(principal) => Ok(Arc::clone(principal)),
            Caller::ApiKey => Err(ApiError::ApiKey),
            Caller::Anonymous => Err(ApiError::Unauthenticated),
        };
        let about = match path.trim_matches('/') {
            STATUS => Some(Action::Status),
            PERMISSIONS => Some(Action::Permissions),
            _ => None,
        };
        if let Some(action) = about {
            let is_read = matches!(*method, Method::GET | Method::HEAD);
            let action = if is_read { action } else { Action::NotAllowed { allowed: "GET, HEAD" } };
            return Ok(Admitted { action, principal: principal? });
        }
        let target = Target::parse(path)?;
        let principal = principal?;
        let kind = target.kind;
        let (verb, action) = match (method, target.name.clone()) {
            // Who may write it may have the gateway connect to it.
            (&Method::POST, Some(name)) if target.instead == Some(Instead::Test) => {
                (Some(Verb::Update), Action::Test(kind, name))
            }
            (&Method::GET | &Method::HEAD, Some(name)) if target.instead == Some(Instead::Diff) => {
                (None, Action::Diff { kind, name, encoded_name: target.encoded_name.clone() })
            }
            _ if target.instead.is_some() => (None, Action::NotAllowed { allowed: target.allowed() }),
            (&Method::GET | &Method::HEAD, None) => (None, Action::List(kind)),
            (&Method::GET | &Method::HEAD, Some(name)) => (None, Action::Get(kind, name)),
            (&Method::POST, None) if kind != Kind::Cluster => (Some(Verb::Create), Action::Create(kind)),
            (&Method::PUT, Some(name)) => (Some(Verb::Update), Action::Put(kind, name)),
            (&Method::DELETE, Some(name)) => (Some(Verb::Delete), Action::Delete(kind, name)),
            _ => (None, Action::NotAllowed { allowed: target.allowed() }),
        };
        if let Some(verb) = verb {
            self.authorize(&principal, verb, &target)?;
        }
        Ok(Admitted { action, principal })
    }

    /// Answers one request.
    ///
    /// A write is answered once this gateway routes by it, or after a moment without. Dropping the future does not undo
    /// a write that has begun.
    pub async fn handle(
        &self,
        admitted: Admitted,
        query: Option<&str>,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Response<Body>, ApiError> {
        let Admitted { action, principal } = admitted;
        match action {
            Action::Status => Ok(self.status(&principal)),
            Action::Permissions => self.permissions(&principal),
            Action::NotAllowed { allowed } => Ok(method_not_allowed(allowed)),
            Action::List(kind) => self.list(kind, query).await,
            Action::Get(kind, name) => self.get(kind, &name).await,
            Action::Create(kind) => self.create(kind, body, &principal).await,
            Action::Put(kind, name) => self.put(kind, &name, headers, body, &principal).await,
            Action::Test(kind, name) => self.test(kind, &name, body, &principal).await,
            Action::Delete(kind, name) if asks_to_give_up(kind, query)? => {
                self.abandon(kind, &name, headers, &principal).await
            }
            Action::Delete(kind, name) => self.delete(kind, &name, headers, &principal).await,
            Action::Diff { kind, name, encoded_name } => {
                self.diff(kind, &name, &encoded_name, query, &principal).await
            }
        }
    }

    fn status(&self, who: &Principal) -> Response<Body> {
        let (health, replicators) = (self.health.borrow().clone(), self.replicators.borrow().clone());
        let outage_sessions = self.outage_sessions.as_ref().map(|status| status());
        let policies = self.policies.as_ref().map(|policies| policies.borrow().clone()).unwrap_or_default();
        let found = Findings { clusters: &health, replicators: &replicators, policies: &policies };
        let status = status::render(&self.view(), found, outage_sessions, self.viewer(who));
        wire::json(StatusCode::OK, status)
    }

    /// What the caller may do with any resource of each kind, and what with those of some names only.
    fn permissions(&self, who: &Principal) -> Result<Response<Body>, ApiError> {
        let (mut granted, mut limited) = (serde_json::Map::new(), serde_json::Map::new());
        for kind in Kind::ALL {
            let resource = kind.collection();
            let (mut verbs, mut by_verb) = (Vec::new(), serde_json::Map::new());
            for verb in [Verb::Create, Verb::Update, Verb::Delete] {
                if self.authorizer.decide(who, verb, resource, "")? {
                    verbs.push(verb.as_str());
                // What is created has no name yet.
                } else if verb != Verb::Create {
                    let names = self.authorizer.names(who, verb, resource)?;
                    if !names.is_empty() {
                        by_verb.insert(verb.as_str().to_owned(), names.into());
                    }
                }
            }
            granted.insert(resource.to_owned(), verbs.into());
            if !by_verb.is_empty() {
                limited.insert(resource.to_owned(), by_verb.into());
            }
        }
        if !limited.is_empty() {
            granted.insert("names".to_owned(), limited.into());
        }
        Ok(wire::json(StatusCode::OK, serde_json::Value::Object(granted).to_string()))
    }

    /// Error texts are for those who can act on them.
    fn viewer(&self, who: &Principal) -> Viewer {
        let decided = self.authorizer.decide(who, Verb::Update, Kind::Cluster.collection(), "");
        Viewer {
            detailed: *decided.as_ref().unwrap_or(&false),
            authorization: self.authorizer.mode().as_str(),
            authorization_error: decided.as_ref().err().map(AuthzError::without_names),
        }
    }

    async fn list(&self, kind: Kind, query: Option<&str>) -> Result<Response<Body>, ApiError> {
        let page = Page::parse(query)?;
        let view = self.view();
        let entries = self.entries(&view, kind).await?;
        // Every caller sees the same list, so it is rendered once for each view.
        if page.is_everything() && entries.as_ref().is_none_or(|entries| view.shows(kind, entries)) {
            return Ok(wire::json(
                StatusCode::OK,
                self.lists.of(kind, &view, || join(&listed(&view, kind, None))),
            ));
        }
        let mut found = listed(&view, kind, entries);
        let mut next = None;
        if page.needs_secret(found.len()) {
            next = page.cut(kind, &self.secret().await?, &mut found)?;
        }
        let mut response = wire::json(StatusCode::OK, join(&found));
        if let Some(next) = next {
            response.headers_mut().insert(SENSU_CONTINUE, next);
        }
        Ok(response)
    }

    async fn get(&self, kind: Kind, name: &str) -> Result<Response<Body>, ApiError> {
        let view = self.view();
        let (tag, json) = match view.from_config(name).filter(|_| kind == Kind::Cluster) {
            Some(local) if local.name.is_local() => return Err(ApiError::not_found(kind, name)),
            Some(cluster) => {
                let json = resource::to_json(&resource::of_config(cluster));
                (conditions::etag_of(0, &json), json)
            }
            None => {
                let entry = self.entry(&view, kind, name).await?;
                let entry = entry.ok_or_else(|| ApiError::not_found(kind, name))?;
                let item = Item::parse(entry).map_err(|_| ApiError::Unreadable)?;
                (etag(&item.entry), item.entry.value.to_vec())
            }
        };
        let mut response = wire::json(StatusCode::OK, json);
        response.headers_mut().insert(header::ETAG, tag);
        Ok(response)
    }

    async fn secret(&self) -> Result<Secret, ApiError> {
        Registry::wait_for_secret(&self.registry).await.ok_or(ApiError::NoSecret)
    }

    fn view(&self) -> Arc<Registry> {
        Arc::clone(&self.registry.borrow())
    }

    /// From the store, so that a write made through another gateway a moment ago is seen; from the view when the
    /// store is down.
    async fn entry(&self, view: &Registry, kind: Kind, name: &str) -> Result<Option<Entry>, ApiError> {
        let last_seen = || view.get(kind, name).map(|item| item.entry.clone());
        let key = key_of(kind, name);
        Ok(self.read_through(view, self.store.get(&key)).await?.unwrap_or_else(last_seen))
    }

    /// `None` when the view is to be used.
    async fn entries(&self, view: &Registry, kind: Kind) -> Result<Option<Vec<Entry>>, ApiError> {
        let prefix = key_of(kind, "");
        self.read_through(view, self.store.list(&prefix)).await
    }

    /// What the store answers. `None` when it does not, and the view is to be used.
    async fn read_through<T>(
        &self,
        view: &Registry,
        read: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<Option<T>, ApiError> {
        let is_down = matches!(view.health(), Health::Down { .. }) || self.stall.is_recent();
        if is_down && view.was_read() {
            return Ok(None);
        }
        match time::timeout(READ_TIMEOUT, read).await {
            Ok(Ok(found)) => Ok(Some(found)),
            Ok(Err(_)) if view.was_read() => Ok(None),
            Err(_) if view.was_read() => {
                self.stall.note();
                Ok(None)
            }
            Ok(Err(_)) | Err(_) => Err(ApiError::Unread),
        }
    }

    fn authorize(&self, who: &Principal, verb: Verb, target: &Target) -> Result<(), ApiError> {
        let resource = target.kind.collection();
        if self.authorizer.decide(who, verb, resource, &target.encoded_name)? {
            Ok(())
        } else {
            Err(ApiError::Forbidden)
        }
    }

    /// The entry that a write is about. A store that hangs is a store that is down.
    async fn current(&self, key: &str) -> Result<Option<Entry>, StoreError> {
        let timed_out = |_| StoreError::Unavailable("no answer in time".into());
        time::timeout(WRITE_TIMEOUT, self.store.get(key)).await.map_err(timed_out)?
    }

    /// A write that times out may still take effect.
    async fn within<T>(&self, write: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        let timed_out = |_| StoreError::Unknown("no answer in time".into());
        time::timeout(WRITE_TIMEOUT, write).await.map_err(timed_out)?
    }
}

// === impl Target ===

impl Target {
    fn parse(path: &str) -> Result<Self, ApiError> {
        let (collection, name) = match path.trim_start_matches('/').split_once('/') {
            None => (path.trim_start_matches('/'), None),
            Some((collection, name)) => (collection, Some(name).filter(|name| !name.is_empty())),
        };
        let kind = Kind::of_collection(collection).ok_or(ApiError::NoRoute)?;
        let (name, instead) = match name.and_then(Instead::behind) {
            Some((name, instead)) => (Some(name), Some(instead)),
            None => (name, None),
        };
        if instead == Some(Instead::Diff) && kind == Kind::Cluster {
            return Err(ApiError::NoRoute);
        }
        let encoded_name = name.unwrap_or_default().to_owned();
        let name = match name {
            None => None,
            Some(name) if name.contains('/') => return Err(ApiError::NoRoute),
            Some(name) => {
                Some(percent_decode_str(name).decode_utf8().map_err(|_| ApiError::NoRoute)?.into_owned())
            }
        };
        Ok(Self { kind, name, encoded_name, instead })
    }

    fn allowed(&self) -> &'static str {
        match (&self.name, self.kind) {
            (Some(_), _) if self.instead == Some(Instead::Test) => "POST",
            (Some(_), _) if self.instead == Some(Instead::Diff) => "GET, HEAD",
            (Some(_), _) => "GET, HEAD, PUT, DELETE",
            (None, Kind::EtcdReplicator | Kind::Replicator) => "GET, HEAD, POST",
            (None, Kind::Cluster) => "GET, HEAD",
        }
    }
}

// === impl Instead ===

impl Instead {
    /// What is before it in a path, and which it is.
    fn behind(path: &str) -> Option<(&str, Self)> {
        let (name, last) = path.rsplit_once('/')?;
        let instead = match last {
            TEST => Self::Test,
            DIFF => Self::Diff,
            _ => return None,
        };
        (!name.is_empty()).then_some((name, instead))
    }
}

/// Sensu's 405: no body.
fn method_not_allowed(allowed: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allowed));
    response
}

/// The path of the status, in place of a collection.
const STATUS: &str = "status";

/// The path of what the caller may do.
const PERMISSIONS: &str = "permissions";

/// Behind the path of a resource: it is tested instead of written.
const TEST: &str = "test";

/// Behind the path of a replicator: what it would do now.
const DIFF: &str = "diff";

/// Largest body of a write, in bytes: Sensu's own limit.
pub const MAX_BODY: usize = 512_000;
/// A read that takes longer is answered from the last view.
const READ_TIMEOUT: Duration = Duration::from_secs(2);
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
