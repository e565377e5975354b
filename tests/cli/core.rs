//! Sensu's own resources: the requests of sensuctl, and files that make a round trip.

use serde_json::{Value, json};

use crate::{
    server::{Asked, Server, answer},
    user::User,
};

/// One of each kind that can be created from a file.
const ONE_OF_EACH: &str = r#"
{"type":"Namespace","api_version":"core/v2","metadata":{},"spec":{"name":"web"}}
{"type":"ClusterRole","api_version":"core/v2","metadata":{"name":"reader"},"spec":{"rules":[{"verbs":["get"],"resources":["checks"],"resource_names":null}]}}
{"type":"ClusterRoleBinding","api_version":"core/v2","metadata":{"name":"readers"},"spec":{"role_ref":{"type":"ClusterRole","name":"reader"},"subjects":[{"type":"Group","name":"g"}]}}
{"type":"Asset","api_version":"core/v2","metadata":{"name":"org/a:1.0","namespace":"web"},"spec":{"url":"https://x/a.tar.gz","sha512":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}}
{"type":"CheckConfig","api_version":"core/v2","metadata":{"name":"cpu","namespace":"web","labels":{"a":"b"}},"spec":{"command":"check-cpu <\"&>","interval":60,"subscriptions":["linux"],"publish":true,"check_hooks":[{"critical":["h"]}]}}
{"type":"Entity","api_version":"core/v2","metadata":{"name":"e","namespace":"web"},"spec":{"entity_class":"proxy","subscriptions":["linux"]}}
{"type":"EventFilter","api_version":"core/v2","metadata":{"name":"f","namespace":"web"},"spec":{"action":"allow","expressions":["event.check.status != 0"],"runtime_assets":[]}}
{"type":"Handler","api_version":"core/v2","metadata":{"name":"hd","namespace":"web"},"spec":{"type":"pipe","command":"cat"}}
{"type":"HookConfig","api_version":"core/v2","metadata":{"name":"h","namespace":"web"},"spec":{"command":"ps\naux\n","timeout":10,"stdin":false}}
{"type":"Mutator","api_version":"core/v2","metadata":{"name":"m","namespace":"web"},"spec":{"command":"tr"}}
{"type":"Pipeline","api_version":"core/v2","metadata":{"name":"p","namespace":"web"},"spec":{"workflows":[{"name":"w","handler":{"name":"hd","type":"Handler","api_version":"core/v2"}}]}}
{"type":"Role","api_version":"core/v2","metadata":{"name":"r","namespace":"web"},"spec":{"rules":[{"verbs":["get"],"resources":["checks"],"resource_names":["cpu"]}]}}
{"type":"RoleBinding","api_version":"core/v2","metadata":{"name":"rb","namespace":"web"},"spec":{"role_ref":{"type":"Role","name":"r"},"subjects":[{"type":"User","name":"admin"}]}}
{"type":"Silenced","api_version":"core/v2","metadata":{"namespace":"web"},"spec":{"subscription":"linux","check":"cpu","reason":"work","expire":60}}
{"type":"TessenConfig","api_version":"core/v2","metadata":{},"spec":{"opt_out":true}}
"#;

#[test]
fn every_kind_is_put_where_sensuctl_puts_it() {
    let server = Server::start();
    let user = User::of(&server);
    let file = user.write("all.json", ONE_OF_EACH);
    user.ok(&["create", "-f", &file]);
    let asked = server.take_asked();
    let lines: Vec<String> = asked.iter().map(Asked::line).collect();
    assert_eq!(
        lines,
        [
            "PUT /api/core/v2/namespaces/web",
            "PUT /api/core/v2/clusterroles/reader",
            "PUT /api/core/v2/clusterrolebindings/readers",
            "PUT /api/core/v2/namespaces/web/assets/org%2Fa:1.0",
            "PUT /api/core/v2/namespaces/web/checks/cpu",
            "PUT /api/core/v2/namespaces/web/entities/e",
            "PUT /api/core/v2/namespaces/web/filters/f",
            "PUT /api/core/v2/namespaces/web/handlers/hd",
            "PUT /api/core/v2/namespaces/web/hooks/h",
            "PUT /api/core/v2/namespaces/web/mutators/m",
            "PUT /api/core/v2/namespaces/web/pipelines/p",
            "PUT /api/core/v2/namespaces/web/roles/r",
            "PUT /api/core/v2/namespaces/web/rolebindings/rb",
            "PUT /api/core/v2/namespaces/web/silenced/linux:cpu",
            "PUT /api/core/v2/tessen",
        ]
    );
    let expected = json!({"command": "check-cpu <\"&>", "interval": 60, "subscriptions": ["linux"], "publish": true,
        "check_hooks": [{"critical": ["h"]}], "metadata": {"name": "cpu", "namespace": "web",
        "labels": {"a": "b", "sensu.io/managed_by": "sensuctl"}}});
    assert_eq!(asked[4].json(), expected);
    assert_eq!(asked[0].json(), json!({"name": "web"}));
}

