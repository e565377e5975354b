//! Passwords and API keys can be guessed only so fast, and nobody is locked out by another.

use fedgate::{
    proxy::Settings,
    types::{ConnInfo, Rate},
};
use http::Method;
use serde_json::json;

use crate::support::{Answer, Setup, World, plain};

const GOOD: &str = "Basic YWRtaW46UEBzc3cwcmQh";
/// `admin:wrong`, and `Admin:wrong`.
const WRONG: [&str; 2] = ["Basic YWRtaW46d3Jvbmc=", "Basic QWRtaW46d3Jvbmc="];
const KEY: &str = "83abef1e-e7d7-4beb-91fc-79ad90084d5b";
const CHECKS: &str = "/api/core/v2/namespaces/default/checks";

/// A gateway behind a proxy at 10.0.0.1.
fn world() -> World {
    let settings = Settings { trusted_proxies: vec!["10.0.0.0/8".parse().unwrap()], ..Settings::default() };
    let world = World::with(Setup { settings, ..Setup::default() });
    let key = json!({"metadata": {"name": KEY}, "username": "admin", "created_at": 1});
    world.local.etcd_put(&format!("/sensu.io/apikeys/{KEY}"), key.to_string().as_bytes());
    world
}

async fn ask(world: &World, peer: &str, forwarded: &str, target: &str, authorization: &str) -> Answer {
    let mut request = plain(Method::GET, target, "");
    if target.ends_with("/graphql") {
        request = plain(Method::POST, target, json!({"query": "{viewer{namespaces{name}}}"}).to_string());
    }
    let headers = request.headers_mut();
    headers.insert("authorization", authorization.parse().unwrap());
    if !forwarded.is_empty() {
        headers.insert("x-forwarded-for", forwarded.parse().unwrap());
    }
    request.extensions_mut().insert(ConnInfo::new(format!("{peer}:4711").parse().unwrap(), true));
    world.send(request).await
}

/// Fails until it is refused, and says after how many.
async fn exhaust(world: &World, peer: &str, forwarded: &str, targets: &[&str], wrong: &[&str]) -> usize {
    for failures in 0..1000 {
        let (target, wrong) = (targets[failures % targets.len()], wrong[failures % wrong.len()]);
        let answer = ask(world, peer, forwarded, target, wrong).await;
        match answer.status.as_u16() {
            401 => {}
            429 => return failures,
            other => panic!("{target}: {other} {answer:?}"),
        }
    }
    panic!("no limit");
}

#[tokio::test]
async fn after_ten_wrong_passwords_the_right_one_is_not_tried_either() {
    let world = world();
    let targets = ["/auth", "/auth/test", "//auth", "/c/~/auth", "/c/alpha/auth/test", "/c/beta//auth"];
    assert_eq!(exhaust(&world, "192.0.2.1", "", &targets, &WRONG).await, 10);
    world.forget();
    let refused = ask(&world, "192.0.2.1", "", "/auth", GOOD).await;
    assert_eq!(refused.status, 429);
    let seconds = refused.header("retry-after").parse::<u32>().unwrap();
    assert!((1..=7).contains(&seconds), "{seconds}");
    let said = format!(r#"{{"message":"too many failed logins: try again in {seconds} seconds","code":0}}"#);
    assert_eq!(refused.text(), said);
    world.nothing_was_forwarded("it was refused");

    // Other addresses, other users, and tokens.
    assert_eq!(ask(&world, "192.0.2.2", "", "/auth", GOOD).await.status, 200);
    assert_eq!(ask(&world, "192.0.2.1", "", "/auth", "Basic eDp5").await.status, 401);
    let token = format!("Bearer {}", world.token("admin", &["cluster-admins"]));
    assert_eq!(ask(&world, "192.0.2.1", "", CHECKS, &token).await.status, 200);
}

#[tokio::test]
async fn good_logins_are_never_counted() {
    let world = world();
    for _ in 0..50 {
        assert_eq!(ask(&world, "192.0.2.1", "", "/auth", GOOD).await.status, 200);
        assert_eq!(ask(&world, "192.0.2.1", "", CHECKS, &format!("Key {KEY}")).await.status, 200);
    }
}

#[tokio::test]
async fn what_looks_at_no_password_forgives_no_failure() {
    let world = world();
    for _ in 0..9 {
        assert_eq!(ask(&world, "192.0.2.1", "", "/auth", WRONG[0]).await.status, 401);
    }
    assert_eq!(ask(&world, "192.0.2.1", "", "/health", WRONG[0]).await.status, 200);
    assert_eq!(ask(&world, "192.0.2.1", "", "/version", WRONG[0]).await.status, 200);
    assert_eq!(exhaust(&world, "192.0.2.1", "", &["/auth"], &WRONG).await, 1);
    for _ in 0..9 {
        assert_eq!(ask(&world, "192.0.2.1", "", CHECKS, "Key k").await.status, 401);
    }
    assert_eq!(ask(&world, "192.0.2.1", "", "/health", "Key k").await.status, 200);
    assert_eq!(exhaust(&world, "192.0.2.1", "", &[CHECKS], &["Key k"]).await, 1);
}

#[tokio::test]
async fn the_address_is_the_clients_and_cannot_be_chosen() {
    let world = world();
    // Nobody's proxy: what it says of others is worth nothing.
    for (peer, forwarded) in [("192.0.2.1", "198.51.100.1"), ("192.0.2.1", "198.51.100.2")] {
        exhaust(&world, peer, forwarded, &["/auth"], &WRONG).await;
    }
    assert_eq!(exhaust(&world, "192.0.2.1", "198.51.100.3", &["/auth"], &WRONG).await, 0);
    // Behind the proxy each client is one, whatever it writes in front.
    assert_eq!(exhaust(&world, "10.0.0.1", "198.51.100.1", &["/auth"], &WRONG).await, 10);
    assert_eq!(exhaust(&world, "10.0.0.2", "203.0.113.9, 198.51.100.1", &["/auth"], &WRONG).await, 0);
    assert_eq!(ask(&world, "10.0.0.1", "198.51.100.2", "/auth", GOOD).await.status, 200);
}

#[tokio::test]
async fn keys_that_no_cluster_knows_are_counted_wherever_they_are_tried() {
    for target in
        [CHECKS, "/api/core/v2/checks?clusters=*", "/graphql", "/c/alpha/graphql", "/c/~/api/core/v2/users"]
    {
        let world = world();
        let failures = async {
            for failures in 0..1000 {
                if ask(&world, "192.0.2.1", "", target, "Key k").await.status == 429 {
                    return failures;
                }
            }
            1000
        };
        assert_eq!(failures.await, 10, "{target}");
        // The good one is another.
        assert_eq!(ask(&world, "192.0.2.1", "", CHECKS, &format!("Key {KEY}")).await.status, 200, "{target}");
    }
}

#[tokio::test]
async fn a_key_refused_by_another_cluster_goes_on_working_at_its_own() {
    let world = world();
    let key = format!("Key {KEY}");
    assert_eq!(exhaust(&world, "192.0.2.1", "", &["/c/alpha/api/core/v2/users"], &[&key]).await, 10);
    assert_eq!(ask(&world, "192.0.2.1", "", CHECKS, &key).await.status, 200);
}

#[tokio::test]
async fn the_limit_can_be_off() {
    let mut settings = Settings::default();
    settings.limits.login_failures = Rate::OFF;
    let world = World::with(Setup { settings, ..Setup::default() });
    for _ in 0..200 {
        assert_eq!(ask(&world, "192.0.2.1", "", "/auth", WRONG[0]).await.status, 401);
    }
}
