use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
};

use aws_lc_rs::{
    encoding::AsDer,
    signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, EcdsaVerificationAlgorithm, ParsedPublicKey,
    },
};
use jsonwebtoken::{Algorithm, DecodingKey, crypto::aws_lc::DEFAULT_PROVIDER};
use rustls::pki_types::pem::{self, SectionKind};

use super::{KeyError, MAX_KEYS, error::PUBLIC_LABEL};
use crate::net::{in_time, read_pem};

/// The two curves whose tokens are accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Curve {
    /// NIST P-256, which signs ES256.
    P256,
    /// NIST P-384, which signs ES384.
    P384,
}

/// One public key.
#[derive(Clone, Debug)]
pub struct PublicKey {
    curve: Curve,
    key: DecodingKey,
}

/// The public keys in use, tried in order.
#[derive(Clone, Debug, Default)]
pub struct Keys(Vec<PublicKey>);

/// Reads public keys from disk.
#[derive(Debug)]
pub struct KeyFiles;

// === impl Curve ===

impl Curve {
    /// `alg` of the tokens of this curve (RFC 7518 §3.4).
    pub fn algorithm(self) -> &'static str {
        match self {
            Self::P256 => "ES256",
            Self::P384 => "ES384",
        }
    }

    fn jwt_algorithm(self) -> Algorithm {
        match self {
            Self::P256 => Algorithm::ES256,
            Self::P384 => Algorithm::ES384,
        }
    }

    fn verification(self) -> &'static EcdsaVerificationAlgorithm {
        match self {
            Self::P256 => &ECDSA_P256_SHA256_FIXED,
            Self::P384 => &ECDSA_P384_SHA384_FIXED,
        }
    }
}

// === impl PublicKey ===

impl PublicKey {
    /// A key from DER: `SubjectPublicKeyInfo` (RFC 5480), or the bare point of SEC 1. `None` if it is neither,
    /// or of another curve.
    pub fn from_der(der: &[u8]) -> Option<Self> {
        CURVES.into_iter().find_map(|curve| {
            let parsed = ParsedPublicKey::new(curve.verification(), der).ok()?;
            // Whatever form it came in, it is kept as SPKI.
            let spki = parsed.as_der().ok()?;
            Some(Self { curve, key: DecodingKey::from_ec_der(spki.as_ref()) })
        })
    }

    /// The curve.
    pub fn curve(&self) -> Curve {
        self.curve
    }

    /// Whether this key made the signature (`r || s`, RFC 7518 §3.4).
    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        // The provider is named, not taken from the process default, which another crate could replace.
        (DEFAULT_PROVIDER.verifier_factory)(&self.curve.jwt_algorithm(), &self.key)
            .is_ok_and(|verifier| verifier.verify(message, &signature.to_vec()).is_ok())
    }
}

// === impl Keys ===

impl Keys {
    /// These keys, in this order.
    pub fn new(keys: Vec<PublicKey>) -> Self {
        Self(keys)
    }

    /// All keys, in order.
    pub fn iter(&self) -> std::slice::Iter<'_, PublicKey> {
        self.0.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn of_curve(&self, curve: Curve) -> impl Iterator<Item = &PublicKey> {
        self.0.iter().filter(move |key| key.curve == curve)
    }
}

impl<'a> IntoIterator for &'a Keys {
    type Item = &'a PublicKey;
    type IntoIter = std::slice::Iter<'a, PublicKey>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

// === impl KeyFiles ===

impl KeyFiles {
    /// Loads every public key of every file, in order. Blocks on the disk.
    ///
    /// A file holds one or more PEM blocks `PUBLIC KEY` (SPKI) or `EC PUBLIC KEY` (SPKI or a SEC 1 point);
    /// text and blocks of other kinds around them are ignored.
    ///
    /// # Errors
    ///
    /// The first file that gives no usable key, with a line that says what it is instead.
    pub fn load(paths: &[PathBuf]) -> Result<Keys, KeyError> {
        let mut keys = Vec::with_capacity(paths.len());
        for path in paths {
            keys.append(&mut parse_public(path, &read(path)?)?);
        }
        bounded(keys)
    }

