//! The client side of TLS from certificate files, for clusters and for etcd.

mod client;
mod danger;
mod error;
mod file;

pub use client::ClientFiles;
pub use error::TlsError;
pub use file::{FILE_TIMEOUT, Late, MAX_FILE, in_time, in_time_then, read_file};
