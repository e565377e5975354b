//! sensuctl's login: used, renewed, kept, and never sent elsewhere.

use std::{fs, os::unix::fs::PermissionsExt};

use serde_json::{Value, json};

use crate::{
    server::{Server, answer},
    user::{User, wait},
};

/// The user's tokens, as if they had expired.
fn expired(server: &Server) -> Value {
    let mut tokens = server.log_in();
    tokens["expires_at"] = json!(1);
    tokens
}

#[test]
fn an_expired_login_is_renewed_at_the_saved_url_and_kept() {
    let server = Server::start();
    let user = User::without_login();
    let old = expired(&server);
    user.save(&server.url, &old);
    let before = user.saved();
    server.always("/c/alpha/api", 200, &[], "[]");
    user.ok(&["list", "check", "--url", &format!("{}/c/alpha", server.url)]);
    let asked = server.take_asked();
    assert_eq!(asked[0].line(), "POST /auth/token", "where the session is, not where the list is");
    assert_eq!(asked[0].json(), json!({"refresh_token": old["refresh_token"]}));
    let mut saved = user.saved();
    assert_ne!(saved["access_token"], old["access_token"]);
    assert!(saved["expires_at"].as_i64().unwrap() > 1);
    assert_eq!(
        asked[1].header("authorization"),
        format!("Bearer {}", saved["access_token"].as_str().unwrap())
    );
    for key in ["access_token", "refresh_token", "expires_at"] {
        saved[key] = before[key].clone();
    }
    assert_eq!(saved.to_string(), before.to_string(), "everything else stays, in its order");
    assert_eq!(fs::metadata(user.saved_file()).unwrap().permissions().mode() & 0o777, 0o600);
    server.take_asked();
    user.ok(&["list", "check"]);
    assert_eq!(server.take_lines().len(), 1, "the new login is used");
}

#[test]
fn concurrent_commands_renew_once() {
    let server = Server::start();
    let user = User::without_login();
    user.save(&server.url, &expired(&server));
    let children: Vec<_> = (0..6).map(|_| user.spawn(&["list", "namespace"])).collect();
    for child in children {
        let done = wait(child);
        assert_eq!(done.code, Some(0), "{}", done.stderr);
    }
    let renewals = server.take_lines().iter().filter(|line| *line == "POST /auth/token").count();
    assert_eq!(renewals, 1);
    user.ok(&["list", "namespace"]);
}

