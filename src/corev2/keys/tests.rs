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
        ("/sensu.io/events/default/a/b", None),
        ("/other", None),
    ] {
        assert_eq!(parse(key), fits, "{key}");
    }
    assert_eq!(ObjectKey::parse(b"/sensu.io/users/\xff"), Some(Err(Unfit::Key("User"))));
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

proptest! {
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
