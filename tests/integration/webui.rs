//! Sensu's web UI: from a directory, and from a dashboard listener.

use std::{fs, net::Ipv4Addr, path::Path};

use fedgate::{types::TlsFiles, webui::Content, wire::Body};
use http::{HeaderValue, Method, Request};
use http_body_util::Full;
use hyper::client::conn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::support::{Answer, Line, Running, Setup, World, plain, read};

const ACCEPT_HTML: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

fn build(directory: &Path) {
    fs::create_dir_all(directory.join("static/js")).unwrap();
    fs::write(directory.join("index.html"), "<!doctype html>").unwrap();
    fs::write(directory.join("static/js/app_1f2e.js"), "app()").unwrap();
    fs::write(directory.parent().unwrap().join("secret"), "s3cret").unwrap();
}

fn world_of_files() -> (World, tempfile::TempDir) {
    let above = tempfile::tempdir().unwrap();
    let directory = above.path().join("web");
    build(&directory);
    let web = Content::directory(&directory).unwrap();
    (World::with(Setup { web, ..Setup::default() }), above)
}

fn world_of_dashboard() -> World {
    let dashboard = "http://dashboard.example.com:3000".parse().unwrap();
    let web = Content::upstream(dashboard, TlsFiles::default());
    World::with(Setup { web, ..Setup::default() })
}

/// As a browser goes there; without credentials.
async fn navigate(world: &World, target: &str) -> Answer {
    let mut request = plain(Method::GET, target, "");
    request.headers_mut().insert("accept", HeaderValue::from_static(ACCEPT_HTML));
    world.send(request).await
}

#[tokio::test]
async fn pages_need_no_credentials_and_the_api_still_does() {
    let (world, _directory) = world_of_files();
    for target in
        ["/", "/signin", "/n/default@alpha/events", "/n/default@alpha/entities/web.example.com?limit=-1"]
    {
        let answer = navigate(&world, target).await;
        answer.is(200, "<!doctype html>");
        assert_eq!(answer.header("content-type"), "text/html; charset=utf-8");
        assert_eq!(answer.header("cache-control"), "no-cache");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert!(answer.header("content-security-policy").contains("script-src 'self';"));
    }
    let script = world.send(plain(Method::GET, "/static/js/app_1f2e.js", "")).await;
    script.is(200, "app()");
    assert!(script.header("cache-control").contains("immutable"));
    let again = {
        let mut request = plain(Method::GET, "/static/js/app_1f2e.js", "");
        request.headers_mut().insert("if-none-match", script.header("etag").parse().unwrap());
        world.send(request).await
    };
    again.is(304, "");
    for target in
        ["/api/core/v2/events", "/api/core/v2/namespaces/default@alpha/events", "/api/x", "/c/alpha/api/x"]
    {
        assert_eq!(navigate(&world, target).await.status, 401, "{target}");
    }
    world.nothing_was_forwarded("pages");
}

#[tokio::test]
async fn what_belongs_to_the_api_is_never_a_page() {
    let (world, _directory) = world_of_files();
    world.ready().await;
    for target in [
        "/c/alpha",
        "/c/alpha/n",
        "/c/alpha/n/default@beta/events",
        "/auth/",
        "/health/",
        "/graphql/",
        "/auth/x",
        "/metrics",
        "/livez/x",
        "/graphql/x",
    ] {
        let answer = world.send(plain(Method::GET, target, "")).await;
        answer.is(404, r#"{"message":"not found","code":2}"#);
        is_no_page(&navigate(&world, target).await, 404, "not found");
    }
    navigate(&world, "/livez").await.is(200, "ok\n");
    assert!(navigate(&world, "/health").await.json().is_object());
}

/// A person reads what is wrong and what is served here.
#[track_caller]
fn is_no_page(answer: &Answer, status: u16, why: &str) {
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (status, "text/html; charset=utf-8"));
    assert!(answer.text().contains(&format!("<p>{why}")), "{}", answer.text());
    assert!(answer.text().contains("/api/core/v2/") && !answer.header("x-request-id").is_empty());
    assert!(answer.header("content-security-policy").starts_with("default-src 'none'"));
}

