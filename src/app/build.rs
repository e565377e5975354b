use std::{
    net::{SocketAddr, TcpListener as StdTcpListener},
    sync::Arc,
    thread,
    time::Duration,
};

use tokio::{
    net::TcpListener,
    sync::{Semaphore, mpsc, watch},
};

use super::{
    Settings,
    admin::Admin,
    reload::{self, Reloader},
    worker::{self, Shared},
};
use crate::{
    auth::{self, Authenticator, KeyError, KeyFiles},
    config::{self, Root},
    fanout, graphql,
    listener::{self, BindError, Listener, Phase, ServerTls},
    routing::Scope,
    telemetry::LogHandle,
    types::Snapshot,
    upstream::{self, Connector, TlsConfigs},
};

/// A gateway that is built and bound, but does not serve yet.
pub struct Server {
    shared: Shared,
    sockets: Vec<StdTcpListener>,
    admin: StdTcpListener,
    phase: watch::Sender<Phase>,
    shutdown: config::Shutdown,
    reloader: Reloader,
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
    /// Loads keys and certificates and binds the sockets. Connects to nothing: clusters may be down at start.
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

        let workers = match root.listen.workers {
            0 => thread::available_parallelism().map_or(1, usize::from),
            workers => workers,
        };
        let sockets = listener::bind(root.listen.address, workers)?;
        let admin = listener::bind(root.admin.address, 1)?.remove(0);

        let (phase, phase_seen) = watch::channel(Phase::Running);
        let (clusters, clusters_seen) = watch::channel(snapshot);
        let (certificates, certificates_seen) = watch::channel(0);
        let connect = Arc::new(Connector::new(Arc::clone(&tls_configs), root.upstream.connect_timeout));
        let settings = settings(root);
        let shared = Shared {
            graphql: graphql::Engine::new(settings.graphql()),
            settings: Arc::new(settings),
            listener: listener_config(root),
            tls: tls.clone(),
            upstream: upstream_config(root),
            connect,
            authenticator: Arc::clone(&authenticator),
            fan_outs: fanout::Shared::new(root.limits.fan_outs, root.limits.read_ahead_bytes),
            bodies: Arc::default(),
            connections: Arc::new(Semaphore::new(root.limits.connections.min(Semaphore::MAX_PERMITS))),
            allowed_origins: root.cors.allowed_origins.clone().into(),
            clusters: clusters_seen,
            certificates: certificates_seen,
            phase: phase_seen,
        };
        let reloader = Reloader::new(
            root.clone(),
            source,
            authenticator,
            tls,
            tls_configs,
            clusters,
            certificates,
            logs,
        );
        Ok(Self { shared, sockets, admin, phase, shutdown: root.shutdown.clone(), reloader })
    }

    /// The addresses in use: the main listener's and the admin listener's.
    pub fn addresses(&self) -> std::io::Result<(SocketAddr, SocketAddr)> {
        Ok((self.sockets[0].local_addr()?, self.admin.local_addr()?))
    }

    /// Serves until `stop` says so (once: gracefully; twice: at once), on worker threads of its own. Runs the control
    /// plane on the calling runtime.
    pub async fn run(self, mut stop: mpsc::Receiver<()>) -> Result<(), BuildError> {
        let Self { shared, sockets, admin, phase, shutdown, reloader } = self;
        let (finished, mut workers_left) = mpsc::channel::<()>(1);
        for (index, socket) in sockets.into_iter().enumerate() {
            let shared = shared.clone();
            let finished = finished.clone();
            thread::Builder::new().name(format!("worker-{index}")).spawn(move || {
                if let Err(error) = worker::run(shared, socket) {
                    tracing::error!(%error, "a worker could not start");
                }
                drop(finished);
            })?;
        }
        drop(finished);

        let admin_task = tokio::spawn(serve_admin(admin, &shared)?);
        let reload_task = tokio::spawn(reloader.run());
        tokio::select! {
            _ = stop.recv() => {}
            _ = workers_left.recv() => return Err(BuildError::NoWorkers),
        }
        let drained = drain(&phase, &shutdown, &mut workers_left);
        tokio::select! {
            () = drained => {}
            _ = stop.recv() => tracing::warn!("stopping at once"),
        }
        reload_task.abort();
        admin_task.abort();
        Ok(())
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
        phase: shared.phase.clone(),
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
