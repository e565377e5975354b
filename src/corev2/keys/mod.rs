//! Where Sensu stores each type, and whether a value is valid under a key.

use std::{collections::BTreeMap, str};

use prost::Message as _;
use serde_json::Value;

use super::{
    ClusterRole, ClusterRoleBinding, DecodeError, Namespace, ObjectMeta, Role, RoleBinding, User, decode,
    wire::{Field, Fields, Wire},
};

/// The core/v2 types that are stored as one key per object, in the order in which they build on one another.
///
/// Entities are not among them: Sensu stores them as core/v3 objects in a wrapper, under two keys of which agents write
/// one. Events, sessions and everything attached to leases belong to their own cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "they are Sensu's types, by Sensu's names")]
pub enum Type {
    Namespace,
    User,
    ApiKey,
    ClusterRole,
    Role,
    ClusterRoleBinding,
    RoleBinding,
    Asset,
    CheckConfig,
    EventFilter,
    Handler,
    HookConfig,
    Mutator,
    Pipeline,
    Silenced,
}

/// The parts of an object's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObjectKey<'a> {
    /// What it is.
    pub kind: Type,
    /// `None` for cluster-wide types.
    pub namespace: Option<&'a str>,
    /// Its name.
    pub name: &'a str,
}

/// Why an object must not be copied. A backend that meets one may refuse every request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// Sensu gives no object of this type such a key: it has more or fewer parts, an empty one, `.` or `..`, or is not
    /// UTF-8. Sensu would list its object all the same, under the names in the value.
    #[error("the key is not that of a {0}: it has too many or too few parts")]
    Key(&'static str),
    /// The value cannot be read. Usual cause: written by hand.
    #[error(transparent)]
    Value(#[from] DecodeError),
    /// The value is readable, but its name or namespace is missing or differs from that in its key.
    #[error("the name or namespace inside the {0} differs from its key")]
    Names(&'static str),
}

// === impl Type ===

impl Type {
    /// Every type.
    pub const ALL: [Self; 15] = [
        Self::Namespace,
        Self::User,
        Self::ApiKey,
        Self::ClusterRole,
        Self::Role,
        Self::ClusterRoleBinding,
        Self::RoleBinding,
        Self::Asset,
        Self::CheckConfig,
        Self::EventFilter,
        Self::Handler,
        Self::HookConfig,
        Self::Mutator,
        Self::Pipeline,
        Self::Silenced,
    ];

    /// The name that Sensu uses.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Namespace => "Namespace",
            Self::User => "User",
            Self::ApiKey => "APIKey",
            Self::ClusterRole => "ClusterRole",
            Self::Role => "Role",
            Self::ClusterRoleBinding => "ClusterRoleBinding",
            Self::RoleBinding => "RoleBinding",
            Self::Asset => "Asset",
            Self::CheckConfig => "CheckConfig",
            Self::EventFilter => "EventFilter",
            Self::Handler => "Handler",
            Self::HookConfig => "HookConfig",
            Self::Mutator => "Mutator",
            Self::Pipeline => "Pipeline",
            Self::Silenced => "Silenced",
        }
    }

    /// The type of that name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The prefix of all its keys. Ends in `/`, so that no other type's keys match.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Namespace => "/sensu.io/namespaces/",
            Self::User => "/sensu.io/users/",
            Self::ApiKey => "/sensu.io/apikeys/",
            Self::ClusterRole => "/sensu.io/rbac/clusterroles/",
            Self::Role => "/sensu.io/rbac/roles/",
            Self::ClusterRoleBinding => "/sensu.io/rbac/clusterrolebindings/",
            Self::RoleBinding => "/sensu.io/rbac/rolebindings/",
            Self::Asset => "/sensu.io/assets/",
            Self::CheckConfig => "/sensu.io/checks/",
            Self::EventFilter => "/sensu.io/event-filters/",
            Self::Handler => "/sensu.io/handlers/",
            Self::HookConfig => "/sensu.io/hooks/",
            Self::Mutator => "/sensu.io/mutators/",
            Self::Pipeline => "/sensu.io/pipelines/",
            Self::Silenced => "/sensu.io/silenced/",
        }
    }

    /// The path segment of its collection in the API, which is also the resource in RBAC rules.
    pub const fn collection(self) -> &'static str {
        match self {
            Self::Namespace => "namespaces",
            Self::User => "users",
            Self::ApiKey => "apikeys",
            Self::ClusterRole => "clusterroles",
            Self::Role => "roles",
            Self::ClusterRoleBinding => "clusterrolebindings",
            Self::RoleBinding => "rolebindings",
            Self::Asset => "assets",
            Self::CheckConfig => "checks",
            Self::EventFilter => "filters",
            Self::Handler => "handlers",
            Self::HookConfig => "hooks",
            Self::Mutator => "mutators",
            Self::Pipeline => "pipelines",
            Self::Silenced => "silenced",
        }
    }

    /// Whether its objects belong to a namespace.
    pub const fn is_namespaced(self) -> bool {
        !matches!(
            self,
            Self::Namespace | Self::User | Self::ApiKey | Self::ClusterRole | Self::ClusterRoleBinding
        )
    }

    /// Whether its names may contain slashes, as in `sensu/sensu-cpu-check`: each is then one more part of the key.
    pub const fn has_paths(self) -> bool {
        matches!(self, Self::Asset)
    }

    /// Whether it grants a role to subjects.
    pub const fn is_binding(self) -> bool {
        matches!(self, Self::ClusterRoleBinding | Self::RoleBinding)
    }

    /// Whether it is granted by bindings.
    pub const fn is_role(self) -> bool {
        matches!(self, Self::ClusterRole | Self::Role)
    }

    /// The prefix of the keys of a namespace, or of all with `None`. Ends in `/`.
    pub fn prefix_in(self, namespace: Option<&str>) -> String {
        let prefix = self.prefix();
        namespace.map_or_else(|| prefix.to_owned(), |namespace| format!("{prefix}{namespace}/"))
    }

    /// The key of an object.
    pub fn key(self, namespace: Option<&str>, name: &str) -> String {
        self.prefix_in(namespace) + name
    }

    /// The number of the metadata's field, and the others with how they are written.
    fn fields(self) -> (Option<u32>, &'static [(u32, Wire)]) {
        use Wire::{Bytes as B, Varint as V};
        match self {
            Self::Namespace => (None, &[(1, B)]),
            Self::User => (None, &[(1, B), (2, B), (3, B), (4, V), (5, B)]),
            Self::ApiKey => (Some(1), &[(2, B), (3, V), (4, B)]),
            Self::ClusterRole => (Some(3), &[(1, B)]),
            Self::Role => (Some(4), &[(1, B)]),
            Self::ClusterRoleBinding => (Some(4), &[(1, B), (2, B)]),
            Self::RoleBinding => (Some(5), &[(1, B), (2, B)]),
            Self::Asset => (Some(8), &[(2, B), (3, B), (5, B), (6, B), (9, B), (10, B)]),
            Self::CheckConfig => (Some(26), CHECK),
            Self::EventFilter => (Some(1), &[(2, B), (3, B), (6, B), (8, B)]),
            Self::Handler => {
                (Some(1), &[(2, B), (3, B), (4, B), (5, V), (6, B), (7, B), (8, B), (9, B), (13, B), (14, B)])
            }
            Self::HookConfig => (Some(1), &[(2, B), (3, V), (4, V), (5, B)]),
            Self::Mutator => (Some(1), &[(2, B), (3, V), (4, B), (8, B), (9, B), (10, B), (11, B)]),
            Self::Pipeline => (Some(1), &[(2, B)]),
            Self::Silenced => (
                Some(1),
                &[(2, V), (3, V), (4, B), (5, B), (6, B), (7, B), (10, V), (11, V), (12, V), (13, V)],
            ),
        }
    }

    /// Whether two values are equal. Sensu writes labels and annotations in random order, so that equal objects may differ
    /// in bytes there; any other difference counts.
    pub fn same(self, a: &[u8], b: &[u8]) -> bool {
        if a == b {
            return true;
        }
        match (is_json(a), is_json(b)) {
            (false, false) => matches!((self.parts(a), self.parts(b)), (Ok(a), Ok(b)) if a == b),
            (true, true) => {
                let read = |value| serde_json::from_slice::<Value>(value);
                matches!((read(a), read(b)), (Ok(a), Ok(b)) if a == b)
            }
            _ => false,
        }
    }

    /// The metadata, and the other fields in their order, by number. Fails where a backend would fail.
    fn parts(self, value: &[u8]) -> Result<(ObjectMeta, Parts<'_>), DecodeError> {
        let malformed = DecodeError::Malformed(self.name());
        let (metadata_at, known) = self.fields();
        let mut metadata = ObjectMeta::default();
        let mut parts = Parts::new();
        for field in Fields::of(value) {
            let field = field.map_err(|_| malformed.clone())?;
            if Some(field.number) == metadata_at {
                let Field { wire: Wire::Bytes, content, .. } = field else { return Err(malformed) };
                metadata.merge(content).map_err(|_| malformed.clone())?;
                continue;
            }
            if known.iter().any(|(number, wire)| *number == field.number && *wire != field.wire) {
                return Err(malformed);
            }
            parts.entry(field.number).or_default().push(field);
        }
        Ok((metadata, parts))
    }
}

