use std::{
    net::{SocketAddr, TcpListener as StdTcpListener},
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
    clusters::warn_insecure,
    comparing,
    control::Control,
    error::BuildError,
    metrics,
    notify::Notifier,
    reload::{self, Reloader},
    shared::{Answering, Authentication, Listening, Reach, Shared},
    sockets::Sockets,
    store,
    tracing::Tracing,
    trial, web, worker,
};
use crate::{
    api::Api,
    auth::{Authenticator, KeyFiles},
    authz::Minter,
    config::Root,
    error::Chain,
    fanout, graphql,
    listener::{self, Listener, Phase},
    net::{ServerTls, TlsConfigs, TlsError},
    proxy::{Compressor, Federation, Logins, OutageSessions, Readiness, Resources, Settings},
    registry::{self, Registry, Views},
    telemetry::{Access, LogHandle, Metrics, trace::Tracer},
    types::{BackendHealth, BackendState, ClusterHealth, GivenUp, Kind, Snapshot, units},
    upstream::{self, Connect, Connector, HealthBoard, Prober},
    wire::{Budget, budget::REQUEST_BODY_BYTES},
};

/// A gateway that is built and bound, but does not serve yet.
pub struct Server {
    shared: Shared,
    sockets: Sockets,
    phase: watch::Sender<Phase>,
    shutdown: listener::Shutdown,
    control: Control,
    metrics: Arc<Metrics>,
    notifier: Notifier,
    /// What each worker routes by.
    applied: Vec<watch::Sender<Arc<Snapshot>>>,
    tracing: Option<Tracing>,
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
        Self::build_on(None, root, source, logs).await
    }

    /// The same on sockets that are bound already, whatever addresses the configuration names.
    pub async fn build_on(
        sockets: Option<Sockets>,
        root: &Root,
        source: Option<reload::Source>,
        logs: LogHandle,
    ) -> Result<Self, BuildError> {
        let keys = KeyFiles::load_in_time(&root.auth.jwt_public_key_files).await?;
        let authority = Authority::build(root, &keys).await?;
        let authenticator = Arc::new(Authenticator::new(&root.auth, keys));
        let tls = certificate(root).await?;
        let snapshot = Arc::new(root.snapshot());
        let tls_configs = load_certificates(&snapshot).await?;
        warn_insecure(snapshot.iter());
        let web = Arc::new(ArcSwap::from_pointee(web::content_in_time(root).await?));

        let sockets = sockets.map_or_else(|| Sockets::bind(root), Ok)?;

        let (phase, phase_seen) = watch::channel(Phase::Running);
        let tracing = Tracing::new(&root.tracing);
        let tracer = tracing.as_ref().map(|tracing| &tracing.tracer);
        let (store, leadership) = store::open(root, tracer).await?;
        let (configured, configured_seen) = watch::channel(snapshot);
        let (reflector, Views { snapshot: registered, registry }) = registry::reflector(configured_seen);
        let (published, published_seen) = watch::channel(Arc::clone(&registered.borrow()));
        let (applied, applied_seen): (Vec<_>, Vec<_>) =
            sockets.workers.iter().map(|_| watch::channel(Arc::clone(&registered.borrow()))).unzip();
        let connect: Arc<dyn Connect> =
            Arc::new(Connector::new(tls_configs.clone(), root.upstream.connect_timeout));
        let board = Arc::new(HealthBoard::new());
        let (prober, health) = Prober::new(
            root.upstream.health,
            Arc::clone(&connect),
            published_seen.clone(),
            Arc::clone(&board),
        );
        let reach = reach(root, connect, board, published_seen, &tls_configs);
        let (manager, updates) = reach.connections();
        let by_etcd = store::replication(root, registry.clone(), &store, Arc::clone(&leadership), tracer)?;
        let (replication, handle) = by_etcd.unzip();
        let minter = authority.minter.as_ref();
        let (policy, policies) = store::policy(root, registry.clone(), &store, leadership, minter)?.unzip();
        let outage = outage_sessions(root, &authenticator, minter);
        let comparisons = comparing::comparisons(root, &registry, &store, &manager, minter);
        let api = Api::new(Arc::clone(&store), registry.clone(), Arc::clone(&authority.rbac) as _)
            .with_workers(registered.clone(), applied_seen)
            .with_trials(trial::try_out(root.upstream.connect_timeout))
            .with_comparisons(comparisons);
        let replicating = metrics::Replicating { by_etcd: handle.as_ref(), by_api: policies.as_ref() };
        let api = attach_status(api, health.clone(), &replicating, outage.clone());
        let readiness = Readiness::new(phase_seen.clone(), registry.clone());
        let federation = Federation::new(Handle::current(), api);
        let resources = resources(root, registry, readiness, federation, outage.clone(), tracer);
        let shared = Shared {
            listening: listening(root, tls.clone(), phase_seen),
            reach,
            authentication: Authentication {
                authenticator: Arc::clone(&authenticator),
                exchange: authority.exchange.clone(),
            },
            answering: Answering {
                resources: Arc::new(resources),
                web: Arc::clone(&web),
                allowed_origins: root.cors.allowed_origins.clone().into(),
            },
        };
        let variable = |name| source.as_ref()?.env.get(name).map(String::as_str);
        let notifier = Notifier::new(variable("NOTIFY_SOCKET"));
        let reloads = metrics::Reloads::new();
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
            notifier: notifier.clone(),
            access: Arc::clone(&shared.answering.resources.access),
            reloads: reloads.clone(),
            hangup: reload::hangups()?,
            seen: std::collections::BTreeMap::new(),
            fault: None,
        }
        .with_baseline();
        let control = Control {
            store,
            reflector,
            registered,
            tls: tls_configs,
            published,
            replication,
            policy,
            manager,
            updates,
            authority,
            prober,
            reloader,
            outage_sessions: outage,
            health: health.clone(),
        };
        let shutdown = root.shutdown.clone();
        let metrics = metrics::page(&shared, &reloads, health, &replicating, tracing.as_ref());
        Ok(Self { shared, sockets, phase, shutdown, control, metrics, notifier, applied, tracing })
    }

    /// The addresses in use: the main listener's and the admin listener's.
    pub fn addresses(&self) -> std::io::Result<(SocketAddr, SocketAddr)> {
        self.sockets.addresses()
    }

    /// Ends when every backend of the configured clusters was checked once; until then their state is not known.
    pub fn checked(&self) -> impl Future<Output = ()> + use<> {
        let mut health = self.control.health.clone();
        async move {
            let is_known = |backend: &BackendHealth| backend.state != BackendState::Unknown;
            let all = |clusters: &Arc<Vec<ClusterHealth>>| {
                !clusters.is_empty() && clusters.iter().flat_map(|cluster| &cluster.backends).all(is_known)
            };
            // The end of the gateway ends the wait, too.
            let _ = health.wait_for(all).await;
        }
    }

    /// Serves until `stop` says so (once: gracefully; twice: at once), on worker threads of its own. Runs the control
    /// plane on the calling runtime.
    pub async fn run(self, mut stop: mpsc::Receiver<()>) -> Result<(), BuildError> {
        let Self { shared, sockets, phase, shutdown, control, metrics, notifier, applied, tracing } = self;
        let mut tasks = JoinSet::new();
        let exporting = tracing.map(Tracing::spawn);
        let replicating = control.spawn(&shared.reach, phase.subscribe(), &mut tasks);
        tasks.spawn(serve_admin(sockets.admin, &shared, metrics)?);
        // Until then the kernel keeps new connections waiting: a list would lack the registered clusters.
        let mut clusters = shared.reach.clusters.clone();
        tokio::select! {
            read = tokio::time::timeout(REGISTRY_PATIENCE, clusters.wait_for(|clusters| clusters.is_loaded())) => if read.is_err() {
                tracing::warn!("the registry has not been read yet: requests are answered without its clusters");
            },
            _ = stop.recv() => return Ok(()),
        }
        let (finished, mut workers_left) = mpsc::channel::<()>(1);
        for (index, (socket, applied)) in sockets.workers.into_iter().zip(applied).enumerate() {
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
        notifier.ready();

        tokio::select! {
            _ = stop.recv() => {}
            _ = workers_left.recv() => return Err(BuildError::NoWorkers),
        }
        notifier.stopping(shutdown.announce + shutdown.drain + REPLICATION_STOP + STOP_MARGIN);
        let drained = drain(&phase, &shutdown, &mut workers_left);
        tokio::select! {
            () = drained => {}
            _ = stop.recv() => tracing::warn!("stopping at once"),
        }
        // Another gateway takes over sooner when this one has resigned.
        let _ = tokio::time::timeout(REPLICATION_STOP, futures::future::join_all(replicating)).await;
        if let Some(exporting) = exporting {
            exporting.finish().await;
        }
        // With it, all tasks of the control plane end.
        drop(tasks);
        Ok(())
    }
}

