//! A collector of traces, which takes spans over OTLP.

use std::{collections::HashMap, convert::Infallible, net::SocketAddr, time::Duration};

use bytes::Bytes;
use fedgate::telemetry::trace::proto::{ExportTraceServiceRequest, KeyValue, Span, SpanKind, Value};
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use prost::Message as _;
use tokio::{net::TcpListener, sync::mpsc};

/// Takes spans over OTLP.
pub(crate) struct Collector {
    pub(crate) address: SocketAddr,
    pub(crate) spans: mpsc::UnboundedReceiver<Span>,
}

impl Collector {
    pub(crate) async fn start() -> Self {
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
    pub(crate) async fn trace(&mut self, trace_id: &[u8], count: usize) -> Vec<Span> {
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

/// Attributes by name.
pub(crate) fn texts(attributes: &[KeyValue]) -> HashMap<&str, String> {
    let text = |attribute: &KeyValue| match attribute.value.as_ref().unwrap().value.as_ref().unwrap() {
        Value::StringValue(text) => text.clone(),
        Value::IntValue(number) => number.to_string(),
    };
    attributes.iter().map(|attribute| (attribute.key.as_str(), text(attribute))).collect()
}

/// The spans of a name.
pub(crate) fn named<'a>(spans: &'a [Span], name: &str) -> Vec<&'a Span> {
    spans.iter().filter(|span| span.name == name).collect()
}

/// An id as headers have it.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
}
