//! Who may write to federation/v1, by Sensu's own RBAC, and which user an API key belongs to.
//!
//! | Part | Does |
//! |---|---|
//! | [`Rules`] | Sensu's evaluation of cluster-wide resources, pure |
//! | [`Rbac`] | decides by the local cluster's rules, or by [`AdminGroups`] until they have been read |
//! | [`Feeder`] | keeps an [`Rbac`] up to date, from the local cluster's etcd or its API |
//! | [`Minter`] | signs short-lived tokens with the federation's private key |
//! | [`Exchange`] | turns API keys of the local cluster into users, and users into tokens |
//!
//! Deciding takes no lock and does no I/O. Where a stored value could be read in two ways, it grants nothing: see
//! [`AuthzError`].

mod api_source;
mod error;
mod etcd_source;
mod exchange;
mod flights;
#[doc(hidden)]
pub mod fuzzing;
mod local;
mod mint;
mod rbac;
mod rules;
mod table;
#[cfg(test)]
mod tests;

use std::fmt;

pub use error::AuthzError;
pub use exchange::{Exchange, ExchangeError, KeyExchange};
pub use local::LocalError;
pub use mint::Minter;
pub use rbac::{Feeder, Rbac};
pub use rules::Rules;

use crate::types::Principal;

/// What a caller wants to do, in the words of Sensu's RBAC rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// POST.
    Create,
    /// PUT, also of what is new.
    Update,
    /// DELETE.
    Delete,
}

/// What decides who may write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The RBAC rules of the local cluster.
    Rbac,
    /// Membership in one of `auth.admin-groups`.
    AdminGroups,
}

/// Decides who may write. Everyone with a valid token may read.
pub trait Authorizer: Send + Sync + 'static {
    /// Whether the caller may. `resource` is `clusters` or `etcd-replicators`, which have no namespace; `name` is
    /// the name as the path has it, still percent-encoded, and empty on POST, as Sensu matches it.
    ///
    /// # Errors
    ///
    /// When the rules cannot decide: the caller may not, and an operator should look into it.
    fn decide(&self, who: &Principal, verb: Verb, resource: &str, name: &str) -> Result<bool, AuthzError>;

    /// The names that rules for some names only let the caller do it with, as paths have them. Only to show them: what
    /// decides is [`decide`](Self::decide).
    ///
    /// # Errors
    ///
    /// When the rules cannot decide about anybody.
    fn names(&self, _who: &Principal, _verb: Verb, _resource: &str) -> Result<Vec<String>, AuthzError> {
        Ok(Vec::new())
    }

    /// What it decides by at present.
    fn mode(&self) -> Mode;
}

/// Members of these groups may write everything, everyone else nothing. Stands in for Sensu's own rules.
#[derive(Clone, Debug)]
pub struct AdminGroups(pub Vec<String>);

// === impl Verb ===

impl Verb {
    /// As rules write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

// === impl Mode ===

impl Mode {
    /// As the status and the log write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rbac => "rbac",
            Self::AdminGroups => "admin-groups",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

// === impl AdminGroups ===

impl Authorizer for AdminGroups {
    fn decide(&self, who: &Principal, _: Verb, _: &str, _: &str) -> Result<bool, AuthzError> {
        Ok(who.groups.iter().any(|group| self.0.contains(group)))
    }

    fn mode(&self) -> Mode {
        Mode::AdminGroups
    }
}
