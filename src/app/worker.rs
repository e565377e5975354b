use std::{net::TcpListener as StdTcpListener, sync::Arc};

use arc_swap::ArcSwap;
use http::Request;
use hyper::body::Incoming;
use tokio::{
    net::TcpListener,
    sync::{Semaphore, watch},
};
use tower::ServiceExt;

use super::clusters;
use crate::{
    auth::Authenticator,
    authz::Exchange,
    fanout, graphql,
    listener::{self, Listener, Phase},
    net::{ServerTls, TlsConfigs},
    proxy::{Federation, Gateway, Readiness, Settings, stack},
    types::Snapshot,
    upstream::{self, Connect, HealthBoard, Manager},
    webui::{Content, WebUi},
    wire::{Body, Budget},
};

/// What all workers share: immutable, or an atomic.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) settings: Arc<Settings>,
    pub(super) listener: listener::Limits,
    pub(super) tls: Option<ServerTls>,
    pub(super) upstream: upstream::Config,
    pub(super) connect: Arc<dyn Connect>,
    pub(super) board: Arc<HealthBoard>,
    pub(super) authenticator: Arc<Authenticator>,
    pub(super) fan_outs: Arc<fanout::Shared>,
    pub(super) bodies: Arc<Budget>,
    pub(super) graphql: graphql::Engine,
    pub(super) connections: Arc<Semaphore>,
    pub(super) allowed_origins: Arc<[String]>,
    pub(super) readiness: Readiness,
    pub(super) federation: Federation,
    pub(super) exchange: Option<Exchange>,
    pub(super) web: Arc<ArcSwap<Content>>,
    pub(super) clusters: watch::Receiver<Arc<Snapshot>>,
    pub(super) tls_configs: TlsConfigs,
    pub(super) phase: watch::Receiver<Phase>,
}

// === impl Shared ===

impl Shared {
    /// Connections of one's own to the clusters, and how these change from now on: see [`clusters::follow`].
    pub(super) fn connections(&self) -> (Manager, watch::Receiver<Arc<Snapshot>>) {
        let (connect, board) = (Arc::clone(&self.connect), Arc::clone(&self.board));
        let manager = Manager::with_health(self.upstream, connect, board);
        let mut updates = self.clusters.clone();
        manager.apply(&updates.borrow_and_update());
        (manager, updates)
    }
}

/// One worker's life: its own runtime, socket, stack and pools. A request that arrives here ends here.
/// `applied` gets each set of clusters that it has begun to route by.
///
/// # Errors
/// When the runtime cannot be built or the socket not be registered with it.
pub(super) fn run(
    shared: Shared,
    socket: StdTcpListener,
    applied: watch::Sender<Arc<Snapshot>>,
) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async move {
        let socket = TcpListener::from_std(socket)?;
        let (gateway, following) = gateway(&shared, applied);
        let service = stack(gateway, Arc::clone(&shared.authenticator), &shared.allowed_origins)
            .map_request(|request: Request<Incoming>| request.map(Body::from));
        let listener = Listener::new(shared.listener, shared.tls, shared.connections, shared.phase);
        listener.serve(socket, service).await;
        following.abort();
        Ok(())
    })
}

/// The innermost service, and the task that keeps its clusters up to date.
fn gateway(shared: &Shared, applied: watch::Sender<Arc<Snapshot>>) -> (Gateway, tokio::task::JoinHandle<()>) {
    let (upstream, updates) = shared.connections();
    let first = Arc::clone(&updates.borrow());
    applied.send_replace(Arc::clone(&first));
    let routed = Arc::new(ArcSwap::new(first));
    let gateway = Gateway {
        settings: Arc::clone(&shared.settings),
        clusters: Arc::clone(&routed),
        upstream: upstream.clone(),
        fan_outs: Arc::clone(&shared.fan_outs),
        bodies: Arc::clone(&shared.bodies),
        graphql: shared.graphql.clone(),
        readiness: shared.readiness.clone(),
        federation: shared.federation.clone(),
        exchange: shared.exchange.as_ref().map(|exchange| exchange.worker(upstream.clone())),
        web: WebUi::new(Arc::clone(&shared.web), Manager::new(shared.upstream, Arc::clone(&shared.connect))),
    };
    let following = clusters::follow(upstream, updates, shared.tls_configs.clone(), move |snapshot| {
        routed.store(Arc::clone(&snapshot));
        applied.send_replace(snapshot);
    });
    (gateway, tokio::spawn(following))
}
