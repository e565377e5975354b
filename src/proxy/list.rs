use http::{HeaderMap, Request, Response};

use super::{
    Gateway,
    upstream_head::{self, Target},
};
use crate::{
    error::BoxError,
    fanout::{self, Query},
    member,
    routing::{List, RouteError},
    telemetry::AccessInfo,
    types::{Caller, Snapshot},
    wire::{Body, header as names},
};

// === impl Gateway ===

impl Gateway {
    /// A list of one or more clusters, merged.
    pub(super) async fn list(
        &self,
        request: Request<Body>,
        clusters: &Snapshot,
        route: List,
        caller: &Caller,
        info: &mut AccessInfo,
    ) -> Result<Response<Body>, BoxError> {
        let settings = self.settings();
        let (asked, most) = (route.members.len(), settings.fan_out.max_members);
        if asked > most {
            return Err(RouteError::TooManyClusters { asked, most }.into());
        }
        if let [only] = route.members.as_slice() {
            info.cluster = Some(only.clone());
        }
        let target = Target { path_and_query: &route.target, edited: true };
        let (parts, _) = request.into_parts();
        let outgoing = upstream_head::build(&parts, &target, &settings.trusted_proxies)?;
        let api_key = matches!(caller, Caller::ApiKey);
        let token = if api_key { self.token_for_list(&route.members, &parts.headers).await? } else { None };
        let strict = route.strict || denies_partial(&parts.headers);
        let may_lack_clusters = route.everywhere && !clusters.is_loaded();
        if may_lack_clusters && strict {
            return Err(RouteError::RegistryUnread.into());
        }
        let query = Query {
            members: self.candidates(&route.members, api_key, token.as_ref()),
            request: outgoing,
            shape: route.shape,
            strict,
            api_key,
        };
        let mut response = fanout::fan_out(&settings.fan_out, &self.resources.fan_outs, query).await?;
        if may_lack_clusters {
            member::mark_incomplete(response.headers_mut());
        }
        Ok(response)
    }
}

/// Whether any failed member is to fail the request.
fn denies_partial(headers: &HeaderMap) -> bool {
    headers.get(names::FEDGATE_PARTIAL).is_some_and(|value| value.as_bytes() == b"deny")
}
