use std::{net::TcpListener as StdTcpListener, sync::Arc};

use arc_swap::ArcSwap;
use http::Request;
use hyper::body::Incoming;
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};
use tower::ServiceExt;

use super::{
    clusters,
    shared::{Listening, Shared},
};
use crate::{
    listener::Listener,
    proxy::{Gateway, stack},
    types::Snapshot,
    webui::WebUi,
    wire::Body,
};

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
        let access = Arc::clone(&shared.answering.resources.access);
        let authenticator = Arc::clone(&shared.authentication.authenticator);
        let service = stack(gateway, authenticator, &shared.answering.allowed_origins)
            .map_request(|request: Request<Incoming>| request.map(Body::from));
        let Listening { terms, tls, connections, phase, metrics, .. } = shared.listening;
        let listener =
            Listener::new(terms, tls, connections, phase).with_metrics(metrics).with_access(access);
        listener.serve(socket, service).await;
        following.abort();
        Ok(())
    })
}

/// What answers requests, and the task that keeps its clusters up to date.
fn gateway(shared: &Shared, applied: watch::Sender<Arc<Snapshot>>) -> (Gateway, JoinHandle<()>) {
    let (upstream, updates) = shared.reach.connections();
    let first = Arc::clone(&updates.borrow());
    applied.send_replace(Arc::clone(&first));
    let routed = Arc::new(ArcSwap::new(first));
    let exchange = shared.authentication.exchange.as_ref();
    let gateway = Gateway {
        resources: Arc::clone(&shared.answering.resources),
        clusters: Arc::clone(&routed),
        upstream: upstream.clone(),
        exchange: exchange.map(|exchange| exchange.worker(upstream.clone())),
        web: WebUi::new(Arc::clone(&shared.answering.web), shared.reach.unchecked_connections()),
    };
    let following = clusters::follow(upstream, updates, shared.reach.tls_configs.clone(), move |snapshot| {
        routed.store(Arc::clone(&snapshot));
        applied.send_replace(snapshot);
    });
    (gateway, tokio::spawn(following))
}
