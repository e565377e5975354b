use std::{fmt, net::Ipv6Addr, path::PathBuf, str::FromStr, sync::Arc};

use super::ClusterName;

/// One URL of a cluster: scheme, host and port, nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Backend {
    /// Whether the scheme is `https`.
    pub tls: bool,
    /// Host name or address literal, IPv6 without brackets.
    pub host: String,
    /// Port; 443 or 80 by scheme when the URL has none.
    pub port: u16,
}

/// Certificate files for the connections to a cluster; paths on the gateway's machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct TlsFiles {
    /// CA bundle that replaces the system roots.
    pub trusted_ca_file: Option<PathBuf>,
    /// Client certificate chain; needs `key_file`.
    pub cert_file: Option<PathBuf>,
    /// Client key; needs `cert_file`.
    pub key_file: Option<PathBuf>,
    /// Accept any server certificate. Shown in the log and the status.
    pub insecure_skip_tls_verify: bool,
}

/// Gives sections of the configuration that have the keys of [`TlsFiles`] a method that returns them. The keys cannot be
/// a struct of their own: a flattened one loses the names of the keys in its errors.
macro_rules! certificate_files {
    ($($section:ty),*) => {
        $(impl $section {
            /// The certificate files of its connections.
            pub fn tls(&self) -> $crate::types::TlsFiles {
                $crate::types::TlsFiles {
                    trusted_ca_file: self.trusted_ca_file.clone(),
                    cert_file: self.cert_file.clone(),
                    key_file: self.key_file.clone(),
                    insecure_skip_tls_verify: self.insecure_skip_tls_verify,
                }
            }
        })*
    };
}
pub(crate) use certificate_files;

/// Where a cluster's registration comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// Registered through the `federation/v1` API.
    Api,
    /// Listed in the configuration file; read-only in the API.
    Config,
    /// The local cluster.
    Local,
}

/// A cluster as the data plane sees it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Cluster {
    /// Its unique name.
    pub name: ClusterName,
    /// At least one backend, in the order given.
    pub backends: Vec<Backend>,
    /// Certificates for its backends.
    pub tls: TlsFiles,
    /// Where its registration comes from.
    pub source: Source,
}

/// The set of clusters at one moment: `local-cluster` first, then by name. Never changed in place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    clusters: Vec<Arc<Cluster>>,
    is_loaded: bool,
}

/// Why a backend URL was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Not `http://…` or `https://…`.
    #[error("must start with http:// or https://")]
    Scheme,
    /// Empty or malformed host, or a port that is not a number from 1 to 65535.
    #[error("must name a host and, if any, a port from 1 to 65535")]
    Authority,
    /// A path, query, fragment or user information.
    #[error("must be only scheme, host and port: no path, query or user")]
    Extra,
}

// === impl Backend ===

impl FromStr for Backend {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let (scheme, rest) = text.split_once("://").ok_or(UrlError::Scheme)?;
        let tls = scheme.eq_ignore_ascii_case("https");
        if !tls && !scheme.eq_ignore_ascii_case("http") {
            return Err(UrlError::Scheme);
        }
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains(['/', '?', '#', '@', '\\']) {
            return Err(UrlError::Extra);
        }
        let authority: http::uri::Authority = rest.parse().map_err(|_| UrlError::Authority)?;
        let host = authority.host();
        let literal = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let is_good = match literal {
            Some(address) => address.parse::<Ipv6Addr>().is_ok(),
            None => is_name(host),
        };
        if !is_good {
            return Err(UrlError::Authority);
        }
        let host = literal.unwrap_or(host);
        let explicit_port = rest.rsplit_once(':').filter(|(_, port)| !port.contains(']'));
        let port = match explicit_port {
            Some((_, port)) => port.parse().ok().filter(|p| *p != 0).ok_or(UrlError::Authority)?,
            None if tls => 443,
            None => 80,
        };
        Ok(Self { tls, host: host.to_owned(), port })
    }
}

/// A host name or an IPv4 address (RFC 1123 §2.1, and the underscores that container networks have).
fn is_name(host: &str) -> bool {
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    let is_label = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(legal);
    host.len() <= 253 && host.strip_suffix('.').unwrap_or(host).split('.').all(is_label)
}

impl Backend {
    /// Host and port as in a URL and in a `Host` header (RFC 9110 §7.2), the port always written.
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.authority())
    }
}

// === impl Snapshot ===

impl Snapshot {
    /// Sorts the clusters; of two with one name the first is kept.
    pub fn new(clusters: impl IntoIterator<Item = Cluster>) -> Self {
        let mut clusters: Vec<_> = clusters.into_iter().map(Arc::new).collect();
        clusters.sort_by(|a, b| a.name.cmp(&b.name));
        clusters.dedup_by(|b, a| a.name == b.name);
        Self { clusters, is_loaded: true }
    }

    /// The same clusters before the registry has been read: there may be more.
    #[must_use]
    pub fn without_registered(self) -> Self {
        Self { is_loaded: false, ..self }
    }

    /// Whether these are all clusters there are.
    pub fn is_loaded(&self) -> bool {
        self.is_loaded
    }

    /// The cluster of that name.
    pub fn get(&self, name: &str) -> Option<&Arc<Cluster>> {
        // Few clusters and one cache line each: a linear search beats hashing the name.
        self.clusters.iter().find(|c| c.name.as_str() == name)
    }

    /// All clusters, `local-cluster` first.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Arc<Cluster>> {
        self.clusters.iter()
    }

    /// How many clusters there are.
    pub fn len(&self) -> usize {
        self.clusters.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.clusters.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backend_urls_are_scheme_host_and_port_only() {
        let parse = |text: &str| text.parse::<Backend>().map(|b| b.to_string());
        assert_eq!(parse("https://a.example.com"), Ok("https://a.example.com:443".into()));
        assert_eq!(parse("http://[::1]:8080/"), Ok("http://[::1]:8080".into()));
        assert_eq!(parse("http://[::1]"), Ok("http://[::1]:80".into()));
        assert_eq!(parse("ftp://a"), Err(UrlError::Scheme));
        assert_eq!(parse("https://a/api"), Err(UrlError::Extra));
        assert_eq!(parse("https://u:p@a"), Err(UrlError::Extra));
        assert_eq!(parse("HTTPS://A_b.example.com."), Ok("https://A_b.example.com.:443".into()));
        assert_eq!(parse("https:/a"), Err(UrlError::Scheme));
        for bad in [
            "https://",
            "https://:80",
            "http://a:0",
            "http://a:70000",
            "http://a:",
            "http://a b",
            "http://a..b",
            "http://*",
            "http://a,b",
            "http://a%20b",
            "http://$(a)",
            "http://[::1",
            "http://[a]",
            "http://::1:80",
            "http://..",
        ] {
            assert_eq!(parse(bad), Err(UrlError::Authority), "{bad}");
        }
    }
}
