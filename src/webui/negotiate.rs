//! What a request's headers ask for. Total: malformed values count as absent.

use std::time::SystemTime;

use http::{HeaderMap, HeaderName, header};

/// Whether a browser navigates to a page, as opposed to fetching a part of one or data for it.
pub fn is_navigation(headers: &HeaderMap) -> bool {
    // Sent by every current browser, but only to secure origins.
    match headers.get(SEC_FETCH_MODE) {
        Some(mode) => mode.as_bytes() == b"navigate",
        None => items(headers, &header::ACCEPT).any(|item| {
            let (name, parameters) = item.split_once(';').unwrap_or((item, ""));
            name.trim().eq_ignore_ascii_case("text/html") && !is_zero(parameters)
        }),
    }
}

/// The outcome of a conditional request (RFC 9110 §13.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Send it.
    Send,
    /// The client has it.
    NotModified,
    /// The client's precondition does not hold.
    Failed,
}

/// Whether the client has what a tag stands for.
pub(super) fn has(headers: &HeaderMap, etag: &str) -> bool {
    tags(headers, &header::IF_NONE_MATCH).any(|tag| tag.strip_prefix("W/").unwrap_or(tag) == etag)
}

/// Compares a file with what the client has or wants.
pub(super) fn condition(headers: &HeaderMap, etag: &str, modified: SystemTime) -> Verdict {
    if headers.contains_key(header::IF_MATCH) {
        if !tags(headers, &header::IF_MATCH).any(|tag| tag == "*" || tag == etag) {
            return Verdict::Failed;
        }
    } else if date(headers, &header::IF_UNMODIFIED_SINCE).is_some_and(|date| modified > date) {
        return Verdict::Failed;
    }
    let same = if headers.contains_key(header::IF_NONE_MATCH) {
        has(headers, etag) || tags(headers, &header::IF_NONE_MATCH).any(|tag| tag == "*")
    } else {
        date(headers, &header::IF_MODIFIED_SINCE).is_some_and(|date| modified <= date)
    };
    if same { Verdict::NotModified } else { Verdict::Send }
}

/// The comma-separated items of all lines of a header.
fn items<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok()).flat_map(|line| line.split(','))
}

/// Our own tags have no commas, so splitting a foreign one at its commas makes no false match.
fn tags<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    items(headers, name).map(str::trim)
}

fn date(headers: &HeaderMap, name: &HeaderName) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(name)?.to_str().ok()?).ok()
}

/// Whether a weight excludes its item: `q=0`, `q=0.0` and so on.
fn is_zero(parameters: &str) -> bool {
    parameters.split(';').filter_map(|parameter| parameter.split_once('=')).any(|(name, weight)| {
        name.trim().eq_ignore_ascii_case("q")
            && weight.trim().parse::<f32>().is_ok_and(|weight| weight <= 0.0)
    })
}

const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
