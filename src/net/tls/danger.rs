//! Accepting any server certificate, for clusters and etcd endpoints with `insecure-skip-tls-verify`.

use rustls::{
    DigitallySignedStruct, Error, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};

use super::{
    PROVIDER,
    in_use::InUse,
    x509::{self, Key},
};

/// Checks no chain, no name, no version and no extension. Signatures are still verified: the peer must hold the key of the
/// certificate it shows.
#[derive(Debug)]
pub(super) struct AcceptAny {
    pub(super) _in_use: InUse,
}

impl ServerCertVerifier for AcceptAny {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, signature, &PROVIDER.signature_verification_algorithms)
            .or_else(|error| verify_with_key(message, cert, signature, error))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, signature, &PROVIDER.signature_verification_algorithms)
            .or_else(|error| verify_with_key(message, cert, signature, error))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        PROVIDER.signature_verification_algorithms.supported_schemes()
    }
}

/// What webpki does not read, X.509 v1 or an unknown critical extension, still has a key.
fn verify_with_key(
    message: &[u8],
    cert: &CertificateDer<'_>,
    signature: &DigitallySignedStruct,
    error: Error,
) -> Result<HandshakeSignatureValid, Error> {
    let key = match x509::public_key(cert) {
        None | Some(Key::ShortRsa(None)) => return Err(error),
        Some(Key::ShortRsa(Some(key))) => {
            let is_good = key.has_signed(signature.scheme, message, signature.signature());
            return if is_good { Ok(HandshakeSignatureValid::assertion()) } else { Err(error) };
        }
        Some(Key::Verifiable(key)) => key,
    };
    let algorithms = PROVIDER.signature_verification_algorithms.mapping;
    let mut algorithms =
        algorithms.iter().filter(|(scheme, _)| *scheme == signature.scheme).flat_map(|(_, found)| *found);
    if algorithms.any(|algorithm| algorithm.verify_signature(&key, message, signature.signature()).is_ok()) {
        return Ok(HandshakeSignatureValid::assertion());
    }
    Err(error)
}
