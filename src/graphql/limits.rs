//! The bounds of one request. Each is a constant, because a client that meets one should change, not the operator.

/// Which bound was passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Limit {
    Operations,
    Depth,
    RootFields,
    Aliases,
    Tokens,
    /// Fragments that multiply each other.
    Complexity,
    /// Documents for all clusters together.
    Fanout,
    /// A fragment that spreads itself: a Sensu 6.12 backend dies of it.
    Cycle,
}

// === impl Limit ===

impl Limit {
    /// The message to the client.
    pub(super) fn message(self) -> String {
        match self {
            Self::Operations => format!("the request holds more than {OPERATIONS} operations"),
            Self::Depth => format!("the operation is deeper than {DEPTH} levels"),
            Self::RootFields => format!("the operation has more than {ROOT_FIELDS} root fields"),
            Self::Aliases => format!(
                "the operation has more than {ALIASES} aliases, those in fragments counted at each use"
            ),
            Self::Tokens => format!("the document has more than {TOKENS} tokens"),
            Self::Complexity => "the fragments of the operation combine in too many ways".to_owned(),
            Self::Cycle => "a fragment of the document contains itself".to_owned(),
            Self::Fanout => {
                format!("the operation needs more than {DOCUMENT_BYTES} bytes of documents for its clusters")
            }
        }
    }
}

/// Largest request body, in bytes.
pub const BODY_BYTES: usize = 1024 * 1024;

/// Most operations of one request.
pub(super) const OPERATIONS: usize = 10;

/// Deepest nesting of fields. Sensu itself stops at 15.
pub(super) const DEPTH: usize = 32;

/// Most root fields, those of fragments included.
pub(super) const ROOT_FIELDS: usize = 200;

/// Most aliases, those of fragments counted at each use.
pub(super) const ALIASES: usize = 200;

/// Most tokens (punctuators, names, values).
pub(super) const TOKENS: usize = 15_000;

/// Most tokens with the ignored ones: white space, commas, comments.
pub(super) const RAW_TOKENS: usize = 4 * TOKENS;

/// Deepest nesting of brackets of any kind: bounds the recursion of everything that reads a document.
pub(super) const NESTING: usize = 100;

/// Most selections that planning an operation may look at, repeated visits included.
pub(super) const STEPS: usize = 100_000;

/// Most bytes of documents for all clusters of one operation.
pub(super) const DOCUMENT_BYTES: usize = 8 * 1024 * 1024;
