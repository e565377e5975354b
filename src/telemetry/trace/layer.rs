use std::{
    convert::Infallible,
    task::{Context, Poll},
};

use futures::future::{BoxFuture, Either, FutureExt as _};
use http::{Request, Response};
use tower::{Layer, Service};

use super::{Span, Tracer, enter, within};
use crate::{
    telemetry::{RequestId, access::loggable_path, requests::method_name},
    wire::Body,
};

/// Makes a span of every request, from its head to the last byte of its answer.
#[derive(Clone, Debug)]
pub struct TraceLayer(Tracer);

/// The service of [`TraceLayer`].
#[derive(Clone, Debug)]
pub struct Traced<S> {
    inner: S,
    tracer: Tracer,
}

// === impl TraceLayer ===

impl TraceLayer {
    /// Records with this tracer.
    pub fn new(tracer: Tracer) -> Self {
        Self(tracer)
    }
}

impl<S> Layer<S> for TraceLayer {
    type Service = Traced<S>;

    fn layer(&self, inner: S) -> Traced<S> {
        Traced { inner, tracer: self.0.clone() }
    }
}

// === impl Traced ===

type Answer = Result<Response<Body>, Infallible>;

impl<S, B> Service<Request<B>> for Traced<S>
where
    S: Service<Request<B>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Either<S::Future, BoxFuture<'static, Answer>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let method = method_name(request.method().as_str());
        let mut span = self.tracer.server(request.headers_mut(), method.into());
        if !span.is_recorded() {
            return Either::Left(self.inner.call(request));
        }
        span.set("http.request.method", method);
        span.set("url.path", loggable_path(request.uri().path()));
        if let Some(id) = request.extensions().get::<RequestId>() {
            span.set("fedgate.request_id", &id.header());
        }
        let parent = span.parent();
        let answer = enter(parent.as_ref(), || self.inner.call(request));
        let finish = |answer: Answer| answer.map(|response| end(span, response));
        Either::Right(within(parent, answer).map(finish).boxed())
    }
}

/// The span goes on with the answer's body.
fn end(mut span: Span, response: Response<Body>) -> Response<Body> {
    span.set("http.response.status_code", response.status());
    if response.status().is_server_error() {
        span.fail("server error");
    }
    response.map(|body| span.hold(body))
}
