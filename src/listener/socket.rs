use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

/// A socket could not be bound, usually because the port is taken.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {error}{}", hint(.error))]
pub struct BindError {
    /// The address asked for.
    pub address: SocketAddr,
    /// What the system said.
    pub error: std::io::Error,
}

/// Binds `count` sockets to one address, for one worker each: the kernel spreads connections over them.
///
/// Port 0 takes any free port, the same for all. A first socket without port sharing finds out whether another
/// process has the port: with sharing, one of the same user would silently get half of the connections.
pub fn bind(address: SocketAddr, count: usize) -> Result<Vec<TcpListener>, BindError> {
    let error = |error| BindError { address, error };
    let probe = open(address, false).map_err(error)?;
    let address = probe.local_addr().map_err(error)?;
    drop(probe);
    (0..count.max(1)).map(|_| open(address, true).map_err(error)).collect()
}

fn open(address: SocketAddr, shared: bool) -> std::io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if shared {
        socket.set_reuse_port(true)?;
    }
    if address.is_ipv6() && address.ip().is_unspecified() {
        // `[::]` means every address, IPv4 included, whatever the system's default.
        socket.set_only_v6(false)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    if shared {
        socket.listen(BACKLOG)?;
    }
    Ok(socket.into())
}

fn hint(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::AddrInUse => "; stop the other process or choose another port",
        std::io::ErrorKind::PermissionDenied => "; choose a port above 1023",
        std::io::ErrorKind::AddrNotAvailable => "; this machine does not have that address",
        _ => "",
    }
}

const BACKLOG: i32 = 1024;
