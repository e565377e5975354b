use std::{
    future::{Ready, ready},
    task::{Context, Poll},
};

use futures::future::Either;
use http::{HeaderMap, Method, Request, StatusCode, Uri, Version, header, uri::Authority};
use tower::{Layer, Service};

use crate::{
    error::{BoxError, Classify, ErrorKind, Reply},
    wire::header::has_passed_a_gateway,
};

/// Refuses requests whose head could mean two things, before anything else looks at them.
#[derive(Clone, Copy, Debug)]
pub struct GuardLayer {
    max_headers: usize,
}

/// The service of [`GuardLayer`].
#[derive(Clone, Debug)]
pub struct Guard<S> {
    inner: S,
    max_headers: usize,
}

/// Why a request's head was refused. All are the client's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GuardError {
    /// No `Host`, more than one, or one that is not a host and port.
    #[error("the Host header must name one host and, if any, a port")]
    Host,
    /// More than one `Authorization`: servers disagree about which one counts.
    #[error("more than one Authorization header")]
    Authorization,
    /// A name such as `X_Forwarded_For`, which some servers take for the one with hyphens.
    #[error("a header name with underscores could be taken for another one; write it with hyphens")]
    Alias,
    /// A transfer coding other than `chunked`, which the next server might read differently (RFC 9112 §6.1).
    #[error("the only transfer coding that is supported is chunked")]
    TransferCoding,
    /// More header fields than `limits.headers`.
    #[error("too many header fields")]
    TooMany,
    /// A gateway sent it: a cluster is registered with a gateway's address. Each list would trigger itself again.
    #[error(
        "a fedgate has sent this request to a fedgate: set a cluster's api_urls to its own backends, not to a gateway"
    )]
    Loop,
}

// === impl GuardLayer ===

impl GuardLayer {
    /// `max_headers` fields at most (HTTP/1.1 heads over it are refused while they are read).
    pub fn new(max_headers: usize) -> Self {
        Self { max_headers }
    }
}

impl<S> Layer<S> for GuardLayer {
    type Service = Guard<S>;

    fn layer(&self, inner: S) -> Guard<S> {
        Guard { inner, max_headers: self.max_headers }
    }
}

// === impl Guard ===

impl<S, B> Service<Request<B>> for Guard<S>
where
    S: Service<Request<B>, Error = BoxError>,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Either<S::Future, Ready<Result<S::Response, BoxError>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let may_lack_host = is_bare_check(&request);
        match check(request.uri(), request.headers(), self.max_headers, may_lack_host) {
            Ok(()) => Either::Left(self.inner.call(request)),
            Err(error) => Either::Right(ready(Err(error.into()))),
        }
    }
}

/// Whether this is how load balancers check health: HTTP/1.0, which has no `Host`, and a path that answers everyone.
/// `OPTIONS /` is what `option httpchk` of `HAProxy` asks by default.
pub(super) fn is_bare_check<B>(request: &Request<B>) -> bool {
    request.version() == Version::HTTP_10
        && request.uri().authority().is_none()
        && !request.headers().contains_key(header::HOST)
        && match request.uri().path() {
            "/livez" | "/readyz" | "/ready" | "/health" | "/version" => true,
            "/" => *request.method() == Method::OPTIONS,
            _ => false,
        }
}