#[test]
fn a_dump_of_everything_can_be_created_again() {
    let server = Server::start();
    let user = User::of(&server);
    let file = user.write("all.json", ONE_OF_EACH);
    user.ok(&["create", "-f", &file]);
    server.sensu.seed_demo(7);
    let kinds = "namespace,cluster-role,cluster-role-binding,tessen,asset,check,entity,event,filter,handler,hook,\
                 mutator,pipeline,role,role-binding,silenced";
    let dump = |format: &str| user.ok(&["dump", kinds, "--all-namespaces", "--format", format]);
    let yaml = dump("yaml");
    // The first time, labels are added, as sensuctl does.
    let first = user.run_with(&["create"], &yaml);
    assert_eq!(first.code, Some(0), "{}", first.stderr);
    assert_eq!(first.stdout.lines().count(), yaml.lines().filter(|line| line.starts_with("type: ")).count());
    for format in ["yaml", "wrapped-json"] {
        let before = dump(format);
        let resources = without_clocks(&dump("wrapped-json"));
        assert!(resources.len() > 50, "{}", resources.len());
        let again = user.run_with(&["create", "-f", "-"], &before);
        assert_eq!(again.code, Some(0), "{}", again.stderr);
        let after = without_clocks(&dump("wrapped-json"));
        for (after, before) in after.iter().zip(&resources) {
            assert_eq!(after, before, "{format}");
        }
        assert_eq!(after.len(), resources.len());
    }
}

/// The resources without what the server sets by itself or from the clock.
fn without_clocks(json: &str) -> Vec<Value> {
    let items = serde_json::Deserializer::from_str(json).into_iter::<Value>().map(Result::unwrap);
    let strip = |mut item: Value| {
        if item["type"] == "Event" {
            let names = ["entity", "check"].map(|part| item["spec"][part]["metadata"].clone());
            return json!(names);
        }
        if item["type"] == "Silenced" {
            for key in ["begin", "expire", "expire_at"] {
                item["spec"].as_object_mut().unwrap().remove(key);
            }
        }
        item
    };
    items.map(strip).collect()
}

#[test]
fn namespaces_are_where_the_user_says() {
    let server = Server::start();
    let mut user = User::of(&server);
    server.always("/api/", 200, &[("fedgate-complete", "true")], "[]");
    let list = |user: &User, args: &[&str]| {
        user.ok(&[&["list"], args].concat());
        server.take_lines().pop().unwrap().trim_start_matches("GET ").to_owned()
    };
    assert_eq!(list(&user, &["check"]), "/api/core/v2/namespaces/default/checks");
    assert_eq!(
        list(&user, &["checks", "--namespace", "ops@alpha"]),
        "/api/core/v2/namespaces/ops@alpha/checks"
    );
    assert_eq!(list(&user, &["check", "--all-namespaces"]), "/api/core/v2/checks");
    assert_eq!(list(&user, &["namespace"]), "/api/core/v2/namespaces");
    assert_eq!(list(&user, &["user", "--all-namespaces"]), "/api/core/v2/users");
    assert_eq!(
        list(&user, &["event", "--clusters", "alpha,beta", "--all-namespaces", "--chunk-size", "7"]),
        "/api/core/v2/events?clusters=alpha,beta&limit=7"
    );
    assert_eq!(
        list(&user, &["check", "--clusters", "*"]),
        "/api/core/v2/namespaces/default/checks?clusters=*"
    );
    assert_eq!(
        list(&user, &["cluster", "--chunk-size", "2"]),
        "/api/enterprise/federation/v1/clusters?limit=2"
    );
    let both = ["list", "check", "--clusters", "alpha", "--namespace", "default@beta"];
    assert_eq!(user.fails(&both, 64), "--clusters and the namespace both name a cluster: give one of them");
    user.set("SENSU_NAMESPACE", "web");
    assert_eq!(list(&user, &["handler"]), "/api/core/v2/namespaces/web/handlers");
    let qualified = "type: CheckConfig\nmetadata: {name: a, namespace: default@alpha}\nspec: {}\n---\n\
                     type: Namespace\nspec: {name: ops@alpha}\n---\n\
                     type: Event\nspec: {entity: {metadata: {name: e, namespace: n@b}}, check: {metadata: {name: c}}}\n";
    let file = user.write("q.yaml", qualified);
    user.ok(&["create", "-f", &file]);
    let asked = server.take_asked();
    assert_eq!(asked[0].target, "/api/core/v2/namespaces/default@alpha/checks/a");
    assert_eq!(asked[0].json()["metadata"]["namespace"], "default@alpha");
    assert_eq!(asked[1].target, "/api/core/v2/namespaces/ops@alpha");
    assert_eq!(asked[2].target, "/api/core/v2/namespaces/n@b/events/e/c");
    assert_eq!(asked[2].json()["check"]["metadata"]["namespace"], "n@b");
}