/// Reads the certificate files of the configured clusters.
async fn load_certificates(snapshot: &Snapshot) -> Result<TlsConfigs, BuildError> {
    let tls_configs = TlsConfigs::new();
    for (cluster, error) in tls_configs.prepare(snapshot).await {
        // A mount that hangs may come back, and the other clusters do not need it.
        if !matches!(*error, TlsError::Timeout { .. }) {
            return Err(BuildError::ClusterTls { cluster: cluster.to_string(), error });
        }
        tracing::error!(%cluster, error = %Chain(&*error), "a cluster cannot be reached over TLS yet");
    }
    Ok(tls_configs)
}

fn resources(
    root: &Root,
    registry: watch::Receiver<Arc<Registry>>,
    readiness: Readiness,
    federation: Federation,
    outage_sessions: Option<OutageSessions>,
    tracer: Option<&Tracer>,
) -> Resources {
    let settings = Settings { tracer: tracer.cloned(), ..settings(root) };
    Resources {
        graphql: graphql::Engine::new(settings.graphql()),
        compressor: Arc::new(Compressor::new(settings.compression)),
        settings,
        access: Access::new(root.log.access),
        fan_outs: fanout::Shared::new(root.limits.fan_outs, root.limits.read_ahead_bytes),
        bodies: Budget::new(REQUEST_BODY_BYTES),
        registry,
        readiness,
        logins: Arc::new(Logins::new(root.limits.login_failures)),
        federation,
        outage_sessions,
    }
}