/// The fields of a message except its metadata.
type Parts<'v> = BTreeMap<u32, Vec<Field<'v>>>;

// === impl ObjectKey ===

impl<'a> ObjectKey<'a> {
    /// Parses a key. `None` if it is not of any type known here.
    pub fn parse(key: &'a [u8]) -> Option<Result<Self, Unfit>> {
        let kind = Type::ALL.into_iter().find(|kind| key.starts_with(kind.prefix().as_bytes()))?;
        let parse = || {
            let rest = str::from_utf8(&key[kind.prefix().len()..]).ok()?;
            let (namespace, name) = match rest.split_once('/') {
                None if !kind.is_namespaced() => (None, rest),
                Some((namespace, name)) if kind.is_namespaced() => (Some(namespace), name),
                _ => return None,
            };
            // Sensu cleans the paths that it makes of names.
            let is_part = |part: &str| !matches!(part, "" | "." | "..") && !part.contains('/');
            let is_name = if kind.has_paths() { name.split('/').all(is_part) } else { is_part(name) };
            (is_name && namespace.is_none_or(is_part)).then_some(Self { kind, namespace, name })
        };
        Some(parse().ok_or(Unfit::Key(kind.name())))
    }

    /// Whether a value can be read, and has the names of this key.
    ///
    /// RBAC objects, namespaces and users are read completely. Of other types only the outer message is: a fault in a
    /// nested one would be found only by a backend, and break that one list of its namespace.
    pub fn check(&self, value: &[u8]) -> Result<(), Unfit> {
        let kind = self.kind;
        let (namespace, name) = names(kind, value)?;
        let is_it = if kind.has_paths() { leads_to(&namespace, &name, self.name) } else { name == self.name };
        if is_it && namespace == self.namespace.unwrap_or_default() {
            Ok(())
        } else {
            Err(Unfit::Names(kind.name()))
        }
    }
}

