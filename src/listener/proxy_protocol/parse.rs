use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

use memchr::memchr;

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::listener) struct Header {
    /// Who has connected to the load balancer; `None` when it is the client itself, or the client has no address.
    pub(in crate::listener) source: Option<SocketAddr>,
    /// Bytes of the whole header, which may be more than have arrived.
    pub(in crate::listener) length: usize,
}

/// What came is no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::listener) enum Malformed {
    /// It begins like neither version: usually the load balancer sends none, or somebody has passed it by.
    #[error("the connection does not begin with a PROXY header")]
    Missing,
    /// A line of version 1 that has no end within its 107 bytes, or does not read as the protocol says.
    #[error("the PROXY header of version 1 is malformed")]
    Text,
    /// A version, command, family or transport that does not exist, or addresses cut short.
    #[error("the PROXY header of version 2 is malformed")]
    Binary,
}

/// Reads a header from the first bytes of a connection. `None` asks for more of them, of which there is never need for more
/// than `MOST`.
pub(in crate::listener) fn parse(bytes: &[u8]) -> Result<Option<Header>, Malformed> {
    if begins(bytes, BINARY) {
        binary(bytes)
    } else if begins(bytes, TEXT) {
        text(bytes)
    } else {
        Err(Malformed::Missing)
    }
}

/// Whether one is the beginning of the other.
fn begins(bytes: &[u8], signature: &[u8]) -> bool {
    let common = bytes.len().min(signature.len());
    bytes[..common] == signature[..common]
}

/// Version 1: `PROXY TCP4 192.0.2.1 10.0.0.1 40000 443`, and a line end.
fn text(bytes: &[u8]) -> Result<Option<Header>, Malformed> {
    let most = bytes.len().min(LINE);
    let Some(end) = memchr(b'\n', &bytes[..most]) else {
        return if most < LINE { Ok(None) } else { Err(Malformed::Text) };
    };
    let line = bytes[..end].strip_suffix(b"\r").and_then(|line| line.strip_prefix(TEXT));
    let line = line.ok_or(Malformed::Text)?;
    let source = match line.split_at_checked(UNKNOWN.len()) {
        // What follows is ignored, says the protocol.
        Some((UNKNOWN, [] | [b' ', ..])) => None,
        _ => Some(addresses(line).ok_or(Malformed::Text)?),
    };
    Ok(Some(Header { source, length: end + 1 }))
}

fn addresses(line: &[u8]) -> Option<SocketAddr> {
    let mut words = std::str::from_utf8(line).ok()?.split(' ');
    let source = match words.next()? {
        "TCP4" => both::<Ipv4Addr>(&mut words)?.into(),
        "TCP6" => both::<Ipv6Addr>(&mut words)?.into(),
        _ => return None,
    };
    let (port, _) = (port(words.next()?)?, port(words.next()?)?);
    words.next().is_none().then(|| SocketAddr::new(source, port))
}

/// The source address; the destination's has to be one, too.
fn both<'a, A: FromStr>(words: &mut impl Iterator<Item = &'a str>) -> Option<A> {
    let source = words.next()?.parse().ok()?;
    words.next()?.parse::<A>().ok()?;
    Some(source)
}

/// Digits only, and no zero in front of others.
fn port(text: &str) -> Option<u16> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    is_plain.then(|| text.parse().ok()).flatten()
}

/// Version 2: signature, version and command, family and transport, length; then addresses and fields of which none is
/// needed.
fn binary(bytes: &[u8]) -> Result<Option<Header>, Malformed> {
    let Some((fixed, rest)) = bytes.split_at_checked(FIXED) else { return Ok(None) };
    let (command, family, transport) = (fixed[12], fixed[13] >> 4, fixed[13] & 15);
    let said = usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    let length = FIXED + said;
    let nobody = Ok(Some(Header { source: None, length }));
    match command {
        // The load balancer's own connection, a health check. The rest of the header means nothing.
        0x20 => return nobody,
        0x21 => {}
        _ => return Err(Malformed::Binary),
    }
    let addresses = match family {
        0 => 0,
        1 => 12,
        2 => 36,
        3 => 216,
        _ => return Err(Malformed::Binary),
    };
    if said < addresses || transport > 2 {
        return Err(Malformed::Binary);
    }
    // As HAProxy itself: the address counts where it is one of TCP.
    if transport != 1 || !matches!(family, 1 | 2) {
        return nobody;
    }
    let Some(addresses) = rest.get(..addresses) else { return Ok(None) };
    let source = if let [a, b, c, d, _, _, _, _, p, q, _, _] = *addresses {
        SocketAddr::new(Ipv4Addr::new(a, b, c, d).into(), u16::from_be_bytes([p, q]))
    } else {
        let mut address = [0; 16];
        address.copy_from_slice(&addresses[..16]);
        let port = u16::from_be_bytes([addresses[32], addresses[33]]);
        SocketAddr::new(Ipv6Addr::from(address).into(), port)
    };
    Ok(Some(Header { source: Some(source), length }))
}

/// What version 1 begins with.
const TEXT: &[u8] = b"PROXY ";

const UNKNOWN: &[u8] = b"UNKNOWN";

/// Longest line of version 1, its end included.
const LINE: usize = 107;

/// What version 2 begins with.
const BINARY: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// What version 2 has in any case.
const FIXED: usize = 16;

/// What is enough to read any header.
#[cfg(test)]
pub(super) const MOST: usize = LINE;
