//! Links to pages, in the spellings that old bookmarks and alerts have.

use std::borrow::Cow;

use http::Method;

use super::{
    Request, RouteError, decode,
    path::{self, API, RAW},
};

/// Whether a path is outside the API: a page, or nothing.
pub(super) fn is_page(segments: &[&str]) -> bool {
    match segments {
        ["c", _, first, ..] => !RAW.contains(first),
        [first, ..] => *first == "c" || !API.contains(first),
        [] => true,
    }
}

/// Where the page of this link is, when that is another path: with single slashes, `@` as it is, and a cluster as part of
/// the namespace in place of the commercial web UI's prefix.
pub(super) fn elsewhere(request: &Request<'_>) -> Result<Option<String>, RouteError> {
    if !is_page(request.segments) || !matches!(*request.method, Method::GET | Method::HEAD) {
        return Ok(None);
    }
    let mut segments: Vec<&str> = request.segments.iter().copied().filter(|it| !it.is_empty()).collect();
    if request.segments.last().is_some_and(|last| last.is_empty()) {
        segments.push("");
    }
    let path = match segments.as_slice() {
        ["c", cluster, "n", namespace, rest @ ..] => {
            let Some(namespace) = qualified(request, cluster, namespace)? else { return Ok(None) };
            let mut path = format!("/n/{namespace}");
            for segment in rest {
                path.extend(["/", segment]);
            }
            path
        }
        segments => format!("/{}", segments.join("/")),
    };
    let path = if path.starts_with("/n/") { path.replace("%40", "@") } else { path };
    if path == request.path {
        return Ok(None);
    }
    let segments: Vec<&str> = path[1..].split('/').collect();
    // A browser takes a backslash for a slash, so nothing that is no plain path may become a location.
    path::check(&path, &segments)?;
    if !is_page(&segments) {
        return Ok(None);
    }
    let query = request.query.map_or(Cow::Borrowed(""), |query| format!("?{query}").into());
    Ok(Some(format!("{path}{query}")))
}

/// The namespace as the gateway writes it; `None` when it names a cluster of its own.
fn qualified(request: &Request<'_>, cluster: &str, namespace: &str) -> Result<Option<String>, RouteError> {
    if path::unqualified(namespace).len() != namespace.len() {
        return Ok(None);
    }
    let cluster = decode(cluster)?;
    if cluster == "~" {
        return Ok(Some(namespace.to_owned()));
    }
    let cluster = request.registered(&cluster)?;
    Ok(Some(if cluster.is_local() { namespace.to_owned() } else { format!("{namespace}@{cluster}") }))
}
