use std::{
    net::{SocketAddr, TcpListener as StdTcpListener},
    path::PathBuf,
    sync::Arc,
    thread,
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio::{
    net::TcpListener,
    runtime::Handle,
    sync::{Semaphore, mpsc, watch},
    task::JoinSet,
};

use super::{
    admin::Admin,
    authority::Authority,
    control::Control,
    reload::{self, Reloader},
    store, web,
    worker::{self, Shared},
};
use crate::{
    api::Api,
    auth::{Authenticator, KeyError, KeyFiles},
    config::Root,
    error::Chain,
    etcd, fanout, graphql,
    listener::{self, BindError, Listener, Phase},
    net::{ServerTls, TlsConfigs, TlsError},
    proxy::{Federation, Readiness, Routed, Settings},
    registry::{self, StoreError, Views},
    replication,
    telemetry::{LogHandle, Metrics},
    types::{Cluster, ClusterHealth, Snapshot},
    upstream::{self, Connect, Connector, HealthBoard, Prober},
    webui::LoadError,
    wire::{Budget, budget::REQUEST_BODY_BYTES},
};

/// A gateway that is built and bound, but does not serve yet.
pub struct Server {
    shared: Shared,
    sockets: Vec<StdTcpListener>,
    admin: StdTcpListener,
    phase: watch::Sender<Phase>,
    shutdown: listener::Shutdown,
    control: Control,
    metrics: Arc<Metrics>,
    /// What each worker routes by.
    applied: Vec<watch::Sender<Arc<Snapshot>>>,
}

/// Why a gateway could not be built. Each is a line that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A public key could not be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The listener's certificate or key could not be used.
    #[error("the listener's certificate cannot be used: {}", Chain(.0))]
    ServerTls(TlsError),
    /// A cluster's CA or client certificate could not be used.
    #[error("cluster {cluster}: {}", Chain(&**error))]
    ClusterTls {
        /// The cluster.
        cluster: String,
        /// What is wrong with its files.
        error: Arc<TlsError>,
    },
    /// The web UI's directory cannot be served.
    #[error(transparent)]
    WebUi(#[from] LoadError),
    /// The registry's file cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An etcd's client cannot be made.
    #[error(transparent)]
    Etcd(#[from] etcd::Error),
    /// The registry's directory cannot be made.
    #[error("cannot make the directory of the registry {}: {error}: make it, or set store.embedded.path", path.display())]
    StoreDirectory {
        /// The file that was to lie in it.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// A port is taken or forbidden.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// Every worker has ended, though nobody asked for it: the log says why.
    #[error("all workers have ended; see the log")]
    NoWorkers,
    /// The system refused a thread or a runtime.
    #[error("cannot start: {0}")]
    System(std::io::Error),
}

// === impl BuildError ===

impl From<std::io::Error> for BuildError {
    fn from(error: std::io::Error) -> Self {
        Self::System(error)
    }
}

// === impl Server ===

impl Server {
    /// Loads keys and certificates, opens the registry and binds the sockets. Connects to nothing: clusters may be
    /// down at start. Must be called on the control plane's runtime.
    pub async fn build(
        root: &Root,
        source: Option<reload::Source>,
        logs: LogHandle,
    ) -> Result<Self, BuildError> {
        let keys = KeyFiles::load(&root.auth.jwt_public_key_files)?;
        let authority = Authority::build(root, &keys)?;
        let authenticator = Arc::new(Authenticator::new(&root.auth, keys));
        let tls = certificate(root).await?;
        let snapshot = Arc::new(root.snapshot());
        let tls_configs = TlsConfigs::new();
        for (cluster, error) in tls_configs.prepare(&snapshot).await {
            // A mount that hangs may come back, and the other clusters do not need it.
            if !matches!(*error, TlsError::Timeout { .. }) {
                return Err(BuildError::ClusterTls { cluster: cluster.to_string(), error });
            }
            tracing::error!(%cluster, error = %Chain(&*error), "a cluster cannot be reached over TLS yet");
        }
        warn_insecure(snapshot.iter());
        let web = Arc::new(ArcSwap::from_pointee(web::content(root)?));

        let workers = match root.listen.workers {
            0 => thread::available_parallelism().map_or(1, usize::from),
            workers => workers,
        };
        let sockets = listener::bind(root.listen.address, workers)?;
        let admin = listener::bind(root.admin.address, 1)?.remove(0);

        let (phase, phase_seen) = watch::channel(Phase::Running);
        let (store, leadership) = store::open(root)?;
        let (configured, configured_seen) = watch::channel(snapshot);
        let (reflector, Views { snapshot: registered, registry }) = registry::reflector(configured_seen);
        let (published, published_seen) = watch::channel(Arc::clone(&registered.borrow()));
        let (applied, applied_seen): (Vec<_>, Vec<_>) =
            sockets.iter().map(|_| watch::channel(Arc::clone(&registered.borrow()))).unzip();
        let routed = Routed::new(registered.clone(), applied_seen);
        let connect: Arc<dyn Connect> =
            Arc::new(Connector::new(tls_configs.clone(), root.upstream.connect_timeout));
        let board = Arc::new(HealthBoard::new());
        let (prober, health) = Prober::new(
            root.upstream.health,
            Arc::clone(&connect),
            published_seen.clone(),
            Arc::clone(&board),
        );
        let replication = store::replication(root, registry.clone(), &store, leadership)?;
        let (replication, handle) = replication.unzip();
        let api = Api::new(Arc::clone(&store), registry.clone(), Arc::clone(&authority.rbac) as _);
        let api = told_of(api, health.clone(), handle.as_ref());
        let settings = Arc::new(settings(root));
        let shared = Shared {
            graphql: graphql::Engine::new(settings.graphql()),
            settings,
            listener: root.limits.clone(),
            tls: tls.clone(),
            upstream: root.upstream,
            connect,
            board,
            authenticator: Arc::clone(&authenticator),
            fan_outs: fanout::Shared::new(root.limits.fan_outs, root.limits.read_ahead_bytes),
            bodies: Budget::new(REQUEST_BODY_BYTES),
            connections: Arc::new(Semaphore::new(root.limits.connections.min(Semaphore::MAX_PERMITS))),
            allowed_origins: root.cors.allowed_origins.clone().into(),
            readiness: Readiness::new(phase_seen.clone(), registry),
            federation: Federation::new(Handle::current(), api, routed),
            exchange: authority.exchange.clone(),
            web: Arc::clone(&web),
            clusters: published_seen,
            tls_configs: tls_configs.clone(),
            phase: phase_seen,
        };
        let reloader = Reloader {
            current: root.clone(),
            source,
            authenticator,
            tls,
            tls_configs: tls_configs.clone(),
            configured,
            minter: authority.minter.clone(),
            web,
            logs,
            hangup: reload::hangups()?,
            seen: std::collections::BTreeMap::new(),
            fault: None,
        }
        .looked();
        let control = Control {
            store,
            reflector,
            registered,
            tls: tls_configs,
            published,
            replication,
            authority,
            prober,
            reloader,
        };
        let shutdown = root.shutdown.clone();
        let metrics = metrics(&shared, health, handle.as_ref());
        Ok(Self { shared, sockets, admin, phase, shutdown, control, metrics, applied })
    }

    /// The addresses in use: the main listener's and the admin listener's.
    pub fn addresses(&self) -> std::io::Result<(SocketAddr, SocketAddr)> {
        Ok((self.sockets[0].local_addr()?, self.admin.local_addr()?))
    }

    /// Serves until `stop` says so (once: gracefully; twice: at once), on worker threads of its own. Runs the control
    /// plane on the calling runtime.
    pub async fn run(self, mut stop: mpsc::Receiver<()>) -> Result<(), BuildError> {
        let Self { shared, sockets, admin, phase, shutdown, control, metrics, applied } = self;
        let mut tasks = JoinSet::new();
        let replicating = control.spawn(&shared, &mut tasks);
        let (finished, mut workers_left) = mpsc::channel::<()>(1);
        for (index, (socket, applied)) in sockets.into_iter().zip(applied).enumerate() {
            let shared = shared.clone();
            let finished = finished.clone();
            thread::Builder::new().name(format!("worker-{index}")).spawn(move || {
                if let Err(error) = worker::run(shared, socket, applied) {
                    tracing::error!(%error, "a worker could not start");
                }
                drop(finished);
            })?;
        }
        drop(finished);

        tasks.spawn(serve_admin(admin, &shared, metrics)?);
        tokio::select! {
            _ = stop.recv() => {}
            _ = workers_left.recv() => return Err(BuildError::NoWorkers),
        }
        let drained = drain(&phase, &shutdown, &mut workers_left);
        tokio::select! {
            () = drained => {}
            _ = stop.recv() => tracing::warn!("stopping at once"),
        }
        if let Some(replicating) = replicating {
            // Another gateway takes over sooner when this one has said good-bye.
            let _ = tokio::time::timeout(REPLICATION_STOP, replicating).await;
        }
        // With it, all tasks of the control plane end.
        drop(tasks);
        Ok(())
    }
}

/// `/readyz` says no, later no new connections, at last nothing.
async fn drain(
    phase: &watch::Sender<Phase>,
    shutdown: &listener::Shutdown,
    workers: &mut mpsc::Receiver<()>,
) {
    tracing::info!("stopping: no longer ready");
    phase.send_replace(Phase::Announcing);
    tokio::time::sleep(shutdown.announce).await;
    phase.send_replace(Phase::Draining);
    tracing::info!("stopping: finishing requests");
    if tokio::time::timeout(shutdown.drain, workers.recv()).await.is_err() {
        let drain_ms = u64::try_from(shutdown.drain.as_millis()).unwrap_or(u64::MAX);
        tracing::warn!(drain_ms, "requests were still in flight and are cut off");
    }
}

/// The API with what its status tells.
fn told_of(
    api: Api,
    health: watch::Receiver<Arc<Vec<ClusterHealth>>>,
    replication: Option<&replication::Handle>,
) -> Api {
    let Some(handle) = replication.cloned() else {
        // Their last value stays readable.
        return api.with_status(health, watch::channel(Arc::default()).1);
    };
    let replicators = handle.statuses.clone();
    api.with_status(health, replicators).with_give_up(Arc::new(move |name| handle.give_up(name)))
}

/// The listener's certificate, when there is one.
async fn certificate(root: &Root) -> Result<Option<ServerTls>, BuildError> {
    let Some((cert, key)) = root.listen.tls() else { return Ok(None) };
    ServerTls::load_in_time(cert, key).await.map(Some).map_err(BuildError::ServerTls)
}

fn settings(root: &Root) -> Settings {
    Settings {
        fan_out: root.fan_out.clone(),
        limits: root.limits.clone(),
        trusted_proxies: root.listen.trusted_proxies.clone(),
    }
}

/// The page of `/metrics`: what each module has to say.
fn metrics(
    shared: &Shared,
    health: watch::Receiver<Arc<Vec<ClusterHealth>>>,
    replication: Option<&replication::Handle>,
) -> Arc<Metrics> {
    Arc::new(Metrics::new(|families| {
        shared.authenticator.metrics().register(families);
        registry::register_metrics(shared.clusters.clone(), families);
        shared.fan_outs.register(families);
        upstream::register_metrics(health, families);
        if let Some(replication) = replication {
            replication.metrics.register(families);
        }
    }))
}

fn serve_admin(
    socket: StdTcpListener,
    shared: &Shared,
    metrics: Arc<Metrics>,
) -> std::io::Result<impl Future<Output = ()> + Send + 'static> {
    let socket = TcpListener::from_std(socket)?;
    let admin = Admin { readiness: shared.readiness.clone(), metrics };
    // It outlives the drain, so that the drain can be watched: its own phase never changes.
    let (forever, phase) = watch::channel(Phase::Running);
    let connections = Arc::new(Semaphore::new(ADMIN_CONNECTIONS));
    let listener = Listener::new(shared.listener.clone(), None, connections, phase);
    Ok(async move {
        listener.serve(socket, admin.service()).await;
        drop(forever);
    })
}

/// Says which clusters can be listened to or impersonated.
pub(super) fn warn_insecure<'a>(clusters: impl Iterator<Item = &'a Arc<Cluster>>) {
    for cluster in clusters {
        if cluster.tls.insecure_skip_tls_verify {
            tracing::warn!(cluster = %cluster.name, "server certificates are not verified");
        }
        if cluster.backends.iter().any(|backend| !backend.tls) {
            tracing::warn!(cluster = %cluster.name, "a backend is spoken to in plain HTTP");
        }
    }
}

/// How long replication may take to end between two writes.
const REPLICATION_STOP: Duration = Duration::from_secs(3);

const ADMIN_CONNECTIONS: usize = 64;

/// How often files are looked at for changes.
pub(super) const WATCH_INTERVAL: Duration = Duration::from_secs(5);
