use std::time::Duration;

use bytes::Bytes;
use futures::{FutureExt, Stream, TryStreamExt, future::BoxFuture, stream};
use http::StatusCode;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tokio::sync::mpsc;

use super::*;
use crate::{error::BoxError, member::Member, types::ClusterName};

/// What a scripted member does.
enum Script {
    /// Answers with these pieces of a body.
    Pieces(StatusCode, Vec<&'static [u8]>),
    /// Answers 200 and then what the test sends, until the sender is dropped.
    Live(parking_lot::Mutex<Option<mpsc::Receiver<Result<Bytes, BoxError>>>>),
    /// Fails at once.
    Fails(FailureClass),
    /// Never answers.
    Hangs,
}

struct Scripted {
    name: ClusterName,
    script: Script,
}

/// A body whose frames are the items of a stream.
fn body(pieces: impl Stream<Item = Result<Bytes, BoxError>> + Send + 'static) -> Body {
    Body::boxed(StreamBody::new(pieces.map_ok(Frame::data)))
}

impl Member for Scripted {
    fn name(&self) -> &ClusterName {
        &self.name
    }

    fn send(&self, _: Request<Bytes>) -> BoxFuture<'_, Result<Response<Body>, FailureClass>> {
        let answer = match &self.script {
            Script::Pieces(status, pieces) => {
                let pieces: Vec<_> = pieces.iter().map(|piece| Ok(Bytes::from_static(piece))).collect();
                let mut response = Response::new(body(stream::iter(pieces)));
                *response.status_mut() = *status;
                Ok(response)
            }
            Script::Live(live) => {
                let mut pieces = live.lock().take().unwrap();
                Ok(Response::new(body(stream::poll_fn(move |cx| pieces.poll_recv(cx)))))
            }
            Script::Fails(failure) => Err(*failure),
            Script::Hangs => return std::future::pending().boxed(),
        };
        std::future::ready(answer).boxed()
    }
}

fn ask(name: &str, script: Script) -> Candidate {
    Candidate::Send(Arc::new(Scripted { name: name.parse().unwrap(), script }))
}

