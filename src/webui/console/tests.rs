use std::{collections::BTreeSet, fs, path::Path};

use super::*;

fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/webui/console/static");
    let mut found = Vec::new();
    let mut directories = vec![root.clone()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else {
                let name = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
                found.push((name, fs::read_to_string(path).unwrap()));
            }
        }
    }
    found
}

fn get(path: &str, headers: &[(HeaderName, &'static str)]) -> Option<Response<Body>> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.insert(name, HeaderValue::from_static(value));
    }
    answer(FILES.get_or_init(load), &Method::GET, below(path).unwrap(), path, &map)
}

fn assets_directory() -> String {
    let page = get("/console/", &[(header::ACCEPT, "text/html")]).unwrap();
    let text = String::from_utf8_lossy(page.body().as_full().unwrap()).into_owned();
    text.split_once("src=\"").unwrap().1.split_once("/theme.js").unwrap().0.to_owned()
}

#[test]
fn every_file_of_the_source_is_served() {
    let listed: BTreeSet<&str> = assets::FILES.iter().map(|(path, _)| *path).collect();
    let sources = sources();
    let present: BTreeSet<&str> =
        sources.iter().map(|(path, _)| path.as_str()).filter(|path| *path != "index.html").collect();
    assert_eq!(listed, present);
}

#[test]
fn all_of_it_is_smaller_than_150_kb() {
    let sent: usize = assets::FILES.iter().map(|(path, source)| assets::as_sent(path, source).len()).sum();
    assert!(sent + assets::INDEX.len() < 150_000, "{sent}");
}

#[test]
fn modules_are_kept_for_good_and_the_document_is_revalidated() {
    let directory = assets_directory();
    let module = get(&format!("{directory}/app.js"), &[]).unwrap();
    assert_eq!(module.headers()[header::CACHE_CONTROL], "public, max-age=31536000, immutable");
    assert_eq!(module.headers()[header::CONTENT_TYPE], "text/javascript; charset=utf-8");
    let page = get("/console/", &[(header::ACCEPT, "text/html")]).unwrap();
    assert_eq!(page.headers()[header::CACHE_CONTROL], "no-cache");
    assert!(page.headers().contains_key(header::ETAG));
}

#[test]
fn every_page_is_the_document_for_a_browser_and_nothing_for_a_program() {
    for path in ["/console/events", "/console/no-such-page", "/console/events?q=status:critical"] {
        let path = path.split('?').next().unwrap();
        assert_eq!(get(path, &[(header::ACCEPT, "text/html")]).unwrap().status(), StatusCode::OK, "{path}");
        assert!(get(path, &[(header::ACCEPT, "application/json")]).is_none(), "{path}");
    }
    // A module of another version must not look like a page.
    let missing = format!("{}/no-such.js", assets_directory());
    assert!(get(&missing, &[(header::ACCEPT, "text/html")]).is_none());
}

#[test]
fn pages_allow_nothing_but_their_own_files() {
    let page = get("/console/", &[(header::ACCEPT, "text/html")]).unwrap();
    let policy = page.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self';"), "{policy}");
    assert!(!policy.contains("unsafe") && policy.contains("frame-ancestors 'none'"), "{policy}");
    let text = String::from_utf8_lossy(page.body().as_full().unwrap()).into_owned();
    for (_, rest) in text.match_indices("<script").map(|(at, _)| text.split_at(at)) {
        assert!(rest.split_once('>').unwrap().0.contains(" src=\"/console/"), "{rest}");
    }
}

#[test]
fn without_its_slash_it_leads_to_the_pages() {
    let (files, headers) = (FILES.get_or_init(load), HeaderMap::new());
    let response =
        answer(files, &Method::GET, below("/console").unwrap(), "/console?kiosk=1", &headers).unwrap();
    assert_eq!(response.status(), StatusCode::FOUND);
    assert_eq!(response.headers()[header::LOCATION], "/console/?kiosk=1");
    assert!(below("/consoles").is_none());
    let post = answer(files, &Method::POST, "/", "/console/", &headers).unwrap();
    assert_eq!(post.status(), StatusCode::METHOD_NOT_ALLOWED);
}

#[test]
fn what_is_sent_needs_nothing_left_out_a_second_time() {
    for (path, source) in assets::FILES {
        let sent = String::from_utf8(assets::as_sent(path, source).to_vec()).unwrap();
        assert_eq!(assets::as_sent(path, &sent), sent, "{path}");
    }
}