/// First `/readyz` fails, then no new connections are accepted, then open requests are cut.
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
        tracing::warn!(
            after = units::show_duration(shutdown.drain),
            "requests were still in flight and are cut"
        );
    }
}

/// How all parts reach the clusters.
fn reach(
    root: &Root,
    connect: Arc<dyn Connect>,
    board: Arc<HealthBoard>,
    clusters: watch::Receiver<Arc<Snapshot>>,
    tls_configs: &TlsConfigs,
) -> Reach {
    let (tls_configs, metrics) = (tls_configs.clone(), upstream::Metrics::default());
    Reach { config: root.upstream, connect, board, clusters, tls_configs, metrics }
}

/// The API with what its `status` shows.
fn attach_status(
    api: Api,
    health: watch::Receiver<Arc<Vec<ClusterHealth>>>,
    replicating: &metrics::Replicating<'_>,
    outage_sessions: Option<OutageSessions>,
) -> Api {
    let api = match outage_sessions {
        Some(sessions) => api.with_outage_sessions(Arc::new(move || sessions.status())),
        None => api,
    };
    let api = match replicating.by_api {
        Some(policies) => api.with_policies(policies.statuses.clone()),
        None => api,
    };
    let (by_etcd, by_api) = (replicating.by_etcd.cloned(), replicating.by_api.cloned());
    // Without one, an empty value stays readable.
    let none = || watch::channel(Arc::default()).1;
    let replicators = by_etcd.as_ref().map_or_else(none, |handle| handle.statuses.clone());
    let give_up = move |kind, name: &str| match kind {
        Kind::EtcdReplicator => by_etcd.as_ref().map_or(GivenUp::Unknown, |handle| handle.give_up(name)),
        Kind::Replicator => by_api.as_ref().map_or(GivenUp::Unknown, |handle| handle.give_up(name)),
        Kind::Cluster => GivenUp::Unknown,
    };
    api.with_status(health, replicators).with_give_up(Arc::new(give_up))
}

/// What renews sessions in an outage, when it is to.
fn outage_sessions(
    root: &Root,
    authenticator: &Arc<Authenticator>,
    minter: Option<&Minter>,
) -> Option<OutageSessions> {
    let (longest, minter) = root.auth.outage_sessions.zip(minter)?;
    Some(OutageSessions::new(Arc::clone(authenticator), minter.clone(), longest))
}

/// The listener's certificate, when there is one.
fn listening(root: &Root, tls: Option<ServerTls>, phase: watch::Receiver<Phase>) -> Listening {
    let most = listener::usable_connections(root.limits.connections).min(Semaphore::MAX_PERMITS);
    Listening {
        terms: listener::Terms::new(&root.listen, &root.limits),
        tls,
        connections: Arc::new(Semaphore::new(most)),
        most,
        phase,
        metrics: listener::Metrics::default(),
    }
}

async fn certificate(root: &Root) -> Result<Option<ServerTls>, BuildError> {
    let Some((cert, key)) = root.listen.tls() else { return Ok(None) };
    ServerTls::load_in_time(cert, key).await.map(Some).map_err(BuildError::ServerTls)
}

fn settings(root: &Root) -> Settings {
    Settings {
        fan_out: root.fan_out.clone(),
        limits: root.limits.clone(),
        trusted_proxies: root.listen.trusted_proxies.clone(),
        hsts: root.listen.hsts,
        compression: root.compression,
        tracer: None,
    }
}

fn serve_admin(
    socket: StdTcpListener,
    shared: &Shared,
    metrics: Arc<Metrics>,
) -> std::io::Result<impl Future<Output = ()> + Send + 'static> {
    let socket = TcpListener::from_std(socket)?;
    let admin = Admin { readiness: shared.answering.resources.readiness.clone(), metrics };
    // It outlives the drain, so that the drain can be watched: its own phase never changes.
    let (forever, phase) = watch::channel(Phase::Running);
    let connections = Arc::new(Semaphore::new(ADMIN_CONNECTIONS));
    let listener = Listener::new(shared.listening.terms.admin(), None, connections, phase);
    Ok(async move {
        listener.serve(socket, admin.service()).await;
        drop(forever);
    })
}

/// How long the first requests wait for the registry.
const REGISTRY_PATIENCE: Duration = Duration::from_secs(2);

/// How long replication may take to end between two writes.
const REPLICATION_STOP: Duration = Duration::from_secs(3);

/// What a shutdown may take besides, on a busy machine.
const STOP_MARGIN: Duration = Duration::from_secs(5);

const ADMIN_CONNECTIONS: usize = 64;
