use std::{
    mem,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures::future::{BoxFuture, Either};
use http::{Request, Response, StatusCode};
use tower::{Layer, Service};

use super::{Kind, Logins, Verdict, credential::Credential};
use crate::{
    error::BoxError,
    proxy::{credentials::CredentialError, rescue::status_of, route::Destination},
    routing::{BodyRule, Forward, Route},
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

/// What a good answer says about the credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Proof {
    /// They are good.
    Good,
    /// Nothing; a refusal counts all the same.
    Nothing,
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
        let counted = credential.and_then(|it| proof(&request, it.kind).map(|proof| (it, proof)));
        let Some((credential, proof)) = counted else { return Either::Left(self.inner.call(request)) };
        let info = request.extensions().get::<ConnInfo>();
        let client = info.map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |info| info.client);
        let logins = Arc::clone(&self.logins);
        let clone = self.inner.clone();
        let mut inner = mem::replace(&mut self.inner, clone);
        Either::Right(Box::pin(async move {
            let attempt = logins.admit(client, &credential).await?;
            let mut answer = std::pin::pin!(inner.call(request));
            let Ok(answer) = tokio::time::timeout(PATIENCE, &mut answer).await else {
                drop(attempt);
                return answer.await;
            };
            attempt.end(verdict(&answer, credential.kind, proof));
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

/// What a good answer says about the credentials; `None` where nobody looks at them.
fn proof(request: &Request<Body>, kind: Kind) -> Option<Proof> {
    let route = request.extensions().get::<Destination>()?.route.as_ref().ok()?;
    match (kind, route) {
        (Kind::Password, Route::Forward(Forward { target, .. })) => {
            let path = target.split('?').next().unwrap_or_default();
            matches!(path, "/auth" | "/auth/test").then_some(Proof::Good)
        }
        // It may come from what is known.
        (Kind::ApiKey, Route::GraphQl | Route::Forward(Forward { body: BodyRule::GraphQl, .. })) => {
            Some(Proof::Nothing)
        }
        (Kind::ApiKey, Route::Forward(_) | Route::List(_) | Route::Federation(_)) => {
            matches!(request.extensions().get(), Some(Caller::ApiKey)).then_some(Proof::Good)
        }
        _ => None,
    }
}

fn verdict(answer: &Result<Response<Body>, BoxError>, kind: Kind, proof: Proof) -> Verdict {
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
    } else if status.is_success() && proof == Proof::Good {
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

/// How long an attempt may hold back others that wait for its place. Clusters answer sooner; who sends a body slowly has
/// used it up.
const PATIENCE: Duration = Duration::from_secs(20);
