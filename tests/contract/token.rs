//! Tokens: taking them apart, and signing those an exchange asks for.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::{
    hmac,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use rustls::pki_types::{PrivateKeyDer, pem::PemObject};
use serde_json::{Value, json};

/// What signs a token.
pub(crate) enum Signer<'a> {
    /// ES256, whatever the header says.
    Es256(&'a EcdsaKeyPair),
    Hs256(Vec<u8>),
    /// An empty signature.
    Nothing,
}

/// Signs `claims` under `header`, keys in the order given.
pub(crate) fn mint(header: &Value, claims: &Value, signer: &Signer<'_>) -> String {
    let content = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header.to_string()),
        URL_SAFE_NO_PAD.encode(claims.to_string())
    );
    let signature = match signer {
        Signer::Es256(key) => {
            let signature = key.sign(&SystemRandom::new(), content.as_bytes()).expect("P-256 signs anything");
            URL_SAFE_NO_PAD.encode(signature)
        }
        Signer::Hs256(secret) => {
            let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
            URL_SAFE_NO_PAD.encode(hmac::sign(&key, content.as_bytes()))
        }
        Signer::Nothing => String::new(),
    };
    format!("{content}.{signature}")
}

/// Replaces the placeholders of times, and whatever `fill` knows.
pub(crate) fn fill_claims(claim: &mut Value, fill: &impl Fn(&str) -> String) {
    match claim {
        Value::String(text) => {
            let now = text.strip_prefix("<now").and_then(|rest| rest.strip_suffix('>'));
            *claim = now.map_or_else(|| Value::String(fill(text)), unix_time);
        }
        Value::Array(items) => items.iter_mut().for_each(|item| fill_claims(item, fill)),
        Value::Object(map) => map.values_mut().for_each(|item| fill_claims(item, fill)),
        _ => {}
    }
}

/// `{"header": …, "claims": …}` of a token; the signature is not looked at.
pub(crate) fn decode(token: &str) -> Option<Value> {
    let mut parts = token.split('.').map(|part| {
        let bytes = URL_SAFE_NO_PAD.decode(part).ok()?;
        serde_json::from_slice::<Value>(&bytes).ok()
    });
    Some(json!({"header": parts.next()??, "claims": parts.next()??}))
}

/// A new P-256 key.
pub(crate) fn generate_key() -> EcdsaKeyPair {
    EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("the system has randomness")
}

/// Reads a P-256 private key in PEM, PKCS#8 or SEC1 (RFC 5915).
pub(crate) fn read_key(pem: &[u8]) -> EcdsaKeyPair {
    let key = PrivateKeyDer::from_pem_slice(pem).expect("a private key in PEM");
    EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_FIXED_SIGNING, key.secret_der())
        .unwrap_or_else(|e| panic!("not a P-256 private key: {e}"))
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970").as_secs()
}

/// `offset` is a signed number in any notation, or empty; only a fractional one gives a fractional time.
fn unix_time(offset: &str) -> Value {
    let offset = if offset.is_empty() { 0.0 } else { offset.parse::<f64>().expect("an offset in seconds") };
    #[expect(clippy::cast_precision_loss, reason = "Unix times are far below 2^53")]
    let time = now() as f64 + offset;
    if time.fract() == 0.0 {
        #[expect(clippy::cast_possible_truncation, reason = "likewise")]
        return json!(time as i64);
    }
    json!(time)
}
