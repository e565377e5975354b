//! Compression of answers on their way to the client.
//!
//! ```text
//! /console/…, files of web-ui.directory   compressed once, when they were made or loaded: nothing is done here
//! pages of web-ui.upstream ─────────────┐
//! /api/…, /graphql (off by default) ────┴ compressed while they stream, by what the client accepts
//! /c/{cluster}/…, /auth, /health, …       never: the cluster's own bytes, tokens, and a few words
//! ```
//!
//! Left as they are, too: what has a coding already, or was chosen by `Accept-Encoding` without getting one, parts, answers
//! other than 200, answers of the API with an `ETag` (a weak one would never meet the `If-Match` of a write), and everything
//! for which there is no memory at the moment.

mod layer;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use futures::FutureExt as _;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use serde::{Deserialize, Serialize};

use super::slow_client::SlowClientBody;
use crate::{
    routing::Route,
    types::units,
    wire::{Accepted, Body, Budget, Coding, Held, budget::COMPRESSION_BYTES, is_compressible},
};

pub(super) use layer::CompressLayer;

/// `compression`: which answers are compressed for clients that accept it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
pub struct Compression {
    /// The console, and the pages and files of a web UI.
    pub web_ui: bool,
    /// Answers of the API and of GraphQL, lists that are streamed included.
    pub api: bool,
    /// The smallest answer that is compressed while it is sent, when its size is known.
    #[serde(with = "units::size")]
    pub min_bytes: u64,
}

/// Compresses answers, for all workers.
#[derive(Debug)]
pub struct Compressor {
    config: Compression,
    memory: Arc<Budget>,
}

/// What becomes of one answer.
#[derive(Debug)]
struct Plan {
    accepted: Accepted,
    min_bytes: u64,
    /// Whether tags are for conditions on writes, which a weak one never meets.
    has_strong_tags: bool,
    is_head: bool,
}

// === impl Compression ===

impl Default for Compression {
    fn default() -> Self {
        Self { web_ui: true, api: false, min_bytes: 1024 }
    }
}

// === impl Compressor ===

impl Compressor {
    /// Compresses what the configuration says.
    pub fn new(config: Compression) -> Self {
        Self { config, memory: Budget::new(COMPRESSION_BYTES) }
    }

    /// What the answers that are being compressed hold.
    pub fn memory(&self) -> &Arc<Budget> {
        &self.memory
    }

    /// What is to be done with the answer to a request; `None` when it is left alone.
    fn plan(&self, route: &Route, method: &Method, headers: &mut HeaderMap) -> Option<Plan> {
        let (covered, has_strong_tags) = match route {
            Route::Web => (self.config.web_ui, false),
            Route::List(_) | Route::GraphQl | Route::Federation(_) => (self.config.api, true),
            Route::Forward(forward) => {
                let is_api = forward.prefix.is_none() && forward.target.starts_with("/api/");
                (self.config.api && is_api, true)
            }
            Route::Probe(_) | Route::Moved(_) => (false, true),
        };
        if !covered {
            if *route == Route::Web {
                // Nor does it get what lies ready compressed.
                headers.remove(header::ACCEPT_ENCODING);
            }
            return None;
        }
        Some(Plan {
            accepted: Accepted::of(headers),
            min_bytes: self.config.min_bytes,
            has_strong_tags,
            is_head: method == Method::HEAD,
        })
    }

