use std::{
    sync::Arc,
    task::{Context, Poll},
};

use futures::future::BoxFuture;
use http::{Request, Response};
use tower::Service;

use super::{Gateway, change, route::Destination, web};
use crate::{
    error::BoxError,
    routing::Route,
    telemetry::{
        AccessInfo, AccessNote,
        trace::{self, SpanKind},
    },
    types::{Caller, Snapshot},
    wire::Body,
};

/// The innermost service: has a request answered by what its route names.
#[derive(Clone)]
pub(super) struct Dispatch(Arc<Gateway>);

/// What is known of a request for its access line; written down also when its client leaves, or it panics.
struct Noting {
    info: AccessInfo,
    note: AccessNote,
}

// === impl Noting ===

impl Drop for Noting {
    fn drop(&mut self) {
        self.note.write(std::mem::take(&mut self.info));
    }
}

// === impl Dispatch ===

impl Dispatch {
    pub(super) fn new(gateway: Arc<Gateway>) -> Self {
        Self(gateway)
    }
}

impl Service<Request<Body>> for Dispatch {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Response<Body>, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let gateway = Arc::clone(&self.0);
        Box::pin(async move {
            let caller = request.extensions_mut().remove().unwrap_or(Caller::Anonymous);
            let note: AccessNote = request.extensions_mut().remove().unwrap_or_default();
            let info = AccessInfo { subject: subject(&caller), ..AccessInfo::default() };
            let mut noting = Noting { info, note };
            dispatch(&gateway, request, &caller, &mut noting.info).await
        })
    }
}

async fn dispatch(
    gateway: &Gateway,
    mut request: Request<Body>,
    caller: &Caller,
    info: &mut AccessInfo,
) -> Result<Response<Body>, BoxError> {
    let Destination { route, clusters } =
        request.extensions_mut().remove().expect("the stack routes a request before it is dispatched");
    let route = match route {
        Ok(route) => route,
        Err(error) => return gateway.refuse(&request, error),
    };
    info.route = route.kind();
    info.change = change::of_head(&route, request.method(), request.headers());
    let mut span = trace::child(info.route.as_str(), SpanKind::Internal);
    let answering = answer(gateway, request, route, &clusters, caller, info);
    let answer = trace::within(span.parent(), answering).await;
    if span.is_recorded() {
        if let Some(cluster) = &info.cluster {
            span.set("fedgate.cluster", cluster.to_string());
        }
        if answer.is_err() {
            span.fail("refused");
        }
    }
    answer
}

async fn answer(
    gateway: &Gateway,
    request: Request<Body>,
    route: Route,
    clusters: &Snapshot,
    caller: &Caller,
    info: &mut AccessInfo,
) -> Result<Response<Body>, BoxError> {
    match route {
        Route::Probe(probe) => Ok(gateway.resources.readiness.answer(probe, request.method())),
        Route::Federation(path) => gateway.federation(request, &path, caller, info).await,
        Route::Forward(forward) => {
            if forward.prefix.is_none() && info.change.is_some() {
                info.subject = gateway.name_of(caller, request.headers()).await;
            }
            gateway.forward(request, clusters, forward, caller, info).await
        }
        Route::List(list) => gateway.list(request, clusters, list, caller, info).await,
        Route::GraphQl => gateway.graphql(request, clusters, caller, info).await,
        Route::Web => gateway.page(request).await,
        Route::Moved(location) => web::moved(&location),
    }
}

fn subject(caller: &Caller) -> Option<String> {
    match caller {
        Caller::Token(principal) => Some(principal.subject.clone()),
        Caller::Anonymous | Caller::ApiKey => None,
    }
}
