//! What is printed, and how commands end.

use std::{
    fs,
    io::{self, Read},
    process::{ChildStderr, Stdio},
};

use crate::{
    server::{Server, answer},
    user::User,
};

const CHECKS: &str = r#"[
    {"command":"x","interval":10,"metadata":{"name":"a","namespace":"default"}},
    {"cluster":"alpha","command":"evil\u001b[2J\n中文\u202e","metadata":{"name":"b","namespace":"default@alpha"}}
]"#;

fn with_checks(headers: &'static [(&str, &str)]) -> (Server, User) {
    let server = Server::start();
    let user = User::of(&server);
    server.always("/api/core/v2/", 200, headers, CHECKS);
    (server, user)
}

#[test]
fn tables_name_the_cluster_and_escape_control_characters() {
    let (_server, user) = with_checks(&[]);
    let table = user.ok(&["list", "check", "--all-namespaces"]);
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[0].starts_with("NAME  CLUSTER        NAMESPACE      COMMAND "), "{table}");
    assert!(lines[1].starts_with("a     local-cluster  default        x "), "{table}");
    assert!(
        lines[2].starts_with("b     alpha          default@alpha  evil\\u{1b}[2J\\n中文\\u{202e}  0 "),
        "{table}"
    );
    assert_eq!(lines.len(), 3);
    let table = user.ok(&["list", "check"]);
    assert!(table.starts_with("NAME  CLUSTER        COMMAND "), "{table}");
    for format in ["yaml", "json", "wrapped-json"] {
        let text = user.ok(&["list", "check", "--format", format]);
        assert!(!text.contains('\u{1b}'), "{text}");
    }
    let json = user.ok(&["list", "check", "--format", "json"]);
    let back: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(back, serde_json::from_str::<serde_json::Value>(CHECKS).unwrap());
}

#[test]
fn empty_lists_are_empty_in_every_format() {
    let server = Server::start();
    let user = User::of(&server);
    for body in ["[]", "null", ""] {
        server.always("/api/core/v2/", 200, &[], body);
        assert_eq!(user.ok(&["list", "check", "--format", "json"]), "[]\n", "{body:?}");
        assert_eq!(user.ok(&["list", "check", "--format", "yaml"]), "");
        assert_eq!(user.ok(&["list", "hook"]), "NAME  CLUSTER  COMMAND  TIMEOUT  STDIN?\n");
        assert_eq!(user.ok(&["dump", "check"]), "");
    }
}

#[test]
fn an_incomplete_list_is_printed_with_a_note_and_ends_with_3() {
    let (_server, user) = with_checks(&[
        ("fedgate-complete", "false"),
        (
            "fedgate-clusters",
            r#""local-cluster";status=200, "beta";error=timeout, "gamma";error=unreachable"#,
        ),
    ]);
    for args in [vec!["list", "check"], vec!["dump", "check"], vec!["list", "check", "--format", "json"]] {
        let done = user.run(&args);
        assert_eq!(done.code, Some(3), "{args:?}");
        assert_eq!(done.line(), "incomplete: no answer from beta (timeout), gamma (unreachable)");
        assert!(done.stdout.contains("alpha"), "{}", done.stdout);
    }
}

#[test]
fn the_clusters_of_a_list_that_nobody_answered_are_named() {
    let server = Server::start();
    let user = User::of(&server);
    let body = r#"{"message":"no cluster answered with a list","code":0,"clusters":{"alpha":"timeout","b\u001b":"unreachable"}}"#;
    server.always("/api/core/v2/", 502, &[], body);
    let line = user.fails(&["list", "check"], 69);
    assert_eq!(line, "no cluster answered with a list (alpha: timeout, b\\u{1b}: unreachable)");
}

#[test]
fn clusters_missing_from_any_page_are_reported() {
    let server = Server::start();
    let user = User::of(&server);
    server.rule(|asked| {
        let first = !asked.target.contains("continue=");
        let clusters = if first { "\"beta\";error=timeout" } else { "\"gamma\";error=tls" };
        let mut headers = vec![("fedgate-complete", "false"), ("fedgate-clusters", clusters)];
        headers.extend(first.then_some(("sensu-continue", "next")));
        asked.target.starts_with("/api").then(|| answer(200, &headers, CHECKS))
    });
    let done = user.run(&["list", "check", "--chunk-size", "2", "--format", "json"]);
    assert_eq!(done.line(), "incomplete: no answer from beta (timeout), gamma (tls)");
    assert_eq!(serde_json::from_str::<Vec<serde_json::Value>>(&done.stdout).unwrap().len(), 4);
}

