use std::{
    any::Any,
    convert::Infallible,
    panic::{AssertUnwindSafe, catch_unwind},
    task::{Context, Poll},
};

use futures::{FutureExt, future::BoxFuture};
use http::{Request, Response, StatusCode};
use tower::{Layer, Service};

use super::{body::BodyError, credentials::CredentialError, guard::GuardError, logins::TooManyFailures};
use crate::{
    api::ApiError,
    auth::AuthError,
    authz::ExchangeError,
    error::{BoxError, Chain, Classify, ErrorKind, Reply},
    fanout, graphql,
    rewrite::ScanError,
    routing,
    telemetry::RequestId,
    upstream,
    webui::WebUiError,
    wire::{self, Body},
};

/// Turns errors, and panics, of everything below into responses. The only place that does.
#[derive(Clone, Copy, Debug, Default)]
pub struct RescueLayer;

/// The service of [`RescueLayer`].
#[derive(Clone, Debug)]
pub struct Rescue<S>(S);

// === impl RescueLayer ===

impl<S> Layer<S> for RescueLayer {
    type Service = Rescue<S>;

    fn layer(&self, inner: S) -> Rescue<S> {
        Rescue(inner)
    }
}

// === impl Rescue ===

impl<S, B> Service<Request<B>> for Rescue<S>
where
    S: Service<Request<B>, Response = Response<Body>, Error = BoxError>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // Nothing below has back-pressure: its bounds are errors.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let id = request.extensions().get::<RequestId>().cloned();
        // Some layers work before their future is polled.
        let called = catch_unwind(AssertUnwindSafe(|| self.0.call(request)));
        Box::pin(async move {
            let answer = match called {
                Ok(answer) => AssertUnwindSafe(answer).catch_unwind().await,
                Err(panic) => Err(panic),
            };
            Ok(match answer {
                Ok(Ok(response)) => response,
                Ok(Err(error)) => respond(&*error, id.as_ref()),
                Err(panic) => panicked(&*panic, id.as_ref()),
            })
        })
    }
}

fn respond(
    error: &(dyn std::error::Error + Send + Sync + 'static),
    id: Option<&RequestId>,
) -> Response<Body> {
    let Some(known) = classify(error) else {
        log(ErrorKind::Internal, error, id);
        return wire::reply(&internal());
    };
    log(known.kind(), error, id);
    wire::reply(&known.reply())
}

/// What the error becomes.
pub(super) fn status_of(error: &(dyn std::error::Error + Send + Sync + 'static)) -> StatusCode {
    classify(error).map_or(StatusCode::INTERNAL_SERVER_ERROR, |known| known.reply().status)
}

/// Every error type that can reach a client, in the order in which a request meets them.
fn classify<'a>(error: &'a (dyn std::error::Error + Send + Sync + 'static)) -> Option<&'a dyn Classify> {
    fn as_classified<'a, E: Classify + 'static>(
        error: &'a (dyn std::error::Error + Send + Sync + 'static),
    ) -> Option<&'a dyn Classify> {
        error.downcast_ref::<E>().map(|e| e as &'a dyn Classify)
    }
    as_classified::<GuardError>(error)
        .or_else(|| as_classified::<AuthError>(error))
        .or_else(|| as_classified::<TooManyFailures>(error))
        .or_else(|| as_classified::<routing::RouteError>(error))
        .or_else(|| as_classified::<BodyError>(error))
        .or_else(|| as_classified::<CredentialError>(error))
        .or_else(|| as_classified::<ExchangeError>(error))
        .or_else(|| as_classified::<ApiError>(error))
        .or_else(|| as_classified::<WebUiError>(error))
        .or_else(|| as_classified::<fanout::Overloaded>(error))
        .or_else(|| as_classified::<graphql::GraphQlError>(error))
        .or_else(|| as_classified::<upstream::Error>(error))
        .or_else(|| as_classified::<ScanError>(error))
}

fn log(kind: ErrorKind, error: &(dyn std::error::Error + 'static), id: Option<&RequestId>) {
    let request_id = id.map(tracing::field::display);
    match kind {
        ErrorKind::Client => tracing::debug!(request_id, %error, "request refused"),
        ErrorKind::Overload => tracing::warn!(request_id, %error, "request refused"),
        ErrorKind::Upstream => tracing::warn!(request_id, error = Chain(error).to_string(), "cluster failed"),
        ErrorKind::Internal => {
            tracing::error!(request_id, error = Chain(error).to_string(), "internal error");
        }
    }
}

fn panicked(panic: &(dyn Any + Send), id: Option<&RequestId>) -> Response<Body> {
    let text =
        panic.downcast_ref::<&str>().map(|s| (*s).to_owned()).or_else(|| panic.downcast_ref().cloned());
    tracing::error!(request_id = id.map(tracing::field::display), text, "a request panicked");
    wire::reply(&internal())
}

fn internal() -> Reply {
    Reply::router(StatusCode::INTERNAL_SERVER_ERROR, 0, "internal error occurred")
}