#[tokio::test]
async fn links_of_other_spellings_lead_to_the_page() {
    let (world, _directory) = world_of_files();
    for (link, page) in [
        ("/n/default%40alpha/events?filter=a%40b", "/n/default@alpha/events?filter=a%40b"),
        ("/c/~/n/default/events", "/n/default/events"),
        ("/c/alpha/n/default/entities?limit=-1", "/n/default@alpha/entities?limit=-1"),
        ("//n/default", "/n/default"),
    ] {
        let answer = navigate(&world, link).await;
        assert_eq!((answer.status.as_u16(), answer.header("location")), (302, page), "{link}");
        navigate(&world, page).await.is(200, "<!doctype html>");
    }
    for world in [world, World::new()] {
        is_no_page(
            &navigate(&world, "/c/nope/n/default").await,
            404,
            "cluster &quot;nope&quot; is not registered",
        );
        is_no_page(&navigate(&world, "/n/../x").await, 400, "the path is not valid");
        is_no_page(&navigate(&world, "//\\example.com").await, 400, "the path is not valid");
        world.nothing_was_forwarded("links");
    }
    is_no_page(&navigate(&World::new(), "/n/default").await, 404, "not found");
}

#[tokio::test]
async fn other_methods_are_refused() {
    let (world, _directory) = world_of_files();
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH, Method::OPTIONS] {
        for target in ["/", "/static/js/app_1f2e.js", "/n/default/events"] {
            let answer = world.send(plain(method.clone(), target, "")).await;
            assert_eq!(
                (answer.status.as_u16(), answer.header("allow")),
                (405, "GET, HEAD"),
                "{method} {target}"
            );
        }
    }
    let head = world.send(plain(Method::HEAD, "/", "")).await;
    head.is(200, "");
    assert_eq!(head.header("content-length"), "15");
}

#[tokio::test]
async fn no_spelling_of_a_path_leaves_the_directory() {
    let (world, _directory) = world_of_files();
    for target in [
        "/../secret",
        "/static/../../secret",
        "/%2e%2e/secret",
        "/%2E./secret",
        "/..%2fsecret",
        "/static/..%2f..%2fsecret",
        "/static/%2e%2e/%2e%2e/secret",
        "//secret",
        "/static//../../secret",
        "/./index.html",
        "/assets/..%2f..%2fsecret",
        "/..%5csecret",
        "/..\\secret",
        "/%00/../secret",
        "/index.html%00.js",
        "/%252e%252e/secret",
        "/..;/secret",
        "/.../secret",
        "/%c0%ae%c0%ae/secret",
        "/secret",
    ] {
        for accept in [ACCEPT_HTML, "*/*"] {
            let Ok(mut request) = Request::builder().uri(target).header("host", "gw").body(Body::default())
            else {
                continue;
            };
            request.headers_mut().insert("accept", HeaderValue::from_static(accept));
            let answer = world.send(request).await;
            assert!(!answer.text().contains("s3cret"), "{target}");
            // A page of that name may not exist, but that the page itself says.
            let is_page = answer.status == 200 && accept == ACCEPT_HTML && answer.text() == "<!doctype html>";
            let is_moved = (target, answer.header("location")) == ("//secret", "/secret");
            let is_refused = matches!(answer.status.as_u16(), 400 | 404);
            assert!(is_page || is_moved || is_refused, "{target}: {}", answer.status);
        }
    }
    world.nothing_was_forwarded("traversal");
}

#[tokio::test]
async fn without_a_web_ui_the_first_page_says_what_is_served() {
    let world = World::new();
    let page = navigate(&world, "/").await;
    assert_eq!((page.status.as_u16(), page.header("content-type")), (200, "text/html; charset=utf-8"));
    for served in ["<h1>fedgate</h1>", "web-ui.directory", "/api/core/v2/", "/graphql", "/readyz"] {
        assert!(page.text().contains(served), "{served}: {}", page.text());
    }
    assert_eq!((page.header("cache-control"), page.header("vary")), ("no-store", "Accept, Sec-Fetch-Mode"));
    assert!(page.header("content-security-policy").starts_with("default-src 'none'"));
    // A check that asks for `/` must not find a healthy answer there.
    for method in [Method::GET, Method::HEAD, Method::POST, Method::OPTIONS] {
        let answer = world.send(plain(method.clone(), "/", "")).await;
        assert_eq!(answer.status, 404);
        let says_it = answer.json()["message"].as_str().is_some_and(|text| text.contains("/api/core/v2/"));
        assert!(says_it || method == Method::HEAD, "{}", answer.text());
    }
    for target in ["/n/default", "/index.html"] {
        is_no_page(&navigate(&world, target).await, 404, "not found");
    }
}

