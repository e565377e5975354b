//! TLS from certificate files, for both sides of a connection.

mod client;
mod configs;
mod danger;
mod error;
mod pem;
mod server;

use std::sync::{Arc, LazyLock};

use rustls::crypto::{CryptoProvider, aws_lc_rs};

pub use client::ClientFiles;
pub use configs::{ReadFiles, TlsConfigs};
pub use error::TlsError;
pub use server::ServerTls;

static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| Arc::new(aws_lc_rs::default_provider()));
