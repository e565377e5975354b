//! `NO_PROXY`: what is connected to directly.

use std::net::{IpAddr, Ipv6Addr};

use crate::types::{Backend, Cidr, CidrError};

/// The entries of `NO_PROXY`. What cannot be understood matches nothing, as in Go.
#[derive(Debug, Default)]
pub(super) struct Bypass(Vec<Entry>);

#[derive(Debug)]
enum Entry {
    /// `*`
    Everything,
    /// `10.0.0.0/8`
    Block(Cidr),
    /// `10.1.2.3`, `10.1.2.3:8080`, `[fd00::1]:8080`
    Address(IpAddr, Port),
    /// `example.com`, which has all names below it too, or `.example.com` and `*.example.com`, which have only those.
    Domain {
        /// With a dot before it, in small letters.
        suffix: String,
        /// Whether it has the domain itself.
        is_included: bool,
        port: Port,
    },
}

/// The port of an entry that names one. It is compared as text: `http` is a port that no URL has.
#[derive(Debug, PartialEq, Eq)]
struct Port(Option<String>);

// === impl Bypass ===

impl Bypass {
    /// Reads the entries, which commas separate.
    pub(super) fn read(text: &str) -> Self {
        Self(text.split(',').filter_map(|entry| Entry::read(&entry.trim().to_ascii_lowercase())).collect())
    }

    /// Whether a server is connected to directly. This machine always is.
    pub(super) fn has(&self, server: &Backend) -> bool {
        let address = server.host.parse().ok().map(|address: IpAddr| address.to_canonical());
        if server.host.eq_ignore_ascii_case("localhost")
            || address.is_some_and(|address| address.is_loopback())
        {
            return true;
        }
        let host = server.host.to_ascii_lowercase();
        self.0.iter().any(|entry| entry.has(&host, address, server.port))
    }
}

// === impl Entry ===

impl Entry {
    fn read(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::Everything);
        }
        if text.contains('/')
            && let Some(block) = block(text)
        {
            return Some(Self::Block(block));
        }
        let (host, port) = split_port(text);
        if let Ok(address) = host.parse::<IpAddr>() {
            return Some(Self::Address(address.to_canonical(), port));
        }
        let domain = host.strip_prefix('*').filter(|rest| rest.starts_with('.')).unwrap_or(host);
        match domain.strip_prefix('.') {
            _ if domain.is_empty() => None,
            Some(_) => Some(Self::Domain { suffix: domain.to_owned(), is_included: false, port }),
            None => Some(Self::Domain { suffix: format!(".{domain}"), is_included: true, port }),
        }
    }

    fn has(&self, host: &str, address: Option<IpAddr>, server_port: u16) -> bool {
        match (self, address) {
            (Self::Everything, _) => true,
            (Self::Block(block), Some(address)) => block.contains(address),
            (Self::Address(entry, port), Some(address)) => *entry == address && port.has(server_port),
            (Self::Domain { suffix, is_included, port }, None) => {
                let is_it = host.ends_with(suffix.as_str()) || (*is_included && host == &suffix[1..]);
                is_it && port.has(server_port)
            }
            _ => false,
        }
    }
}

/// A block of addresses. Bits past the prefix are no mistake here: `10.1.2.3/8` is all of `10.0.0.0/8`.
fn block(text: &str) -> Option<Cidr> {
    match unmapped(text).as_deref().unwrap_or(text).parse() {
        Ok(block) | Err(CidrError::HostBits(block)) => Some(block),
        Err(CidrError::Syntax) => None,
    }
}

/// A block of IPv4 addresses that is written as IPv6 ones, `::ffff:10.0.0.0/104`, as it is usually written.
fn unmapped(text: &str) -> Option<String> {
    let (address, prefix) = text.split_once('/')?;
    let address = address.parse::<Ipv6Addr>().ok()?.to_ipv4_mapped()?;
    let prefix = prefix.parse::<u8>().ok()?.checked_sub(96)?;
    Some(format!("{address}/{prefix}"))
}

/// Host and port, where the text has one colon, or brackets before the last. Any other text is a host.
fn split_port(text: &str) -> (&str, Port) {
    let whole = (text, Port(None));
    let Some((host, port)) = text.rsplit_once(':') else { return whole };
    let port = Port(Some(port.to_owned()).filter(|port| !port.is_empty()));
    match host.strip_prefix('[') {
        Some(inner) => match inner.strip_suffix(']') {
            Some(inner) if !inner.contains(['[', ']']) => (inner, port),
            _ => whole,
        },
        None if host.contains([':', '[', ']']) => whole,
        None => (host, port),
    }
}

// === impl Port ===

impl Port {
    fn has(&self, port: u16) -> bool {
        self.0.as_ref().is_none_or(|only| *only == port.to_string())
    }
}
