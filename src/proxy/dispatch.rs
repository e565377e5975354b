use std::{
    sync::Arc,
    task::{Context, Poll},
};

use futures::future::BoxFuture;
use http::{Request, Response};
use tower::Service;

use super::{Gateway, route::Destination, web};
use crate::{
    error::BoxError,
    routing::Route,
    telemetry::{AccessInfo, AccessNote},
    types::Caller,
    wire::Body,
};

/// The innermost service: has a request answered by what its route names.
#[derive(Clone)]
pub(super) struct Dispatch(Arc<Gateway>);

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
            let mut info = AccessInfo { subject: subject(&caller), ..AccessInfo::default() };
            let answer = dispatch(&gateway, request, &caller, &mut info).await;
            note.write(info);
            answer
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
    info.route = route.name();
    match route {
        Route::Probe(probe) => Ok(gateway.resources.readiness.answer(probe, request.method())),
        Route::Federation(path) => gateway.federation(request, &path, caller).await,
        Route::Forward(forward) => gateway.forward(request, &clusters, forward, caller, info).await,
        Route::List(list) => gateway.list(request, &clusters, list, caller, info).await,
        Route::GraphQl => gateway.graphql(request, &clusters, caller, info).await,
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
