//! Sensu's `core/v2` resources as its backends store them in etcd.
//!
//! A value is a bare protobuf message; if its first byte is `{`, it is the same object as JSON. The name and namespace
//! inside the value count, not those of its key. An empty value is an empty object. JSON keys match in any case, as in
//! Sensu; of a repeated key Sensu uses the last, whereas here the value is refused.

pub mod difference;
mod fold;
pub mod fuzzing;
mod keys;
pub mod protect;
mod rbac;
mod wire;

use prost::Message;
use serde::de::DeserializeOwned;

pub use keys::{ObjectKey, Type, Unfit};
pub use rbac::{
    ClusterRole, ClusterRoleBinding, Namespace, ObjectMeta, Role, RoleBinding, RoleRef, Rule, Subject, User,
};

/// The prefix of all keys of Sensu.
pub const ROOT: &str = "/sensu.io/";

/// Why a stored value cannot be read. A backend that meets one answers 500 to everybody affected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Neither the message nor its JSON form. Usual cause: written by hand, or under the wrong key.
    #[error("the value cannot be decoded as a {0}")]
    Malformed(&'static str),
}

/// Decodes a stored value the way a backend does.
pub fn decode<T: Message + Default + DeserializeOwned>(
    value: &[u8],
    what: &'static str,
) -> Result<T, DecodeError> {
    let malformed = DecodeError::Malformed(what);
    if value.first() == Some(&b'{') {
        return from_json(value).map_err(|_| malformed);
    }
    T::decode(value).map_err(|_| malformed)
}

fn from_json<T: DeserializeOwned>(value: &[u8]) -> serde_json::Result<T> {
    let mut json = serde_json::Deserializer::from_slice(value);
    let read = T::deserialize(fold::Fold(&mut json))?;
    json.end()?;
    Ok(read)
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};
    use serde_json::json;

    use super::*;

    #[test]
    fn json_keys_count_in_any_case_so_that_no_rule_loses_its_names() {
        let json = r#"{"RULES":[{"Verbs":["get"],"resourceſ":["*"],"Resource_Names":["a"],"other":{"Rules":1}}],
            "MetaData":{"NAME":"x","labels":{"Name":"kept","name":"too"}}}"#;
        let read: ClusterRole = decode(json.as_bytes(), "ClusterRole").unwrap();
        let text = |text: &str| vec![text.to_owned()];
        assert_eq!(
            read.rules,
            [Rule { verbs: text("get"), resources: text("*"), resource_names: text("a") }]
        );
        let metadata = read.metadata.unwrap();
        assert_eq!((metadata.name.as_str(), metadata.labels.len()), ("x", 2));
        let binding: ClusterRoleBinding =
            decode(br#"{"Role_Ref":{"TYPE":"ClusterRole","Name":"x"},"Subjects":null}"#, "binding").unwrap();
        assert_eq!(binding.role_ref.unwrap().name, "x");
        let twice: Result<Rule, _> = decode(br#"{"resource_names":["a"],"Resource_Names":[]}"#, "Rule");
        assert!(twice.is_err(), "ambiguous: Sensu takes the last one");
        assert!(decode::<Rule>(b"{}x", "Rule").is_err(), "more behind the object");
    }

    #[test]
    fn a_binding_is_read_from_protobuf_and_from_json() {
        let mut stored = vec![0x0a, 0x15, 0x0a, 0x05];
        stored.extend(b"Group\x12\x0csystem:users\x12\x1a\x0a\x0bClusterRole\x12\x0bsystem:user");
        stored.extend(b"\x22\x0d\x0a\x0bsystem:user");
        let read: ClusterRoleBinding = decode(&stored, "ClusterRoleBinding").unwrap();
        assert_eq!(read.subjects, [Subject { kind: "Group".into(), name: "system:users".into() }]);
        assert_eq!(read.role_ref.as_ref().unwrap().name, "system:user");
        assert_eq!(read.metadata.as_ref().unwrap().name, "system:user");
        let json = br#"{"subjects":[{"type":"Group","name":"system:users"}],
            "role_ref":{"type":"ClusterRole","name":"system:user"},"metadata":{"name":"system:user","labels":null}}"#;
        assert_eq!(decode::<ClusterRoleBinding>(json, "ClusterRoleBinding").unwrap(), read);
    }

    proptest! {
        #[test]
        fn the_case_of_keys_changes_nothing(upper in any::<[bool; 64]>(), texts in vec(".{0,3}", 4)) {
            let mut upper = upper.into_iter();
            let mut key = |name: &str| -> String {
                let case = |c: char| if upper.next() == Some(true) { c.to_ascii_uppercase() } else { c };
                name.chars().map(case).collect()
            };
            let rule = json!({key("verbs"): [texts[0]], key("resources"): [texts[1]], key("resource_names"): [texts[2]]});
            let role = json!({key("rules"): [rule], key("metadata"): {key("name"): texts[3]}});
            let texts = texts.into_iter().map(|text| vec![text]).collect::<Vec<_>>();
            let rules = vec![Rule {
                verbs: texts[0].clone(),
                resources: texts[1].clone(),
                resource_names: texts[2].clone(),
            }];
            let metadata = Some(ObjectMeta { name: texts[3][0].clone(), ..ObjectMeta::default() });
            let read = decode::<ClusterRole>(role.to_string().as_bytes(), "ClusterRole");
            prop_assert_eq!(read, Ok(ClusterRole { rules, metadata }));
        }
    }

    #[test]
    fn an_empty_value_is_an_empty_object_and_garbage_is_an_error() {
        assert_eq!(decode::<ClusterRole>(b"", "ClusterRole").unwrap(), ClusterRole::default());
        assert_eq!(
            decode::<ClusterRole>(b"\xff\xff", "ClusterRole"),
            Err(DecodeError::Malformed("ClusterRole"))
        );
        assert!(decode::<ClusterRole>(b"{", "ClusterRole").is_err());
    }
}
