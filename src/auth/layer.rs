use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::{Request, Uri};
use pin_project_lite::pin_project;
use tower::{Layer, Service};

use super::{AuthError, Authenticator, Scope};
use crate::error::BoxError;

/// Authenticates requests: leaves a [`Caller`](crate::types::Caller) in the extensions of those it lets
/// through, and fails with an [`AuthError`] for the others.
///
/// `scope_of` names the rules of a path; `None` is a path that needs no authentication, whose requests pass
/// without a `Caller`.
#[derive(Clone, Debug)]
pub struct AuthLayer<F> {
    authenticator: Arc<Authenticator>,
    scope_of: F,
}

/// The service of [`AuthLayer`].
#[derive(Clone, Debug)]
pub struct AuthService<S, F> {
    inner: S,
    authenticator: Arc<Authenticator>,
    scope_of: F,
}

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

impl<F: Fn(&Uri) -> Option<Scope>> AuthLayer<F> {
    /// A layer with these rules.
    pub fn new(authenticator: Arc<Authenticator>, scope_of: F) -> Self {
        Self { authenticator, scope_of }
    }
}

impl<S, F: Clone> Layer<S> for AuthLayer<F> {
    type Service = AuthService<S, F>;

    fn layer(&self, inner: S) -> Self::Service {
        AuthService { inner, authenticator: Arc::clone(&self.authenticator), scope_of: self.scope_of.clone() }
    }
}

// === impl AuthService ===

impl<S, F, B> Service<Request<B>> for AuthService<S, F>
where
    S: Service<Request<B>>,
    S::Error: Into<BoxError>,
    F: Fn(&Uri) -> Option<Scope>,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = AuthFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        // In place: a fraction of a millisecond, once for each token, like the signature of a TLS handshake.
        if let Some(scope) = (self.scope_of)(request.uri()) {
            match self.authenticator.authenticate(request.headers(), scope) {
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
