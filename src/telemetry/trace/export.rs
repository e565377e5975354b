use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use bytes::Bytes;
use prost::Message as _;
use tokio::{
    sync::mpsc,
    time::{Instant, timeout, timeout_at},
};

use super::{
    config::Ratio,
    proto::{
        self, AnyValue, ExportTraceServiceRequest, InstrumentationScope, KeyValue, Resource, ResourceSpans,
        ScopeSpans, Status, StatusCode,
    },
    span::{Counts, Finished, Tracer, Value},
};
use crate::error::{BoxError, Chain};

/// Sends spans to a collector, in batches.
pub struct Exporter {
    queue: mpsc::Receiver<Finished>,
    counts: Arc<Counts>,
    /// Whether the last batch failed.
    failing: bool,
}

/// A tracer, what sends its spans, and what became of them.
pub fn tracing(ratio: Ratio) -> (Tracer, Exporter, Arc<Counts>) {
    let (sender, queue) = mpsc::channel(QUEUE);
    let counts = Arc::new(Counts::default());
    let exporter = Exporter { queue, counts: Arc::clone(&counts), failing: false };
    (Tracer::new(sender, ratio, Arc::clone(&counts)), exporter, counts)
}

// === impl Exporter ===

impl Exporter {
    /// Runs until `stop`, and then sends what is left, once. `send` posts an `ExportTraceServiceRequest`. What cannot be
    /// sent is dropped: a collector that is away for long would otherwise get all of it at once, and late.
    pub async fn run<F>(mut self, send: impl Fn(Bytes) -> F, stop: impl Future<Output = ()>)
    where
        F: Future<Output = Result<(), BoxError>>,
    {
        let mut stop = std::pin::pin!(stop);
        loop {
            let mut batch = Vec::with_capacity(BATCH);
            let ended = tokio::select! {
                ended = self.gather(&mut batch) => ended,
                () = &mut stop => true,
            };
            if ended {
                self.queue.close();
                while batch.len() < QUEUE && self.queue.try_recv().map(|span| batch.push(span)).is_ok() {}
            }
            if !batch.is_empty() {
                self.export(&batch, &send).await;
            }
            if ended {
                return;
            }
        }
    }

    /// Waits for a span, and some time for others. Returns whether there is going to be no other.
    async fn gather(&mut self, batch: &mut Vec<Finished>) -> bool {
        if self.queue.recv_many(batch, BATCH).await == 0 {
            return true;
        }
        let deadline = Instant::now() + DELAY;
        while batch.len() < BATCH {
            let room = BATCH - batch.len();
            match timeout_at(deadline, self.queue.recv_many(batch, room)).await {
                Ok(0) => return true,
                Ok(_) => {}
                Err(_) => break,
            }
        }
        false
    }

    async fn export<F>(&mut self, batch: &[Finished], send: &impl Fn(Bytes) -> F)
    where
        F: Future<Output = Result<(), BoxError>>,
    {
        let outcome = timeout(TIMEOUT, send(encode(batch).encode_to_vec().into())).await;
        let spans = u64::try_from(batch.len()).unwrap_or(u64::MAX);
        let error = match outcome {
            Ok(Ok(())) => {
                self.counts.exported.fetch_add(spans, Relaxed);
                if std::mem::take(&mut self.failing) {
                    tracing::info!("the collector takes spans again");
                }
                return;
            }
            Ok(Err(error)) => Chain(&*error).to_string(),
            Err(_) => "it does not answer in time".to_owned(),
        };
        self.counts.failed.fetch_add(spans, Relaxed);
        if !std::mem::replace(&mut self.failing, true) {
            tracing::warn!(error, "the collector takes no spans: they are dropped until it does");
        }
    }
}

fn encode(batch: &[Finished]) -> ExportTraceServiceRequest {
    let resource = [("service.name", "fedgate"), ("service.version", env!("CARGO_PKG_VERSION"))];
    let attributes = resource.into_iter().map(|(key, value)| attribute(key, &value.into())).collect();
    let scope =
        InstrumentationScope { name: "fedgate".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() };
    let spans = batch.iter().map(span).collect();
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(Resource { attributes }),
            scope_spans: vec![ScopeSpans { scope: Some(scope), spans }],
        }],
    }
}

fn span(finished: &Finished) -> proto::Span {
    let failed = |why: &std::borrow::Cow<'static, str>| Status {
        message: why.clone().into_owned(),
        code: StatusCode::Error.into(),
    };
    proto::Span {
        trace_id: finished.context.trace_id.to_vec(),
        span_id: finished.context.span_id.to_vec(),
        parent_span_id: finished.parent.map(|id| id.to_vec()).unwrap_or_default(),
        name: finished.name.clone().into_owned(),
        kind: finished.kind.into(),
        start_time_unix_nano: finished.begun,
        end_time_unix_nano: finished.ended,
        attributes: finished.attributes.iter().map(|(key, value)| attribute(key, value)).collect(),
        status: finished.failure.as_ref().map(failed),
    }
}

fn attribute(key: &str, value: &Value) -> KeyValue {
    let value = match value {
        Value::Text(text) => proto::Value::StringValue(text.clone().into_owned()),
        Value::Whole(number) => proto::Value::IntValue(*number),
    };
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }) }
}

/// Spans that wait to be sent; more are dropped.
const QUEUE: usize = 4096;

/// Spans of one request to the collector.
const BATCH: usize = 512;

/// How long a span waits for others.
const DELAY: Duration = Duration::from_secs(2);

/// How long the collector may take for a batch.
const TIMEOUT: Duration = Duration::from_secs(10);