#[test]
fn a_refused_token_is_renewed_once() {
    let server = Server::start();
    let user = User::of(&server);
    let old = user.saved();
    let refused = format!("Bearer {}", old["access_token"].as_str().unwrap());
    server.rule(move |asked| {
        let refuse = asked.header("authorization") == refused && asked.target.starts_with("/api");
        refuse.then(|| answer(401, &[], r#"{"Code":5,"Message":"invalid credentials"}"#))
    });
    user.ok(&["list", "check"]);
    let lines = server.take_lines();
    let list = "GET /api/core/v2/namespaces/default/checks";
    assert_eq!(lines, [list, "POST /auth/token", list]);
    assert_ne!(user.saved()["access_token"], old["access_token"]);

    server.always("/api", 401, &[], r#"{"Code":5,"Message":"invalid credentials"}"#);
    let line = user.fails(&["list", "check"], 77);
    assert_eq!(line, "invalid credentials: log in again with fedgate configure, or give --user");
    assert_eq!(server.take_lines().len(), 3, "no more than once");
}

#[test]
fn an_expired_login_says_what_to_do_and_a_newer_one_is_used() {
    let server = Server::start();
    let user = User::without_login();
    let mut tokens = expired(&server);
    tokens["refresh_token"] = json!("nonsense");
    user.save(&server.url, &tokens);
    let line = user.fails(&["list", "check"], 77);
    assert_eq!(line, "the saved login has expired: log in again with fedgate configure, or give --user");

    // sensuctl knows no lock: while this waits, it saves a login of its own.
    user.save(&server.url, &expired(&server));
    let fresh = server.log_in();
    let (file, theirs) = (user.saved_file(), fresh["access_token"].clone());
    server.rule(move |asked| {
        (asked.target == "/auth/token").then(|| {
            let mut saved: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
            for key in ["access_token", "refresh_token", "expires_at"] {
                saved[key] = fresh[key].clone();
            }
            fs::write(&file, saved.to_string()).unwrap();
            answer(400, &[], "invalid access token\n")
        })
    });
    user.ok(&["list", "check"]);
    assert_eq!(user.saved()["access_token"], theirs);
}

#[test]
fn a_saved_token_never_goes_to_another_server() {
    let (mine, other) = (Server::start(), Server::start());
    let mut user = User::of(&mine);
    let line = user.fails(&["list", "check", "--url", &other.url], 78);
    assert!(line.starts_with("not logged in to http://127.0.0.1:"), "{line}");
    user.set("SENSU_API_URL", &other.url);
    user.fails(&["list", "check"], 78);
    assert_eq!(other.take_lines(), Vec::<String>::new());
    // Not even where the token itself points: it says that `localhost` issued it.
    let user = User::without_login();
    user.save(&mine.url, &expired(&mine));
    user.ok(&["list", "check"]);
    assert_eq!(mine.take_lines()[0], "POST /auth/token");
    assert_eq!(other.take_lines(), Vec::<String>::new());
}

#[test]
fn a_redirect_is_not_followed() {
    let (mine, other) = (Server::start(), Server::start());
    let user = User::of(&mine);
    let target = other.url.clone();
    mine.rule(move |asked| {
        asked.target.starts_with("/api").then(|| answer(301, &[("location", &target)], ""))
    });
    let line = user.fails(&["list", "check"], 1);
    assert!(line.starts_with("the server answered 301"), "{line}");
    assert_eq!(other.take_lines(), Vec::<String>::new());
}

#[test]
fn a_password_or_a_key_needs_no_saved_login() {
    let server = Server::start();
    let mut user = User::without_login();
    let url = server.url.as_str();
    let password = user.write("password", "P@ssw0rd!\n");
    user.ok(&["list", "namespace", "--url", url, "--user", "admin", "--password-file", &password]);
    let asked = server.take_asked();
    assert_eq!(asked[0].line(), "GET /auth");
    assert!(asked[0].header("authorization").starts_with("Basic "));
    assert!(asked[1].header("authorization").starts_with("Bearer "));
    assert!(!user.saved_file().exists(), "nothing is saved");

    let line = user.fails(&["list", "namespace", "--url", url, "--user", "admin"], 64);
    assert_eq!(line, "no password: give --password-file or set FEDGATE_PASSWORD");
    user.set("FEDGATE_PASSWORD", "wrong");
    let line = user.fails(&["list", "namespace", "--url", url, "--user", "admin"], 77);
    assert!(line.ends_with("refuses user \"admin\" or the password"), "{line}");
    user.set("FEDGATE_PASSWORD", "P@ssw0rd!");
    user.ok(&["list", "namespace", "--url", url, "--user", "admin"]);

    server.take_asked();
    server.always("/api", 200, &[], "[]");
    user.ok(&["list", "namespace", "--url", url, "--api-key", "k-1"]);
    assert_eq!(server.take_asked()[0].header("authorization"), "Key k-1");
    user.set("SENSU_API_KEY", "k-2");
    user.ok(&["list", "namespace", "--url", url]);
    assert_eq!(server.take_asked()[0].header("authorization"), "Key k-2");
    server.always("/api", 401, &[], r#"{"Code":5,"Message":"invalid credentials"}"#);
    let line = user.fails(&["list", "namespace", "--url", url], 77);
    assert_eq!(line, "invalid credentials: give another --api-key, or --user");
}

#[test]
fn no_message_contains_a_secret() {
    let server = Server::start();
    let user = User::of(&server);
    let saved = user.saved();
    server.always("/api", 500, &[], "boom");
    for args in [vec!["list", "check"], vec!["info", "check", "x", "--api-key", "s3cret"], vec!["status"]] {
        let done = user.run(&args);
        let text = done.stdout + &done.stderr;
        assert!(
            !text.contains("s3cret") && !text.contains(saved["access_token"].as_str().unwrap()),
            "{text}"
        );
    }
    fs::write(user.saved_file(), "{\"access_token\": \"s3cret\"").unwrap();
    let line = user.fails(&["list", "check"], 78);
    assert!(line.ends_with("cluster is damaged: run fedgate configure again"), "{line}");
}

#[test]
fn a_server_that_is_not_the_api_is_recognized() {
    let server = Server::start();
    let mut user = User::of(&server);
    server.always("/", 404, &[], "not found\n");
    let line = user.fails(&["list", "check"], 1);
    assert!(line.ends_with(" has no checks: is it the API's URL?"), "{line}");
    user.set("FEDGATE_PASSWORD", "x");
    let line = user.fails(&["list", "check", "--user", "ann"], 1);
    assert_eq!(line, format!("cannot log in to {}: not found: is it the API's URL?", server.url));
    let url = server.url.replace("http:", "https:");
    let line = user.fails(&["list", "check", "--url", &url, "--api-key", "x"], 69);
    assert_eq!(line, format!("no TLS at {url}: something else answers there: is it an http URL?"));
}
