//! Who is let in, and what becomes of credentials.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{World, claims, now, plain};

const INVALID: &str = r#"{"Code":5,"Message":"invalid credentials"}"#;
const CHECKS: &str = "/api/core/v2/namespaces/default/checks";

/// The API key of a new user with a binding of its own in the local cluster.
async fn local_api_key(world: &World) -> String {
    let key = "83abef1e-e7d7-4beb-91fc-79ad90084d5b";
    let value = json!({"metadata": {"name": key}, "username": "admin", "created_at": 1});
    world.local.etcd_put(&format!("/sensu.io/apikeys/{key}"), value.to_string().as_bytes());
    assert_eq!(world.direct(&world.local, "/api/core/v2/apikeys").await.each("/metadata/name"), [key]);
    world.forget();
    key.to_owned()
}

async fn ask(world: &World, target: &str, authorization: &str) -> crate::support::Answer {
    let mut request = plain(Method::GET, target, "");
    request.headers_mut().insert("authorization", authorization.parse().unwrap());
    world.send(request).await
}

#[tokio::test]
async fn without_credentials_the_api_is_refused_in_sensus_bytes() {
    let world = World::new();
    for target in [CHECKS, "/api/core/v2/nothing", "/api/x", "/c/alpha/api/core/v2/users", "/c/nobody/api/x"]
    {
        let answer = world.send(plain(Method::GET, target, "")).await;
        answer.is(401, r#"{"Code":5,"Message":"bad credentials"}"#);
        assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
        assert_eq!(answer.header("x-content-type-options"), "");
    }
    world.nothing_was_forwarded("no credentials");
}

#[tokio::test]
async fn tokens_that_sensu_refuses_are_refused_before_anything_is_forwarded() {
    let world = World::new();
    let good = claims("admin", &["cluster-admins"], now() + 300);
    let hs256 = json!({"alg": "HS256", "typ": "JWT"});
    let mut endless = good.clone();
    endless.as_object_mut().unwrap().remove("exp");
    let mut cut = world.token("admin", &["cluster-admins"]);
    cut.truncate(cut.len() - 4);
    let none = format!(
        "{}.",
        world.keys.mint_with_header(&json!({"alg": "none"}), &good).rsplit_once('.').unwrap().0
    );
    let tokens = [
        ("garbage", "abc".to_owned()),
        ("empty", String::new()),
        ("cut", cut),
        ("expired", world.keys.mint(&claims("admin", &["cluster-admins"], now() - 1))),
        ("no exp", world.keys.mint(&endless)),
        ("hs256 of the store's secret", world.local.mint_hs256(&hs256, &good)),
        ("hs256 in name", world.keys.mint_with_header(&hs256, &good)),
        ("none, signed", world.keys.mint_with_header(&json!({"alg": "none"}), &good)),
        ("none, unsigned", none),
        ("another key", fedgate::sim::SharedKeys::generate().unwrap().mint(&good)),
    ];
    for (what, token) in tokens {
        for target in [CHECKS, "/graphql", "/c/alpha/api/core/v2/checks"] {
            let answer = ask(&world, target, &format!("Bearer {token}")).await;
            assert_eq!((answer.status.as_u16(), answer.text()), (401, INVALID), "{what}");
        }
    }
    world.nothing_was_forwarded("bad tokens");
}

#[tokio::test]
async fn an_unknown_path_is_401_without_a_token_and_sensus_404_with_one() {
    let world = World::new();
    let target = "/api/core/v2/nothing/here";
    assert_eq!(world.send(plain(Method::GET, target, "")).await.status, StatusCode::UNAUTHORIZED);
    let answer = world.get(target).await;
    let own = world.direct(&world.local, target).await;
    answer.is(404, own.text());
    assert_eq!(answer.header("content-type"), own.header("content-type"));
}

#[tokio::test]
async fn two_authorization_headers_are_400() {
    let world = World::new();
    let mut request = world.request(Method::GET, CHECKS, "");
    request.headers_mut().append("authorization", "Key x".parse().unwrap());
    let answer = world.send(request).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert_eq!(answer.json()["code"], 1);
    world.nothing_was_forwarded("two credentials");
}

#[tokio::test]
async fn an_api_key_is_shown_to_the_local_cluster_only() {
    let world = World::new();
    let key = local_api_key(&world).await;
    world.put_check(&world.local, "disk").await;
    world.put_check(&world.alpha, "disk").await;
    world.forget();
    let answer = ask(&world, CHECKS, &format!("Key {key}")).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.each("/cluster"), ["local-cluster"]);
    assert_eq!(
        answer.header("fedgate-clusters"),
        r#""local-cluster";status=200, "alpha";error=unauthorized, "beta";error=unauthorized"#
    );
    assert_eq!(world.local.requests().len(), 1);
    assert!(world.alpha.requests().is_empty() && world.beta.requests().is_empty());
}

