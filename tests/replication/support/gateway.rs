//! The part of a gateway that replicates, with a registry.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use fedgate::{
    corev2::Type,
    etcd::Config,
    leadership::{Alone, Leadership},
    registry::{MemoryStore, Precondition, Store, reflector},
    replication::{Handle, Settings, supervisor},
    types::{ReplicatorState, ReplicatorStatus, Snapshot, TlsFiles},
};
use serde_json::{Map, Value, json};
use tokio::{
    sync::{oneshot, watch},
    task::JoinHandle,
};

use super::eventually;
use crate::etcd_server::Etcd;

/// A running gateway. Ends as if killed when dropped.
pub(crate) struct Gateway {
    pub(crate) handle: Handle,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
    reflector: JoinHandle<()>,
}

impl Gateway {
    pub(crate) fn start(source: Config, store: Arc<dyn Store>, leadership: Arc<dyn Leadership>) -> Self {
        let view = Arc::clone(&store);
        Self::with_view(source, store, view, leadership)
    }

    /// Whose view of the registry is that of another store.
    pub(crate) fn with_view(
        source: Config,
        store: Arc<dyn Store>,
        view: Arc<dyn Store>,
        leadership: Arc<dyn Leadership>,
    ) -> Self {
        let settings = Settings { cleanup_grace: CLEANUP_GRACE, ..Settings::new(source) };
        Self::with(settings, store, view, leadership)
    }

    /// With all settings.
    pub(crate) fn with(
        settings: Settings,
        store: Arc<dyn Store>,
        view: Arc<dyn Store>,
        leadership: Arc<dyn Leadership>,
    ) -> Self {
        let (_, config) = watch::channel(Arc::new(Snapshot::new([])));
        let (reflector, views) = reflector(config);
        let reflector = tokio::spawn(async move {
            reflector.run(Arc::clone(&view)).await;
        });
        let (supervisor, handle) = supervisor(settings, views.registry, store, leadership).unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(supervisor.run(async move { drop(stopped.await) }));
        Self { handle, stop: Some(stop), task, reflector }
    }

    /// With a store of its own.
    pub(crate) fn alone(source: &Etcd, store: &MemoryStore) -> Self {
        Self::start(source.config(), Arc::new(store.clone()), Alone::new("test", "here"))
    }

    /// On a machine of the same name, with a store of its own.
    pub(crate) fn alone_at(home: &str, source: &Etcd, store: &MemoryStore) -> Self {
        Self::start(source.config(), Arc::new(store.clone()), Alone::new("test", home))
    }

    /// Shuts down cleanly.
    pub(crate) async fn stop(mut self) {
        drop(self.stop.take());
        (&mut self.task).await.unwrap();
    }

    pub(crate) fn status(&self, name: &str) -> Option<ReplicatorStatus> {
        self.handle.statuses.borrow().iter().find(|status| &*status.name == name).cloned()
    }

    pub(crate) async fn until(
        &self,
        name: &str,
        what: &str,
        is_so: impl Fn(&ReplicatorStatus) -> bool,
    ) -> Duration {
        eventually(&format!("{name} {what}"), async || {
            let is = self.status(name).is_some_and(|status| is_so(&status));
            if !is && std::env::var_os("FEDGATE_REPLICATION_VERBOSE").is_some() {
                eprintln!("{:?}", self.status(name));
            }
            is
        })
        .await
    }

    /// Until it follows and nothing waits.
    pub(crate) async fn follows(&self, name: &str) {
        self.until(name, "follows", |status| {
            status.state == ReplicatorState::Following && status.lag == Some(Duration::ZERO)
        })
        .await;
    }

    /// Until everything has been compared twice since now.
    pub(crate) async fn compares_twice(&self, name: &str) {
        let since = SystemTime::now() + INTERVAL * 2;
        self.until(name, "compares twice", |status| status.last_sync.is_some_and(|at| at >= since)).await;
    }

    /// Until its error holds a text.
    pub(crate) async fn says(&self, name: &str, text: &str) -> Duration {
        self.until(name, &format!("says {text:?}"), |status| {
            status.error.as_deref().is_some_and(|error| error.contains(text))
        })
        .await
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.task.abort();
        self.reflector.abort();
    }
}

/// How often everything is compared.
const INTERVAL: Duration = Duration::from_secs(1);

/// How long a destination that a replicator has left holds up its next one.
pub(crate) const CLEANUP_GRACE: Duration = Duration::from_secs(2);

/// The definition of a replicator.
pub(crate) fn definition(name: &str, kind: Type, url: &str, tls: &TlsFiles) -> Value {
    let mut spec = Map::new();
    spec.insert("url".into(), url.into());
    spec.insert("resource".into(), kind.name().into());
    spec.insert("replication_interval_seconds".into(), INTERVAL.as_secs().into());
    for (key, file) in [("ca_cert", &tls.trusted_ca_file), ("cert", &tls.cert_file), ("key", &tls.key_file)] {
        if let Some(file) = file {
            spec.insert(key.into(), file.to_str().unwrap().into());
        }
    }
    json!({"type": "EtcdReplicator", "api_version": "federation/v1", "metadata": {"name": name}, "spec": spec})
}

pub(crate) async fn register(store: &dyn Store, definition: &Value) {
    let key = format!("etcd-replicators/{}", definition["metadata"]["name"].as_str().unwrap());
    store.put(&key, serde_json::to_vec(definition).unwrap().into(), Precondition::Any).await.unwrap();
}

/// Registers a replicator to an etcd.
pub(crate) async fn replicate(store: &dyn Store, name: &str, kind: Type, to: &Etcd) {
    register(store, &definition(name, kind, &to.endpoint().to_string(), &to.config().tls)).await;
}

/// The same for one namespace.
pub(crate) async fn replicate_in(store: &dyn Store, name: &str, kind: Type, namespace: &str, to: &Etcd) {
    let mut definition = definition(name, kind, &to.endpoint().to_string(), &to.config().tls);
    definition["spec"]["namespace"] = namespace.into();
    register(store, &definition).await;
}

pub(crate) async fn unregister(store: &dyn Store, name: &str) {
    store.delete(&format!("etcd-replicators/{name}"), Precondition::Any).await.unwrap().unwrap();
}
