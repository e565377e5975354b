use bytes::Bytes;
use http_body::Frame;
use http_body_util::StreamBody;

use super::*;
use crate::{error::BoxError, types::ClusterName};

fn plan(accepts: &'static str) -> Plan {
    let mut headers = HeaderMap::new();
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(accepts));
    Plan { accepted: Accepted::of(&headers), min_bytes: 100, has_strong_tags: false, is_head: false }
}

fn answer(pairs: &[(&'static str, &'static str)], body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    for (name, value) in pairs {
        response.headers_mut().append(*name, HeaderValue::from_static(value));
    }
    response
}

fn text(size: usize) -> Bytes {
    b"{\"name\":\"check\"},".iter().copied().cycle().take(size).collect()
}

fn streamed(size: usize) -> Body {
    let frames: Vec<_> = text(size)
        .chunks(1000)
        .map(|chunk| Ok::<_, BoxError>(Frame::data(Bytes::copy_from_slice(chunk))))
        .collect();
    Body::boxed(StreamBody::new(futures::stream::iter(frames)))
}

/// The header's value; empty when it is missing.
fn get(response: &Response<Body>, name: &str) -> String {
    response.headers().get(name).map_or(String::new(), |value| value.to_str().unwrap().to_owned())
}

fn compressor() -> Compressor {
    Compressor::new(Compression::default())
}

const JSON: (&str, &str) = ("content-type", "application/json");

#[tokio::test]
async fn headers_tell_what_became_of_the_body() {
    for coding in Coding::ALL {
        for body in [Body::full(text(50_000)), streamed(50_000)] {
            let is_whole = body.as_full().is_some();
            let before = answer(
                &[JSON, ("etag", "\"x\""), ("content-length", "50000"), ("accept-ranges", "bytes")],
                body,
            );
            let after = compressor().apply(&plan(coding.as_str()), before);
            for (name, value) in [
                ("content-encoding", coding.as_str()),
                ("vary", "Accept-Encoding"),
                ("etag", "W/\"x\""),
                ("content-length", ""),
                ("accept-ranges", ""),
            ] {
                assert_eq!(get(&after, name), value, "{coding:?} {name}");
            }
            assert_eq!(after.body().as_full().is_some(), is_whole, "what is in memory stays there");
            assert!(after.into_body().collect().await.unwrap().to_bytes().len() < 5000);
        }
    }
}

#[test]
fn what_is_never_compressed_stays_as_it_is() {
    for (what, pairs) in [
        ("compressed", &[JSON, ("content-encoding", "gzip")][..]),
        ("an image", &[("content-type", "image/png")]),
        ("a stream of events", &[("content-type", "text/event-stream; charset=utf-8")]),
        ("unknown", &[]),
        ("not to be changed", &[JSON, ("cache-control", "public, No-Transform")]),
        ("chosen", &[JSON, ("vary", "Origin, accept-encoding")]),
        ("a part", &[JSON, ("content-range", "bytes 0-1/2")]),
    ] {
        let after = compressor().apply(&plan("gzip"), answer(pairs, Body::full(text(1000))));
        assert_eq!(*after.headers(), *answer(pairs, Body::empty()).headers(), "{what}");
        assert_eq!(after.body().as_full(), Some(&text(1000)[..]), "{what}");
    }
    for status in [201, 204, 206, 304, 404, 502] {
        let mut before = answer(&[JSON], Body::full(text(1000)));
        *before.status_mut() = StatusCode::from_u16(status).unwrap();
        let after = compressor().apply(&plan("gzip"), before);
        assert_eq!(get(&after, "content-encoding"), "", "{status}");
    }
    let strong = Plan { has_strong_tags: true, ..plan("gzip") };
    let after = compressor().apply(&strong, answer(&[JSON, ("etag", "\"x\"")], Body::full(text(1000))));
    assert_eq!((get(&after, "etag"), get(&after, "vary")), ("\"x\"".to_owned(), String::new()));
}

#[tokio::test]
async fn a_small_body_goes_out_plain_but_to_those_who_refuse_that() {
    for (accepts, coding) in
        [("gzip", ""), ("gzip, identity;q=0", "gzip"), ("identity;q=0", ""), ("*;q=0", "")]
    {
        let after = compressor().apply(&plan(accepts), answer(&[JSON], Body::full(text(99))));
        assert_eq!(get(&after, "content-encoding"), coding, "{accepts}");
        assert_eq!(get(&after, "vary"), "Accept-Encoding", "{accepts}");
    }
    let announced = answer(&[JSON, ("content-length", "99")], streamed(99));
    assert_eq!(get(&compressor().apply(&plan("gzip"), announced), "content-encoding"), "");
    assert_eq!(
        get(&compressor().apply(&plan("gzip"), answer(&[JSON], streamed(99))), "content-encoding"),
        "gzip"
    );
}

