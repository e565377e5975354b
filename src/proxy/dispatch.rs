use std::{
    sync::Arc,
    task::{Context, Poll},
};

use arc_swap::ArcSwap;
use futures::future::BoxFuture;
use http::{Method, Request, Response, StatusCode, header, request::Parts};
use tower::Service;

use super::{
    Federation, Readiness, Settings, body,
    credentials::CredentialError,
    forward::{self, Target},
    stall,
};
use crate::{
    api,
    authz::KeyExchange,
    error::BoxError,
    fanout::{self, Query},
    graphql, member,
    routing::{BodyRule, Endpoint, Forward, List, Route, RouteError, route},
    telemetry::{AccessInfo, AccessNote},
    types::{Caller, ClusterName, Snapshot},
    upstream::Manager,
    webui::WebUi,
    wire::{self, Body, Budget, header as names},
};

/// What answers requests on one worker.
pub struct Gateway {
    /// What it obeys.
    pub settings: Arc<Settings>,
    /// The set of clusters that `upstream` has applied last.
    pub clusters: Arc<ArcSwap<Snapshot>>,
    /// This worker's connections.
    pub upstream: Manager,
    /// What all fan-outs share.
    pub fan_outs: Arc<fanout::Shared>,
    /// What all request bodies share.
    pub bodies: Arc<Budget>,
    /// Answers GraphQL; its caches are shared by all workers.
    pub graphql: graphql::Engine,
    /// Answers `/readyz`.
    pub readiness: Readiness,
    /// Answers `federation/v1`.
    pub federation: Federation,
    /// Exchanges API keys, when there is a private key.
    pub exchange: Option<KeyExchange>,
    /// Answers everything outside the API.
    pub web: WebUi,
}

/// The innermost service: routes a request and has it answered. Layers and requests share one gateway: cloning its parts
/// for each request would touch counters that all workers share.
#[derive(Clone)]
pub(super) struct Dispatch(Arc<Gateway>);

// === impl Gateway ===

impl Gateway {
    async fn dispatch(&self, mut request: Request<Body>) -> Result<Response<Body>, BoxError> {
        let caller = request.extensions_mut().remove().unwrap_or(Caller::Anonymous);
        let note: AccessNote = request.extensions_mut().remove().unwrap_or_default();
        let mut info = AccessInfo { subject: subject(&caller), ..AccessInfo::default() };
        let answer = self.answer(request, &caller, &mut info).await;
        note.write(info);
        answer
    }

    async fn answer(
        &self,
        request: Request<Body>,
        caller: &Caller,
        info: &mut AccessInfo,
    ) -> Result<Response<Body>, BoxError> {
        let clusters = self.clusters.load_full();
        let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
        match route(request.method(), target, &clusters, self.settings.fan_out.default_scope)? {
            Route::Gateway(Endpoint::Federation) => {
                info.route = "federation";
                self.federation(request, caller).await
            }
            Route::Gateway(endpoint) => {
                info.route = "gateway";
                Ok(self.endpoint(endpoint, request.method()))
            }
            Route::Forward(forward) => {
                info.route = if forward.prefix.is_some() { "raw" } else { "forward" };
                self.forward(request, &clusters, forward, caller, info).await
            }
            Route::List(list) => {
                info.route = "list";
                self.list(request, &clusters, list, caller, info).await
            }
            Route::GraphQl if *request.method() == Method::POST => {
                info.route = "graphql";
                self.graphql(request, &clusters, caller, info).await
            }
            Route::GraphQl => {
                info.route = "graphql";
                let forward = Forward {
                    cluster: ClusterName::local(),
                    target: target.to_owned(),
                    prefix: None,
                    body: BodyRule::GraphQl,
                    qualify: None,
                };
                self.forward(request, &clusters, forward, caller, info).await
            }
            Route::Web => {
                info.route = "web";
                self.page(&request.into_parts().0).await
            }
        }
    }

