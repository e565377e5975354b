use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::types::{ListScope, units};

/// `fan-out`: how lists are gathered from several clusters.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
pub struct Config {
    /// Which clusters a list asks when the request names none.
    pub default_scope: ListScope,
    /// How long one member may take until its part is complete or past `buffer_bytes`.
    #[serde(with = "units::duration")]
    pub member_timeout: Duration,
    /// How much of a member's body is held back until the head goes out.
    #[serde(with = "units::size")]
    pub buffer_bytes: usize,
    /// How much all members of one list together are read ahead of the client. A Sensu backend cuts an answer
    /// that is not read within 15 s.
    #[serde(with = "units::size")]
    pub read_ahead_bytes: usize,
    /// Largest body of one member.
    #[serde(with = "units::size")]
    pub max_member_bytes: u64,
    /// Most clusters that one list, or one GraphQL operation, asks.
    pub max_members: usize,
}

// === impl Config ===

impl Default for Config {
    fn default() -> Self {
        Self {
            default_scope: ListScope::All,
            member_timeout: Duration::from_secs(10),
            buffer_bytes: 1 << 20,
            read_ahead_bytes: 16 << 20,
            max_member_bytes: 1 << 30,
            max_members: 1024,
        }
    }
}
