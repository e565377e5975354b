//! Traces, as a collector gets them.

use std::time::Duration;

use fedgate::telemetry::trace::proto::SpanKind;
use http::Method;
use serde_json::json;

use crate::{
    collector::{Collector, hex, named, texts},
    support::{Running, h1, read, request_of, simulated},
};

const CLIENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_one_trace_from_the_client_to_each_cluster() {
    let mut collector = Collector::start().await;
    let keys = std::sync::Arc::new(fedgate::sim::SharedKeys::generate().unwrap());
    let (alpha, address) = simulated("alpha", &keys).await;
    let server = Running::with_keys(
        keys,
        json!({
            "tracing": {"otlp-endpoint": format!("http://{}", collector.address), "sample-ratio": 0.0},
            "clusters": [{"name": "alpha", "api-urls": [format!("http://{address}")]}],
        }),
    )
    .await;
    let mut request = server.request("/api/core/v2/namespaces/default/checks?secret=1");
    request.headers_mut().insert("traceparent", CLIENT.parse().unwrap());
    request.headers_mut().insert("tracestate", "a=1".parse().unwrap());
    assert_eq!(server.send(request).await.0, 200);

    let trace_id = u128::from_str_radix(&CLIENT[3..35], 16).unwrap().to_be_bytes();
    let spans = collector.trace(&trace_id, 4).await;
    let [server_span] = named(&spans, "GET")[..] else { panic!("{spans:#?}") };
    assert_eq!(server_span.kind, i32::from(SpanKind::Server));
    assert_eq!(hex(&server_span.parent_span_id), CLIENT[36..52]);
    let attributes = texts(&server_span.attributes);
    assert_eq!(attributes["url.path"], "/api/core/v2/namespaces/default/checks");
    assert_eq!(attributes["http.response.status_code"], "200");
    assert_eq!(attributes["fedgate.request_id"].len(), 36);
    let [route] = named(&spans, "list")[..] else { panic!("{spans:#?}") };
    assert_eq!(route.parent_span_id, server_span.span_id);
    let members = named(&spans, "cluster");
    let mut clusters: Vec<_> =
        members.iter().map(|span| texts(&span.attributes)["fedgate.cluster"].clone()).collect();
    clusters.sort();
    assert_eq!(clusters, ["alpha", "local-cluster"]);
    for member in &members {
        assert_eq!(member.parent_span_id, route.span_id);
        assert_eq!(texts(&member.attributes)["http.response.status_code"], "200");
    }
    for (sensu, name) in [(&alpha, "alpha"), (&server.sensu, "local-cluster")] {
        let requests = sensu.requests();
        let asked = requests.iter().find(|request| request.path_and_query.contains("/checks")).unwrap();
        let span = members.iter().find(|span| texts(&span.attributes)["fedgate.cluster"] == name).unwrap();
        let expected = format!("00-{}-{}-01", hex(&trace_id), hex(&span.span_id));
        assert_eq!(asked.headers["traceparent"], *expected);
        assert_eq!(asked.headers["tracestate"], "a=1");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_to_the_registry_shows_the_store_and_a_refused_call_its_error() {
    let mut collector = Collector::start().await;
    let server = Running::with(json!({
        "tracing": {"otlp-endpoint": format!("http://{}", collector.address)},
        "clusters": [{"name": "away", "api-urls": ["http://127.0.0.1:1"]}],
    }))
    .await;
    let body = json!({
        "type": "Cluster", "api_version": "federation/v1", "metadata": {"name": "beta"},
        "spec": {"api_urls": ["http://127.0.0.1:1"]},
    });
    let target = "/api/enterprise/federation/v1/clusters/beta";
    let mut request = request_of(&server.token, Method::PUT, target, body.to_string());
    request.headers_mut().insert("traceparent", CLIENT.parse().unwrap());
    assert_eq!(server.send(request).await.0, 201);
    let trace_id = u128::from_str_radix(&CLIENT[3..35], 16).unwrap().to_be_bytes();
    let spans = collector.trace(&trace_id, 3).await;
    let ([put], [route]) = (&named(&spans, "PUT")[..], &named(&spans, "federation")[..]) else {
        panic!("{spans:#?}")
    };
    let stores = named(&spans, "store");
    assert!(stores.iter().all(|span| span.parent_span_id == route.span_id), "{spans:#?}");
    let operations: Vec<_> =
        stores.iter().map(|span| texts(&span.attributes)["db.operation.name"].clone()).collect();
    assert!(operations.contains(&"put".to_owned()), "{operations:?}");
    assert!(stores.iter().all(|span| span.status.is_none() && span.kind == i32::from(SpanKind::Client)));
    assert_eq!(route.parent_span_id, put.span_id);

    let other = CLIENT.replace("4bf9", "5bf9");
    let mut request = server.request("/api/core/v2/namespaces/default@away/checks/x");
    request.headers_mut().insert("traceparent", other.parse().unwrap());
    assert_eq!(server.send(request).await.0, 502);
    let trace_id = u128::from_str_radix(&other[3..35], 16).unwrap().to_be_bytes();
    let spans = collector.trace(&trace_id, 3).await;
    let [call] = named(&spans, "cluster")[..] else { panic!("{spans:#?}") };
    let status = call.status.as_ref().unwrap();
    assert!(["unreachable", "breaker-open"].contains(&&*status.message) && status.code == 2, "{status:?}");

    let answer = h1(server.admin).await.send_request(server.request("/metrics")).await.unwrap();
    let page = String::from_utf8(read(answer).await.1.to_vec()).unwrap();
    let count =
        page.lines().find_map(|line| line.strip_prefix("fedgate_trace_spans_total{result=\"exported\"} "));
    assert!(count.unwrap().parse::<u64>().unwrap() >= 3, "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_spans_leave_when_the_process_ends_and_a_collector_that_is_away_keeps_nobody_waiting() {
    let mut collector = Collector::start().await;
    let endpoint = format!("http://{}", collector.address);
    let server = Running::with(json!({"tracing": {"otlp-endpoint": endpoint}})).await;
    let mut request = server.request("/livez");
    request.headers_mut().insert("traceparent", CLIENT.parse().unwrap());
    assert_eq!(server.send(request).await.0, 200);
    server.stop.send(()).await.unwrap();
    server.done.await.unwrap().unwrap();
    let trace_id = u128::from_str_radix(&CLIENT[3..35], 16).unwrap().to_be_bytes();
    assert_eq!(named(&collector.trace(&trace_id, 2).await, "GET").len(), 1);

    let away = Running::with(json!({"tracing": {"otlp-endpoint": "http://127.0.0.1:1"}})).await;
    assert_eq!(away.send(away.request("/livez")).await.0, 200);
    away.stop.send(()).await.unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(30), away.done).await;
    ended.unwrap().unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_away_is_an_error_of_its_span_and_a_lost_race_is_none() {
    let mut collector = Collector::start().await;
    let tracing = json!({"otlp-endpoint": format!("http://{}", collector.address)});
    let body = json!({
        "type": "Cluster", "api_version": "federation/v1", "metadata": {"name": "beta"},
        "spec": {"api_urls": ["http://127.0.0.1:1"]},
    });
    let write = |server: &Running, method, client: &str| {
        let target = "/api/enterprise/federation/v1/clusters/beta";
        let mut request = request_of(&server.token, method, target, body.to_string());
        request.headers_mut().insert("traceparent", client.parse().unwrap());
        request
    };
    let stores = |spans: &[_]| -> Vec<(String, bool)> {
        let stores = named(spans, "store").into_iter();
        stores
            .map(|span| (texts(&span.attributes)["db.operation.name"].clone(), span.status.is_some()))
            .collect()
    };
    let id = |client: &str| u128::from_str_radix(&client[3..35], 16).unwrap().to_be_bytes();

    let server = Running::with(json!({"tracing": tracing})).await;
    let clients: Vec<String> = ["6bf9", "7bf9", "8bf9"].map(|start| CLIENT.replace("4bf9", start)).into();
    assert_eq!(server.send(write(&server, Method::PUT, &clients[0])).await.0, 201);
    let mut again = write(&server, Method::PUT, &clients[1]);
    again.headers_mut().insert("if-none-match", "*".parse().unwrap());
    assert_eq!(server.send(again).await.0, 412);
    assert_eq!(server.send(write(&server, Method::DELETE, &clients[2])).await.0, 204);
    for (client, operation) in clients.iter().zip(["put", "", "delete"]) {
        let stores = stores(&collector.trace(&id(client), 2).await);
        assert!(stores.iter().all(|(_, has_failed)| !has_failed), "{operation}: {stores:?}");
        let is_there = stores.iter().any(|(name, _)| name == operation);
        assert!(is_there || operation.is_empty(), "{operation}: {stores:?}");
    }

    let etcd = json!({"endpoints": ["http://127.0.0.1:1"]});
    let away = Running::with(json!({"tracing": tracing, "store": {"etcd": etcd}})).await;
    let client = CLIENT.replace("4bf9", "9bf9");
    assert_eq!(away.send(write(&away, Method::PUT, &client)).await.0, 503);
    let spans = collector.trace(&id(&client), 2).await;
    assert!(stores(&spans).iter().any(|(_, has_failed)| *has_failed), "{spans:#?}");
}
