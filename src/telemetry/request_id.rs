use std::fmt;

use http::{HeaderMap, HeaderValue};
use uuid::Uuid;

use crate::wire::header::X_REQUEST_ID;

/// Correlates one request over gateway, clusters and logs.
#[derive(Clone, Debug)]
pub struct RequestId(HeaderValue);

// === impl RequestId ===

impl RequestId {
    /// The client's own, when it is short printable ASCII; else a new UUID. Leaves it in the headers.
    pub fn ensure(headers: &mut HeaderMap) -> Self {
        let id = match headers.get(X_REQUEST_ID) {
            Some(value) if is_plain(value) => value.clone(),
            _ => {
                let mut buffer = Uuid::encode_buffer();
                let random = uuid::Builder::from_random_bytes(fastrand::u128(..).to_ne_bytes()).into_uuid();
                let text = random.hyphenated().encode_lower(&mut buffer);
                HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static("-"))
            }
        };
        headers.insert(X_REQUEST_ID, id.clone());
        Self(id)
    }

    /// A new one.
    pub fn new() -> Self {
        Self::ensure(&mut HeaderMap::new())
    }

    /// As a header value.
    pub fn header(&self) -> HeaderValue {
        self.0.clone()
    }
}

impl Default for RequestId {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.to_str().unwrap_or("-"))
    }
}

/// What a log line can hold without harm.
fn is_plain(value: &HeaderValue) -> bool {
    let bytes = value.as_bytes();
    !bytes.is_empty() && bytes.len() <= MAX_ID && bytes.iter().all(u8::is_ascii_graphic)
}

/// Longest id that is taken over from a client, in bytes.
const MAX_ID: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clients_id_is_kept_only_when_it_is_short_and_printable() {
        let mut headers = HeaderMap::new();
        headers.insert(X_REQUEST_ID, HeaderValue::from_static("abc-1"));
        assert_eq!(RequestId::ensure(&mut headers).to_string(), "abc-1");
        for bad in [String::new(), "a b".into(), "x".repeat(129)] {
            headers.insert(X_REQUEST_ID, HeaderValue::from_str(&bad).unwrap());
            let id = RequestId::ensure(&mut headers);
            assert_eq!(id.to_string().len(), 36);
            assert_eq!(headers[X_REQUEST_ID], id.header());
        }
    }
}
