//! Sessions while the local cluster is away.

use std::time::Duration;

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use http::Method;
use serde_json::{Value, json};

use crate::support::{Answer, Line, Setup, World, claims, now, plain};

const HOUR: Duration = Duration::from_secs(3600);

fn world(outage: Option<Duration>) -> World {
    World::with(Setup { outage, ..Setup::default() })
}

async fn log_in(world: &World) -> Value {
    let mut request = plain(Method::GET, "/auth", "");
    let basic = format!("Basic {}", STANDARD.encode("admin:P@ssw0rd!"));
    request.headers_mut().insert("authorization", basic.parse().unwrap());
    let answer = world.send(request).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

async fn renew_at(world: &World, target: &str, pair: &Value) -> Answer {
    let body = json!({"refresh_token": pair["refresh_token"]}).to_string();
    let mut request = plain(Method::POST, target, body);
    let bearer = format!("Bearer {}", pair["access_token"].as_str().unwrap());
    request.headers_mut().insert("authorization", bearer.parse().unwrap());
    world.send(request).await
}

async fn renew(world: &World, pair: &Value) -> Answer {
    renew_at(world, "/auth/token", pair).await
}

/// Changes what becomes of connections to the local cluster, and lets those end that are kept.
async fn set_local(world: &World, line: Line) {
    world.net.set("local-cluster", line);
    tokio::time::sleep(Duration::from_secs(60)).await;
}

fn payload(token: &Value) -> Value {
    let part = token.as_str().unwrap().split('.').nth(1).unwrap().to_owned();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

/// A session that the cluster renewed so many seconds ago.
fn aged(world: &World, age: i64) -> Value {
    let access = claims("admin", &["cluster-admins", "system:users"], now() - age + 300);
    let mut refresh = claims("admin", &[], now() - age + 43_200);
    refresh["iat"] = json!(now() - age);
    json!({"access_token": world.keys.mint(&access), "refresh_token": world.keys.mint(&refresh)})
}

async fn lists_alpha(world: &World, pair: &Value) -> bool {
    let mut request = world.request(Method::GET, "/api/core/v2/namespaces/default@alpha/checks", "");
    let bearer = format!("Bearer {}", pair["access_token"].as_str().unwrap());
    request.headers_mut().insert("authorization", bearer.parse().unwrap());
    world.send(request).await.status == 200
}

#[tokio::test(start_paused = true)]
async fn a_session_outlives_an_outage_and_goes_on_in_the_cluster_afterwards() {
    let world = world(Some(HOUR));
    let outage = world.outage.clone().unwrap();
    let first = log_in(&world).await;
    set_local(&world, Line::Refused).await;
    let mut pair = first.clone();
    for target in ["/auth/token", "/c/~/auth/token", "/c/local-cluster/auth/token", "/auth/token?x=1"] {
        let answer = renew_at(&world, target, &pair).await;
        assert_eq!(answer.status, 200, "{target}: {}", answer.text());
        assert_eq!(answer.header("content-type"), "application/json");
        let renewed = answer.json();
        assert_eq!(renewed["refresh_token"], first["refresh_token"]);
        let (mut old, mut new) = (payload(&pair["access_token"]), payload(&renewed["access_token"]));
        assert_eq!(new["exp"], renewed["expires_at"]);
        assert!((now() + 290..=now() + 300).contains(&new["exp"].as_i64().unwrap()));
        (old["exp"], new["exp"]) = (Value::Null, Value::Null);
        assert_eq!(old, new, "the same claims");
        pair = renewed;
    }
    assert!(lists_alpha(&world, &pair).await);
    let status = outage.status();
    assert!(status.since.is_some() && status.renewed == 4, "{status:?}");

    world.net.set("local-cluster", Line::Up);
    let answer = loop {
        // Its breaker may have to close first, while it is still away to the gateway.
        let answer = renew(&world, &pair).await;
        if answer.json()["refresh_token"] != first["refresh_token"] {
            break answer;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    };
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(outage.status().since, None, "it has ended by itself");
    let again = renew(&world, &answer.json()).await;
    assert_eq!(again.status, 200, "the session is the cluster's own: {}", again.text());
}

#[tokio::test(start_paused = true)]
async fn what_is_not_to_be_renewed_is_answered_as_without_the_key() {
    let off = world(None);
    set_local(&off, Line::Refused).await;
    let usual = renew(&off, &aged(&off, 360)).await;
    assert_eq!(usual.status, 502);
    let world = world(Some(HOUR));
    set_local(&world, Line::Refused).await;
    assert_eq!(renew(&world, &aged(&world, 3500)).await.status, 200);
    let good = aged(&world, 360);
    let mut forged = good.clone();
    forged["refresh_token"] = aged(&off, 360)["refresh_token"].clone();
    let mut swapped = good.clone();
    swapped["refresh_token"] = good["access_token"].clone();
    let mut empty = good.clone();
    empty["refresh_token"] = Value::Null;
    for (what, pair) in
        [("too long away", aged(&world, 3700)), ("forged", forged), ("swapped", swapped), ("empty", empty)]
    {
        let answer = renew(&world, &pair).await;
        assert_eq!((answer.status.as_u16(), answer.text()), (502, usual.text()), "{what}");
    }
    // Logging in needs the cluster, and so does everything else.
    for target in ["/auth/logout", "/auth/test", "/auth"] {
        assert_eq!(renew_at(&world, target, &good).await.status, 502, "{target}");
    }
    assert_eq!(renew_at(&world, "/c/alpha/auth/token", &good).await.status, 401, "alpha decides for itself");
    assert_eq!(world.outage.as_ref().unwrap().status().renewed, 1);
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_may_have_renewed_the_session_is_not_replaced() {
    let world = world(Some(HOUR));
    let pair = log_in(&world).await;
    for (line, status) in [
        (Line::Scripted(String::new()), 502),
        (Line::Scripted("HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n".to_owned()), 500),
        (Line::Scripted("HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n".to_owned()), 401),
    ] {
        set_local(&world, line.clone()).await;
        assert_eq!(renew(&world, &pair).await.status, status, "{line:?}");
    }
    assert_eq!(world.outage.as_ref().unwrap().status().renewed, 0);
}
