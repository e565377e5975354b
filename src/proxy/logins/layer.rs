use std::{
    mem,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    task::{Context, Poll},
};

use futures::future::{BoxFuture, Either};
use http::{Request, Response, StatusCode};
use tower::{Layer, Service};

use super::{Kind, Logins, Verdict, credential::Credential};
use crate::{
    error::BoxError,
    proxy::{credentials::CredentialError, rescue::status_of, route::Destination},
    routing::{Forward, Route},
    types::{Caller, ClusterName, ConnInfo},
    wire::{Body, header::FEDGATE_CLUSTERS},
};

/// Counts what becomes of passwords and API keys, and refuses more after too many failures. Needs to know the route, and
/// what authentication says of the caller.
#[derive(Clone, Debug)]
pub struct LoginLayer(Arc<Logins>);

/// The service of [`LoginLayer`].
#[derive(Clone, Debug)]
pub struct LoginService<S> {
    inner: S,
    logins: Arc<Logins>,
}

// === impl LoginLayer ===

impl LoginLayer {
    /// A layer that counts here.
    pub fn new(logins: Arc<Logins>) -> Self {
        Self(logins)
    }
}

impl<S> Layer<S> for LoginLayer {
    type Service = LoginService<S>;

    fn layer(&self, inner: S) -> LoginService<S> {
        LoginService { inner, logins: Arc::clone(&self.0) }
    }
}

// === impl LoginService ===

impl<S> Service<Request<Body>> for LoginService<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = BoxError> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = Either<S::Future, BoxFuture<'static, Result<Response<Body>, BoxError>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        // Tokens, the usual credentials, end here.
        let cluster = || judge(&request).unwrap_or_else(ClusterName::local);
        let credential = Credential::of(request.headers(), cluster).filter(|_| !self.logins.rate.is_off());
        let Some(credential) = credential else { return Either::Left(self.inner.call(request)) };
        let client =
            request.extensions().get().map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |it: &ConnInfo| it.client);
        let is_judged = is_judged(&request, credential.kind);
        let logins = Arc::clone(&self.logins);
        let clone = self.inner.clone();
        let mut inner = mem::replace(&mut self.inner, clone);
        Either::Right(Box::pin(async move {
            let attempt = logins.admit(client, &credential).await?;
            let answer = inner.call(request).await;
            attempt.end(verdict(&answer, credential.kind, is_judged));
            answer
        }))
    }
}

/// The cluster that a raw path names.
fn judge(request: &Request<Body>) -> Option<ClusterName> {
    match &request.extensions().get::<Destination>()?.route {
        Ok(Route::Forward(Forward { cluster, prefix: Some(_), .. })) => Some(cluster.clone()),
        _ => None,
    }
}

/// Whether a good answer says that the credentials are good. Elsewhere nobody looks at them.
fn is_judged(request: &Request<Body>, kind: Kind) -> bool {
    let route = request.extensions().get().and_then(|it: &Destination| it.route.as_ref().ok());
    match (kind, route) {
        (Kind::Password, Some(Route::Forward(Forward { target, .. }))) => {
            let path = target.split('?').next().unwrap_or_default();
            matches!(path, "/auth" | "/auth/test")
        }
        // GraphQL may be answered from what is known.
        (Kind::ApiKey, Some(Route::Forward(_) | Route::List(_) | Route::Federation(_))) => {
            matches!(request.extensions().get(), Some(Caller::ApiKey))
        }
        _ => false,
    }
}

fn verdict(answer: &Result<Response<Body>, BoxError>, kind: Kind, is_judged: bool) -> Verdict {
    let status = match answer {
        Ok(response) if kind == Kind::ApiKey && says_refused(response) => StatusCode::UNAUTHORIZED,
        Ok(response) => response.status(),
        // The key is one of another cluster than the one that was asked.
        Err(error) if matches!(error.downcast_ref(), Some(CredentialError::ApiKeyElsewhere)) => {
            return Verdict::Unjudged;
        }
        Err(error) => status_of(&**error),
    };
    if status == StatusCode::UNAUTHORIZED {
        Verdict::Bad
    } else if status.is_success() && is_judged {
        Verdict::Good
    } else {
        Verdict::Unjudged
    }
}

/// Whether the cluster of a key has refused it in an answer that is put together from several.
fn says_refused(response: &Response<Body>) -> bool {
    let members = response.headers().get(FEDGATE_CLUSTERS).map_or(&b""[..], |value| value.as_bytes());
    members.starts_with(b"\"local-cluster\";error=unauthorized")
}
