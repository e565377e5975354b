use std::{fs, os::unix::fs::symlink};

use http::Request;
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::upstream::{self, BoxFuture, BoxIo, Connect, ConnectError};

/// Nothing listens.
struct NoNetwork;

impl Connect for NoNetwork {
    fn connect(&self, _: &crate::types::Cluster, _: &Backend) -> BoxFuture<'_, Result<BoxIo, ConnectError>> {
        Box::pin(async { Err(ConnectError::Tcp(std::io::ErrorKind::ConnectionRefused.into())) })
    }
}

fn directory(files: &[(&str, &str)]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = directory.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    directory
}

fn built() -> TempDir {
    directory(&[
        ("index.html", "<html>"),
        ("robots.txt", "none"),
        ("static/js/app_1f2e.js", "app"),
        ("static/js/app_1f2e.js.gz", "gzip"),
        ("static/js/app_1f2e.js.br", "brotli"),
        ("static/media/logo.svg", "<svg/>"),
        ("static/notes.gz", "alone"),
    ])
}

fn web_ui(content: Content) -> WebUi {
    let manager = Manager::new(upstream::Config::default(), Arc::new(NoNetwork));
    WebUi::new(Arc::new(ArcSwap::from_pointee(content)), manager)
}

async fn ask(web_ui: &WebUi, method: &str, target: &str, headers: &[(&str, &str)]) -> Option<Response<Body>> {
    let request =
        headers.iter().fold(Request::builder(), |request, (name, value)| request.header(*name, *value));
    let request = request.body(()).unwrap();
    web_ui.answer(&method.parse().unwrap(), target, request.headers()).await.unwrap()
}

async fn body(web_ui: &WebUi, target: &str, headers: &[(&str, &str)]) -> Option<String> {
    let response = ask(web_ui, "GET", target, headers).await?;
    assert_eq!(response.status(), 200, "{target}");
    Some(String::from_utf8(response.into_body().as_full().unwrap().to_vec()).unwrap())
}

fn header<'a>(response: &'a Response<Body>, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

const NAVIGATION: &[(&str, &str)] = &[("accept", "text/html,application/xhtml+xml,*/*;q=0.8")];

#[tokio::test]
async fn pages_get_the_index_document_and_nothing_else_does() {
    let directory = built();
    let web_ui = web_ui(Content::directory(directory.path()).unwrap());
    for target in ["/", "/index.html", "/?a=b"] {
        assert_eq!(body(&web_ui, target, &[]).await.as_deref(), Some("<html>"), "{target}");
    }
    for target in
        ["/signin", "/n/default@alpha/events?filters=x", "/n/a/entities/web.example.com", "/default/"]
    {
        assert_eq!(body(&web_ui, target, NAVIGATION).await.as_deref(), Some("<html>"), "{target}");
        let other = ask(&web_ui, "GET", target, &[("accept", "*/*")]).await;
        assert!(other.is_none(), "{target}");
    }
    for target in ["/static/js/app_0000.js", "/static/", "/static/x/y"] {
        assert!(ask(&web_ui, "GET", target, NAVIGATION).await.is_none(), "{target}");
    }
    let script = [("accept", "text/html"), ("sec-fetch-mode", "no-cors")];
    assert!(ask(&web_ui, "GET", "/old.js", &script).await.is_none());
    let navigation = [("accept", "*/*"), ("sec-fetch-mode", "navigate")];
    assert!(ask(&web_ui, "GET", "/signin", &navigation).await.is_some());
}

#[tokio::test]
async fn paths_of_the_api_are_never_pages() {
    let directory = built();
    let web_ui = web_ui(Content::directory(directory.path()).unwrap());
    for first in RESERVED {
        for target in [format!("/{first}"), format!("/{first}/"), format!("/{first}/x?y")] {
            assert!(ask(&web_ui, "GET", &target, NAVIGATION).await.is_none(), "{target}");
            assert!(ask(&web_ui, "POST", &target, NAVIGATION).await.is_none(), "{target}");
        }
    }
    for target in ["/%61pi/core", "/%67raphql", "/c%2Falpha"] {
        assert!(ask(&web_ui, "GET", target, NAVIGATION).await.is_none(), "{target}");
    }
}

#[tokio::test]
async fn only_get_and_head_are_allowed() {
    let directory = built();
    let web_ui = web_ui(Content::directory(directory.path()).unwrap());
    for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
        let response = ask(&web_ui, method, "/", &[]).await.unwrap();
        assert_eq!((response.status().as_u16(), header(&response, "allow")), (405, "GET, HEAD"));
    }
    let head = ask(&web_ui, "HEAD", "/static/js/app_1f2e.js", &[]).await.unwrap();
    assert_eq!((head.status().as_u16(), header(&head, "content-length")), (200, "3"));
    assert_eq!(head.into_body().as_full(), Some(&b""[..]));
    let nothing = self::web_ui(Content::default());
    let start = ask(&nothing, "GET", "/", NAVIGATION).await.unwrap();
    assert_eq!((start.status().as_u16(), header(&start, "content-type")), (200, "text/html; charset=utf-8"));
    for (method, headers) in [("GET", &[][..]), ("POST", NAVIGATION), ("OPTIONS", NAVIGATION)] {
        assert!(ask(&nothing, method, "/", headers).await.is_none(), "{method}");
    }
}

