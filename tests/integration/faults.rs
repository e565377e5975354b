//! What clusters and clients do wrong.

use std::time::Duration;

use http::{Method, StatusCode};
use http_body_util::BodyExt;
use tokio::time::Instant;

use crate::support::{Line, Setup, World};

const CHECKS: &str = "/api/core/v2/namespaces/default/checks";

/// A list of about `bytes` bytes, whose items say which cluster it is for.
fn list(cluster: &str, bytes: usize) -> String {
    let pad = "p".repeat(1000);
    let item = |n| {
        format!(r#"{{"metadata":{{"name":"{cluster}-{n}","namespace":"default"}},"pad":"{pad}","n":{n}.0}}"#)
    };
    let items: Vec<String> = (0..=bytes / 1050).map(item).collect();
    format!("[{}]", items.join(","))
}

fn merged(lists: &[(&str, String)]) -> String {
    let labelled = |(cluster, list): &(&str, String)| {
        let suffix = if *cluster == "local-cluster" { String::new() } else { format!("@{cluster}") };
        list[1..list.len() - 1]
            .replace(r#"{"metadata""#, &format!(r#"{{"cluster":"{cluster}","metadata""#))
            .replace(r#""namespace":"default""#, &format!(r#""namespace":"default{suffix}""#))
    };
    format!("[{}]", lists.iter().map(labelled).collect::<Vec<_>>().join(","))
}

/// Has every cluster answer with a list of that size, and says what the merged one is.
fn large(world: &World, bytes: usize) -> String {
    let lists = world.sensus().map(|sensu| (sensu.name(), list(sensu.name(), bytes)));
    for (sensu, (_, list)) in world.sensus().iter().zip(&lists) {
        sensu.faults().set_body(Some(list.clone().into()));
    }
    merged(&lists)
}

/// Reads a body that has to break; what had arrived by then.
async fn cut(world: &World, target: &str) -> Vec<u8> {
    let response = world.open(world.request(Method::GET, target, "")).await;
    assert_eq!(response.status(), StatusCode::OK);
    let mut body = response.into_body();
    let mut got = Vec::new();
    loop {
        match body.frame().await {
            Some(Ok(frame)) => got.extend_from_slice(&frame.into_data().unwrap()),
            Some(Err(_)) => break,
            None => panic!("the body ended as if it were complete, after {} bytes", got.len()),
        }
    }
    drop(body);
    settled(world).await;
    assert!(serde_json::from_slice::<serde_json::Value>(&got).is_err(), "a cut list must not parse");
    got
}

/// Lets tasks that were given up end, then looks at what is held.
async fn settled(world: &World) {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    world.nothing_is_held();
}

async fn clusters(world: &World) -> String {
    let answer = world.get(CHECKS).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    world.nothing_is_held();
    answer.header("fedgate-clusters").to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_hanging_member_costs_its_deadline_only() {
    let world = World::new();
    world.put_check(&world.local, "disk").await;
    world.put_check(&world.beta, "disk").await;
    world.alpha.faults().set_hang(true);
    let begun = Instant::now();
    let answer = world.get(CHECKS).await;
    assert_eq!(begun.elapsed().as_secs(), 10);
    assert_eq!(answer.each("/cluster"), ["local-cluster", "beta"]);
    assert_eq!(
        answer.header("fedgate-clusters"),
        r#""local-cluster";status=200, "alpha";error=timeout, "beta";status=200"#
    );
    let strict = world.get(&format!("{CHECKS}?partial=false")).await;
    assert_eq!(strict.status, StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(strict.json()["clusters"]["alpha"], "timeout");
}

#[tokio::test(start_paused = true)]
async fn when_all_hang_the_answer_is_504() {
    let world = World::new();
    for sensu in world.sensus() {
        sensu.faults().set_hang(true);
    }
    let begun = Instant::now();
    let answer = world.get(CHECKS).await;
    assert_eq!((answer.status, begun.elapsed().as_secs()), (StatusCode::GATEWAY_TIMEOUT, 10));
    let alone = world.get("/api/core/v2/namespaces/default@alpha/checks/x").await;
    alone.is(504, r#"{"message":"cluster \"alpha\" did not answer in time","code":0}"#);
    settled(&world).await;
}

#[tokio::test(start_paused = true)]
async fn a_member_that_stalls_within_its_body_times_out() {
    let world = World::new();
    world.net.set("alpha", Line::Stalls("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n[{}".into()));
    let begun = Instant::now();
    assert_eq!(
        clusters(&world).await,
        r#""local-cluster";status=200, "alpha";error=timeout, "beta";status=200"#
    );
    assert_eq!(begun.elapsed().as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_slow_member_is_waited_for() {
    let world = World::new();
    world.put_check(&world.alpha, "disk").await;
    world.alpha.faults().set_delay(Some(Duration::from_secs(9)));
    let begun = Instant::now();
    assert_eq!(world.get(CHECKS).await.each("/cluster"), ["alpha"]);
    assert_eq!(begun.elapsed().as_secs(), 9);
}

#[tokio::test]
async fn a_body_that_is_not_a_list_fails_its_member_only() {
    let world = World::new();
    world.put_check(&world.local, "disk").await;
    for body in [
        "",
        "{",
        "[",
        "[{}",
        "[{]",
        "[{},]",
        "[1]",
        "[{}] x",
        "[{}][{}]",
        "<html>",
        "{\"message\":\"x\"}",
        "\"x\"",
        "[{\"a\":}]",
        "[{a:1}]",
        "[{\"a\":1 \"b\":2}]",
        "[{\"a\":truth}]",
        "[{\"\u{1}\":1}]",
        "[{\"a\":\"\\x\"}]",
    ] {
        world.net.script("alpha", "200 OK\r\ncontent-type: application/json", body);
        let clusters = clusters(&world).await;
        assert!(clusters.contains(r#""alpha";error=bad-body"#), "{body:?}: {clusters}");
        assert_eq!(world.get(CHECKS).await.each("/cluster"), ["local-cluster"], "{body:?}");
    }
}

#[tokio::test]
async fn each_wrong_answer_of_a_member_has_its_class() {
    let world = World::new();
    for (head, body, error) in [
        ("200 OK\r\ncontent-type: text/html", "<!doctype html><p>Sign in", "bad-body"),
        ("200 OK\r\ncontent-encoding: gzip", "[]", "bad-body"),
        ("502 Bad Gateway", "<html>", "server-error"),
        ("503 Service Unavailable\r\nretry-after: 3", "", "server-error"),
        ("302 Found\r\nlocation: /login", "", "server-error"),
        ("204 No Content", "", "server-error"),
        ("401 Unauthorized", "", "unauthorized"),
        ("403 Forbidden", "", "forbidden"),
        ("404 Not Found", "", "not-found"),
        ("101 Switching Protocols\r\nupgrade: x", "", "server-error"),
    ] {
        world.net.script("alpha", head, body);
        let clusters = clusters(&world).await;
        assert!(clusters.contains(&format!(r#""alpha";error={error}"#)), "{head}: {clusters}");
    }
    for (said, error) in [
        ("", "unreachable"),
        ("HTTP/1.1 200 OK\r\ncontent-le", "unreachable"),
        ("SSH-2.0-x\r\n", "server-error"),
        ("HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n[]", "server-error"),
    ] {
        world.net.set("alpha", Line::Scripted(said.into()));
        let clusters = clusters(&world).await;
        assert!(clusters.contains(&format!(r#""alpha";error={error}"#)), "{said:?}: {clusters}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_member_that_refuses_connections_is_not_tried_for_a_while() {
    let world = World::new();
    world.net.set("alpha", Line::Refused);
    for _ in 0..5 {
        assert!(clusters(&world).await.contains(r#""alpha";error=unreachable"#));
    }
    assert!(clusters(&world).await.contains(r#""alpha";error=breaker-open"#));
    let one = world.get("/api/core/v2/namespaces/default@alpha/checks/disk").await;
    let message = r#"{"message":"cluster \"alpha\" is unreachable: connecting failed several times, try again in some seconds","code":0}"#;
    one.is(502, message);
    world.net.set("alpha", Line::Up);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(clusters(&world).await.contains(r#""alpha";status=200"#));
}

#[tokio::test]
async fn a_short_body_that_breaks_off_is_reported() {
    let world = World::new();
    world.put_check(&world.alpha, "disk").await;
    world.alpha.faults().set_truncate(Some(40));
    assert!(clusters(&world).await.contains(r#""alpha";error=bad-body"#));
    let world = World::new();
    world.net.set(
        "beta",
        Line::Scripted("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n[]\r\n".into()),
    );
    assert!(clusters(&world).await.contains(r#""beta";error=bad-body"#));
}

#[tokio::test]
async fn long_lists_stream_in_order() {
    let world = World::new();
    let expected = large(&world, 3 << 20);
    let answer = world.get(CHECKS).await;
    assert!(answer.text() == expected, "{} and {} bytes", answer.body.len(), expected.len());
    assert_eq!(answer.header("fedgate-complete"), "true");
    settled(&world).await;
}

#[tokio::test]
async fn a_long_list_next_to_short_and_failed_ones_is_merged_in_order() {
    let world = World::new();
    let long = list("alpha", 3 << 20);
    world.alpha.faults().set_body(Some(long.clone().into()));
    world.local.faults().set_body(Some(list("local-cluster", 1).into()));
    world.net.set("beta", Line::Refused);
    let answer = world.get(CHECKS).await;
    let expected = merged(&[("local-cluster", list("local-cluster", 1)), ("alpha", long)]);
    assert!(answer.text() == expected);
    assert_eq!(
        answer.header("fedgate-clusters"),
        r#""local-cluster";status=200, "alpha";status=200, "beta";error=unreachable"#
    );
    world.local.faults().set_body(Some("[]".into()));
    world.net.set("beta", Line::Up);
    let answer = world.get(CHECKS).await;
    assert!(answer.text() == merged(&[("alpha", list("alpha", 3 << 20))]));
    settled(&world).await;
}

#[tokio::test]
async fn many_fan_outs_share_little_memory_without_blocking_each_other() {
    let mut setup = Setup { buffered: 512 << 10, ..Setup::default() };
    setup.settings.fan_out.read_ahead_bytes = 256 << 10;
    let world = World::with(setup);
    let expected = large(&world, 2 << 20);
    let answers = futures::future::join_all((0..6).map(|_| world.get(CHECKS))).await;
    assert!(answers.iter().all(|answer| answer.text() == expected));
    settled(&world).await;
}

#[tokio::test]
async fn a_member_that_breaks_off_after_the_head_cuts_the_answer() {
    for broken in ["local-cluster", "alpha", "beta"] {
        let world = World::new();
        large(&world, 3 << 20);
        let sensu = world.sensus().into_iter().find(|sensu| sensu.name() == broken).unwrap();
        sensu.faults().set_truncate(Some(5 << 19));
        cut(&world, CHECKS).await;
    }
}

#[tokio::test]
async fn a_body_that_turns_bad_after_the_head_cuts_the_answer() {
    let good = list("alpha", 3 << 20);
    let cut_short = &good[..good.len() - 1];
    for bad in [format!("{cut_short},]"), cut_short.to_owned(), format!("{good}x"), format!("{cut_short},1]")]
    {
        let world = World::new();
        world.alpha.faults().set_body(Some(bad.into()));
        cut(&world, CHECKS).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_member_that_stalls_after_the_head_cuts_the_answer() {
    let world = World::new();
    let body = list("alpha", 3 << 20);
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len() + 1);
    world.net.set("alpha", Line::Stalls(head + &body[..body.len() - 1]));
    let begun = Instant::now();
    cut(&world, CHECKS).await;
    assert_eq!(begun.elapsed().as_secs(), 15);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_pauses_still_gets_its_list() {
    let mut setup = Setup::default();
    setup.settings.fan_out.buffer_bytes = 64 << 10;
    setup.settings.fan_out.read_ahead_bytes = 256 << 10;
    let world = World::with(setup);
    let expected = large(&world, 2 << 20);
    let response = world.open(world.request(Method::GET, CHECKS, "")).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let held = world.fan_outs.buffered_bytes();
    assert!(held < 1 << 20, "{held} bytes are buffered for a client that does not read");
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert!(body == expected);
    settled(&world).await;
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_nothing_behind() {
    let world = World::new();
    large(&world, 3 << 20);
    // Before the first byte, after it, and before the head.
    let response = world.open(world.request(Method::GET, CHECKS, "")).await;
    assert!(world.fan_outs.buffered_bytes() > 0);
    drop(response);
    settled(&world).await;
    let mut body = world.open(world.request(Method::GET, CHECKS, "")).await.into_body();
    body.frame().await.unwrap().unwrap();
    drop(body);
    settled(&world).await;
    world.alpha.faults().set_hang(true);
    let mut waiting = Box::pin(world.open(world.request(Method::GET, CHECKS, "")));
    for _ in 0..1000 {
        assert!(futures::FutureExt::now_or_never(&mut waiting).is_none());
        tokio::task::yield_now().await;
    }
    assert!(world.fan_outs.buffered_bytes() > 0 && world.fan_outs.in_flight() == 1);
    drop(waiting);
    settled(&world).await;
}

#[tokio::test]
async fn fan_outs_beyond_the_bound_are_503_until_one_ends() {
    let world = World::with(Setup { fan_outs: 1, ..Setup::default() });
    world.alpha.faults().set_hang(true);
    let mut first = Box::pin(world.open(world.request(Method::GET, CHECKS, "")));
    assert!(futures::FutureExt::now_or_never(&mut first).is_none());
    let answer = world.get(CHECKS).await;
    assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (503, "1"));
    assert_eq!(answer.json()["code"], 0);
    // Anything but a list goes on.
    assert_eq!(world.get("/api/core/v2/users").await.status, StatusCode::OK);
    drop(first);
    world.alpha.faults().set_hang(false);
    assert_eq!(world.get(CHECKS).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_member_over_its_bound_is_too_large() {
    let mut setup = Setup::default();
    setup.settings.fan_out.max_member_bytes = 100_000;
    let world = World::with(setup);
    world.alpha.faults().set_body(Some(list("alpha", 200_000).into()));
    assert!(clusters(&world).await.contains(r#""alpha";error=too-large"#));

    let mut setup = Setup::default();
    setup.settings.fan_out.max_member_bytes = 2 << 20;
    let world = World::with(setup);
    world.alpha.faults().set_body(Some(list("alpha", 3 << 20).into()));
    cut(&world, CHECKS).await;
}

#[tokio::test]
async fn a_single_item_whose_body_breaks_is_502_and_a_long_one_is_cut() {
    let world = World::new();
    world.put_check(&world.alpha, "disk").await;
    world.alpha.faults().set_truncate(Some(40));
    for target in [
        "/api/core/v2/namespaces/default@alpha/checks/disk",
        "/c/alpha/api/core/v2/namespaces/default/checks/disk",
    ] {
        assert_eq!(world.get(target).await.status, StatusCode::BAD_GATEWAY, "{target}");
    }
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 300000\r\n\r\n";
    let world = World::new();
    world.net.set("alpha", Line::Scripted(format!("{head}{}", "x".repeat(200_000))));
    let raw = "/c/alpha/api/core/v2/namespaces/default/checks/disk";
    let response = world.open(world.request(Method::GET, raw, "")).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert!(response.into_body().collect().await.is_err());
}

#[tokio::test]
async fn a_connection_dropped_without_an_answer_is_502() {
    let world = World::new();
    world.net.set("alpha", Line::Scripted(String::new()));
    let answer = world.get("/c/alpha/api/core/v2/users").await;
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    assert!(answer.json()["message"].as_str().unwrap().contains("alpha"));
}
