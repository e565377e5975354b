//! `diff` and `verify`, by what they ask and how they end.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::{
    server::{Server, answer},
    user::User,
};

const RBAC: &str = "/api/enterprise/federation/v1/replicators/rbac/diff";

fn place(name: &str, error: Option<&str>, deletions: u64) -> Value {
    let object =
        json!({"kind": "Role", "namespace": "web", "name": "dev", "action": "delete", "why": "gone"});
    json!({
        "name": name, "complete": error.is_none(), "equal": error.is_none() && deletions == 0, "error": error,
        "objects": 7, "took_ms": 12.3,
        "counts": {"create": 0, "update": 0, "delete": deletions, "conflict": 0, "blocked": 0},
        "differences": if deletions > 0 { vec![object] } else { vec![] },
    })
}

fn comparison(places: &[Value]) -> String {
    let complete = places.iter().all(|place| place["complete"] == true);
    json!({"type": "Replicator", "name": "rbac", "dry_run": false, "complete": complete, "equal": false,
        "detailed": true, "took_ms": 20.0, "clusters": places})
    .to_string()
}

#[test]
fn a_diff_ends_as_diffs_do() {
    let server = Server::start();
    let user = User::of(&server);
    server.always(RBAC, 200, &[], &comparison(&[place("alpha", None, 0), place("beta", None, 0)]));
    assert_eq!(
        user.ok(&["diff", "replicator", "rbac"]),
        "alpha: equal (7 objects)\nbeta: equal (7 objects)\n"
    );
    server.always(RBAC, 200, &[], &comparison(&[place("alpha", None, 1), place("beta", None, 0)]));
    server.take_asked();
    let run = user.run(&["diff", "replicators", "rbac", "--cluster", "alpha"]);
    assert_eq!((run.code, &*run.line()), (Some(1), "differs: alpha (1)"));
    assert_eq!(
        run.stdout,
        "CLUSTER  KIND  NAMESPACE  NAME  ACTION  WHY\nalpha    Role  web        dev   delete  gone\n"
    );
    assert_eq!(server.take_lines(), [format!("GET {RBAC}?cluster=alpha")], "it only reads");
    for format in ["json", "yaml"] {
        let run = user.run(&["diff", "replicator", "rbac", "--format", format]);
        assert_eq!((run.code, &*run.line()), (Some(1), "differs: alpha (1)"));
        assert!(run.stdout.contains("delete") && run.stdout.contains("took_ms"), "{}", run.stdout);
    }
    server.always(RBAC, 200, &[], &comparison(&[place("alpha", None, 0), place("beta", Some("away"), 0)]));
    assert_eq!(user.fails(&["diff", "replicator", "rbac"], 3), "not compared: beta (away)");
}

