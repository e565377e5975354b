use std::fmt;

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

/// Decides who may write. Reading is for everybody with a valid token.
pub trait Authorizer: Send + Sync + 'static {
    /// Whether the caller may. `resource` is `clusters` or `etcd-replicators`; `name` is empty on POST.
    fn allows(&self, who: &Principal, verb: Verb, resource: &str, name: &str) -> bool;
}

/// Members of these groups may do everything, nobody else anything: for want of Sensu's own rules.
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

// === impl AdminGroups ===

impl Authorizer for AdminGroups {
    fn allows(&self, who: &Principal, _: Verb, _: &str, _: &str) -> bool {
        who.groups.iter().any(|group| self.0.contains(group))
    }
}
