use std::net::{IpAddr, SocketAddr};

/// What is known of the connection that a request came over; in the extensions of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnInfo {
    /// Who has opened it: the socket's peer, or whom its PROXY header names.
    pub peer: SocketAddr,
    /// Who has sent the request: the peer, or, where that is a trusted proxy, the first address behind it that is none.
    pub client: IpAddr,
    /// Whether it speaks TLS.
    pub tls: bool,
}

// === impl ConnInfo ===

impl ConnInfo {
    /// A connection whose peer is taken for the client.
    pub fn new(peer: SocketAddr, tls: bool) -> Self {
        // A dual-stack socket names an IPv4 peer as `::ffff:192.0.2.1`.
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        Self { peer, client: peer.ip(), tls }
    }
}
