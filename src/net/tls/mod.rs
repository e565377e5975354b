//! TLS from certificate files, for both sides of a connection.

mod bundle;
mod client;
mod configs;
mod danger;
mod error;
mod in_use;
mod pem;
mod rsa;
mod server;
mod verify;
mod x509;

use std::sync::{Arc, LazyLock};

use rustls::crypto::{CryptoProvider, aws_lc_rs};

pub use client::ClientFiles;
pub use configs::{ReadFiles, TlsConfigs};
pub use error::TlsError;
pub use in_use::{CertificateFile, Usage, certificates_in_use};
pub use server::ServerTls;
pub use x509::Certificate;

static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| Arc::new(aws_lc_rs::default_provider()));

#[cfg(test)]
mod tests;
