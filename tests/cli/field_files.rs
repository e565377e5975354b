//! Files as people have them: each kind in several spellings, in YAML and JSON, for `create` and for `delete`.

use std::{fs, os::unix::fs::symlink};

use serde_json::{Value, json};

use crate::{
    server::{Asked, Server, answer},
    user::{Done, User},
};

const CHECK: &str = "{type: CheckConfig, metadata: {name: NAME}, spec: {command: 'true', interval: 60, subscriptions: [linux]}}\n";

fn check(name: &str) -> String {
    CHECK.replace("NAME", name)
}

fn json_check(name: &str) -> String {
    let value = json!({"type": "CheckConfig", "api_version": "core/v2", "metadata": {"name": name},
        "spec": {"command": "true", "interval": 60, "subscriptions": ["linux"]}});
    value.to_string()
}

/// Runs a command that must succeed; returns what it sent and what it said on the standard error.
fn sent(server: &Server, user: &User, args: &[&str]) -> (Vec<Asked>, String) {
    server.take_asked();
    let done = user.run(args);
    assert_eq!(done.code, Some(0), "{args:?}: {}", done.stderr);
    (server.take_asked(), done.stderr)
}

fn lines(asked: &[Asked]) -> Vec<String> {
    asked.iter().map(|asked| asked.line().replace("/api/core/v2/namespaces/default/", "")).collect()
}

#[test]
fn a_resource_met_twice_is_written_once_and_the_last_one_counts() {
    let server = Server::start();
    let user = User::of(&server);
    let (a, b) = (user.write("a.yaml", &check("x")), user.write("b.json", &json_check("x")));
    for files in [vec!["-f", &a, "-f", &b], vec!["-f", &a, &b], vec!["-f", "a.yaml,b.json"]] {
        for command in ["create", "delete"] {
            let (asked, notes) = sent(&server, &user, &[&[command], &files[..]].concat());
            let method = if command == "create" { "PUT" } else { "DELETE" };
            assert_eq!(lines(&asked), [format!("{method} checks/x")], "{files:?}");
            assert_eq!(notes, "");
        }
    }
    let other = user.write("c.yaml", &check("x").replace("60", "30"));
    let (asked, notes) = sent(&server, &user, &["create", "-f", &a, &other]);
    assert_eq!((asked.len(), asked[0].json()["interval"].clone()), (1, json!(30)));
    let note = "fedgate: c.yaml, document 1: CheckConfig \"x\" in default differs from that in a.yaml, document 1: the last one counts\n";
    assert_eq!(notes, note);
    let (asked, notes) = sent(&server, &user, &["delete", "-f", &a, &other]);
    assert_eq!((asked.len(), notes.as_str()), (1, ""), "what is in it does not matter");
}

#[test]
fn byte_order_marks_and_rules_of_dashes_separate_documents() {
    let server = Server::start();
    let user = User::of(&server);
    let (a, b, ja, jb) = (check("a"), check("b"), json_check("a"), json_check("b"));
    for text in [
        format!("{a}---\n\u{feff}{b}"),
        format!("\u{feff}---\n{a}\u{feff}---\n{b}"),
        format!("\u{feff}{ja}\n\u{feff}{jb}"),
        format!("{a}--------\n{b}-----\n"),
        format!("--- # one\n{a}---- two\n{jb}\n"),
        format!("{ja}\n----------\n{jb}"),
    ] {
        user.write("f", &text);
        for (command, method) in [("create", "PUT"), ("delete", "DELETE")] {
            let (asked, _) = sent(&server, &user, &[command, "-f", "f"]);
            assert_eq!(lines(&asked), [format!("{method} checks/a"), format!("{method} checks/b")], "{text}");
        }
    }
}

