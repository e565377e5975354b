//! Header names that are not in the `http` crate, and the hop-by-hop set.

use http::{HeaderMap, HeaderName, HeaderValue, header};

/// Whether every member of a fan-out answered: `true` or `false`.
pub const FEDGATE_COMPLETE: HeaderName = HeaderName::from_static("fedgate-complete");
/// What each member of a fan-out answered (an RFC 9651 list).
pub const FEDGATE_CLUSTERS: HeaderName = HeaderName::from_static("fedgate-clusters");
/// Request: `deny` asks for an error in place of a partial answer.
pub const FEDGATE_PARTIAL: HeaderName = HeaderName::from_static("fedgate-partial");
/// Sensu's paging token.
pub const SENSU_CONTINUE: HeaderName = HeaderName::from_static("sensu-continue");
/// Correlates a request across gateway, clusters and logs.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Client address chain.
pub const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// Host that the client asked for.
pub const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
/// Scheme that the client used.
pub const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// A paging token that a cluster did not send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the continue token is malformed")]
pub struct BadToken;

/// Headers that `Connection` cannot name: without them the request would mean something else.
const END_TO_END: [HeaderName; 5] =
    [header::AUTHORIZATION, header::CONTENT_LENGTH, header::CONTENT_TYPE, header::COOKIE, header::HOST];

/// The gateway's entry in `Via` (RFC 9110 §7.6.3), under a pseudonym as that section allows: one that no host can have.
const VIA: HeaderValue = HeaderValue::from_static("1.1 _fedgate");

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// Removes the hop-by-hop headers (RFC 9110 §7.6.1) and those that `Connection` names.
pub fn strip_hop_by_hop(headers: &mut HeaderMap) {
    if headers.contains_key(header::CONNECTION) {
        let named: Vec<HeaderName> = headers
            .get_all(header::CONNECTION)
            .iter()
            .filter_map(|v| v.to_str().ok())
            .flat_map(|v| v.split(','))
            .filter_map(|name| name.trim().parse().ok())
            .filter(|name| !END_TO_END.contains(name))
            .collect();
        for name in named {
            headers.remove(name);
        }
    }
    for name in [
        header::CONNECTION,
        header::PROXY_AUTHENTICATE,
        header::PROXY_AUTHORIZATION,
        header::TE,
        header::TRAILER,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
        KEEP_ALIVE,
        PROXY_CONNECTION,
    ] {
        headers.remove(name);
    }
}

/// Where a cluster's list goes on, as it can stand in a query; `None` at the end of the list.
pub fn continue_token(headers: &HeaderMap) -> Result<Option<&str>, BadToken> {
    let Some(token) = headers.get(SENSU_CONTINUE) else { return Ok(None) };
    let token = token.to_str().map_err(|_| BadToken)?;
    // Base64url without padding; anything else could become another parameter.
    let is_one = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    if token.is_empty() || !token.bytes().all(is_one) {
        return Err(BadToken);
    }
    Ok(Some(token))
}

/// Marks a request as having passed a gateway. Everything that a gateway sends to a cluster is marked.
pub fn add_via(headers: &mut HeaderMap) {
    headers.append(header::VIA, VIA);
}

/// Whether a request has passed a gateway, this one or another: forwarding it would make a loop.
pub fn has_passed_a_gateway(headers: &HeaderMap) -> bool {
    let entries =
        headers.get_all(header::VIA).iter().flat_map(|value| value.as_bytes().split(|&b| b == b','));
    entries.into_iter().any(|entry| {
        // `received-protocol received-by [comment]`
        let mut words = entry.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        words.nth(1).is_some_and(|name| name.eq_ignore_ascii_case(b"_fedgate"))
    })
}
