use bytes::Bytes;

use super::scope::MAX_KEY_CHARS;
use crate::corev2::{
    ClusterRoleBinding, ObjectKey, RoleBinding, RoleRef, Subject, Type, decode, protect::is_vital,
};

/// What a binding says.
pub(super) struct Binding {
    subjects: Vec<Subject>,
    role_ref: RoleRef,
    /// The key of the role; `None` if no role can have that name.
    pub(super) role: Option<Bytes>,
}

// === impl Binding ===

impl Binding {
    pub(super) fn read(object: &ObjectKey<'_>, value: &[u8]) -> Self {
        let (subjects, role_ref) = if object.kind == Type::RoleBinding {
            let read = decode::<RoleBinding>(value, "RoleBinding").unwrap_or_default();
            (read.subjects, read.role_ref)
        } else {
            let read = decode::<ClusterRoleBinding>(value, "ClusterRoleBinding").unwrap_or_default();
            (read.subjects, read.role_ref)
        };
        let role_ref = role_ref.unwrap_or_default();
        let role = match (&*role_ref.kind, object.namespace) {
            ("ClusterRole", _) => Some(Type::ClusterRole.key(None, &role_ref.name)),
            ("Role", Some(namespace)) => Some(Type::Role.key(Some(namespace), &role_ref.name)),
            _ => None,
        };
        Self { subjects, role_ref, role: role.map(Bytes::from) }
    }

    pub(super) fn is_vital(&self) -> bool {
        self.subjects.iter().any(|subject| is_vital(&subject.kind, &subject.name))
    }

    pub(super) fn dangles(&self) -> String {
        let name: String = self.role_ref.name.escape_debug().take(MAX_KEY_CHARS).collect();
        format!(
            "it names the {} {name}, which the follower does not have: its subjects get error 500 there",
            self.role_ref.kind
        )
    }
}
