//! What is usually behind a connection that could not be opened.

use std::{error::Error, io};

use rustls::{AlertDescription, CertificateError, InvalidMessage};

use crate::error::causes;

/// What to do about it, by what the system or the TLS library reports; begins with `; `, or is empty.
pub fn advice(error: &(dyn Error + 'static)) -> &'static str {
    if let Some(error) = tls_error(error) {
        return tls(error);
    }
    match causes(error).find_map(<dyn Error>::downcast_ref::<io::Error>).map(io::Error::kind) {
        Some(io::ErrorKind::ConnectionRefused) => {
            "; nothing listens there: is the port right, and does the server run?"
        }
        Some(io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable) => {
            "; there is no way to it from this machine: see its routes and firewalls"
        }
        Some(io::ErrorKind::PermissionDenied) => "; a firewall of this machine refuses it",
        Some(io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe) => {
            "; the peer, or something on the way, closes connections: is the port right, and http or https?"
        }
        _ => "",
    }
}

/// What the TLS library reports, however it is wrapped.
pub fn tls_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    causes(error).find_map(|cause| {
        // An `io::Error` shows the source of what it wraps, not the wrapped error itself.
        let wrapped = || cause.downcast_ref::<io::Error>()?.get_ref()?.downcast_ref();
        cause.downcast_ref().or_else(wrapped)
    })
}

fn tls(error: &rustls::Error) -> &'static str {
    use rustls::Error as E;
    match error {
        E::InvalidCertificate(error) => certificate(error),
        E::AlertReceived(alert) => received(*alert),
        E::InvalidMessage(InvalidMessage::InvalidContentType) | E::PeerSentOversizedRecord => {
            "; the port does not speak TLS: is https right?"
        }
        E::NoCertificatesPresented => "; the server has no certificate",
        E::NoApplicationProtocol => NO_HTTP,
        E::PeerIncompatible(_) => NOTHING_IN_COMMON,
        E::UnsupportedNameType => "; use a host name that its certificate has",
        _ => "; the server's TLS, or something on the way, is at fault: see the server's log",
    }
}

/// What is wrong with the server's certificate.
fn certificate(error: &CertificateError) -> &'static str {
    use CertificateError as E;
    match error {
        E::UnknownIssuer => "; name the CA that signed its certificate",
        E::BadSignature => "; the CA that is named has another key than the one that signed its certificate",
        E::NotValidForName | E::NotValidForNameContext { .. } => "; use a host name that its certificate has",
        E::Expired | E::ExpiredContext { .. } | E::Revoked => "; renew its certificate",
        E::NotValidYet | E::NotValidYetContext { .. } => {
            "; its certificate is not valid yet: see the clocks of both machines"
        }
        E::InvalidPurpose | E::InvalidPurposeContext { .. } => {
            "; issue a certificate for servers (extended key usage serverAuth)"
        }
        // Known by its name only, which no certificate can forge.
        E::Other(error) if error.to_string().contains("CaUsedAsEndEntity") => {
            "; its certificate is that of a CA: name it as CA if it is to be trusted by itself"
        }
        _ => "; issue another certificate: X.509 v3, signed with SHA-256 or better",
    }
}

/// What the server has against us.
fn received(alert: AlertDescription) -> &'static str {
    use AlertDescription as A;
    match alert {
        A::CertificateRequired | A::NoCertificate => "; it wants a client certificate: name cert and key",
        A::BadCertificate
        | A::UnsupportedCertificate
        | A::CertificateRevoked
        | A::CertificateExpired
        | A::CertificateUnknown
        | A::UnknownCA
        | A::AccessDenied => "; it does not trust the client certificate, or wants one: name cert and key",
        // Servers that choose their certificate by it send these where there is none, as with an IP address.
        A::MissingExtension | A::UnrecognisedName => {
            "; it wants to be asked for by a name that its certificate has, not by an IP address"
        }
        A::HandshakeFailure | A::ProtocolVersion | A::InsufficientSecurity | A::InappropriateFallback => {
            NOTHING_IN_COMMON
        }
        A::NoApplicationProtocol => NO_HTTP,
        _ => "; the server refuses the handshake: see its log",
    }
}

const NOTHING_IN_COMMON: &str = "; it must speak TLS 1.2 or 1.3, with a cipher that is not outdated";
const NO_HTTP: &str = "; it offers no HTTP/1.1: is it the API's port?";

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::{OtherError, PeerIncompatible, PeerMisbehaved};

    use super::*;
    use crate::error::root;

    /// As a handshake reports it.
    fn wrapped(error: rustls::Error) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, error)
    }

    #[derive(Debug, thiserror::Error)]
    #[error("CaUsedAsEndEntity")]
    struct CaUsedAsEndEntity;

    #[test]
    fn every_usual_mistake_with_tls_comes_with_what_to_do() {
        let other = OtherError(Arc::new(CaUsedAsEndEntity));
        for (error, text, expected) in [
            (CertificateError::UnknownIssuer.into(), "UnknownIssuer", "name the CA that signed"),
            (CertificateError::NotValidForName.into(), "NotValidForName", "use a host name that"),
            (CertificateError::Expired.into(), "Expired", "renew its certificate"),
            (CertificateError::NotValidYet.into(), "NotValidYet", "not valid yet: see the clocks"),
            (CertificateError::Other(other).into(), "CaUsedAsEndEntity", "that of a CA: name it as CA"),
            (CertificateError::BadEncoding.into(), "BadEncoding", "issue another certificate"),
            (CertificateError::InvalidPurpose.into(), "InvalidPurpose", "serverAuth"),
            (InvalidMessage::InvalidContentType.into(), "InvalidContentType", "does not speak TLS"),
            (rustls::Error::PeerSentOversizedRecord, "excess record", "does not speak TLS"),
            (
                rustls::Error::AlertReceived(AlertDescription::MissingExtension),
                "MissingExtension",
                "by a name that its certificate has",
            ),
            (
                rustls::Error::AlertReceived(AlertDescription::CertificateRequired),
                "CertificateRequired",
                "it wants a client certificate",
            ),
            (PeerIncompatible::ServerDoesNotSupportTls12Or13.into(), "Tls12Or13", "TLS 1.2 or 1.3"),
            (PeerMisbehaved::TooMuchEarlyDataReceived.into(), "TooMuchEarly", "see the server's log"),
        ] {
            let error: rustls::Error = error;
            let error = wrapped(error);
            assert!(root(&error).contains(text), "{}", root(&error));
            let advice = advice(&error);
            assert!(advice.starts_with("; ") && advice.contains(expected), "{error}: {advice}");
        }
        for alert in 0..=255 {
            let error = wrapped(rustls::Error::AlertReceived(AlertDescription::from(alert)));
            assert!(advice(&error).starts_with("; "), "{error}");
        }
    }

    #[test]
    fn every_usual_mistake_with_the_network_comes_with_what_to_do() {
        for (kind, expected) in [
            (io::ErrorKind::ConnectionRefused, "nothing listens there"),
            (io::ErrorKind::HostUnreachable, "no way to it"),
            (io::ErrorKind::NetworkUnreachable, "no way to it"),
            (io::ErrorKind::PermissionDenied, "a firewall"),
            (io::ErrorKind::ConnectionReset, "closes connections"),
            (io::ErrorKind::UnexpectedEof, "closes connections"),
        ] {
            assert!(advice(&io::Error::from(kind)).contains(expected), "{kind}");
        }
        assert_eq!(advice(&io::Error::other("x")), "");
    }
}
