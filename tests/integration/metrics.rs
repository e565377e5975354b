//! What Prometheus scrapes.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write as _,
    process::{Command, Stdio},
    time::Duration,
};

use fedgate::sim::Sensu;
use http::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{Running, h1, read, request_of};

const CLUSTERS: &str = "/api/enterprise/federation/v1/clusters";

/// The samples of a scrape by name and labels, as they are written.
struct Scrape(BTreeMap<String, String>);

// === impl Scrape ===

impl Scrape {
    async fn of(server: &Running) -> Self {
        Self::read(&page(server).await)
    }

    fn read(page: &str) -> Self {
        let samples = page.lines().filter(|line| !line.starts_with('#'));
        let parse = |line: &str| {
            let (series, value) = line.rsplit_once(' ').unwrap();
            value.parse::<f64>().unwrap_or_else(|_| panic!("{line}"));
            (series.to_owned(), value.to_owned())
        };
        Self(samples.map(parse).collect())
    }

    /// A whole number.
    fn value(&self, series: &str) -> u64 {
        let value = self.0.get(series).unwrap_or_else(|| panic!("{series} is missing in {:#?}", self.0));
        value.parse().unwrap_or_else(|_| panic!("{series} is {value}"))
    }

    fn mentions(&self, text: &str) -> bool {
        self.0.keys().any(|series| series.contains(text))
    }
}

pub(crate) async fn page(server: &Running) -> String {
    let answer = h1(server.admin).await.send_request(server.request("/metrics")).await.unwrap();
    let (status, body) = read(answer).await;
    assert_eq!(status, 200);
    String::from_utf8(body.to_vec()).unwrap()
}

/// A gateway that has answered a request of each kind; `alpha` fails in the last list.
async fn busy() -> (Running, Sensu) {
    let server = Running::start().await;
    let alpha = server.register("alpha").await;
    for target in
        ["/api/core/v2/checks", "/api/core/v2/namespaces/default@alpha/checks", "/c/alpha/version", "/readyz"]
    {
        assert_eq!(server.send(server.request(target)).await.0, 200, "{target}");
    }
    assert_eq!(server.send(server.request("/api/core/v2/namespaces/default/checks/none")).await.0, 404);
    let query = json!({"query": "{ viewer { namespaces { name } } }"});
    server.call(Method::POST, "/graphql", &query, 200).await;
    server.call(Method::POST, "/graphql", &query, 200).await;
    alpha.faults().set_status(Some(503));
    server.call(Method::GET, "/api/core/v2/checks", &Value::Null, 200).await;
    (server, alpha)
}