#[tokio::test]
async fn the_refusal_of_an_api_key_is_passed_on() {
    let world = World::new();
    ask(&world, CHECKS, "Key 00000000-0000-0000-0000-000000000000").await.is(401, INVALID);
    assert!(world.alpha.requests().is_empty() && world.beta.requests().is_empty());
    ask(&world, "/c/alpha/api/core/v2/namespaces/default/checks", "Key k").await.is(401, INVALID);
    assert_eq!((world.local.requests().len(), world.alpha.requests().len()), (1, 1));
}

#[tokio::test]
async fn an_api_key_of_the_local_cluster_is_not_shown_to_one_that_a_namespace_or_selection_names() {
    let world = World::new();
    for target in [
        "/api/core/v2/namespaces/default@alpha/checks",
        "/api/core/v2/namespaces/default@alpha/checks/cpu",
        "/api/core/v2/checks?clusters=alpha,beta",
    ] {
        assert_eq!(ask(&world, target, "Key k").await.status, StatusCode::UNAUTHORIZED, "{target}");
    }
    world.nothing_was_forwarded("an API key");
}

#[tokio::test]
async fn a_token_that_the_one_cluster_asked_refuses_is_401_so_that_clients_renew_it() {
    let world = World::new();
    let token = format!("Bearer {}", world.token("admin", &["cluster-admins"]));
    world.alpha.faults().set_status(Some(401));
    for target in
        ["/api/core/v2/namespaces/default@alpha/checks", "/api/core/v2/namespaces/default@alpha/checks/x"]
    {
        ask(&world, target, &token).await.is(401, INVALID);
    }
}

#[tokio::test]
async fn a_token_is_verified_once() {
    let world = World::new();
    let token = format!("Bearer {}", world.token("admin", &["cluster-admins"]));
    for _ in 0..3 {
        assert_eq!(ask(&world, CHECKS, &token).await.status, StatusCode::OK);
    }
    let metrics = world.authenticator.metrics();
    assert_eq!(metrics.sum(|it| &it.misses), 1);
    assert_eq!(metrics.sum(|it| &it.hits), 2);
}

#[tokio::test]
async fn a_login_through_the_gateway_gives_a_token_that_points_back_at_it() {
    let world = World::new();
    let mut login = plain(Method::GET, "/auth", "");
    // admin:P@ssw0rd!
    login.headers_mut().insert("authorization", "Basic YWRtaW46UEBzc3cwcmQh".parse().unwrap());
    let tokens = world.send(login).await.json();
    let access = tokens["access_token"].as_str().unwrap();
    let payload = access.split('.').nth(1).unwrap();
    let decoded = base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, payload).unwrap();
    let decoded: Value = serde_json::from_slice(&decoded).unwrap();
    assert_eq!(decoded["iss"], "https://gw.example.com:8080");
    assert_eq!(ask(&world, CHECKS, &format!("Bearer {access}")).await.status, StatusCode::OK);

    let body = json!({"refresh_token": tokens["refresh_token"]}).to_string();
    let mut refresh = plain(Method::POST, "/auth/token", body);
    refresh.headers_mut().insert("authorization", format!("Bearer {access}").parse().unwrap());
    let answer = world.send(refresh).await;
    assert_eq!(answer.status, StatusCode::OK);
    let renewed = answer.json()["access_token"].as_str().unwrap().to_owned();
    assert_eq!(ask(&world, CHECKS, &format!("Bearer {renewed}")).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_wrong_password_gets_sensus_own_words() {
    let world = World::new();
    let mut login = plain(Method::GET, "/auth", "");
    login.headers_mut().insert("authorization", "Basic eDp5".parse().unwrap());
    world.send(login).await.is(401, "Unauthorized\n");
    assert!(world.alpha.requests().is_empty());
}