#[test]
fn what_cannot_be_compared_has_the_codes_of_the_other_commands() {
    let server = Server::start();
    let user = User::of(&server);
    let line = user.fails(&["diff", "check", "cpu"], 64);
    assert_eq!(line, "only a replicator and an etcd-replicator can be compared");
    let line = user.fails(&["diff", "etcd-replicator", "r", "--cluster", "alpha"], 64);
    assert!(line.contains("one destination"), "{line}");
    assert_eq!(user.run(&["diff", "replicator", "rbac", "--cluster", "a b"]).code, Some(64));
    assert!(user.fails(&["diff", "replicator", "rbac"], 1).ends_with("replicator rbac is not registered"));
    server.always(
        RBAC,
        503,
        &[],
        r#"{"code":0,"message":"other replicators are being compared: try again"}"#,
    );
    assert!(user.fails(&["diff", "replicator", "rbac"], 69).contains("being compared"));
    server.always(RBAC, 404, &[], r#"{"code":2,"message":"not found"}"#);
    assert!(user.fails(&["diff", "replicator", "rbac"], 1).contains("is it a fedgate, and of this version?"));
    let away = user.run(&["diff", "replicator", "rbac", "--url", "http://127.0.0.1:1", "--api-key", "x"]);
    assert_eq!(away.code, Some(69), "{}", away.stderr);
}

/// Answers 503 so often, and then the comparison.
fn busy(server: &Server, times: usize, retry_after: &'static str) {
    let left = AtomicUsize::new(times);
    let body = comparison(&[place("alpha", None, 0)]);
    server.rule(move |asked| {
        if asked.target != RBAC {
            return None;
        }
        let is_busy = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        let refusal = r#"{"code":0,"message":"other replicators are being compared: try again"}"#;
        Some(match is_busy {
            Ok(_) => answer(503, &[("Retry-After", retry_after)], refusal),
            Err(_) => answer(200, &[], &body),
        })
    });
}

#[test]
fn a_gateway_that_is_busy_is_asked_again_when_it_says_but_not_for_ever() {
    let server = Server::start();
    let user = User::of(&server);
    busy(&server, 2, "0");
    assert_eq!(user.ok(&["diff", "replicator", "rbac"]), "alpha: equal (7 objects)\n");
    for (times, retry_after, asked) in [(3, "0", 3), (1, "3600", 1), (1, "soon", 1)] {
        busy(&server, times, retry_after);
        server.take_asked();
        assert!(user.fails(&["diff", "replicator", "rbac"], 69).contains("being compared"), "{retry_after}");
        assert_eq!(server.take_lines().len(), asked, "{retry_after}");
    }
    server.always("/api/enterprise/federation/v1/replicators", 200, &[], r#"[{"metadata":{"name":"rbac"}}]"#);
    busy(&server, 1, "0");
    assert!(user.ok(&["verify"]).contains("equal"), "verify does the same");
}

#[test]
fn every_replicator_is_verified_and_one_that_fails_does_not_hide_the_others() {
    let server = Server::start();
    let user = User::of(&server);
    assert_eq!(user.ok(&["verify"]), "No replicators are registered.\n");
    server.always("/api/enterprise/federation/v1/replicators", 200, &[], r#"[{"metadata":{"name":"rbac"}}]"#);
    let both = r#"[{"metadata":{"name":"one"}},{"metadata":{"name":"two"}}]"#;
    server.always("/api/enterprise/federation/v1/etcd-replicators", 200, &[], both);
    server.always(RBAC, 200, &[], &comparison(&[place("alpha", None, 0), place("beta", Some("away"), 0)]));
    let etcd = |name: &str, body: String, status: u16| {
        let path = format!("/api/enterprise/federation/v1/etcd-replicators/{name}/diff");
        server.rule(move |asked| (asked.target == path).then(|| answer(status, &[], &body)));
    };
    etcd("one", comparison(&[place("http://a:2379", None, 2)]), 200);
    etcd("two", r#"{"code":1,"message":"no source"}"#.to_owned(), 400);
    let run = user.run(&["verify"]);
    let expected = "\
REPLICATOR  TYPE             CLUSTER        RESULT   OBJECTS  DIFFERENCES  TOOK   ERROR
rbac        replicator       alpha          equal    7        0            12 ms
rbac        replicator       beta           unknown  7        0            12 ms  away
one         etcd-replicator  http://a:2379  differs  7        2            12 ms
two         etcd-replicator                 unknown           0                   no source
";
    assert_eq!(run.stdout, expected);
    let line = "differs: one@http://a:2379; not compared: rbac@beta, two";
    assert_eq!((run.code, &*run.line()), (Some(1), line));
    let json = user.run(&["verify", "--format", "json"]);
    let report: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!((json.code, &report["equal"]), (Some(1), &false.into()));
    assert!(report["time"].is_string() && report["took_ms"].is_number());
    assert_eq!(report["verified"][0]["result"], "equal");
    assert_eq!(report["verified"][3]["error"], "no source");

    etcd("one", comparison(&[place("http://a:2379", None, 0)]), 200);
    assert_eq!(user.fails(&["verify"], 3), "not compared: rbac@beta, two");
    etcd("two", comparison(&[place("http://b:2379", None, 0)]), 200);
    server.always(RBAC, 200, &[], &comparison(&[place("alpha", None, 0)]));
    assert!(user.ok(&["verify"]).contains("two         etcd-replicator  http://b:2379  equal"));
    server.always(RBAC, 401, &[], "{}");
    assert_eq!(user.run(&["verify"]).code, Some(77));
}
