//! What a caller shows to which cluster.
//!
//! Every cluster trusts the same tokens, so a token goes everywhere as it is. An API key belongs to one cluster: the
//! local one, unless a raw path says otherwise, and no other cluster sees it. Where the gateway can exchange it, the others
//! get a token of the key's user.

use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};

use super::Gateway;
use crate::{
    authz::ExchangeError,
    error::{BoxError, Classify, ErrorKind, Reply},
    member::{Candidate, Member},
    types::{Caller, ClusterName, FailureClass, Principal},
    upstream::ClusterClient,
    wire::Body,
};

/// Credentials that are good, but not for the cluster that was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum CredentialError {
    /// An API key belongs to the cluster that issued it, and is not shown to another.
    #[error(
        "an API key works in the cluster that issued it: use one of that cluster under /c/<cluster>/, or a token"
    )]
    ApiKeyElsewhere,
    /// A cluster refused a token that the gateway has verified, usually because its key pair is another one. As the only
    /// cluster asked it decides: 401 in Sensu's words, after which clients renew their token.
    #[error("cluster \"{cluster}\" refused the token: are its jwt key files those of the local cluster?")]
    TokenRefused {
        /// The cluster.
        cluster: ClusterName,
        /// The gateway has made the token for an API key. The key itself is good, so it is no 401.
        minted: bool,
    },
}

/// A remote cluster that is asked with a token of an API key's user.
pub(super) struct Exchanged {
    pub(super) client: Arc<ClusterClient>,
    pub(super) authorization: HeaderValue,
}

// === impl CredentialError ===

impl Classify for CredentialError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::ApiKeyElsewhere => ErrorKind::Client,
            Self::TokenRefused { .. } => ErrorKind::Upstream,
        }
    }

    fn reply(&self) -> Reply {
        match self {
            Self::ApiKeyElsewhere => Reply::middleware(StatusCode::UNAUTHORIZED, 5, self.to_string()),
            Self::TokenRefused { minted: true, .. } => {
                Reply::router(StatusCode::BAD_GATEWAY, 0, self.to_string())
            }
            Self::TokenRefused { minted: false, .. } => {
                Reply::middleware(StatusCode::UNAUTHORIZED, 5, "invalid credentials")
            }
        }
    }
}

// === impl Gateway ===

impl Gateway {
    /// The caller; an API key becomes its user, when it can be exchanged.
    pub(super) async fn identify(
        &self,
        caller: &Caller,
        headers: &HeaderMap,
    ) -> Result<Caller, ExchangeError> {
        match caller {
            Caller::ApiKey => {
                let user = self.user_of_key(headers).await?;
                Ok(user.map_or(Caller::ApiKey, Caller::Token))
            }
            Caller::Anonymous | Caller::Token(_) => Ok(caller.clone()),
        }
    }

    /// The `Authorization` header for remote clusters that replaces an API key; `None` when keys cannot be exchanged.
    pub(super) async fn token_for_key(
        &self,
        headers: &HeaderMap,
    ) -> Result<Option<HeaderValue>, ExchangeError> {
        match self.user_of_key(headers).await? {
            Some(user) => self.token_for(&user),
            None => Ok(None),
        }
    }

    /// The same for a user that a key was exchanged for.
    pub(super) fn token_for(&self, user: &Principal) -> Result<Option<HeaderValue>, ExchangeError> {
        self.exchange.as_ref().map(|exchange| exchange.token_for(user)).transpose()
    }

    /// The same for the remote members of a list. As long as the local cluster is one too, it judges the key, and the
    /// others are left out.
    pub(super) async fn token_for_list(
        &self,
        members: &[ClusterName],
        headers: &HeaderMap,
    ) -> Result<Option<HeaderValue>, BoxError> {
        if members.iter().all(ClusterName::is_local) {
            return Ok(None);
        }
        let only_remote = !members.iter().any(ClusterName::is_local);
        match self.token_for_key(headers).await {
            Err(error) if only_remote => Err(error.into()),
            Ok(None) if only_remote => Err(CredentialError::ApiKeyElsewhere.into()),
            token => Ok(token.ok().flatten()),
        }
    }

    /// Whom a fan-out asks, and how. `token` replaces an API key at remote clusters.
    pub(super) fn candidates(
        &self,
        members: &[ClusterName],
        api_key: bool,
        token: Option<&HeaderValue>,
    ) -> Vec<Candidate> {
        let candidate = |name: &ClusterName| match (self.upstream.cluster(name.as_str()), token) {
            _ if api_key && !name.is_local() && token.is_none() => {
                Candidate::Skip(name.clone(), FailureClass::Unauthorized)
            }
            (None, _) => Candidate::Skip(name.clone(), FailureClass::Unreachable),
            (Some(client), Some(token)) if api_key && !name.is_local() => {
                Candidate::Send(Arc::new(Exchanged { client, authorization: token.clone() }))
            }
            (Some(client), _) => Candidate::Send(client),
        };
        members.iter().map(candidate).collect()
    }

    /// The caller's user name, also for an API key of the local cluster if it can be exchanged.
    pub(super) async fn name_of(&self, caller: &Caller, headers: &HeaderMap) -> Option<String> {
        let user = match caller {
            Caller::Token(user) => Some(Arc::clone(user)),
            Caller::ApiKey => self.user_of_key(headers).await.ok()?,
            Caller::Anonymous => None,
        };
        user.map(|user| user.subject.clone())
    }

    /// Whom an API key stands for; `None` when keys cannot be exchanged.
    pub(super) async fn user_of_key(
        &self,
        headers: &HeaderMap,
    ) -> Result<Option<Arc<Principal>>, ExchangeError> {
        let Some((exchange, key)) = self.exchange.as_ref().zip(headers.get(header::AUTHORIZATION)) else {
            return Ok(None);
        };
        exchange.resolve(key).await.map(Some)
    }
}

// === impl Exchanged ===

impl Member for Exchanged {
    fn name(&self) -> &ClusterName {
        self.client.name()
    }

    fn send(&self, mut request: Request<Bytes>) -> BoxFuture<'_, Result<Response<Body>, FailureClass>> {
        request.headers_mut().insert(header::AUTHORIZATION, self.authorization.clone());
        Member::send(&*self.client, request)
    }

    fn count_missing(&self, why: FailureClass) {
        self.client.count_missing(why);
    }
}
