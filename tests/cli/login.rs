//! The login is made, shown, changed and ended in sensuctl's files.

use std::{fs, os::unix::fs::PermissionsExt};

use serde_json::{Value, json};

use crate::{
    server::{PASSWORD, Server},
    user::User,
};

fn profile(user: &User) -> Value {
    serde_json::from_slice(&fs::read(user.saved_file().with_file_name("profile")).unwrap()).unwrap()
}

#[test]
fn a_login_is_made_used_and_ended() {
    let server = Server::start();
    let user = User::without_login();
    let url = server.url.as_str();
    let said = user.ok(&[
        "configure",
        "-n",
        "--url",
        url,
        "--username",
        "admin",
        "--password",
        PASSWORD,
        "--namespace",
        "ops",
        "--format",
        "json",
    ]);
    assert_eq!(said, format!("logged in to {url} as admin\n"));
    let saved = user.saved();
    assert_eq!((saved["api-url"].as_str(), saved["timeout"].as_u64()), (Some(url), Some(30_000_000_000)));
    assert_eq!(profile(&user), json!({"format": "json", "namespace": "ops"}));
    for path in [user.saved_file(), user.saved_file().with_file_name("profile")] {
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
    }
    assert_eq!(user.ok(&["check", "list", "--namespace", "default"]), "[]\n");
    let shown: Value = serde_json::from_str(&user.ok(&["config", "view"])).unwrap();
    assert_eq!(
        (&shown["username"], &shown["namespace"], &shown["timeout"]),
        (&json!("admin"), &json!("ops"), &json!("30s"))
    );
    user.ok(&["config", "set-namespace", "default@alpha"]);
    user.ok(&["config", "set-format", "tabular"]);
    user.ok(&["config", "set-timeout", "1m30s"]);
    let shown = user.ok(&["config", "view"]);
    for part in ["default@alpha", "1m30s", "tabular", "JWT Expiration Timestamp"] {
        assert!(shown.contains(part), "{shown}");
    }
    assert!(user.fails(&["config", "set-namespace", "a@b@c"], 64).contains("a@b@c"));
    let env = user.ok(&["env"]);
    assert!(
        env.contains(&format!("export SENSU_API_URL='{url}'\n"))
            && env.contains("export SENSU_ACCESS_TOKEN='ey"),
        "{env}"
    );

    server.take_asked();
    assert_eq!(user.ok(&["logout"]), "logged out\n");
    let asked = server.take_asked();
    assert_eq!(asked[0].line(), "POST /auth/logout");
    assert_eq!(asked[0].json(), json!({"refresh_token": saved["refresh_token"]}));
    let after = user.saved();
    assert_eq!(
        (&after["access_token"], &after["refresh_token"], &after["api-url"]),
        (&json!(""), &json!(""), &json!(url))
    );
    let line = user.fails(&["list", "check"], 78);
    assert!(line.starts_with("not logged in to "), "{line}");
    assert_eq!(profile(&user)["format"], "tabular", "what is preferred stays");
}

#[test]
fn variables_and_a_directory_of_ones_own_stand_for_options() {
    let server = Server::start();
    let mut user = User::without_login();
    user.set("SENSU_URL", &server.url);
    user.set("SENSU_USERNAME", "admin");
    user.set("SENSU_PASSWORD", PASSWORD);
    user.ok(&["configure", "--non-interactive", "--config-dir", "mine"]);
    assert!(user.home().join("mine/cluster").exists() && !user.saved_file().exists());
    user.ok(&["--config-dir", "mine", "check", "list"]);
    user.ok(&["list", "check", "--config-dir=mine", "--cache-dir", "other"]);
    user.fails(&["list", "check"], 78);
    let file = user.write("password", &format!("{PASSWORD}\n"));
    user.set("SENSU_PASSWORD", "");
    user.ok(&["login", "-n", "--password-file", &file]);
    user.ok(&["list", "check"]);
}

#[test]
fn a_login_that_fails_changes_nothing() {
    let server = Server::start();
    let user = User::of(&server);
    let before = user.saved();
    let url = server.url.as_str();
    user.fails(&["configure", "-n", "--url", url, "--username", "admin", "--password", "wrong one"], 77);
    assert_eq!(user.fails(&["configure", "-n", "--url", url], 64), "no username: give --username");
    let line = user.fails(&["configure", "-n", "--url", url, "--username", "admin"], 64);
    assert_eq!(line, "no password: give --password-file or SENSU_PASSWORD");
    let nowhere = User::without_login();
    assert_eq!(nowhere.fails(&["configure", "-n", "--username", "admin"], 64), "no URL: give --url");
    assert_eq!(user.saved(), before);
    assert_eq!(
        nowhere.fails(&["logout", "--url", url, "--api-key", "k"], 78),
        "no login is saved: there is nothing to end"
    );
}
