//! The resource kinds: where they are routed and stored, their shape and their rules.

mod shapes;
mod validate;

pub(super) use shapes::*;
pub(super) use validate::{name, subscription_name, username};

use super::{json::Object, schema::Schema};

/// A resource kind with the generic routes.
pub(super) struct Kind {
    /// The path segment of its routes, which is also the resource in RBAC rules.
    pub(super) route: &'static str,
    /// Its directory in the store.
    pub(super) store: &'static str,
    pub(super) schema: &'static Schema,
    pub(super) namespaced: bool,
    /// Whether PUT exists.
    pub(super) put: bool,
    pub(super) validate: fn(&mut Object) -> Result<(), String>,
}

macro_rules! kinds {
    ($($id:ident = $route:literal, $store:literal, $schema:ident, $namespaced:literal, $put:literal, $validate:ident;)*) => {
        $(pub(super) static $id: Kind = Kind {
            route: $route,
            store: $store,
            schema: &shapes::$schema,
            namespaced: $namespaced,
            put: $put,
            validate: validate::$validate,
        };)*
        static ALL: &[&Kind] = &[$(&$id),*];
    };
}

kinds! {
    ASSETS = "assets", "assets", ASSET, true, true, asset;
    CHECKS = "checks", "checks", CHECK, true, true, check;
    FILTERS = "filters", "event-filters", FILTER, true, true, filter;
    HANDLERS = "handlers", "handlers", HANDLER, true, true, handler;
    HOOKS = "hooks", "hooks", HOOK, true, true, hook;
    MUTATORS = "mutators", "mutators", MUTATOR, true, true, mutator;
    PIPELINES = "pipelines", "pipelines", PIPELINE, true, true, pipeline;
    ROLES = "roles", "rbac/roles", ROLE, true, true, role;
    ROLE_BINDINGS = "rolebindings", "rbac/rolebindings", ROLE_BINDING, true, true, role_binding;
    CLUSTER_ROLES = "clusterroles", "rbac/clusterroles", CLUSTER_ROLE, false, true, cluster_role;
    CLUSTER_ROLE_BINDINGS =
        "clusterrolebindings", "rbac/clusterrolebindings", CLUSTER_ROLE_BINDING, false, true, cluster_role_binding;
    API_KEYS = "apikeys", "apikeys", API_KEY, false, false, api_key;
}

/// The generic kind of a route.
pub(super) fn by_route(route: &str) -> Option<&'static Kind> {
    ALL.iter().find(|k| k.route == route).copied()
}

/// The shape of whatever lives under a store key.
pub(super) fn schema_of_key(key: &str) -> Option<&'static Schema> {
    let rest = key.strip_prefix("/sensu.io/")?;
    let under = |store: &str| rest.strip_prefix(store).is_some_and(|tail| tail.starts_with('/'));
    if let Some(kind) = ALL.iter().find(|k| under(k.store)) {
        return Some(kind.schema);
    }
    let others: [(&str, &'static Schema); 5] = [
        ("namespaces", &shapes::NAMESPACE),
        ("users", &shapes::USER),
        ("events", &shapes::EVENT),
        ("entity_configs", &shapes::ENTITY),
        ("silenced", &shapes::SILENCED),
    ];
    others.into_iter().find(|(store, _)| under(store)).map(|(_, schema)| schema)
}
