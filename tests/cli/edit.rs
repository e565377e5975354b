//! `edit`, with scripts in place of an editor.

use std::{fs, os::unix::fs::PermissionsExt, process::Command, sync::mpsc, time::Duration};

use serde_json::json;

use crate::{
    server::{Server, answer},
    user::{User, wait},
};

const FILE: &str = r#"{"type":"Cluster","api_version":"federation/v1","metadata":{"name":"alpha"},
    "spec":{"api_urls":["https://a:8080"]}}"#;

fn with_cluster() -> (Server, User) {
    let server = Server::start();
    let user = User::of(&server);
    let file = user.write("alpha.json", FILE);
    user.ok(&["create", "-f", &file]);
    server.take_asked();
    (server, user)
}

#[test]
fn an_edit_replaces_only_the_version_that_was_read() {
    let (server, mut user) = with_cluster();
    user.edit_with("stat -c %a \"$1\" > mode; sed -i 's,https://a:8080,https://b:8080,' \"$1\"");
    assert_eq!(user.ok(&["edit", "cluster", "alpha"]), "updated cluster \"alpha\"\n");
    let asked = server.take_asked();
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[1].method, "PUT");
    assert!(asked[1].header("if-match").starts_with('"'), "{:?}", asked[1].headers);
    assert!(user.ok(&["info", "cluster", "alpha"]).contains("https://b:8080"));
    assert_eq!(std::fs::read_to_string(user.home().join("mode")).unwrap(), "600\n");
    assert_eq!(std::fs::read_dir(user.home().join("tmp")).unwrap().count(), 0, "no file is left");
}

#[test]
fn an_unchanged_text_changes_nothing() {
    let (server, mut user) = with_cluster();
    for script in ["true", "echo '# a comment' >> \"$1\"", "sed -i 's/alpha/\"alpha\"/' \"$1\""] {
        user.edit_with(script);
        assert_eq!(user.ok(&["edit", "cluster", "alpha"]), "nothing changed\n", "{script}");
    }
    assert!(server.take_lines().iter().all(|line| line.starts_with("GET")));
}

#[test]
fn a_mistake_opens_the_editor_again_with_the_reason_on_top() {
    let (_server, mut user) = with_cluster();
    user.edit_with(
        "n=$(cat count 2>/dev/null || echo 0); echo $((n + 1)) > count; cp \"$1\" seen$n\n\
         case $n in\n\
         0) printf 'spec: [\\n' >> \"$1\";;\n\
         1) sed -i -e '/^spec: \\[/d' -e 's/alpha/beta/' \"$1\";;\n\
         2) sed -i -e 's/name: beta/name: alpha/' -e 's,https://a:8080,a:8080,' \"$1\";;\n\
         3) sed -i 's,- a:8080,- https://c:8080,' \"$1\";;\n\
         esac",
    );
    assert_eq!(user.ok(&["edit", "cluster", "alpha"]), "updated cluster \"alpha\"\n");
    let seen = |n: u32| std::fs::read_to_string(user.home().join(format!("seen{n}"))).unwrap();
    assert!(!seen(0).starts_with('#'));
    let line = seen(1).strip_prefix("# fedgate: line ").unwrap().split(' ').next().unwrap().parse::<usize>();
    assert_eq!(seen(1).lines().nth(line.unwrap() - 1), Some("spec: ["), "{}", seen(1));
    assert!(seen(2).starts_with("# fedgate: type, name and namespace cannot change"), "{}", seen(2));
    assert!(seen(3).starts_with("# fedgate: spec.api_urls[0]: "), "{}", seen(3));
    assert_eq!(seen(3).matches("# fedgate:").count(), 2, "old reasons are gone");
}

#[test]
fn giving_up_keeps_the_text() {
    let (_server, mut user) = with_cluster();
    user.edit_with("grep -q '^# fedgate' \"$1\" || printf 'spec: [\\n' >> \"$1\"");
    let line = user.fails(&["edit", "cluster", "alpha"], 1);
    assert!(line.starts_with("not saved: line "), "{line}");
    let kept = line.split("kept in ").nth(1).unwrap().trim_end_matches(')');
    assert!(std::fs::read_to_string(kept).unwrap().contains("spec: ["));
    user.edit_with("exit 3");
    assert!(user.fails(&["edit", "cluster", "alpha"], 1).contains("exit status: 3"));
    user.set("EDITOR", "/nowhere/ed -x");
    assert!(user.fails(&["edit", "cluster", "alpha"], 1).starts_with("cannot start editor /nowhere/ed"));
}

