use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
};

use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, Type};

/// A socket could not be bound, usually because the port is taken.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {error}{}", hint(.error))]
pub struct BindError {
    /// The address asked for.
    pub address: SocketAddr,
    /// What the system said.
    pub error: io::Error,
}

/// Binds `count` sockets to one address, for one worker each: the kernel spreads connections over them.
///
/// Port 0 takes any free port, the same for all. A first socket without port sharing finds out whether another
/// process has the port: with sharing, one of the same user would silently get half of the connections.
///
/// On a machine without IPv6, `[::]` is every address that there is.
pub fn bind(address: SocketAddr, count: usize) -> Result<Vec<TcpListener>, BindError> {
    bind_by(open, address, count)
}

fn bind_by(
    open: impl Fn(SocketAddr, bool) -> io::Result<TcpListener>,
    mut address: SocketAddr,
    count: usize,
) -> Result<Vec<TcpListener>, BindError> {
    let probe = open(address, false).or_else(|error| {
        if !is_for_want_of_ipv6(address, &error) {
            return Err(error);
        }
        tracing::info!(%error, "this machine has no IPv6: listening on 0.0.0.0 instead of [::]");
        address.set_ip(Ipv4Addr::UNSPECIFIED.into());
        open(address, false)
    });
    let error = |error| BindError { address, error };
    let probe = probe.map_err(error)?;
    let address = probe.local_addr().map_err(error)?;
    drop(probe);
    (0..count.max(1)).map(|_| open(address, true).map_err(error)).collect()
}

/// The kernel lacks the protocol, or has it switched off.
fn is_for_want_of_ipv6(address: SocketAddr, error: &io::Error) -> bool {
    let missing = [Errno::AFNOSUPPORT, Errno::ADDRNOTAVAIL].map(Errno::raw_os_error);
    address.is_ipv6()
        && address.ip().is_unspecified()
        && error.raw_os_error().is_some_and(|error| missing.contains(&error))
}

fn open(address: SocketAddr, shared: bool) -> io::Result<TcpListener> {
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

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => "; stop the other process or choose another port",
        io::ErrorKind::PermissionDenied => "; choose a port above 1023",
        io::ErrorKind::AddrNotAvailable => "; this machine does not have that address",
        _ if error.raw_os_error() == Some(Errno::AFNOSUPPORT.raw_os_error()) => {
            "; this machine has no IPv6: choose an IPv4 address, such as 127.0.0.1"
        }
        _ => "",
    }
}

const BACKLOG: i32 = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_is_every_ipv4_address_where_there_is_no_ipv6() {
        for errno in [Errno::AFNOSUPPORT, Errno::ADDRNOTAVAIL] {
            let without_ipv6 = |address: SocketAddr, shared| {
                if address.is_ipv6() { Err(errno.into()) } else { open(address, shared) }
            };
            let sockets = bind_by(without_ipv6, "[::]:0".parse().unwrap(), 2).unwrap();
            let addresses: Vec<_> = sockets.iter().map(|socket| socket.local_addr().unwrap()).collect();
            assert!(addresses[0].ip().is_unspecified() && addresses[0].is_ipv4(), "{addresses:?}");
            assert_eq!(addresses[0], addresses[1]);
            // Who names one address wants that one.
            let error = bind_by(without_ipv6, "[::1]:0".parse().unwrap(), 1).unwrap_err();
            assert_eq!(error.address, "[::1]:0".parse().unwrap());
            assert!(error.to_string().contains("; this machine "), "{error}");
        }
        let taken = |address: SocketAddr, shared| {
            if address.is_ipv6() { Err(Errno::ADDRINUSE.into()) } else { open(address, shared) }
        };
        let error = bind_by(taken, "[::]:0".parse().unwrap(), 1).unwrap_err();
        assert!(error.address.is_ipv6(), "{error}");
    }
}