#[test]
fn failures_end_with_the_code_that_scripts_expect() {
    let server = Server::start();
    let user = User::of(&server);
    for (status, body, code, line) in [
        (404, r#"{"message":"not found","code":2}"#, 1, "check \"x\": not found"),
        (
            403,
            r#"{"Code":4,"Message":"no"}"#,
            77,
            "check \"x\": no: ask an administrator for the right to do this",
        ),
        (
            404,
            r#"{"message":"no","code":4}"#,
            77,
            "check \"x\": no: ask an administrator for the right to do this",
        ),
        (
            500,
            r#"{"message":"internal\u001b[31m\nerror","code":0}"#,
            1,
            "check \"x\": internal\\u{1b}[31m\\nerror",
        ),
        (502, "<html>proxy</html>", 69, "check \"x\": the server answered 502 Bad Gateway"),
        (503, "API unavailable during startup.\n\n", 69, "check \"x\": API unavailable during startup."),
        (405, "", 1, "check \"x\": the server answered 405 Method Not Allowed"),
        (200, "<html>", 69, "the server answered something that is not JSON: is it the API's URL?"),
    ] {
        server.always("/api", status, &[], body);
        assert_eq!(user.fails(&["info", "check", "x"], code), line, "{status} {body}");
    }
    let line = user.fails(&["list", "check", "--url", "http://127.0.0.1:1", "--api-key", "k"], 69);
    assert!(line.starts_with("cannot reach http://127.0.0.1:1: Connection refused"), "{line}");
    let https = server.url.replace("http", "https");
    let line = user.fails(&["list", "check", "--url", &https, "--api-key", "k"], 69);
    assert!(line.starts_with("no TLS at https://127.0.0.1:"), "{line}");
    let line = user
        .fails(&["list", "check", "--url", &https, "--api-key", "k", "--trusted-ca-file", "/nowhere"], 78);
    assert!(line.contains("cannot read /nowhere"), "{line}");
}

#[test]
fn a_server_that_does_not_answer_runs_into_the_timeout() {
    let server = Server::start();
    let user = User::of(&server);
    server.sensu.faults().set_hang(true);
    let args = ["list", "check", "--timeout", "200ms"];
    let line = user.fails(&args, 69);
    assert!(line.ends_with(" within 200ms: give a longer --timeout"), "{line}");
    let line = user.fails(&["delete", "check", "x", "--timeout", "200ms"], 69);
    assert!(line.ends_with("; the change may still have been made"), "{line}");
}

#[test]
fn a_reader_that_closes_the_output_early_is_not_a_failure() {
    let (_server, user) = with_checks(&[]);
    let fedgate = env!("CARGO_BIN_EXE_fedgate");
    let script = format!("{fedgate} list check --format yaml | true; echo ${{PIPESTATUS[0]}}");
    let output = std::process::Command::new("bash")
        .args(["-c", &script])
        .env_clear()
        .env("HOME", user.home())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "0\n");
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}

#[test]
fn a_server_that_ignores_the_requested_clusters_is_detected() {
    let (_server, user) = with_checks(&[]);
    let line = user.fails(&["list", "check", "--clusters", "beta"], 1);
    assert!(line.ends_with("does not know --clusters: is it a fedgate?"), "{line}");
}

#[test]
fn a_create_is_finished_even_if_nobody_reads_its_report() {
    let server = Server::start();
    let user = User::of(&server);
    let asset = |n: u32| format!("type: Asset\nmetadata: {{name: n{n}}}\nspec: {{}}\n");
    let text = (0..20).map(asset).collect::<Vec<_>>().join("---\n");
    let file = user.write("many.yaml", &text);
    server.always("/api", 201, &[], "");
    let mut child = user.spawn(&["create", "-f", &file]);
    drop(child.stdout.take());
    assert_eq!(crate::user::wait(child).code, Some(0));
    assert_eq!(server.take_lines().len(), 20);
}

