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
    Federation, Readiness, Routed, Settings,
    admin::Admin,
    clusters,
    reload::{self, Reloader},
    store, web,
    worker::{self, Shared},
};
use crate::{
    api::{AdminGroups, Api},
    auth::{self, Authenticator, KeyError, KeyFiles},
    config::{self, Root},
    fanout,
    listener::{self, BindError, Listener, Phase, ServerTls},
    registry::{self, Reflector, Store, StoreError, Views},
    routing::Scope,
    telemetry::LogHandle,
    types::Snapshot,
    upstream::{self, Connector, TlsConfigs},
    webui::LoadError,
};

/// A gateway that is built and bound, but does not serve yet.
pub struct Server {
    shared: Shared,
    sockets: Vec<StdTcpListener>,
    admin: StdTcpListener,
    phase: watch::Sender<Phase>,
    shutdown: config::Shutdown,
    reloader: Reloader,
    registry: Registration,
    /// What each worker routes by.
    applied: Vec<watch::Sender<Arc<Snapshot>>>,
}

/// From the store to what is published.
struct Registration {
    store: Arc<dyn Store>,
    reflector: Reflector,
    registered: watch::Receiver<Arc<Snapshot>>,
    tls: Arc<TlsConfigs>,
    published: watch::Sender<Arc<Snapshot>>,
}

