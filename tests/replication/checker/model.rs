//! What the followers must hold, from what was done.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::{self, Write as _},
};

use fastrand::Rng;
use fedgate::corev2::{ClusterRole, ClusterRoleBinding, ObjectKey, Role, RoleBinding, Type, decode};
use prost::Message as _;

use crate::support::objects::{
    cluster_role, cluster_role_binding, metadata, object as object_of, role, role_binding,
};

pub(crate) type State = BTreeMap<String, Vec<u8>>;

/// What is replicated, and from which namespace.
pub(crate) const SCOPES: [(Type, Option<&str>); 5] = [
    (Type::ClusterRole, None),
    (Type::ClusterRoleBinding, None),
    (Type::Role, Some("dev")),
    (Type::RoleBinding, Some("dev")),
    (Type::CheckConfig, Some("dev")),
];

const NAMES: usize = 6;

/// One follower.
#[derive(Clone, Default)]
pub(crate) struct Follower {
    /// What replication has brought.
    pub(crate) brought: State,
    /// What is its own.
    pub(crate) own: State,
    /// Types whose replicator is registered.
    pub(crate) types: BTreeSet<Type>,
    /// What was still here of types that were not registered when the store was lost: it is a federation's that is gone,
    /// until a replicator of the type is registered again.
    left: BTreeSet<String>,
}

pub(crate) fn kind_of(key: &str) -> Type {
    ObjectKey::parse(key.as_bytes()).unwrap().unwrap().kind
}

/// Any key that the source may have; some are of the namespace next door.
pub(crate) fn any_key(random: &mut Rng) -> String {
    let (kind, namespace) = SCOPES[random.usize(..SCOPES.len())];
    let namespace = namespace.map(|it| if random.u8(..6) == 0 { "dev2" } else { it });
    kind.key(namespace, &format!("n{}", random.usize(..NAMES)))
}

/// Any value for a key; some are bad.
pub(crate) fn any_value(random: &mut Rng, key: &str) -> Vec<u8> {
    let object = ObjectKey::parse(key.as_bytes()).unwrap().unwrap();
    let verbs = [["get"], ["list"], ["create"], ["delete"]][random.usize(..4)];
    let other = format!("n{}", random.usize(..NAMES));
    let group = if random.u8(..5) == 0 { "cluster-admins" } else { ["g", "h"][random.usize(..2)] };
    let name = if random.u8(..20) == 0 { "misnamed" } else { object.name };
    if random.u8(..20) == 0 {
        return b"\xff\xff".to_vec();
    }
    match (object.kind, object.namespace) {
        (Type::ClusterRole, _) => cluster_role(name, &verbs),
        (Type::ClusterRoleBinding, _) => {
            cluster_role_binding(name, if random.bool() { "view" } else { &other }, group)
        }
        (Type::Role, Some(namespace)) => role(namespace, name, &verbs),
        // With a command, so that there are several.
        (Type::CheckConfig, Some(namespace)) => {
            [object_of(Type::CheckConfig, namespace, name), vec![0x0a, 1, verbs[0].as_bytes()[0]]].concat()
        }
        (_, namespace) => role_binding(namespace.unwrap(), name, &other, group),
    }
}

/// A binding of the follower's own, of a role that may be ours.
pub(crate) fn own_binding(random: &mut Rng) -> (String, Vec<u8>) {
    let name = format!("local-{}", random.usize(..3));
    let role = format!("n{}", random.usize(..NAMES));
    (Type::ClusterRoleBinding.key(None, &name), cluster_role_binding(&name, &role, "cluster-admins"))
}

fn is_good(key: &str, value: &[u8]) -> bool {
    ObjectKey::parse(key.as_bytes()).unwrap().unwrap().check(value).is_ok()
}

/// The role that a binding names, and whether the binding is for administrators.
fn binding(key: &str, value: &[u8]) -> (String, bool) {
    let object = ObjectKey::parse(key.as_bytes()).unwrap().unwrap();
    let (subjects, role_ref) = if object.kind == Type::RoleBinding {
        let read: RoleBinding = decode(value, "").unwrap();
        (read.subjects, read.role_ref.unwrap())
    } else {
        let read: ClusterRoleBinding = decode(value, "").unwrap();
        (read.subjects, read.role_ref.unwrap())
    };
    let kind = Type::of_name(&role_ref.kind).unwrap();
    let namespace = object.namespace.filter(|_| kind == Type::Role);
    (kind.key(namespace, &role_ref.name), subjects.iter().any(|subject| subject.name == "cluster-admins"))
}

