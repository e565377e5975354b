//! Sensu's `core/v2` resources as its backends keep them in etcd.
//!
//! A value is a bare protobuf message; one whose first byte is `{` is the same object as JSON. The name and namespace
//! that count are those inside the value, not those of its key. An empty value is an empty object.

mod keys;
mod rbac;
mod wire;

use prost::Message;
use serde::de::DeserializeOwned;

pub use keys::{ObjectKey, Type, Unfit};
pub use rbac::{
    ClusterRole, ClusterRoleBinding, Namespace, ObjectMeta, Role, RoleBinding, RoleRef, Rule, Subject, User,
};

/// Under which Sensu keeps everything.
pub const ROOT: &str = "/sensu.io/";

/// Why a stored value cannot be read. A backend that meets one answers 500 to everybody whom it concerns.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Neither the message nor its JSON form. Usual cause: written by hand, or under the wrong key.
    #[error("the value is no {0}")]
    Malformed(&'static str),
}

/// Reads a stored value the way a backend does.
pub fn decode<T: Message + Default + DeserializeOwned>(
    value: &[u8],
    what: &'static str,
) -> Result<T, DecodeError> {
    let malformed = DecodeError::Malformed(what);
    if value.first() == Some(&b'{') {
        return serde_json::from_slice(value).map_err(|_| malformed);
    }
    T::decode(value).map_err(|_| malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

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
