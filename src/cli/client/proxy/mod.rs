//! Proxies on the way to a server, from the environment, as Go's `net/http` and therefore sensuctl finds them.
//!
//! ```text
//!  environment ──► Proxies ── the server's URL, NO_PROXY (bypass) ──► Proxy (address) ──► Through ──► server
//!                                                                        └─ none: a connection of its own
//! ```
//!
//! Only the commands that act for a user have it. The gateway reaches its clusters directly.

mod address;
mod bypass;
mod through;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use self::bypass::Bypass;
use crate::types::Backend;

pub(super) use self::{
    address::{Proxy, ProxyError},
    through::Through,
};

/// The proxies that the environment names.
pub(super) struct Proxies {
    http: Option<Variable>,
    https: Option<Variable>,
    bypass: Bypass,
    /// Whether whoever asks for a page could have set `HTTP_PROXY`, with a header `Proxy`.
    is_cgi: bool,
}

/// A variable that is set.
struct Variable {
    name: &'static str,
    value: String,
}

// === impl Proxies ===

impl Proxies {
    /// Reads `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY`, or their spellings in small letters.
    pub(super) fn of(environment: &BTreeMap<String, String>) -> Self {
        let first = |names: [&'static str; 2]| {
            names.into_iter().find_map(|name| {
                let value = environment.get(name).filter(|value| !value.is_empty())?;
                Some(Variable { name, value: value.clone() })
            })
        };
        let bypass = first(["NO_PROXY", "no_proxy"]).map(|variable| Bypass::read(&variable.value));
        Self {
            http: first(["HTTP_PROXY", "http_proxy"]),
            https: first(["HTTPS_PROXY", "https_proxy"]),
            bypass: bypass.unwrap_or_default(),
            is_cgi: environment.get("REQUEST_METHOD").is_some_and(|value| !value.is_empty()),
        }
    }

    /// The proxy for a server, if it has one. A variable that does not matter may say anything.
    pub(super) fn to(&self, server: &Backend) -> Result<Option<Proxy>, ProxyError> {
        let Some(Variable { name, value }) = (if server.tls { &self.https } else { &self.http }) else {
            return Ok(None);
        };
        if self.is_cgi && !server.tls {
            return Err(ProxyError::Cgi { variable: name });
        }
        if self.bypass.has(server) {
            return Ok(None);
        }
        Proxy::parse(name, value).map(Some)
    }
}
