//! The client side of TLS from certificate files, for clusters and for etcd.

mod client;
mod danger;
mod error;

pub use client::ClientFiles;
pub use error::TlsError;
