//! One proxy: where it is, and what it wants to know.

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};
use http::HeaderValue;
use percent_encoding::percent_decode_str;

use crate::{cli::client::manners::untrusted, types::Backend};

/// A proxy, as a variable of the environment names it. Its text does not have the password.
#[derive(Clone)]
pub(in super::super) struct Proxy {
    variable: &'static str,
    scheme: Scheme,
    server: Backend,
    user: Option<User>,
}

/// How a proxy is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    /// HTTP, over TLS or not.
    Http,
    /// SOCKS 5; names are resolved by the proxy.
    Socks,
}

/// Whom the proxy is to let through.
#[derive(Clone)]
pub(super) struct User {
    pub(super) name: String,
    pub(super) password: String,
}

/// Why a proxy cannot be used. No text repeats what a variable says: it may hold a password.
#[derive(Debug, thiserror::Error)]
pub(in super::super) enum ProxyError {
    /// Not a URL, or no host in it.
    #[error(
        "{variable} is not the URL of a proxy: write it as http://HOST:PORT or http://USER:PASSWORD@HOST:PORT"
    )]
    Url {
        /// The variable.
        variable: &'static str,
    },
    /// A protocol that is not spoken here.
    #[error("{variable} names a proxy of a kind that is not supported: use http://, https:// or socks5://")]
    Scheme {
        /// The variable.
        variable: &'static str,
    },
    /// Set where it cannot be trusted.
    #[error(
        "{variable} is not used by CGI programs, whose clients can set it: unset it, or REQUEST_METHOD if this is none"
    )]
    Cgi {
        /// The variable.
        variable: &'static str,
    },
    /// No connection to the proxy.
    #[error("{proxy} is out of reach: {cause}; correct {variable}, or list the host in NO_PROXY")]
    Unreachable {
        /// What it is called.
        proxy: String,
        /// The variable.
        variable: &'static str,
        /// The innermost cause.
        cause: String,
    },
    /// Its certificate is not trusted.
    #[error("{}", untrusted(.proxy, .cause))]
    Untrusted {
        /// What it is called.
        proxy: String,
        /// The innermost cause.
        cause: String,
    },
    /// Something else than a proxy.
    #[error("{proxy} does not answer as one: is its address right?")]
    NoProxy {
        /// What it is called.
        proxy: String,
    },
    /// 407 without a user.
    #[error("{proxy} asks for a user (407): write it as {example}")]
    UserNeeded {
        /// What it is called.
        proxy: String,
        /// Its URL with a user.
        example: String,
    },
    /// 407 with a user.
    #[error("{proxy} refuses the user or the password that is given there (407)")]
    UserRefused {
        /// What it is called.
        proxy: String,
    },
    /// 407 without `Basic` among the ways.
    #[error(
        "{proxy} asks for a login of another kind than a user and a password (407), which is not supported"
    )]
    OtherLogin {
        /// What it is called.
        proxy: String,
    },
    /// It does not connect to the server.
    #[error("{proxy} does not connect to {server}: {cause}; NO_PROXY names hosts to connect to directly")]
    Refused {
        /// What it is called.
        proxy: String,
        /// The server.
        server: String,
        /// What it says.
        cause: String,
    },
}

// === impl Proxy ===

impl Proxy {
    /// Reads a URL, or only a host and a port.
    pub(super) fn parse(variable: &'static str, text: &str) -> Result<Self, ProxyError> {
        let bad = || ProxyError::Url { variable };
        let (scheme, rest) = text.trim().split_once("://").unwrap_or(("http", text.trim()));
        let (scheme, is_over_tls, default_port) = match scheme.to_ascii_lowercase().as_str() {
            "http" => (Scheme::Http, false, 80),
            "https" => (Scheme::Http, true, 443),
            "socks5" | "socks5h" => (Scheme::Socks, false, 1080),
            _ => return Err(ProxyError::Scheme { variable }),
        };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        // A password with one of these, not encoded: its first part is no host, and must not be shown or looked up as one.
        if rest.get(authority.len()..).is_some_and(|tail| tail.contains('@')) {
            return Err(bad());
        }
        let (user, address) = match authority.rsplit_once('@') {
            Some((user, address)) => (Some(User::parse(user).ok_or_else(bad)?), address),
            None => (None, authority),
        };
        let has_port = address.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']'));
        let address = if has_port { address.to_owned() } else { format!("{address}:{default_port}") };
        let server: Backend = format!("http://{address}").parse().map_err(|_| bad())?;
        Ok(Self { variable, scheme, server: Backend { tls: is_over_tls, ..server }, user })
    }

    /// How it is spoken to.
    pub(super) fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Where it is, and whether it is spoken to over TLS.
    pub(in super::super) fn server(&self) -> &Backend {
        &self.server
    }

    /// Whom it is to let through.
    pub(super) fn user(&self) -> Option<&User> {
        self.user.as_ref()
    }

    /// The scheme of its URL.
    fn protocol(&self) -> &'static str {
        match self.scheme {
            Scheme::Socks => "socks5",
            Scheme::Http if self.server.tls => "https",
            Scheme::Http => "http",
        }
    }

    /// The variable that names it.
    pub(super) fn variable(&self) -> &'static str {
        self.variable
    }

    /// Whether it is sent the requests for this server themselves, with the whole URL, and not asked for a connection.
    pub(in super::super) fn takes_requests_for(&self, server: &Backend) -> bool {
        self.scheme == Scheme::Http && !server.tls
    }

    /// The value of `Proxy-Authorization`.
    pub(in super::super) fn authorization(&self) -> Option<HeaderValue> {
        let User { name, password } = self.user.as_ref()?;
        let mut value =
            HeaderValue::try_from(format!("Basic {}", STANDARD.encode(format!("{name}:{password}")))).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    /// Why it answers 407, from its `Proxy-Authenticate`.
    pub(in super::super) fn unauthorized(&self, headers: &http::HeaderMap) -> ProxyError {
        let proxy = self.to_string();
        let mut ways = headers.get_all(http::header::PROXY_AUTHENTICATE).iter().peekable();
        let is_basic = |way: &HeaderValue| way.as_bytes().to_ascii_lowercase().starts_with(b"basic");
        if ways.peek().is_some() && !ways.any(is_basic) {
            ProxyError::OtherLogin { proxy }
        } else if self.user.is_some() {
            ProxyError::UserRefused { proxy }
        } else {
            let example = format!("{}://USER:PASSWORD@{}", self.protocol(), self.server.authority());
            ProxyError::UserNeeded { proxy, example }
        }
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the proxy {}://{} of {}", self.protocol(), self.server.authority(), self.variable)
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

// === impl User ===

impl User {
    fn parse(text: &str) -> Option<Self> {
        let decode = |part: &str| Some(percent_decode_str(part).decode_utf8().ok()?.into_owned());
        let (name, password) = text.split_once(':').unwrap_or((text, ""));
        Some(Self { name: decode(name)?, password: decode(password)? })
    }
}
