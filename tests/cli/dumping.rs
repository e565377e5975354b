//! Dumps into files, as recipes for backups make them.

use std::{fs, os::unix::fs::PermissionsExt as _, process::Command, sync::mpsc, time::Duration};

use crate::{
    server::{Server, answer},
    user::{User, wait},
};

#[test]
fn a_dump_leaves_out_what_is_omitted_and_goes_to_a_file() {
    let server = Server::start();
    let user = User::of(&server);
    user.write(
        "f",
        "type: Handler\nmetadata: {name: h}\nspec: {type: pipe, command: \"a\\e[2J\"}\n---\ntype: Entity\nmetadata: {name: e}\n\
         spec: {entity_class: proxy}\n",
    );
    user.ok(&["create", "-f", "f"]);
    server.take_asked();
    let omit = "core/v2.Entity,core/v2.Event,APIKey,users,secrets/v1.Provider,cluster,etcd-replicator";
    let args = ["dump", "all", "--all-namespaces", "--omit", omit, "--file", "backup.yaml"];
    let done = user.run(&args);
    assert_eq!((done.code, done.stdout.as_str()), (Some(0), ""), "{}", done.stderr);
    let backup = fs::read_to_string(user.home().join("backup.yaml")).unwrap();
    assert!(
        backup.starts_with("---\n") && backup.contains("type: Handler") && !backup.contains("type: Entity"),
        "{backup}"
    );
    assert!(!server.take_lines().iter().any(|line| line.contains("/entities") || line.contains("/clusters")));
    user.ok(&["delete", "handler", "h"]);
    assert_eq!(user.run(&["create", "-f", "backup.yaml"]).code, Some(0));
    let json = user.ok(&["dump", "handler", "-o", "check", "-f", "h.json", "--format", "wrapped-json"]);
    assert_eq!(json, "");
    assert!(fs::read_to_string(user.home().join("h.json")).unwrap().starts_with("{\n"));
    assert!(
        user.fails(&["dump", "all", "--omit", "chekc"], 64).starts_with("--omit: unknown type \"chekc\"")
    );
}

#[test]
fn a_dump_that_fails_leaves_the_file_as_it_was() {
    let server = Server::start();
    let user = User::of(&server);
    user.write("backup.yaml", "old");
    server.rule(|asked| asked.target.contains("/checks").then(|| answer(500, &[], "")));
    assert_eq!(user.run(&["dump", "handler,check", "-f", "backup.yaml"]).code, Some(1));
    assert_eq!(fs::read_to_string(user.home().join("backup.yaml")).unwrap(), "old");
    assert_eq!(temporary(&user), [""; 0]);
    let line = user.fails(&["dump", "handler", "-f", "none/backup.yaml"], 1);
    assert!(line.starts_with("cannot write none/backup.yaml: No such file"), "{line}");
    assert_eq!(user.ok(&["dump", "handler", "-f", "/dev/null"]), "");
}

