use base64::{Engine as _, engine::general_purpose::STANDARD};
use proptest::prelude::*;

use super::*;

/// Values as a backend of Sensu 6.12 stores them.
const STORED: &[(&str, &str)] = &[
    ("/sensu.io/namespaces/fix:colon", "CglmaXg6Y29sb24="),
    (
        "/sensu.io/rbac/clusterroles/fix-auditor",
        "Cg4KA2dldAoEbGlzdBIBKhpNCgtmaXgtYXVkaXRvchoWCgZyZWdpb24SDGV1LWNlbnRyYWwtMRoJCgR0aWVyEgExGhQKBHRlYW0SDHBsYXR0Zm9ybS3DpCoFYWRtaW4=",
    ),
    (
        "/sensu.io/rbac/clusterrolebindings/fix-auditors",
        "ChAKBUdyb3VwEgdmaXgtb3BzCg8KBFVzZXISB2ZpeC1ib2ISGgoLQ2x1c3RlclJvbGUSC2ZpeC1hdWRpdG9yIiUKDGZpeC1hdWRpdG9ycyIOCgN3aHkSB29uIGNhbGwqBWFkbWlu",
    ),
];

fn check(key: &str, value: &[u8]) -> Result<(), Unfit> {
    ObjectKey::parse(key.as_bytes()).unwrap().unwrap().check(value)
}

#[test]
fn what_sensu_stores_fits_its_key_and_no_other() {
    for (key, value) in STORED {
        let value = STANDARD.decode(value).unwrap();
        check(key, &value).unwrap();
        assert!(check(&format!("{key}x"), &value).is_err(), "{key}");
        assert!(check(key, &value[..value.len() - 1]).is_err(), "{key}");
        let wrong_wire = [&value[..], &[0x08, 0x01]].concat();
        assert!(check(key, &wrong_wire).is_err(), "{key}");
    }
}

#[test]
fn a_key_has_exactly_its_parts() {
    let parse = |key: &str| ObjectKey::parse(key.as_bytes()).map(|parsed| parsed.is_ok());
    for (key, fits) in [
        ("/sensu.io/rbac/roles/dev/ops", Some(true)),
        ("/sensu.io/rbac/roles/dev/ops/more", Some(false)),
        ("/sensu.io/rbac/roles/ops", Some(false)),
        ("/sensu.io/rbac/roles/dev/", Some(false)),
        ("/sensu.io/rbac/roles//ops", Some(false)),
        ("/sensu.io/rbac/clusterroles/a/b", Some(false)),
        ("/sensu.io/rbac/clusterroles/", Some(false)),
        ("/sensu.io/rbac/clusterrolesx/a", None),
        ("/sensu.io/event-filters/default/a:b", Some(true)),
        ("/sensu.io/checks/default/.", Some(false)),
        ("/sensu.io/checks/../a", Some(false)),
        ("/sensu.io/users/..", Some(false)),
        ("/sensu.io/assets/dev", Some(false)),
        ("/sensu.io/assets/dev/a/", Some(false)),
        ("/sensu.io/assets/dev//a", Some(false)),
        ("/sensu.io/assets/dev/a//b", Some(false)),
        ("/sensu.io/assets/dev/a/../b", Some(false)),
        ("/sensu.io/assets/./a", Some(false)),
        ("/sensu.io/events/default/a/b", None),
        ("/other", None),
    ] {
        assert_eq!(parse(key), fits, "{key}");
    }
    assert_eq!(ObjectKey::parse(b"/sensu.io/users/\xff"), Some(Err(Unfit::Key("User"))));
}

/// An object that consists of its metadata.
fn named(kind: Type, namespace: &str, name: &str) -> Vec<u8> {
    let metadata = ObjectMeta { namespace: namespace.into(), name: name.into(), ..ObjectMeta::default() };
    match kind {
        Type::Namespace => Namespace { name: name.into() }.encode_to_vec(),
        Type::User => User { username: name.into(), ..User::default() }.encode_to_vec(),
        kind => {
            let mut value = Vec::new();
            let tag = kind.fields().0.unwrap() << 3 | 2;
            prost::encoding::encode_varint(tag.into(), &mut value);
            prost::encoding::encode_varint(metadata.encoded_len() as u64, &mut value);
            [value, metadata.encode_to_vec()].concat()
        }
    }
}

