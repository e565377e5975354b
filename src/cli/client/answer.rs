use std::fmt::Write as _;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, StatusCode};
use serde_json::Value;

use super::{saved::Tokens, value::text};
use crate::cli::{Failure, REFUSED, UNAVAILABLE, text::terminal_safe};

/// A complete answer.
pub(super) struct Answer {
    /// Its status.
    pub(super) status: StatusCode,
    /// Its headers.
    pub(super) headers: HeaderMap,
    /// Its body.
    pub(super) body: Bytes,
}

// === impl Answer ===

impl Answer {
    /// The answer, unless it says that something went wrong.
    pub(super) fn success(self) -> Result<Self, Failure> {
        if self.status.is_success() { Ok(self) } else { Err(self.failure()) }
    }

    /// The failure that an error answer means.
    pub(super) fn failure(&self) -> Failure {
        let mut line = self.message();
        let (code, advice) = match (self.status.as_u16(), self.error_code()) {
            (401, _) => (REFUSED, "log in again with fedgate configure, or give --user"),
            (403, _) | (_, Some(4)) => (REFUSED, "ask an administrator for the right to do this"),
            (502..=504, _) => (UNAVAILABLE, ""),
            (300..=399, _) => (1, "give the URL that it points to with --url"),
            _ => (1, ""),
        };
        line.push_str(&self.clusters());
        if !advice.is_empty() {
            let _ = write!(line, ": {advice}");
        }
        Failure { status: Some(self.status), ..Failure::new(code, line) }
    }

    /// The server's message, in one line.
    pub(super) fn message(&self) -> String {
        let said = self.field("message").and_then(|said| said.as_str().map(str::to_owned));
        let text = said.unwrap_or_else(|| String::from_utf8_lossy(&self.body).trim().to_owned());
        let text: String = terminal_safe(&text).chars().take(MAX_MESSAGE).collect();
        if text.is_empty() || text.starts_with('<') {
            return format!("the server answered {}", self.status);
        }
        text
    }

    /// Which clusters a gateway could not get an answer from, and why: ` (alpha: timeout, beta: unreachable)`.
    fn clusters(&self) -> String {
        let Some(Value::Object(clusters)) = self.field("clusters") else { return String::new() };
        let named = clusters.iter().map(|(name, reason)| format!("{name}: {}", text(reason)));
        let named = named.collect::<Vec<_>>().join(", ");
        let shown: String = terminal_safe(&named).chars().take(MAX_MESSAGE).collect();
        if shown.is_empty() { shown } else { format!(" ({shown})") }
    }

    /// Sensu's number for what went wrong.
    pub(super) fn error_code(&self) -> Option<u64> {
        self.field("code").and_then(|code| code.as_u64())
    }

    /// A field of a JSON body, in any case: Sensu uses two.
    fn field(&self, name: &str) -> Option<Value> {
        let Ok(Value::Object(object)) = serde_json::from_slice(&self.body) else { return None };
        object.into_iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The body as JSON.
    pub(super) fn json(&self) -> Result<Value, Failure> {
        serde_json::from_slice(&self.body).map_err(|_| {
            Failure::new(UNAVAILABLE, "the server answered something that is not JSON: is it the API's URL?")
        })
    }

    /// A header as text.
    pub(super) fn header(&self, name: &HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The tokens of a login or a renewal.
    pub(super) fn tokens(&self) -> Option<Tokens> {
        match serde_json::from_slice(&self.body) {
            Ok(Value::Object(object)) => Tokens::of(&object),
            _ => None,
        }
    }
}

/// Most characters of a server's message.
const MAX_MESSAGE: usize = 500;
