//! `POST /graphql`: the request as the engine takes it, with the credentials that each cluster may see.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Request, Response};

use super::{
    Gateway, body,
    credentials::Exchanged,
    forward::{self, Target},
    stall,
};
use crate::{
    error::BoxError,
    fanout::Member,
    graphql::{Answered, BODY_BYTES, Call, Clusters},
    telemetry::AccessInfo,
    types::{Caller, ClusterName, Snapshot},
    upstream::Manager,
    wire::{Body, header as names},
};

/// All clusters, the remote ones with a token in place of an API key.
struct WithToken<'a> {
    upstream: &'a Manager,
    token: HeaderValue,
}

// === impl Gateway ===

impl Gateway {
    pub(super) async fn graphql(
        &self,
        request: Request<Body>,
        clusters: &Snapshot,
        caller: &Caller,
        info: &mut AccessInfo,
    ) -> Result<Response<Body>, BoxError> {
        let (parts, incoming) = request.into_parts();
        let (body, _held) = body::read(incoming, BODY_BYTES, &self.bodies).await?;
        let path_and_query = parts.uri.path_and_query().map_or("/graphql", |target| target.as_str());
        let head = forward::request(
            &parts,
            &Target { path_and_query, edited: true },
            &self.settings.trusted_proxies,
        )?;
        let exchanged = self.exchanged(caller, &parts.headers).await;
        let (caller, upstream): (&Caller, &dyn Clusters) = match &exchanged {
            Some((user, upstream)) => (user, upstream),
            None => (caller, &self.upstream),
        };
        let call = Call { head: &head, body, caller, clusters: upstream, snapshot: clusters };
        let Answered { mut response, cluster } = self.graphql.handle(call).await?;
        info.cluster = cluster;
        if !clusters.is_whole() {
            names::tell_incomplete(response.headers_mut());
        }
        let (parts, body) = response.into_parts();
        Ok(Response::from_parts(parts, stall::guard(body).await?))
    }

    /// The user of an API key and what remote clusters are shown in its place. Without either, the local cluster says what
    /// it thinks of the key, and the others are left out.
    async fn exchanged(&self, caller: &Caller, headers: &HeaderMap) -> Option<(Caller, WithToken<'_>)> {
        if !matches!(caller, Caller::ApiKey) {
            return None;
        }
        let user = self.user_of_key(headers).await.ok()??;
        let token = self.token_for(&user).ok()??;
        Some((Caller::Token(user), WithToken { upstream: &self.upstream, token }))
    }
}

// === impl WithToken ===

impl Clusters for WithToken<'_> {
    fn get(&self, name: &ClusterName) -> Option<Arc<dyn Member>> {
        let client = self.upstream.cluster(name.as_str())?;
        if name.is_local() {
            return Some(client);
        }
        Some(Arc::new(Exchanged { client, authorization: self.token.clone() }))
    }
}