/// Why a gateway could not be built. Each is a line that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A public key could not be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The listener's certificate or key could not be used.
    #[error(transparent)]
    ServerTls(#[from] listener::TlsError),
    /// A cluster's CA or client certificate could not be used.
    #[error("cluster {cluster}: {error}")]
    ClusterTls {
        /// The cluster.
        cluster: String,
        /// What is wrong with its files.
        error: Arc<upstream::TlsError>,
    },
    /// The web UI's directory cannot be served.
    #[error(transparent)]
    WebUi(#[from] LoadError),
    /// The registry's file cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The registry's directory cannot be made.
    #[error("cannot make the directory of the registry {}: {source}: make it, or set store.embedded.path", path.display())]
    StoreDirectory {
        /// The file that was to lie in it.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A port is taken or forbidden.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// Every worker has ended, though nobody asked for it: the log says why.
    #[error("all workers have ended; see the log")]
    NoWorkers,
    /// The system refused a thread or a runtime.
    #[error("cannot start: {0}")]
    System(#[from] std::io::Error),
}

// === impl Server ===

impl Server {
    /// Loads keys and certificates, opens the registry and binds the sockets. Connects to nothing: clusters may be
    /// down at start. Must be called on the control plane's runtime.
    pub fn build(root: &Root, source: Option<reload::Source>, logs: LogHandle) -> Result<Self, BuildError> {
        let keys = KeyFiles::load(&root.auth.jwt_public_key_files)?;
        let authenticator = Arc::new(Authenticator::new(&auth_config(root), keys));
        let tls = root.listen.tls().map(|(cert, key)| ServerTls::load(cert, key)).transpose()?;
        let snapshot = Arc::new(root.snapshot());
        let tls_configs = Arc::new(TlsConfigs::new());
        if let Some((cluster, error)) = tls_configs.prepare(&snapshot).into_iter().next() {
            return Err(BuildError::ClusterTls { cluster: cluster.to_string(), error });
        }
        warn_insecure(&snapshot);
        let web = Arc::new(ArcSwap::from_pointee(web::content(root)?));

        let workers = match root.listen.workers {
            0 => thread::available_parallelism().map_or(1, usize::from),
            workers => workers,
        };
        let sockets = listener::bind(root.listen.address, workers)?;
        let admin = listener::bind(root.admin.address, 1)?.remove(0);

        let (phase, phase_seen) = watch::channel(Phase::Running);
        let store = store::open(root)?;
        let (configured, configured_seen) = watch::channel(snapshot);
        let (reflector, Views { snapshot: registered, registry }) = registry::reflector(configured_seen);
        let (published, published_seen) = watch::channel(Arc::clone(&registered.borrow()));
        let (applied, applied_seen): (Vec<_>, Vec<_>) =
            sockets.iter().map(|_| watch::channel(Arc::clone(&registered.borrow()))).unzip();
        let authorizer = Arc::new(AdminGroups(root.auth.admin_groups.clone()));
        let api = Api::new(Arc::clone(&store), registry.clone(), authorizer);
        let routed = Routed::new(registered.clone(), applied_seen);
        let (certificates, certificates_seen) = watch::channel(0);
        let connect = Arc::new(Connector::new(Arc::clone(&tls_configs), root.upstream.connect_timeout));
        let shared = Shared {
            settings: Arc::new(settings(root)),
            listener: listener_config(root),
            tls: tls.clone(),
            upstream: upstream_config(root),
            connect,
            authenticator: Arc::clone(&authenticator),
            fan_outs: fanout::Shared::new(root.limits.fan_outs, root.limits.read_ahead_bytes),
            bodies: Arc::default(),
            connections: Arc::new(Semaphore::new(root.limits.connections.min(Semaphore::MAX_PERMITS))),
            allowed_origins: root.cors.allowed_origins.clone().into(),
            readiness: Readiness::new(phase_seen.clone(), registry),
            federation: Federation::new(Handle::current(), api, routed),
            web: Arc::clone(&web),
            clusters: published_seen,
            certificates: certificates_seen,
            phase: phase_seen,
        };
        let reloader = Reloader::new(
            root.clone(),
            source,
            authenticator,
            tls,
            Arc::clone(&tls_configs),
            configured,
            registered.clone(),
            certificates,
            web,
            logs,
        );
        let registry = Registration { store, reflector, registered, tls: tls_configs, published };
        Ok(Self {
            shared,
            sockets,
            admin,
            phase,
            shutdown: root.shutdown.clone(),
            reloader,
            registry,
            applied,
        })
    }

    /// The addresses in use: the main listener's and the admin listener's.
    pub fn addresses(&self) -> std::io::Result<(SocketAddr, SocketAddr)> {
        Ok((self.sockets[0].local_addr()?, self.admin.local_addr()?))
    }

    /// Serves until `stop` says so (once: gracefully; twice: at once), on worker threads of its own. Runs the control
    /// plane on the calling runtime.
    pub async fn run(self, mut stop: mpsc::Receiver<()>) -> Result<(), BuildError> {
        let Self { shared, sockets, admin, phase, shutdown, reloader, registry, applied } = self;
        let mut tasks = JoinSet::new();
        registry.spawn(&mut tasks);
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

        tasks.spawn(serve_admin(admin, &shared)?);
        tasks.spawn(reloader.run());
        tokio::select! {
            _ = stop.recv() => {}
            _ = workers_left.recv() => return Err(BuildError::NoWorkers),
        }
        let drained = drain(&phase, &shutdown, &mut workers_left);
        tokio::select! {
            () = drained => {}
            _ = stop.recv() => tracing::warn!("stopping at once"),
        }
        // With it, all tasks of the control plane end.
        drop(tasks);
        Ok(())
    }
}

// === impl Registration ===

impl Registration {
    fn spawn(self, tasks: &mut JoinSet<()>) {
        tasks.spawn(self.reflector.run(self.store));
        tasks.spawn(clusters::publish(self.registered, self.tls, self.published));
    }
}

/// `/readyz` says no, later no new connections, at last nothing.
async fn drain(phase: &watch::Sender<Phase>, shutdown: &config::Shutdown, workers: &mut mpsc::Receiver<()>) {
    tracing::info!("stopping: no longer ready");
    phase.send_replace(Phase::Announcing);
    tokio::time::sleep(shutdown.announce).await;
    phase.send_replace(Phase::Draining);
    tracing::info!("stopping: finishing requests");
    if tokio::time::timeout(shutdown.drain, workers.recv()).await.is_err() {
        tracing::warn!(after = ?shutdown.drain, "requests were still in work and are cut");
    }
}

fn serve_admin(
    socket: StdTcpListener,
    shared: &Shared,
) -> std::io::Result<impl Future<Output = ()> + Send + 'static> {
    let socket = TcpListener::from_std(socket)?;
    let admin = Admin {
        readiness: shared.readiness.clone(),
        authenticator: Arc::clone(&shared.authenticator),
        fan_outs: Arc::clone(&shared.fan_outs),
        clusters: shared.clusters.clone(),
    };
    // It outlives the drain, so that the drain can be watched: its own phase never changes.
    let (forever, phase) = watch::channel(Phase::Running);
    let connections = Arc::new(Semaphore::new(ADMIN_CONNECTIONS));
    let listener = Listener::new(shared.listener.clone(), None, connections, phase);
    Ok(async move {
        listener.serve(socket, admin.service()).await;
        drop(forever);
    })
}

pub(super) fn warn_insecure(snapshot: &Snapshot) {
    for cluster in snapshot.iter() {
        if cluster.tls.insecure_skip_tls_verify {
            tracing::warn!(cluster = %cluster.name, "server certificates are not verified");
        }
        if cluster.backends.iter().any(|backend| !backend.tls) {
            tracing::warn!(cluster = %cluster.name, "a backend is spoken to in plain HTTP");
        }
    }
}

fn auth_config(root: &Root) -> auth::Config {
    auth::Config {
        jwt_public_key_files: root.auth.jwt_public_key_files.clone(),
        token_cache_entries: root.auth.token_cache.entries,
    }
}

fn listener_config(root: &Root) -> listener::Config {
    listener::Config {
        streams: root.limits.streams,
        headers: root.limits.headers,
        head_bytes: root.limits.head_bytes,
        head_timeout: root.limits.head_timeout,
    }
}

fn upstream_config(root: &Root) -> upstream::Config {
    let from = &root.upstream;
    upstream::Config {
        connect_timeout: from.connect_timeout,
        head_timeout: from.head_timeout,
        idle_body_timeout: from.idle_body_timeout,
        idle_connection_timeout: from.idle_connection_timeout,
        max_idle_connections: from.max_idle_connections,
        retries: from.retries as usize,
        ..upstream::Config::default()
    }
}

fn settings(root: &Root) -> Settings {
    let fan_out = &root.fan_out;
    Settings {
        default_scope: match fan_out.default_scope {
            config::Scope::All => Scope::All,
            config::Scope::Local => Scope::Local,
        },
        fan_out: fanout::Config {
            member_timeout: fan_out.member_timeout,
            timeout: fan_out.timeout,
            buffer_bytes: fan_out.buffer_bytes,
            read_ahead_bytes: fan_out.read_ahead_bytes,
            max_member_bytes: fan_out.max_member_bytes,
        },
        max_members: fan_out.max_members,
        max_request_body: root.limits.request_body_bytes,
        max_headers: root.limits.headers,
        trusted_proxies: root.listen.trusted_proxies.clone(),
    }
}

const ADMIN_CONNECTIONS: usize = 64;

/// How often files are looked at for changes.
pub(super) const WATCH_INTERVAL: Duration = Duration::from_secs(5);