#[test]
fn a_concurrent_edit_is_detected() {
    let (server, mut user) = with_cluster();
    let other = FILE.replace("https://a", "https://other");
    user.write("other.json", &other);
    let fedgate = env!("CARGO_BIN_EXE_fedgate");
    user.edit_with(&format!("{fedgate} create -f other.json; sed -i 's,https://a,https://mine,' \"$1\""));
    let line = user.fails(&["edit", "cluster", "alpha"], 1);
    assert!(
        line.starts_with("cluster \"alpha\" was changed by someone else in the meantime: edit it again"),
        "{line}"
    );
    let kept = line.split("kept in ").nth(1).unwrap().trim_end_matches(')');
    assert!(std::fs::read_to_string(kept).unwrap().contains("https://mine:8080"));
    assert!(user.ok(&["info", "cluster", "alpha"]).contains("https://other:8080"));
    drop(server);
}

#[test]
fn a_check_is_edited_bare_and_without_a_label_and_not_over_another_edit() {
    let server = Server::start();
    let mut user = User::of(&server);
    let path = "/api/core/v2/namespaces/default/checks/cpu";
    let check = |command: &str| {
        json!({"metadata": {"name": "cpu", "namespace": "default"}, "command": command, "interval": 60,
            "subscriptions": ["linux"], "publish": true})
    };
    server.sensu.apply(&http::Method::PUT, path, &check("old"));
    user.edit_with("sed -i 's/command: old/command: new/' \"$1\"");
    assert_eq!(user.ok(&["edit", "check", "cpu"]), "updated check \"cpu\"\n");
    let put = server.take_asked().pop().unwrap();
    assert_eq!(put.json()["command"], "new");
    assert_eq!(put.json()["metadata"]["labels"], json!(null));
    assert!(put.json().get("spec").is_none());

    let fedgate = env!("CARGO_BIN_EXE_fedgate");
    user.write(
        "other.yaml",
        "type: CheckConfig\nmetadata: {name: cpu}\nspec: {command: other, interval: 60, subscriptions: [linux]}\n",
    );
    user.edit_with(&format!("{fedgate} create -f other.yaml; sed -i 's/command: new/command: mine/' \"$1\""));
    assert!(user.fails(&["edit", "check", "cpu"], 1).contains("changed by someone else"));
    assert!(user.ok(&["info", "check", "cpu"]).contains("other"));
}

#[test]
fn clusters_of_the_configuration_are_not_even_opened() {
    let (_server, mut user) = with_cluster();
    user.edit_with("exit 9");
    let line = user.fails(&["edit", "cluster", "from-file"], 1);
    assert_eq!(line, "cluster \"from-file\" is in the gateway's configuration file: change it there");
}

#[test]
fn numbers_keys_and_their_order_survive_an_edit() {
    let server = Server::start();
    let mut user = User::of(&server);
    let body = r#"{"zeta":18446744073709551615,"alpha":-9223372036854775808,"f":1e-7,"g":5.0,"metadata":{"name":"x","namespace":"default"},"unknown":{"b":null,"a":[]},"t":"yes"}"#;
    server.always("/api/core/v2/namespaces/default/handlers/x", 200, &[], body);
    user.edit_with("sed -i 's/t: \"yes\"/t: \"no\"/' \"$1\"");
    user.ok(&["edit", "handler", "x"]);
    let put = server.take_asked().pop().unwrap();
    let expected = r#"{"zeta":18446744073709551615,"alpha":-9223372036854775808,"f":1e-7,"g":5.0,"unknown":{"b":null,"a":[]},"t":"no","metadata":{"name":"x","namespace":"default"}}"#;
    assert_eq!((put.method.as_str(), put.body.as_str()), ("PUT", expected));
}

