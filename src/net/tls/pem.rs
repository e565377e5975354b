use std::path::Path;

use rustls::pki_types::{
    CertificateDer, PrivateKeyDer,
    pem::{self, PemObject},
};

use super::TlsError;
use crate::net::{MAX_FILE, read_pem};

/// Blocks as [`read_pem`] does.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    read_pem(path, MAX_FILE).map_err(|error| TlsError::Read { path: path.to_owned(), error })
}

/// The certificates of a PEM text, at least one. `path` is for messages only.
pub(super) fn certificates(text: &[u8], path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certs: Vec<_> = CertificateDer::pem_slice_iter(text)
        .collect::<Result<_, _>>()
        .map_err(|error| TlsError::Pem { path: path.to_owned(), error })?;
    if certs.is_empty() { Err(TlsError::Empty { path: path.to_owned() }) } else { Ok(certs) }
}

/// The first private key of a PEM text. `path` is for messages only.
pub(super) fn private_key(text: &[u8], path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(text).map_err(|error| match error {
        pem::Error::NoItemsFound => TlsError::NoKey { path: path.to_owned() },
        error => TlsError::Pem { path: path.to_owned(), error },
    })
}