    /// As [`load`](Self::load), but off the runtime's thread, and gives up on a file system that hangs.
    pub async fn load_in_time(paths: &[PathBuf]) -> Result<Keys, KeyError> {
        let mut keys = Vec::with_capacity(paths.len());
        for path in paths {
            keys.append(&mut parse_public(path, &read_in_time(path).await?)?);
        }
        bounded(keys)
    }
}

fn bounded(keys: Vec<PublicKey>) -> Result<Keys, KeyError> {
    match keys.len() {
        0 => Err(KeyError::NoFiles),
        1..=MAX_KEYS => Ok(Keys(keys)),
        _ => Err(KeyError::TooMany),
    }
}

/// The public keys of a file's text. `path` is for messages only.
pub(super) fn parse_public(path: &Path, text: &[u8]) -> Result<Vec<PublicKey>, KeyError> {
    let blocks = blocks(path, text, PUBLIC_LABEL)?;
    let keys: Vec<PublicKey> = blocks
        .iter()
        .filter(|(kind, _)| *kind == SectionKind::PublicKey)
        .map(|(_, der)| PublicKey::from_der(der).ok_or_else(|| unusable(path, der)))
        .collect::<Result<_, _>>()?;
    if !keys.is_empty() {
        return Ok(keys);
    }
    let path = path.to_owned();
    Err(match blocks.first() {
        Some((SectionKind::PrivateKey | SectionKind::EcPrivateKey | SectionKind::RsaPrivateKey, _)) => {
            KeyError::Private { path }
        }
        Some((SectionKind::Certificate, _)) => KeyError::Certificate { path },
        _ => foreign(path, text, PUBLIC_LABEL),
    })
}

/// The PEM blocks of the kinds that the reader supports.
pub(super) fn blocks(
    path: &Path,
    text: &[u8],
    expected: &'static str,
) -> Result<Vec<(SectionKind, Vec<u8>)>, KeyError> {
    if text.trim_ascii().is_empty() {
        return Err(KeyError::Empty { path: path.to_owned(), expected });
    }
    // Some tools label a public EC key so; to the PEM reader that is an unknown kind.
    let text = String::from_utf8_lossy(text).replace(" EC PUBLIC KEY-----", " PUBLIC KEY-----");
    let mut rest = text.as_bytes();
    let mut found = Vec::new();
    while let Some(block) =
        pem::from_buf(&mut rest).map_err(|_| KeyError::Damaged { path: path.to_owned() })?
    {
        found.push(block);
    }
    Ok(found)
}

/// Why a file without a block of the expected kind cannot be used.
pub(super) fn foreign(path: PathBuf, text: &[u8], expected: &'static str) -> KeyError {
    let text = String::from_utf8_lossy(text);
    let label = text
        .split_once("-----BEGIN ")
        .and_then(|(_, rest)| rest.split_once("-----"))
        .map(|(label, _)| label)
        .filter(|label| label.len() <= MAX_LABEL);
    match label {
        None => KeyError::NotPem { path, expected },
        Some("ENCRYPTED PRIVATE KEY") if expected == PUBLIC_LABEL => KeyError::Private { path },
        Some("ENCRYPTED PRIVATE KEY") => KeyError::Encrypted { path },
        Some(found) => KeyError::Unexpected { path, found: found.to_owned(), expected },
    }
}

/// Why a key that is neither P-256 nor P-384 cannot be used.
pub(super) fn unusable(path: &Path, der: &[u8]) -> KeyError {
    let path = path.to_owned();
    for (oid, kind, tokens) in FOREIGN_KEYS {
        if memchr::memmem::find(der, oid).is_some() {
            return KeyError::Unsupported { path, kind, tokens };
        }
    }
    KeyError::Damaged { path }
}

/// Reads a whole file of a plausible size.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, KeyError> {
    let path = path.to_owned();
    read_pem(&path, MAX_FILE).map_err(|error| match error.kind() {
        ErrorKind::FileTooLarge => KeyError::TooLarge { path },
        _ => KeyError::Read { path, error },
    })
}

/// As [`read`], but gives up on a file system that hangs.
pub(super) async fn read_in_time(path: &Path) -> Result<Vec<u8>, KeyError> {
    let owned = path.to_owned();
    let timed_out = |error| KeyError::Timeout { path: path.to_owned(), error };
    in_time(move || read(&owned)).await.map_err(timed_out)?
}

pub(super) const CURVES: [Curve; 2] = [Curve::P256, Curve::P384];

/// A key is some hundred bytes; a chain of certificates pasted around it some thousand.
const MAX_FILE: u64 = 64 * 1024;

/// Longest PEM label that is repeated in a message.
const MAX_LABEL: usize = 64;

/// DER object identifiers (tag and length included) of keys that users have, what they are called, and the
/// `alg` that they would sign.
const FOREIGN_KEYS: [(&[u8], &str, &str); 5] = [
    (&[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x23], "a P-521 key", "ES512"),
    (&[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x0a], "a secp256k1 key", "ES256K"),
    (&[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01], "an RSA key", "RS256"),
    (&[0x06, 0x03, 0x2b, 0x65, 0x70], "an Ed25519 key", "EdDSA"),
    (&[0x06, 0x03, 0x2b, 0x65, 0x71], "an Ed448 key", "EdDSA"),
];
