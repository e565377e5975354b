use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::types::ClusterName;

/// Where a list goes on: a member, and how far into its items.
///
/// It names the member, so clusters that are registered or removed between two pages shift nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    pub(super) member: ClusterName,
    pub(super) after: After,
}

/// How much of a member's list has been sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum After {
    /// Nothing.
    Nothing,
    /// What the member's own token says.
    Token(String),
    /// The items up to the one with this key.
    Key(Vec<u8>),
    /// Everything, or as much as there was of a member that failed.
    Everything,
}

// === impl Position ===

impl Position {
    /// Past all items of a member.
    pub(super) fn past(member: ClusterName) -> Self {
        Self { member, after: After::Everything }
    }

    /// From where a member's items are still wanted; `None` when they all have been sent.
    pub(super) fn within(&self, member: &ClusterName) -> Option<After> {
        match member.cmp(&self.member) {
            std::cmp::Ordering::Less => None,
            std::cmp::Ordering::Equal => Some(self.after.clone()).filter(|after| *after != After::Everything),
            std::cmp::Ordering::Greater => Some(After::Nothing),
        }
    }

    /// The payload of a continue token: the name, a NUL, what kind of position it is, and that position.
    ///
    /// A member's token is usually base64url itself, of the name that its page ended with. It is taken in decoded: encoded
    /// twice, a long name would be longer by another third.
    pub fn to_bytes(&self) -> Vec<u8> {
        let (tag, rest): (u8, Cow<'_, [u8]>) = match &self.after {
            After::Nothing => (b'n', Cow::default()),
            After::Token(token) => match decoded(token) {
                Some(bytes) => (b'b', bytes.into()),
                None => (b't', token.as_bytes().into()),
            },
            After::Key(key) => (b'k', key.into()),
            After::Everything => (b'e', Cow::default()),
        };
        [self.member.as_str().as_bytes(), &[0, tag], &rest].concat()
    }

    /// Reads the payload of a token. `None` for what [`Position::to_bytes`] never writes.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let end = memchr::memchr(0, bytes)?;
        let member = std::str::from_utf8(&bytes[..end]).ok()?.parse().ok()?;
        let (tag, rest) = bytes[end + 1..].split_first()?;
        let after = match (tag, rest) {
            (b'n', []) => After::Nothing,
            (b'e', []) => After::Everything,
            (b'b', bytes) => After::Token(URL_SAFE_NO_PAD.encode(bytes)),
            (b't', token) => {
                let token = std::str::from_utf8(token).ok()?;
                if decoded(token).is_some() {
                    return None;
                }
                After::Token(token.to_owned())
            }
            (b'k', key) => After::Key(key.to_vec()),
            _ => return None,
        };
        Some(Self { member, after })
    }
}

/// What a token is the base64url of, in the one spelling that encoding it gives.
fn decoded(token: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(token).ok()
}
