//! One cluster answers: what it gets, and what the client gets back.

use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body::Body as _;

use super::{
    Gateway, OutageSessions, body, change,
    credentials::CredentialError,
    slow_client::SlowClientBody,
    upstream_head::{self, Target},
};
use crate::{
    error::BoxError,
    graphql,
    rewrite::{Brackets, Rewriter},
    routing::{BodyRule, Forward},
    telemetry::AccessInfo,
    types::{Caller, ClusterName, Snapshot},
    wire::{Body, TransformBody},
};

// === impl Gateway ===

impl Gateway {
    /// A request for one cluster.
    pub(super) async fn forward(
        &self,
        request: Request<Body>,
        clusters: &Snapshot,
        route: Forward,
        caller: &Caller,
        info: &mut AccessInfo,
    ) -> Result<Response<Body>, BoxError> {
        info.cluster = Some(route.cluster.clone());
        let (parts, incoming) = request.into_parts();
        let is_graphql = route.body == BodyRule::GraphQl;
        let most = if is_graphql { graphql::BODY_BYTES } else { usize::MAX };
        let limit = self.settings().limits.request_body_bytes.min(most);
        let (bytes, _held) = body::read(incoming, limit, &self.resources.bodies).await?;
        if is_graphql {
            info.change = change::of_graphql(&bytes);
            graphql::inspect(&bytes)?;
        }
        let (bytes, cluster) = body::apply(&route.body, bytes, route.cluster.clone())?;
        let client = self.client(clusters, &cluster)?;
        info.cluster = Some(cluster.clone());
        let own_rules = route.prefix.is_none() && !cluster.is_local();
        let target = Target { path_and_query: &route.target, edited: route.qualify.is_some() };
        let outgoing = upstream_head::build(&parts, &target, &self.settings().trusted_proxies)?;
        let (mut outgoing, ()) = outgoing.into_parts();
        if own_rules && matches!(caller, Caller::ApiKey) {
            let token = self.token_for_key(&parts.headers).await?;
            let token = token.ok_or(CredentialError::ApiKeyElsewhere)?;
            outgoing.headers.insert(header::AUTHORIZATION, token);
        }
        let sent = client.send(Request::from_parts(outgoing, bytes.clone())).await;
        let response = match (sent, &self.resources.outage_sessions) {
            (Ok(response), outage) => {
                outage.iter().filter(|_| cluster.is_local()).for_each(OutageSessions::over);
                response
            }
            (Err(error), Some(outage)) => {
                return outage.answer(&route, &parts, &bytes, &error).ok_or_else(|| error.into());
            }
            (Err(error), None) => return Err(error.into()),
        };
        if own_rules && response.status() == StatusCode::UNAUTHORIZED && !matches!(caller, Caller::Anonymous)
        {
            let minted = matches!(caller, Caller::ApiKey);
            return Err(CredentialError::TokenRefused { cluster, minted }.into());
        }
        answer(response, &route, &cluster).await
    }
}

/// A cluster's answer as the client gets it.
///
/// A short one is read to its end first, so that a slow client holds no connection to a cluster; a long one streams,
/// and is dropped when the client reads nothing of it for too long.
async fn answer(
    mut response: Response<Body>,
    route: &Forward,
    cluster: &ClusterName,
) -> Result<Response<Body>, BoxError> {
    if let Some(prefix) = &route.prefix {
        restore_prefix(response.headers_mut(), prefix);
    }
    if let (Some(shape), false) = (route.qualify, cluster.is_local())
        && is_editable(&response)
    {
        response.headers_mut().remove(header::CONTENT_LENGTH);
        let rewriter = Rewriter::new(shape, None, Some(cluster), Brackets::Keep);
        response = response.map(|body| Body::boxed(TransformBody::new(body, rewriter)));
    }
    let (parts, body) = response.into_parts();
    Ok(Response::from_parts(parts, SlowClientBody::wrap(body).await?))
}

fn is_editable(response: &Response<Body>) -> bool {
    let headers = response.headers();
    response.status().is_success()
        && response.status() != StatusCode::NO_CONTENT
        && !headers.contains_key(header::CONTENT_ENCODING)
        && headers.get(header::CONTENT_TYPE).is_some_and(|t| t.as_bytes().starts_with(b"application/json"))
        && !response.body().is_end_stream()
}

/// `Location: /api/…` of a cluster behind a prefix is `/c/alpha/api/…` here.
fn restore_prefix(headers: &mut HeaderMap, prefix: &str) {
    let Some(location) = headers.get(header::LOCATION).and_then(|v| v.to_str().ok()) else { return };
    let restored = if location.starts_with('/') && !location.starts_with("//") {
        format!("{prefix}{location}")
    } else {
        return;
    };
    if let Ok(value) = HeaderValue::try_from(restored) {
        headers.insert(header::LOCATION, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_get_the_prefix_back() {
        let mut headers = HeaderMap::new();
        headers.insert(header::LOCATION, HeaderValue::from_static("/api/core/v2/apikeys/1"));
        restore_prefix(&mut headers, "/c/alpha");
        assert_eq!(headers[header::LOCATION], "/c/alpha/api/core/v2/apikeys/1");
        headers.insert(header::LOCATION, HeaderValue::from_static("https://elsewhere/x"));
        restore_prefix(&mut headers, "/c/alpha");
        assert_eq!(headers[header::LOCATION], "https://elsewhere/x");
    }
}
