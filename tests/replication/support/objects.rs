//! Sensu's objects as it stores them.

use fedgate::{
    corev2::{
        ClusterRole, ClusterRoleBinding, Namespace, ObjectMeta, Role, RoleBinding, RoleRef, Rule, Subject,
        Type, User,
    },
    etcd::Client,
};
use prost::Message as _;

use super::put;

pub(crate) fn metadata(namespace: &str, name: &str) -> ObjectMeta {
    ObjectMeta { name: name.into(), namespace: namespace.into(), ..ObjectMeta::default() }
}

fn rules(verbs: &[&str]) -> Vec<Rule> {
    let texts = |texts: &[&str]| texts.iter().map(ToString::to_string).collect();
    vec![Rule { verbs: texts(verbs), resources: texts(&["checks"]), resource_names: vec![] }]
}

pub(crate) fn cluster_role(name: &str, verbs: &[&str]) -> Vec<u8> {
    ClusterRole { rules: rules(verbs), metadata: Some(metadata("", name)) }.encode_to_vec()
}

pub(crate) fn role(namespace: &str, name: &str, verbs: &[&str]) -> Vec<u8> {
    Role { rules: rules(verbs), metadata: Some(metadata(namespace, name)) }.encode_to_vec()
}

fn subject(group: &str) -> Vec<Subject> {
    vec![Subject { kind: "Group".into(), name: group.into() }]
}

fn role_ref(kind: Type, name: &str) -> RoleRef {
    RoleRef { kind: kind.name().into(), name: name.into() }
}

pub(crate) fn cluster_role_binding(name: &str, role: &str, group: &str) -> Vec<u8> {
    let role_ref = Some(role_ref(Type::ClusterRole, role));
    ClusterRoleBinding { subjects: subject(group), role_ref, metadata: Some(metadata("", name)) }
        .encode_to_vec()
}

pub(crate) fn role_binding(namespace: &str, name: &str, role: &str, group: &str) -> Vec<u8> {
    let role_ref = Some(role_ref(Type::Role, role));
    RoleBinding { subjects: subject(group), role_ref, metadata: Some(metadata(namespace, name)) }
        .encode_to_vec()
}

/// Any good object of a type.
pub(crate) fn object(kind: Type, namespace: &str, name: &str) -> Vec<u8> {
    let in_field = |number: u8| {
        let metadata = metadata(namespace, name).encode_to_vec();
        let tag = u32::from(number) << 3 | 2;
        let mut value = Vec::new();
        prost::encoding::encode_varint(tag.into(), &mut value);
        prost::encoding::encode_varint(metadata.len() as u64, &mut value);
        [value, metadata].concat()
    };
    match kind {
        Type::Namespace => Namespace { name: name.into() }.encode_to_vec(),
        Type::User => {
            User { username: name.into(), groups: vec!["g".into()], disabled: false }.encode_to_vec()
        }
        Type::ClusterRole => cluster_role(name, &["get"]),
        Type::Role => role(namespace, name, &["get"]),
        Type::ClusterRoleBinding => cluster_role_binding(name, "view", "g"),
        Type::RoleBinding => role_binding(namespace, name, name, "g"),
        Type::Asset => in_field(8),
        Type::CheckConfig => in_field(26),
        _ => in_field(1),
    }
}

/// What `sensu-backend init` makes, and each start.
pub(crate) async fn seed(client: &Client, made_by: &str) {
    let seeded = |name: &str| {
        let metadata = ObjectMeta { created_by: made_by.into(), ..metadata("", name) };
        ClusterRole { rules: rules(&["*"]), metadata: Some(metadata) }.encode_to_vec()
    };
    for name in ["cluster-admin", "admin", "edit", "view", "system:agent", "system:user"] {
        put(client, &Type::ClusterRole.key(None, name), &seeded(name)).await;
    }
    for (name, group) in [
        ("cluster-admin", "cluster-admins"),
        ("system:agent", "system:agents"),
        ("system:user", "system:users"),
    ] {
        put(client, &Type::ClusterRoleBinding.key(None, name), &cluster_role_binding(name, name, group))
            .await;
    }
    for name in ["admin", "agent"] {
        put(client, &Type::User.key(None, name), &object(Type::User, "", name)).await;
    }
    put(client, &Type::Namespace.key(None, "default"), &object(Type::Namespace, "", "default")).await;
    for kind in [Type::Role, Type::RoleBinding] {
        let name = "system:pipeline";
        put(client, &kind.key(Some("default"), name), &object(kind, "default", name)).await;
    }
}
