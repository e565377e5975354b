//! Scripts of other origins.

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use serde_json::json;

use crate::support::Running;

const DASHBOARD: &str = "https://dashboard.example.com";

#[tokio::test]
async fn scripts_of_an_allowed_origin_reach_every_answer() {
    let server = Running::with(json!({"cors": {"allowed-origins": [DASHBOARD]}})).await;
    let request = |method: &str, target: &str, token: bool| {
        let request = Request::builder().method(method).uri(target).header("host", "gw");
        let request = request.header("origin", DASHBOARD);
        if token { request.header("authorization", format!("Bearer {}", server.token)) } else { request }
    };
    let empty = Full::<Bytes>::default;

    // Without credentials, which browsers do not send then.
    let asked = request("OPTIONS", "/api/core/v2/events", false)
        .header("access-control-request-method", "GET")
        .header(
            "access-control-request-headers",
            "authorization, if-none-match, fedgate-partial, traceparent",
        );
    let (status, headers, _) = server.send(asked.body(empty()).unwrap()).await;
    assert_eq!((status, &headers["access-control-allow-origin"]), (204, &DASHBOARD.parse().unwrap()));
    assert!(headers.contains_key("x-request-id"));

    // Refusals of every layer, so that a script sees why; and a page of a list.
    for (target, token, expected) in [
        ("/api/core/v2/events", false, 401),
        ("/api/core/v2/events?limit=x", true, 400),
        ("/api/core/v2/events?limit=10", true, 200),
        ("/livez", false, 200),
    ] {
        let (status, headers, body) = server.send(request("GET", target, token).body(empty()).unwrap()).await;
        assert_eq!(status, expected, "{target}: {body:?}");
        assert_eq!(headers["access-control-allow-origin"], DASHBOARD, "{target}");
        let exposed = headers["access-control-expose-headers"].to_str().unwrap();
        for name in ["etag", "location", "retry-after", "sensu-continue", "fedgate-complete", "x-request-id"]
        {
            assert!(exposed.split(", ").any(|exposed| exposed == name), "{target}: {name}");
        }
        assert!(headers.get_all("vary").iter().any(|value| value == "origin"), "{target}");
    }
}

#[tokio::test]
async fn without_allowed_origins_there_is_no_cors() {
    let server = Running::start().await;
    let asked = Request::options("/api/core/v2/events")
        .header("host", "gw")
        .header("origin", DASHBOARD)
        .header("access-control-request-method", "GET");
    let (status, headers, _) = server.send(asked.body(Full::default()).unwrap()).await;
    assert_eq!(status, 401);
    assert!(!headers.keys().any(|name| name.as_str().starts_with("access-control-") || name == "vary"));
}
