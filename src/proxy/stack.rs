use std::{convert::Infallible, sync::Arc};

use http::{Request, Response};
use tower::{Service, ServiceBuilder, ServiceExt, util::BoxCloneService};

use super::{
    CorsLayer, Gateway, GuardLayer, LoginLayer, RescueLayer,
    compress::CompressLayer,
    dispatch::Dispatch,
    hsts::HstsLayer,
    route::{find_client, locate},
};
use crate::{
    auth::{AuthLayer, Authenticator},
    telemetry::{AccessLogLayer, trace::TraceLayer},
    wire::Body,
};

/// The whole of a worker's request handling, as one service.
pub type Stack = BoxCloneService<Request<Body>, Response<Body>, Infallible>;

/// Puts the layers around the gateway. Read from top to bottom: the first sees a request first and its answer last.
pub fn stack(gateway: Gateway, authenticator: Arc<Authenticator>, allowed_origins: &[String]) -> Stack {
    let max_headers = gateway.settings().limits.headers;
    let hsts = gateway.settings().hsts.map(HstsLayer::new);
    let tracing = gateway.settings().tracer.clone().map(TraceLayer::new);
    let access = Arc::clone(&gateway.resources.access);
    let logins = Arc::clone(&gateway.resources.logins);
    let compressor = Arc::clone(&gateway.resources.compressor);
    let gateway = Arc::new(gateway);
    let dispatch = Dispatch::new(Arc::clone(&gateway));
    let locating = Arc::clone(&gateway);
    let service = ServiceBuilder::new()
        // Outermost, so that it is on every answer.
        .option_layer(hsts)
        // Before everything that asks who the client is.
        .map_request(move |request| find_client(&gateway, request))
        // Around all others, so that every answer has an id and a line, those of the layers below included.
        .layer(AccessLogLayer::new(access))
        // Below it, so that a span has the request's id; above all that makes spans of its own.
        .option_layer(tracing)
        // Browsers send preflights without credentials, so they are answered before anything asks for some.
        .option_layer(CorsLayer::new(allowed_origins))
        // Below it everything may fail; above it nothing does.
        .layer(RescueLayer)
        // Cheap refusals first: nothing has been read or verified yet.
        .layer(GuardLayer::new(max_headers))
        // The one reading of the path: how to authenticate the request and where it goes both follow from it.
        .map_request(move |request| locate(&locating, request))
        // Before the route is looked at: without credentials even an unknown path is 401.
        .layer(AuthLayer::new(authenticator))
        // What is left may be a guess. A request with a token passes by.
        .layer(LoginLayer::new(logins))
        // By the route, and only what answers it: an error is a few words.
        .layer(CompressLayer::new(compressor))
        // The route, and what answers it.
        .service(dispatch);
    check_service(service).boxed_clone()
}

/// Pins the type at this height, so that a mistake in a layer is reported here.
fn check_service<S>(service: S) -> S
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    service
}
