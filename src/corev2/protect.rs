//! Objects that replication must not touch, so that nobody is locked out of a follower.

use super::{ObjectKey, Type};

/// What may be done to an object of a follower.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protection {
    /// Anything.
    None,
    /// It may be updated, never deleted: every backend seeds it and other objects build on it.
    Kept,
    /// It is the follower's own: neither written nor deleted.
    Untouched,
}

/// How an object is protected.
///
/// `system:*` binds every token to the rights on its own user, agents to events and pipelines to their namespace;
/// `cluster-admin` is how an administrator gets in to repair anything. They mean the same in every cluster, though their
/// bytes differ. The namespaces `default` and `sensu-system` are created by every backend itself.
pub fn protection(key: &ObjectKey<'_>) -> Protection {
    match (key.kind, key.name) {
        (kind, name)
            if (kind.is_role() || kind.is_binding())
                && (name == CLUSTER_ADMIN || name.starts_with(SYSTEM)) =>
        {
            Protection::Untouched
        }
        (Type::ClusterRole, "admin" | "edit" | "view")
        | (Type::User, "admin" | "agent")
        | (Type::Namespace, "default" | "sensu-system") => Protection::Kept,
        _ => Protection::None,
    }
}

/// Whether a cluster cannot be administered or used without this subject. If its rights cannot be evaluated, because a
/// binding names a role that does not exist, nobody can repair that through the API.
pub fn is_vital(kind: &str, name: &str) -> bool {
    match kind {
        "Group" => name == "cluster-admins" || name.starts_with(SYSTEM),
        "User" => matches!(name, "admin" | "agent"),
        _ => false,
    }
}

const CLUSTER_ADMIN: &str = "cluster-admin";
const SYSTEM: &str = "system:";
