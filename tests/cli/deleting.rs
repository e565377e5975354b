//! Deleting what files name.

use crate::{
    server::{Server, answer},
    user::User,
};

const CONTENTS: &str = "\
type: Namespace
spec: {name: ops}
---
type: ClusterRole
metadata: {name: reader}
spec: {rules: [{verbs: [get], resources: [checks]}]}
---
type: ClusterRoleBinding
metadata: {name: reader}
spec: {role_ref: {type: ClusterRole, name: reader}, subjects: [{type: Group, name: readers}]}
---
type: Role
metadata: {name: reader, namespace: ops}
spec: {rules: [{verbs: [get], resources: [checks]}]}
---
type: RoleBinding
metadata: {name: reader, namespace: ops}
spec: {role_ref: {type: Role, name: reader}, subjects: [{type: Group, name: readers}]}
---
type: Entity
metadata: {name: e, namespace: ops}
spec: {entity_class: proxy}
---
type: Event
spec:
  entity: {metadata: {name: e, namespace: ops}, entity_class: proxy}
  check: {metadata: {name: c, namespace: ops}, interval: 1, status: 0}
---
type: CheckConfig
metadata: {name: c, namespace: ops}
spec: {command: 'true', interval: 60, subscriptions: [linux]}
";

#[test]
fn what_was_created_is_deleted_in_the_reverse_order_of_dependence_and_again() {
    let server = Server::start();
    let user = User::of(&server);
    let file = user.write("f.yaml", CONTENTS);
    user.ok(&["create", "-f", &file]);
    server.take_asked();
    let said = user.ok(&["delete", "-f", &file]);
    let lines: Vec<String> =
        server.take_lines().iter().map(|line| line.replace("DELETE /api/core/v2/", "")).collect();
    assert_eq!(
        lines,
        [
            "namespaces/ops/events/e/c",
            "namespaces/ops/entities/e",
            "namespaces/ops/checks/c",
            "namespaces/ops/rolebindings/reader",
            "namespaces/ops/roles/reader",
            "clusterrolebindings/reader",
            "clusterroles/reader",
            "namespaces/ops",
        ]
    );
    assert!(
        said.starts_with("deleted Event \"e/c\" in ops\n") && said.ends_with("deleted 8 resources\n"),
        "{said}"
    );
    let said = user.ok(&["delete", "-f", &file]);
    assert!(
        said.ends_with("gone already: Namespace \"ops\"\ndeleted 0 resources; 8 were gone already\n"),
        "{said}"
    );
}

#[test]
fn a_dump_is_deleted_through_a_pipe() {
    let server = Server::start();
    let user = User::of(&server);
    let file = user.write("f.yaml", CONTENTS);
    user.ok(&["create", "-f", &file]);
    for format in ["yaml", "wrapped-json"] {
        let dump = user.ok(&["dump", "check,entity", "--namespace", "ops", "--format", format]);
        let done = user.run_with(&["delete"], &dump);
        assert_eq!(done.code, Some(0), "{}", done.stderr);
        assert!(
            done.stdout.contains("deleted Entity \"e\" in ops\ndeleted CheckConfig \"c\" in ops\n"),
            "{}",
            done.stdout
        );
        user.ok(&["create", "-f", &file]);
    }
    let none = user.run_with(&["delete"], "");
    assert_eq!((none.code, none.stdout.as_str()), (Some(0), "deleted 0 resources\n"), "{}", none.stderr);
    let done = user.run_with(&["delete", "-f", "-"], CONTENTS);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
}

#[test]
fn what_is_not_known_to_be_gone_ends_the_deletion() {
    let server = Server::start();
    let user = User::of(&server);
    let file = user.write("f.yaml", CONTENTS);
    for (status, body) in [
        (404, r#"{"code":2,"message":"cluster \"ops\" is not registered"}"#),
        (404, "<html>no such page"),
        (403, r#"{"code":4,"message":"unauthorized to perform action"}"#),
        (500, r#"{"code":0,"message":"internal error"}"#),
    ] {
        server.rule(move |asked| asked.target.contains("/entities/").then(|| answer(status, &[], body)));
        user.run(&["create", "-f", &file]);
        server.take_asked();
        let done = user.run(&["delete", "-f", &file]);
        assert!(matches!(done.code, Some(1 | 77)), "{body}: {}", done.stderr);
        assert!(done.stderr.contains("document 6 (Entity \"e\" in ops): "), "{}", done.stderr);
        assert!(done.line().ends_with("(deleted before it: 1 of 8)"), "{}", done.stderr);
        assert_eq!(server.take_lines().len(), 2);
    }
    // One that is named by the user is looked for.
    assert_eq!(user.fails(&["delete", "check", "none"], 1), "check \"none\": not found");
}

#[test]
fn the_callers_own_rights_are_deleted_last() {
    let server = Server::start();
    let user = User::of(&server);
    let own = CONTENTS.replace("name: readers", "name: cluster-admins");
    let file = user.write("f.yaml", &own);
    server.always("/api", 204, &[], "");
    user.ok(&["delete", "-f", &file]);
    let lines = server.take_lines();
    let last: Vec<&str> =
        lines.iter().skip(5).map(|line| line.trim_start_matches("DELETE /api/core/v2/")).collect();
    assert_eq!(last, ["namespaces/ops", "clusterrolebindings/reader", "clusterroles/reader"]);
}
