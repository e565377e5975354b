use std::collections::BTreeSet;

use super::Copies;
use crate::{corev2::Type, policy::object::Key};

/// What gives the gateway's own group its rights in a cluster whose administrators have replaced the binding
/// `cluster-admin` by bindings of their own: those, and the roles that they name. Nothing where that binding is as every
/// cluster seeds it: then it is never touched, and there is no other need.
pub(super) fn lifelines(copies: &Copies) -> BTreeSet<&Key> {
    let admitting = copies.bindings().filter(|(key, _, binding)| {
        let role = binding.role.as_ref();
        key.kind == Type::ClusterRoleBinding
            && binding.admits_us
            && role.is_some_and(|role| copies.get(role).is_some())
    });
    let is_seeded = |key: &Key, role: Option<&Key>| {
        key.name == SEEDED && role.is_some_and(|role| role.name == SEEDED && role.kind == Type::ClusterRole)
    };
    let mut found = BTreeSet::new();
    for (key, _, binding) in admitting {
        if is_seeded(key, binding.role.as_ref()) {
            return BTreeSet::new();
        }
        found.insert(key);
        found.extend(binding.role.as_ref());
    }
    found
}

/// The binding and the role by which `sensu-backend init` makes administrators.
const SEEDED: &str = "cluster-admin";
