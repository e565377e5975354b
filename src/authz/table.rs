use std::{collections::BTreeMap, mem, sync::Arc};

use super::{
    AuthzError, Rules,
    error::printable,
    rules::{Binding, Rule, Subject},
};
use crate::corev2;

/// The roles and bindings of a cluster as its store has them, from which [`Rules`] are made.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// By key, which gives the order in which they are tried.
    bindings: BTreeMap<Box<[u8]>, Stored<Reference>>,
    /// By key, by which they are looked up.
    roles: BTreeMap<Box<[u8]>, Stored<Arc<[Rule]>>>,
    /// Of all keys and stored values, and what holding them takes.
    bytes: usize,
}

/// What a key holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Role,
    Binding,
}

#[derive(Debug)]
struct Stored<T> {
    bytes: usize,
    /// `None`: it cannot be read.
    value: Option<T>,
}

/// A binding before its role is looked up.
#[derive(Clone, Debug)]
struct Reference {
    name: Box<str>,
    subjects: Arc<[Subject]>,
    kind: Box<str>,
    role: Box<str>,
}

// === impl Table ===

impl Table {
    /// Reads a stored value and keeps what of it matters. `key` is what follows the directory.
    pub(super) fn put(&mut self, kind: Kind, key: &[u8], value: &[u8]) {
        let bytes = key.len() + value.len() + ENTRY_BYTES;
        match kind {
            Kind::Role => self.put_role(key, Stored { bytes, value: role(value) }),
            Kind::Binding => {
                let held = Stored { bytes, value: reference(value) };
                self.bytes += bytes;
                self.bytes -= stored_bytes(self.bindings.insert(key.into(), held));
            }
        }
    }

    /// Marks a role as unreadable: what it allows is not known.
    pub(super) fn mark_role_unreadable(&mut self, key: &[u8]) {
        self.put_role(key, Stored { bytes: key.len() + ENTRY_BYTES, value: None });
    }

    pub(super) fn has_role(&self, key: &[u8]) -> bool {
        self.roles.contains_key(key)
    }

    pub(super) fn delete(&mut self, kind: Kind, key: &[u8]) {
        self.bytes -= match kind {
            Kind::Role => stored_bytes(self.roles.remove(key)),
            Kind::Binding => stored_bytes(self.bindings.remove(key)),
        };
    }

    /// Whether it holds more than it should: filling it must stop then.
    pub(super) fn is_too_large(&self) -> bool {
        self.bytes > MAX_BYTES
    }

    /// The rules as they are now.
    pub(super) fn rules(&self) -> Rules {
        if self.is_too_large() {
            return Rules::new(Err(too_large()));
        }
        Rules::new(self.bindings.iter().map(|(key, held)| self.resolve(key, held)).collect())
    }

    fn resolve(&self, key: &[u8], held: &Stored<Reference>) -> Result<Binding, AuthzError> {
        let Some(reference) = &held.value else {
            return Err(AuthzError::UnreadableBinding { binding: printable(key) });
        };
        let Reference { name, subjects, kind, role } = reference;
        let found = self.roles.get(role.as_bytes()).filter(|_| **kind == *"ClusterRole");
        let grant = match found.map(|held| &held.value) {
            Some(Some(rules)) => Ok(Arc::clone(rules)),
            Some(None) => Err(AuthzError::UnreadableRole {
                binding: printable(name.as_bytes()),
                role: printable(role.as_bytes()),
            }),
            None => Err(AuthzError::Dangling {
                binding: printable(name.as_bytes()),
                kind: printable(kind.as_bytes()),
                role: printable(role.as_bytes()),
            }),
        };
        Ok(Binding { subjects: Arc::clone(subjects), grant })
    }

    fn put_role(&mut self, key: &[u8], held: Stored<Arc<[Rule]>>) {
        self.bytes += held.bytes;
        self.bytes -= stored_bytes(self.roles.insert(key.into(), held));
    }
}

/// The fault of a table that is too large.
pub(super) fn too_large() -> AuthzError {
    AuthzError::TooLarge { limit: MAX_BYTES }
}

fn stored_bytes<T>(held: Option<Stored<T>>) -> usize {
    held.map_or(0, |held| held.bytes)
}

fn role(value: &[u8]) -> Option<Arc<[Rule]>> {
    let role: corev2::ClusterRole = corev2::decode(value, "ClusterRole").ok()?;
    Some(role.rules.into_iter().filter_map(Rule::of).collect())
}

fn reference(value: &[u8]) -> Option<Reference> {
    let mut binding: corev2::ClusterRoleBinding = corev2::decode(value, "ClusterRoleBinding").ok()?;
    let role = binding.role_ref.unwrap_or_default();
    let name = binding.metadata.as_mut().map(|metadata| mem::take(&mut metadata.name));
    Some(Reference {
        name: name.unwrap_or_default().into(),
        subjects: binding.subjects.into_iter().filter_map(Subject::of).collect(),
        kind: role.kind.into(),
        role: role.name.into(),
    })
}

/// The overhead of an entry, without which a million empty values would count for nothing.
const ENTRY_BYTES: usize = 128;

/// Most bytes: about 20,000 roles of the usual size. In memory they take at most about 30 times as much, when values
/// consist of empty strings.
pub(super) const MAX_BYTES: usize = 8 << 20;
