use std::{cell::OnceCell, collections::HashMap};

use bytes::Bytes;

use super::{Owner, World, binding::Binding};
use crate::corev2::{ObjectKey, Type};

/// Which roles the destination's bindings name. Built when first used.
pub(in crate::replication) struct References<'a> {
    world: World<'a>,
    /// Bindings that will be deleted.
    leaving: &'a dyn Fn(&Bytes) -> bool,
    built: OnceCell<HashMap<Bytes, Named>>,
}

/// Which bindings name a role.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Named {
    /// One of the follower's own, or one of ours that cannot be changed there.
    pub(super) by_local: bool,
    /// One of ours that stays.
    pub(super) by_owned: bool,
    /// One of those has a subject without whom the follower cannot be repaired.
    pub(super) by_vital: bool,
}

// === impl References ===

impl<'a> References<'a> {
    pub(in crate::replication) fn new(world: World<'a>, leaving: &'a dyn Fn(&Bytes) -> bool) -> Self {
        Self { world, leaving, built: OnceCell::new() }
    }

    pub(super) fn of(&self, role: &Bytes) -> Named {
        self.built.get_or_init(|| self.build()).get(role).copied().unwrap_or_default()
    }

    fn build(&self) -> HashMap<Bytes, Named> {
        let mut names: HashMap<Bytes, Named> = HashMap::new();
        for kind in [Type::ClusterRoleBinding, Type::RoleBinding] {
            for (key, entry) in self.world.dest.range(kind.prefix().as_bytes()) {
                let parsed = ObjectKey::parse(key).and_then(Result::ok);
                // Sensu lists objects under longer keys too.
                let object = parsed.unwrap_or_else(|| nested(kind, key));
                let binding = Binding::read(&object, &entry.value);
                let is_vital = binding.is_vital();
                let Some(role) = binding.role else { continue };
                match self.world.owner(key, &object) {
                    Owner::Nobody if !self.world.will_own(key, &object) => {
                        names.entry(role).or_default().by_local = true;
                    }
                    _ if self.world.refused.holds(key) => names.entry(role).or_default().by_local = true,
                    _ if (self.leaving)(key) => {}
                    _ => {
                        let entry = names.entry(role).or_default();
                        entry.by_owned = true;
                        entry.by_vital |= is_vital;
                    }
                }
            }
        }
        names
    }
}

/// The namespace of a binding whose key has too many parts.
fn nested(kind: Type, key: &Bytes) -> ObjectKey<'_> {
    let rest =
        key.strip_prefix(kind.prefix().as_bytes()).and_then(|rest| rest.split(|byte| *byte == b'/').next());
    let namespace = rest.and_then(|part| std::str::from_utf8(part).ok()).filter(|_| kind.is_namespaced());
    ObjectKey { kind, namespace, name: "" }
}
