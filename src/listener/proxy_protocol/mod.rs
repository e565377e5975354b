//! The PROXY protocol, versions 1 and 2: a load balancer that passes a connection on says in front of it who is behind it.
//!
//! A header is read or the connection is closed: were it optional, every client could write one. What a header says beyond
//! the client's address is skipped, and never held in memory.

mod parse;

use std::{io, net::SocketAddr};

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt};

use self::parse::Malformed;
pub(super) use self::parse::parse;
use super::pending::Pending;

/// Whether connections begin with a PROXY header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProxyProtocol {
    /// They do not.
    #[default]
    Off,
    /// They all do, in either version; one without is closed.
    Required,
}

/// Why a connection had no header.
#[derive(Debug, thiserror::Error)]
pub(super) enum HeaderError {
    /// It was closed before its first byte: a health check that only connects.
    #[error("the connection was closed at once")]
    Nothing,
    /// It was closed or broke in the middle of the header.
    #[error("the connection ended within its PROXY header")]
    Ended,
    /// It did not arrive before the deadline of the first request.
    #[error("the PROXY header took too long")]
    TooSlow,
    /// What came is no header: usually the load balancer does not send any.
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

/// Reads the header. Returns whom it names (nobody, when the load balancer itself is the client), and what was read behind
/// it.
pub(super) async fn accept<I>(io: &mut I) -> Result<(Option<SocketAddr>, Pending), HeaderError>
where
    I: AsyncRead + Unpin,
{
    let mut bytes = [0; BUFFER];
    let mut filled = 0;
    let header = loop {
        match io.read(&mut bytes[filled..]).await {
            Ok(0) if filled == 0 => return Err(HeaderError::Nothing),
            Ok(0) | Err(_) => return Err(HeaderError::Ended),
            Ok(read) => filled += read,
        }
        if let Some(header) = parse(&bytes[..filled])? {
            break header;
        }
    };
    let Some(behind) = bytes[..filled].get(header.length..) else {
        skip(io, header.length - filled).await.map_err(|_| HeaderError::Ended)?;
        return Ok((header.source, Pending::default()));
    };
    Ok((header.source, behind.to_vec().into()))
}

async fn skip<I: AsyncRead + Unpin>(io: &mut I, mut left: usize) -> io::Result<()> {
    let mut dropped = [0; 1024];
    while left > 0 {
        let most = left.min(dropped.len());
        match io.read(&mut dropped[..most]).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => left -= read,
        }
    }
    Ok(())
}

/// Any header can be told from fewer bytes.
const BUFFER: usize = 256;

#[cfg(test)]
mod tests;