#[test]
fn a_failing_server_does_not_lose_the_text() {
    let (server, mut user) = with_cluster();
    server.rule(|asked| {
        (asked.method == "PUT").then(|| answer(503, &[], r#"{"message":"the store is down","code":0}"#))
    });
    user.edit_with("sed -i 's,https://a,https://b,' \"$1\"");
    let line = user.fails(&["edit", "cluster", "alpha"], 69);
    assert!(line.starts_with("the store is down (your text is kept in "), "{line}");
}

/// The file that a failure names.
fn kept(line: &str) -> &str {
    line.split("kept in ").nth(1).unwrap().trim_end_matches(')')
}

#[test]
fn ctrl_c_goes_to_the_editor_while_it_runs_and_to_fedgate_afterwards() {
    let (server, mut user) = with_cluster();
    let pid = user.home().join("pid");
    let (over, is_over) = mpsc::channel::<()>();
    server.rule(move |asked| {
        if asked.method != "PUT" {
            return None;
        }
        let pid = fs::read_to_string(&pid).unwrap();
        assert!(Command::new("kill").args(["-INT", pid.trim()]).status().unwrap().success());
        let _ = is_over.recv_timeout(Duration::from_secs(60));
        None
    });
    user.edit_with(
        "echo $PPID > pid; kill -INT $PPID; kill -INT $PPID; sed -i 's,https://a,https://b,' \"$1\"",
    );
    let done = wait(user.spawn(&["edit", "cluster", "alpha"]));
    let _ = over.send(());
    assert_eq!(done.code, Some(130), "{}", done.stderr);
    let line = done.line();
    assert!(line.starts_with("interrupted: the change may still have been made"), "{line}");
    assert!(fs::read_to_string(kept(&line)).unwrap().contains("https://b:8080"));
}

#[test]
fn returning_a_rejected_text_unchanged_ends_the_edit() {
    let (server, mut user) = with_cluster();
    user.write("broken", &format!("{}\nspec: [\n", "# mine"));
    let broken = "cp broken \"$1\"; echo x >> rounds; [ $(wc -l < rounds) -lt 5 ] || kill -KILL $PPID";
    user.edit_with(broken);
    let line = user.fails(&["edit", "cluster", "alpha"], 1);
    assert!(line.starts_with("not saved: line "), "{line}");
    assert!(fs::read_to_string(kept(&line)).unwrap().ends_with("# mine\nspec: [\n"));
    assert_eq!(fs::read_to_string(user.home().join("rounds")).unwrap(), "x\nx\n");

    // The server's refusals are no different.
    server.rule(|asked| (asked.method == "PUT").then(|| answer(400, &[], r#"{"message":"no","code":1}"#)));
    fs::remove_file(user.home().join("rounds")).unwrap();
    user.write("broken", &FILE.replace("https://a", "https://b"));
    user.edit_with(broken);
    assert!(user.fails(&["edit", "cluster", "alpha"], 1).starts_with("not saved: no (your text is kept"));
}

#[test]
fn an_emptied_text_changes_nothing() {
    let (server, mut user) = with_cluster();
    for script in [": > \"$1\"", "printf ' \n\n# all gone\n' > \"$1\"", "echo --- > \"$1\""] {
        user.edit_with(script);
        assert_eq!(user.ok(&["edit", "cluster", "alpha"]), "nothing changed\n", "{script}");
    }
    user.edit_with("if grep -q '^# fedgate' \"$1\"; then : > \"$1\"; else printf 'spec: [' >> \"$1\"; fi");
    assert_eq!(user.ok(&["edit", "cluster", "alpha"]), "nothing changed\n");
    assert!(server.take_lines().iter().all(|line| line.starts_with("GET")));
}

#[test]
fn an_unreadable_text_is_kept() {
    let (_server, mut user) = with_cluster();
    user.edit_with("printf '# \\377\\n' >> \"$1\"");
    let line = user.fails(&["edit", "cluster", "alpha"], 1);
    assert!(line.starts_with("nothing was saved: the text is not UTF-8 (your text is kept in "), "{line}");
    assert!(fs::read(kept(&line)).unwrap().ends_with(b"# \xff\n"));
    user.edit_with("rm \"$1\"");
    let line = user.fails(&["edit", "cluster", "alpha"], 1);
    assert!(line.starts_with("nothing was saved: cannot read ") && !line.contains("kept"), "{line}");
    user.edit_with(
        "printf '\\357\\273\\277' > new; sed 's,https://a,https://b,' \"$1\" >> new; mv new \"$1\"",
    );
    assert_eq!(user.ok(&["edit", "cluster", "alpha"]), "updated cluster \"alpha\"\n", "a byte order mark");
}

#[test]
fn the_editor_is_a_command_of_the_shell() {
    let (_server, mut user) = with_cluster();
    let directory = user.home().join("my editors");
    fs::create_dir(&directory).unwrap();
    let path = directory.join("ed");
    fs::write(&path, "#!/bin/sh\necho \"$# $1\" >> seen\n").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    for editor in [
        format!("\"{}\" -n", path.display()),
        format!("'{}' \"-n\"", path.display()),
        "~/my\\ editors/ed -n".to_owned(),
        "env A=b my*/ed -n".to_owned(),
    ] {
        user.set("EDITOR", &editor);
        let _ = fs::remove_file(user.home().join("seen"));
        assert_eq!(user.ok(&["edit", "cluster", "alpha"]), "nothing changed\n", "{editor}");
        assert_eq!(fs::read_to_string(user.home().join("seen")).unwrap(), "2 -n\n", "{editor}");
    }
    user.set("EDITOR", "sh   my/no-such -n");
    assert!(
        user.run(&["edit", "cluster", "alpha"])
            .stderr
            .contains("editor sh   my/no-such -n ended with exit status: ")
    );
    user.set("EDITOR", "'no such editor' -n");
    let done = user.run(&["edit", "cluster", "alpha"]);
    assert_eq!(done.code, Some(1));
    assert!(
        done.stderr.ends_with(
            "fedgate: cannot start editor 'no such editor' -n: set EDITOR to one that is installed\n"
        ),
        "{}",
        done.stderr
    );
}