#[test]
fn status_names_unhealthy_clusters_and_ends_with_3() {
    let server = Server::start();
    let user = User::of(&server);
    let status = |state: &str| {
        format!(
            r#"{{"complete":true,"clusters":[{{"name":"alpha","source":"api","version":"6.12.0","state":"{state}","since":"2026-11-24T05:00:00Z","error":null,"backends":[{{"url":"https://a:8080","state":"{state}","since":"2026-11-24T05:00:00Z","error":null,"latency_ms":3}}]}}],"replicators":[],"authorization":"rbac"}}"#
        )
    };
    let target = "/api/enterprise/federation/v1/status";
    server.always(target, 200, &[], &status("up"));
    let table = user.ok(&["status"]);
    assert!(table.starts_with("NAME   STATE  SINCE"), "{table}");
    assert!(table.contains("6.12.0   1/1 up"), "{table}");
    assert_eq!(table.lines().count(), 2);
    server.always(target, 200, &[], &status("down"));
    for format in ["tabular", "yaml", "json"] {
        let done = user.run(&["status", "--format", format]);
        assert_eq!((done.code, done.line().as_str()), (Some(3), "unhealthy clusters: alpha (down)"));
        assert!(done.stdout.contains("6.12.0"));
    }
    server.always(target, 404, &[], r#"{"code":2,"message":"not found"}"#);
    assert!(user.fails(&["status"], 1).ends_with("has no federation status: is it a fedgate?"));
}

/// A pipe whose reader is closed.
fn closed() -> Stdio {
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    writer.into()
}

#[test]
fn a_closed_output_changes_no_exit_code() {
    const UNHEALTHY: &str = r#"{"complete":true,"clusters":[{"name":"alpha","state":"down"}]}"#;
    let (server, user) = with_checks(&[]);
    let missing = r#""local-cluster";status=200, "beta";error=timeout"#;
    server.rule(move |asked| {
        let headers = [("fedgate-complete", "false"), ("fedgate-clusters", missing)];
        asked.target.ends_with("/assets").then(|| answer(200, &headers, "[]"))
    });
    server.always("/api/enterprise/federation/v1/status", 200, &[], UNHEALTHY);
    for (args, code, said) in [
        (vec!["status"], 3, "fedgate: unhealthy clusters: alpha (down)\n"),
        (vec!["list", "asset"], 3, "fedgate: incomplete: no answer from beta (timeout)\n"),
        (vec!["list", "check"], 0, ""),
        (vec!["dump", "check"], 0, ""),
        (vec!["dump", "asset,check"], 3, "fedgate: incomplete: no answer from beta (timeout)\n"),
        (vec!["info", "check", "a"], 0, ""),
        (vec!["list", "check", "--help"], 0, ""),
    ] {
        let mut child = user.command(&args).stdout(closed()).spawn().unwrap();
        let mut stderr = String::new();
        let read = |mut pipe: ChildStderr| pipe.read_to_string(&mut stderr);
        child.stderr.take().map(read).unwrap().unwrap();
        assert_eq!((child.wait().unwrap().code(), stderr.as_str()), (Some(code), said), "{args:?}");
    }
    for (args, code) in [
        (vec!["status"], 3),
        (vec!["list", "asset"], 3),
        (vec!["list", "nonsense"], 64),
        (vec!["list", "--nonsense"], 64),
        (vec!["list", "check", "--url", "http://127.0.0.1:1", "--api-key", "x"], 69),
    ] {
        for stdout in [closed(), Stdio::null()] {
            let status = user.command(&args).stdout(stdout).stderr(closed()).status().unwrap();
            assert_eq!(status.code(), Some(code), "{args:?}");
        }
    }
    let full = || Stdio::from(fs::File::options().write(true).open("/dev/full").unwrap());
    assert_eq!(user.command(&["list", "check"]).stdout(full()).status().unwrap().code(), Some(1));
    assert_eq!(user.command(&["list", "nonsense"]).stderr(full()).status().unwrap().code(), Some(64));
}