#[tokio::test]
async fn requests_of_every_kind_are_counted_with_what_they_caused() {
    let (server, _alpha) = busy().await;
    let scrape = Scrape::of(&server).await;
    for (series, least) in [
        (r#"fedgate_requests_total{route="list",method="GET",code="200"}"#, 3),
        (r#"fedgate_requests_total{route="forward",method="GET",code="404"}"#, 1),
        (r#"fedgate_requests_total{route="raw",method="GET",code="200"}"#, 1),
        (r#"fedgate_requests_total{route="gateway",method="GET",code="200"}"#, 1),
        (r#"fedgate_requests_total{route="federation",method="PUT",code="201"}"#, 1),
        (r#"fedgate_requests_total{route="graphql",method="POST",code="200"}"#, 2),
        (r#"fedgate_request_duration_seconds_count{route="list"}"#, 3),
        (r#"fedgate_request_duration_seconds_bucket{route="list",le="30"}"#, 3),
        (r#"fedgate_response_bytes_total{route="list"}"#, 6),
        (r#"fedgate_upstream_requests_total{cluster="alpha",code="200"}"#, 3),
        (r#"fedgate_upstream_requests_total{cluster="alpha",code="503"}"#, 1),
        (r#"fedgate_upstream_requests_total{cluster="local-cluster",code="404"}"#, 1),
        (r#"fedgate_upstream_duration_seconds_count{cluster="alpha"}"#, 4),
        (r#"fedgate_upstream_connections{cluster="local-cluster"}"#, 1),
        (r#"fedgate_fanout_member_failures_total{cluster="alpha",error="server-error"}"#, 1),
        (r#"fedgate_auth_total{result="ok"}"#, 7),
        (r#"fedgate_token_cache_total{result="hit"}"#, 1),
        (r#"fedgate_graphql_operations_total{kind="query"}"#, 2),
        (r#"fedgate_graphql_plan_cache_total{result="hit"}"#, 1),
        ("fedgate_graphql_members_asked_total", 4),
        ("fedgate_listener_accepted_total", 9),
        ("fedgate_listener_connections_limit", 100),
        ("fedgate_fanouts_limit", 1000),
        (r#"fedgate_held_bytes_limit{kind="lists"}"#, 1_000_000),
        ("fedgate_registry_clusters", 2),
        ("fedgate_registry_up", 1),
        ("fedgate_config_last_reload_successful", 1),
        ("process_resident_memory_bytes", 1_000_000),
        ("process_open_fds", 5),
    ] {
        assert!(scrape.value(series) >= least, "{series} is {}", scrape.value(series));
    }
    for series in [
        r#"fedgate_fanout_member_failures_total{cluster="local-cluster",error="server-error"}"#,
        "fedgate_fanouts_in_flight",
        r#"fedgate_held_bytes{kind="lists"}"#,
        "fedgate_requests_in_flight",
        r#"fedgate_upstream_requests_in_flight{cluster="alpha"}"#,
    ] {
        assert_eq!(scrape.value(series), 0, "{series}");
    }
}

#[tokio::test]
async fn promtool_finds_nothing_wrong_with_a_scrape() {
    let (server, _alpha) = busy().await;
    let page = page(&server).await;
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("promtool cannot be started ({error}): apt-get install prometheus"));
    promtool.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.trim().is_empty(), "{said}");
}

#[tokio::test]
async fn what_clients_make_up_is_never_a_label() {
    let server = Running::start().await;
    let before: BTreeSet<String> = Scrape::of(&server).await.0.into_keys().collect();
    for n in 0..20 {
        let path = format!("/c/made-up-{n}/version");
        server.call(Method::GET, &path, &Value::Null, 404).await;
        let path = format!("/api/core/v2/namespaces/default@made-up-{n}/checks");
        server.call(Method::GET, &path, &Value::Null, 404).await;
        let method = Method::from_bytes(format!("MADE-UP-{n}").as_bytes()).unwrap();
        server.send(request_of(&server.token, method, "/made-up", "")).await;
        server.send(request_of(&format!("made-up-{n}"), Method::GET, "/api/core/v2/checks", "")).await;
    }
    let scrape = Scrape::of(&server).await;
    assert!(!scrape.mentions("made-up") && !scrape.mentions("MADE-UP"));
    let new: Vec<_> = scrape.0.keys().filter(|series| !before.contains(*series)).collect();
    // A route, a method and a code for each kind of refusal.
    assert!(new.len() <= 12, "{new:#?}");
}

#[tokio::test]
async fn the_series_of_a_removed_cluster_end() {
    let (server, _alpha) = busy().await;
    assert!(Scrape::of(&server).await.mentions(r#"cluster="alpha""#));
    server.call(Method::DELETE, &format!("{CLUSTERS}/alpha"), &Value::Null, 204).await;
    // The prober forgets it as soon as it is scheduled.
    tokio::time::timeout(Duration::from_secs(30), async {
        while Scrape::of(&server).await.mentions(r#"cluster="alpha""#) {}
    })
    .await
    .expect("its series end");
    let alpha = server.register("alpha").await;
    server.call(Method::GET, "/c/alpha/version", &Value::Null, 200).await;
    drop(alpha);
    let again = r#"fedgate_upstream_requests_total{cluster="alpha",code="200"}"#;
    assert_eq!(Scrape::of(&server).await.value(again), 1, "it begins anew");
}

#[tokio::test]
async fn a_cluster_that_changes_keeps_its_counts() {
    let (server, _alpha) = busy().await;
    let series = r#"fedgate_upstream_requests_total{cluster="alpha",code="200"}"#;
    let before = Scrape::of(&server).await.value(series);
    let sensu = server.register("alpha").await;
    server.call(Method::GET, "/c/alpha/version", &Value::Null, 200).await;
    drop(sensu);
    assert_eq!(Scrape::of(&server).await.value(series), before + 1);
}

#[tokio::test]
async fn clients_that_leave_and_what_cannot_be_read_are_counted() {
    let server = Running::start().await;
    server.sensu.faults().set_delay(Some(Duration::from_secs(3600)));
    let mut client = tokio::net::TcpStream::connect(server.main).await.unwrap();
    let head = format!(
        "GET /api/core/v2/namespaces/default/checks/x HTTP/1.1\r\nhost: gw\r\nauthorization: Bearer {}\r\n\r\n",
        server.token
    );
    client.write_all(head.as_bytes()).await.unwrap();
    crate::support::asked(&server.sensu).await;
    let in_flight = Scrape::of(&server).await;
    assert_eq!(in_flight.value("fedgate_requests_in_flight"), 1);
    assert_eq!(in_flight.value(r#"fedgate_upstream_requests_in_flight{cluster="local-cluster"}"#), 1);
    drop(client);
    let left = r#"fedgate_requests_total{route="forward",method="GET",code="499"}"#;
    while !Scrape::of(&server).await.mentions(left) {}
    let scrape = Scrape::of(&server).await;
    assert_eq!(scrape.value(r#"fedgate_responses_incomplete_total{route="forward",outcome="aborted"}"#), 1);
    assert_eq!(
        scrape.value(r#"fedgate_upstream_failures_total{cluster="local-cluster",error="cancelled"}"#),
        1
    );
    assert_eq!(scrape.value("fedgate_requests_in_flight"), 0);

    let mut garbled = tokio::net::TcpStream::connect(server.main).await.unwrap();
    garbled.write_all(b"\x16\x03\x01 not HTTP\r\n\r\n").await.unwrap();
    garbled.shutdown().await.unwrap();
    let mut answer = Vec::new();
    garbled.read_to_end(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 400 "), "{:?}", String::from_utf8_lossy(&answer));
    while Scrape::of(&server).await.value(r#"fedgate_listener_refused_total{reason="unreadable"}"#) < 1 {}
}
