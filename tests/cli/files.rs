//! Files that cannot be sent.

use crate::{server::Server, user::User};

const GOOD: &str =
    "type: Cluster\napi_version: federation/v1\nmetadata: {name: good}\nspec: {api_urls: [\"https://a\"]}\n";

#[test]
fn a_bad_file_is_one_line_and_nothing_is_sent() {
    let server = Server::start();
    let user = User::of(&server);
    let good = user.write("good.yaml", GOOD);
    for (text, expected) in [
        ("", "bad.yaml is empty: it holds no resource"),
        ("\n# nothing\n---\n", "bad.yaml is empty: it holds no resource"),
        (
            "type: Cluster\napi_version: federation/v1\nmetadata:\n\tname: x\nspec: {}\n",
            "bad.yaml, document 1, line 4: is indented with a tab: YAML takes only spaces",
        ),
        (
            "type: Cluser\napi_version: federation/v1\nmetadata: {name: x}\nspec: {}\n",
            "bad.yaml, document 1, line 1: unknown type \"Cluser\" of \"federation/v1\"",
        ),
        (
            "type: Cluster\nmetadata: {name: x}\nspec: {}\n",
            "bad.yaml, document 1, line 1: unknown type \"Cluster\" of \"core/v2\": did you mean api_version federation/v1?",
        ),
        ("type: Asset\nspec: {}\n", "bad.yaml, document 1, line 1: has no metadata.name"),
        ("type: Asset\nmetadata: {name: a}\n", "bad.yaml, document 1, line 1: has no spec"),
        ("name: a\n", "bad.yaml, document 1, line 1: has no type"),
        ("type: [\n", "bad.yaml, document 1, line 1: is not valid YAML: unclosed bracket '['"),
        (
            "type: Asset\nmetadata: {name: a}\nmetadata: {name: b}\nspec: {}\n",
            "bad.yaml, document 1, line 1: has the key metadata twice: is there a line --- missing between two resources?",
        ),
        (
            "{\"type\": \"Asset\",\n",
            "bad.yaml, document 1, line 2: is not valid JSON: EOF while parsing an object",
        ),
        (
            "type: APIKey\nmetadata: {name: k}\nspec: {username: ann}\n",
            "bad.yaml, document 1, line 1: APIKey \"k\": Sensu names API keys itself: make one with sensuctl api-key grant",
        ),
    ] {
        let bad = user.write("bad.yaml", text);
        for command in ["create", "delete"] {
            if command == "delete" && text.contains("APIKey") {
                continue;
            }
            assert_eq!(user.fails(&[command, "-f", &good, "-f", &bad], 78), expected, "{text}");
        }
    }
    assert_eq!(
        user.fails(&["create", "-f", "none.yaml"], 78),
        "cannot read none.yaml: No such file or directory (os error 2)"
    );
    std::fs::write(user.home().join("latin1.yaml"), b"type: \xe4").unwrap();
    assert_eq!(user.fails(&["create", "-f", "latin1.yaml"], 78), "latin1.yaml is not UTF-8 text");
    let done = user.run_with(&["create"], "");
    assert_eq!(
        (done.code, done.line().as_str()),
        (Some(78), "standard input is empty: it holds no resource")
    );
    assert_eq!(server.take_lines(), Vec::<String>::new(), "nothing was sent");
}

#[test]
fn json_arrays_streams_and_yaml_lists_are_accepted() {
    let server = Server::start();
    let user = User::of(&server);
    let one = |name: &str| {
        format!(
            r#"{{"type":"Cluster","api_version":"federation/v1","metadata":{{"name":"{name}"}},"spec":{{"api_urls":["https://x"]}}}}"#
        )
    };
    let (a, b) = (one("a"), one("b"));
    for text in
        [format!("[{a},{b}]"), format!("{a}\n{b}"), format!("{a}\n---\n{b}\n"), format!("- {a}\n- {b}\n")]
    {
        let done = user.run_with(&["create", "-f", "-"], &text);
        assert_eq!(done.code, Some(0), "{text}: {}", done.stderr);
        assert_eq!(done.stdout, "applied Cluster \"a\"\napplied Cluster \"b\"\n");
    }
}

#[test]
fn control_characters_in_a_file_are_escaped() {
    let server = Server::start();
    let user = User::of(&server);
    let text = "type: Asset\nmetadata: {name: \"n\\e[2J\", namespace: \"a\\e[31m\\u202eb\"}\nspec: {}\n";
    let file = user.write("evil\u{1b}[31m.yaml", text);
    server.always("/api", 201, &[], "");
    let line = user.fails(&["create", "-f", &file], 78);
    assert!(line.contains("has the namespace \"a\\u{1b}[31m\\u{202e}b\", but Sensu takes only"), "{line}");
    user.write(&file, "type: [");
    assert!(user.fails(&["create", "-f", &file], 78).starts_with("evil\\u{1b}[31m.yaml, document 1"));
}

#[test]
fn mistakes_in_the_arguments_are_usage_errors() {
    let server = Server::start();
    let user = User::of(&server);
    for args in [
        vec!["list"],
        vec!["create", "--nonsense"],
        vec!["delete", "check", "y", "-f", "x"],
        vec!["delete", "check", "y", "--recursive"],
        vec!["list", "check", "--chunk-size=-1"],
        vec!["list", "check", "--format", "xml"],
        vec!["list", "check", "--user", "a", "--api-key", "b"],
        vec!["list", "check", "--password-file", "x"],
    ] {
        assert_eq!(user.run(&args).code, Some(64), "{args:?}");
    }
    for (args, line) in [
        (vec!["list", "chekc"], "unknown type \"chekc\": did you mean check?"),
        (
            vec!["list", "check", "--url", "gw"],
            "--url must be http:// or https:// with a host, such as https://gateway.example.com",
        ),
        (
            vec!["list", "check", "--namespace", "a@"],
            "namespace \"a@\" is not valid: write <namespace> or <namespace>@<cluster>",
        ),
        (vec!["list", "check", "--timeout", "5"], "--timeout must be a duration such as 15s or 1m30s"),
        (
            vec!["list", "cluster", "--clusters", "a"],
            "--clusters does not apply: clusters belong to the gateway itself",
        ),
    ] {
        assert_eq!(user.fails(&args, 64), line);
    }
    let line = user.fails(&["list", "check", "--clusters", "a/b"], 64);
    assert!(line.starts_with("--clusters: cluster name \"a/b\" is not valid"), "{line}");
    let user = User::without_login();
    let line = user.fails(&["list", "check"], 78);
    assert_eq!(line, "no server: log in with fedgate configure, or give --url");
    let line = user.fails(&["list", "check", "--url", &server.url], 78);
    assert!(line.starts_with("not logged in to http://127.0.0.1:"), "{line}");
    assert_eq!(server.take_lines(), Vec::<String>::new(), "nothing was sent");
}
