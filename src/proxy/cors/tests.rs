use http::HeaderName;
use tower::ServiceExt;

use super::*;

const DASHBOARD: &str = "https://dashboard.example.com";

/// The answer of a service that has an opinion about origins itself.
async fn ask(request: http::request::Builder) -> Response<Body> {
    let layer = CorsLayer::new(&[DASHBOARD.to_owned(), "http://[::1]:3000".to_owned()]).unwrap();
    let inner = tower::service_fn(|request: Request<()>| async move {
        let answer = Response::builder()
            .status(if request.method() == Method::OPTIONS { 405 } else { 200 })
            .header("access-control-allow-origin", "*")
            .header("access-control-allow-credentials", "true")
            .header("access-control-expose-headers", "x-inner")
            .header("vary", "accept-encoding");
        Ok::<_, Infallible>(answer.body(Body::full("inner")).unwrap())
    });
    layer.layer(inner).oneshot(request.body(()).unwrap()).await.unwrap()
}

fn header(response: &Response<Body>, name: &str) -> String {
    let values: Vec<&str> = response.headers().get_all(name).iter().map(|v| v.to_str().unwrap()).collect();
    values.join(" | ")
}

#[tokio::test]
async fn a_preflight_succeeds_only_where_origin_method_and_headers_are_allowed() {
    for (origin, method, headers, denied) in [
        (DASHBOARD, "GET", "", None),
        (DASHBOARD, "HEAD", "authorization", None),
        (DASHBOARD, "POST", "authorization,content-type", None),
        (DASHBOARD, "PUT", "If-Match, If-None-Match", None),
        (DASHBOARD, "PATCH", "content-type", None),
        (DASHBOARD, "DELETE", "authorization,fedgate-partial,traceparent,tracestate,x-request-id", None),
        (DASHBOARD, "GET", "accept, accept-language, content-language,,", None),
        ("http://[::1]:3000", "GET", "authorization", None),
        ("https://dashboard.example.com:443", "GET", "", Some(Denied::Origin)),
        ("http://dashboard.example.com", "GET", "", Some(Denied::Origin)),
        ("https://dashboard.example.com.evil.test", "GET", "", Some(Denied::Origin)),
        ("https://evil.test", "GET", "", Some(Denied::Origin)),
        ("null", "GET", "", Some(Denied::Origin)),
        ("", "GET", "", Some(Denied::Origin)),
        (DASHBOARD, "TRACE", "", Some(Denied::Method)),
        (DASHBOARD, "CONNECT", "", Some(Denied::Method)),
        (DASHBOARD, "get", "", Some(Denied::Method)),
        (DASHBOARD, "GET, POST", "", Some(Denied::Method)),
        (DASHBOARD, "", "", Some(Denied::Method)),
        (DASHBOARD, "GET", "x-other", Some(Denied::Header)),
        (DASHBOARD, "GET", "authorization, x-forwarded-for", Some(Denied::Header)),
        (DASHBOARD, "GET", "*", Some(Denied::Header)),
        (DASHBOARD, "GET", "if-match if-none-match", Some(Denied::Header)),
    ] {
        let request = Request::options("/api/core/v2/events")
            .header("origin", origin)
            .header("access-control-request-method", method)
            .header("access-control-request-headers", headers);
        let response = ask(request).await;
        let case = format!("{origin} {method} {headers}");
        let allows = ["origin", "methods", "headers"]
            .map(|what| header(&response, &format!("access-control-allow-{what}")));
        match denied {
            None => {
                assert_eq!(response.status(), 204, "{case}");
                assert_eq!(allows, [origin, METHODS, HEADERS], "{case}");
                assert_eq!(header(&response, "access-control-max-age"), "600");
                assert_eq!(response.body().as_full(), Some(&b""[..]));
            }
            Some(denied) => {
                assert_eq!(response.status(), 403, "{case}");
                assert_eq!(allows, ["", "", ""], "{case}");
                let body = format!(r#"{{"message":"{denied}","code":4}}"#);
                assert_eq!(response.body().as_full(), Some(body.as_bytes()), "{case}");
            }
        }
        assert_eq!(
            header(&response, "vary"),
            "origin, access-control-request-method, access-control-request-headers"
        );
        assert_eq!(header(&response, "access-control-allow-credentials"), "");
    }
}

#[tokio::test]
async fn only_scripts_of_allowed_origins_may_read_answers() {
    for (origin, allowed) in [
        (Some(DASHBOARD), true),
        (Some("http://[::1]:3000"), true),
        (Some("https://evil.test"), false),
        (Some("null"), false),
        (None, false),
    ] {
        let request = Request::get("/api/core/v2/events");
        let request = origin.into_iter().fold(request, |request, origin| request.header("origin", origin));
        let response = ask(request).await;
        assert_eq!((response.status().as_u16(), response.body().as_full()), (200, Some(&b"inner"[..])));
        let expected = if allowed { (origin.unwrap(), EXPOSED) } else { ("", "") };
        let found = ["access-control-allow-origin", "access-control-expose-headers"]
            .map(|name| header(&response, name));
        assert_eq!((&*found[0], &*found[1]), expected, "{origin:?}");
        assert_eq!(header(&response, "access-control-allow-credentials"), "", "{origin:?}");
        assert_eq!(header(&response, "vary"), "accept-encoding | origin", "{origin:?}");
    }
    for name in EXPOSED.split(", ").chain(HEADERS.split(", ")) {
        assert!(name.parse::<HeaderName>().is_ok(), "{name}");
    }
}

#[tokio::test]
async fn options_that_is_no_preflight_is_answered_as_ever() {
    let plain = ask(Request::options("/")).await;
    assert_eq!((plain.status().as_u16(), &*header(&plain, "access-control-allow-origin")), (405, ""));
    let no_method = ask(Request::options("/").header("origin", DASHBOARD)).await;
    assert_eq!(no_method.status(), 405);
    assert_eq!(header(&no_method, "access-control-allow-origin"), DASHBOARD);
    let no_origin = ask(Request::options("/").header("access-control-request-method", "GET")).await;
    assert_eq!((no_origin.status().as_u16(), &*header(&no_origin, "access-control-allow-origin")), (405, ""));
}

#[test]
fn origins_are_compared_as_browsers_write_them() {
    for (written, sent) in [
        ("https://dashboard.example.com", "https://dashboard.example.com"),
        ("HTTPS://Dashboard.Example.com:443", "https://dashboard.example.com"),
        ("http://dashboard.example.com:443", "http://dashboard.example.com:443"),
        ("http://localhost:80", "http://localhost"),
        ("http://[::1]:3000", "http://[::1]:3000"),
        ("http://[2001:DB8:0::A]", "http://[2001:db8::a]"),
    ] {
        assert_eq!(serialized(written).unwrap(), sent, "{written}");
    }
    assert!(CorsLayer::new(&[]).is_none());
}