/// Whether the key of an object of this name ends in the path `to`. Sensu joins namespace and name to a path and cleans
/// it, so that an asset `a//b` is stored as `a/b`, and one named `../prod/a` in another namespace's keys.
fn leads_to(namespace: &str, name: &str, to: &str) -> bool {
    let mut path = vec![namespace];
    for part in name.split('/') {
        if part == ".." {
            if path.pop().is_none() {
                return false;
            }
        } else if !matches!(part, "" | ".") {
            path.push(part);
        }
    }
    path.split_first()
        .is_some_and(|(first, rest)| *first == namespace && rest.iter().copied().eq(to.split('/')))
}

/// The namespace and name inside a value.
fn names(kind: Type, value: &[u8]) -> Result<(String, String), DecodeError> {
    let what = kind.name();
    let metadata = if is_json(value) {
        let json: Value = serde_json::from_slice(value).map_err(|_| DecodeError::Malformed(what))?;
        // Go matches keys in any case and uses the last of several: which one it would use here is unknown.
        let is_text = |key| json.get(key).is_none_or(|value| value.is_string() || value.is_null());
        if !plain_keys(&json) || (kind == Type::User && !SECRETS.into_iter().all(is_text)) {
            return Err(DecodeError::Malformed(what));
        }
        json.get("metadata").map(ObjectMeta::of_json).transpose().map_err(|_| DecodeError::Malformed(what))?
    } else {
        Some(kind.parts(value)?.0)
    };
    let metadata = match kind {
        Type::ClusterRole => decode::<ClusterRole>(value, what)?.metadata,
        Type::Role => decode::<Role>(value, what)?.metadata,
        Type::ClusterRoleBinding => decode::<ClusterRoleBinding>(value, what)?.metadata,
        Type::RoleBinding => decode::<RoleBinding>(value, what)?.metadata,
        Type::Namespace => return Ok((String::new(), decode::<Namespace>(value, what)?.name)),
        Type::User => return Ok((String::new(), decode::<User>(value, what)?.username)),
        _ => metadata,
    };
    let metadata = metadata.unwrap_or_default();
    Ok((metadata.namespace, metadata.name))
}

fn is_json(value: &[u8]) -> bool {
    value.first() == Some(&b'{')
}

/// Whether all keys, except those of labels and annotations, are as Sensu writes them.
fn plain_keys(json: &Value) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    match json {
        Value::Object(map) => map.iter().all(|(key, value)| {
            key.chars().all(plain)
                && (matches!(&**key, "labels" | "annotations" | "headers") || plain_keys(value))
        }),
        Value::Array(items) => items.iter().all(plain_keys),
        _ => true,
    }
}

/// Fields of a user that are not read here but must be strings.
const SECRETS: [&str; 2] = ["password", "password_hash"];

/// A check's fields.
const CHECK: &[(u32, Wire)] = {
    use Wire::{Bytes as B, Varint as V};
    &[
        (1, B),
        (3, B),
        (4, V),
        (5, V),
        (6, V),
        (9, V),
        (10, B),
        (11, B),
        (12, B),
        (13, B),
        (14, B),
        (15, V),
        (16, B),
        (17, B),
        (18, V),
        (19, V),
        (20, B),
        (21, V),
        (22, B),
        (23, B),
        (24, B),
        (27, V),
        (28, V),
        (29, B),
        (30, B),
        (31, B),
        (32, B),
        (33, B),
        (34, B),
        (35, B),
        (36, V),
    ]
};

#[cfg(test)]
mod tests;
