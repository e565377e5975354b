use std::path::Path;

use aws_lc_rs::{
    encoding::AsDer,
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
        EcdsaSigningAlgorithm, KeyPair,
    },
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use rustls::pki_types::pem::SectionKind;
use serde::Serialize;

use super::{Curve, KeyError, Keys, PublicKey, error::PUBLIC_LABEL, keys};

/// The private half of a key pair, for tokens that the gateway makes itself.
pub struct SigningKey {
    pair: EcdsaKeyPair,
    public: PublicKey,
}

/// The claims of a token made by the gateway: what Sensu needs, and nothing that a clock ahead could spoil.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct MintClaims<'a> {
    /// When it expires, seconds since the Unix epoch.
    pub exp: i64,
    /// The user's name.
    pub sub: &'a str,
    /// The user's groups.
    pub groups: &'a [String],
}

// === impl SigningKey ===

impl SigningKey {
    /// A new key pair, for demonstrations and tests. `None` if the random source fails.
    pub fn generate(curve: Curve) -> Option<Self> {
        EcdsaKeyPair::generate(signing(curve)).ok().and_then(Self::from_pair)
    }

    /// Loads a PEM file of `PRIVATE KEY` (PKCS #8) or `EC PRIVATE KEY` (SEC 1, RFC 5915) and checks that it
    /// is the other half of one of `keys`. Blocks on the disk.
    ///
    /// # Errors
    ///
    /// A [`KeyError`] that says what the file is instead, or [`KeyError::NoMatch`].
    pub fn load(path: &Path, keys: &Keys) -> Result<Self, KeyError> {
        Self::parse(path, &keys::read(path)?)?.matching(path, keys)
    }

    /// As [`load`](Self::load), but off the runtime's thread, and gives up on a file system that hangs.
    pub async fn load_in_time(path: &Path, keys: &Keys) -> Result<Self, KeyError> {
        Self::parse(path, &keys::read_in_time(path).await?)?.matching(path, keys)
    }

    fn matching(self, path: &Path, keys: &Keys) -> Result<Self, KeyError> {
        if self.fits(keys) { Ok(self) } else { Err(KeyError::NoMatch { path: path.to_owned() }) }
    }

    /// The private key in a file's text. `path` is for messages only.
    pub(super) fn parse(path: &Path, text: &[u8]) -> Result<Self, KeyError> {
        let blocks = keys::blocks(path, text, LABEL)?;
        let private = blocks.iter().find(|(kind, _)| {
            matches!(kind, SectionKind::PrivateKey | SectionKind::EcPrivateKey | SectionKind::RsaPrivateKey)
        });
        let to_owned = || path.to_owned();
        match (private, blocks.first()) {
            (Some((SectionKind::RsaPrivateKey, _)), _) => {
                Err(KeyError::Unsupported { path: to_owned(), kind: "an RSA key", tokens: "RS256" })
            }
            (Some((_, der)), _) => Self::from_der(der).ok_or_else(|| keys::unusable(path, der)),
            (None, Some((SectionKind::PublicKey, _))) => Err(KeyError::Public { path: to_owned() }),
            (None, _) => Err(keys::foreign(to_owned(), text, LABEL)),
        }
    }

    fn from_der(der: &[u8]) -> Option<Self> {
        keys::CURVES
            .into_iter()
            .find_map(|curve| Self::from_pair(EcdsaKeyPair::from_private_key_der(signing(curve), der).ok()?))
    }

    fn from_pair(pair: EcdsaKeyPair) -> Option<Self> {
        let public = PublicKey::from_der(pair.public_key().as_ref())?;
        Some(Self { pair, public })
    }

    /// The curve.
    pub fn curve(&self) -> Curve {
        self.public.curve()
    }

    /// The other half.
    pub fn public_key(&self) -> &PublicKey {
        &self.public
    }

    /// The other half as a PEM file, for a `jwt-public-key-file`.
    pub fn public_pem(&self) -> Result<String, KeyError> {
        let der = self.pair.public_key().as_der().map_err(|_| KeyError::Sign)?;
        Ok(pem(PUBLIC_LABEL, der.as_ref()))
    }

    /// This half as a PEM file (PKCS #8). Secret.
    pub fn private_pem(&self) -> Result<String, KeyError> {
        let der = self.pair.to_pkcs8v1().map_err(|_| KeyError::Sign)?;
        Ok(pem(LABEL, der.as_ref()))
    }

    /// Whether one of these keys verifies what this key signs.
    pub fn fits(&self, keys: &Keys) -> bool {
        const PROBE: &[u8] = b"probe";
        self.sign(PROBE)
            .is_ok_and(|signature| keys.of_curve(self.curve()).any(|key| key.verifies(PROBE, &signature)))
    }

    /// A token of these claims ([`MintClaims`], or anything that serializes to a JSON object).
    ///
    /// # Errors
    ///
    /// [`KeyError::Sign`] when the claims do not serialize or the random source fails.
    pub fn mint<T: Serialize>(&self, claims: &T) -> Result<String, KeyError> {
        self.mint_payload(&serde_json::to_vec(claims).map_err(|_| KeyError::Sign)?)
    }

    /// A token of claims that are written already.
    pub(super) fn mint_payload(&self, claims: &[u8]) -> Result<String, KeyError> {
        let header = format!(r#"{{"alg":"{}","typ":"JWT"}}"#, self.curve().algorithm());
        self.mint_raw(header.as_bytes(), claims)
    }

    /// A token of any header and payload, well signed.
    pub(super) fn mint_raw(&self, header: &[u8], payload: &[u8]) -> Result<String, KeyError> {
        let mut token = URL_SAFE_NO_PAD.encode(header);
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(payload, &mut token);
        let signature = self.sign(token.as_bytes())?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Ok(token)
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let signature = self.pair.sign(&SystemRandom::new(), message).map_err(|_| KeyError::Sign)?;
        Ok(signature.as_ref().to_vec())
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKey").field("curve", &self.curve()).finish_non_exhaustive()
    }
}

fn signing(curve: Curve) -> &'static EcdsaSigningAlgorithm {
    match curve {
        Curve::P256 => &ECDSA_P256_SHA256_FIXED_SIGNING,
        Curve::P384 => &ECDSA_P384_SHA384_FIXED_SIGNING,
    }
}

/// RFC 7468 text encoding.
pub(super) fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut pem = format!("-----BEGIN {label}-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, tail) = rest.split_at(rest.len().min(64));
        pem.push_str(line);
        pem.push('\n');
        rest = tail;
    }
    pem + &format!("-----END {label}-----\n")
}

const LABEL: &str = "PRIVATE KEY";
