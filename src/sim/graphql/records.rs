//! The kinds of stored objects that GraphQL shows, each with its names in every place.

use serde_json::{Map, Value, json};

use super::{
    ids::{self, Id},
    out::Node,
};
use crate::sim::{
    entities,
    kinds::{self, schema_of_key},
    schema::Schema,
};

/// A kind of stored object.
pub(super) struct Record {
    /// Its GraphQL type.
    pub(super) ty: &'static str,
    /// The resource of its ids.
    pub(super) id: &'static str,
    /// The resource in RBAC rules.
    pub(super) rbac: &'static str,
    /// Its directory in the store.
    pub(super) store: &'static str,
    /// Version and type in a wrapped object.
    pub(super) api: (&'static str, &'static str),
}

macro_rules! records {
    ($($name:ident = $ty:literal, $id:literal, $rbac:literal, $store:literal, $version:literal, $kind:literal;)*) => {
        $(pub(super) static $name: Record =
            Record { ty: $ty, id: $id, rbac: $rbac, store: $store, api: ($version, $kind) };)*
        static ALL: &[&Record] = &[$(&$name),*];
    };
}

records! {
    ASSETS = "Asset", "assets", "assets", "assets", "core/v2", "Asset";
    CHECKS = "CheckConfig", "checks", "checks", "checks", "core/v2", "CheckConfig";
    ENTITIES = "Entity", "entities", "entities", "entity_configs", "core/v2", "Entity";
    EVENTS = "Event", "events", "events", "events", "core/v2", "Event";
    FILTERS = "EventFilter", "filters", "filters", "event-filters", "core/v2", "EventFilter";
    HANDLERS = "Handler", "handlers", "handlers", "handlers", "core/v2", "Handler";
    HOOKS = "HookConfig", "hooks", "hooks", "hooks", "core/v2", "HookConfig";
    MUTATORS = "Mutator", "mutators", "mutators", "mutators", "core/v2", "Mutator";
    NAMESPACES = "Namespace", "namespaces", "namespaces", "namespaces", "core/v2", "Namespace";
    PIPELINES = "CoreV2Pipeline", "corev2/pipeline", "pipelines", "pipelines", "core/v2", "Pipeline";
    ROLES = "CoreV2Role", "roles", "roles", "rbac/roles", "core/v2", "Role";
    ROLE_BINDINGS =
        "CoreV2RoleBinding", "rolebindings", "rolebindings", "rbac/rolebindings", "core/v2", "RoleBinding";
    CLUSTER_ROLES =
        "CoreV2ClusterRole", "clusterroles", "clusterroles", "rbac/clusterroles", "core/v2", "ClusterRole";
    CLUSTER_ROLE_BINDINGS = "CoreV2ClusterRoleBinding", "clusterrolebindings", "clusterrolebindings",
        "rbac/clusterrolebindings", "core/v2", "ClusterRoleBinding";
    SILENCES = "Silenced", "silences", "silenced", "silenced", "core/v2", "Silenced";
    USERS = "User", "users", "users", "users", "core/v2", "User";
    ENTITY_CONFIGS =
        "CoreV3EntityConfig", "core/v3.EntityConfig", "entities", "entity_configs", "core/v3", "EntityConfig";
    ENTITY_STATES =
        "CoreV3EntityState", "core/v3.EntityState", "entities", "entity_configs", "core/v3", "EntityState";
}

/// The kind that has ids with this resource.
pub(super) fn by_id(resource: &str) -> Option<&'static Record> {
    ALL.iter().find(|record| record.id == resource).copied()
}

/// The kind of a GraphQL type.
pub(super) fn by_type(ty: &str) -> Option<&'static Record> {
    ALL.iter().find(|record| record.ty == ty).copied()
}

/// The kind of a wrapped object.
pub(super) fn by_api(version: &str, kind: &str) -> Option<&'static Record> {
    ALL.iter().find(|record| record.api == (version, kind)).copied()
}

// === impl Record ===

impl Record {
    /// The shape of what is stored.
    pub(super) fn shape(&self) -> &'static Schema {
        schema_of_key(&format!("/sensu.io/{}/", self.store)).unwrap_or(&kinds::NAMESPACE)
    }
}

/// The id of a node, if its type has ids.
pub(super) fn id_of(node: &Node) -> Option<Id> {
    let record = by_type(node.ty)?;
    if node.ty != EVENTS.ty {
        return Some(Id::new(record.id, node.namespace(), node.name()));
    }
    let namespace = match node.namespace() {
        "" => node.text(&["entity", "metadata", "namespace"]),
        own => own,
    };
    let (entity, check) =
        (node.text(&["entity", "metadata", "name"]), node.text(&["check", "metadata", "name"]));
    Some(Id::of_event(namespace, entity, check))
}

/// An object as it is written to a file for `sensuctl create`: `toJSON` and `wrappedNode`. Secrets in the labels of
/// an entity are only hidden where it is part of an event, and the hash of a password not at all.
pub(super) fn wrapped(node: &Node) -> Value {
    let mut shown = node.object().clone();
    match node.ty {
        "Event" => {
            if let Some(entity) = node.part("entity") {
                shown.insert("entity".into(), entities::redacted(entity).into());
            }
        }
        "User" => {
            for secret in ["password", "password_hash"] {
                shown.insert(secret.into(), "$2a$10$".into());
            }
        }
        _ => {}
    }
    let encoded = match node.ty {
        "Check" => kinds::EVENT_CHECK.encode(&shown),
        "CoreV3EntityConfig" => kinds::ENTITY_CONFIG.encode(&shown),
        ty => by_type(ty).map_or_else(|| "{}".to_owned(), |record| record.shape().encode(&shown)),
    };
    let mut spec: Map<String, Value> = serde_json::from_str(&encoded).unwrap_or_default();
    if node.ty == "CoreV3EntityState" {
        spec.retain(|key, _| {
            matches!(key.as_str(), "metadata" | "system" | "last_seen" | "sensu_agent_version")
        });
    }
    let metadata = spec.remove("metadata").unwrap_or_else(|| json!({"name": node.name()}));
    let (version, kind) = by_type(node.ty).map_or(("core/v2", "Check"), |record| record.api);
    let mut spec = Value::Object(spec);
    spec.sort_all_objects();
    json!({"type": kind, "api_version": version, "metadata": metadata, "spec": spec})
}

/// The id of a check's configuration, which events carry as `nodeId`.
pub(super) fn check_id(check: &Node) -> Value {
    ids::to_value(&Id::new(CHECKS.id, check.namespace(), check.name()))
}
