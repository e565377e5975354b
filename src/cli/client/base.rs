use std::{fmt, str::FromStr};

use crate::types::{Backend, UrlError};

/// The URL that API paths are appended to: scheme, host and port, and perhaps a path such as `/c/alpha`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Base {
    /// Where to connect.
    pub(super) backend: Backend,
    /// Without a slash at its end; empty when there is none.
    pub(super) prefix: String,
    /// As it was written, for the `Host` header.
    authority: String,
}

// === impl Base ===

impl Base {
    /// Value of the `Host` header.
    pub(super) fn host(&self) -> &str {
        &self.authority
    }

    /// Whether both are one server. A token may go to any path of it, but never to another server.
    pub(super) fn is_same_server(&self, other: &Self) -> bool {
        self.backend.tls == other.backend.tls
            && self.backend.port == other.backend.port
            && self.backend.host.eq_ignore_ascii_case(&other.backend.host)
    }

    /// The cluster that a path prefix such as `/c/alpha` goes to.
    pub(super) fn cluster(&self) -> Option<&str> {
        let (before, name) = self.prefix.rsplit_once('/')?;
        before.ends_with("/c").then_some(name)
    }
}

impl FromStr for Base {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let text = text.trim();
        let after_scheme = text.find("://").map_or(0, |at| at + 3);
        let path_at = text[after_scheme..].find('/').map_or(text.len(), |at| at + after_scheme);
        let (origin, path) = text.split_at(path_at);
        let backend: Backend = origin.parse()?;
        let is_legal = |b: u8| b.is_ascii_graphic() && !matches!(b, b'?' | b'#' | b'\\' | b'"' | b'<' | b'>');
        if !path.bytes().all(is_legal) || path.split('/').any(|part| matches!(part, "." | "..")) {
            return Err(UrlError::Extra);
        }
        // Slashes that follow each other count as one: many people end a URL with one and go on with another.
        let parts = path.split('/').filter(|part| !part.is_empty());
        let prefix = parts.fold(String::new(), |prefix, part| prefix + "/" + part);
        Ok(Self { backend, prefix, authority: origin[after_scheme..].to_owned() })
    }
}

impl fmt::Display for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.backend.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(text: &str) -> Base {
        text.parse().unwrap()
    }

    #[test]
    fn a_path_is_kept_and_a_slash_at_the_end_is_not() {
        let gateway = base("https://gw.example.com/c/alpha/");
        assert_eq!((gateway.prefix.as_str(), gateway.host()), ("/c/alpha", "gw.example.com"));
        assert_eq!(gateway.cluster(), Some("alpha"));
        assert_eq!(gateway.to_string(), "https://gw.example.com/c/alpha");
        assert_eq!(base("http://[::1]:8080").host(), "[::1]:8080");
        for url in ["http://a/", "http://a//", "http://a"] {
            assert_eq!(base(url).prefix, "", "{url}");
        }
        assert_eq!(base("http://a//c///alpha//").prefix, "/c/alpha");
        assert_eq!(base("http://a/x/y").cluster(), None);
        for bad in [
            "",
            "gw:8080",
            "ftp://a",
            "https://",
            "https://u:p@a",
            "https://a/?x",
            "https://a/../b",
            "https://a/b c",
        ] {
            assert!(bad.parse::<Base>().is_err(), "{bad}");
        }
    }

    #[test]
    fn servers_differ_by_scheme_host_and_port_only() {
        assert!(base("https://GW/c/alpha").is_same_server(&base("https://gw:443")));
        for other in ["http://gw", "https://gw:8443", "https://gw.example.com"] {
            assert!(!base("https://gw").is_same_server(&base(other)), "{other}");
        }
    }
}
