//! Which answers are compressed, and what clients and caches are told of it.

use std::{convert::Infallible, fs, future::ready};

use fedgate::{proxy::Compression, types::TlsFiles, webui::Content, wire::Body};
use futures::FutureExt as _;
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use serde_json::{Value, json};
use tower::{Service as _, service_fn};
use tower_http::decompression::Decompression;

use crate::support::{Act, Answer, Line, Running, Setup, World, plain};

fn world(compression: Compression, web: Content) -> World {
    let settings = fedgate::proxy::Settings { compression, ..Default::default() };
    World::with(Setup { settings, web, ..Setup::default() })
}

fn world_of_api() -> World {
    world(Compression { api: true, ..Compression::default() }, Content::default())
}

/// The administrator's, with `Accept-Encoding`.
fn asking(world: &World, method: Method, target: &str, accepts: &str) -> Request<Body> {
    let mut request = world.request(method, target, "");
    request.headers_mut().insert("accept-encoding", accepts.parse().unwrap());
    request
}

async fn get(world: &World, target: &str, headers: &[(&'static str, &str)]) -> Answer {
    let mut request = plain(Method::GET, target, "");
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    world.send(request).await
}

/// As a client undoes it.
fn decompressed(response: Response<Body>) -> Body {
    let mut response = Some(response);
    let coded = service_fn(move |_: Request<()>| ready(Ok::<_, Infallible>(response.take().unwrap())));
    let answered = Decompression::new(coded).call(Request::new(())).now_or_never().unwrap();
    Body::boxed(answered.unwrap().into_body())
}

async fn json_of(response: Response<Body>) -> Value {
    serde_json::from_slice(&decompressed(response).collect().await.unwrap().to_bytes()).unwrap()
}

#[tokio::test]
async fn lists_of_all_clusters_are_compressed_when_the_api_is_to_be() {
    let world = world_of_api();
    for sensu in world.sensus() {
        for number in 0..20 {
            world.put_check(sensu, &format!("check-{number}")).await;
        }
    }
    for target in [
        "/api/core/v2/checks",
        "/api/core/v2/namespaces/default@alpha/checks",
        "/api/core/v2/checks?limit=30",
    ] {
        let expected = world.get(target).await;
        assert_eq!((expected.header("content-encoding"), expected.header("vary")), ("", "Accept-Encoding"));
        for accepts in ["gzip", "br", "zstd"] {
            let answer = world.open(asking(&world, Method::GET, target, accepts)).await;
            assert_eq!(answer.headers()["content-encoding"], accepts, "{target}");
            assert_eq!(answer.headers()["vary"], "Accept-Encoding");
            assert_eq!(answer.headers()["fedgate-complete"], expected.header("fedgate-complete"));
            assert_eq!(json_of(answer).await, expected.json(), "{target} {accepts}");
        }
    }
    world.nothing_is_held();
}

#[tokio::test]
async fn a_long_list_arrives_to_its_end() {
    let world = world_of_api();
    let item = r#"{"metadata":{"name":"a","namespace":"default"}}"#;
    // More than is held back before the head goes out.
    let items = format!("[{}]", vec![item; 40_000].join(","));
    for cluster in ["local-cluster", "alpha"] {
        world.net.script(cluster, "200 OK\r\ncontent-type: application/json", &items);
    }
    let target = "/api/core/v2/checks?clusters=local-cluster,alpha";
    for accepts in ["gzip", "br", "zstd"] {
        let answer = world.open(asking(&world, Method::GET, target, accepts)).await;
        assert_eq!(answer.headers()["content-encoding"], accepts);
        assert_eq!(json_of(answer).await.as_array().unwrap().len(), 80_000, "{accepts}");
    }
    world.nothing_is_held();
}

#[tokio::test]
async fn a_list_goes_on_streaming() {
    let world = world_of_api();
    // More than is held back before the head goes out, and then the cluster stalls.
    let items = format!("[{}", r#"{"metadata":{"name":"a","namespace":"default"}},"#.repeat(40_000));
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 99000000\r\n\r\n";
    world.net.set("local-cluster", Line::Stalls(format!("{head}{items}")));
    for accepts in ["gzip", "br", "zstd"] {
        let answer = world
            .open(asking(&world, Method::GET, "/api/core/v2/checks?clusters=local-cluster", accepts))
            .await;
        assert_eq!(answer.headers()["content-encoding"], accepts);
        let mut body = decompressed(answer);
        let mut got = Vec::new();
        // What has come is read to its last item, though nothing follows.
        while got.len() < 39_000 * 70 {
            let frame = body.frame().await.unwrap();
            let frame = frame.unwrap_or_else(|error| panic!("{accepts}: {error} after {}", got.len()));
            got.extend_from_slice(&frame.into_data().unwrap());
        }
    }
}

#[tokio::test]
async fn the_api_is_left_alone_by_default_and_so_is_what_is_not_ours() {
    let world = World::new();
    let answer = world.send(asking(&world, Method::GET, "/api/core/v2/namespaces", "gzip")).await;
    assert_eq!((answer.header("content-encoding"), answer.header("vary")), ("", ""));
    let world = world_of_api();
    for number in 0..40 {
        world.put_check(&world.alpha, &format!("check-{number}")).await;
    }
    for target in ["/c/alpha/api/core/v2/checks", "/version", "/health", "/auth/test"] {
        let answer = world.send(asking(&world, Method::GET, target, "gzip")).await;
        assert_eq!((answer.header("content-encoding"), answer.header("vary")), ("", ""), "{target}");
    }
    let refused = world.send(asking(&world, Method::GET, "/api/core/v2/checks?limit=x", "gzip")).await;
    assert_eq!((refused.status.as_u16(), refused.header("content-encoding")), (400, ""));
}

#[tokio::test]
async fn what_a_write_is_conditioned_on_keeps_its_strong_tag() {
    let world = world_of_api();
    let long = json!({"metadata": {"name": "long", "namespace": "default", "annotations": {"a": "x".repeat(4000)}},
        "command": "true", "interval": 60, "publish": true, "subscriptions": ["linux"]});
    world.put(&world.local, "/api/core/v2/namespaces/default/checks/long", &long).await;
    let target = "/api/core/v2/namespaces/default/checks/long";
    let answer = world.send(asking(&world, Method::GET, target, "gzip")).await;
    if answer.header("etag").is_empty() {
        assert_eq!(answer.header("content-encoding"), "gzip");
    } else {
        assert!(answer.header("etag").starts_with('"'), "{}", answer.header("etag"));
        assert_eq!(answer.header("content-encoding"), "");
    }
}

#[tokio::test]
async fn small_answers_stay_plain_but_to_those_who_refuse_that() {
    let world = world_of_api();
    world.put_check(&world.local, "one").await;
    let target = "/api/core/v2/namespaces/default/checks?clusters=local-cluster";
    for (accepts, coding) in [("gzip", ""), ("gzip, identity;q=0", "gzip"), ("identity;q=0", "")] {
        let answer = world.open(asking(&world, Method::GET, target, accepts)).await;
        let name = answer.headers().get("content-encoding").map_or("", |value| value.to_str().unwrap());
        assert_eq!((answer.status().as_u16(), name), (200, coding), "{accepts}");
        assert_eq!(json_of(answer).await[0]["metadata"]["name"], "one");
    }
}

fn files() -> (tempfile::TempDir, Content) {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir_all(directory.path().join("static/js")).unwrap();
    fs::write(directory.path().join("index.html"), "<!doctype html>").unwrap();
    fs::write(directory.path().join("static/js/app.js"), "let words = 1;\n".repeat(1000)).unwrap();
    fs::write(directory.path().join("static/logo.png"), vec![b'x'; 5000]).unwrap();
    let content = Content::directory(directory.path()).unwrap();
    (directory, content)
}

#[tokio::test]
async fn files_have_a_strong_tag_for_each_of_their_forms() {
    let (_directory, content) = files();
    let world = world(Compression::default(), content.compressed());
    let target = "/static/js/app.js";
    let mut tags = Vec::new();
    for (accepts, coding) in [("br, gzip", "br"), ("gzip", "gzip"), ("zstd", ""), ("identity", "")] {
        let answer = get(&world, target, &[("accept-encoding", accepts)]).await;
        assert_eq!((answer.header("content-encoding"), answer.header("vary")), (coding, "Accept-Encoding"));
        assert_eq!(answer.header("content-length"), answer.body.len().to_string());
        assert!(answer.header("etag").starts_with('"'), "{}", answer.header("etag"));
        tags.push(answer.header("etag").to_owned());
    }
    let [br, gzip, plain, _] = &tags[..] else { panic!("{tags:?}") };
    assert!(br != gzip && gzip != plain && *plain == tags[3], "{tags:?}");
    // Whichever of those that it may use a client has, it is told that this is the one.
    for (accepts, has, status, tag) in [
        ("br, gzip", br, 304, br),
        ("br, gzip", gzip, 304, gzip),
        ("br, gzip", plain, 304, plain),
        ("gzip", br, 200, gzip),
        ("identity", gzip, 200, plain),
        ("gzip, identity;q=0", plain, 200, gzip),
    ] {
        let answer = get(&world, target, &[("accept-encoding", accepts), ("if-none-match", has)]).await;
        assert_eq!((answer.status.as_u16(), answer.header("etag")), (status, &**tag), "{accepts} {has}");
    }
    let image = get(&world, "/static/logo.png", &[("accept-encoding", "gzip")]).await;
    assert_eq!((image.header("content-encoding"), image.header("vary")), ("", ""));
    let part = get(&world, target, &[("accept-encoding", "gzip"), ("range", "bytes=0-9")]).await;
    assert_eq!(
        (part.status.as_u16(), part.header("content-encoding")),
        (200, "gzip"),
        "ranges are not served"
    );
}

#[tokio::test]
async fn the_console_is_compressed_for_its_first_visitor_too() {
    let world = world(Compression::default(), Content::default().with_console(true));
    let page = get(&world, "/console/", &[("accept-encoding", "gzip, deflate, br, zstd")]).await;
    assert_eq!((page.header("content-encoding"), page.header("vary")), ("br", "Accept-Encoding"));
    let text = get(&world, "/console/", &[]).await;
    let (directory, _) = text.text().split_once("src=\"").unwrap().1.split_once("/theme.js").unwrap();
    let script = format!("{directory}/app.js");
    for (accepts, most) in [("gzip", 50), ("br", 45)] {
        let whole = get(&world, &script, &[]).await;
        let coded = get(&world, &script, &[("accept-encoding", accepts)]).await;
        assert_eq!(coded.header("cache-control"), "public, max-age=31536000, immutable");
        assert_eq!((coded.header("content-encoding"), coded.header("vary")), (accepts, "Accept-Encoding"));
        assert!(coded.body.len() * 100 < whole.body.len() * most, "{script} {accepts}");
        assert_ne!(coded.header("etag"), whole.header("etag"));
    }
}

#[tokio::test]
async fn nothing_of_the_web_ui_is_compressed_when_it_is_not_to_be() {
    let (_directory, content) = files();
    let off = Compression { web_ui: false, ..Compression::default() };
    let world = world(off, content.compressed().with_console(true));
    for target in ["/static/js/app.js", "/console/"] {
        let answer = get(&world, target, &[("accept-encoding", "gzip, br")]).await;
        assert_eq!((answer.status.as_u16(), answer.header("content-encoding")), (200, ""), "{target}");
    }
}

fn dashboard(compression: Compression) -> World {
    let dashboard = "http://dashboard.example.com:3000".parse().unwrap();
    world(compression, Content::upstream(dashboard, TlsFiles::default()))
}

#[tokio::test]
async fn a_dashboards_pages_are_compressed_unless_it_has_done_so() {
    let world = dashboard(Compression::default());
    let script = "let words = 1;\n".repeat(10_000);
    let head = "200 OK\r\ncontent-type: text/javascript\r\netag: \"1\"\r\naccept-ranges: bytes";
    world.net.script("web-ui", head, &script);
    let answer = world.open(asking(&world, Method::GET, "/app.js", "gzip")).await;
    for (name, value) in [("content-encoding", "gzip"), ("vary", "Accept-Encoding"), ("etag", "W/\"1\"")] {
        assert_eq!(answer.headers()[name], value);
    }
    assert!(
        !answer.headers().contains_key("content-length") && !answer.headers().contains_key("accept-ranges")
    );
    assert_eq!(decompressed(answer).collect().await.unwrap().to_bytes(), script);
    // A copy of either form is good as long as the dashboard says so.
    world.net.script("web-ui", "304 Not Modified\r\netag: \"1\"", "");
    for has in ["\"1\"", "W/\"1\""] {
        let same = get(&world, "/app.js", &[("accept-encoding", "gzip"), ("if-none-match", has)]).await;
        assert_eq!((same.status.as_u16(), same.header("etag")), (304, "W/\"1\""));
        assert_eq!(same.header("vary"), "Accept-Encoding");
    }
    for kept in ["content-encoding: br", "cache-control: no-transform"] {
        world.net.script("web-ui", &format!("{head}\r\n{kept}"), &script);
        let answer = get(&world, "/app.js", &[("accept-encoding", "gzip")]).await;
        assert_eq!((answer.header("etag"), answer.header("vary")), ("\"1\"", ""), "{kept}");
        assert_eq!(answer.body, script, "{kept}");
    }
    // Its failure after the head is no end.
    let cut = format!("HTTP/1.1 {head}\r\ncontent-length: 900000\r\n\r\n{script}");
    world.net.set("web-ui", Line::Peer(vec![Act::Read, Act::Write(cut.into()), Act::Reset]));
    let answer = world.open(asking(&world, Method::GET, "/app.js", "gzip")).await;
    assert!(answer.into_body().collect().await.is_err());
}

#[tokio::test]
async fn a_head_says_what_a_get_would() {
    let server = Running::with(json!({"compression": {"api": true, "min-bytes": 10}})).await;
    for (target, method) in [("/console/", Method::HEAD), ("/console/", Method::GET)] {
        let mut request = server.request(target);
        *request.method_mut() = method.clone();
        request.headers_mut().insert("accept-encoding", "br".parse().unwrap());
        let (status, headers, body) = server.send(request).await;
        assert_eq!((status, &headers["content-encoding"]), (200, &"br".parse().unwrap()));
        assert_eq!(body.is_empty(), method == Method::HEAD);
        assert!(headers["content-length"].to_str().unwrap().parse::<usize>().unwrap() > 100);
    }
    let mut request: Request<Full<bytes::Bytes>> = server.request("/api/enterprise/federation/v1/status");
    request.headers_mut().insert("accept-encoding", "zstd".parse().unwrap());
    let (status, headers, _) = server.send(request).await;
    assert_eq!(
        (status, &headers["content-encoding"], &headers["vary"]),
        (200, &"zstd".parse().unwrap(), &"Accept-Encoding".parse().unwrap())
    );
}