#[tokio::test]
async fn what_lies_ready_compressed_is_sent_to_those_who_take_it() {
    let directory = built();
    let web_ui = web_ui(Content::directory(directory.path()).unwrap());
    let target = "/static/js/app_1f2e.js";
    let mut tags = Vec::new();
    for (accepted, coding, sent) in [
        ("gzip, deflate, br, zstd", "br", "brotli"),
        ("gzip", "gzip", "gzip"),
        ("br;q=0, *", "gzip", "gzip"),
        ("br;q=0.0, gzip; q=0", "", "app"),
        ("identity", "", "app"),
        ("brr, xgzip", "", "app"),
    ] {
        let response = ask(&web_ui, "GET", target, &[("accept-encoding", accepted)]).await.unwrap();
        assert_eq!(header(&response, "content-encoding"), coding, "{accepted}");
        assert_eq!(header(&response, "vary"), "Accept-Encoding");
        assert_eq!(header(&response, "content-type"), "text/javascript; charset=utf-8");
        tags.push(header(&response, "etag").to_owned());
        assert_eq!(response.into_body().as_full(), Some(sent.as_bytes()), "{accepted}");
    }
    assert_ne!(tags[0], tags[1]);
    assert_ne!(tags[1], tags[3]);
    // Compressed variants are not files of their own, unless the plain one is missing.
    assert!(ask(&web_ui, "GET", "/static/js/app_1f2e.js.gz", &[]).await.is_none());
    assert_eq!(body(&web_ui, "/static/notes.gz", &[]).await.as_deref(), Some("alone"));
}

#[tokio::test]
async fn a_copy_is_kept_for_a_year_only_when_its_name_changes_with_its_content() {
    let directory = built();
    let web_ui = web_ui(Content::directory(directory.path()).unwrap());
    for (target, cache) in [
        ("/", "no-cache"),
        ("/robots.txt", "no-cache"),
        ("/static/media/logo.svg", "no-cache"),
        ("/static/js/app_1f2e.js", "public, max-age=31536000, immutable"),
    ] {
        let response = ask(&web_ui, "GET", target, &[]).await.unwrap();
        assert_eq!(header(&response, "cache-control"), cache, "{target}");
    }
    for hashed in [
        "static/js/vendors~app_9ab0.js",
        "static/js/app_9ab0.js.map",
        "static/media/roboto-latin-400_1a2b.woff2",
        "static/css/main.8d2f9c01.chunk.css",
        "assets/index-8d2f9c01ab.js",
    ] {
        assert!(media::has_content_hash(hashed), "{hashed}");
    }
    for plain in [
        "app_9ab0.js",
        "static/app_9ab0.js",
        "static/js/app.js",
        "static/js/9ab0.js",
        "static/js/facade_deck.js",
        "static/deadbeef.js",
        "assets/x-deadbeef.js",
        "other/main.8d2f9c01.js",
    ] {
        assert!(!media::has_content_hash(plain), "{plain}");
    }
}

#[tokio::test]
async fn a_client_that_has_the_file_gets_no_second_copy() {
    let directory = built();
    let web_ui = web_ui(Content::directory(directory.path()).unwrap());
    let first = ask(&web_ui, "GET", "/", &[]).await.unwrap();
    let (tag, date) = (header(&first, "etag").to_owned(), header(&first, "last-modified").to_owned());
    let weak = format!("W/{tag}");
    let among = format!("\"a,b\", {tag}");
    let (old, new) = ("Sun, 06 Nov 1994 08:49:37 GMT", "Sat, 06 Nov 2094 08:49:37 GMT");
    let cases: [(&[(&str, &str)], u16); 14] = [
        (&[("if-none-match", &tag)], 304),
        (&[("if-none-match", &weak)], 304),
        (&[("if-none-match", &among)], 304),
        (&[("if-none-match", "*")], 304),
        (&[("if-none-match", "\"x\"")], 200),
        (&[("if-none-match", "\"x\""), ("if-modified-since", &date)], 200),
        (&[("if-modified-since", &date)], 304),
        (&[("if-modified-since", new)], 304),
        (&[("if-modified-since", old)], 200),
        (&[("if-modified-since", "yesterday")], 200),
        (&[("if-match", &tag)], 200),
        (&[("if-match", &weak)], 412),
        (&[("if-match", "\"x\"")], 412),
        (&[("if-unmodified-since", old)], 412),
    ];
    for (headers, status) in cases {
        let response = ask(&web_ui, "GET", "/", headers).await.unwrap();
        assert_eq!(response.status().as_u16(), status, "{headers:?}");
        assert_eq!(header(&response, "etag"), tag, "{headers:?}");
        assert!(header(&response, "content-security-policy").contains("frame-ancestors 'none'"));
        let empty = response.body().as_full() == Some(b"");
        assert_eq!(empty, status != 200, "{headers:?}");
        assert_eq!(response.headers().contains_key("content-length"), status == 200);
    }
}

