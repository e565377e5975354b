//! How the commands introduce themselves to a server, and what they say of one that does not answer.

use std::error::Error;

use crate::error::causes;

/// What to do about a server or a proxy that is not trusted, from rustls's name for the cause.
pub(super) fn untrusted(server: &str, cause: &str) -> String {
    if cause.contains("InvalidContentType") {
        return format!("no TLS at {server}: something else answers there: is it an http URL?");
    }
    if cause.contains("CaUsedAsEndEntity") {
        return format!(
            "no trusted connection to {server}: its certificate is that of a CA: give it as --trusted-ca-file if it is to \
             be trusted by itself"
        );
    }
    if cause.contains("ShortRsaKey") {
        return format!(
            "no trusted connection to {server}: its RSA key has fewer than 2,048 bits: give it another certificate"
        );
    }
    format!("no trusted connection to {server}: {cause}; --trusted-ca-file names the CA to trust")
}

/// The innermost cause, which is the most specific.
pub(super) fn deepest(error: &(dyn Error + 'static)) -> String {
    let cause = causes(error).last().map(ToString::to_string).unwrap_or_default();
    // Libraries append where their programmers' documentation is.
    cause.split(": https://docs.rs/").next().unwrap_or_default().to_owned()
}

/// How the commands call themselves.
pub(super) const USER_AGENT: &str = concat!("fedgate/", env!("CARGO_PKG_VERSION"));
