//! What `sensu-backend init` and the first start leave behind.

use serde_json::{Value, json};

use super::{
    Options, generic,
    kinds::{self, Kind},
    namespaces,
    store::Store,
};

/// Stores an object of a generic kind as given.
pub(super) fn put(store: &mut Store, kind: &Kind, namespace: Option<&str>, value: &Value) {
    // The seeds are constants of this crate; one that did not decode would be missed by its tests.
    if let Ok(object) = kind.schema.decode(value) {
        let name = object.get("metadata").and_then(|m| m.get("name")).and_then(Value::as_str);
        let key = generic::key(kind.store, namespace, name.unwrap_or_default());
        store.put(&key, object);
    }
}

/// Stores an object of any kind under its key.
pub(super) fn put_key(store: &mut Store, key: &str, value: &Value) {
    if let Some(Ok(object)) = kinds::schema_of_key(key).map(|schema| schema.decode(value)) {
        store.put(key, object);
    }
}

pub(super) fn init(store: &mut Store, options: &Options) {
    for namespace in ["default", "sensu-system"] {
        namespaces::create(store, namespace, "");
    }
    let admin = json!({"username": options.admin_user, "password": options.admin_password, "groups": ["cluster-admins"]});
    let agent = json!({"username": "agent", "password": "P@ssw0rd!", "groups": ["system:agents"]});
    put_key(store, "/sensu.io/users/agent", &agent);
    put_key(store, &format!("/sensu.io/users/{}", options.admin_user), &admin);
    roles(store);
    for (name, group) in [
        ("cluster-admin", "cluster-admins"),
        ("system:agent", "system:agents"),
        ("system:user", "system:users"),
    ] {
        let binding = json!({
            "subjects": [{"type": "Group", "name": group}],
            "role_ref": {"type": "ClusterRole", "name": name},
            "metadata": {"name": name},
        });
        put(store, &kinds::CLUSTER_ROLE_BINDINGS, None, &binding);
    }
    backend_entity(store, &format!("{}-backend-1", options.name));
}

fn roles(store: &mut Store) {
    const NINE: [&str; 9] =
        ["assets", "checks", "entities", "events", "filters", "handlers", "hooks", "mutators", "silenced"];
    let with = |more: &[&'static str]| NINE.iter().chain(more).copied().collect::<Vec<_>>();
    let rule = |verbs: &[&str], resources: Vec<&str>| json!({"verbs": verbs, "resources": resources});
    let namespaces = || rule(&["get", "list"], vec!["namespaces"]);
    for (name, rules) in [
        ("cluster-admin", vec![rule(&["*"], vec!["*"])]),
        ("admin", vec![rule(&["*"], with(&["roles", "rolebindings"])), namespaces()]),
        ("edit", vec![rule(&["*"], with(&[])), namespaces()]),
        ("view", vec![rule(&["get", "list"], with(&["namespaces"]))]),
        ("system:agent", vec![rule(&["*"], vec!["events"])]),
        ("system:user", vec![rule(&["get", "update"], vec!["localselfuser"])]),
    ] {
        put(store, &kinds::CLUSTER_ROLES, None, &json!({"rules": rules, "metadata": {"name": name}}));
    }
}

fn backend_entity(store: &mut Store, name: &str) {
    let entity = json!({
        "metadata": {"name": name, "namespace": "sensu-system"},
        "entity_class": "backend",
        "system": {
            "hostname": name, "os": "linux", "platform": "debian", "platform_family": "debian",
            "platform_version": "12", "arch": "amd64", "libc_type": "glibc",
            "network": {"interfaces": [
                {"name": "lo", "addresses": ["127.0.0.1/8", "::1/128"]},
                {"name": "eth0", "mac": "02:00:00:00:00:01", "addresses": ["192.0.2.2/24"]},
            ]},
        },
    });
    put_key(store, &format!("/sensu.io/entity_configs/sensu-system/{name}"), &entity);
}
