use std::{
    sync::Arc,
    task::{Context, Poll},
};

use futures::future::BoxFuture;
use http::{Request, Response};
use tower::{Layer, Service};

use super::Compressor;
use crate::{error::BoxError, proxy::route::Destination, wire::Body};

/// Compresses the answers of the service below it.
#[derive(Clone, Debug)]
pub(in crate::proxy) struct CompressLayer(Arc<Compressor>);

/// The service of [`CompressLayer`].
#[derive(Clone, Debug)]
pub(in crate::proxy) struct Compress<S> {
    inner: S,
    compressor: Arc<Compressor>,
}

// === impl CompressLayer ===

impl CompressLayer {
    pub(in crate::proxy) fn new(compressor: Arc<Compressor>) -> Self {
        Self(compressor)
    }
}

impl<S> Layer<S> for CompressLayer {
    type Service = Compress<S>;

    fn layer(&self, inner: S) -> Compress<S> {
        Compress { inner, compressor: Arc::clone(&self.0) }
    }
}

// === impl Compress ===

type Answering = BoxFuture<'static, Result<Response<Body>, BoxError>>;

impl<S> Service<Request<Body>> for Compress<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = BoxError, Future = Answering>,
{
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = Answering;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Answering {
        let (mut head, body) = request.into_parts();
        let plan = match head.extensions.get() {
            Some(Destination { route: Ok(route), .. }) => {
                self.compressor.plan(route, &head.method, &mut head.headers)
            }
            _ => None,
        };
        let answering = self.inner.call(Request::from_parts(head, body));
        let Some(plan) = plan else { return answering };
        let compressor = Arc::clone(&self.compressor);
        Box::pin(async move { Ok(compressor.apply(&plan, answering.await?)) })
    }
}
