//! What people type who come from sensuctl: every command and option of sensuctl 6.12 works, or is refused in words.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::{Value, json};

use crate::{
    server::{Server, answer},
    user::User,
};

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The rows of the table in the manual: what sensuctl has, and whether fedgate refuses it.
fn rows() -> Vec<(BTreeSet<String>, bool)> {
    let page = read("docs/cli.md");
    let section =
        page.split("## Coming from sensuctl").nth(1).unwrap().split("\n## ").next().unwrap().to_owned();
    let rows = section.lines().filter(|line| line.starts_with("| `") && !line.starts_with("| `sensuctl`"));
    rows.map(|row| {
        let mut cells = row.trim_matches('|').split(" | ");
        let codes = cells.next().unwrap().split('`').skip(1).step_by(2).map(str::to_owned).collect();
        (codes, cells.next().unwrap().trim().starts_with("**no**"))
    })
    .collect()
}

/// What the table says of a command, or of one option of it: whether it is refused. A row with the command's own name goes
/// before one of all types.
fn listed(rows: &[(BTreeSet<String>, bool)], command: &str, option: Option<&str>) -> Option<bool> {
    let (_, verb) = command.split_once(' ').unwrap_or(("", command));
    let of_option = |name: &str| option.map(|option| format!("{name} {option}"));
    let all = format!("TYPE {verb}");
    let names = [of_option(command), of_option(&all), Some(command.to_owned()), Some(all)];
    names
        .iter()
        .flatten()
        .find_map(|name| rows.iter().find(|(codes, _)| codes.contains(name)).map(|(_, refused)| *refused))
}

/// A value that the option takes.
fn value(command: &str, option: &str, is_global: bool) -> String {
    let subject = command.split(' ').next().unwrap().replace('-', "_");
    let is_made = command.ends_with(" create");
    match option {
        "--format" if command.starts_with("dump") || command.starts_with("describe") => "wrapped-json".into(),
        "--format" => "json".into(),
        "--field-selector" => format!("{subject}.name == x"),
        "--label-selector" => "region == eu".into(),
        "--chunk-size"
        | "--interval"
        | "--ttl"
        | "--expire"
        | "--high-flap-threshold"
        | "--low-flap-threshold" => "5".into(),
        "--timeout" if is_made && !is_global => "5".into(),
        "--timeout" => "5s".into(),
        "--begin" => "now".into(),
        "--api-url" => "http://127.0.0.1:1".into(),
        "--shell" => "bash".into(),
        "--omit" => "core/v2.Event".into(),
        "--config-dir" => "configuration".into(),
        _ => "x".into(),
    }
}

#[test]
fn every_option_of_sensuctl_works_or_is_refused_as_the_manual_says() {
    let mut user = User::without_login();
    user.set("SENSU_API_URL", "http://127.0.0.1:1");
    user.set("SENSU_API_KEY", "key");
    let rows = rows();
    let recorded: Value = serde_json::from_str(&read("tests/data/sensuctl-6.12/commands.json")).unwrap();
    let mut wrong = Vec::new();
    let mut tried = 0;
    let mut attempt = |command: &str, option: Option<&str>, args: Vec<String>| {
        tried += 1;
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let done = user.run(&args);
        let is_said = done.stderr.lines().count() == 1 && done.stderr.starts_with("fedgate: ");
        let is_refused = done.code == Some(64) && is_said;
        if done.code == Some(64) && !is_said {
            wrong.push(format!("{args:?}: {}", done.stderr.lines().next().unwrap_or_default()));
        } else if listed(&rows, command, option) != Some(is_refused) {
            wrong.push(format!("{args:?}: refused is {is_refused}: {}", done.stderr));
        }
    };
    for (command, it) in recorded["commands"].as_object().unwrap() {
        let words: Vec<String> = command.split(' ').map(str::to_owned).collect();
        let given: Vec<String> = serde_json::from_value(it["arguments"].clone()).unwrap();
        let own: Vec<&Value> = it["options"].as_array().unwrap().iter().collect();
        let argument = |option: &Value, is_global| {
            let long = option["names"][0].as_str().unwrap();
            option["takes_value"].as_bool().unwrap().then(|| value(command, long, is_global))
        };
        // All of those that every command has at once, behind it and before it.
        let mut global = Vec::new();
        for option in recorded["global"].as_array().unwrap() {
            let long = option["names"][0].as_str().unwrap();
            // It is logged in with a password; what a resource has under that name is its own.
            if own.iter().all(|own| own["names"][0] != long)
                && !(command == "configure" && long == "--api-key")
            {
                global.push(long.to_owned());
                global.extend(argument(option, true));
            }
        }
        attempt(command, None, [&global[..], &words[..], &given[..]].concat());
        if matches!(command.as_str(), "version" | "completion" | "user hash-password") {
            global.clear();
        }
        attempt(command, None, [&words[..], &given[..], &global[..]].concat());
        for option in &own {
            let long = option["names"][0].as_str().unwrap();
            // A silence is named by its name, or by what it silences.
            let is_half = command.starts_with("silenced ") && matches!(long, "--check" | "--subscription");
            let given = if is_half && !command.ends_with("create") { Vec::new() } else { given.clone() };
            for name in option["names"].as_array().unwrap() {
                let name = name.as_str().unwrap();
                let mut args = [&words[..], &given[..]].concat();
                if let Some(place) = args.iter().position(|arg| arg == long || arg == name) {
                    args[place] = name.to_owned();
                } else {
                    args.push(name.to_owned());
                    args.extend(argument(option, false));
                }
                attempt(command, Some(long), args);
            }
        }
    }
    assert!(tried > 500, "{tried}");
    assert!(wrong.is_empty(), "{} of {tried}:\n{}", wrong.len(), wrong.join("\n"));
}