/// The key that a backend of Sensu 6.12 uses for each, as observed; `None`: not one of the type's own.
#[test]
fn each_name_that_sensu_accepts_fits_the_key_that_it_is_stored_under() {
    let (asset, check, silenced) = (Type::Asset, Type::CheckConfig, Type::Silenced);
    for (kind, name, stored) in [
        (asset, "sensu/sensu-cpu-check", Some("sensu/sensu-cpu-check")),
        (asset, "plain", Some("plain")),
        (asset, "sensu/sensu-go/deep:1.2", Some("sensu/sensu-go/deep:1.2")),
        (asset, "a//b", Some("a/b")),
        (asset, "/lead", Some("lead")),
        (asset, "trail/", Some("trail")),
        (asset, "./c", Some("c")),
        (asset, "dot/.", Some("dot")),
        (asset, "x/../y", Some("y")),
        (asset, "../dev/z", Some("z")),
        (asset, "../other/z", None),
        (asset, "../../checks/dev/z", None),
        (asset, "../../../../z", None),
        (asset, ".", None),
        (asset, "", None),
        (check, "a:b", Some("a:b")),
        (check, "a.b_c-d:e", Some("a.b_c-d:e")),
        (check, ".", None),
        (check, "..", None),
        (check, "a/b", None),
        (silenced, "entity:foo:check:x", Some("entity:foo:check:x")),
        (silenced, "*:check", Some("*:check")),
        (silenced, "linux:*", Some("linux:*")),
    ] {
        let value = named(kind, "dev", name);
        if let Some(stored) = stored {
            check_at(kind, "dev", stored, &value).unwrap();
        }
        for other in ["other", "sensu", "b", "z", "a/b/c", "..", "dev/z"] {
            if stored != Some(other) {
                assert!(check_at(kind, "dev", other, &value).is_err(), "{name} {other}");
            }
            assert!(check_at(kind, "other", other, &value).is_err(), "{name} {other}");
        }
    }
}

fn check_at(kind: Type, namespace: &str, name: &str, value: &[u8]) -> Result<(), Unfit> {
    ObjectKey::parse(kind.key(Some(namespace), name).as_bytes()).unwrap()?.check(value)
}

#[test]
fn prefixes_catch_no_neighbour_and_every_key_is_read_back() {
    for kind in Type::ALL {
        let namespace = kind.is_namespaced().then_some("dev");
        let key = kind.key(namespace, "x");
        let expected = ObjectKey { kind, namespace, name: "x" };
        assert_eq!(ObjectKey::parse(key.as_bytes()), Some(Ok(expected)));
        assert!(kind.prefix().ends_with('/') && kind.prefix_in(namespace).ends_with('/'));
        assert!(
            !kind.key(kind.is_namespaced().then_some("dev2"), "x").starts_with(&kind.prefix_in(Some("dev")))
        );
        assert_eq!(Type::of_name(kind.name()), Some(kind));
        let neighbours = Type::ALL.into_iter().filter(|other| kind.prefix().starts_with(other.prefix()));
        assert_eq!(neighbours.collect::<Vec<_>>(), [kind]);
    }
}

