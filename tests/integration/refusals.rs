//! What is refused before anything is forwarded.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use fedgate::wire::Body;
use http::Method;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::Instant,
};

use crate::support::{Running, World, check, chunked, claims, now, plain, request_of};

const DISK: &str = "/api/core/v2/namespaces/default/checks/disk";

#[tokio::test]
async fn every_spelling_of_a_traversal_is_400() {
    let world = World::new();
    for path in [
        "/api/core/v2/namespaces/../users",
        "/api/core/v2/namespaces/..%2Fusers%2Fadmin",
        "/api/core/v2/namespaces/%2e%2e/users",
        "/api/core/v2/namespaces/%2E./users",
        "/api/core/v2/namespaces/.%2e%2fusers",
        "/api/core/v2/namespaces/default/checks/.",
        "/api/core/v2/namespaces/default/checks/..%2f..%2fx",
        "/api/core/v2/namespaces/default/checks/a%2Fb",
        "/api/core/v2/namespaces/default/assets/a%2F..%2Fb",
        "/api/core/v2/namespaces/default/assets/a%2F%2Fb",
        "/api/core/v2/namespaces//checks",
        "//api//core/v2/users",
        "/api/core/v2/namespaces/default%00/checks",
        "/api/core/v2/namespaces/default/checks/%zz",
        "/api/core/v2/namespaces/..@alpha/checks",
        "/api/core/v2/namespaces/%2e%2e%40alpha/checks",
        "/c/alpha/api/core/v2/namespaces/..%2Fusers",
        "/c/../api/core/v2/users",
        "/c/alpha/../beta/api/core/v2/users",
    ] {
        for method in [Method::GET, Method::PUT, Method::DELETE] {
            let answer = world.call(method, path, "").await;
            assert_eq!((answer.status.as_u16(), &answer.json()["code"]), (400, &json!(1)), "{path}");
        }
    }
    world.nothing_was_forwarded("traversal");
    assert_eq!(world.get("/api/core/v2/namespaces/default/assets/sensu%2Fcheck").await.status, 404);
}

#[tokio::test]
async fn a_body_over_the_limit_is_413_with_and_without_a_declared_length() {
    let world = World::new();
    let large = Bytes::from(vec![b'x'; 512_001]);
    for target in [DISK, "/c/alpha/api/core/v2/namespaces/default/checks/disk", "/graphql"] {
        let declared = world.call(Method::PUT, target, large.clone()).await;
        assert_eq!((declared.status.as_u16(), declared.header("connection")), (413, "close"), "{target}");
        let mut request = world.request(Method::PUT, target, "");
        let chunk: &'static str = Box::leak("x".repeat(100_000).into_boxed_str());
        *request.body_mut() = chunked([chunk; 6]);
        let streamed = world.send(request).await;
        assert_eq!(streamed.status, 413, "{target}");
        assert_eq!(streamed.json()["code"], 1);
    }
    world.nothing_was_forwarded("too large");
}