#[test]
fn links_out_of_the_directory_are_refused_and_those_within_are_followed() {
    let outside = directory(&[("secret", "s")]);
    for name in ["leak", "static/leak"] {
        for target in [outside.path().join("secret"), outside.path().to_owned()] {
            let directory = built();
            symlink(target, directory.path().join(name)).unwrap();
            let error = Content::directory(directory.path()).unwrap_err();
            assert!(matches!(error, LoadError::Outside { .. }), "{error}");
        }
    }
    // As Kubernetes mounts a volume.
    let directory =
        directory(&[("..data_1/index.html", "<html>"), (".env", "SECRET=1"), (".git/config", "x")]);
    symlink("..data_1", directory.path().join("..data")).unwrap();
    symlink("..data/index.html", directory.path().join("index.html")).unwrap();
    let Content { web_ui: Inner::Files(files), .. } = Content::directory(directory.path()).unwrap() else {
        panic!("files")
    };
    assert_eq!(files.get("index.html").unwrap().plain.bytes, "<html>");
    for hidden in [".env", ".git/config", "..data/index.html"] {
        assert!(files.get(hidden).is_none(), "{hidden}");
    }
}

#[test]
fn a_directory_that_cannot_be_served_is_refused_with_what_to_do() {
    let refused = |path: &Path| Content::directory(path).unwrap_err().to_string();
    let missing = Path::new("/nonexistent/web");
    assert_eq!(
        refused(missing),
        "web-ui.directory: cannot read /nonexistent/web: No such file or directory (os error 2); put it there, or name \
         another one"
    );
    let empty = directory(&[("app.js", "x")]);
    assert!(refused(empty.path()).ends_with("has no index.html: name the directory of a built web UI"));
    let circle = built();
    symlink(".", circle.path().join("again")).unwrap();
    Content::directory(circle.path()).unwrap_err();
    let large = built();
    fs::File::create(large.path().join("large")).unwrap().set_len((64 << 20) + 1).unwrap();
    assert!(refused(large.path()).contains("has more than 64 MiB: leave only"));
    let dangling = built();
    symlink("nowhere", dangling.path().join("x")).unwrap();
    assert!(refused(dangling.path()).contains("cannot read"));
}

#[test]
fn everything_that_was_read_is_watched() {
    let directory = built();
    let content = Content::directory(directory.path()).unwrap();
    for path in ["", "index.html", "static", "static/js", "static/js/app_1f2e.js.gz"] {
        assert!(content.watched().contains(&directory.path().join(path)), "{path}");
    }
    assert!(Content::default().watched().is_empty());
}

#[tokio::test]
async fn a_dashboard_that_is_down_is_a_bad_gateway() {
    use crate::error::Classify;

    let backend = "http://127.0.0.1:3000".parse().unwrap();
    let web_ui = web_ui(Content::upstream(backend, TlsFiles::default()));
    let error = web_ui.answer(&Method::GET, "/", &HeaderMap::new()).await.unwrap_err();
    let reply = error.reply();
    assert_eq!(reply.status, 502);
    assert!(reply.message.contains("web-ui.upstream"), "{}", reply.message);
}

proptest! {
    #[test]
    fn no_path_leads_to_another_file(path in "(/|\\.|%2[eEfF]|%00|%5[cC]|[a-z%]|static|index\\.html){0,12}") {
        let directory = built();
        let content = Content::directory(directory.path()).unwrap();
        let Inner::Files(files) = &content.web_ui else { panic!("files") };
        if let Some(page) = page(&format!("/{path}"))
            && let Some(file) = files.get(&page)
        {
            let name = if page.is_empty() { "index.html" } else { &page };
            prop_assert_eq!(&file.plain.bytes, &fs::read(directory.path().join(name)).unwrap());
            prop_assert!(!name.split('/').any(|part| matches!(part, "" | "." | "..")));
        }
    }

    #[test]
    fn any_header_is_survived(value in "[ -~]{0,40}", name in 0..5usize) {
        let names = ["accept", "accept-encoding", "if-none-match", "if-match", "if-modified-since"];
        let mut headers = HeaderMap::new();
        headers.insert(names[name], value.parse().unwrap());
        crate::wire::Accepted::of(&headers);
        negotiate::is_navigation(&headers);
        negotiate::condition(&headers, "\"x\"", std::time::SystemTime::UNIX_EPOCH);
    }
}
