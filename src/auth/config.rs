use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use crate::types::units;

/// `auth`: how requests are authenticated.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
pub struct Config {
    /// Public keys of the clusters' token pair, in PEM. At least one; several while keys are rotated.
    pub jwt_public_key_files: Vec<PathBuf>,
    /// Private key of the pair, in PEM. With it, API keys work in every cluster, and the local cluster's RBAC can be
    /// read through its API.
    pub jwt_private_key_file: Option<PathBuf>,
    /// Groups whose members may register clusters and replicators while the local cluster's RBAC cannot be read.
    pub admin_groups: Vec<String>,
    /// How long an API key's user and groups are remembered.
    #[serde(with = "units::duration")]
    pub api_key_ttl: Duration,
    /// For how long after its last renewal a session is renewed here while the local cluster is away. Needs the private
    /// key.
    #[serde(with = "units::duration_or_off")]
    pub outage_sessions: Option<Duration>,
    /// Remembered verified tokens.
    pub token_cache: TokenCacheConfig,
}

/// `auth.token-cache`: remembered verified tokens.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
pub struct TokenCacheConfig {
    /// How many at most; 0 verifies the token of every request.
    pub entries: u64,
}

// === impl Config ===

impl Default for Config {
    fn default() -> Self {
        Self {
            jwt_public_key_files: Vec::new(),
            jwt_private_key_file: None,
            admin_groups: vec!["cluster-admins".to_owned()],
            api_key_ttl: Duration::from_secs(60),
            outage_sessions: None,
            token_cache: TokenCacheConfig::default(),
        }
    }
}

// === impl TokenCacheConfig ===

impl Default for TokenCacheConfig {
    fn default() -> Self {
        // Some 100 MiB when full.
        Self { entries: 100_000 }
    }
}
