//! Which cluster answers what.

use http::{HeaderMap, Method, StatusCode};
use serde_json::json;

use crate::support::{World, check, plain};

/// The target and headers of the one request that was forwarded.
#[track_caller]
fn forwarded(world: &World) -> (String, HeaderMap) {
    let mut requests = world.requests();
    assert_eq!(requests.len(), 1, "{requests:?}");
    let only = requests.remove(0);
    (only.path_and_query, only.headers)
}

#[tokio::test]
async fn a_raw_path_is_the_clusters_own_answer_byte_for_byte() {
    let world = World::new();
    world.put_check(&world.alpha, "disk").await;
    for target in [
        "/api/core/v2/namespaces/default/checks/disk",
        "/api/core/v2/namespaces/default/checks?limit=1",
        "/api/core/v2/namespaces",
        "/api/core/v2/entities?labelSelector=a%20in%20%5Bb%5D",
        "/health",
        "/version",
    ] {
        let own = world.direct(&world.alpha, target).await;
        world.forget();
        let answer = world.get(&format!("/c/alpha{target}")).await;
        assert_eq!((answer.status, &answer.body), (own.status, &own.body), "{target}");
        for name in ["etag", "content-type", "sensu-continue"] {
            assert_eq!(answer.header(name), own.header(name), "{target}: {name}");
        }
        assert_eq!(forwarded(&world).0, target);
    }
}

#[tokio::test]
async fn tilde_is_the_local_cluster() {
    let world = World::new();
    world.put_check(&world.local, "disk").await;
    let target = "/api/core/v2/namespaces/default/checks";
    let own = world.direct(&world.local, target).await;
    for prefix in ["/c/~", "/c/local-cluster"] {
        assert_eq!(world.get(&format!("{prefix}{target}")).await.body, own.body);
    }
}

#[tokio::test]
async fn locations_of_a_raw_path_get_the_prefix_back() {
    let world = World::new();
    let body = json!({"username": "admin"}).to_string();
    let answer = world.call(Method::POST, "/c/alpha/api/core/v2/apikeys", body.clone()).await;
    assert_eq!(answer.status, StatusCode::CREATED);
    let location = answer.header("location").to_owned();
    assert!(location.starts_with("/c/alpha/api/core/v2/apikeys/"), "{location}");
    assert_eq!(world.get(&location).await.status, StatusCode::OK);
    let local = world.call(Method::POST, "/api/core/v2/apikeys", body).await;
    assert!(local.header("location").starts_with("/api/core/v2/apikeys/"), "{local:?}");
}

#[tokio::test]
async fn health_version_and_graphql_are_the_local_clusters() {
    let world = World::new();
    for (method, target) in [(Method::GET, "/health"), (Method::GET, "/version"), (Method::POST, "/graphql")]
    {
        world.forget();
        let own = world.local.handle(plain(method.clone(), target, "{}")).await;
        world.forget();
        let answer = world.send(plain(method, target, "{}")).await;
        assert_eq!(answer.status, own.status(), "{target}");
        assert_eq!(world.local.requests().len(), 1, "{target}");
        assert_eq!(forwarded(&world).0, target);
    }
}

