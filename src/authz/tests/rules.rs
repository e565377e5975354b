use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use proptest::{collection::vec, prelude::*, sample::select};
use serde_json::Value;

use super::{binding, role, rule, who};
use crate::{
    authz::{
        AdminGroups, Authorizer, AuthzError, Rules, Verb,
        etcd_source::{Replica, Step},
        table::{Kind, MAX_BYTES, Table},
    },
    corev2::{self, ClusterRole, ClusterRoleBinding},
    error::{Classify, Dialect, ErrorKind},
    etcd::{Event, proto::KeyValue},
    types::Principal,
};

type Texts<'a> = &'a [&'a str];

const GARBAGE: &[u8] = b"\xff\xff";

fn rules(bindings: &[(&str, Vec<u8>)], roles: &[(&str, Vec<u8>)]) -> Rules {
    let mut table = Table::default();
    for (key, value) in bindings {
        table.put(Kind::Binding, key.as_bytes(), value);
    }
    for (key, value) in roles {
        table.put(Kind::Role, key.as_bytes(), value);
    }
    table.rules()
}

/// What a role with one rule, bound to user `ann`, lets her do to cluster `name`.
fn with_rule(verbs: &[&str], resources: &[&str], names: &[&str], verb: Verb, name: &str) -> bool {
    let rules =
        rules(&[("b", binding(&[("User", "ann")], "r"))], &[("r", role(&[rule(verbs, resources, names)]))]);
    rules.decide(&who("ann", &[]), verb, "clusters", name).unwrap()
}

#[test]
fn a_rule_allows_by_verb_resource_and_name() {
    use Verb::{Create, Delete, Update};
    let all: &[&str] = &["*"];
    let cases: &[(Texts, Texts, Texts, Verb, &str, bool)] = &[
        (all, all, &[], Delete, "alpha", true),
        (&["update"], &["clusters"], &[], Update, "alpha", true),
        (&["update"], &["clusters"], &[], Delete, "alpha", false),
        (&["get", "list"], &["clusters"], &[], Update, "alpha", false),
        (&["UPDATE"], &["clusters"], &[], Update, "alpha", false),
        (&["update "], &["clusters"], &[], Update, "alpha", false),
        (all, &["etcd-replicators"], &[], Update, "alpha", false),
        (all, &["Clusters"], &[], Update, "alpha", false),
        (all, &["cluster*"], &[], Update, "alpha", false),
        (all, &[], &[], Update, "alpha", false),
        (&[], all, &[], Update, "alpha", false),
        (all, all, &["beta", "alpha"], Update, "alpha", true),
        (all, all, &["Alpha"], Update, "alpha", false),
        (all, all, &["*"], Update, "alpha", false),
        (all, all, &["*"], Update, "*", true),
        (all, all, &[""], Update, "alpha", false),
        // A POST has no name.
        (&["create"], all, &[], Create, "", true),
        (&["create"], all, &["alpha"], Create, "", false),
        (&["create"], all, &[""], Create, "", true),
    ];
    for (verbs, resources, names, verb, name, allowed) in cases {
        assert_eq!(
            with_rule(verbs, resources, names, *verb, name),
            *allowed,
            "{verbs:?} {resources:?} {names:?} {verb} {name}"
        );
    }
}

#[test]
fn names_are_those_of_rules_that_allow_it_before_a_fault() {
    let of = |names: &[&str]| role(&[rule(&["update"], &["clusters"], names)]);
    let ann = |role: &str| binding(&[("User", "ann")], role);
    let roles = [
        ("one", of(&["beta", "alpha", "", "*"])),
        ("two", of(&["alpha", "gamma"])),
        ("other", role(&[rule(&["delete"], &["clusters"], &["delta"])])),
        ("all", of(&[])),
    ];
    let names = |bindings: &[(&str, Vec<u8>)], who: &Principal| {
        let all = rules(bindings, &roles);
        let names = all.names(who, Verb::Update, "clusters").unwrap();
        // What it shows is what it allows.
        assert!(names.iter().all(|name| all.decide(who, Verb::Update, "clusters", name) == Ok(true)));
        names
    };
    let bindings = [("a", ann("one")), ("b", ann("two")), ("c", ann("other")), ("d", ann("all"))];
    assert_eq!(names(&bindings, &who("ann", &[])), ["*", "alpha", "beta", "gamma"]);
    assert_eq!(names(&bindings, &who("bob", &[])), [""; 0]);
    let faulty = [("a", ann("two")), ("b", ann("missing")), ("c", ann("one"))];
    assert_eq!(names(&faulty, &who("ann", &[])), ["alpha", "gamma"]);
    let many: Vec<String> = (0..1500).map(|number| number.to_string()).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let all = rules(&[("a", ann("many"))], &[("many", of(&many))]);
    assert_eq!(all.names(&who("ann", &[]), Verb::Update, "clusters").unwrap().len(), 1000);
}

#[test]
fn a_binding_names_users_and_groups_by_their_exact_names() {
    let cases = [
        ("User", "ann", who("ann", &[]), true),
        ("User", "ann", who("Ann", &[]), false),
        ("User", "ann", who("bob", &["ann"]), false),
        ("User", "ann ", who("ann", &[]), false),
        ("Group", "ops", who("bob", &["dev", "ops"]), true),
        ("Group", "ops", who("ops", &["OPS", "ops2", "op"]), false),
        ("Group", "a,b \u{1}*", who("bob", &["a,b \u{1}*"]), true),
        ("Group", "*", who("bob", &["ops"]), false),
        ("group", "ops", who("bob", &["ops"]), false),
        ("user", "ann", who("ann", &[]), false),
        ("", "ann", who("ann", &["ann"]), false),
        ("User", "*", who("ann", &[]), false),
        // As in Sensu, which needs no `sub`.
        ("User", "", who("", &[]), true),
        ("Group", "", who("ann", &[]), false),
    ];
    for (kind, name, who, allowed) in cases {
        let rules = rules(
            &[("b", binding(&[("User", "nobody"), (kind, name)], "r"))],
            &[("r", role(&[rule(&["*"], &["*"], &[])]))],
        );
        let decided = rules.decide(&who, Verb::Delete, "etcd-replicators", "x");
        assert_eq!(decided, Ok(allowed), "{kind} {name:?} {who:?}");
    }
}

#[test]
fn a_missing_role_is_an_error_unless_an_earlier_binding_allows() {
    let grants = || role(&[rule(&["update"], &["clusters"], &[])]);
    let ann: &[(&str, &str)] = &[("User", "ann")];
    let rules = rules(
        &[
            ("a", binding(&[("Group", "early")], "r")),
            ("b", binding(&[("User", "ann"), ("Group", "early")], "gone")),
            ("c", binding(ann, "r")),
        ],
        &[("r", grants())],
    );
    let decide = |who: &Principal, verb| rules.decide(who, verb, "clusters", "alpha");
    let error = decide(&who("ann", &[]), Verb::Update).unwrap_err();
    assert!(matches!(&error, AuthzError::Dangling { role, .. } if **role == *"gone"), "{error}");
    assert_eq!(decide(&who("ann", &["early"]), Verb::Update), Ok(true));
    assert!(decide(&who("ann", &["early"]), Verb::Delete).is_err(), "not what the earlier one allows");
    assert_eq!(decide(&who("bob", &[]), Verb::Update), Ok(false), "no concern of others");

    let reply = error.reply();
    assert_eq!((error.kind(), reply.status.as_u16(), reply.code), (ErrorKind::Internal, 500, 0));
    assert_eq!(reply.dialect, Dialect::Middleware);
    assert_eq!(reply.message, "unexpected error occurred during authorization");
}

#[test]
fn a_binding_to_anything_but_a_cluster_role_grants_nothing() {
    for kind in ["Role", "clusterrole", ""] {
        let json = format!(
            r#"{{"subjects":[{{"type":"User","name":"ann"}}],"role_ref":{{"type":"{kind}","name":"r"}},"metadata":{{"name":"b"}}}}"#
        );
        let rules = rules(&[("b", json.into_bytes())], &[("r", role(&[rule(&["*"], &["*"], &[])]))]);
        let decided = rules.decide(&who("ann", &[]), Verb::Update, "clusters", "alpha");
        assert!(matches!(decided, Err(AuthzError::Dangling { .. })), "{kind}: {decided:?}");
        assert_eq!(rules.decide(&who("bob", &[]), Verb::Update, "clusters", "alpha"), Ok(false));
    }
}

#[test]
fn unreadable_values_deny_those_whom_they_may_concern() {
    let admin = ("a", binding(&[("Group", "cluster-admins")], "admin"));
    let admin_role = || ("admin", role(&[rule(&["*"], &["*"], &[])]));
    let decide =
        |rules: &Rules, groups: &[&str]| rules.decide(&who("ann", groups), Verb::Update, "clusters", "alpha");
    let broken = rules(&[admin.clone(), ("z", GARBAGE.to_vec())], &[admin_role()]);
    for groups in [&["cluster-admins"][..], &[]] {
        let decided = decide(&broken, groups);
        assert!(matches!(decided, Err(AuthzError::UnreadableBinding { .. })), "{decided:?}");
    }
    // No binding refers to it.
    let unused = rules(std::slice::from_ref(&admin), &[admin_role(), ("other", GARBAGE.to_vec())]);
    assert_eq!(decide(&unused, &["cluster-admins"]), Ok(true));
    let used = rules(&[admin], &[("admin", GARBAGE.to_vec())]);
    assert!(matches!(decide(&used, &["cluster-admins"]), Err(AuthzError::UnreadableRole { .. })));
    assert_eq!(decide(&used, &["others"]), Ok(false));
    // An empty value is an empty object.
    let empty = rules(&[("a", Vec::new())], &[("", role(&[rule(&["*"], &["*"], &[])]))]);
    assert_eq!(decide(&empty, &["cluster-admins"]), Ok(false));
}

#[test]
fn json_in_any_case_restricts_as_it_does_in_sensu() {
    let role = br#"{"rules":[{"verbs":["*"],"resources":["*"],"Resource_Names":["beta"]}]}"#;
    let rules = rules(&[("b", binding(&[("User", "ann")], "r"))], &[("r", role.to_vec())]);
    let decide = |name| rules.decide(&who("ann", &[]), Verb::Update, "clusters", name);
    assert_eq!((decide("alpha"), decide("beta")), (Ok(false), Ok(true)));
}

#[test]
fn the_key_leads_to_a_role_and_the_value_says_whom_a_binding_names() {
    let stored = br#"{"subjects":[{"type":"User","name":"ann"}],"role_ref":{"type":"ClusterRole","name":"dir/nested"},"metadata":{"name":"elsewhere"}}"#;
    let grants = br#"{"rules":[{"verbs":["*"],"resources":["*"]}],"metadata":{"name":"another"}}"#;
    let ann = who("ann", &[]);
    let nested = rules(&[("zz/nested", stored.to_vec())], &[("dir/nested", grants.to_vec())]);
    assert_eq!(nested.decide(&ann, Verb::Update, "clusters", "alpha"), Ok(true));
    let copied = rules(&[("b", stored.to_vec())], &[("another", grants.to_vec())]);
    let dangling = copied.decide(&ann, Verb::Update, "clusters", "alpha").unwrap_err();
    assert!(dangling.to_string().starts_with("ClusterRoleBinding elsewhere refers to"), "{dangling}");
}

#[test]
fn a_recorded_store_is_read_as_its_cluster_reads_it() {
    let samples: Value =
        serde_json::from_str(include_str!("../../../tests/data/sensu-6.12/etcd.json")).unwrap();
    let mut replica = Replica::default();
    replica.step(Event::Reset);
    for sample in samples["samples"].as_array().unwrap() {
        let (Some(key), Some(value)) = (sample["key"].as_str(), sample["value_base64"].as_str()) else {
            continue;
        };
        let value = STANDARD.decode(value).unwrap();
        replica.step(Event::Item(KeyValue { key: key.into(), value, ..KeyValue::default() }));
    }
    let Step::Publish(rules) = replica.step(Event::ResetDone { revision: 1 }) else { panic!("no rules") };
    let update = |who: &Principal| rules.decide(who, Verb::Update, "clusters", "alpha");
    assert_eq!(update(&who("admin", &["cluster-admins", "system:users"])), Ok(true));
    // Auditors only read, deployers have no clusters.
    for caller in [
        who("fix-bob", &[]),
        who("x", &["fix-ops"]),
        who("x", &["fix-devs", "system:users"]),
        who("cluster-admins", &["admin"]),
    ] {
        assert_eq!(update(&caller), Ok(false), "{caller:?}");
    }
}

#[test]
fn names_in_messages_are_printable_and_short() {
    let long = format!("a\n\u{1b}[31m{}", "x".repeat(5000));
    let rules = rules(&[(&long, GARBAGE.to_vec())], &[]);
    let error = rules.decide(&who("ann", &[]), Verb::Update, "clusters", "a").unwrap_err().to_string();
    assert!(error.len() < 400 && !error.contains(char::is_control), "{error}");
}

#[test]
fn too_many_rules_deny_every_write() {
    let mut table = Table::default();
    let admin = role(&[rule(&["*"], &["*"], &[])]);
    table.put(Kind::Role, b"r", &admin);
    table.put(Kind::Binding, b"b", &binding(&[("User", "ann")], "r"));
    let large = role(&[rule(&["x".repeat(MAX_BYTES).as_str()], &["y"], &[])]);
    table.put(Kind::Role, b"large", &large);
    assert!(table.is_too_large());
    let ann = who("ann", &[]);
    let decided = table.rules().decide(&ann, Verb::Update, "clusters", "alpha");
    assert!(matches!(decided, Err(AuthzError::TooLarge { .. })), "{decided:?}");
    table.put(Kind::Role, b"large", &admin);
    assert!(!table.is_too_large());
    assert_eq!(table.rules().decide(&ann, Verb::Update, "clusters", "alpha"), Ok(true));
}

#[test]
fn only_members_of_admin_groups_may_write() {
    let groups = AdminGroups(vec!["cluster-admins".into()]);
    let decide = |who: &Principal| groups.decide(who, Verb::Delete, "clusters", "alpha");
    assert_eq!(decide(&who("ann", &["cluster-admins"])), Ok(true));
    assert_eq!(decide(&who("cluster-admins", &["Cluster-Admins", "cluster-admins "])), Ok(false));
    assert_eq!(AdminGroups(Vec::new()).decide(&who("", &[""]), Verb::Delete, "clusters", "x"), Ok(false));
}

/// Sensu's own evaluation, written down again; `None` is its error.
fn model(store: &Store, who: &Principal, verb: &str, resource: &str, name: &str) -> Option<bool> {
    let mut bindings = Vec::new();
    for value in store.bindings.values() {
        bindings.push(corev2::decode::<ClusterRoleBinding>(value, "").ok()?);
    }
    for binding in bindings {
        let mut matches = false;
        for subject in &binding.subjects {
            matches |= subject.kind == "User" && subject.name == who.subject;
            for group in &who.groups {
                matches |= subject.kind == "Group" && subject.name == *group;
            }
        }
        if !matches {
            continue;
        }
        let role_ref = binding.role_ref.unwrap_or_default();
        if role_ref.kind != "ClusterRole" {
            return None;
        }
        let role: ClusterRole = corev2::decode(store.roles.get(&role_ref.name)?, "").ok()?;
        for rule in role.rules {
            let verbs = rule.verbs.contains(&"*".to_owned()) || rule.verbs.contains(&verb.to_owned());
            let resources =
                rule.resources.contains(&"*".to_owned()) || rule.resources.contains(&resource.to_owned());
            let names = rule.resource_names.is_empty() || rule.resource_names.contains(&name.to_owned());
            if verbs && resources && names {
                return Some(true);
            }
        }
    }
    Some(false)
}

#[derive(Clone, Debug, Default)]
struct Store {
    bindings: BTreeMap<String, Vec<u8>>,
    roles: BTreeMap<String, Vec<u8>>,
}

/// A write to a store; no value deletes.
type Write = (bool, &'static str, Option<Vec<u8>>);

const NAMES: [&str; 5] = ["", "a", "A", "*", "b"];

fn some(of: &'static [&'static str]) -> impl Strategy<Value = Vec<&'static str>> {
    vec(select(of), 0..3)
}

