use serde::{Deserialize, Serialize};

/// How strictly a path asks for credentials, as Sensu does. Routing leaves it in a request's extensions
/// for authentication.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AuthScope {
    /// The REST API: a request without a token or an API key is refused. The default, so that a request without a
    /// scope is refused, too.
    #[default]
    Api,
    /// GraphQL: such a request goes on as [`Caller::Anonymous`](super::Caller::Anonymous).
    GraphQl,
    /// Logging in, health checks and web pages: credentials are not looked at.
    Open,
}

/// Which clusters a list asks when the request names none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ListScope {
    /// Every registered cluster.
    #[default]
    All,
    /// The local cluster only.
    Local,
}
