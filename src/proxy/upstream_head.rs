//! The head that a cluster gets in place of the client's.

use std::net::Ipv4Addr;

use http::{HeaderMap, HeaderValue, Request, Uri, header, request::Parts};

use crate::{
    routing::RouteError,
    types::{Cidr, ConnInfo},
    wire::header as names,
};

/// Where a request goes, and whether its answer is going to be edited.
pub(super) struct Target<'a> {
    pub(super) path_and_query: &'a str,
    pub(super) edited: bool,
}

/// The head that a cluster gets: the client's, less what was between client and gateway.
///
/// `Host` stays the gateway's own, so that the `iss` of tokens, which clients refresh at, points back at it.
pub(super) fn build(parts: &Parts, target: &Target<'_>, trusted: &[Cidr]) -> Result<Request<()>, RouteError> {
    let mut headers = parts.headers.clone();
    names::strip_hop_by_hop(&mut headers);
    for name in [header::CONTENT_LENGTH, header::EXPECT, header::FORWARDED, names::FEDGATE_PARTIAL] {
        headers.remove(name);
    }
    if target.edited {
        // A compressed answer could not be edited.
        headers.remove(header::ACCEPT_ENCODING);
    }
    if !headers.contains_key(header::HOST)
        && let Some(host) = parts.uri.authority().and_then(|a| HeaderValue::from_str(a.as_str()).ok())
    {
        headers.insert(header::HOST, host);
    }
    forwarded(&mut headers, parts.extensions.get().copied(), trusted);
    names::add_via(&mut headers);
    // A health check of HTTP/1.0 has none, and a cluster is asked with HTTP/1.1.
    headers.entry(header::HOST).or_insert(HeaderValue::from_static("fedgate"));

    let mut request = Request::new(());
    *request.method_mut() = parts.method.clone();
    *request.uri_mut() = target.path_and_query.parse::<Uri>().map_err(|_| RouteError::Path)?;
    *request.headers_mut() = headers;
    Ok(request)
}

/// Sets `X-Forwarded-For`, `-Proto` and `-Host`. A client's own are dropped unless it is a trusted proxy.
fn forwarded(headers: &mut HeaderMap, connection: Option<ConnInfo>, trusted: &[Cidr]) {
    let (peer, tls) = connection.map_or((Ipv4Addr::LOCALHOST.into(), false), |c| (c.peer.ip(), c.tls));
    let trusted = trusted.iter().any(|range| range.contains(peer));
    let earlier = headers.get_all(names::X_FORWARDED_FOR).iter().filter(|_| trusted);
    // Every line counts: some proxies add one of their own below a forged one.
    let mut chain: Vec<&str> = earlier.filter_map(|value| value.to_str().ok()).collect();
    let own = peer.to_string();
    chain.push(&own);
    let chain = chain.join(", ");
    if let Ok(chain) = HeaderValue::try_from(chain) {
        headers.insert(names::X_FORWARDED_FOR, chain);
    }
    if !trusted || !headers.contains_key(names::X_FORWARDED_PROTO) {
        let scheme = if tls { "https" } else { "http" };
        headers.insert(names::X_FORWARDED_PROTO, HeaderValue::from_static(scheme));
    }
    if (!trusted || !headers.contains_key(names::X_FORWARDED_HOST))
        && let Some(host) = headers.get(header::HOST).cloned()
    {
        headers.insert(names::X_FORWARDED_HOST, host);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(pairs: &[(&'static str, &'static str)], peer: &str) -> Parts {
        let mut request = Request::new(());
        for (name, value) in pairs {
            request.headers_mut().append(*name, HeaderValue::from_static(value));
        }
        request.extensions_mut().insert(ConnInfo::new(peer.parse().unwrap(), true));
        request.into_parts().0
    }

    const TARGET: Target<'static> = Target { path_and_query: "/api", edited: false };

    #[test]
    fn a_clients_own_forwarding_headers_are_dropped() {
        let parts = parts(
            &[
                ("host", "gw"),
                ("x-forwarded-for", "10.9.9.9"),
                ("x-forwarded-proto", "ftp"),
                ("forwarded", "for=1"),
            ],
            "[::ffff:192.0.2.7]:999",
        );
        let sent = build(&parts, &TARGET, &[]).unwrap();
        assert_eq!(sent.headers()["x-forwarded-for"], "192.0.2.7");
        assert_eq!(sent.headers()["x-forwarded-proto"], "https");
        assert_eq!(sent.headers()["x-forwarded-host"], "gw");
        assert!(!sent.headers().contains_key("forwarded"));
    }

    #[test]
    fn a_trusted_proxys_forwarding_headers_are_extended() {
        let parts = parts(
            &[("host", "gw"), ("x-forwarded-for", "10.9.9.9"), ("x-forwarded-proto", "http")],
            "192.0.2.7:999",
        );
        let sent = build(&parts, &TARGET, &["192.0.2.0/24".parse().unwrap()]).unwrap();
        assert_eq!(sent.headers()["x-forwarded-for"], "10.9.9.9, 192.0.2.7");
        assert_eq!(sent.headers()["x-forwarded-proto"], "http");
    }

    #[test]
    fn hop_by_hop_headers_and_those_that_connection_names_stay_here() {
        let parts = parts(
            &[
                ("host", "gw"),
                ("connection", "upgrade, x-private"),
                ("upgrade", "websocket"),
                ("x-private", "1"),
                ("te", "trailers"),
            ],
            "192.0.2.7:999",
        );
        let sent = build(&parts, &TARGET, &[]).unwrap();
        for name in ["connection", "upgrade", "x-private", "te"] {
            assert!(!sent.headers().contains_key(name), "{name}");
        }
    }
}