fn check(uri: &Uri, headers: &HeaderMap, max_headers: usize, may_lack_host: bool) -> Result<(), GuardError> {
    if headers.len() > max_headers {
        return Err(GuardError::TooMany);
    }
    if has_passed_a_gateway(headers) {
        return Err(GuardError::Loop);
    }
    if headers.get_all(header::AUTHORIZATION).iter().nth(1).is_some() {
        return Err(GuardError::Authorization);
    }
    let mut hosts = headers.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next(), uri.authority()) {
        (Some(host), None, None) if is_host(host.as_bytes()) => {}
        // Sensu makes a token's issuer of `Host`, so it must be what was asked for.
        (Some(host), None, Some(authority))
            if is_host(host.as_bytes())
                && host.as_bytes().eq_ignore_ascii_case(authority.as_str().as_bytes()) => {}
        // HTTP/2 has `:authority` in its place.
        (None, None, Some(authority)) if is_host(authority.as_str().as_bytes()) => {}
        (None, None, None) if may_lack_host => {}
        _ => return Err(GuardError::Host),
    }
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    if codings.next().is_some_and(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"chunked"))
        || codings.next().is_some()
    {
        return Err(GuardError::TransferCoding);
    }
    let aliases = |name: &str| name.contains('_') && is_meaningful(&name.replace('_', "-"));
    if headers.keys().any(|name| aliases(name.as_str())) { Err(GuardError::Alias) } else { Ok(()) }
}

fn is_host(value: &[u8]) -> bool {
    std::str::from_utf8(value).is_ok_and(|text| {
        !text.contains('@')
            && text.parse::<Authority>().is_ok_and(|it| !it.host().is_empty())
            && is_port(text)
    })
}

/// Whether what follows the host is nothing, or a colon and a port, which may be empty (RFC 9110 §7.2).
fn is_port(host: &str) -> bool {
    // The colons in the brackets are those of an IPv6 address.
    let after_brackets = host.rsplit_once(']').map_or(host, |(_, after)| after);
    match after_brackets.split_once(':') {
        Some((_, port)) => {
            port.is_empty()
                || (port.bytes().all(|digit| digit.is_ascii_digit()) && port.parse::<u16>().is_ok())
        }
        None => after_brackets.is_empty() || after_brackets.len() == host.len(),
    }
}

/// Names that the gateway, or what stands around it, acts upon.
fn is_meaningful(name: &str) -> bool {
    matches!(
        name,
        "authorization"
            | "connection"
            | "content-length"
            | "content-type"
            | "expect"
            | "forwarded"
            | "host"
            | "transfer-encoding"
            | "upgrade"
            | "via"
            | "x-real-ip"
            | "x-request-id"
    ) || name.starts_with("x-forwarded-")
        || name.starts_with("fedgate-")
        || name.starts_with("sensu-")
}

// === impl GuardError ===

