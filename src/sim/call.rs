//! One request, as the handlers see it.

use base64::{
    Engine, alphabet,
    engine::{GeneralPurpose, GeneralPurposeConfig, general_purpose::NO_PAD},
};
use bytes::Bytes;
use http::{HeaderMap, header};
use serde_json::Value;

use super::{
    json::{self, Reader},
    reply::Failure,
};

/// A request with its body in memory.
pub(super) struct Call {
    pub(super) method: String,
    /// The path, percent-encoded as it came.
    pub(super) path: String,
    pub(super) query: Option<String>,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// `Host`, or the authority of the target.
    pub(super) host: String,
}

/// Sensu's `api-request-limit`.
const BODY_LIMIT: usize = 512_000;

/// Unpadded base64url, as lenient about the last bits as Go's decoder.
pub(super) const CURSOR: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, NO_PAD_LENIENT);
const NO_PAD_LENIENT: GeneralPurposeConfig = NO_PAD.with_decode_allow_trailing_bits(true);

// === impl Call ===

impl Call {
    pub(super) fn header(&self, name: header::HeaderName) -> &str {
        self.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default()
    }

    /// Path and query, as they came.
    pub(super) fn target(&self) -> String {
        match &self.query {
            Some(query) => format!("{}?{query}", self.path),
            None => self.path.clone(),
        }
    }

    /// The first value of a query parameter.
    pub(super) fn param(&self, name: &str) -> Option<String> {
        pairs(self.query.as_deref().unwrap_or_default()).find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// `limit`; 0, which means everything, when it is not a number.
    pub(super) fn limit(&self) -> i64 {
        self.param("limit").and_then(|l| l.parse().ok()).unwrap_or_default()
    }

    /// The decoded `continue`; empty when there is none or it does not decode.
    pub(super) fn after(&self) -> String {
        let cursor = self.param("continue").unwrap_or_default();
        let bytes = CURSOR.decode(cursor).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Whether Go's form parser takes the body: no content type counts as a form.
    fn is_form(&self) -> bool {
        let media = self.header(header::CONTENT_TYPE).split(';').next().unwrap_or_default().trim();
        matches!(self.method.as_str(), "POST" | "PUT" | "PATCH")
            && (media.is_empty() || media.eq_ignore_ascii_case("application/x-www-form-urlencoded"))
    }

    /// What the request limiter refuses: a query or a form that does not parse, a form over the limit.
    pub(super) fn check_form(&self) -> Result<(), Failure> {
        if self.is_form() {
            if self.body.len() > BODY_LIMIT {
                return Err(Failure::Form { close: true });
            }
            if !std::str::from_utf8(&self.body).is_ok_and(parses) {
                return Err(Failure::Form { close: false });
            }
        }
        if self.query.as_deref().is_some_and(|q| !parses(q)) {
            return Err(Failure::Form { close: false });
        }
        Ok(())
    }

    /// The body as a handler reads it: nothing is left of a form.
    pub(super) fn content(&self) -> &[u8] {
        if self.is_form() { &[] } else { &self.body }
    }

    /// The first JSON value of the body; `code` is the error code of the route family.
    pub(super) fn json(&self, code: u8) -> Result<Value, Failure> {
        let content = self.content();
        let limited = &content[..content.len().min(BODY_LIMIT)];
        json::parse(limited, Reader::Stream).map_err(|message| {
            if content.len() > BODY_LIMIT { Failure::TooLarge(code) } else { Failure::router(code, message) }
        })
    }

    /// The whole body as JSON, as the patch handler reads it.
    pub(super) fn json_whole(&self) -> Result<Value, Failure> {
        let content = self.content();
        if content.len() > BODY_LIMIT {
            return Err(Failure::TooLarge(1));
        }
        json::parse(content, Reader::Whole).map_err(|message| Failure::router(1, message))
    }

    /// The content type as the patch handler sees it.
    pub(super) fn patch_type(&self) -> &str {
        match self.header(header::CONTENT_TYPE) {
            "" => "application/x-www-form-urlencoded",
            other => other,
        }
    }
}

fn pairs(query: &str) -> impl Iterator<Item = (String, String)> {
    query.split('&').filter(|p| !p.is_empty() && !p.contains(';')).map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (unescape(key), unescape(value))
    })
}

fn unescape(text: &str) -> String {
    decode(&text.replace('+', " "))
}

/// Percent-decodes a path segment.
pub(super) fn decode(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// Whether Go's query parser accepts the text.
fn parses(query: &str) -> bool {
    !query.contains(';') && has_good_escapes(query)
}

/// Whether every `%` is followed by two hex digits.
pub(super) fn has_good_escapes(text: &str) -> bool {
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let mut digit = || bytes.next().is_some_and(|b| b.is_ascii_hexdigit());
        if byte == b'%' && !(digit() && digit()) {
            return false;
        }
    }
    true
}
