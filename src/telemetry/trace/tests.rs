use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use parking_lot::Mutex;
use prost::Message as _;
use tokio::sync::oneshot;

use super::{proto::ExportTraceServiceRequest, *};
use crate::error::BoxError;

const CLIENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect()
}

/// The spans that `work` leaves, as the collector gets them.
async fn exported(ratio: f64, work: impl FnOnce(&Tracer)) -> Vec<proto::Span> {
    let (tracer, exporter, _) = tracing(Ratio::new(ratio).unwrap());
    work(&tracer);
    let bodies: Arc<Mutex<Vec<Bytes>>> = Arc::default();
    let taken = Arc::clone(&bodies);
    let send = move |body| {
        taken.lock().push(body);
        async { Ok(()) }
    };
    exporter.run(send, std::future::ready(())).await;
    let bodies = bodies.lock();
    let requests = bodies.iter().map(|body| ExportTraceServiceRequest::decode(body.clone()).unwrap());
    requests.flat_map(|r| r.resource_spans).flat_map(|r| r.scope_spans).flat_map(|s| s.spans).collect()
}

#[tokio::test]
async fn spans_name_their_trace_and_what_they_are_a_part_of() {
    let mut sent = headers(&[("traceparent", CLIENT), ("tracestate", "a=1")]);
    let spans = exported(0.0, |tracer| {
        let span = tracer.server(&mut sent, "GET".into());
        enter(span.parent().as_ref(), || {
            let mut child = child("cluster", SpanKind::Client);
            child.set("fedgate.cluster", "alpha");
            child.fail("timeout");
            child.inject(&mut sent);
        });
        assert!(current().is_none(), "nothing is left behind");
    })
    .await;
    let [child, server] = &spans[..] else { panic!("{spans:?}") };
    let client = SpanContext::parse(CLIENT.as_bytes()).unwrap();
    assert_eq!(server.trace_id, client.trace_id, "the client's flag decides, not the ratio");
    assert_eq!(server.parent_span_id, client.span_id);
    assert_eq!((&child.trace_id, &child.parent_span_id), (&server.trace_id, &server.span_id));
    assert_eq!(child.status.as_ref().unwrap().message, "timeout");
    assert_eq!(child.attributes[0].key, "fedgate.cluster");
    assert!(child.end_time_unix_nano >= child.start_time_unix_nano);
    let passed = SpanContext::read(&sent).unwrap();
    assert_eq!(
        passed.span_id.to_vec(),
        child.span_id,
        "what the cluster does hangs below the span of its call"
    );
    assert_eq!(sent["tracestate"], "a=1");
}

#[tokio::test]
async fn what_is_not_sampled_is_not_recorded_here_or_further_on() {
    let unsampled = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
    let mut theirs = headers(&[("traceparent", unsampled), ("tracestate", "a=1")]);
    let mut none = headers(&[("tracestate", "a=1")]);
    let mut broken = headers(&[("traceparent", "00-1-2-01"), ("tracestate", "a=1")]);
    let spans = exported(0.0, |tracer| {
        for headers in [&mut theirs, &mut none, &mut broken] {
            assert!(!tracer.server(headers, "GET".into()).is_recorded());
        }
        assert!(!tracer.root("replication").is_recorded());
        assert!(!child("cluster", SpanKind::Client).is_recorded());
    })
    .await;
    assert!(spans.is_empty());
    assert_eq!(theirs["traceparent"], unsampled);
    assert_eq!(theirs["tracestate"], "a=1");
    for headers in [none, broken] {
        let context = SpanContext::read(&headers).unwrap();
        assert!(!context.sampled && !headers.contains_key("tracestate"));
    }
}

#[tokio::test]
async fn about_as_many_traces_are_recorded_as_the_ratio_says() {
    let spans = exported(0.25, |tracer| (0..2000).for_each(|_| drop(tracer.root("x")))).await;
    assert!((350..650).contains(&spans.len()), "{}", spans.len());
}

#[tokio::test]
async fn a_future_is_a_part_of_its_span_at_each_poll_and_nothing_else_is() {
    let (tracer, _exporter, _) = tracing(Ratio::default());
    let span = tracer.root("x");
    let part = within(span.parent(), async {
        assert!(current().is_some());
        tokio::task::yield_now().await;
        child("y", SpanKind::Internal).is_recorded()
    });
    let mut part = std::pin::pin!(part);
    assert!(futures::poll!(&mut part).is_pending());
    assert!(current().is_none());
    assert!(part.await);
    // Nothing inside of something leaves it as it is.
    let kept = within(span.parent(), within(None, async { current().is_some() }));
    assert!(kept.await);
}

#[tokio::test(start_paused = true)]
async fn a_collector_that_hangs_blocks_nobody_and_nothing_grows() {
    let (tracer, exporter, counts) = tracing(Ratio::default());
    let (stop, stopped) = oneshot::channel::<()>();
    let hangs = |_: Bytes| std::future::pending::<Result<(), BoxError>>();
    let running = tokio::spawn(exporter.run(hangs, async { drop(stopped.await) }));
    for _ in 0..20_000 {
        drop(tracer.root("x"));
    }
    let [_, _, (_, dropped)] = counts.results();
    assert!(dropped >= 20_000 - 4096, "{dropped}");
    tokio::time::sleep(Duration::from_secs(60)).await;
    let [(_, taken), (_, failed), _] = counts.results();
    assert!(taken == 0 && failed > 0, "batches are given up");
    drop(stop);
    running.await.unwrap();
    let total: u64 = counts.results().iter().map(|(_, count)| count).sum();
    assert_eq!(total, 20_000, "each is accounted for");
}

#[tokio::test(start_paused = true)]
async fn spans_are_sent_again_once_the_collector_is_back() {
    let (tracer, exporter, counts) = tracing(Ratio::default());
    let is_up = Arc::new(Mutex::new(false));
    let send = {
        let is_up = Arc::clone(&is_up);
        move |_: Bytes| {
            let answer = if *is_up.lock() { Ok(()) } else { Err(BoxError::from("refused")) };
            std::future::ready(answer)
        }
    };
    let running = tokio::spawn(exporter.run(send, std::future::pending()));
    drop(tracer.root("lost"));
    tokio::time::sleep(Duration::from_secs(5)).await;
    *is_up.lock() = true;
    drop(tracer.root("sent"));
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(counts.results(), [("exported", 1), ("failed", 1), ("dropped", 0)]);
    drop(tracer);
    running.await.unwrap();
}