#[test]
fn whole_floats_are_sent_as_integers_and_others_are_refused_by_name() {
    let server = Server::start();
    let user = User::of(&server);
    let yaml =
        check("x").replace("interval: 60", "interval: 60.0, timeout: 3e+01, max_output_size: 1.048576e+06");
    let json = json_check("x")
        .replace("\"interval\":60", "\"interval\":60.0,\"timeout\":3e+01,\"max_output_size\":1.048576e+06");
    for text in [yaml, json] {
        user.write("f", &text);
        let (asked, _) = sent(&server, &user, &["create", "-f", "f"]);
        for part in [r#""interval":60,"#, r#""timeout":30,"#, r#""max_output_size":1048576"#] {
            assert!(asked[0].body.contains(part), "{}", asked[0].body);
        }
    }
    user.write("f", &check("x").replace("60", "0.5"));
    let line = user.fails(&["create", "-f", "f"], 78);
    assert_eq!(line, "f, document 1, line 1: has a spec.interval that is not whole: 0.5");
}

#[test]
fn edit_writes_integers_as_such() {
    let server = Server::start();
    let mut user = User::of(&server);
    user.write("f", &check("x"));
    user.ok(&["create", "-f", "f"]);
    user.edit_with("sed -i 's/interval: 60/interval: 90.0/' \"$1\"");
    assert_eq!(user.ok(&["edit", "check", "x"]), "updated check \"x\"\n");
    let put = server.take_asked().pop().unwrap();
    assert!(put.body.contains(r#""interval":90,"#), "{}", put.body);
    user.edit_with("sed -i 's/interval: 90/interval: 0.5/' \"$1\"");
    let line = user.fails(&["edit", "check", "x"], 1);
    assert!(line.starts_with("not saved: the resource has a spec.interval that is not whole: 0.5"), "{line}");
}

#[test]
fn outputs_can_be_appended_to_each_other() {
    let server = Server::start();
    let user = User::of(&server);
    let handler = "---\ntype: Handler\nmetadata: {name: h}\nspec: {type: pipe, command: cat}\n";
    user.write("f", &(check("x") + handler));
    user.ok(&["create", "-f", "f"]);
    let outputs = [
        vec!["dump", "check"],
        vec!["dump", "handler"],
        vec!["list", "check", "--format", "yaml"],
        vec!["info", "handler", "h", "--format", "yaml"],
    ];
    let texts = outputs.map(|args| user.ok(&args));
    assert!(texts.iter().all(|text| text.starts_with("---\n")), "{texts:?}");
    for pair in [[0, 1], [1, 2], [2, 3], [3, 0]] {
        user.write("f", &pair.map(|index| texts[index].clone()).concat());
        let (asked, notes) = sent(&server, &user, &["create", "-f", "f"]);
        assert_eq!((asked.len(), notes.as_str()), (2, ""));
    }
    // Made by something else, without the line between them.
    user.write("f", &texts[..2].concat().replace("---\n", ""));
    let line = user.fails(&["create", "-f", "f"], 78);
    assert!(
        line.ends_with("has the key type twice: is there a line --- missing between two resources?"),
        "{line}"
    );
}

#[test]
fn other_top_level_keys_are_ignored_with_one_note() {
    let server = Server::start();
    let user = User::of(&server);
    let yaml = "x-defaults: &defaults\n  interval: 60\n  subscriptions: [linux]\ntype: CheckConfig\nmetadata: {name: NAME}\n\
                spec:\n  <<: *defaults\n  command: 'true'\n";
    let two = format!("{}---\n{}", yaml.replace("NAME", "a"), yaml.replace("NAME", "b"));
    let json = json_check("a").replacen('{', "{\"x-defaults\":1,\"$schema\":\"y\",", 1);
    let texts = [(two.as_str(), "x-defaults", 2), (json.as_str(), "$schema, x-defaults", 1)];
    for (text, keys, count) in texts {
        user.write("f", text);
        for command in ["create", "delete"] {
            let (asked, notes) = sent(&server, &user, &[command, "-f", "f"]);
            assert_eq!(asked.len(), count);
            let note =
                format!("fedgate: ignored what is under {keys}, which no resource has (f, document 1)\n");
            assert_eq!(notes, note);
        }
    }
    user.write("f", &two);
    let (asked, _) = sent(&server, &user, &["create", "-f", "f"]);
    assert_eq!(asked[1].json()["interval"], 60);
}

#[test]
fn a_key_twice_is_the_same_in_yaml_and_json_and_said() {
    let server = Server::start();
    let user = User::of(&server);
    for text in
        [check("x").replace("60", "60, interval: 30"), json_check("x").replace("60", "60,\"interval\":30")]
    {
        user.write("f", &text);
        let (asked, notes) = sent(&server, &user, &["create", "-f", "f"]);
        assert_eq!(asked[0].json()["interval"], 30);
        assert_eq!(notes, "fedgate: f, document 1: has the key spec.interval twice: the last one counts\n");
    }
}

#[test]
fn the_cluster_of_a_listed_resource_is_understood() {
    let server = Server::start();
    let user = User::of(&server);
    let of = |cluster: &str, kind: &str, name: &str| {
        format!(
            "{{type: {kind}, cluster: {cluster}, metadata: {{name: {name}}}, spec: {{name: {name}, command: 'true'}}}}\n"
        )
    };
    server.always("/api", 200, &[], "");
    for (cluster, kind, name, target) in [
        ("alpha", "CheckConfig", "x", "/api/core/v2/namespaces/default@alpha/checks/x"),
        ("local-cluster", "CheckConfig", "x", "/api/core/v2/namespaces/default/checks/x"),
        ("alpha", "Namespace", "ops", "/api/core/v2/namespaces/ops@alpha"),
        ("local-cluster", "ClusterRole", "x", "/api/core/v2/clusterroles/x"),
    ] {
        user.write("f", &of(cluster, kind, name));
        for command in ["create", "delete"] {
            let (asked, notes) = sent(&server, &user, &[command, "-f", "f"]);
            assert_eq!((asked[0].target.as_str(), notes.as_str()), (target, ""));
            if command == "create" {
                assert!(asked[0].json().get("cluster").is_none());
            }
        }
    }
    user.write("f", &of("alpha", "ClusterRole", "x"));
    let line = user.fails(&["create", "-f", "f"], 78);
    let expected = "f, document 1 (ClusterRole \"x\") is of cluster \"alpha\": give --url …/c/alpha for those of its kind";
    assert_eq!(line, expected);
    user.write(
        "f",
        &of("alpha", "CheckConfig", "x").replace("name: x}, spec", "name: x, namespace: a@beta}, spec"),
    );
    assert!(user.fails(&["create", "-f", "f"], 78).ends_with("give one of them"));
    assert_eq!(server.take_lines(), Vec::<String>::new());
}

#[test]
fn types_are_spelled_as_sensus_resolver_spells_them() {
    let server = Server::start();
    let user = User::of(&server);
    let mut text = String::new();
    for (version, kind) in [
        ("core/v2", "check_config"),
        ("core/v2", "check"),
        ("core/v2", "Check"),
        ("core/v2.6.0", "CheckConfig"),
        ("core/2", "CheckConfig"),
    ] {
        text += "---\n";
        text += &check(&format!("x{}", text.len()))
            .replace("CheckConfig,", &format!("{kind}, api_version: {version},"));
    }
    text += "---\ntype: hook_config\nmetadata: {name: h}\nspec: {command: ls, timeout: 5}\n---\ntype: event_filter\n\
             metadata: {name: f}\nspec: {action: allow, expressions: ['true']}\n---\ntype: cluster_role\nmetadata: {name: c}\n\
             spec: {rules: [{verbs: [get], resources: [checks]}]}\n---\nTYPE: Asset\nAPI_Version: core/v2\nMetadata: {Name: a}\n\
             Spec: {url: 'https://x', sha512: AAAA}\n"
        .replace("AAAA", &"a".repeat(128))
        .as_str();
    user.write("f", &text);
    let (asked, notes) = sent(&server, &user, &["create", "-f", "f"]);
    assert_eq!((asked.len(), notes.as_str()), (9, ""));
    assert_eq!(asked.iter().filter(|asked| asked.target.contains("/checks/x")).count(), 5);
}

#[test]
fn everything_that_cannot_be_applied_is_named_before_the_first_write() {
    let server = Server::start();
    let user = User::of(&server);
    let secret = "type: Secret\napi_version: secrets/v1\nmetadata: {name: s}\nspec: {provider: env, id: S}\n";
    let text = [
        &check("a"),
        secret,
        "type: ldap\napi_version: authentication/v2\nmetadata: {name: l}\nspec: {}\n",
        &check("b"),
    ]
    .join("---\n");
    user.write("f", &text);
    for (command, method) in [("create", "PUT"), ("delete", "DELETE")] {
        let done = user.run(&[command, "-f", "f"]);
        let expected = "fedgate: f, document 2, line 3: unknown type \"Secret\" of \"secrets/v1\": only Sensu's commercial edition has it\n\
                        fedgate: f, document 3, line 8: unknown type \"ldap\" of \"authentication/v2\": only Sensu's commercial edition has it\n\
                        fedgate: nothing was sent: 2 documents or files cannot be used: --skip-unknown leaves them out\n";
        assert_eq!((done.code, done.stdout.as_str(), done.stderr.as_str()), (Some(78), "", expected));
        assert_eq!(server.take_lines(), Vec::<String>::new());
        let (asked, notes) = sent(&server, &user, &[command, "-f", "f", "--skip-unknown"]);
        assert_eq!(lines(&asked), [format!("{method} checks/a"), format!("{method} checks/b")]);
        assert_eq!(
            notes.lines().filter(|line| line.starts_with("fedgate: skipped: f, document ")).count(),
            2,
            "{notes}"
        );
    }
    // What is malformed is not skipped, whatever else there is.
    user.write("g", "type: Asset\nspec: {}\n---\ntype: Handler\nmetadata: {name: a b}\nspec: {}\n");
    let done = user.run(&["create", "--skip-unknown", "-f", "f", "g", "none"]);
    assert_eq!((done.code, server.take_lines().len()), (Some(78), 0));
    let last = done.stderr.lines().last().unwrap();
    assert_eq!(last, "fedgate: nothing was sent: 3 documents or files cannot be used");
}

#[test]
fn directories_are_read_by_name_and_on_request_with_those_in_them() {
    let server = Server::start();
    let user = User::of(&server);
    let home = user.home();
    fs::create_dir_all(home.join("d/deep/er")).unwrap();
    fs::create_dir_all(home.join("elsewhere")).unwrap();
    for (file, text) in [
        ("d/b.yaml", check("b")),
        ("d/a.json", json_check("a")),
        ("d/c.YML", check("c")),
        ("d/README.md", "not: [yaml".into()),
        ("d/deep/d.yml", check("d")),
        ("d/deep/er/e.yaml", check("e")),
        ("elsewhere/f.yaml", check("f")),
    ] {
        user.write(file, &text);
    }
    symlink("../elsewhere/f.yaml", home.join("d/z.yaml")).unwrap();
    symlink("../elsewhere", home.join("d/circle")).unwrap();
    symlink("..", home.join("d/deep/up")).unwrap();
    symlink("d", home.join("link")).unwrap();
    let top = ["PUT checks/a", "PUT checks/b", "PUT checks/c", "PUT checks/f"];
    let all =
        ["PUT checks/a", "PUT checks/b", "PUT checks/c", "PUT checks/d", "PUT checks/e", "PUT checks/f"];
    let url = format!("file://{}/d", home.display());
    for directory in ["d", "d/", "link", "./d", &url] {
        assert_eq!(lines(&sent(&server, &user, &["create", "-f", directory]).0), top, "{directory}");
        assert_eq!(lines(&sent(&server, &user, &["create", "-rf", directory]).0), all, "{directory}");
        assert_eq!(lines(&sent(&server, &user, &["create", "--recursive", "-f", directory]).0), all);
    }
    let deleted = lines(&sent(&server, &user, &["delete", "-r", "-f", "d"]).0);
    assert_eq!(deleted, all.map(|line| line.replace("PUT", "DELETE")));
}

#[test]
fn several_files_are_named_with_commas_and_one_with_a_comma_is_itself() {
    let server = Server::start();
    let user = User::of(&server);
    user.write("a.yaml", &check("a"));
    user.write("b.yaml", &check("b"));
    user.write("a.yaml,b", &check("c"));
    assert_eq!(
        lines(&sent(&server, &user, &["create", "-f", "a.yaml,b.yaml"]).0),
        ["PUT checks/a", "PUT checks/b"]
    );
    assert_eq!(lines(&sent(&server, &user, &["create", "-f", "a.yaml,b"]).0), ["PUT checks/c"]);
    let done: Done = user.run_with(&["create", "-f", "a.yaml,-"], &check("d"));
    assert_eq!((done.code, done.stdout.lines().count()), (Some(0), 2));
    fs::create_dir_all(user.home().join("e/f")).unwrap();
    let line = user.fails(&["create", "-f", "e"], 78);
    assert_eq!(line, "e holds no .yaml, .yml or .json file: -r looks into the directories in it");
    assert_eq!(user.fails(&["create", "-r", "-f", "e"], 78), "e holds no .yaml, .yml or .json file");
}

#[test]
fn files_are_read_from_urls_without_the_users_credential() {
    let server = Server::start();
    let user = User::of(&server);
    let other = Server::start();
    other.rule(|asked| {
        Some(match asked.target.as_str() {
            "/moved?x=1" => answer(302, &[("location", "/a.yaml")], ""),
            "/a.yaml" => answer(200, &[("content-type", "text/plain")], &check("a")),
            "/page" => {
                answer(200, &[("content-type", "text/html; charset=utf-8")], "<title>Index of /</title>")
            }
            "/untold" => answer(200, &[], "\u{feff}\n<!DOCTYPE html>\n<html>"),
            "/login?back=hunter2" => {
                answer(200, &[("content-type", "application/xhtml+xml")], "<?xml version=\"1.0\"?>")
            }
            "/private?token=hunter2" => answer(302, &[("location", "/login?back=hunter2")], ""),
            "/mislabelled" => answer(200, &[("content-type", "text/html")], &check("a")),
            "/circle" => answer(301, &[("location", "circle")], ""),
            _ => answer(404, &[], ""),
        })
    });
    for path in ["/a.yaml", "/moved?x=1", "/a.yaml#part", "/mislabelled"] {
        let (asked, _) = sent(&server, &user, &["create", "-f", &format!("{}{path}", other.url)]);
        assert_eq!(lines(&asked), ["PUT checks/a"]);
        assert!(other.take_asked().iter().all(|asked| asked.headers.get("authorization").is_none()));
    }
    for (path, reason) in [
        (
            "/page",
            "it is a web page, such as a login or a list of files: give the address of the file itself (\"raw\")",
        ),
        (
            "/untold",
            "it is a web page, such as a login or a list of files: give the address of the file itself (\"raw\")",
        ),
        ("/none", "the server answered 404 Not Found"),
        ("/circle", "it redirects without end"),
    ] {
        let url = format!("{}{path}", other.url);
        assert_eq!(user.fails(&["create", "-f", &url], 78), format!("cannot read {url}: {reason}"));
    }
    let private = format!("{}/private?token=hunter2", other.url);
    let line = user.fails(&["create", "-f", &private], 78);
    assert!(line.contains(&format!(": redirected to {}/login: it is a web page", other.url)), "{line}");
    user.write("saved.yaml", "<!doctype html><title>Sign in</title>");
    assert_eq!(
        user.fails(&["create", "-f", "saved.yaml"], 78),
        "saved.yaml holds no resources: it is a web page, such as a login or a list of files"
    );
    let line = user.fails(&["create", "-f", "ftp://a/b"], 78);
    assert_eq!(line, "cannot read ftp://a/b: it must be http:// or https:// with a host");
    assert_eq!(server.take_lines(), Vec::<String>::new());
}

#[test]
fn a_namespace_that_cannot_be_is_found_before_the_first_write() {
    let server = Server::start();
    let user = User::of(&server);
    let handler = |namespace: Value| json!({"type": "Handler", "metadata": {"name": "h", "namespace": namespace}, "spec": {}});
    for namespace in [json!("a@"), json!("@alpha"), json!("a b"), json!("a@b@c"), json!("."), json!(7)] {
        let first: Value = serde_json::from_str(&json_check("a")).unwrap();
        user.write("f", &json!([first, handler(namespace)]).to_string());
        let line = user.fails(&["create", "-f", "f"], 78);
        assert!(line.starts_with("f, document 2, line 1: ") && line.contains("namespace"), "{line}");
    }
    assert_eq!(server.take_lines(), Vec::<String>::new());
}
