use serde::{Deserialize, Serialize};

/// Which clusters a list asks when the request names none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// Every registered cluster.
    #[default]
    All,
    /// The local cluster only.
    Local,
}