impl Classify for GuardError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Client
    }

    fn reply(&self) -> Reply {
        let status = match self {
            Self::TooMany => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::Loop => StatusCode::LOOP_DETECTED,
            Self::Host | Self::Alias | Self::Authorization | Self::TransferCoding => StatusCode::BAD_REQUEST,
        };
        let mut reply = Reply::router(status, 1, self.to_string());
        reply.close = matches!(self, Self::TransferCoding);
        reply
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(uri: &Uri, headers: &HeaderMap, max_headers: usize) -> Result<(), GuardError> {
        check(uri, headers, max_headers, false)
    }

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(*name, value.parse().unwrap());
        }
        map
    }

    #[test]
    fn exactly_one_well_formed_host_is_needed() {
        let uri = Uri::from_static("/x");
        assert_eq!(judge(&uri, &headers(&[("host", "gw.example.com:8080")]), 100), Ok(()));
        for bad in [
            &[][..],
            &[("host", "a"), ("host", "a")],
            &[("host", "u@a")],
            &[("host", "a/b")],
            &[("host", "")],
            &[("host", ":80")],
            &[("host", "a:65536")],
            &[("host", "a:99999999999")],
            &[("host", "a:+1")],
            &[("host", "a:b")],
            &[("host", "[::1]:65536")],
            &[("host", "[::1]8")],
        ] {
            assert_eq!(judge(&uri, &headers(bad), 100), Err(GuardError::Host), "{bad:?}");
        }
        for good in
            ["a:65535", "a:0", "a:", "[::1]", "[::1]:8080", "[::1]:", "192.0.2.1:80", "a_b.example.com."]
        {
            assert_eq!(judge(&uri, &headers(&[("host", good)]), 100), Ok(()), "{good}");
        }
        for bad in ["https://a:65536/x", "https://[::1]:65536/x"] {
            assert_eq!(judge(&bad.parse().unwrap(), &HeaderMap::new(), 100), Err(GuardError::Host), "{bad}");
        }
        let h2 = Uri::from_static("https://a/x");
        assert_eq!(judge(&h2, &HeaderMap::new(), 100), Ok(()));
        assert_eq!(judge(&h2, &headers(&[("host", "A")]), 100), Ok(()));
        assert_eq!(judge(&h2, &headers(&[("host", "b")]), 100), Err(GuardError::Host));
        assert_eq!(
            judge(&Uri::from_static("https://u:p@a/x"), &HeaderMap::new(), 100),
            Err(GuardError::Host)
        );
    }

    #[test]
    fn health_checks_of_http_1_0_need_no_host() {
        let request = |method: &str, version, target: &str, host: Option<&str>| {
            let request = Request::builder().method(method).version(version).uri(target);
            let request = host.into_iter().fold(request, |request, host| request.header("host", host));
            is_bare_check(&request.body(()).unwrap())
        };
        for path in ["/livez", "/readyz", "/ready", "/health?timeout=3", "/version"] {
            assert!(request("GET", Version::HTTP_10, path, None), "{path}");
            assert!(!request("GET", Version::HTTP_11, path, None), "{path}");
            assert!(!request("GET", Version::HTTP_10, path, Some("a/b")), "{path}");
        }
        assert!(request("OPTIONS", Version::HTTP_10, "/", None));
        for path in ["/", "/auth", "/api/core/v2/events", "/health/x", "/c/alpha/health"] {
            assert!(!request("GET", Version::HTTP_10, path, None), "{path}");
        }
    }

    #[test]
    fn two_sets_of_credentials_are_refused_on_every_path() {
        let both = headers(&[("host", "a"), ("authorization", "Bearer x"), ("authorization", "Bearer y")]);
        assert_eq!(judge(&Uri::from_static("/c/~/graphql"), &both, 100), Err(GuardError::Authorization));
    }

    #[test]
    fn chunked_is_the_only_transfer_coding() {
        let uri = Uri::from_static("/x");
        let with = |pairs: &[(&'static str, &'static str)]| {
            judge(&uri, &headers(&[&[("host", "a")], pairs].concat()), 100)
        };
        assert_eq!(with(&[("transfer-encoding", "Chunked")]), Ok(()));
        for bad in ["gzip, chunked", "chunked, chunked", "xchunked", "identity"] {
            assert_eq!(with(&[("transfer-encoding", bad)]), Err(GuardError::TransferCoding), "{bad}");
        }
        let twice = [("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")];
        assert_eq!(with(&twice), Err(GuardError::TransferCoding));
    }

    #[test]
    fn what_a_gateway_has_sent_is_refused() {
        let uri = Uri::from_static("/x");
        let with = |pairs: &[(&'static str, &'static str)]| {
            judge(&uri, &headers(&[&[("host", "a")], pairs].concat()), 100)
        };
        for other in ["1.1 fedgate", "1.1 fedgate.example.com, 2 proxy (_fedgate)", "_fedgate", ""] {
            assert_eq!(with(&[("via", other)]), Ok(()), "{other}");
        }
        for via in ["1.1 _fedgate", "1.0 a, HTTP/2 _Fedgate (x)"] {
            assert_eq!(with(&[("via", "1.1 lb"), ("via", via)]), Err(GuardError::Loop), "{via}");
        }
    }

    #[test]
    fn names_that_alias_through_underscores_are_refused() {
        let uri = Uri::from_static("/x");
        let with = |name| judge(&uri, &headers(&[("host", "a"), (name, "1")]), 100);
        assert_eq!(with("x_forwarded_for"), Err(GuardError::Alias));
        assert_eq!(with("content_length"), Err(GuardError::Alias));
        assert_eq!(with("my_own_header"), Ok(()));
    }
}