/// A state to read, a line for each key.
pub(crate) fn show(state: &State) -> String {
    let mut text = String::new();
    for (key, value) in state {
        let _ = write!(text, "\n    {key} {}", value.escape_ascii());
    }
    text
}

impl fmt::Debug for Follower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\n  {:?}\n  brought{}\n  own{}", self.types, show(&self.brought), show(&self.own))
    }
}

impl Follower {
    /// Whether the source's key is copied here.
    pub(crate) fn wants(&self, key: &str) -> bool {
        SCOPES.iter().any(|(kind, namespace)| {
            self.types.contains(kind) && key.starts_with(&kind.prefix_in(*namespace))
        })
    }

    /// Whether a key is a binding for administrators. It may be taken away for the sake of those at any moment; what is
    /// put there after that is the follower's own.
    pub(crate) fn is_delicate(&self, key: &str) -> bool {
        kind_of(key).is_binding() && self.brought.get(key).is_some_and(|value| binding(key, value).1)
    }

    /// A replicator of the type is registered: it takes what there is of it.
    pub(crate) fn register(&mut self, kind: Type) {
        self.types.insert(kind);
        self.left.retain(|key| kind_of(key) != kind);
    }

    /// The store was lost.
    pub(crate) fn lose_the_store(&mut self) {
        let unknown = self.brought.keys().filter(|key| !self.types.contains(&kind_of(key)));
        self.left.extend(unknown.cloned());
    }

    /// Everything was copied: what replication has brought is now this.
    pub(crate) fn settle(&mut self, source: &State) {
        let mut next = State::new();
        let keys: BTreeSet<String> = source.keys().chain(self.brought.keys()).cloned().collect();
        let (bindings, roles): (Vec<_>, Vec<_>) = keys.into_iter().partition(|key| kind_of(key).is_binding());
        for key in roles {
            let value = match source.get(&key).filter(|_| self.wants(&key)) {
                Some(value) if is_good(&key, value) => Some(value.clone()),
                Some(_) => self.brought.get(&key).cloned(),
                None if self.left.contains(&key) => self.brought.get(&key).cloned(),
                None if self.brought.contains_key(&key) && self.names(&key) => Some(empty(&key)),
                None => None,
            };
            next.extend(value.map(|value| (key, value)));
        }
        for key in bindings {
            let value = match source.get(&key).filter(|_| self.wants(&key)) {
                Some(value) if is_good(&key, value) => Some(value.clone()),
                Some(_) => self.brought.get(&key).cloned(),
                None => None,
            };
            let Some(value) = value else { continue };
            let (role, is_vital) = binding(&key, &value);
            let has_role = next.contains_key(&role) || role.ends_with("/view");
            if has_role || !is_vital {
                next.insert(key, value);
            }
        }
        self.brought = next;
    }

    /// Whether one of the follower's own bindings names a role.
    fn names(&self, role: &str) -> bool {
        self.own.iter().any(|(key, value)| kind_of(key).is_binding() && binding(key, value).0 == role)
    }

    /// How the follower differs from what it must hold.
    pub(crate) fn difference(&self, seeds: &State, actual: &State) -> Option<String> {
        let mut expected = seeds.clone();
        expected.extend(self.brought.clone());
        expected.extend(self.own.clone());
        for (key, value) in &expected {
            match actual.get(key) {
                None => return Some(format!("{key} is missing")),
                Some(found) if !kind_of(key).same(found, value) => {
                    return Some(format!(
                        "{key} is {} and not {}",
                        found.escape_ascii(),
                        value.escape_ascii()
                    ));
                }
                Some(_) => {}
            }
        }
        actual.keys().find(|key| !expected.contains_key(*key)).map(|key| format!("{key} is too much"))
    }
}

fn empty(key: &str) -> Vec<u8> {
    let object = ObjectKey::parse(key.as_bytes()).unwrap().unwrap();
    let metadata = Some(metadata(object.namespace.unwrap_or_default(), object.name));
    match object.kind {
        Type::Role => Role { rules: vec![], metadata }.encode_to_vec(),
        _ => ClusterRole { rules: vec![], metadata }.encode_to_vec(),
    }
}
