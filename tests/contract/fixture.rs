//! The recorded exchanges, as read from `tests/data/sensu-6.12/`.

use std::path::PathBuf;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// One file: exchanges that build on each other, in order.
#[derive(Deserialize)]
pub(crate) struct Group {
    /// The file's name without `.json`.
    #[serde(rename = "group")]
    pub(crate) name: String,
    /// Milliseconds to wait after the last exchange.
    #[serde(default)]
    pub(crate) settle_ms: u64,
    pub(crate) exchanges: Vec<Exchange>,
}

/// A request with its recorded answer, or one step on etcd.
#[derive(Deserialize)]
pub(crate) struct Exchange {
    pub(crate) name: String,
    /// The cluster asked; absent where a group has only one.
    #[serde(default)]
    pub(crate) cluster: Option<String>,
    #[serde(default)]
    pub(crate) wait_before_ms: u64,
    #[serde(default)]
    pub(crate) request: Option<Request>,
    #[serde(default)]
    pub(crate) response: Option<Response>,
    /// JSON pointers into the response, or `header:<name>`, that are not compared.
    #[serde(default)]
    pub(crate) volatile: Vec<String>,
    /// JSON pointers to arrays of no defined order.
    #[serde(default)]
    pub(crate) unordered: Vec<String>,
    /// What the recorded `Sensu-Continue` decodes to.
    #[serde(default)]
    pub(crate) continue_decoded: Option<String>,
    #[serde(default)]
    pub(crate) etcd_put: Option<EtcdPut>,
    #[serde(default)]
    pub(crate) etcd_delete: Option<EtcdDelete>,
    #[serde(default)]
    pub(crate) etcd_copy: Option<EtcdCopy>,
}

#[derive(Deserialize)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    #[serde(default, deserialize_with = "present")]
    pub(crate) body: Option<Value>,
    #[serde(default)]
    pub(crate) body_text: Option<String>,
    #[serde(default)]
    pub(crate) body_repeat: Option<Repeat>,
    /// Header of the token to sign where a header holds `<minted>`.
    #[serde(default)]
    pub(crate) token_header: Option<Value>,
    #[serde(default)]
    pub(crate) token_claims: Option<Value>,
    /// In words, which key signs; the shared one when absent.
    #[serde(default)]
    pub(crate) token_key: Option<String>,
}

/// A large body: `prefix`, `count` times `char`, `suffix`.
#[derive(Deserialize)]
pub(crate) struct Repeat {
    prefix: String,
    char: String,
    count: usize,
    suffix: String,
}

#[derive(Deserialize)]
pub(crate) struct Response {
    /// The connection is closed without an answer.
    #[serde(default)]
    pub(crate) dropped: bool,
    #[serde(default)]
    pub(crate) status: u16,
    #[serde(default)]
    pub(crate) headers: Vec<(String, String)>,
    #[serde(default, deserialize_with = "present")]
    pub(crate) json: Option<Value>,
    #[serde(default)]
    pub(crate) text: Option<String>,
    /// Headers and claims of the token pair in the body.
    #[serde(default)]
    pub(crate) tokens: Option<Value>,
}

#[derive(Deserialize)]
pub(crate) struct EtcdPut {
    pub(crate) key: String,
    pub(crate) value_base64: String,
}

#[derive(Deserialize)]
pub(crate) struct EtcdDelete {
    #[serde(default)]
    key: Option<String>,
    #[serde(default)]
    keys: Vec<String>,
}

#[derive(Deserialize)]
pub(crate) struct EtcdCopy {
    pub(crate) key: String,
    pub(crate) from: String,
    pub(crate) to: String,
}

// === impl Group ===

impl Group {
    /// Reads the group `name`.
    pub(crate) fn load(name: &str) -> Self {
        let path = directory().join(format!("{name}.json"));
        let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        serde_json::from_slice(&bytes).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    }

    /// Whether some exchange of the group reads or writes etcd directly, signing keys aside.
    pub(crate) fn needs_etcd(&self) -> bool {
        self.exchanges.iter().any(|e| e.request.is_none())
    }
}

// === impl Request ===

impl Request {
    /// The body as it goes out, before placeholders are filled in.
    pub(crate) fn body(&self) -> Option<String> {
        if let Some(json) = &self.body {
            return Some(json.to_string());
        }
        if let Some(repeat) = &self.body_repeat {
            let Repeat { prefix, char, count, suffix } = repeat;
            return Some(format!("{prefix}{}{suffix}", char.repeat(*count)));
        }
        self.body_text.clone()
    }
}

// === impl Response ===

impl Response {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }
}

// === impl EtcdDelete ===

impl EtcdDelete {
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        self.key.iter().chain(&self.keys).map(String::as_str)
    }
}

/// Where the recorded exchanges are.
pub(crate) fn directory() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/sensu-6.12"))
}

/// Tells a JSON `null` from an absent key.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}