    /// Compresses an answer if that is worth it.
    fn apply(&self, plan: &Plan, mut response: Response<Body>) -> Response<Body> {
        if !plan.concerns(&response) {
            return response;
        }
        response.headers_mut().append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
        let Some(best) = plan.coding(&response) else { return response };
        if plan.is_head || response.status() == StatusCode::NOT_MODIFIED {
            // The headers of the answer whose place it takes. How long that is, is not known before it is compressed.
            weaken_tag(response.headers_mut());
            if plan.is_head && response.status() == StatusCode::OK {
                let name = HeaderValue::from_static(best.as_str());
                response.headers_mut().insert(header::CONTENT_ENCODING, name);
                response.headers_mut().remove(header::CONTENT_LENGTH);
                response.headers_mut().remove(header::ACCEPT_RANGES);
            }
            return response;
        }
        if response.body().as_full().is_some_and(|whole| whole.len() <= SHORT) {
            return compress_whole(best, response);
        }
        // A coding that takes more memory than there is makes way for another, and all of them for the plain body.
        let others = Coding::ALL.into_iter().filter(|coding| plan.accepted.takes(Some(*coding)));
        let Some((coding, held)) =
            [best].into_iter().chain(others).find_map(|coding| Some((coding, self.hold(coding)?)))
        else {
            return response;
        };
        weaken_tag(response.headers_mut());
        coding.stream(response).map(|body| SlowClientBody::watch(body.holding(held)))
    }

    fn hold(&self, coding: Coding) -> Option<Held> {
        let held = self.memory.hold();
        held.add(coding.working_bytes()).then_some(held)
    }
}

// === impl Plan ===

impl Plan {
    /// Whether another client, or this one with another `Accept-Encoding`, could get it compressed.
    fn concerns(&self, response: &Response<Body>) -> bool {
        let headers = response.headers();
        let has = |name| headers.contains_key(name);
        if has(header::CONTENT_ENCODING) || has(header::CONTENT_RANGE) {
            return false;
        }
        // Who says that has chosen already.
        if headers.get_all(header::VARY).iter().any(|value| names(value, "accept-encoding")) {
            return false;
        }
        if self.has_strong_tags && has(header::ETAG) {
            return false;
        }
        if headers.get_all(header::CACHE_CONTROL).iter().any(|value| names(value, "no-transform")) {
            return false;
        }
        match response.status() {
            // Its type is not known any more, so it may be one that is compressed.
            StatusCode::NOT_MODIFIED => true,
            StatusCode::OK => {
                let media_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
                media_type.is_some_and(is_compressible)
            }
            _ => false,
        }
    }

    /// The coding of an answer that this concerns; `None` when it goes out as it is.
    fn coding(&self, response: &Response<Body>) -> Option<Coding> {
        let best = self.accepted.best(Coding::ALL)?;
        // Who refuses a plain body gets no small one either.
        let may_be_plain = self.accepted.takes(None);
        let is_known = response.status() == StatusCode::NOT_MODIFIED;
        (is_known || !may_be_plain || self.is_large(response)).then_some(best)
    }

    fn is_large(&self, response: &Response<Body>) -> bool {
        let length = response.headers().get(header::CONTENT_LENGTH);
        let announced = length.and_then(|value| value.to_str().ok()?.parse().ok());
        let size = announced.or_else(|| response.body().size_hint().exact());
        size.is_none_or(|size| size >= self.min_bytes)
    }
}

/// A short body in memory stays one, of known length.
fn compress_whole(coding: Coding, mut response: Response<Body>) -> Response<Body> {
    weaken_tag(response.headers_mut());
    let (parts, body) = coding.stream(response).into_parts();
    let coded = body.collect().now_or_never();
    let coded = coded.expect("all of it is in memory, so nothing is waited for");
    let coded = coded.expect("a body in memory does not break off");
    Response::from_parts(parts, Body::full(coded.to_bytes()))
}

/// The compressed form has other bytes, so a tag that promises the same ones would lie.
fn weaken_tag(headers: &mut HeaderMap) {
    let Some(tag) = headers.get(header::ETAG).filter(|tag| !tag.as_bytes().starts_with(b"W/")) else {
        return;
    };
    if let Ok(weak) = HeaderValue::from_bytes(&[b"W/", tag.as_bytes()].concat()) {
        headers.insert(header::ETAG, weak);
    }
}

/// Whether a list of words has this one.
fn names(value: &HeaderValue, word: &str) -> bool {
    let text = value.to_str().unwrap_or_default();
    text.split(',').any(|item| item.trim().eq_ignore_ascii_case(word))
}

/// A body in memory up to this size is compressed at once: half a millisecond of its worker. A longer one takes turns with
/// other requests.
const SHORT: usize = 64 * 1024;
