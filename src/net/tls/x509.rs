//! What certificates say beyond what rustls reads of them.

use rustls::{
    CertificateError, Error,
    pki_types::{CertificateDer, UnixTime},
};
use x509_parser::{
    certificate::X509Certificate, prelude::FromDer as _, public_key::PublicKey, x509::SubjectPublicKeyInfo,
};

use super::rsa::ShortKey;

/// What people recognize a certificate by, and when it ends.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Certificate {
    /// The last second of its validity, since the Unix epoch. First, so that the order is that of expiry.
    pub not_after: i64,
    /// Its subject, such as `CN=sensu, O=Example`, of a bounded length.
    pub subject: String,
    /// Its serial number as hexadecimal bytes, such as `0a:1b`, of a bounded length.
    pub serial: String,
}

// === impl Certificate ===

impl Certificate {
    /// `None` for what is no certificate.
    pub(super) fn read(der: &[u8]) -> Option<Self> {
        let cert = parse(der)?;
        Some(Self {
            not_after: cert.validity().not_after.timestamp(),
            subject: cert.subject().to_string().chars().take(MAX_SUBJECT).collect(),
            serial: cert.raw_serial_as_string().chars().take(MAX_SERIAL).collect(),
        })
    }
}

/// Whether a certificate that is trusted by itself may identify a server now: the checks of a chain's first certificate.
/// Its name is checked elsewhere.
pub(super) fn check_server(der: &CertificateDer<'_>, now: UnixTime) -> Result<(), Error> {
    let bad = |error: CertificateError| Err(Error::InvalidCertificate(error));
    let Some(cert) = parse(der) else { return bad(CertificateError::BadEncoding) };
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    if now > cert.validity().not_after.timestamp() {
        return bad(CertificateError::Expired);
    }
    if now < cert.validity().not_before.timestamp() {
        return bad(CertificateError::NotValidYet);
    }
    match cert.extended_key_usage() {
        Ok(None) => Ok(()),
        Ok(Some(usage)) if usage.value.any || usage.value.server_auth => Ok(()),
        Ok(Some(_)) => bad(CertificateError::InvalidPurpose),
        Err(_) => bad(CertificateError::BadEncoding),
    }
}

/// The public key of a certificate of any version, whatever its extensions.
pub(super) enum Key {
    /// One that signatures can be verified with: its bits, as they stand in the certificate.
    Verifiable(Vec<u8>),
    /// RSA of fewer than 2048 bits, which the cryptographic library refuses. `None` when it is too short for anybody.
    ShortRsa(Option<ShortKey>),
}

/// `None` for what is no certificate.
pub(super) fn public_key(der: &[u8]) -> Option<Key> {
    let cert = parse(der)?;
    let key: &SubjectPublicKeyInfo<'_> = cert.public_key();
    Some(match key.parsed() {
        Ok(PublicKey::RSA(rsa)) if rsa.key_size() < MIN_RSA => {
            Key::ShortRsa(ShortKey::new(rsa.modulus, rsa.exponent))
        }
        _ => Key::Verifiable(key.subject_public_key.data.to_vec()),
    })
}

fn parse(der: &[u8]) -> Option<X509Certificate<'_>> {
    X509Certificate::from_der(der).ok().map(|(_, cert)| cert)
}

/// Longest subject that is kept, in characters.
const MAX_SUBJECT: usize = 128;

/// Longest serial number that is kept, in characters: the 20 bytes that RFC 5280 allows.
const MAX_SERIAL: usize = 3 * 20 - 1;

const MIN_RSA: usize = 2048;
