use std::{sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use futures::future::{join_all, poll_immediate};
use http::{HeaderValue, Method};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::{Local, who};
use crate::{
    auth::{Curve, SigningKey},
    authz::{Exchange, ExchangeError, KeyExchange, LocalError, Minter},
    error::{Classify, Dialect, ErrorKind},
};

const KEY: &str = "11111111-2222-4333-8444-555555555555";
const TTL: Duration = Duration::from_secs(60);

/// A cluster with user `robot`, who has an API key, and an exchange.
fn rig() -> (Local, KeyExchange) {
    let local = Local::new();
    put_user(&local, "robot", &["ops", "dev"]);
    put_key(&local, KEY, KEY, "robot");
    let exchange = Exchange::new(local.minter.clone(), TTL).worker(local.manager.clone());
    (local, exchange)
}

fn put_user(local: &Local, name: &str, groups: &[&str]) {
    let user = json!({"username": name, "password": "P@ssw0rd!", "groups": groups});
    assert!(local.sensu.apply(&Method::PUT, &format!("/api/core/v2/users/{name}"), &user).is_success());
    local.sensu.faults().clear_requests();
}

/// Stores an API key that calls itself `name`.
fn put_key(local: &Local, key: &str, name: &str, user: &str) {
    let value = json!({"metadata": {"name": name}, "username": user, "created_at": 1});
    local.sensu.etcd_put(&format!("/sensu.io/apikeys/{key}"), value.to_string().as_bytes());
}

fn header(key: &str) -> HeaderValue {
    HeaderValue::from_bytes(format!("Key {key}").as_bytes()).unwrap()
}

/// The claims in an `Authorization: Bearer` header.
pub(super) fn claims(authorization: &HeaderValue) -> Value {
    let token = authorization.to_str().unwrap().strip_prefix("Bearer ").unwrap();
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

async fn refused(exchange: &KeyExchange, key: &str) {
    let outcome = exchange.resolve(&header(key)).await;
    assert!(matches!(outcome, Err(ExchangeError::Refused)), "{key:?}: {outcome:?}");
}

#[tokio::test(start_paused = true)]
async fn a_key_stands_for_its_user_with_the_users_own_groups() {
    let (local, exchange) = rig();
    let robot = exchange.resolve(&header(KEY)).await.unwrap();
    assert_eq!(
        (robot.subject.as_str(), &robot.groups[..]),
        ("robot", &["ops".to_owned(), "dev".to_owned()][..])
    );
    // Trailing white space, as HTTP/2 can carry it.
    assert_eq!(exchange.resolve(&header(&format!("{KEY} \t"))).await.unwrap(), robot);
    assert_eq!(local.asked().len(), 2, "{:?}", local.asked());
}

#[tokio::test(start_paused = true)]
async fn the_token_for_other_clusters_says_who_and_which_groups_and_nothing_else() {
    let (local, exchange) = rig();
    let robot = exchange.resolve(&header(KEY)).await.unwrap();
    let token = exchange.token_for(&robot).unwrap();
    assert!(token.is_sensitive());
    let claims = claims(&token);
    let exp = claims["exp"].as_i64().unwrap();
    assert_eq!(claims, json!({"exp": exp, "sub": "robot", "groups": ["ops", "dev"]}));
    let now = local.sensu.clock().now();
    assert!((now + 290..=now + 310).contains(&exp), "{exp}");
}

#[tokio::test(start_paused = true)]
async fn an_unknown_key_is_refused_as_sensu_does() {
    let (local, exchange) = rig();
    let error = exchange.resolve(&header("nobodys")).await.unwrap_err();
    let reply = error.reply();
    assert_eq!((reply.status.as_u16(), reply.code, &*reply.message), (401, 5, "invalid credentials"));
    assert_eq!((reply.dialect, error.kind()), (Dialect::Middleware, ErrorKind::Client));
    // Its user is gone.
    put_key(&local, "orphan", "orphan", "nobody");
    refused(&exchange, "orphan").await;
    // A key that belongs to no one.
    put_key(&local, "empty", "empty", "");
    refused(&exchange, "empty").await;
}

#[tokio::test(start_paused = true)]
async fn a_name_that_is_not_one_path_segment_is_refused_without_a_request() {
    let (local, exchange) = rig();
    // A hook of this shape decodes as an API key of the administrator.
    let hook = json!({"metadata": {"name": "x", "namespace": "default"}, "username": "admin"});
    local.sensu.etcd_put("/sensu.io/apikeys/../hooks/default/x", hook.to_string().as_bytes());
    let long = "x".repeat(257);
    let names =
        ["../hooks/default/x", "..", ".", "a/b", "/", &format!("{KEY}/"), "", "  ", "a\tb", &long, "\u{85}"];
    for name in names {
        refused(&exchange, name).await;
    }
    for value in [&b"Key \xff"[..], b"key x", b"Key", b"Bearer x", b"Basic x"] {
        let outcome = exchange.resolve(&HeaderValue::from_bytes(value).unwrap()).await;
        assert!(matches!(outcome, Err(ExchangeError::Refused)), "{}", value.escape_ascii());
    }
    assert!(local.asked().is_empty(), "{:?}", local.asked());
}

#[tokio::test(start_paused = true)]
async fn an_unusual_name_is_sent_as_one_segment() {
    let (local, exchange) = rig();
    let name = "a%2F..%2Fb?limit=1#;é x&";
    put_key(&local, name, name, "robot");
    assert_eq!(exchange.resolve(&header(name)).await.unwrap().subject, "robot");
    let asked = local.asked();
    assert_eq!(asked[0], "/api/core/v2/apikeys/a%252F%2E%2E%252Fb%3Flimit%3D1%23%3B%C3%A9%20x%26");
    // A user who cannot be one.
    for (key, user) in [("k1", ".."), ("k2", "../users/admin"), ("k3", "robot/")] {
        put_key(&local, key, key, user);
        refused(&exchange, key).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_about_another_key_or_user_is_not_accepted() {
    let (local, exchange) = rig();
    put_key(&local, "mine", KEY, "admin");
    refused(&exchange, "mine").await;
    let other = json!({"username": "admin", "groups": ["cluster-admins"]});
    local.sensu.etcd_put("/sensu.io/users/alias", other.to_string().as_bytes());
    put_key(&local, "aliased", "aliased", "alias");
    let outcome = exchange.resolve(&header("aliased")).await;
    assert!(matches!(outcome, Err(ExchangeError::Local(LocalError::Malformed(_)))), "{outcome:?}");
}

#[tokio::test(start_paused = true)]
async fn a_revoked_key_and_changed_groups_take_effect_after_the_ttl() {
    let (local, exchange) = rig();
    exchange.resolve(&header(KEY)).await.unwrap();
    put_user(&local, "robot", &["ops"]);
    sleep(Duration::from_secs(59)).await;
    assert_eq!(exchange.resolve(&header(KEY)).await.unwrap().groups.len(), 2);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(exchange.resolve(&header(KEY)).await.unwrap().groups, ["ops"]);
    local.sensu.etcd_delete(&format!("/sensu.io/apikeys/{KEY}"));
    sleep(TTL).await;
    refused(&exchange, KEY).await;
    // And one that is made works soon after.
    put_key(&local, KEY, KEY, "robot");
    refused(&exchange, KEY).await;
    sleep(Duration::from_secs(5)).await;
    assert_eq!(exchange.resolve(&header(KEY)).await.unwrap().subject, "robot");
}

#[tokio::test(start_paused = true)]
async fn a_lifetime_of_zero_looks_up_each_time() {
    let (local, _) = rig();
    let exchange = Exchange::new(local.minter.clone(), Duration::ZERO).worker(local.manager.clone());
    for asked in [2, 4] {
        exchange.resolve(&header(KEY)).await.unwrap();
        assert_eq!(local.asked().len(), asked);
    }
}

#[tokio::test(start_paused = true)]
async fn workers_share_the_cache() {
    let (local, _) = rig();
    let exchange = Exchange::new(local.minter.clone(), TTL);
    for _ in 0..2 {
        exchange.worker(local.manager.clone()).resolve(&header(KEY)).await.unwrap();
    }
    assert_eq!(local.asked().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn guesses_evict_no_accepted_key() {
    let (local, exchange) = rig();
    exchange.resolve(&header(KEY)).await.unwrap();
    for guess in 0..200 {
        refused(&exchange, &format!("guess-{guess}")).await;
        refused(&exchange, &format!("guess-{guess}")).await;
    }
    local.sensu.faults().clear_requests();
    exchange.resolve(&header(KEY)).await.unwrap();
    assert!(local.asked().is_empty());
}

#[tokio::test(start_paused = true)]
async fn concurrent_requests_look_up_once() {
    let (local, exchange) = rig();
    local.sensu.faults().set_delay(Some(Duration::from_millis(100)));
    let header = header(KEY);
    let outcomes = join_all((0..100).map(|_| exchange.resolve(&header))).await;
    assert!(outcomes.iter().all(Result::is_ok));
    assert_eq!(local.asked().len(), 2);
    assert_eq!(exchange.in_progress(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_look_up_outlives_its_first_caller_and_ends_with_the_last() {
    let (local, exchange) = rig();
    local.sensu.faults().set_delay(Some(Duration::from_millis(100)));
    let header = header(KEY);
    {
        let mut first = Box::pin(exchange.resolve(&header));
        assert!(poll_immediate(&mut first).await.is_none());
        let mut second = Box::pin(exchange.resolve(&header));
        assert!(poll_immediate(&mut second).await.is_none());
        drop(first);
        assert_eq!(second.await.unwrap().subject, "robot");
    }
    sleep(TTL).await;
    let mut only = Box::pin(exchange.resolve(&header));
    assert!(poll_immediate(&mut only).await.is_none());
    assert_eq!(exchange.in_progress(), 1);
    drop(only);
    assert_eq!(exchange.in_progress(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_failing_local_cluster_is_not_a_wrong_key() {
    let (local, exchange) = rig();
    let status = async || {
        let error = exchange.resolve(&header(KEY)).await.unwrap_err();
        assert!(matches!(error, ExchangeError::Local(_)), "{error:?}");
        assert!(!error.to_string().contains(KEY) && !error.reply().message.contains(KEY));
        error.reply().status.as_u16()
    };
    local.set_down(true);
    assert_eq!(status().await, 502);
    local.set_down(false);
    let faults = local.sensu.faults();
    for answer in [401, 403, 429, 500, 503] {
        faults.set_status(Some(answer));
        assert_eq!(status().await, 502, "{answer}");
    }
    faults.set_status(None);
    for body in [&b"nonsense"[..], b"[]", b"{}", br#"{"metadata":null,"username":"admin"}"#] {
        faults.set_body(Some(body.into()));
        assert_eq!(status().await, 502, "{}", body.escape_ascii());
    }
    faults.set_body(Some(vec![b' '; 1 << 20].into()));
    assert_eq!(status().await, 502);
    faults.set_body(None);
    faults.set_hang(true);
    assert_eq!(status().await, 504);
    faults.set_hang(false);
    // Nothing of that is remembered.
    assert_eq!(exchange.resolve(&header(KEY)).await.unwrap().subject, "robot");
}

#[tokio::test(start_paused = true)]
async fn a_key_pair_that_the_cluster_does_not_trust_is_not_the_clients_fault() {
    let local = Local::new();
    let stranger = Minter::new(Arc::new(SigningKey::generate(Curve::P256).unwrap()));
    let exchange = Exchange::new(stranger.clone(), TTL).worker(local.manager.clone());
    let error = exchange.resolve(&header(KEY)).await.unwrap_err();
    assert!(error.to_string().contains("auth.jwt-private-key-file"), "{error}");
    assert_eq!(error.reply().status.as_u16(), 502);
    assert!(!error.reply().message.contains("jwt"), "clients need not know");
}

#[test]
fn debug_output_holds_no_secret() {
    let (_, exchange) = rig();
    let token = exchange.token_for(&who("robot", &[])).unwrap();
    assert_eq!(format!("{token:?}"), "Sensitive");
    assert_eq!(format!("{exchange:?}"), "KeyExchange { lifetime: 60s, .. }");
}
