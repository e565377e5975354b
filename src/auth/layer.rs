use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::Request;
use pin_project_lite::pin_project;
use tower::{Layer, Service};

use super::{AuthError, Authenticator};
use crate::{error::BoxError, types::AuthScope};

/// Authenticates requests: leaves a [`Caller`](crate::types::Caller) in the extensions of those it lets
/// through, and fails with an [`AuthError`] for the others.
///
/// The rules are those of the [`AuthScope`] in the request's extensions, or the strictest if there is none. Requests for
/// [`AuthScope::Open`] pass without a `Caller`.
#[derive(Clone, Debug)]
pub struct AuthLayer {
    authenticator: Arc<OfWorker>,
}

/// The service of [`AuthLayer`].
#[derive(Clone, Debug)]
pub struct AuthService<S> {
    inner: S,
    authenticator: Arc<OfWorker>,
}

/// One worker's handle: cloning a service touches no count of references that all workers share.
#[derive(Debug)]
struct OfWorker(Arc<Authenticator>);

pin_project! {
    /// The future of [`AuthService`].
    pub struct AuthFuture<T> {
        #[pin]
        state: State<T>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<T> {
        Refused { error: AuthError },
        Admitted { #[pin] inner: T },
    }
}

// === impl AuthLayer ===

impl AuthLayer {
    /// A worker's layer that asks this authenticator.
    pub fn new(authenticator: Arc<Authenticator>) -> Self {
        Self { authenticator: Arc::new(OfWorker(authenticator)) }
    }
}

impl<S> Layer<S> for AuthLayer {
    type Service = AuthService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        AuthService { inner, authenticator: Arc::clone(&self.authenticator) }
    }
}

// === impl AuthService ===

impl<S, B> Service<Request<B>> for AuthService<S>
where
    S: Service<Request<B>>,
    S::Error: Into<BoxError>,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = AuthFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        // In place: a fraction of a millisecond, once for each token, like the signature of a TLS handshake.
        let scope = request.extensions().get().copied().unwrap_or_default();
        if scope != AuthScope::Open {
            match self.authenticator.0.authenticate(request.headers(), scope) {
                Ok(caller) => {
                    request.extensions_mut().insert(caller);
                }
                Err(error) => return AuthFuture { state: State::Refused { error } },
            }
        }
        AuthFuture { state: State::Admitted { inner: self.inner.call(request) } }
    }
}

// === impl AuthFuture ===

impl<T, R, E> Future for AuthFuture<T>
where
    T: Future<Output = Result<R, E>>,
    E: Into<BoxError>,
{
    type Output = Result<R, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(match self.project().state.project() {
            StateProj::Refused { error } => Err((*error).into()),
            StateProj::Admitted { inner } => ready!(inner.poll(cx)).map_err(Into::into),
        })
    }
}
