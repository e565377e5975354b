//! Properties for fuzzers, and for the smoke tests next to them.

use std::{path::Path, sync::OnceLock};

use super::{Keys, SigningKey, Verifier, bearer, keys, verify};

/// A header value never panics, and only a `Bearer` header yields a token.
pub fn authorization(data: &[u8]) {
    let Ok(value) = http::HeaderValue::from_bytes(data) else { return };
    let headers = http::HeaderMap::from_iter([(http::header::AUTHORIZATION, value)]);
    if let Ok(bearer::Credentials::Bearer(token)) = bearer::credentials(&headers) {
        assert!(data.starts_with(b"Bearer ") && data[7..].starts_with(token.as_bytes()));
    }
}

/// No text made without the private key is a token.
pub fn token(data: &[u8]) {
    static VERIFIER: OnceLock<Option<Verifier>> = OnceLock::new();
    let verifier = VERIFIER.get_or_init(|| {
        let keys = keys::CURVES.map(|curve| Some(SigningKey::generate(curve)?.public_key().clone()));
        Some(Verifier::new(Keys::new(keys.into_iter().collect::<Option<_>>()?)))
    });
    if let (Some(verifier), Ok(token)) = (verifier, std::str::from_utf8(data)) {
        assert!(verifier.verify(token, 0).is_err());
    }
}

/// A payload that is accepted is in force.
pub fn claims(data: &[u8]) {
    const NOW: i64 = 1_700_000_000;
    if let Ok(principal) = verify::principal(data, NOW) {
        assert!(principal.expires_at > NOW);
        assert!(verify::principal(data, principal.expires_at).is_err());
    }
}

/// A key file never panics, and one that is accepted holds a key.
pub fn key_file(data: &[u8]) {
    let path = Path::new("fuzz");
    if let Ok(keys) = keys::parse_public(path, data) {
        assert!(!keys.is_empty());
    }
    // The outcome does not matter, only that there is one.
    drop(SigningKey::parse(path, data));
}
