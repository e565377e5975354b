//! Tokens: taking them apart, and signing those an exchange asks for.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::{
    hmac,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};

/// What signs a token.
pub(crate) enum Signer<'a> {
    /// ES256, whatever the header says.
    Es256(&'a EcdsaKeyPair),
    Hs256(Vec<u8>),
    /// An empty signature.
    Nothing,
}

/// Signs `claims`, in the order given, after `<now…>` and what `fill` knows are filled in.
pub(crate) fn mint(
    header: Option<&Map<String, Value>>,
    claims: &Map<String, Value>,
    signer: &Signer<'_>,
    fill: impl Fn(&str) -> String,
) -> String {
    let header =
        header.map_or_else(|| json!({"alg": "ES256", "typ": "JWT"}), |header| Value::Object(header.clone()));
    let mut claims = Value::Object(claims.clone());
    fill_claims(&mut claims, &fill);
    let signed = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header.to_string()),
        URL_SAFE_NO_PAD.encode(claims.to_string())
    );
    let signature = match signer {
        Signer::Es256(key) => {
            let signature = key.sign(&SystemRandom::new(), signed.as_bytes()).expect("P-256 signs anything");
            URL_SAFE_NO_PAD.encode(signature)
        }
        Signer::Hs256(secret) => {
            let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
            URL_SAFE_NO_PAD.encode(hmac::sign(&key, signed.as_bytes()))
        }
        Signer::Nothing => String::new(),
    };
    format!("{signed}.{signature}")
}

/// `{"header": …, "claims": …}` of a token; the signature is not looked at.
pub(crate) fn decode(token: &str) -> Option<Value> {
    let mut parts = token.split('.').map(|part| {
        let bytes = URL_SAFE_NO_PAD.decode(part).ok()?;
        serde_json::from_slice::<Value>(&bytes).ok()
    });
    Some(json!({"header": parts.next()??, "claims": parts.next()??}))
}

/// A P-256 key in PKCS#8.
pub(crate) fn generate_key() -> Vec<u8> {
    EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
        .expect("the system has randomness")
        .as_ref()
        .to_vec()
}

/// Reads a P-256 private key in PKCS#8 or SEC1 (RFC 5915).
pub(crate) fn read_key(der: &[u8]) -> EcdsaKeyPair {
    EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_FIXED_SIGNING, der)
        .unwrap_or_else(|e| panic!("not a P-256 private key: {e}"))
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970").as_secs()
}

fn fill_claims(claim: &mut Value, fill: &impl Fn(&str) -> String) {
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