fn a_rule() -> impl Strategy<Value = corev2::Rule> {
    let verbs = some(&["update", "create", "*", "get", "Update"]);
    (verbs, some(&["clusters", "etcd-replicators", "*", "Clusters"]), some(&NAMES))
        .prop_map(|(verbs, resources, names)| rule(&verbs, &resources, &names))
}

fn a_write() -> impl Strategy<Value = Write> {
    let subject = (select(&["User", "Group", "user"][..]), select(&NAMES[..]));
    let binding = (vec(subject, 0..3), select(&NAMES[..])).prop_map(|(s, role)| binding(&s, role));
    let binding = prop_oneof![20 => binding, 1 => vec(any::<u8>(), 0..4)];
    let role = vec(a_rule(), 0..3).prop_map(|rules| role(&rules));
    let role = prop_oneof![20 => role, 1 => vec(any::<u8>(), 0..4)];
    let write = |is_role: bool, value: BoxedStrategy<Vec<u8>>| {
        let value = prop_oneof![5 => value.prop_map(Some), 1 => Just(None)];
        (Just(is_role), select(&NAMES[..]), value)
    };
    prop_oneof![write(true, role.boxed()), write(false, binding.boxed())]
}

proptest! {
    #[test]
    fn decisions_are_those_of_the_model_after_any_writes(
        writes in vec(a_write(), 0..12),
        user in select(&NAMES[..]),
        groups in some(&NAMES),
        verb in select(&[Verb::Update, Verb::Create, Verb::Delete][..]),
        resource in select(&["clusters", "etcd-replicators"][..]),
        name in select(&NAMES[..]),
    ) {
        let mut store = Store::default();
        let mut table = Table::default();
        for (is_role, key, value) in writes {
            let what = if is_role { Kind::Role } else { Kind::Binding };
            let side = if is_role { &mut store.roles } else { &mut store.bindings };
            if let Some(value) = value {
                table.put(what, key.as_bytes(), &value);
                side.insert(key.to_owned(), value);
            } else {
                table.delete(what, key.as_bytes());
                side.remove(key);
            }
        }
        let caller = who(user, &groups);
        let decided = table.rules().decide(&caller, verb, resource, name);
        prop_assert_eq!(decided.ok(), model(&store, &caller, verb.as_str(), resource, name));
    }

    #[test]
    fn no_stored_value_panics_or_grants(value in vec(any::<u8>(), 0..200), json in any::<bool>()) {
        let value = if json { [b"{", value.as_slice()].concat() } else { value };
        let mut table = Table::default();
        table.put(Kind::Binding, &value, &value);
        table.put(Kind::Role, &value, &value);
        let decided = table.rules().decide(&who("ann", &["ops"]), Verb::Update, "clusters", "alpha");
        prop_assert_ne!(decided, Ok(true));
    }
}