fn spec(user: &User, args: &[&str]) -> Value {
    serde_json::from_str(&user.ok(&[&["info"], args, &["--format", "json"]].concat())).unwrap()
}

#[test]
fn a_resource_is_made_of_options_in_either_order() {
    let server = Server::start();
    let user = User::of(&server);
    user.ok(&["namespace", "create", "ops"]);
    let made = user.ok(&[
        "--namespace",
        "ops",
        "check",
        "create",
        "disk",
        "--command",
        "check-disk -w 80",
        "--interval",
        "60",
        "-s",
        "linux, web",
        "--runtime-assets",
        "a,b",
        "--publish=false",
        "--stdin",
        "--timeout",
        "10",
    ]);
    assert_eq!(made, "created CheckConfig \"disk\" in ops\n");
    let check = spec(&user, &["check", "disk", "--namespace", "ops"]);
    assert_eq!(check["subscriptions"], json!(["linux", "web"]));
    assert_eq!(check["runtime_assets"], json!(["a", "b"]));
    assert_eq!((&check["interval"], &check["timeout"]), (&json!(60), &json!(10)));
    assert_eq!(
        (&check["publish"], &check["stdin"], &check["command"]),
        (&json!(false), &json!(true), &json!("check-disk -w 80"))
    );
    assert_eq!(check["metadata"]["labels"], Value::Null, "it is of no file");
    let again = user
        .fails(&["create", "check", "disk", "--command", "x", "-i", "1", "-s", "x", "--namespace", "ops"], 1);
    assert!(again.starts_with("CheckConfig \"disk\" in ops: "), "{again}");

    user.ok(&[
        "cluster-role",
        "create",
        "reader",
        "--verb=get,list",
        "--resource=checks",
        "--resource",
        "events",
    ]);
    let role = spec(&user, &["cluster-role", "reader"]);
    assert_eq!(role["rules"][0]["verbs"], json!(["get", "list"]));
    assert_eq!(role["rules"][0]["resources"], json!(["checks", "events"]));
    user.ok(&[
        "cluster-role-binding",
        "create",
        "readers",
        "--cluster-role=reader",
        "--user=bot",
        "-g",
        "a,b",
    ]);
    let binding = spec(&user, &["cluster-role-binding", "readers"]);
    assert_eq!(binding["role_ref"], json!({"type": "ClusterRole", "name": "reader"}));
    assert_eq!(binding["subjects"].as_array().unwrap().len(), 3);
    let url = server.url.as_str();
    user.ok(&[
        "asset",
        "create",
        "a",
        "--url",
        "https://assets.example.com/a",
        "--sha512",
        &"a".repeat(128),
        "--api-url",
        url,
    ]);
    assert_eq!(spec(&user, &["asset", "a"])["url"], "https://assets.example.com/a");
    user.ok(&["handler", "create", "tcp", "--type", "tcp", "--socket-host", "h", "--socket-port", "8089"]);
    assert_eq!(spec(&user, &["handler", "tcp"])["socket"], json!({"host": "h", "port": 8089}));
    user.ok(&["silenced", "create", "-s", "linux", "-c", "cpu", "-e", "3600", "-r", "disks", "-x"]);
    let silence = spec(&user, &["silenced", "linux:cpu"]);
    assert_eq!((&silence["expire_on_resolve"], &silence["reason"]), (&json!(true), &json!("disks")));
    user.ok(&["silenced", "delete", "--subscription", "linux", "--check", "cpu", "--skip-confirm"]);
    for (args, what) in [
        (
            &["check", "create", "c", "--command", "x", "--interval", "1m", "-s", "x"][..],
            "check: --interval: \"1m\" is no whole number",
        ),
        (&["role-binding", "create", "b", "--role", "r"], "role-binding: give --user, --group or both"),
        (&["silenced", "create", "-r", "x"], "silenced: give --subscription, --check or both"),
        (
            &["silenced", "create", "-r", "x", "-c", "x", "-b", "soon"],
            "silenced: --begin \"soon\" must be now, or an instant",
        ),
        (
            &["handler", "create", "h", "--socket-port", "1"],
            "handler: a socket needs --socket-host and --socket-port",
        ),
        (&["check", "create", "a/b", "--command", "x", "-s", "x"], "CheckConfig has the name \"a/b\""),
    ] {
        let line = user.fails(args, 64);
        assert!(line.starts_with(what), "{line}");
    }
}