#[tokio::test]
async fn a_dashboards_files_are_passed_on_without_its_cookies() {
    let world = world_of_dashboard();
    world.net.script(
        "web-ui",
        "200 OK\r\ncontent-type: text/html\r\netag: \"1\"\r\nset-cookie: a=b\r\nserver: x\r\n\
         content-security-policy: default-src *\r\nx-frame-options: ALLOWALL\r\ncache-control: no-store",
        "<dashboard>",
    );
    let answer = navigate(&world, "/n/default/events").await;
    answer.is(200, "<dashboard>");
    for (name, value) in [
        ("content-type", "text/html"),
        ("etag", "\"1\""),
        ("cache-control", "no-store"),
        ("set-cookie", ""),
        ("server", ""),
        ("x-frame-options", ""),
    ] {
        assert_eq!(answer.header(name), value, "{name}");
    }
    assert!(answer.header("content-security-policy").starts_with("default-src 'none'"));
    // Redirects stay here.
    for (location, sent) in [
        ("/signin", "/signin"),
        ("http://dashboard.example.com:3000/signin", "/signin"),
        ("https://elsewhere.example.com/", ""),
        ("//elsewhere.example.com/", ""),
        ("/\\elsewhere.example.com/", ""),
        ("http://dashboard.example.com:3000@elsewhere/", ""),
    ] {
        world.net.script("web-ui", &format!("302 Found\r\nlocation: {location}"), "");
        let answer = navigate(&world, "/").await;
        assert_eq!((answer.status.as_u16(), answer.header("location")), (302, sent), "{location}");
    }
    world.nothing_was_forwarded("pages");
}

#[tokio::test]
async fn a_dashboard_gets_neither_the_api_nor_other_methods() {
    let world = world_of_dashboard();
    world.net.script("web-ui", "200 OK", "<dashboard>");
    for target in ["/auth/x", "/graphql/x", "/c/alpha/x", "/health/x", "/%61uth/x"] {
        assert_eq!(navigate(&world, target).await.status, 404, "{target}");
    }
    assert_eq!(world.send(plain(Method::POST, "/n/default", "{}")).await.status, 405);
    assert_eq!(world.send(plain(Method::GET, "/graphql", "")).await.status, 405);
    assert_eq!(navigate(&world, "/auth").await.header("content-security-policy"), "");
}

#[tokio::test]
async fn a_failing_dashboard_is_reported_as_the_web_ui() {
    let world = world_of_dashboard();
    let message = "the web UI is not available: its server (web-ui.upstream) did not answer";
    for line in [Line::Refused, Line::BadCertificate, Line::Scripted("nonsense".to_owned())] {
        world.net.set("web-ui", line);
        let answer = navigate(&world, "/").await;
        assert_eq!((answer.status.as_u16(), &answer.json()["message"]), (502, &json!(message)));
    }
}

#[tokio::test]
async fn a_dashboard_gets_only_what_selects_the_file() {
    let dashboard = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = dashboard.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = dashboard.accept().await.unwrap();
            tokio::spawn(echo(stream));
        }
    });
    let server = Running::with(json!({"web-ui": {"upstream": format!("http://{address}")}})).await;
    let mut request = server.request("/n/default/events?filters=a%20b");
    for (name, value) in [
        ("accept", "text/html"),
        ("if-none-match", "\"x\""),
        ("cookie", "session=1"),
        ("x-forwarded-for", "192.0.2.1"),
        ("referer", "https://gw/n/secret"),
        ("range", "bytes=0-1"),
    ] {
        request.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    let (status, _, body) = server.send(request).await;
    assert_eq!(status, 200);
    let mut lines: Vec<_> = std::str::from_utf8(&body).unwrap().trim_end().lines().collect();
    lines[1..].sort_unstable();
    let host = format!("host: {address}");
    assert_eq!(
        lines,
        [
            "GET /n/default/events?filters=a%20b HTTP/1.1",
            "accept: text/html",
            &host,
            "if-none-match: \"x\"",
            "via: 1.1 _fedgate"
        ]
    );
}

#[tokio::test]
async fn a_head_over_http2_has_the_length_and_no_body() {
    let above = tempfile::tempdir().unwrap();
    let directory = above.path().join("web");
    build(&directory);
    let server = Running::with(json!({"web-ui": {"directory": directory}})).await;
    let stream = TcpStream::connect(server.main).await.unwrap();
    let (mut client, connection) =
        conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    for (method, expected) in [(Method::HEAD, ""), (Method::GET, "app()")] {
        let uri = format!("http://gw:{}/static/js/app_1f2e.js", server.main.port());
        let request =
            Request::builder().method(method).uri(uri).body(Full::<bytes::Bytes>::default()).unwrap();
        let answer = client.send_request(request).await.unwrap();
        assert_eq!(answer.headers()["content-length"], "5");
        let (status, body) = read(answer).await;
        assert_eq!((status, &body[..]), (200, expected.as_bytes()));
    }
}

/// Answers each request with its own head.
async fn echo(mut stream: TcpStream) {
    let mut head = Vec::new();
    while let Ok(byte) = stream.read_u8().await {
        head.push(byte);
        if head.ends_with(b"\r\n\r\n") {
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", head.len());
            stream.write_all(answer.as_bytes()).await.unwrap();
            stream.write_all(&head).await.unwrap();
            head.clear();
        }
    }
}