#[tokio::test]
async fn a_body_of_the_limit_is_forwarded() {
    let world = World::new();
    let body = Bytes::from(vec![b' '; 512_000]);
    world.call(Method::PUT, "/c/alpha/api/core/v2/namespaces/default/checks/disk", body).await;
    assert_eq!(world.alpha.requests()[0].body.len(), 512_000);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_stalls_is_408() {
    let world = World::new();
    let mut request = world.request(Method::PUT, DISK, "");
    let (first, rest) = (http_body::Frame::data(Bytes::from_static(b"{")), futures::stream::pending());
    let frames =
        futures::StreamExt::chain(futures::stream::iter([Ok::<_, fedgate::error::BoxError>(first)]), rest);
    *request.body_mut() = Body::boxed(http_body_util::StreamBody::new(frames));
    let begun = Instant::now();
    let answer = world.send(request).await;
    assert_eq!((answer.status.as_u16(), answer.header("connection")), (408, "close"));
    assert!(begun.elapsed() <= Duration::from_secs(11), "{:?}", begun.elapsed());
    world.nothing_was_forwarded("slow");
}

#[tokio::test]
async fn a_body_that_breaks_off_is_not_forwarded() {
    let world = World::new();
    let mut request = world.request(Method::PUT, DISK, "");
    let frames = [
        Ok(http_body::Frame::data(Bytes::from_static(b"{"))),
        Err::<_, fedgate::error::BoxError>("reset".into()),
    ];
    *request.body_mut() = Body::boxed(http_body_util::StreamBody::new(futures::stream::iter(frames)));
    assert_eq!(world.send(request).await.status, 400);
    world.nothing_was_forwarded("broken body");
}

#[tokio::test]
async fn trace_and_connect_are_405() {
    let world = World::new();
    for method in [Method::TRACE, Method::CONNECT] {
        for target in [DISK, "/c/alpha/api/core/v2/users"] {
            assert_eq!(world.call(method.clone(), target, "").await.status, 405);
        }
    }
    world.nothing_was_forwarded("methods");
}

#[tokio::test]
async fn requests_must_name_one_good_host() {
    let world = World::new();
    for hosts in [
        &[][..],
        &["a", "b"],
        &["a", "a"],
        &["u@a"],
        &["a/b"],
        &["a b"],
        &[""],
        &["a:65536"],
        &["a:99999"],
        &["a:x"],
        &["[::1]:65536"],
        &[":80"],
    ] {
        let mut request = world.request(Method::GET, DISK, "");
        request.headers_mut().remove("host");
        for host in hosts {
            request.headers_mut().append("host", host.parse().unwrap());
        }
        assert_eq!(world.send(request).await.status, 400, "{hosts:?}");
    }
    world.nothing_was_forwarded("hosts");
}

/// What a server answers to these bytes, to the end of the connection.
async fn exchange(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn health_checks_of_http_1_0_need_no_host() {
    let server = Running::start().await;
    for line in [
        "OPTIONS /",
        "OPTIONS /readyz",
        "GET /readyz",
        "HEAD /readyz",
        "GET /ready",
        "GET /livez",
        "GET /health",
        "GET /version",
    ] {
        let answer = exchange(server.main, format!("{line} HTTP/1.0\r\n\r\n").as_bytes()).await;
        assert!(answer.contains(" 200 "), "{line}: {answer}");
    }
    for line in
        ["GET /", "GET /auth", "GET /api/core/v2/events", "OPTIONS /auth", "GET /c/local-cluster/health"]
    {
        let answer = exchange(server.main, format!("{line} HTTP/1.0\r\n\r\n").as_bytes()).await;
        assert!(answer.contains(" 400 ") && answer.contains("Host"), "{line}: {answer}");
    }
    let modern = exchange(server.main, b"GET /readyz HTTP/1.1\r\nConnection: close\r\n\r\n").await;
    assert!(modern.starts_with("HTTP/1.1 400 "), "{modern}");
}

/// A backend takes them raw, and does not see a difference.
#[tokio::test]
async fn raw_bytes_in_a_query_are_passed_on_encoded() {
    let server = Running::start().await;
    let token = &server.token;
    let head = |query: &[u8], more: &str| {
        let line = [b"GET /api/core/v2/users?".as_slice(), query, b" HTTP/1.1\r\n"].concat();
        let rest = format!("Host: gw\r\nAuthorization: Bearer {token}\r\n{more}\r\n");
        [line, rest.into_bytes()].concat()
    };
    for (raw, seen) in [
        (&b"fieldSelector=event.check.status>0"[..], "fieldSelector=event.check.status%3E0"),
        (b"a=\"b\"<c", "a=%22b%22%3Cc"),
        (b"a=b#c", "a=b%23c"),
        (b"a=\xc3\xa4", "a=%C3%A4"),
        (b"a=\xe4", "a=%E4"),
        (b"a={b}|^`\\[c]'", "a={b}|^`\\[c]'"),
    ] {
        let two = [head(raw, ""), head(raw, "Connection: close\r\n")].concat();
        let answers = exchange(server.main, &two).await;
        assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 2, "{}: {answers}", raw.escape_ascii());
        let targets = server.sensu.requests().into_iter().map(|request| request.path_and_query);
        let asked: Vec<_> = targets.filter(|target| target.starts_with("/api/core/v2/users")).collect();
        assert_eq!(
            asked[asked.len() - 2..],
            [format!("/api/core/v2/users?{seen}"), format!("/api/core/v2/users?{seen}")]
        );
    }
    // A control character is refused by a backend, too.
    let refused = exchange(server.main, &head(b"a=\x7f", "Connection: close\r\n")).await;
    assert!(refused.starts_with("HTTP/1.1 400 "), "{refused}");
}

#[tokio::test]
async fn a_token_may_fill_the_head() {
    let server = Running::with(json!({"limits": {"head-bytes": "256KiB"}})).await;
    let groups: Vec<String> = (0..3000).map(|n| format!("a-group-with-a-long-name-number-{n:05}")).collect();
    let groups: Vec<&str> = groups.iter().map(String::as_str).collect();
    let token = server.keys.mint(&claims("admin", &[&groups[..], &["cluster-admins"]].concat(), now() + 300));
    assert!(token.len() > 128 << 10, "{}", token.len());
    let request = request_of(&token, Method::GET, "/api/core/v2/namespaces/default/checks", "");
    assert_eq!(server.send(request).await.0, 200);
}

#[tokio::test]
async fn names_that_alias_through_underscores_are_400() {
    let world = World::new();
    for name in ["x_forwarded_for", "content_length", "x_request_id", "fedgate_partial", "transfer_encoding"]
    {
        let mut request = world.request(Method::GET, DISK, "");
        request.headers_mut().insert(name, "1".parse().unwrap());
        assert_eq!(world.send(request).await.status, 400, "{name}");
    }
    world.nothing_was_forwarded("aliases");
}

#[tokio::test]
async fn too_many_headers_are_431() {
    let world = World::new();
    let mut request = world.request(Method::GET, DISK, "");
    for n in 0..100 {
        request.headers_mut().append("x-many", n.into());
    }
    assert_eq!(world.send(request).await.status, 431);
    world.nothing_was_forwarded("headers");
}

#[tokio::test]
async fn limits_must_be_integers_of_zero_or_more() {
    let world = World::new();
    for limit in ["-1", "%2D1", "x", "", "1.5", "99999999999999999999999"] {
        let answer = world.get(&format!("/api/core/v2/checks?limit={limit}")).await;
        assert_eq!((answer.status.as_u16(), &answer.json()["code"]), (400, &json!(1)), "{limit}");
    }
    assert_eq!(world.get("/api/core/v2/users?limit=-1").await.status, 400);
    assert_eq!(world.get("/api/core/v2/users?limit=%2d1").await.status, 400);
    world.nothing_was_forwarded("limits");
}

#[tokio::test]
async fn a_negative_limit_is_refused_on_every_path_and_in_every_spelling() {
    let world = World::new();
    for target in [
        "/api/core/v2/checks?%6cimit=-1",
        "/api/core/v2/users?%6Cimit=-1",
        "/c/alpha/api/core/v2/checks?limit=-1",
    ] {
        assert_eq!(world.get(target).await.status, 400, "{target}");
    }
    world.nothing_was_forwarded("limits");
}

#[tokio::test]
async fn metrics_are_not_on_the_main_listener() {
    let world = World::new();
    for target in ["/metrics", "/api/core/v2/tessen/metrics", "/c/alpha/api/core/v2/tessen/metrics"] {
        for method in [Method::GET, Method::POST] {
            let answer = world.call(method, target, "[]").await;
            answer.is(404, r#"{"message":"not found","code":2}"#);
        }
    }
    world.nothing_was_forwarded("metrics");
}

#[tokio::test]
async fn bad_selections_are_400() {
    let world = World::new();
    for query in
        ["clusters=", "clusters=a:b", "clusters=alpha,,beta", "clusters=%ff", "partial=no", "partial="]
    {
        assert_eq!(world.get(&format!("/api/core/v2/checks?{query}")).await.status, 400, "{query}");
    }
    world.nothing_was_forwarded("selections");
}

#[tokio::test]
async fn malformed_json_is_sensus_to_refuse() {
    let world = World::new();
    let own = world.direct(&world.local, DISK).await;
    assert_eq!(own.status, 404);
    for body in ["{", "[]", "null", "{\"metadata\":1}"] {
        let answer = world.call(Method::PUT, DISK, body).await;
        assert!(answer.status.is_client_error() || answer.status.is_server_error(), "{body}: {answer:?}");
        assert_ne!(answer.status, 502, "{body}: {answer:?}");
    }
    let unnamed = plain(Method::PUT, DISK, check("default", "disk").to_string());
    assert_eq!(world.send(unnamed).await.status, 401);
}

#[tokio::test]
async fn an_asset_cannot_leave_its_namespace_by_the_name_in_its_body() {
    let world = World::new();
    for (target, namespace) in [
        ("/api/core/v2/namespaces/default/assets", "default"),
        ("/api/core/v2/namespaces/default@alpha/assets", "default@alpha"),
        ("/c/alpha/api/core/v2/namespaces/default/assets", "default"),
    ] {
        for name in ["../other/evil", "a/../b", "a//b"] {
            let body = format!(r#"{{"metadata":{{"name":"{name}","namespace":"{namespace}"}}}}"#);
            let answer = world.call(Method::POST, target, body).await;
            assert_eq!(answer.status, http::StatusCode::BAD_REQUEST, "{target} {name}");
        }
    }
    world.nothing_was_forwarded("an asset's name");
}

#[tokio::test]
async fn no_name_in_a_body_leaves_its_namespace() {
    let world = World::new();
    for start in ["/api/core/v2/namespaces/default", "/c/alpha/api/core/v2/namespaces/default"] {
        for (kind, body) in [
            ("checks", r#"{"metadata":{"name":"..","namespace":"default"}}"#),
            ("handlers", r#"{"metadata":{"name":"\u002e\u002e/b","namespace":"default"}}"#),
            ("checks", r#"{"metadata":{"name":"\ud800/../../b/c","namespace":"default"}}"#),
            (
                "events",
                r#"{"metadata":{"namespace":"default"},"entity":{"metadata":{"name":"..","namespace":"default"}}}"#,
            ),
        ] {
            let answer = world.call(Method::POST, &format!("{start}/{kind}"), body).await;
            assert_eq!(answer.status, http::StatusCode::BAD_REQUEST, "{start} {body}");
        }
    }
    world.nothing_was_forwarded("a name");
}

#[tokio::test]
async fn a_key_that_only_some_parsers_read_hides_no_name() {
    let world = World::new();
    let target = "/c/alpha/api/core/v2/namespaces/default/entities/mine";
    for start in [r#"{"\ud800":1,"#, r#"{"\udfff":{},"#] {
        let body = format!(r#"{start}"metadata":{{"name":"other","namespace":"default"}}}}"#);
        let answer = world.call(Method::PUT, target, body).await;
        assert_eq!(answer.status, http::StatusCode::BAD_REQUEST, "{start}");
    }
    world.nothing_was_forwarded("an entity's name");
}

#[tokio::test]
async fn no_page_begins_in_another_namespace() {
    let world = World::new();
    // `../other`, `..`, and `../other` with an escaped line break.
    for token in ["Li4vb3RoZXI", "Li4", "Li4v%0Ab3RoZXI"] {
        for query in [format!("limit=5&continue={token}"), format!("%63ontinue={token}")] {
            let target = format!("/c/alpha/api/core/v2/namespaces/default/checks?{query}");
            let answer = world.call(Method::GET, &target, "").await;
            assert_eq!(answer.status, http::StatusCode::BAD_REQUEST, "{target}");
        }
    }
    world.nothing_was_forwarded("a token");
}
