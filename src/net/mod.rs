//! Connections and certificates, the same for clusters, etcd and the gateway's own listener.
//!
//! | Part | Does |
//! |---|---|
//! | [`connect`] | opens a connection: name, addresses in turn, TLS, all before one deadline |
//! | [`advice()`] | what to do about a connection that could not be opened |
//! | [`Backoff`] | how long to wait before the next attempt |
//! | [`Filtered`] | a byte stream that is read through something |
//! | [`Monitored`] | a byte stream that records what its peer last did |
//! | [`TlsConfigs`] | client configurations by certificate files, shared by all workers, reloaded when files change |
//! | [`ServerTls`] | the listener's certificate, replaced while connections go on |
//! | [`certificates_in_use`] | what any of these are made with, and when it expires |
//! | [`read_file`], [`in_time`] | regular files only, bounded in size and in time |
//! | [`read_pem`] | the same for PEM files, without the marks that editors put before their blocks |

mod advice;
mod backoff;
mod dial;
mod file;
mod filter;
mod monitor;
mod pem;
mod tls;

pub use advice::{advice, tls_error};
pub use backoff::Backoff;
pub use dial::{BoxIo, ConnectError, Io, connect, secure};
pub use file::{
    FILE_TIMEOUT, FileTimeout, MAX_FILE, in_time, in_time_then, read_file, read_file_up_to, within,
};
pub use filter::{Filtered, ReadFilter};
pub use monitor::{Monitor, Monitored, Peer};
pub use pem::read_pem;
pub use tls::{
    Certificate, CertificateFile, ClientFiles, ReadFiles, ServerTls, TlsConfigs, TlsError, Usage,
    certificates_in_use,
};
