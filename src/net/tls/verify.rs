//! Which server certificates are accepted, unless all are.

use std::{collections::HashSet, sync::Arc};

use aws_lc_rs::digest;
use rustls::{
    CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
    client::{
        VerifierBuilderError, WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_name,
    },
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::ParsedCertificate,
};

use super::{
    PROVIDER,
    in_use::InUse,
    x509::{self, Key},
};

/// Accepts chains that end in a root, as webpki does, and certificates that are roots themselves, as Go's clients do:
/// webpki does not let a CA's certificate identify a server, but that is what a self-signed one from most tutorials is.
#[derive(Debug)]
pub(super) struct Verifier {
    chains: Arc<WebPkiServerVerifier>,
    /// Over each root as a whole.
    trusted: HashSet<[u8; 32]>,
    _in_use: InUse,
}

/// An RSA key of fewer than 2,048 bits. Certificates are shown by the name of what is wrong with them.
#[derive(Debug, thiserror::Error)]
#[error("its RSA key has fewer than 2,048 bits")]
struct ShortRsaKey;

// === impl Verifier ===

impl Verifier {
    /// `certs` are those that `roots` were made of.
    pub(super) fn new(
        roots: RootCertStore,
        certs: &[CertificateDer<'_>],
        in_use: InUse,
    ) -> Result<Self, VerifierBuilderError> {
        let chains = WebPkiServerVerifier::builder_with_provider(roots.into(), PROVIDER.clone()).build()?;
        Ok(Self { chains, trusted: certs.iter().map(|cert| sha256(cert)).collect(), _in_use: in_use })
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let chain =
            self.chains.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        if chain.is_ok() || !self.trusted.contains(&sha256(end_entity)) {
            return chain;
        }
        // Trust in it needs no chain; everything else is asked of it all the same.
        let parsed = ParsedCertificate::try_from(end_entity)?;
        x509::check_server(end_entity, now)?;
        verify_server_name(&parsed, server_name)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chains
            .verify_tls12_signature(message, cert, signature)
            .map_err(|error| or_short_key(cert, error))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chains
            .verify_tls13_signature(message, cert, signature)
            .map_err(|error| or_short_key(cert, error))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chains.supported_verify_schemes()
    }
}

/// A key that the cryptographic library refuses makes no bad signatures.
fn or_short_key(cert: &CertificateDer<'_>, error: Error) -> Error {
    match x509::public_key(cert) {
        Some(Key::ShortRsa(_)) => {
            Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(ShortRsaKey))))
        }
        _ => error,
    }
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut sum = [0; 32];
    sum.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    sum
}
