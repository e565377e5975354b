//! A small client of etcd v3: the calls in use, and a mirror of a key range that survives every fault of the store.
//!
//! | Part | Does |
//! |---|---|
//! | [`Client`] | single calls, with a deadline each, over one shared connection |
//! | [`KeepAlive`] | renews one lease, on one stream over that connection |
//! | [`WatchStream`] | one watch on one connection; ends when either does |
//! | [`Mirror`] | load and watch without end: reconnects, resumes, reloads |
//! | [`proto`] | etcd's messages |
//!
//! Streams and connections end, at etcd too, with what holds them: a stream is open only inside a value of the types
//! above, and everything that hyper runs for a connection ends with its last user.
//!
//! The messages are written here by hand (derived, not generated), so that building needs no `protoc`. HTTP/2 is
//! hyper's and TLS rustls', as everywhere in this crate; tonic does the framing of gRPC.

mod client;
mod connection;
mod duplex;
mod error;
mod explain;
mod keep_alive;
mod machine;
mod mirror;
pub mod proto;
mod rights;
#[cfg(test)]
mod tests;
mod watch;

use std::time::Duration;

pub use client::{Client, Lease};
pub use error::Error;
pub use explain::explain;
pub use keep_alive::KeepAlive;
pub use machine::Event;
pub use mirror::Mirror;
pub use watch::WatchStream;

pub use crate::net::TlsError;
use crate::types::{Backend, TlsFiles};

/// How to reach an etcd cluster.
#[derive(Clone, Debug)]
pub struct Config {
    /// Its members' client URLs; at least one. Tried in this order, from the last one that worked.
    pub endpoints: Vec<Backend>,
    /// Certificates, for `https` endpoints. The files are read again for each connection: a rotation needs no
    /// restart.
    pub tls: TlsFiles,
    /// For name, TCP and TLS of one connection together; shorter than `request_timeout`, so that there is time for
    /// another endpoint.
    pub dial_timeout: Duration,
    /// For one call, connecting included. Watches have none.
    pub request_timeout: Duration,
    /// Silence after which the peer of an open call or watch is pinged. etcd refuses less than 5 s.
    pub keep_alive_interval: Duration,
    /// How long a ping may stay without answer before the connection counts as dead.
    pub keep_alive_timeout: Duration,
}

// === impl Config ===

impl Config {
    /// The default times: 2 s to connect, 5 s for a call, and a dead peer noticed within 15 s.
    pub fn new(endpoints: Vec<Backend>, tls: TlsFiles) -> Self {
        Self {
            endpoints,
            tls,
            dial_timeout: Duration::from_secs(2),
            request_timeout: Duration::from_secs(5),
            keep_alive_interval: Duration::from_secs(10),
            keep_alive_timeout: Duration::from_secs(5),
        }
    }
}
