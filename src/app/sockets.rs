use std::net::{SocketAddr, TcpListener};

use super::error::BuildError;
use crate::{config::Root, listener};

/// The sockets of a gateway: bound, and with connections waiting before anything is accepted.
pub struct Sockets {
    pub(super) workers: Vec<TcpListener>,
    pub(super) admin: TcpListener,
}

// === impl Sockets ===

impl Sockets {
    /// Those that the configuration names.
    pub(super) fn bind(root: &Root) -> Result<Self, BuildError> {
        let named = |key| move |error| BuildError::Bind { key, error };
        let workers = listener::bind(root.listen.address, worker_count(root.listen.workers));
        let admin = listener::bind(root.admin.address, 1);
        Ok(Self {
            workers: workers.map_err(named("listen.address"))?,
            admin: admin.map_err(named("admin.address"))?.remove(0),
        })
    }

    /// Sockets that were bound by the caller: one main listener for each worker, at least one, and the admin listener.
    pub fn new(workers: Vec<TcpListener>, admin: TcpListener) -> Self {
        Self { workers, admin }
    }

    /// The addresses in use: the main listener's and the admin listener's.
    pub fn addresses(&self) -> std::io::Result<(SocketAddr, SocketAddr)> {
        Ok((self.workers[0].local_addr()?, self.admin.local_addr()?))
    }
}

/// How many workers `listen.workers` asks for; 0 is one for each core.
pub fn worker_count(configured: usize) -> usize {
    match configured {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        workers => workers,
    }
}