#[test]
fn all_chunks_are_read_and_an_echoed_token_ends_the_list() {
    let server = Server::start();
    let user = User::of(&server);
    server.sensu.seed_demo(3);
    let unchunked = user.ok(&["list", "event", "--format", "json"]);
    server.take_lines();
    let chunked = user.ok(&["list", "event", "--format", "json", "--chunk-size", "3"]);
    assert_eq!(chunked, unchunked);
    let lines = server.take_lines();
    assert!(lines.len() > 2, "{lines:?}");
    assert!(
        lines[1].starts_with("GET /api/core/v2/namespaces/default/events?limit=3&continue="),
        "{lines:?}"
    );
    let tokens: std::collections::BTreeSet<&String> = lines.iter().collect();
    assert_eq!(tokens.len(), lines.len(), "each page once");

    server.always("/api/core/v2/namespaces/default/silenced", 200, &[("sensu-continue", "x/+=")], "[]");
    user.ok(&["list", "silenced", "--chunk-size", "1"]);
    let lines = server.take_lines();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[1].ends_with("&continue=x%2F%2B%3D"), "{lines:?}");
}

#[test]
fn events_have_two_names() {
    let server = Server::start();
    let user = User::of(&server);
    server.always(
        "/api/core/v2/namespaces/default/events/e/c",
        200,
        &[],
        r#"{"entity":{"metadata":{"name":"e"}},"check":{"metadata":{"name":"c"},"status":2}}"#,
    );
    let shown = user.ok(&["info", "event", "e", "c"]);
    assert!(shown.lines().any(|line| line.starts_with("Status:") && line.ends_with(" 2")), "{shown}");
    assert_eq!(user.ok(&["delete", "event", "e", "c"]), "deleted event \"e/c\"\n");
    assert_eq!(user.fails(&["info", "event", "e"], 64), "event takes two names: entity and check");
    assert_eq!(user.fails(&["info", "check", "a", "b"], 64), "check takes one name");
    assert_eq!(user.fails(&["info", "tessen", "x"], 64), "tessen takes no name");
    assert_eq!(user.fails(&["delete", "check", ".."], 64), "\"..\" cannot be a name");
}

#[test]
fn a_dump_of_all_reports_what_it_leaves_out() {
    let server = Server::start();
    let user = User::of(&server);
    for kind in ["clusters", "etcd-replicators"] {
        let target = if kind == "clusters" {
            "/api/enterprise/federation/v1/clusters"
        } else {
            "/api/enterprise/federation/v1/etcd"
        };
        server.always(target, 404, &[], r#"{"code":2,"message":"not found"}"#);
    }
    server.rule(|asked| {
        let refused = asked.target.starts_with("/api/core/v2/clusterroles");
        refused.then(|| answer(403, &[], r#"{"Code":4,"Message":"unauthorized to perform action"}"#))
    });
    let done = user.run(&["dump", "all"]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let notes: Vec<&str> = done.stderr.lines().collect();
    assert_eq!(notes.len(), 4, "{notes:#?}");
    assert!(notes[0].starts_with("fedgate: left out: clusters (http://127.0.0.1:"), "{notes:#?}");
    assert!(notes[0].ends_with("has no federation/v1: is it a fedgate?)"), "{notes:#?}");
    assert!(notes[1].starts_with("fedgate: left out: clusterroles (unauthorized"), "{notes:#?}");
    assert!(!done.stdout.contains("type: User"));
    // Named, it is an error.
    assert!(user.fails(&["dump", "cluster-role"], 77).contains("unauthorized"));
    let line = user.fails(&["dump", "user", "--clusters", "*"], 64);
    assert!(line.starts_with("users have no namespace to name their cluster"), "{line}");
}

#[test]
fn a_path_in_the_url_goes_before_every_path() {
    let server = Server::start();
    let user = User::of(&server);
    let url = format!("{}/c/alpha/", server.url);
    server.always(
        "/c/alpha/api/core/v2/namespaces/default/checks",
        200,
        &[],
        r#"[{"metadata":{"name":"a"},"command":"x"}]"#,
    );
    let table = user.ok(&["list", "check", "--url", &url]);
    assert_eq!(
        table.lines().nth(1).unwrap().split_whitespace().take(3).collect::<Vec<_>>(),
        ["a", "alpha", "x"]
    );
    let asked = server.take_asked();
    assert_eq!(asked[0].target, "/c/alpha/api/core/v2/namespaces/default/checks");
    assert!(asked[0].header("authorization").starts_with("Bearer "));
    assert_eq!(asked[0].header("user-agent"), concat!("fedgate/", env!("CARGO_PKG_VERSION")));
    let values: Vec<Value> =
        serde_json::from_str(&user.ok(&["list", "check", "--url", &url, "--format", "json"])).unwrap();
    assert_eq!(values, [json!({"metadata": {"name": "a"}, "command": "x"})]);
}
