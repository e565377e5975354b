//! Tokens that a client hands back unchanged, such as where a list continues. Not secret, but they cannot be forged.
//!
//! ```text
//! base64url( version 1 ─ tag (32 bytes) ─ payload )
//! tag = HMAC-SHA256( key, version ─ length of context (8 bytes) ─ context ─ payload )
//! ```

use aws_lc_rs::hmac::{self, HMAC_SHA256};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

/// Seals a payload for its context. The payload stays readable.
///
/// `context` says what the token is good for, such as the list and its filters: [`open`] must be given the same. A token
/// is a third longer than its payload and 33 bytes together; whether a client can send it back is the caller's business.
pub fn seal(key: &[u8], context: &[u8], payload: &[u8]) -> String {
    let tag = hmac::sign(&hmac::Key::new(HMAC_SHA256, key), &message(context, payload));
    let token = [&[VERSION], tag.as_ref(), payload].concat();
    URL_SAFE_NO_PAD.encode(token)
}

/// The payload of a token. `None` for one that was changed, cut short, sealed with another key or for another context.
pub fn open(key: &[u8], context: &[u8], token: &str) -> Option<Vec<u8>> {
    // Only the one canonical spelling of the bytes is decoded.
    let token = URL_SAFE_NO_PAD.decode(token).ok()?;
    let (version, rest) = token.split_first()?;
    let (tag, payload) = rest.split_at_checked(TAG_BYTES)?;
    if *version != VERSION {
        return None;
    }
    let key = hmac::Key::new(HMAC_SHA256, key);
    hmac::verify(&key, &message(context, payload), tag).ok()?;
    Some(payload.to_vec())
}

fn message(context: &[u8], payload: &[u8]) -> Vec<u8> {
    // The length keeps context and payload apart.
    let length = (context.len() as u64).to_be_bytes();
    [&[VERSION], &length[..], context, payload].concat()
}

const VERSION: u8 = 1;
const TAG_BYTES: usize = 32;
