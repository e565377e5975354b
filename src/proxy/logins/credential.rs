use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, header};

use crate::{
    auth::{Credentials, credentials},
    types::ClusterName,
};

/// Credentials that can be guessed: all but tokens, which are signed.
pub(super) struct Credential {
    pub(super) kind: Kind,
    /// Whose failures are counted together: a user's at any cluster, or those of one key at one cluster.
    pub(super) subject: Vec<u8>,
}

/// How a client says who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// By name and password.
    Password,
    /// By an API key.
    ApiKey,
}

// === impl Kind ===

impl Kind {
    /// Its name in metrics and logs.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::ApiKey => "api-key",
        }
    }

    fn scheme(self) -> &'static str {
        match self {
            Self::Password => "Basic ",
            Self::ApiKey => "Key ",
        }
    }
}

// === impl Credential ===

impl Credential {
    /// Those of a request, when it has any. A key is one of the cluster that judges it.
    pub(super) fn of(headers: &HeaderMap, cluster: impl FnOnce() -> ClusterName) -> Option<Self> {
        let kind = match credentials(headers) {
            Ok(Credentials::Basic) => Kind::Password,
            Ok(Credentials::ApiKey) => Kind::ApiKey,
            _ => return None,
        };
        let (_, value) =
            headers.get(header::AUTHORIZATION)?.as_bytes().split_at_checked(kind.scheme().len())?;
        let value = value.trim_ascii();
        let subject = match kind {
            Kind::Password => user(value),
            Kind::ApiKey => [cluster().as_str().as_bytes(), b" ", value].concat(),
        };
        Some(Self { kind, subject })
    }
}

/// The user name, in small letters, as directories do not tell them from capitals. All that is malformed is one user.
fn user(value: &[u8]) -> Vec<u8> {
    let mut decoded = STANDARD.decode(value).unwrap_or_default();
    let end = memchr::memchr(b':', &decoded).unwrap_or(0);
    decoded.truncate(end);
    decoded.make_ascii_lowercase();
    decoded
}
