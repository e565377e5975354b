use http::{HeaderMap, HeaderValue, Request, Response};

use super::{
    Gateway,
    upstream_head::{self, Target},
};
use crate::{
    api::ApiError,
    error::BoxError,
    fanout::{
        self, Query,
        page::{Page, PageQuery, Position},
    },
    member,
    registry::{Registry, Secret},
    routing::{List, RouteError},
    telemetry::AccessInfo,
    types::{Caller, Snapshot},
    wire::{Body, header as names, token},
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
        let paging = Pages::of(&route);
        let (page, label) = (route.page.clone(), route.label);
        // A token is opened before any cluster is asked.
        let from = match &page.token {
            Some(token) => Some(paging.open(token, &self.secret().await?)?),
            None => None,
        };
        let list = Query {
            members: self.candidates(&route.members, api_key, token.as_ref()),
            request: outgoing,
            shape: route.shape,
            strict,
            api_key,
        };
        let mut response = if page.is_everything() {
            fanout::fan_out(&settings.fan_out, &self.resources.fan_outs, list).await?
        } else {
            let query = PageQuery { list, label, paging: route.paging, limit: page.limit, from };
            let Page { mut response, next } =
                fanout::page::page(&settings.fan_out, &self.resources.fan_outs, query).await?;
            if let Some(next) = next {
                let most = (settings.limits.head_bytes / 2).min(MAX_TOKEN);
                let token = paging.seal(&next, &self.secret().await?, most)?;
                response.headers_mut().insert(names::SENSU_CONTINUE, token);
            }
            response
        };
        if may_lack_clusters {
            member::mark_incomplete(response.headers_mut());
        }
        Ok(response)
    }

    async fn secret(&self) -> Result<Secret, ApiError> {
        Registry::wait_for_secret(&self.resources.registry).await.ok_or(ApiError::NoSecret)
    }
}

/// The tokens of one list.
struct Pages {
    /// What they are good for: the list and the clusters that were asked for, but not its `limit`.
    context: String,
}

// === impl Pages ===

impl Pages {
    fn of(route: &List) -> Self {
        Self { context: format!("list\0{}\0{}", route.selection, route.target) }
    }

    fn open(&self, token: &str, secret: &Secret) -> Result<Position, RouteError> {
        token::open(secret.as_bytes(), self.context.as_bytes(), token)
            .and_then(|position| Position::from_bytes(&position))
            .ok_or(RouteError::Continue)
    }

    /// A token of at most `most` bytes.
    fn seal(&self, position: &Position, secret: &Secret, most: usize) -> Result<HeaderValue, RouteError> {
        let token = token::seal(secret.as_bytes(), self.context.as_bytes(), &position.to_bytes());
        let token = HeaderValue::try_from(token).ok().filter(|token| token.len() <= most);
        token.ok_or(RouteError::LongToken { most })
    }
}

/// Whether any failed member is to fail the request.
fn denies_partial(headers: &HeaderMap) -> bool {
    headers.get(names::FEDGATE_PARTIAL).is_some_and(|value| value.as_bytes() == b"deny")
}

/// Longest continue token, in bytes; less where heads may not be twice as long. hyper reads targets of up to 64 KiB, and path
/// and selection need their part of it. Sensu's names have no limit, and a token holds the one that its page ends with.
const MAX_TOKEN: usize = 32 * 1024;