    fn endpoint(&self, endpoint: Endpoint, method: &Method) -> Response<Body> {
        if !matches!(*method, Method::GET | Method::HEAD) {
            let mut response = wire::text(StatusCode::METHOD_NOT_ALLOWED, "");
            response.headers_mut().insert(header::ALLOW, http::HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        match self.readiness.check() {
            Err(reason) if endpoint == Endpoint::Ready => wire::text(StatusCode::SERVICE_UNAVAILABLE, reason),
            _ => wire::text(StatusCode::OK, "ok\n"),
        }
    }

    async fn federation(&self, request: Request<Body>, caller: &Caller) -> Result<Response<Body>, BoxError> {
        let (parts, incoming) = request.into_parts();
        let path = parts.uri.path().strip_prefix(FEDERATION_V1).unwrap_or_default().to_owned();
        let query = parts.uri.query().map(ToOwned::to_owned);
        let Parts { method, headers, .. } = parts;
        let caller = self.identify(caller, &headers).await?;
        self.federation.may_ask(&method, &path, &caller)?;
        let (bytes, _held) = body::read(incoming, api::MAX_BODY, &self.bodies).await?;
        Ok(self.federation.answer(method, path, query, headers, bytes, caller).await?)
    }

    async fn page(&self, request: &Parts) -> Result<Response<Body>, BoxError> {
        let target = request.uri.path_and_query().map_or("/", |target| target.as_str());
        let answer = self.web.answer(&request.method, target, &request.headers).await?;
        let (parts, body) = answer.ok_or(RouteError::NotFound)?.into_parts();
        Ok(Response::from_parts(parts, stall::guard(body).await?))
    }

    async fn forward(
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
        let limit = self.settings.limits.request_body_bytes.min(most);
        let (bytes, _held) = body::read(incoming, limit, &self.bodies).await?;
        if is_graphql {
            graphql::inspect(&bytes)?;
        }
        let (bytes, cluster) = body::apply(&route.body, bytes, route.cluster.clone(), clusters)?;
        info.cluster = Some(cluster.clone());
        let own_rules = route.prefix.is_none() && !cluster.is_local();
        let client = self
            .upstream
            .cluster(cluster.as_str())
            .ok_or_else(|| RouteError::unknown(clusters, cluster.as_str()))?;
        let target = Target { path_and_query: &route.target, edited: route.qualify.is_some() };
        let outgoing = forward::request(&parts, &target, &self.settings.trusted_proxies)?;
        let (mut outgoing, ()) = outgoing.into_parts();
        if own_rules && matches!(caller, Caller::ApiKey) {
            let token = self.token_for_key(&parts.headers).await?;
            let token = token.ok_or(CredentialError::ApiKeyElsewhere)?;
            outgoing.headers.insert(header::AUTHORIZATION, token);
        }
        let response = client.send(Request::from_parts(outgoing, bytes)).await?;
        if own_rules && response.status() == StatusCode::UNAUTHORIZED && !matches!(caller, Caller::Anonymous)
        {
            return Err(CredentialError::TokenRefused { cluster }.into());
        }
        forward::response(response, &route, &cluster).await
    }

    async fn list(
        &self,
        request: Request<Body>,
        clusters: &Snapshot,
        route: List,
        caller: &Caller,
        info: &mut AccessInfo,
    ) -> Result<Response<Body>, BoxError> {
        if route.members.len() > self.settings.fan_out.max_members {
            return Err(RouteError::Clusters.into());
        }
        if let [only] = route.members.as_slice() {
            info.cluster = Some(only.clone());
        }
        let target = Target { path_and_query: &route.target, edited: true };
        let (parts, _) = request.into_parts();
        let outgoing = forward::request(&parts, &target, &self.settings.trusted_proxies)?;
        let api_key = matches!(caller, Caller::ApiKey);
        let token = if api_key { self.token_for_list(&route.members, &parts.headers).await? } else { None };
        let strict = route.strict
            || parts.headers.get(names::FEDGATE_PARTIAL).is_some_and(|v| v.as_bytes() == b"deny");
        let unknown = route.everywhere && !clusters.is_loaded();
        if unknown && strict {
            return Err(RouteError::RegistryUnread.into());
        }
        let query = Query {
            members: self.candidates(&route.members, api_key, token.as_ref()),
            request: outgoing,
            shape: body::shape(route.kind),
            strict,
            api_key,
        };
        let mut response = fanout::fan_out(&self.settings.fan_out, &self.fan_outs, query).await?;
        if unknown {
            member::mark_incomplete(response.headers_mut());
        }
        Ok(response)
    }
}

// === impl Dispatch ===

impl Dispatch {
    pub(super) fn new(gateway: Gateway) -> Self {
        Self(Arc::new(gateway))
    }
}

impl Service<Request<Body>> for Dispatch {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Response<Body>, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let gateway = Arc::clone(&self.0);
        Box::pin(async move { gateway.dispatch(request).await })
    }
}

fn subject(caller: &Caller) -> Option<String> {
    match caller {
        Caller::Token(principal) => Some(principal.subject.clone()),
        Caller::Anonymous | Caller::ApiKey => None,
    }
}

/// Where the gateway's own resources live.
const FEDERATION_V1: &str = "/api/enterprise/federation/v1/";
