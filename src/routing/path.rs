use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use super::RouteError;

/// Percent-decodes one path segment; bad escapes and bytes that are no UTF-8 are refused.
pub fn decode(segment: &str) -> Result<Cow<'_, str>, RouteError> {
    if !segment.contains('%') {
        return Ok(Cow::Borrowed(segment));
    }
    if !escapes_are_well_formed(segment) {
        return Err(RouteError::Path);
    }
    percent_decode_str(segment).decode_utf8().map_err(|_| RouteError::Path)
}

/// The path as if its slashes had been written once, where a slash at the end of a configured URL makes clients write
/// two: `//auth`, `/c/alpha//auth`. Anywhere else they stay, to be refused.
pub(super) fn with_single_slashes(path: &str) -> Cow<'_, str> {
    let rest = path.trim_start_matches('/');
    if rest.len() == path.len() || !API.contains(&first(rest)) {
        return Cow::Borrowed(path);
    }
    let path = &path[path.len() - rest.len() - 1..];
    let Some((cluster, rest)) = path.strip_prefix("/c/").and_then(|rest| rest.split_once("//")) else {
        return Cow::Borrowed(path);
    };
    let rest = rest.trim_start_matches('/');
    if cluster.contains('/') || !RAW.contains(&first(rest)) {
        return Cow::Borrowed(path);
    }
    Cow::Owned(format!("/c/{cluster}/{rest}"))
}

fn first(path: &str) -> &str {
    path.split('/').next().unwrap_or_default()
}

/// Refuses what Sensu's store would take for another key than the one authorized: its keys are joined and cleaned
/// after decoding, so `..%2F` in a name reaches other namespaces. `segments` are those of `path`.
pub(super) fn check(path: &str, segments: &[&str]) -> Result<(), RouteError> {
    // A byte that Go takes for wrongly encoded makes Sensu's router encode the path again, from its decoded form: what
    // was `%65ntities` here would be `entities` there.
    if !path.starts_with('/') || !path.bytes().all(is_path_byte) {
        return Err(RouteError::Path);
    }
    let mut segments = segments.iter().copied().peekable();
    // The name of an asset is the one place where Sensu's own grammar has a slash.
    let mut before: [&str; 2] = ["", ""];
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        if segment.is_empty() {
            // A trailing slash makes another path, one without an answer.
            return if last { Ok(()) } else { Err(RouteError::Path) };
        }
        let decoded = decode(segment)?;
        if decoded.contains('\0') || matches!(&*decoded, "." | "..") {
            return Err(RouteError::Path);
        }
        if decoded.contains('/') && (before[1] != "assets" || is_path_traversal(&decoded)) {
            return Err(RouteError::Path);
        }
        before = [before[1], segment];
    }
    Ok(())
}

/// Whether a name with slashes has a component that is empty, `.` or `..`.
pub fn is_path_traversal(name: &str) -> bool {
    name.split('/').any(|component| matches!(component, "" | "." | ".."))
}

/// The raw segment without its `@cluster`, written `@` or `%40`; the namespace's own bytes are kept.
pub(super) fn unqualified(segment: &str) -> &str {
    let at = segment.find('@');
    let encoded = segment.find("%40");
    let cut = match (at, encoded) {
        (Some(a), Some(b)) => a.min(b),
        (Some(cut), None) | (None, Some(cut)) => cut,
        (None, None) => segment.len(),
    };
    &segment[..cut]
}

/// What Go keeps as it is in a path (`net/url`): anything else has to be percent-encoded.
fn is_path_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.~!$&'()*+,;=:@[]%/".contains(&byte)
}

pub(super) fn escapes_are_well_formed(segment: &str) -> bool {
    let mut bytes = segment.bytes();
    while let Some(b) = bytes.next() {
        let hex = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_hexdigit());
        if b == b'%' && !(hex(bytes.next()) && hex(bytes.next())) {
            return false;
        }
    }
    true
}

/// First segments that are no pages.
pub(super) const API: [&str; 10] =
    ["api", "auth", "c", "graphql", "health", "livez", "metrics", "ready", "readyz", "version"];

/// What a cluster answers below `/c/{cluster}`.
pub(super) const RAW: [&str; 6] = ["api", "auth", "graphql", "health", "ready", "version"];
