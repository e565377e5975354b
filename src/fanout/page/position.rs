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
    pub fn to_bytes(&self) -> Vec<u8> {
        let (tag, rest) = match &self.after {
            After::Nothing => (b'n', &[][..]),
            After::Token(token) => (b't', token.as_bytes()),
            After::Key(key) => (b'k', key.as_slice()),
            After::Everything => (b'e', &[][..]),
        };
        [self.member.as_str().as_bytes(), &[0, tag], rest].concat()
    }

    /// Reads the payload of a token. `None` for what [`Position::to_bytes`] never writes.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let end = memchr::memchr(0, bytes)?;
        let member = std::str::from_utf8(&bytes[..end]).ok()?.parse().ok()?;
        let (tag, rest) = bytes[end + 1..].split_first()?;
        let after = match (tag, rest) {
            (b'n', []) => After::Nothing,
            (b'e', []) => After::Everything,
            (b't', token) => After::Token(std::str::from_utf8(token).ok()?.to_owned()),
            (b'k', key) => After::Key(key.to_vec()),
            _ => return None,
        };
        Some(Self { member, after })
    }
}