#[tokio::test]
async fn what_is_the_gateways_own_needs_no_cluster_and_no_credentials() {
    let world = World::new();
    world.ready().await;
    for target in ["/livez", "/readyz", "/ready"] {
        world.send(plain(Method::GET, target, "")).await.is(200, "ok\n");
        let answer = world.send(plain(Method::POST, target, "")).await;
        assert_eq!((answer.status.as_u16(), answer.header("allow")), (405, "GET, HEAD, OPTIONS"));
    }
    world.send(plain(Method::GET, "/metrics", "")).await.is(404, r#"{"message":"not found","code":2}"#);
    world.nothing_was_forwarded("gateway paths");
}

#[tokio::test]
async fn an_unknown_cluster_is_named_in_the_404() {
    let world = World::new();
    for target in [
        "/c/nobody/api/core/v2/users",
        "/api/core/v2/namespaces/default@nobody/checks",
        "/api/core/v2/namespaces/default%40nobody/checks/x",
        "/api/core/v2/checks?clusters=alpha,nobody",
        "/api/core/v2/namespaces/ops@nobody",
    ] {
        world.get(target).await.is(404, r#"{"message":"cluster \"nobody\" is not registered","code":2}"#);
    }
    world.nothing_was_forwarded("unknown cluster");
}

#[tokio::test]
async fn malformed_namespaces_are_400() {
    let world = World::new();
    for namespace in ["@alpha", "default@", "a@b@c", "default@alpha@beta", "a%40b%40c", "@", "default@a:b"] {
        for target in [
            format!("/api/core/v2/namespaces/{namespace}/checks"),
            format!("/api/core/v2/namespaces/{namespace}/checks/x"),
            format!("/api/core/v2/namespaces/{namespace}"),
        ] {
            let answer = world.get(&target).await;
            assert_eq!((answer.status.as_u16(), &answer.json()["code"]), (400, &json!(1)), "{target}");
        }
    }
    world.nothing_was_forwarded("malformed namespaces");
}

#[tokio::test]
async fn request_ids_are_echoed_passed_on_or_made() {
    let world = World::new();
    let target = "/api/core/v2/users";
    let mut request = world.request(Method::GET, target, "");
    request.headers_mut().insert("x-request-id", "mine-1".parse().unwrap());
    request.headers_mut().insert("traceparent", "00-1-2-01".parse().unwrap());
    assert_eq!(world.send(request).await.header("x-request-id"), "mine-1");
    let (_, headers) = forwarded(&world);
    assert_eq!(
        (&headers["x-request-id"], &headers["traceparent"]),
        (&"mine-1".parse().unwrap(), &"00-1-2-01".parse().unwrap())
    );
    world.forget();
    let made = world.get(target).await.header("x-request-id").to_owned();
    assert_eq!(made.len(), 36);
    assert_eq!(forwarded(&world).1["x-request-id"], *made);
    // Refusals have one too.
    assert_eq!(world.send(plain(Method::GET, target, "")).await.header("x-request-id").len(), 36);
}

#[tokio::test]
async fn clusters_see_the_gateways_host_and_the_real_client() {
    let world = World::new();
    for target in [
        "/api/core/v2/users",
        "/c/local-cluster/api/core/v2/users",
        "/api/core/v2/checks?clusters=local-cluster",
    ] {
        world.forget();
        let mut request = world.request(Method::GET, target, "");
        for (name, value) in [
            ("x-forwarded-for", "10.1.1.1"),
            ("x-forwarded-proto", "ftp"),
            ("x-forwarded-host", "evil"),
            ("forwarded", "for=10.1.1.1"),
            ("connection", "close, x-mine"),
            ("x-mine", "1"),
            ("upgrade", "websocket"),
            ("te", "trailers"),
            ("proxy-authorization", "Basic x"),
            ("keep-alive", "timeout=5"),
        ] {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        assert_eq!(world.send(request).await.status, StatusCode::OK);
        let (_, headers) = forwarded(&world);
        for (name, value) in [
            ("host", crate::support::HOST),
            ("x-forwarded-for", "127.0.0.1"),
            ("x-forwarded-proto", "http"),
            ("x-forwarded-host", crate::support::HOST),
        ] {
            assert_eq!(headers[name], value, "{target}: {name}");
        }
        for name in
            ["forwarded", "connection", "x-mine", "upgrade", "te", "proxy-authorization", "keep-alive"]
        {
            assert!(!headers.contains_key(name), "{target}: {name}");
        }
    }
}

#[tokio::test]
async fn plain_namespaces_of_single_items_and_writes_are_the_local_clusters() {
    let world = World::new();
    let target = "/api/core/v2/namespaces/default/checks/disk";
    let answer = world.call(Method::PUT, target, check("default", "disk").to_string()).await;
    assert_eq!(answer.status, StatusCode::CREATED);
    let read = world.get(target).await;
    assert_eq!(read.body, world.direct(&world.local, target).await.body);
    assert_eq!(world.call(Method::DELETE, target, "").await.status, StatusCode::NO_CONTENT);
    assert!(world.alpha.requests().is_empty() && world.beta.requests().is_empty());
}

#[tokio::test]
async fn lists_of_cluster_wide_kinds_fan_out_only_when_asked() {
    let world = World::new();
    world.get("/api/core/v2/users").await;
    assert!(world.alpha.requests().is_empty());
    let answer = world.get("/api/core/v2/users?clusters=*").await;
    assert_eq!(answer.header("fedgate-complete"), "true");
    assert_eq!(world.alpha.requests().len(), 1);
}
