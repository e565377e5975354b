//! Browsers on other origins (the CORS protocol of the Fetch standard). A preflight succeeds only where origin, method and
//! headers are allowed, and else says which of them is not.

use std::{
    convert::Infallible,
    net::Ipv6Addr,
    sync::Arc,
    task::{Context, Poll},
};

use futures::future::{BoxFuture, ready};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use tower::{Layer, Service};

use crate::{
    error::Reply,
    types::Backend,
    wire::{self, Body},
};

/// Answers preflights, and lets scripts of the allowed origins read answers.
#[derive(Clone, Debug)]
pub struct CorsLayer {
    origins: Arc<[HeaderValue]>,
}

/// The service of [`CorsLayer`].
#[derive(Clone, Debug)]
pub struct CorsService<S> {
    inner: S,
    origins: Arc<[HeaderValue]>,
}

/// What a preflight asks for that is not allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum Denied {
    /// Not one of `cors.allowed-origins`.
    #[error("this origin is not in cors.allowed-origins")]
    Origin,
    /// No method of the API.
    #[error("this method is not allowed from another origin")]
    Method,
    /// No header that the gateway or a cluster knows.
    #[error("one of these headers is not allowed from another origin")]
    Header,
}

// === impl CorsLayer ===

impl CorsLayer {
    /// For these origins; `None` without any: then CORS is off, and browsers keep answers from other origins' scripts.
    pub fn new(origins: &[String]) -> Option<Self> {
        let origins: Arc<[HeaderValue]> = origins.iter().filter_map(|origin| serialized(origin)).collect();
        (!origins.is_empty()).then_some(Self { origins })
    }
}

impl<S> Layer<S> for CorsLayer {
    type Service = CorsService<S>;

    fn layer(&self, inner: S) -> CorsService<S> {
        CorsService { inner, origins: Arc::clone(&self.origins) }
    }
}

// === impl CorsService ===

impl<S, B> Service<Request<B>> for CorsService<S>
where
    S: Service<Request<B>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let origin = request.headers().get(header::ORIGIN);
        let allowed = origin.filter(|origin| self.origins.contains(origin)).cloned();
        if is_preflight(request.method(), request.headers()) {
            return Box::pin(ready(Ok(preflight(allowed, request.headers()))));
        }
        let answer = self.inner.call(request);
        Box::pin(async move {
            let mut response = answer.await?;
            let headers = response.headers_mut();
            // The gateway's origins count, not those of the cluster behind it.
            for name in [
                header::ACCESS_CONTROL_ALLOW_ORIGIN,
                header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
                header::ACCESS_CONTROL_EXPOSE_HEADERS,
            ] {
                headers.remove(name);
            }
            // Also where the origin is none of ours, or there is none: a cache may have to answer one that is.
            headers.append(header::VARY, HeaderValue::from_static("origin"));
            if let Some(origin) = allowed {
                headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
                headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
            }
            Ok(response)
        })
    }
}

/// An origin as browsers write it: small letters, and no port that goes without saying.
fn serialized(origin: &str) -> Option<HeaderValue> {
    let Backend { tls, host, port } = origin.parse().ok()?;
    let (scheme, usual) = if tls { ("https", 443) } else { ("http", 80) };
    let host = match host.parse::<Ipv6Addr>() {
        Ok(address) => format!("[{address}]"),
        Err(_) => host.to_ascii_lowercase(),
    };
    let port = if port == usual { String::new() } else { format!(":{port}") };
    HeaderValue::try_from(format!("{scheme}://{host}{port}")).ok()
}

/// Other requests with `OPTIONS` are none of a browser's.
fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    *method == Method::OPTIONS
        && headers.contains_key(header::ORIGIN)
        && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

fn preflight(allowed: Option<HeaderValue>, headers: &HeaderMap) -> Response<Body> {
    let mut response = match judge(allowed, headers) {
        Ok(origin) => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::NO_CONTENT;
            for (name, value) in [
                (header::ACCESS_CONTROL_ALLOW_ORIGIN, origin),
                (header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(METHODS)),
                (header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(HEADERS)),
                (header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(MAX_AGE)),
            ] {
                response.headers_mut().insert(name, value);
            }
            response
        }
        Err(denied) => wire::reply(&Reply::router(StatusCode::FORBIDDEN, 4, denied.to_string())),
    };
    let vary = "origin, access-control-request-method, access-control-request-headers";
    response.headers_mut().insert(header::VARY, HeaderValue::from_static(vary));
    response
}

/// Compares what a preflight asks for with what is allowed. Methods are case-sensitive, header names are not.
fn judge(allowed: Option<HeaderValue>, headers: &HeaderMap) -> Result<HeaderValue, Denied> {
    let origin = allowed.ok_or(Denied::Origin)?;
    let method = headers.get(header::ACCESS_CONTROL_REQUEST_METHOD).map_or(&b""[..], HeaderValue::as_bytes);
    if !METHODS.split(", ").any(|known| known.as_bytes() == method) {
        return Err(Denied::Method);
    }
    let asked = headers.get_all(header::ACCESS_CONTROL_REQUEST_HEADERS).iter();
    let mut asked =
        asked.flat_map(|line| line.as_bytes().split(|&byte| byte == b',')).map(<[u8]>::trim_ascii);
    let is_known = |name: &[u8]| {
        name.is_empty() || HEADERS.split(", ").any(|known| known.as_bytes().eq_ignore_ascii_case(name))
    };
    if asked.all(is_known) { Ok(origin) } else { Err(Denied::Header) }
}

/// The methods of the API.
const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE";

/// What clients of the API send, and what correlates their requests.
const HEADERS: &str = "accept, accept-language, authorization, content-language, content-type, fedgate-partial, if-match, \
                       if-none-match, traceparent, tracestate, x-request-id";

/// What scripts may read of an answer beside what they always may.
const EXPOSED: &str =
    "etag, fedgate-clusters, fedgate-complete, location, retry-after, sensu-continue, x-request-id";

/// How long a browser may remember a preflight, in seconds: so long may a change of the origins take.
const MAX_AGE: &str = "600";

#[cfg(test)]
mod tests;
