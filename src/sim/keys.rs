use std::{fmt, sync::Arc};

use aws_lc_rs::{
    encoding::{AsDer, PublicKeyX509Der},
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, UnparsedPublicKey,
    },
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use serde_json::Value;

/// The P-256 key pair that federated clusters share: every one signs with it and trusts it.
///
/// Cheap to clone.
#[derive(Clone)]
pub struct SharedKeys {
    pair: Arc<EcdsaKeyPair>,
    public: Vec<u8>,
}

/// Why a key pair could not be made.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The text is no PEM, or holds no P-256 key in PKCS #8, SEC 1 or SPKI form.
    #[error("not a P-256 key in PEM form")]
    Malformed,
    /// The public key does not belong to the private one.
    #[error("the public key does not belong to the private key")]
    Mismatch,
    /// The cryptographic library failed, which healthy machines do not see.
    #[error("the key pair could not be generated or encoded")]
    Crypto,
}

// === impl SharedKeys ===

impl SharedKeys {
    /// A fresh pair.
    ///
    /// # Errors
    ///
    /// [`KeyError::Crypto`] when the random source or the library fails.
    pub fn generate() -> Result<Self, KeyError> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(|_| KeyError::Crypto)?;
        Ok(Self::of(pair))
    }

    /// Reads a private key (PKCS #8 or SEC 1) and its public key (SPKI).
    ///
    /// # Errors
    ///
    /// [`KeyError::Malformed`] for anything else, [`KeyError::Mismatch`] when they are not a pair.
    pub fn from_pem(private: &str, public: &str) -> Result<Self, KeyError> {
        let keys = Self::from_private_pem(private)?;
        let spki = pem_decode(public)?;
        // An SPKI of P-256 is a fixed prefix followed by the 65-byte point.
        if spki.len() > keys.public.len() && spki.ends_with(&keys.public) {
            Ok(keys)
        } else {
            Err(KeyError::Mismatch)
        }
    }

    /// Reads a private key (PKCS #8 or SEC 1), which is all of the pair.
    ///
    /// # Errors
    ///
    /// [`KeyError::Malformed`] for anything else.
    pub fn from_private_pem(private: &str) -> Result<Self, KeyError> {
        let der = pem_decode(private)?;
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der)
            .or_else(|_| EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_FIXED_SIGNING, &der))
            .map_err(|_| KeyError::Malformed)?;
        Ok(Self::of(pair))
    }

    fn of(pair: EcdsaKeyPair) -> Self {
        let public = pair.public_key().as_ref().to_vec();
        Self { pair: Arc::new(pair), public }
    }

    /// The public key, SPKI in PEM.
    pub fn public_pem(&self) -> String {
        let der: Result<PublicKeyX509Der<'_>, _> = self.pair.public_key().as_der();
        pem_encode("PUBLIC KEY", der.map(|d| d.as_ref().to_vec()).unwrap_or_default().as_slice())
    }

    /// The private key, PKCS #8 in PEM.
    pub fn private_pem(&self) -> String {
        let der = self.pair.to_pkcs8v1().map(|d| d.as_ref().to_vec()).unwrap_or_default();
        pem_encode("PRIVATE KEY", &der)
    }

    /// Signs any claims as a token with the header `{"alg":"ES256","typ":"JWT"}`.
    pub fn mint(&self, claims: &Value) -> String {
        self.mint_raw(r#"{"alg":"ES256","typ":"JWT"}"#, &claims.to_string())
    }

    /// Signs any claims under any header; the signature is always ES256.
    pub fn mint_with_header(&self, header: &Value, claims: &Value) -> String {
        self.mint_raw(&header.to_string(), &claims.to_string())
    }

    pub(super) fn mint_raw(&self, header: &str, claims: &str) -> String {
        let mut token = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let signature = self.pair.sign(&SystemRandom::new(), token.as_bytes());
        token.push('.');
        if let Ok(signature) = signature {
            token.push_str(&URL_SAFE_NO_PAD.encode(signature));
        }
        token
    }

    pub(super) fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &self.public).verify(message, signature).is_ok()
    }
}

impl fmt::Debug for SharedKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedKeys")
    }
}

fn pem_decode(text: &str) -> Result<Vec<u8>, KeyError> {
    let body = text.split("-----BEGIN ").nth(1).ok_or(KeyError::Malformed)?;
    let (_, body) = body.split_once("-----").ok_or(KeyError::Malformed)?;
    let (body, _) = body.split_once("-----END").ok_or(KeyError::Malformed)?;
    let body: String = body.split_whitespace().collect();
    STANDARD.decode(body).map_err(|_| KeyError::Malformed)
}

fn pem_encode(label: &str, der: &[u8]) -> String {
    let mut pem = format!("-----BEGIN {label}-----\n");
    let encoded = STANDARD.encode(der);
    let mut rest = encoded.as_str();
    while !rest.is_empty() {
        let (line, tail) = rest.split_at(rest.len().min(64));
        pem.push_str(line);
        pem.push('\n');
        rest = tail;
    }
    pem.push_str("-----END ");
    pem.push_str(label);
    pem.push_str("-----\n");
    pem
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_survives_its_pem_form() {
        let keys = SharedKeys::generate().unwrap();
        let read = SharedKeys::from_pem(&keys.private_pem(), &keys.public_pem()).unwrap();
        assert_eq!(read.public, keys.public);
        let other = SharedKeys::generate().unwrap();
        assert!(SharedKeys::from_pem(&keys.private_pem(), &other.public_pem()).is_err());
    }
}
