use std::{io, path::PathBuf};

use http::StatusCode;

use crate::{
    error::{Access, Advice, Classify, ErrorKind, Reply},
    net::FileTimeout,
};

/// Why a request was not let in. Never holds any part of a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// More than one `Authorization` header: Sensu reads the first only, another proxy might read the last.
    #[error("more than one Authorization header")]
    Duplicate,
    /// No header, or a scheme other than `Bearer` and `Key`, where a credential is needed.
    #[error("no bearer token and no API key")]
    Missing,
    /// `Key` with nothing after it.
    #[error("the API key is empty")]
    EmptyApiKey,
    /// Not three parts of unpadded base64url with JSON inside. Usual cause: a token cut short in a copy.
    #[error("the token is malformed")]
    Malformed,
    /// `alg` is neither ES256 nor ES384, or no key of that curve is configured. Usual cause: a cluster that
    /// signs with its own HS256 secret because it has no key pair.
    #[error("the token's algorithm is not that of a configured key")]
    Algorithm,
    /// No configured key made the signature. Usual cause: a cluster with another key pair.
    #[error("no configured key made the token's signature")]
    Signature,
    /// Well signed, but `exp` is missing or a claim has a type that Sensu refuses.
    #[error("a claim of the token is missing or of a wrong type")]
    Claims,
    /// `exp` has come. The usual refusal: access tokens live for five minutes.
    #[error("the token has expired")]
    Expired,
    /// `nbf` or `iat` lies in the future. Usual cause: the issuer's clock is ahead.
    #[error("the token is not valid yet")]
    NotYetValid,
}

/// Why a key file cannot be used. One line that names the file and says what to do.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// No public key file is configured.
    #[error("no JWT public key is configured: name at least one file in auth.jwt-public-key-files")]
    NoFiles,
    /// More public keys than [`MAX_KEYS`](super::MAX_KEYS), each of which a forged token would cost a check.
    #[error("more than {} JWT public keys: remove the retired ones", super::MAX_KEYS)]
    TooMany,
    /// The file is missing or not readable.
    #[error("cannot read {path}: {error}{}", Advice(error, Access::Read), path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The file could not be read in time.
    #[error("cannot read {path}: {error}", path = path.display())]
    Timeout {
        /// The file.
        path: PathBuf,
        /// What to look at.
        error: FileTimeout,
    },
    /// The file is far larger than any key. Usual cause: a wrong path.
    #[error("{path} is too large for a key file", path = path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// The file holds nothing. Usual cause: a redirect whose command failed.
    #[error("{path} is empty: it should hold a PEM block, -----BEGIN {expected}-----", path = path.display())]
    Empty {
        /// The file.
        path: PathBuf,
        /// The PEM label that belongs there.
        expected: &'static str,
    },
    /// No PEM block. Usual cause: DER, which `openssl pkey -inform DER` converts.
    #[error(
        "{path} holds no PEM block: it should hold -----BEGIN {expected}----- (a DER file: openssl pkey -inform DER{flag} -in {path} -out key.pem)",
        path = path.display(),
        flag = if *expected == PUBLIC_LABEL { " -pubin" } else { "" }
    )]
    NotPem {
        /// The file.
        path: PathBuf,
        /// The PEM label that belongs there.
        expected: &'static str,
    },
    /// A PEM block that breaks off, is not base64, or holds no key. Usual cause: a cut copy.
    #[error("{path} is damaged: its PEM block cannot be read as a key", path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// A private key where a public one belongs. The gateway should not hold it.
    #[error(
        "{path} is a private key; give the public one: openssl pkey -in {path} -pubout -out jwt_public.pem",
        path = path.display()
    )]
    Private {
        /// The file.
        path: PathBuf,
    },
    /// A certificate where a bare public key belongs.
    #[error(
        "{path} is a certificate; give its public key: openssl x509 -in {path} -noout -pubkey > jwt_public.pem",
        path = path.display()
    )]
    Certificate {
        /// The file.
        path: PathBuf,
    },
    /// A public key where a private one belongs.
    #[error("{path} is a public key; tokens are signed with the private one", path = path.display())]
    Public {
        /// The file.
        path: PathBuf,
    },
    /// A private key under a passphrase.
    #[error(
        "{path} is encrypted; store it without a passphrase: openssl pkey -in {path} -out jwt_private.pem",
        path = path.display()
    )]
    Encrypted {
        /// The file.
        path: PathBuf,
    },
    /// A PEM block of another kind.
    #[error("{path} holds {found:?}, not -----BEGIN {expected}-----", path = path.display())]
    Unexpected {
        /// The file.
        path: PathBuf,
        /// Its PEM label.
        found: String,
        /// The PEM label that belongs there.
        expected: &'static str,
    },
    /// A key of a type that cannot sign ES256 or ES384.
    #[error(
        "{path} is {kind}: {tokens} tokens are not supported; use a P-256 or P-384 pair",
        path = path.display()
    )]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// The type of the key.
        kind: &'static str,
        /// What such a key would sign.
        tokens: &'static str,
    },
    /// The private key is not the other half of any public key. Usual cause: only one file was rotated.
    #[error("{path} does not belong to any of the configured public keys", path = path.display())]
    NoMatch {
        /// The file.
        path: PathBuf,
    },
    /// A token could not be signed: the claims do not serialize, or the random source failed.
    #[error("a token could not be signed")]
    Sign,
}

// === impl AuthError ===

impl Classify for AuthError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Client
    }

    /// As Sensu spells it; what is wrong with a credential is for the log only.
    fn reply(&self) -> Reply {
        match self {
            Self::Duplicate => Reply::router(
                StatusCode::BAD_REQUEST,
                1,
                "more than one Authorization header: send one credential",
            ),
            Self::Missing => Reply::middleware(StatusCode::UNAUTHORIZED, 5, "bad credentials"),
            Self::EmptyApiKey
            | Self::Malformed
            | Self::Algorithm
            | Self::Signature
            | Self::Claims
            | Self::Expired
            | Self::NotYetValid => Reply::middleware(StatusCode::UNAUTHORIZED, 5, "invalid credentials"),
        }
    }
}

/// The PEM label of a public key.
pub(super) const PUBLIC_LABEL: &str = "PUBLIC KEY";
