use std::sync::Arc;

use http::Request;

use super::{Gateway, guard::is_bare_check};
use crate::{
    routing::{Route, RouteError, Routed, route},
    types::{ConnInfo, Snapshot},
    wire::{Body, forwarded},
};

/// Where a request goes, in its extensions from routing to dispatch.
#[derive(Clone)]
pub(super) struct Destination {
    /// An error waits here until authentication has let the request through.
    pub(super) route: Result<Route, RouteError>,
    /// What it was decided by, and what the rest of the request is answered by.
    pub(super) clusters: Arc<Snapshot>,
}

/// Finds out who has sent a request, where its connection comes from a trusted proxy.
pub(super) fn find_client(gateway: &Gateway, mut request: Request<Body>) -> Request<Body> {
    let trusted = &gateway.settings().trusted_proxies;
    if !trusted.is_empty()
        && let Some(mut info) = request.extensions().get::<ConnInfo>().copied()
    {
        info.client = forwarded::client(info.peer.ip(), request.headers(), trusted);
        request.extensions_mut().insert(info);
    }
    request
}

/// Routes a request: the one time that its path is read. How it has to be authenticated follows from the same reading.
pub(super) fn locate(gateway: &Gateway, mut request: Request<Body>) -> Request<Body> {
    let clusters = gateway.clusters.load_full();
    let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
    // What HAProxy asks by default: whether there is a server to send requests to.
    let target = if target == "/" && is_bare_check(&request) { "/readyz" } else { target };
    let Routed { auth, route } =
        route(request.method(), target, &clusters, gateway.settings().fan_out.default_scope);
    request.extensions_mut().insert(auth);
    request.extensions_mut().insert(Destination { route, clusters });
    request
}
