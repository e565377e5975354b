use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::{Instant, timeout_at},
};
use tokio_rustls::TlsConnector;

use super::TlsError;
use crate::types::Backend;

/// What a connection reads from and writes to.
pub type BoxIo = Box<dyn Io>;

/// A byte stream in both directions.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

/// Why a connection could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The host name has no address: a typing error or a DNS fault.
    #[error("the host name could not be resolved")]
    Resolve(#[source] io::Error),
    /// No address accepted the connection: nothing listens, or a firewall refuses. Holds the last one's error.
    #[error("the connection was not accepted")]
    Tcp(#[source] io::Error),
    /// The TLS handshake failed: a wrong CA or name, an expired certificate, or no TLS on that port.
    #[error("the TLS handshake failed")]
    Tls(#[source] io::Error),
    /// The certificate files for this peer cannot be used.
    #[error("the certificate files cannot be used")]
    Files(#[source] Arc<TlsError>),
    /// Name, TCP and TLS together took longer than the connect timeout.
    #[error("connecting took too long")]
    Timeout,
}

// === impl Io ===

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Io for T {}

/// Opens a connection over TCP, and over TLS where there is a configuration for it, before the deadline.
pub async fn connect(
    backend: &Backend,
    tls: Option<Arc<ClientConfig>>,
    deadline: Instant,
) -> Result<BoxIo, ConnectError> {
    let open = async {
        let tcp = dial(&backend.host, backend.port, deadline).await?;
        match tls {
            None => Ok(Box::new(tcp) as BoxIo),
            Some(config) => secure(tcp, backend.host.clone(), config).await,
        }
    };
    timeout_at(deadline, open).await.unwrap_or(Err(ConnectError::Timeout))
}

/// Tries each address of a host in turn, so that one that swallows packets leaves time for the others.
async fn dial(host: &str, port: u16, deadline: Instant) -> Result<TcpStream, ConnectError> {
    let addresses = resolve(host, port).await?;
    let mut failure = ConnectError::Resolve(io::ErrorKind::NotFound.into());
    for (tried, address) in addresses.iter().enumerate() {
        let left = u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX);
        let now = Instant::now();
        let share = deadline.saturating_duration_since(now) / left;
        match timeout_at(now + share, TcpStream::connect(address)).await {
            Ok(Ok(tcp)) => {
                // Heads and bodies are written in one piece; waiting to merge them with later bytes only delays.
                tcp.set_nodelay(true).map_err(ConnectError::Tcp)?;
                return Ok(tcp);
            }
            Ok(Err(error)) => failure = ConnectError::Tcp(error),
            Err(_) => failure = ConnectError::Timeout,
        }
    }
    Err(failure)
}

async fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, ConnectError> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let addresses = tokio::net::lookup_host((host, port)).await.map_err(ConnectError::Resolve)?;
    Ok(addresses.take(MAX_ADDRESSES).collect())
}

/// The client side of a TLS handshake over any byte stream.
pub async fn secure(io: impl Io, host: String, config: Arc<ClientConfig>) -> Result<BoxIo, ConnectError> {
    let name = ServerName::try_from(host)
        .map_err(|error| ConnectError::Tls(io::Error::new(io::ErrorKind::InvalidInput, error)))?;
    let stream = TlsConnector::from(config).connect(name, io).await.map_err(ConnectError::Tls)?;
    Ok(Box::new(stream))
}

/// Addresses of one name that are tried.
const MAX_ADDRESSES: usize = 8;
