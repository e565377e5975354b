//! Traces: what records them, and the way to the collector.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{FutureExt as _, future::BoxFuture};
use http::{Request, header};
use tokio::{sync::oneshot, task::JoinHandle, time::timeout};

use crate::{
    error::BoxError,
    net::TlsConfigs,
    telemetry::{
        metrics::{Registry, collect},
        trace::{self, Counts, Exporter, Tracer},
    },
    types::{Backend, Cluster, ClusterName, Snapshot, Source, TlsFiles},
    upstream::{self, Connector, Manager},
    wire::read_limited,
};

/// What records traces, before it runs.
pub(super) struct Tracing {
    pub(super) tracer: Tracer,
    counts: Arc<Counts>,
    exporter: Exporter,
    collector: Backend,
}

/// The exporter's task.
pub(super) struct Exporting {
    task: JoinHandle<()>,
    /// Dropped, it has the exporter send what is left, and end.
    stop: oneshot::Sender<()>,
}

// === impl Tracing ===

impl Tracing {
    /// `None` without a collector.
    pub(super) fn new(config: &trace::Config) -> Option<Self> {
        let collector = config.otlp_endpoint.clone()?;
        let (tracer, exporter, counts) = trace::tracing(config.sample_ratio);
        Some(Self { tracer, counts, exporter, collector })
    }

    /// Adds `trace_spans_total`.
    pub(super) fn register(&self, registry: &mut Registry) {
        let counts = Arc::clone(&self.counts);
        collect(registry, move |families| {
            let results = counts.results().map(|(result, count)| ([("result", result)], count));
            families.counters("trace_spans", "Spans by what became of them.", results)
        });
    }

    /// Sends spans from now on. Must be called on the control plane's runtime.
    pub(super) fn spawn(self) -> Exporting {
        let (stop, stopped) = oneshot::channel::<()>();
        let exporting = self.exporter.run(sender(self.collector), stopped.map(drop));
        Exporting { task: tokio::spawn(exporting), stop }
    }
}

// === impl Exporting ===

impl Exporting {
    /// Sends what is left, if the collector takes it in time.
    pub(super) async fn finish(self) {
        drop(self.stop);
        let _ = timeout(FLUSH, self.task).await;
    }
}

/// Posts a batch to the collector, over connections of its own.
fn sender(collector: Backend) -> impl Fn(Bytes) -> BoxFuture<'static, Result<(), BoxError>> + Send + Sync {
    let name: ClusterName = NAME.parse().expect("it is a valid name");
    let host = collector.authority();
    let (backends, tls) = (vec![collector], TlsFiles::default());
    let cluster = Cluster { name, backends, tls, source: Source::Config };
    let config = upstream::Config::default();
    let connector = Connector::new(TlsConfigs::new(), config.connect_timeout);
    let manager = Manager::new(config, Arc::new(connector));
    manager.apply(&Snapshot::new([cluster]));
    move |batch| {
        let client = manager.cluster(NAME);
        let request = Request::post("/v1/traces")
            .header(header::HOST, &host)
            .header(header::CONTENT_TYPE, "application/x-protobuf")
            .body(batch);
        async move {
            let response = client.ok_or("no connection was prepared")?.send(request?).await?;
            let status = response.status();
            // Read, so that the connection can be used again.
            read_limited(response.into_body(), MAX_ANSWER).await?;
            if status.is_success() { Ok(()) } else { Err(format!("it answered {status}").into()) }
        }
        .boxed()
    }
}

/// The collector, as errors name it.
const NAME: &str = "otlp-collector";

/// Largest answer that is read, in bytes.
const MAX_ANSWER: usize = 64 << 10;

/// How long the end of the process waits for the last batch.
const FLUSH: Duration = Duration::from_secs(2);
