//! Entries for a fuzzer: each takes any bytes and panics when a property does not hold.

use std::fmt;

use prost::Message;
use serde::de::DeserializeOwned;

use super::{
    ClusterRole, ClusterRoleBinding, Namespace, ObjectKey, ROOT, Role, RoleBinding, Type, User, decode,
};

/// Checks that a key that is read is written the same, and belongs to one type only.
///
/// # Panics
///
/// When a property does not hold.
pub fn key(data: &[u8]) {
    let key = [ROOT.as_bytes(), data].concat();
    let Some(Ok(read)) = ObjectKey::parse(&key) else { return };
    assert_eq!(read.kind.key(read.namespace, read.name).as_bytes(), key);
    assert_eq!(read.kind.is_namespaced(), read.namespace.is_some());
    assert_eq!(Type::ALL.iter().filter(|kind| key.starts_with(kind.prefix().as_bytes())).count(), 1);
    assert!(read.kind.has_paths() || !read.name.contains('/'));
    for part in [read.namespace.unwrap_or("x")].into_iter().chain(read.name.split('/')) {
        assert!(!matches!(part, "" | "." | ".."), "Sensu cleans its paths");
    }
}

/// Checks that a value, which follows its key and a NUL, has the names of one key only, and that a type that is read
/// completely has the same content as a message of ours.
///
/// # Panics
///
/// When a property does not hold.
pub fn value(data: &[u8]) {
    let at = data.iter().position(|byte| *byte == 0).unwrap_or(0);
    let (key, value) = (&data[..at], data.get(at + 1..).unwrap_or_default());
    let key = [ROOT.as_bytes(), key].concat();
    if let Some(Ok(key)) = ObjectKey::parse(&key) {
        let other = ObjectKey { name: &format!("{}x", key.name), ..key };
        assert!(key.check(value).is_err() || other.check(value).is_err());
        assert!(key.kind.same(value, value));
    }
    decoded::<ClusterRole>(value);
    decoded::<Role>(value);
    decoded::<ClusterRoleBinding>(value);
    decoded::<RoleBinding>(value);
    decoded::<Namespace>(value);
    decoded::<User>(value);
}

fn decoded<T: Message + Default + DeserializeOwned + PartialEq + fmt::Debug>(value: &[u8]) {
    let Ok(read) = decode::<T>(value, "value") else { return };
    let written = read.encode_to_vec();
    assert_ne!(written.first(), Some(&b'{'), "it would be read as JSON");
    assert_eq!(decode::<T>(&written, "value"), Ok(read));
}
