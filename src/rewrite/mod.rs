//! Byte-exact edits of JSON: labels and qualified namespaces going out, plain namespaces going in.
//!
//! Nothing here builds a JSON tree. [`Rewriter`] streams a response body through and inserts a few bytes;
//! [`unqualify()`] cuts a few bytes out of a request body. All other bytes survive as they were: number
//! spelling, key order, unknown keys, white space.
//!
//! What is checked where:
//!
//! * [`Rewriter`] checks *structure* at the speed of a copy: brackets of both kinds, strings, the commas
//!   between the items of a list, the end of the value, depth. It does not look at what stands between two
//!   brackets inside an item. That is enough to know that a merged list is as well formed as its members.
//! * [`validate_list`] checks the whole grammar of RFC 8259 for a body that is already complete.
//! * [`unqualify()`] reads like Sensu's own decoder (Go), only more leniently, so that the two never disagree
//!   about which namespace a body names.

use http::StatusCode;

use crate::error::{Classify, ErrorKind, Reply};

mod block;
mod bracket_stack;
pub mod fuzzing;
mod json_path;
mod key_lookback;
mod stream;
mod unqualify;
mod validate;

#[cfg(test)]
mod tests;

pub use self::{
    stream::Rewriter,
    unqualify::{Unqualified, UnqualifyError, unqualify},
    validate::validate_list,
};

/// What happens to the brackets of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Brackets {
    /// Everything is kept, white space too.
    Keep,
    /// Only the items are emitted, with one `,` between two of them: no `[`, no `]`, no white space between
    /// items. A `,` is emitted together with the item after it, never at the end.
    Strip,
}

/// Why a response body is not what it should be. All of them mean that the cluster answered badly
/// (`bad-body`), usually because something in front of it answered in its place or the body was cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScanError {
    /// The body ended inside a value, or was empty: the connection broke or a proxy cut the body.
    #[error("the body ends inside a JSON value")]
    Incomplete,
    /// A list was needed and the body is another JSON value.
    #[error("the body is not a JSON array")]
    NotAnArray,
    /// An item of the list is not an object.
    #[error("an item of the list is not a JSON object")]
    NotAnObject,
    /// A bracket closes one of the other kind.
    #[error("the brackets of the body do not match")]
    Unbalanced,
    /// A comma between two items of the list is missing, doubled or trailing.
    #[error("the items of the list are not separated by single commas")]
    Separator,
    /// Something other than white space follows the value.
    #[error("something follows the JSON value")]
    Trailing,
    /// Brackets nest deeper than 512.
    #[error("the body nests too deeply")]
    TooDeep,
    /// A byte that cannot start or continue a JSON value: the body is not JSON.
    #[error("the body is not JSON")]
    Unexpected,
    /// The body is not UTF-8 (only [`validate_list`] looks).
    #[error("the body is not UTF-8")]
    Encoding,
}

// === impl ScanError ===

impl Classify for ScanError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Upstream
    }

    fn reply(&self) -> Reply {
        Reply::router(StatusCode::BAD_GATEWAY, 0, "the cluster answered with a body that is not valid JSON")
    }
}

const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}
