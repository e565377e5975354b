//! The console: pages over all clusters, embedded in the binary.
//!
//! ```text
//! /console/                     the document, for every page of the console; revalidated each time
//! /console/{hash}/app.js        a module, under the hash of them all; kept by browsers for good
//! ```
//!
//! The hash stands in a directory, so that the modules name each other by plain relative paths: one changed module is
//! another directory, and a browser never mixes two versions.

mod assets;
mod compact;
#[cfg(test)]
mod tests;

use std::{sync::OnceLock, time::SystemTime};

use aws_lc_rs::digest::{Context, SHA256};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};
use tokio::task::spawn_blocking;

use super::{files::Files, method_not_allowed};
use crate::wire::{self, Body};

/// The files as they are sent.
///
/// They are made when they are asked for first: compressing them takes long, so it happens on a thread for such work, and
/// holds up neither the start nor the other requests of a worker.
pub(super) async fn files() -> &'static Files {
    if let Some(files) = FILES.get() {
        return files;
    }
    // Without its result, the runtime is ending, and this request with it.
    spawn_blocking(|| FILES.get_or_init(load)).await.unwrap_or_else(|_| FILES.get_or_init(load))
}

/// The path of the console's own, with its slash, or empty; `None` for one outside.
pub(super) fn below(path: &str) -> Option<&str> {
    path.strip_prefix("/console").filter(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Answers a request below `/console`; `None` when there is no such file, and no browser navigates.
pub(super) fn answer(
    files: &Files,
    method: &Method,
    path: &str,
    target: &str,
    headers: &HeaderMap,
) -> Option<Response<Body>> {
    let mut response = match path.strip_prefix('/') {
        _ if !matches!(*method, Method::GET | Method::HEAD) => method_not_allowed(),
        // Without the slash there are no pages, but a redirect to them.
        None => redirect(target.split_once('?').map_or("", |(_, query)| query)),
        // No file has a name that would need decoding.
        Some(path) => files.answer(method, path, headers)?,
    };
    secure(response.headers_mut());
    Some(response)
}

/// Sends a browser to the console.
pub(super) fn redirect(query: &str) -> Response<Body> {
    let mut response = wire::text(StatusCode::FOUND, "");
    let location = if query.is_empty() { ROOT.to_owned() } else { format!("{ROOT}?{query}") };
    let location = HeaderValue::try_from(location).unwrap_or(HeaderValue::from_static(ROOT));
    response.headers_mut().insert(header::LOCATION, location);
    response
}

fn secure(headers: &mut HeaderMap) {
    for (name, value) in &SECURITY {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

fn load() -> Files {
    let sent: Vec<(&str, Bytes)> =
        assets::FILES.iter().map(|(path, source)| (*path, assets::as_sent(path, source))).collect();
    let mut hash = Context::new(&SHA256);
    for (path, bytes) in &sent {
        hash.update(path.as_bytes());
        hash.update(&[0]);
        hash.update(bytes);
    }
    let hash = BASE64_URL_SAFE_NO_PAD.encode(&hash.finish().as_ref()[..12]);
    let index = ("index.html".to_owned(), assets::INDEX.replace("{assets}", &hash).into());
    let modules = sent.into_iter().map(|(path, bytes)| (format!("{hash}/{path}"), bytes));
    // When the binary was built is not known; its first request is not before it.
    Files::embedded(modules.chain([index]), SystemTime::now())
}

static FILES: OnceLock<Files> = OnceLock::new();

const ROOT: &str = "/console/";

/// Nothing but the console's own files and the gateway's own API. The one policy for scripts' URLs is that of the worker.
const SECURITY: [(HeaderName, &str); 6] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
         worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
         require-trusted-types-for 'script'; trusted-types fedgate-console",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (
        HeaderName::from_static("permissions-policy"),
        "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
    ),
];
