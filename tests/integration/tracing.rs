//! Traces, as a collector gets them.

use std::{collections::HashMap, convert::Infallible, net::SocketAddr, time::Duration};

use bytes::Bytes;
use fedgate::telemetry::trace::proto::{ExportTraceServiceRequest, KeyValue, Span, SpanKind, Value};
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use prost::Message as _;
use serde_json::json;
use tokio::{net::TcpListener, sync::mpsc};

use crate::support::{Running, h1, read, request_of, simulated};

const CLIENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// Takes spans over OTLP.
struct Collector {
    address: SocketAddr,
    spans: mpsc::UnboundedReceiver<Span>,
}

impl Collector {
    async fn start() -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let (sender, spans) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            loop {
                let (stream, _) = socket.accept().await.unwrap();
                let sender = sender.clone();
                let service = service_fn(move |request| take(request, sender.clone()));
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { address, spans }
    }

    /// Waits until the span of the request, which ends last, and at least `count` in all are there.
    async fn trace(&mut self, trace_id: &[u8], count: usize) -> Vec<Span> {
        let mut found = Vec::new();
        let gather = async {
            let is_server = |span: &Span| span.kind == i32::from(SpanKind::Server);
            while found.len() < count || !found.iter().any(is_server) {
                let span = self.spans.recv().await.unwrap();
                if span.trace_id == trace_id {
                    found.push(span);
                }
            }
        };
        let done = tokio::time::timeout(Duration::from_secs(60), gather).await;
        assert!(done.is_ok(), "{found:#?}");
        found
    }
}

async fn take(
    request: Request<Incoming>,
    sender: mpsc::UnboundedSender<Span>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    assert_eq!((request.method(), request.uri().path()), (&Method::POST, "/v1/traces"));
    assert_eq!(request.headers()["content-type"], "application/x-protobuf");
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let batch = ExportTraceServiceRequest::decode(body).unwrap();
    let [resource] = &batch.resource_spans[..] else { panic!("{batch:?}") };
    let attributes = texts(&resource.resource.as_ref().unwrap().attributes);
    assert_eq!(attributes["service.name"], "fedgate");
    for span in batch.resource_spans.into_iter().flat_map(|r| r.scope_spans).flat_map(|s| s.spans) {
        let _ = sender.send(span);
    }
    Ok(Response::new(Full::default()))
}

fn texts(attributes: &[KeyValue]) -> HashMap<&str, String> {
    let text = |attribute: &KeyValue| match attribute.value.as_ref().unwrap().value.as_ref().unwrap() {
        Value::StringValue(text) => text.clone(),
        Value::IntValue(number) => number.to_string(),
    };
    attributes.iter().map(|attribute| (attribute.key.as_str(), text(attribute))).collect()
}

fn named<'a>(spans: &'a [Span], name: &str) -> Vec<&'a Span> {
    spans.iter().filter(|span| span.name == name).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
}

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
    assert!(
        !stores.is_empty() && stores.iter().all(|span| span.parent_span_id == route.span_id),
        "{spans:#?}"
    );
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