fn good(name: &str, pieces: &[&'static [u8]]) -> Candidate {
    ask(name, Script::Pieces(StatusCode::OK, pieces.to_vec()))
}

fn live(name: &str) -> (mpsc::Sender<Result<Bytes, BoxError>>, Candidate) {
    let (sender, receiver) = mpsc::channel(1024);
    (sender, ask(name, Script::Live(Some(receiver).into())))
}

fn config() -> Config {
    Config {
        member_timeout: Duration::from_secs(10),
        buffer_bytes: 64,
        read_ahead_bytes: 256,
        max_member_bytes: 4096,
        ..Config::default()
    }
}

fn query(members: Vec<Candidate>) -> Query {
    Query { members, request: Request::new(()), shape: Shape::Resource, strict: false, api_key: false }
}

async fn run(query: Query) -> (Response<()>, Result<String, BoxError>) {
    let shared = Shared::new(10, 1 << 20);
    let response = fan_out(&config(), &shared, query).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = body.collect().await.map(|body| String::from_utf8(body.to_bytes().to_vec()).unwrap());
    assert_eq!((shared.buffered_bytes(), shared.in_flight()), (0, 0), "everything is given back");
    (Response::from_parts(parts, ()), body)
}

fn clusters(response: &Response<()>) -> &str {
    response.headers()["fedgate-clusters"].to_str().unwrap()
}

fn item(name: &str) -> String {
    format!(r#"{{"metadata":{{"name":"{name}","namespace":"default"}}}}"#)
}

#[tokio::test]
async fn lists_are_joined_in_order_with_labels_and_qualified_namespaces() {
    let (response, body) = run(query(vec![
        good("local-cluster", &[br#"[{"metadata":{"namespace":"default"}}, {"a":1}]"#]),
        good("alpha", &[b"[", br#"{"metadata":{"name"#, br#"space":"x"}}"#, b"]"]),
        good("beta", &[b"[]"]),
        good("gamma", &[b"[{}]"]),
    ]))
    .await;
    assert_eq!(
        body.unwrap(),
        concat!(
            r#"[{"cluster":"local-cluster","metadata":{"namespace":"default"}},{"cluster":"local-cluster","a":1},"#,
            r#"{"cluster":"alpha","metadata":{"namespace":"x@alpha"}},{"cluster":"gamma"}]"#
        )
    );
    assert_eq!(response.headers()["fedgate-complete"], "true");
}

#[tokio::test]
async fn no_items_anywhere_is_an_empty_list() {
    let (response, body) =
        run(query(vec![good("local-cluster", &[b"[]"]), good("alpha", &[b" [ ] "])])).await;
    assert_eq!((response.status(), body.unwrap().as_str()), (StatusCode::OK, "[]"));
}

#[tokio::test(start_paused = true)]
async fn failed_members_are_named_and_the_others_unharmed() {
    let (response, body) = run(query(vec![
        good("local-cluster", &[b"[{}]"]),
        ask("a", Script::Fails(FailureClass::Unreachable)),
        ask("b", Script::Hangs),
        ask("c", Script::Pieces(StatusCode::FORBIDDEN, vec![b"{}"])),
        good("d", &[b"[{\"a\":1}"]),
        good("e", &[b"<html>"]),
        good("f", &[br#"[{"a":tru}]"#]),
        ask("g", Script::Pieces(StatusCode::BAD_GATEWAY, vec![b"no"])),
    ]))
    .await;
    assert_eq!(body.unwrap(), r#"[{"cluster":"local-cluster"}]"#);
    assert_eq!(response.headers()["fedgate-complete"], "false");
    assert_eq!(
        clusters(&response),
        r#""local-cluster";status=200, "a";error=unreachable, "b";error=timeout, "c";error=forbidden, "d";error=bad-body, "e";error=bad-body, "f";error=bad-body, "g";error=server-error"#
    );
}

#[tokio::test(start_paused = true)]
async fn the_status_follows_from_what_the_members_did() {
    let fails = |failure| ask("a", Script::Fails(failure));
    let status =
        |code: u16| ask("b", Script::Pieces(StatusCode::from_u16(code).unwrap(), vec![b"{\"x\":1}"]));
    for (members, strict, expected) in [
        (vec![fails(FailureClass::Timeout)], false, 504),
        (vec![fails(FailureClass::Timeout), fails(FailureClass::Unreachable)], false, 502),
        (vec![good("local-cluster", &[b"[]"]), fails(FailureClass::Timeout)], true, 504),
        (vec![good("local-cluster", &[b"[]"]), fails(FailureClass::Unreachable)], true, 502),
        (vec![good("local-cluster", &[b"[]"])], true, 200),
        (vec![status(403), status(403)], false, 403),
        (vec![status(404)], false, 404),
        (vec![status(403), status(404)], false, 502),
        (vec![status(401)], false, 401),
        (vec![status(401), status(401)], false, 401),
        (vec![status(401), status(401)], true, 401),
        (vec![status(401), status(403)], false, 502),
        (vec![status(401), fails(FailureClass::Timeout)], false, 502),
        (vec![good("local-cluster", &[b"[]"]), status(401)], false, 200),
        (vec![good("local-cluster", &[b"[]"]), status(401)], true, 502),
        (vec![status(500)], false, 502),
    ] {
        let mut query = query(members);
        query.strict = strict;
        let (response, body) = run(query).await;
        assert_eq!(response.status().as_u16(), expected, "{}", clusters(&response));
        if expected == 403 {
            assert_eq!(body.unwrap(), "{\"x\":1}", "in Sensu's own words");
        } else if expected == 401 {
            assert_eq!(body.unwrap(), "{\"Code\":5,\"Message\":\"invalid credentials\"}");
        }
    }
}

#[tokio::test]
async fn a_refused_api_key_is_passed_on_as_it_is() {
    let mut query = query(vec![
        ask("local-cluster", Script::Pieces(StatusCode::UNAUTHORIZED, vec![b"no key"])),
        Candidate::Skip("alpha".parse().unwrap(), FailureClass::Unauthorized),
    ]);
    query.api_key = true;
    let (response, body) = run(query).await;
    assert_eq!((response.status(), body.unwrap().as_str()), (StatusCode::UNAUTHORIZED, "no key"));
}

#[tokio::test]
async fn a_namespaces_list_without_rights_counts_as_empty() {
    let refused = br#"{"message":"request unauthorized","code":0}"#;
    let mut query = query(vec![
        good("local-cluster", &[br#"[{"name":"default"}]"#]),
        ask("alpha", Script::Pieces(StatusCode::INTERNAL_SERVER_ERROR, vec![refused])),
    ]);
    query.shape = Shape::Namespace;
    let (response, body) = run(query).await;
    assert_eq!(body.unwrap(), r#"[{"cluster":"local-cluster","name":"default"}]"#);
    assert_eq!(response.headers()["fedgate-complete"], "true");
}

#[tokio::test(start_paused = true)]
async fn long_members_stream_in_order_after_the_commit() {
    let (first, one) = live("local-cluster");
    let (second, two) = live("alpha");
    let feed = tokio::spawn(async move {
        // The second is ready long before the first.
        second.send(Ok(format!("[{},{}]", item("c"), item("d")).into())).await.unwrap();
        drop(second);
        first.send(Ok(format!("[{}", item("a")).into())).await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        first.send(Ok(format!(",{},", item("long")).into())).await.unwrap();
        tokio::time::sleep(Duration::from_secs(60)).await;
        first.send(Ok(format!("{}]", item("b")).into())).await.unwrap();
    });
    let (response, body) = run(query(vec![one, two])).await;
    feed.await.unwrap();
    let list: Vec<serde_json::Value> = serde_json::from_str(&body.unwrap()).unwrap();
    let names: Vec<&str> = list.iter().filter_map(|item| item["metadata"]["name"].as_str()).collect();
    assert_eq!(names, ["a", "long", "b", "c", "d"]);
    assert_eq!(response.headers()["fedgate-complete"], "true");
}

#[tokio::test(start_paused = true)]
async fn a_failure_after_the_commit_cuts_the_answer() {
    for broken in [Ok(Bytes::from_static(b"]]")), Err(BoxError::from("reset"))] {
        let (sender, member) = live("alpha");
        tokio::spawn(async move {
            sender.send(Ok(format!("[{},{}", item("a"), item("b")).into())).await.unwrap();
            tokio::time::sleep(Duration::from_secs(1)).await;
            let _ = sender.send(broken).await;
        });
        let (response, body) = run(query(vec![good("local-cluster", &[b"[{}]"]), member])).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert!(body.is_err(), "the client must notice");
    }
}

#[tokio::test]
async fn a_member_over_its_largest_size_is_too_large() {
    let whole = format!("[{}]", vec![item("a"); 200].join(","));
    let (sender, member) = live("alpha");
    sender.send(Ok(whole.into())).await.unwrap();
    drop(sender);
    let (response, _) = run(query(vec![good("local-cluster", &[b"[]"]), member])).await;
    assert_eq!(clusters(&response), r#""local-cluster";status=200, "alpha";error=too-large"#);
}

#[tokio::test(start_paused = true)]
async fn reading_stops_at_the_bounds_while_the_client_blocks() {
    let (first, one) = live("local-cluster");
    let (second, two) = live("alpha");
    for sender in [&first, &second] {
        sender.send(Ok(Bytes::from_static(b"["))).await.unwrap();
        for _ in 0..900 {
            sender.send(Ok(format!("{},", item("a")).into())).await.unwrap();
        }
    }
    let shared = Shared::new(10, 1 << 20);
    let mut config = config();
    config.max_member_bytes = 1 << 30;
    let response = fan_out(&config, &shared, query(vec![one, two])).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let held = shared.buffered_bytes();
    // Two shares, the read-ahead, and at most one read more for each.
    assert!(held <= 2 * 64 + 256 + 2 * 128 * 1024, "{held}");
    drop(response);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!((shared.buffered_bytes(), shared.in_flight()), (0, 0));
    assert!(first.is_closed() && second.is_closed(), "nobody reads for a client that left");
}

#[tokio::test]
async fn past_the_limit_of_fan_outs_the_client_is_asked_to_come_again() {
    let shared = Shared::new(0, 1 << 20);
    let refused = fan_out(&config(), &shared, query(vec![good("local-cluster", &[b"[]"])])).await;
    assert!(refused.is_err());
    assert_eq!(shared.in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn without_room_in_the_process_lists_still_arrive() {
    let shared = Shared::new(10, 1);
    let (first, one) = live("local-cluster");
    let (second, two) = live("alpha");
    tokio::spawn(async move {
        for sender in [first, second] {
            sender.send(Ok(Bytes::from_static(b"["))).await.unwrap();
            for n in 0..50 {
                let comma = if n == 0 { "" } else { "," };
                sender.send(Ok(format!("{comma}{}", item("a")).into())).await.unwrap();
            }
            sender.send(Ok(Bytes::from_static(b"]"))).await.unwrap();
        }
    });
    let mut config = config();
    config.max_member_bytes = 1 << 30;
    let response = fan_out(&config, &shared, query(vec![one, two])).await.unwrap();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let list: Vec<serde_json::Value> = serde_json::from_slice(&body).unwrap();
    assert_eq!(list.len(), 100);
    assert_eq!(shared.buffered_bytes(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_member_that_fails_while_others_are_still_asked_is_only_reported() {
    let (slow, local) = live("local-cluster");
    let (broken, alpha) = live("alpha");
    let (long, beta) = live("beta");
    let feed = tokio::spawn(async move {
        let much = format!("[{},{}", item("a"), item("b"));
        broken.send(Ok(much.clone().into())).await.unwrap();
        broken.send(Err(BoxError::from("reset"))).await.unwrap();
        long.send(Ok(much.into())).await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        slow.send(Ok(Bytes::from_static(b"[]"))).await.unwrap();
        drop(slow);
        tokio::time::sleep(Duration::from_secs(1)).await;
        long.send(Ok(Bytes::from_static(b"]"))).await.unwrap();
    });
    let (response, body) = run(query(vec![local, alpha, beta])).await;
    feed.await.unwrap();
    assert_eq!(
        clusters(&response),
        r#""local-cluster";status=200, "alpha";error=bad-body, "beta";status=200"#
    );
    let list: Vec<serde_json::Value> = serde_json::from_str(&body.unwrap()).unwrap();
    assert!(list.iter().all(|item| item["cluster"] == "beta") && list.len() == 2);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_loses_its_list_and_frees_what_it_held() {
    let (sender, member) = live("alpha");
    sender.send(Ok(Bytes::from_static(b"["))).await.unwrap();
    for _ in 0..900 {
        sender.send(Ok(format!("{},", item("a")).into())).await.unwrap();
    }
    let shared = Shared::new(10, 1 << 20);
    let mut config = config();
    config.max_member_bytes = 1 << 30;
    let response = fan_out(&config, &shared, query(vec![member])).await.unwrap();
    assert_eq!(shared.in_flight(), 1);
    tokio::time::sleep(Duration::from_secs(61)).await;
    assert_eq!((shared.buffered_bytes(), shared.in_flight()), (0, 0));
    assert!(response.into_body().collect().await.is_err(), "what is missing is not hidden");
}

#[tokio::test]
async fn an_api_keys_refusal_by_the_one_cluster_asked_is_the_answer() {
    let mut query = query(vec![
        ask("local-cluster", Script::Pieces(StatusCode::FORBIDDEN, vec![b"no right"])),
        Candidate::Skip("alpha".parse().unwrap(), FailureClass::Unauthorized),
    ]);
    query.api_key = true;
    let (response, body) = run(query).await;
    assert_eq!((response.status(), body.unwrap().as_str()), (StatusCode::FORBIDDEN, "no right"));
}
