//! Bearer tokens: how they are signed and verified.

use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;

use super::{json::Object, keys::SharedKeys};

/// The claims that matter.
#[derive(Clone, Debug, Default)]
pub(super) struct Claims {
    pub(super) subject: String,
    pub(super) groups: Vec<String>,
    pub(super) id: String,
    pub(super) session: String,
    pub(super) provider_type: String,
}

/// Reads and verifies a token.
///
/// No leeway, as in Sensu; `None` for anything that Sensu would refuse. With `expired_too` a past `exp` is fine.
pub(super) fn verify(
    token: &str,
    keys: &SharedKeys,
    secret: &[u8],
    now: i64,
    expired_too: bool,
) -> Option<Claims> {
    let (message, signature) = token.trim_end().rsplit_once('.')?;
    let (header, payload) = message.split_once('.')?;
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).ok();
    let header: Object = serde_json::from_slice(&decode(header)?).ok()?;
    let signature = decode(signature)?;
    let good = match header.get("alg")?.as_str()? {
        "ES256" => keys.verify(message.as_bytes(), &signature),
        "HS256" => {
            let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
            hmac::verify(&key, message.as_bytes(), &signature).is_ok()
        }
        _ => false,
    };
    if !good {
        return None;
    }
    let claims: Object = serde_json::from_slice(&decode(payload)?).ok()?;
    check_times(&claims, now, expired_too)?;
    string(&claims, "aud")?;
    string(&claims, "iss")?;
    let provider = match claims.get("provider") {
        None | Some(Value::Null) => String::new(),
        Some(Value::Object(provider)) => string(provider, "provider_type")?,
        Some(_) => return None,
    };
    Some(Claims {
        subject: string(&claims, "sub")?,
        groups: groups(&claims)?,
        id: string(&claims, "jti")?,
        session: string(&claims, "session_id")?,
        provider_type: provider,
    })
}

fn check_times(claims: &Object, now: i64, expired_too: bool) -> Option<()> {
    let time = |key: &str| match claims.get(key) {
        None | Some(Value::Null) => Some(0),
        Some(value) => value.as_i64(),
    };
    let (expires, not_before, issued) = (time("exp")?, time("nbf")?, time("iat")?);
    let over = expires != 0 && now >= expires && !expired_too;
    (!over && not_before <= now && issued <= now).then_some(())
}

fn string(claims: &Object, key: &str) -> Option<String> {
    match claims.get(key) {
        None | Some(Value::Null) => Some(String::new()),
        Some(Value::String(text)) => Some(text.clone()),
        Some(_) => None,
    }
}

fn groups(claims: &Object) -> Option<Vec<String>> {
    match claims.get("groups") {
        None | Some(Value::Null) => Some(Vec::new()),
        Some(Value::Array(items)) => items.iter().map(|i| i.as_str().map(ToOwned::to_owned)).collect(),
        Some(_) => None,
    }
}

/// Signs claims with a cluster's own secret.
pub(super) fn mint_hs256(secret: &[u8], header: &str, claims: &str) -> String {
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(tag))
}
