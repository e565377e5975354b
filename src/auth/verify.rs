use std::{borrow::Cow, fmt, sync::Arc};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};

use super::{AuthError, Curve, Keys};
use crate::types::Principal;

/// Judges tokens by a fixed set of public keys. No state, no cache.
#[derive(Debug)]
pub struct Verifier {
    keys: Keys,
}

/// RFC 7515 header. As in Sensu, `kid`, `typ` and `crit` do not matter.
#[derive(Deserialize)]
struct Header<'a> {
    #[serde(borrow)]
    alg: Cow<'a, str>,
}

/// The claims that Sensu looks at, with the types it insists on; `null` is the same as absent.
#[derive(Deserialize)]
pub(super) struct Claims {
    pub(super) exp: Option<i64>,
    nbf: Option<i64>,
    pub(super) iat: Option<i64>,
    pub(super) sub: Option<String>,
    groups: Option<Vec<String>>,
    #[serde(rename = "aud")]
    _aud: Option<String>,
    #[serde(rename = "provider")]
    _provider: Option<AnyObject>,
}

/// Any JSON object, and nothing else.
struct AnyObject;

// === impl Verifier ===

impl Verifier {
    /// A verifier of these keys. With no key at all every token is refused.
    pub fn new(keys: Keys) -> Self {
        Self { keys }
    }

    /// Verifies a compact JWS (RFC 7515): the text after `Bearer `. `now` is in seconds since the Unix epoch.
    ///
    /// The algorithm follows from the curve of the configured keys and the header only selects among those,
    /// so neither `none`, HS256 nor a key of another curve can be brought in. Claims are judged as Sensu
    /// judges them, without leeway, except that `exp` must be there.
    ///
    /// # Errors
    ///
    /// The [`AuthError`] that says what is wrong; to clients they all look the same.
    pub fn verify(&self, token: &str, now: i64) -> Result<Arc<Principal>, AuthError> {
        principal(&self.payload(token)?, now).map(Arc::new)
    }

    /// The payload of a token whose signature is good; nothing else of it has been judged.
    pub(super) fn payload(&self, token: &str) -> Result<Vec<u8>, AuthError> {
        let (message, signature) = token.rsplit_once('.').ok_or(AuthError::Malformed)?;
        let (header, payload) = message.split_once('.').ok_or(AuthError::Malformed)?;
        let signature = decode(signature)?;
        self.check_signature(algorithm(header)?, message, &signature)?;
        decode(payload)
    }

    fn check_signature(&self, curve: Curve, message: &str, signature: &[u8]) -> Result<(), AuthError> {
        let mut refusal = AuthError::Algorithm;
        for key in self.keys.of_curve(curve) {
            if key.verifies(message.as_bytes(), signature) {
                return Ok(());
            }
            refusal = AuthError::Signature;
        }
        Err(refusal)
    }
}

// === impl Claims ===

impl Claims {
    pub(super) fn read(payload: &[u8]) -> Result<Self, AuthError> {
        object(payload).ok_or(AuthError::Claims)
    }

    /// Whether they have an end, which has not come. Returns it.
    pub(super) fn check_end(&self, now: i64) -> Result<i64, AuthError> {
        let end = self.exp.ok_or(AuthError::Claims)?;
        if now >= end { Err(AuthError::Expired) } else { Ok(end) }
    }

    /// Whether they are valid already.
    pub(super) fn check_begun(&self, now: i64) -> Result<(), AuthError> {
        let early = [self.nbf, self.iat].into_iter().flatten().any(|from| now < from);
        if early { Err(AuthError::NotYetValid) } else { Ok(()) }
    }
}

// === impl AnyObject ===

impl<'de> Deserialize<'de> for AnyObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(AnyObject)
    }
}

impl<'de> Visitor<'de> for AnyObject {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(self)
    }
}

fn algorithm(header: &str) -> Result<Curve, AuthError> {
    let json = decode(header)?;
    let header: Header<'_> = object(&json).ok_or(AuthError::Malformed)?;
    match &*header.alg {
        "ES256" => Ok(Curve::P256),
        "ES384" => Ok(Curve::P384),
        _ => Err(AuthError::Algorithm),
    }
}

/// Judges the payload of a token whose signature is good.
pub(super) fn principal(payload: &[u8], now: i64) -> Result<Principal, AuthError> {
    let claims = Claims::read(payload)?;
    let expires_at = claims.check_end(now)?;
    claims.check_begun(now)?;
    Ok(Principal {
        subject: claims.sub.unwrap_or_default(),
        groups: claims.groups.unwrap_or_default(),
        expires_at,
    })
}

/// A JSON object. Serde alone would also fill a struct from an array. Its errors quote values: dropped.
pub(super) fn object<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Option<T> {
    if !json.trim_ascii_start().starts_with(b"{") {
        return None;
    }
    serde_json::from_slice(json).ok()
}

/// Unpadded base64url in its one canonical form, so that a token has one spelling only.
fn decode(part: &str) -> Result<Vec<u8>, AuthError> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| AuthError::Malformed)
}
