//! `POST /graphql`: the request as the engine takes it, with the credentials that each cluster may see.

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, HeaderValue, Request, Response};
use tokio::time::Instant;

use super::{
    Gateway, body, change,
    credentials::Exchanged,
    slow_client::SlowClientBody,
    upstream_head::{self, Target},
};
use crate::{
    error::{BoxError, Classify, ErrorKind},
    graphql::{Answered, BODY_BYTES, Call, GraphQlError},
    member::{self, Member, Members},
    telemetry::AccessInfo,
    types::{Caller, ClusterName, Snapshot},
    upstream::Manager,
    wire::Body,
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
        let begun = Instant::now();
        let answer = self.answer_graphql(request, clusters, caller, info).await;
        // Nothing is held meanwhile: the request and its share of memory are gone.
        if is_failure(&answer) {
            tokio::time::sleep_until(begun + FAILURE_AFTER).await;
        }
        answer
    }

    async fn answer_graphql(
        &self,
        request: Request<Body>,
        clusters: &Snapshot,
        caller: &Caller,
        info: &mut AccessInfo,
    ) -> Result<Response<Body>, BoxError> {
        let (parts, incoming) = request.into_parts();
        let (body, _held) = body::read(incoming, BODY_BYTES, &self.resources.bodies).await?;
        info.change = change::of_graphql(&body);
        // The path as routing has read it: a client may have written its slash twice.
        let target = parts.uri.query().map_or_else(|| PATH.to_owned(), |query| format!("{PATH}?{query}"));
        let head = upstream_head::build(
            &parts,
            &Target { path_and_query: &target, edited: true },
            &self.settings().trusted_proxies,
        )?;
        let exchanged = self.exchanged(caller, &parts.headers).await;
        let (caller, upstream): (&Caller, &dyn Members) = match &exchanged {
            Some((user, upstream)) => (user, upstream),
            None => (caller, &self.upstream),
        };
        if let Caller::Token(user) = caller {
            info.subject = Some(user.subject.clone());
        }
        let call = Call { head: &head, body, caller, clusters: upstream, snapshot: clusters };
        let answer = self.resources.graphql.handle(call).await;
        if let Err(GraphQlError::Cluster { cluster, .. }) = &answer {
            info.cluster = Some(cluster.clone());
        }
        let Answered { mut response, mut asked } = answer?;
        if asked.len() == 1 {
            info.cluster = asked.pop();
        } else if let Some(change) = &mut info.change {
            change.clusters = asked;
        }
        if !clusters.is_loaded() {
            member::mark_incomplete(response.headers_mut());
        }
        let (parts, body) = response.into_parts();
        Ok(Response::from_parts(parts, SlowClientBody::wrap(body).await?))
    }

    /// The user of an API key and what remote clusters are shown in its place. Without either, the local cluster
    /// judges the key, and the others are left out.
    async fn exchanged(&self, caller: &Caller, headers: &HeaderMap) -> Option<(Caller, WithToken<'_>)> {
        if !matches!(caller, Caller::ApiKey) {
            return None;
        }
        let user = self.user_of_key(headers).await.ok()??;
        let token = self.token_for(&user).ok()??;
        Some((Caller::Token(user), WithToken { upstream: &self.upstream, token }))
    }
}

/// Whether an unhealthy cluster is why there is no answer.
fn is_failure(answer: &Result<Response<Body>, BoxError>) -> bool {
    match answer {
        Ok(response) => response.status().is_server_error(),
        Err(error) => {
            error.downcast_ref::<GraphQlError>().is_some_and(|error| error.kind() == ErrorKind::Upstream)
        }
    }
}

// === impl WithToken ===

impl Members for WithToken<'_> {
    fn get(&self, name: &ClusterName) -> Option<Arc<dyn Member>> {
        let client = self.upstream.cluster(name.as_str())?;
        if name.is_local() {
            return Some(client);
        }
        Some(Arc::new(Exchanged { client, authorization: self.token.clone() }))
    }
}

/// Where it is served, here and by every cluster.
const PATH: &str = "/graphql";

/// How long after its request a failure of a cluster is answered, at the earliest.
///
/// Sensu's web UI sends the query for a page's route and the one for the page side by side. A failed page query puts up
/// the UI's offline banner, with the button that tries again; any good answer takes it down, and the UI does not retry by
/// itself. The route is answered at once from the cache, even when its cluster is unhealthy. If a page that fails at
/// once, because its cluster is marked as down, overtakes its route, the user is left with an empty page and no button. So a
/// failure waits until what was sent beside it has been answered, a new TCP and TLS connection over a slow line included.
const FAILURE_AFTER: Duration = Duration::from_millis(300);
