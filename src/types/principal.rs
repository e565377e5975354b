use std::{fmt, sync::Arc};

/// Who a verified token speaks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The `sub` claim: the user's name. May be empty (Sensu does not ask for it).
    pub subject: String,
    /// The `groups` claim.
    pub groups: Vec<String>,
    /// The `exp` claim, seconds since the Unix epoch.
    pub expires_at: i64,
}

/// How a request is authenticated. Left in the request's extensions by the authentication layer.
#[derive(Clone)]
pub enum Caller {
    /// No `Authorization` header, on a path that allows it.
    Anonymous,
    /// An API key: only the cluster that issued it can judge it. The key itself stays in the header.
    ApiKey,
    /// A verified token.
    Token(Arc<Principal>),
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous => f.write_str("Anonymous"),
            Self::ApiKey => f.write_str("ApiKey"),
            Self::Token(principal) => f.debug_tuple("Token").field(&principal.subject).finish(),
        }
    }
}