#[test]
fn a_dump_of_everything_that_reads_nothing_fails_and_leaves_the_file_as_it_was() {
    let server = Server::start();
    let mut user = User::of(&server);
    user.write("backup.yaml", "old");
    let dumped = |user: &User| {
        let done = user.run(&["dump", "all", "-f", "backup.yaml"]);
        assert_eq!(fs::read_to_string(user.home().join("backup.yaml")).unwrap(), "old", "{}", done.stderr);
        let last = done.stderr.lines().last().unwrap_or_default().to_owned();
        (done.code, last)
    };
    for (status, body, code, line) in [
        (404, "404 page not found", 1, "fedgate: nothing could be read: 404 page not found"),
        (403, r#"{"Code":4,"Message":"no"}"#, 77, "fedgate: nothing could be read: no: ask an administrator"),
        (
            401,
            r#"{"Code":5,"Message":"invalid credentials"}"#,
            77,
            "fedgate: invalid credentials: log in again",
        ),
    ] {
        server.always("/api", status, &[], body);
        let (found, last) = dumped(&user);
        assert!(found == Some(code) && last.starts_with(line), "{status}: {found:?} {last}");
    }
    user.set("SENSU_API_KEY", "unknown");
    assert_eq!(dumped(&user).0, Some(77));
}

#[test]
fn a_dump_of_everything_leaves_out_what_this_user_may_not_see() {
    let server = Server::start();
    let user = User::of(&server);
    server.always("/api/core/v2/namespaces/default/handlers", 403, &[], r#"{"Code":4,"Message":"no"}"#);
    server.always("/api/core/v2/namespaces/default/mutators", 500, &[], r#"{"Code":4,"Message":"no"}"#);
    let done = user.run(&["dump", "all", "-f", "backup.yaml"]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    for left_out in ["left out: handlers (no", "left out: mutators (no"] {
        assert!(done.stderr.contains(left_out), "{}", done.stderr);
    }
    assert!(fs::read_to_string(user.home().join("backup.yaml")).unwrap().contains("type: Namespace"));
}

#[test]
fn a_dump_that_lacks_a_cluster_leaves_the_file_as_it_was() {
    let server = Server::start();
    let user = User::of(&server);
    user.write("backup.yaml", "old");
    let headers =
        &[("fedgate-complete", "false"), ("fedgate-clusters", r#""local-cluster", "beta";error=timeout"#)];
    server.always("/api/core/v2/namespaces/default/checks", 200, headers, r#"[{"metadata": {"name": "c"}}]"#);
    let args = ["dump", "check", "--clusters", "*", "-f"];
    let line = user.fails(&[&args[..], &["backup.yaml"]].concat(), 3);
    assert_eq!(line, "incomplete: no answer from beta (timeout): backup.yaml is left as it was");
    assert_eq!(fs::read_to_string(user.home().join("backup.yaml")).unwrap(), "old");
    assert_eq!(temporary(&user), [""; 0]);
    let line = user.fails(&[&args[..], &["/dev/null"]].concat(), 3);
    assert_eq!(line, "incomplete: no answer from beta (timeout)");
    let done = user.run(&["dump", "check", "--clusters", "*"]);
    assert!(done.code == Some(3) && done.stdout.contains("name: c"), "{done:?}");
}

#[test]
fn a_dump_into_a_file_is_for_its_owner_unless_the_file_was_for_others() {
    let server = Server::start();
    let user = User::of(&server);
    let mode = |name: &str| fs::metadata(user.home().join(name)).unwrap().permissions().mode() & 0o777;
    user.ok(&["dump", "namespace", "-f", "new.yaml"]);
    assert_eq!(mode("new.yaml"), 0o600);
    for before in [0o600, 0o640, 0o644] {
        user.write("old.yaml", "old");
        fs::set_permissions(user.home().join("old.yaml"), fs::Permissions::from_mode(before)).unwrap();
        user.ok(&["dump", "namespace", "-f", "old.yaml"]);
        assert_eq!(mode("old.yaml"), before);
    }
}

#[test]
fn a_dump_that_is_stopped_leaves_no_other_file() {
    for (signal, code) in [("-TERM", 143), ("-INT", 130)] {
        let server = Server::start();
        let user = User::of(&server);
        user.write("backup.yaml", "old");
        let (asked, is_asked) = mpsc::channel();
        let (end, is_over) = mpsc::channel::<()>();
        server.rule(move |it| {
            if it.target.contains("/checks") {
                asked.send(()).unwrap();
                let _ = is_over.recv();
            }
            None
        });
        let child = user.spawn(&["dump", "namespace,check", "-f", "backup.yaml"]);
        is_asked.recv_timeout(Duration::from_secs(60)).unwrap();
        let [half]: [String; 1] = temporary(&user).try_into().unwrap();
        let mode = fs::metadata(user.home().join(half)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "also before the file that is replaced is known to be for others");
        let sent = Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
        assert!(sent.success());
        let done = wait(child);
        drop(end);
        assert_eq!(done.code, Some(code), "{done:?}");
        assert_eq!(temporary(&user), [""; 0]);
        assert_eq!(fs::read_to_string(user.home().join("backup.yaml")).unwrap(), "old");
    }
}

/// The names of files that are left of dumps which came to nothing.
fn temporary(user: &User) -> Vec<String> {
    let names = fs::read_dir(user.home()).unwrap().map(|entry| entry.unwrap().file_name());
    names.map(|name| name.into_string().unwrap()).filter(|name| name.starts_with(".backup")).collect()
}
