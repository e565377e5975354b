use std::path::PathBuf;

use rustls::pki_types::pem;

use crate::{
    error::{Access, Advice},
    net::FileTimeout,
};

/// Why certificate files cannot be used. The text names the file.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file is missing or may not be read.
    #[error("cannot read {}: {error}{}", .path.display(), Advice(.error, Access::Read))]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// A file is not PEM, or is damaged.
    #[error("{} is not valid PEM: {}", .path.display(), said(.error))]
    Pem {
        /// The file.
        path: PathBuf,
        /// Where the parser stopped. Its own text has bytes as numbers.
        error: pem::Error,
    },
    /// A PEM file without any certificate: often the key was given in its place.
    #[error("{} contains no certificate", .path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// A PEM file without a private key: often the certificate was given in its place, or the file is half written.
    #[error("{} contains no private key", .path.display())]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// A certificate of the CA bundle cannot be used as a root.
    #[error("{} contains a certificate that cannot be a CA", .path.display())]
    Ca {
        /// The file.
        path: PathBuf,
        /// What rustls says.
        source: rustls::Error,
    },
    /// Certificate and key do not belong together, as during a rotation, or the key is of an unknown type.
    #[error("{} and {} cannot be used as certificate and key", .cert.display(), .key.display())]
    Pair {
        /// The certificate file.
        cert: PathBuf,
        /// The key file.
        key: PathBuf,
        /// What rustls says.
        source: rustls::Error,
    },
    /// Only one of client certificate and key is given.
    #[error("{} is given alone: a client needs both a certificate and a key", .path.display())]
    Half {
        /// The file that was given.
        path: PathBuf,
    },
    /// The system has no CA certificates: install them, or name a CA file.
    #[error("the system has no CA certificates")]
    NoSystemRoots,
    /// The files could not be read in time: their file system hangs.
    #[error("cannot read {}", .path.display())]
    Timeout {
        /// One of the files.
        path: PathBuf,
        /// What to look at.
        source: FileTimeout,
    },
}

// === impl TlsError ===

impl TlsError {
    /// What is wrong with one part of a file, without its name.
    pub(super) fn reason(&self) -> String {
        match self {
            Self::Pem { error, .. } => said(error).to_owned(),
            Self::Ca { source, .. } => source.to_string(),
            error => error.to_string(),
        }
    }
}

fn said(error: &pem::Error) -> &'static str {
    match error {
        pem::Error::MissingSectionEnd { .. } => "a block has no end: is the file cut off?",
        pem::Error::IllegalSectionStart { .. } => "a line that begins a block is malformed",
        pem::Error::Base64Decode(_) => "a block is not base64",
        pem::Error::NoItemsFound => "it has no block of the kind needed here",
        _ => "its blocks cannot be read",
    }
}