#[test]
fn what_only_one_type_has_is_done() {
    let server = Server::start();
    let user = User::of(&server);
    user.ok(&[
        "check",
        "create",
        "cpu",
        "--command",
        "x",
        "--interval",
        "60",
        "-s",
        "linux",
        "--handlers",
        "slack",
    ]);
    server.take_asked();
    user.ok(&["check", "execute", "cpu", "--reason", "now", "-s", "a,b"]);
    let asked = server.take_asked();
    assert_eq!(asked[0].line(), "POST /api/core/v2/namespaces/default/checks/cpu/execute");
    assert_eq!(asked[0].json(), json!({"name": "cpu", "reason": "now", "subscriptions": ["a", "b"]}));
    for (args, key, value) in [
        (&["check", "set-interval", "cpu", "30"][..], "interval", json!(30)),
        (&["check", "set-command", "cpu", "-x --y"], "command", json!("-x --y")),
        (&["check", "set-cron", "cpu", "0 0 * * *"], "cron", json!("0 0 * * *")),
        (&["check", "set-subscriptions", "cpu", "a,b"], "subscriptions", json!(["a", "b"])),
        (&["check", "set-publish", "cpu", "false"], "publish", json!(false)),
        (&["check", "set-ttl", "cpu", "90"], "ttl", json!(90)),
        (&["check", "remove-ttl", "cpu"], "ttl", json!(0)),
        (&["check", "remove-handlers", "cpu"], "handlers", json!([])),
    ] {
        assert_eq!(user.ok(args), "updated check \"cpu\"\n");
        assert_eq!(spec(&user, &["check", "cpu"])[key], value, "{args:?}");
    }
    assert_eq!(spec(&user, &["check", "cpu"])["interval"], 0, "a schedule takes the place of an interval");
    let file = user.write("proxy.json", r#"{"entity_attributes": ["entity.entity_class == 'proxy'"]}"#);
    user.ok(&["check", "set-proxy-requests", "cpu", "-f", &file]);
    assert_eq!(spec(&user, &["check", "cpu"])["proxy_requests"]["splay_coverage"], 90);
    user.ok(&["check", "remove-proxy-requests", "cpu"]);
    assert_eq!(spec(&user, &["check", "cpu"])["proxy_requests"], Value::Null);
    user.ok(&["check", "set-hooks", "cpu", "--type", "critical", "--hooks", "h"]);
    assert_eq!(spec(&user, &["check", "cpu"])["check_hooks"], json!([{"critical": ["h"]}]));
    user.ok(&["check", "remove-hook", "cpu", "critical", "h"]);

    let event = "type: Event\nspec:\n  entity: {metadata: {name: e}, entity_class: proxy}\n  \
                 check: {metadata: {name: c}, interval: 1, status: 2, output: bad}\n";
    let file = user.write("event.yaml", event);
    user.ok(&["create", "-f", &file]);
    assert_eq!(user.ok(&["event", "resolve", "e", "c"]), "resolved event \"e/c\"\n");
    assert_eq!(spec(&user, &["event", "e", "c"])["check"]["status"], 0);
    assert!(user.fails(&["event", "resolve", "e", "none"], 1).starts_with("event \"e/none\": "));

    let granted = user.ok(&["api-key", "grant", "admin"]);
    let key = granted.trim_end().strip_prefix("Created: /api/core/v2/apikeys/").unwrap();
    user.ok(&["api-key", "info", key]);
    user.ok(&["api-key", "revoke", key, "--skip-confirm"]);
    user.ok(&["tessen", "opt-out", "--skip-confirm"]);
    assert_eq!(spec(&user, &["tessen"])["opt_out"], true);
    assert!(user.ok(&["cluster", "id"]).starts_with("sensu cluster id: "));
    assert!(user.ok(&["cluster", "health"]).contains("HEALTHY"));
    assert!(user.ok(&["version"]).starts_with("fedgate version "));
    assert!(user.ok(&["dump", "--types"]).contains("core/v2.CheckConfig\n"));
    let described: Value =
        serde_json::from_str(&user.ok(&["describe-type", "check", "--format", "json"])).unwrap();
    assert_eq!(
        described[0],
        json!({"name": "core/v2.CheckConfig", "short_name": "checks", "api_version": "core/v2",
        "type": "CheckConfig", "namespaced": true})
    );
}

#[test]
fn users_passwords_and_groups_change() {
    let server = Server::start();
    let mut user = User::of(&server);
    user.ok(&["user", "create", "bot", "--password", "long enough", "--groups", "a, b"]);
    let groups = |user: &User| spec(user, &["user", "bot"])["groups"].clone();
    assert_eq!(groups(&user), json!(["a", "b"]));
    user.ok(&["user", "add-group", "bot", "c"]);
    user.ok(&["user", "remove-group", "bot", "a"]);
    assert_eq!(groups(&user), json!(["b", "c"]));
    user.ok(&["user", "set-groups", "bot", "x,y"]);
    assert_eq!(groups(&user), json!(["x", "y"]));
    user.ok(&["user", "remove-groups", "bot"]);
    user.ok(&["user", "disable", "bot", "--skip-confirm"]);
    assert_eq!(spec(&user, &["user", "bot"])["disabled"], true);
    user.ok(&["user", "reinstate", "bot"]);
    user.ok(&["user", "test-creds", "bot", "--password", "long enough"]);
    let line = user.fails(&["user", "test-creds", "bot", "--password", "wrong one"], 77);
    assert!(line.ends_with("refuses user \"bot\" or the password"), "{line}");
    server.take_asked();
    user.run(&["user", "reset-password", "bot", "--password", "another one"]);
    let asked = server.take_asked();
    assert_eq!(asked[0].line(), "PUT /api/core/v2/users/bot/reset_password");
    let hash = asked[0].json()["password_hash"].as_str().unwrap().to_owned();
    assert!(bcrypt::verify("another one", &hash).unwrap());
    user.run(&["user", "change-password", "-c", "P@ssw0rd!", "-p", "another one"]);
    let asked = server.take_asked();
    assert_eq!(asked[0].line(), "PUT /api/core/v2/users/admin/password", "one's own, by default");
    assert_eq!(asked[0].json()["password"], "P@ssw0rd!");
    let hash = user.ok(&["user", "hash-password", "another one"]);
    assert!(bcrypt::verify("another one", hash.trim_end()).unwrap());
    assert_eq!(user.fails(&["user", "hash-password", "short"], 64), "a password has at least 8 characters");
    assert_eq!(
        user.fails(&["user", "create", "x"], 64),
        "no password: give it as an option, or at a terminal"
    );
    user.set("SENSU_NAMESPACE", "default");
}

#[test]
fn lists_are_selected_from_also_when_the_server_does_not() {
    let server = Server::start();
    let user = User::of(&server);
    for (name, label) in [("a", "eu"), ("b", "us"), ("c", "eu")] {
        let text = format!(
            "type: Entity\nmetadata: {{name: {name}, labels: {{region: {label}}}}}\nspec: {{entity_class: proxy, subscriptions: [{name}, all]}}\n"
        );
        let file = user.write("entity.yaml", &text);
        user.ok(&["create", "-f", &file]);
    }
    let names = |args: &[&str]| -> Vec<String> {
        let text = user.ok(&[&["entity", "list", "--format", "json"], args].concat());
        let found: Vec<Value> = serde_json::from_str(&text).unwrap();
        found.iter().map(|it| it["metadata"]["name"].as_str().unwrap().to_owned()).collect()
    };
    server.take_asked();
    assert_eq!(names(&["--label-selector", "region == eu"]), ["a", "c"]);
    assert_eq!(
        server.take_lines(),
        ["GET /api/core/v2/namespaces/default/entities?labelSelector=region%20%3D%3D%20eu"]
    );
    assert_eq!(names(&["--field-selector", "'b' in entity.subscriptions"]), ["b"]);
    assert_eq!(
        names(&[
            "--field-selector",
            "entity.name != a",
            "--label-selector",
            "region == eu",
            "--chunk-size",
            "1"
        ]),
        ["c"]
    );
    assert_eq!(names(&["--chunk-size", "0"]).len(), 3);
    let line = user.fails(&["entity", "list", "--field-selector", "check.name == a"], 64);
    assert!(line.ends_with("those begin with entity., such as entity.name"), "{line}");
    let dump = user.ok(&["dump", "entity", "--field-selector", "entity.name == b"]);
    assert!(dump.contains("name: b") && !dump.contains("name: a"), "{dump}");
    user.ok(&["silenced", "create", "-s", "linux", "-r", "x"]);
    user.ok(&["silenced", "create", "-c", "cpu", "-r", "x"]);
    let text = user.ok(&["silenced", "list", "--subscription", "linux", "--format", "json"]);
    assert_eq!(serde_json::from_str::<Vec<Value>>(&text).unwrap().len(), 1);
}

#[test]
fn an_asset_is_added_as_bonsai_defines_it() {
    let server = Server::start();
    let user = User::of(&server);
    server.always(
        "/assets/sensu/cpu",
        200,
        &[],
        r#"{"versions": [{"version": "0.9.0"}, {"version": "0.10.0"}]}"#,
    );
    server.rule(|asked| {
        let definition = "type: Asset\napi_version: core/v2\nmetadata: {name: sensu/cpu, annotations: {io.sensu.bonsai.version: x}}\n\
            spec: {builds: [{url: \"https://assets.example.com/cpu\", sha512: SHA}]}\n";
        let version = asked.target.strip_prefix("/assets/sensu/cpu/")?.strip_suffix("/release_asset_builds")?;
        let text = definition.replace("SHA", &"a".repeat(128)).replace("version: x", &format!("version: \"{}\"", version.replace("%2E", ".")));
        Some(answer(200, &[], &text))
    });
    let bonsai = format!("{}/assets", server.url);
    let said = user.ok(&["asset", "add", "sensu/cpu", "-r", "cpu", "--bonsai-url", &bonsai]);
    assert_eq!(said, "applied Asset \"cpu\" in default, version 0.10.0 of sensu/cpu\n");
    let asset = spec(&user, &["asset", "cpu"]);
    assert_eq!(asset["metadata"]["annotations"]["io.sensu.bonsai.version"], "0.10.0");
    user.ok(&["asset", "add", "sensu/cpu:v0.9.0", "--bonsai-url", &bonsai]);
    assert_eq!(
        spec(&user, &["asset", "sensu/cpu"])["metadata"]["annotations"]["io.sensu.bonsai.version"],
        "0.9.0"
    );
    let line = user.fails(&["asset", "add", "sensu/cpu:7", "--bonsai-url", &bonsai], 1);
    assert_eq!(line, "Bonsai has sensu/cpu in the versions 0.9.0, 0.10.0");
    assert!(user.fails(&["asset", "add", "cpu"], 64).starts_with("\"cpu\" must be a name in Bonsai"));
}