#[test]
fn caches_are_told_also_where_nothing_is_compressed() {
    let headers = [("content-type", "text/css"), ("vary", "Accept"), ("etag", "\"x\"")];
    let after = compressor().apply(&plan("identity"), answer(&headers, Body::full(text(1000))));
    let vary: Vec<_> = after.headers().get_all("vary").iter().collect();
    assert_eq!(vary, ["Accept", "Accept-Encoding"]);
    assert_eq!(get(&after, "etag"), "\"x\"");
}

#[test]
fn an_answer_without_its_body_has_the_headers_of_the_one_with_it() {
    let mut same = answer(&[("etag", "\"x\"")], Body::empty());
    *same.status_mut() = StatusCode::NOT_MODIFIED;
    let same = compressor().apply(&plan("br"), same);
    assert_eq!(
        (get(&same, "etag"), get(&same, "vary")),
        ("W/\"x\"".to_owned(), "Accept-Encoding".to_owned())
    );
    assert_eq!(get(&same, "content-encoding"), "");
    let head = Plan { is_head: true, ..plan("br") };
    for (length, coding) in [("1000", "br"), ("99", "")] {
        let before = answer(
            &[("content-type", "text/css"), ("content-length", length), ("etag", "\"x\"")],
            Body::empty(),
        );
        let after = compressor().apply(&head, before);
        assert_eq!(get(&after, "content-encoding"), coding);
        // That of the compressed form is not known.
        assert_eq!(get(&after, "content-length"), if coding.is_empty() { length } else { "" });
        assert_eq!(get(&after, "etag").starts_with("W/"), !coding.is_empty());
        assert_eq!(get(&after, "vary"), "Accept-Encoding");
    }
}

#[tokio::test]
async fn what_is_compressed_at_once_is_bounded_and_the_rest_goes_out_plain() {
    let compressor = compressor();
    let open =
        || compressor.apply(&plan("br, gzip;q=0.5"), answer(&[JSON, ("etag", "\"x\"")], streamed(5000)));
    let mut answers = Vec::new();
    while let after = open()
        && !get(&after, "content-encoding").is_empty()
    {
        answers.push(after);
        assert!(answers.len() < 1000, "no end");
    }
    assert!(compressor.memory().held_bytes() <= COMPRESSION_BYTES);
    assert_eq!(answers.len(), COMPRESSION_BYTES / Coding::Brotli.working_bytes());
    let plain = open();
    assert_eq!(
        (get(&plain, "etag"), get(&plain, "vary")),
        ("\"x\"".to_owned(), "Accept-Encoding".to_owned())
    );
    assert_eq!(plain.into_body().collect().await.unwrap().to_bytes(), text(5000));
    drop(answers);
    // With a body ends the task that watches it.
    while compressor.memory().held_bytes() > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(get(&open(), "content-encoding"), "br");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_nothing_gives_the_memory_back() {
    let compressor = compressor();
    let endless = futures::stream::repeat_with(|| Ok::<_, BoxError>(Frame::data(text(1000))));
    let before = answer(&[JSON], Body::boxed(StreamBody::new(endless)));
    let mut after = compressor.apply(&plan("gzip"), before);
    assert!(after.body_mut().frame().await.unwrap().is_ok());
    assert!(compressor.memory().held_bytes() > 0);
    tokio::time::sleep(std::time::Duration::from_secs(61)).await;
    assert_eq!(compressor.memory().held_bytes(), 0);
    assert!(after.into_body().collect().await.is_err());
}

#[test]
fn routes_are_covered_by_their_key() {
    let forward = |target: &str, prefix: Option<&str>| {
        Route::Forward(crate::routing::Forward {
            cluster: ClusterName::local(),
            target: target.to_owned(),
            prefix: prefix.map(ToOwned::to_owned),
            body: crate::routing::BodyRule::Raw,
            qualify: None,
        })
    };
    let routes = [
        (Route::Web, true, false),
        (Route::GraphQl, false, true),
        (Route::Federation("clusters".to_owned()), false, true),
        (forward("/api/core/v2/users", None), false, true),
        (forward("/api/core/v2/users", Some("/c/alpha")), false, false),
        (forward("/auth/token", None), false, false),
        (forward("/version", None), false, false),
        (Route::Moved("/n/default".to_owned()), false, false),
        (Route::Probe(crate::routing::Probe::Ready), false, false),
    ];
    for (web_ui, api) in [(false, false), (true, false), (false, true), (true, true)] {
        let compressor = Compressor::new(Compression { web_ui, api, ..Compression::default() });
        for (route, is_web, is_api) in &routes {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
            let plan = compressor.plan(route, &Method::GET, &mut headers);
            assert_eq!(plan.is_some(), (web_ui && *is_web) || (api && *is_api), "{route:?}");
            let asks = headers.contains_key(header::ACCEPT_ENCODING);
            assert_eq!(asks, web_ui || !is_web, "{route:?}");
        }
    }
}
