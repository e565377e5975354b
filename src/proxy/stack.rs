use std::{convert::Infallible, sync::Arc};

use http::{HeaderName, HeaderValue, Method, Request, Response, header};
use tower::{Service, ServiceBuilder, ServiceExt, util::BoxCloneService};
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::{
    Gateway, GuardLayer, RescueLayer,
    dispatch::Dispatch,
    hsts::HstsLayer,
    route::{find_client, locate},
};
use crate::{
    auth::{AuthLayer, Authenticator},
    telemetry::{AccessLogLayer, trace::TraceLayer},
    wire::{Body, header as names},
};

/// The whole of a worker's request handling, as one service.
pub type Stack = BoxCloneService<Request<Body>, Response<Body>, Infallible>;

/// Puts the layers around the gateway. Read from top to bottom: the first sees a request first and its answer last.
pub fn stack(gateway: Gateway, authenticator: Arc<Authenticator>, allowed_origins: &[String]) -> Stack {
    let max_headers = gateway.settings().limits.headers;
    let hsts = gateway.settings().hsts.map(HstsLayer::new);
    let tracing = gateway.settings().tracer.clone().map(TraceLayer::new);
    let requests = Arc::clone(&gateway.resources.requests);
    let gateway = Arc::new(gateway);
    let dispatch = Dispatch::new(Arc::clone(&gateway));
    let locating = Arc::clone(&gateway);
    let service = ServiceBuilder::new()
        // Outermost, so that it is on every answer.
        .option_layer(hsts)
        // Before everything that asks who the client is.
        .map_request(move |request| find_client(&gateway, request))
        // Around all others, so that every answer has an id and a line, those of the layers below included.
        .layer(AccessLogLayer::new(requests))
        // Below it, so that a span has the request's id; above all that makes spans of its own.
        .option_layer(tracing)
        // Browsers send preflights without credentials, so they are answered before anything asks for some.
        .option_layer(cors(allowed_origins))
        // Below it everything may fail; above it nothing does.
        .layer(RescueLayer)
        // Cheap refusals first: nothing has been read or verified yet.
        .layer(GuardLayer::new(max_headers))
        // The one reading of the path: how to authenticate the request and where it goes both follow from it.
        .map_request(move |request| locate(&locating, request))
        // Before the route is looked at: without credentials even an unknown path is 401.
        .layer(AuthLayer::new(authenticator))
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

fn cors(allowed_origins: &[String]) -> Option<CorsLayer> {
    let origins: Vec<HeaderValue> =
        allowed_origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()).collect();
    let exposed: [HeaderName; 5] = [
        names::FEDGATE_CLUSTERS,
        names::FEDGATE_COMPLETE,
        names::SENSU_CONTINUE,
        names::X_REQUEST_ID,
        header::ETAG,
    ];
    (!origins.is_empty()).then(|| {
        CorsLayer::new()
            .allow_origin(AllowOrigin::list(origins))
            .allow_methods([Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
            .allow_headers([
                header::AUTHORIZATION,
                header::CONTENT_TYPE,
                header::IF_MATCH,
                names::FEDGATE_PARTIAL,
            ])
            .expose_headers(exposed)
    })
}