#[test]
fn what_would_harm_a_backend_does_not_fit() {
    let binding = "/sensu.io/rbac/clusterrolebindings/a";
    let wrapped =
        br#"{"type":"ClusterRoleBinding","api_version":"core/v2","metadata":{"name":"b"},"spec":{}}"#;
    for value in [
        &b""[..],
        b"\xff\xff",
        b"{",
        wrapped,
        br#"{"subjects":"x","metadata":{"name":"a"}}"#,
        br#"{"SUBJECTS":"x","metadata":{"name":"a"}}"#,
        br#"{"metadata":{"name":"a","namespace":"default"}}"#,
        b"\x22\x03\x0a\x01b",
    ] {
        assert!(check(binding, value).is_err(), "{}", value.escape_ascii());
    }
    check(binding, br#"{"subjects":null,"metadata":{"name":"a","labels":{"Any":"x"}}}"#).unwrap();
    check(binding, b"\x22\x03\x0a\x01a").unwrap();
    assert!(check("/sensu.io/users/a", br#"{"username":"a","password":1}"#).is_err());
    check("/sensu.io/checks/default/a", b"\xd2\x01\x0c\x0a\x01a\x12\x07default").unwrap();
    assert!(check("/sensu.io/checks/default/a", b"\xd2\x01\x0c\x0a\x01a\x12\x07default\x2a\x00").is_err());
}

fn role(labels: &[(String, String)], rule: &str) -> Vec<u8> {
    // Written by hand: the order of the labels is the caller's.
    let mut metadata = vec![0x0a, 1, b'a'];
    for (key, value) in labels {
        let mut entry = vec![0x0a, u8::try_from(key.len()).unwrap()];
        entry.extend(key.as_bytes());
        entry.extend([0x12, u8::try_from(value.len()).unwrap()]);
        entry.extend(value.as_bytes());
        metadata.extend([0x1a, u8::try_from(entry.len()).unwrap()]);
        metadata.extend(entry);
    }
    let mut value =
        vec![0x0a, u8::try_from(rule.len() + 2).unwrap(), 0x0a, u8::try_from(rule.len()).unwrap()];
    value.extend(rule.as_bytes());
    value.extend([0x1a, u8::try_from(metadata.len()).unwrap()]);
    value.extend(metadata);
    value
}

/// Go's `path.Join`, which Sensu makes keys with.
fn join(parts: &[&str]) -> String {
    let joined = parts.iter().copied().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/");
    let mut clean: Vec<&str> = Vec::new();
    for part in joined.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(clean.pop()),
            part => clean.push(part),
        }
    }
    format!("/{}", clean.join("/"))
}

proptest! {
    #[test]
    fn an_object_fits_the_key_that_sensu_stores_it_under_and_no_other(
        index in 0..Type::ALL.len(),
        namespace in "(dev|a|[a-z:._-]{1,3})",
        path in "([a-z:._-]{1,3}|dev|a|/|\\.\\./|/\\./){1,6}",
        name in "[A-Za-z0-9_.:-]{1,8}",
        other in "[a-z./]{1,6}",
    ) {
        let kind = Type::ALL[index];
        let name = if kind.has_paths() { path } else { name };
        let namespace = if kind.is_namespaced() { namespace } else { String::new() };
        let value = named(kind, &namespace, &name);
        let key = join(&[kind.prefix(), &namespace, &name]);
        // A name such as `..` leads elsewhere: what is there is not of its namespace, or of its type.
        let prefix = join(&[kind.prefix(), &namespace]) + "/";
        let is_own = namespace != "." && namespace != ".." && key.starts_with(&prefix);
        let fits = |key: &str| match ObjectKey::parse(key.as_bytes()) {
            Some(Ok(parsed)) => parsed.check(&value).is_ok(),
            _ => false,
        };
        prop_assert_eq!(fits(&key), is_own, "{} {}", key, name);
        let elsewhere = join(&[kind.prefix(), &namespace, &other]);
        prop_assert_eq!(fits(&elsewhere), is_own && elsewhere == key, "{} {}", elsewhere, name);
    }

    #[test]
    fn the_order_of_labels_does_not_count_and_all_else_does(
        labels in proptest::collection::btree_map("[a-z]{1,4}", "[a-z]{0,4}", 0..5),
        rule in "[a-z]{1,8}",
        other in "[a-z]{1,8}",
    ) {
        let labels: Vec<_> = labels.into_iter().collect();
        let reversed: Vec<_> = labels.iter().rev().cloned().collect();
        let kind = Type::ClusterRole;
        prop_assert!(kind.same(&role(&labels, &rule), &role(&reversed, &rule)));
        prop_assert_eq!(kind.same(&role(&labels, &rule), &role(&labels, &other)), rule == other);
        let mut more = labels.clone();
        more.push(("zzzzz".into(), "z".into()));
        prop_assert!(!kind.same(&role(&labels, &rule), &role(&more, &rule)));
        prop_assert!(ObjectKey::parse(b"/sensu.io/rbac/clusterroles/a").unwrap().unwrap()
            .check(&role(&labels, &rule)).is_ok());
    }

    #[test]
    fn no_bytes_can_panic(key in proptest::collection::vec(any::<u8>(), 0..20),
        value in proptest::collection::vec(any::<u8>(), 0..60), index in 0..Type::ALL.len()) {
        let kind = Type::ALL[index];
        let whole = [kind.prefix().as_bytes(), &key].concat();
        if let Some(Ok(parsed)) = ObjectKey::parse(&whole) {
            let _ = parsed.check(&value);
        }
        prop_assert!(kind.same(&value, &value));
    }
}
