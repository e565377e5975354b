//! What the gateway itself does for GraphQL: planning, rewriting, and complete requests over clusters in memory.
//!
//! Measured 2026-11-24 on a VM with 2 vCPUs (AMD EPYC), shared, with nothing else running (`cargo bench`):
//!
//! | what | goal | measured |
//! |---|---|---|
//! | poll: a batch of 5 operations with answers of 50 KB | < 1 ms | 0.82 ms |
//! | one operation, its plan known | | 12 us |
//! | one operation, its plan made | | 149 us |
//! | one answer of 10 MB | | 31 ms |

use std::{hint::black_box, sync::Arc, time::Duration};

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use fedgate::{
    graphql::{Call, Config, Engine},
    member::{Member, Members},
    types::{Backend, Caller, Cluster, ClusterName, FailureClass, Principal, Snapshot, Source, TlsFiles},
    wire::Body,
};
use futures::future::BoxFuture;
use http::{HeaderValue, Request, Response, header};
use http_body_util::BodyExt;
use serde_json::json;

/// A cluster that gives the same answer to everything but introspection.
struct Fixed {
    name: ClusterName,
    answer: Bytes,
}

impl Member for Fixed {
    fn name(&self) -> &ClusterName {
        &self.name
    }

    fn send(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response<Body>, FailureClass>> {
        let introspects = memchr::memmem::find(request.body(), b"includeDeprecated").is_some();
        let answer = if introspects { Bytes::from_static(SCHEMA) } else { self.answer.clone() };
        Box::pin(async move { Ok(Response::new(Body::full(answer))) })
    }
}

struct One(Arc<Fixed>);

impl Members for One {
    fn get(&self, _: &ClusterName) -> Option<Arc<dyn Member>> {
        Some(Arc::clone(&self.0) as Arc<dyn Member>)
    }
}

struct Bench {
    engine: Engine,
    clusters: One,
    snapshot: Snapshot,
    head: Request<()>,
    caller: Caller,
}

impl Bench {
    fn new(answer_bytes: usize) -> Self {
        let name: ClusterName = "alpha".parse().expect("a valid name");
        let backends: Vec<Backend> = vec!["http://127.0.0.1:1".parse().expect("a valid URL")];
        let cluster = |name: ClusterName| Cluster {
            name,
            backends: backends.clone(),
            tls: TlsFiles::default(),
            source: Source::Config,
        };
        let mut head = Request::new(());
        *head.uri_mut() = "/graphql".parse().expect("a valid path");
        head.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let principal = Principal { subject: "u".into(), groups: vec!["g".into()], expires_at: 0 };
        Self {
            engine: Engine::new(Config { member_timeout: Duration::from_secs(10), max_members: 256 }),
            clusters: One(Arc::new(Fixed { name: name.clone(), answer: events(answer_bytes) })),
            snapshot: Snapshot::new([cluster(ClusterName::local()), cluster(name)]),
            head,
            caller: Caller::Token(Arc::new(principal)),
        }
    }

    /// One request, its answer read to the end; answers its length.
    async fn request(&self, body: Bytes) -> usize {
        let call = Call {
            head: &self.head,
            body,
            caller: &self.caller,
            clusters: &self.clusters,
            snapshot: &self.snapshot,
        };
        let mut answer = self.engine.handle(call).await.expect("an answer").response.into_body();
        let mut length = 0;
        while let Some(frame) = answer.frame().await {
            length += frame.expect("a complete body").into_data().map_or(0, |data| data.len());
        }
        length
    }
}

/// An answer to [`PAGE`] of about that many bytes.
fn events(bytes: usize) -> Bytes {
    let node = |n: usize| {
        json!({
            "__typename": "Event",
            "check": {"__typename": "Check", "name": "disk", "nodeId": format!("srn:checks:default:disk-{n}"),
                "output": "CRITICAL: /var is 97 % full\nsee the runbook \"disk\"", "status": 2},
            "entity": {"__typename": "Entity", "name": format!("web-{n}")},
            "id": format!("srn:events:default:check/WyJ3ZWItMDEiLCJkaXNrIl0={n}"),
            "isSilenced": false, "namespace": "default", "silences": [], "timestamp": "2023-11-14T22:13:22Z",
        })
    };
    let size = node(1000).to_string().len() + 1;
    let nodes: Vec<_> = (0..bytes.div_ceil(size)).map(node).collect();
    json!({"auth": true, "data": {"namespace": {"__typename": "Namespace", "events": {"nodes": nodes,
        "pageInfo": {"totalCount": 12}}, "id": "srn:namespaces:default", "name": "default"}}, "errors": null})
    .to_string()
    .into()
}

fn page(index: usize) -> serde_json::Value {
    json!({"operationName": "EventsViewQuery", "query": PAGE, "variables": {"namespace": "default@alpha", "limit": index + 25}})
}

fn batches(c: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut group = c.benchmark_group("graphql");
    let small = Bench::new(50_000);
    let poll = Bytes::from(json!((0..5).map(page).collect::<Vec<_>>()).to_string());
    group.bench_function("poll_of_5_by_50_KB", |b| {
        b.iter(|| black_box(runtime.block_on(small.request(poll.clone()))));
    });
    let one = Bytes::from(json!([page(0)]).to_string());
    let tiny = Bench::new(100);
    group.bench_function("one_operation_plan_cached", |b| {
        b.iter(|| black_box(runtime.block_on(tiny.request(one.clone()))));
    });
    let mut count = 0;
    group.bench_function("one_operation_plan_new", |b| {
        let fresh = || {
            count += 1;
            Bytes::from(
                json!([{"query": format!("{PAGE} # {count}"), "variables": {"namespace": "default@alpha"}}])
                    .to_string(),
            )
        };
        b.iter_batched(fresh, |body| black_box(runtime.block_on(tiny.request(body))), BatchSize::SmallInput);
    });
    let large = Bench::new(10_000_000);
    group.throughput(Throughput::Bytes(10_000_000));
    group.bench_function("one_answer_of_10_MB", |b| {
        b.iter(|| black_box(runtime.block_on(large.request(one.clone()))));
    });
    group.finish();
}

const SCHEMA: &[u8] = include_bytes!("../tests/data/graphql/introspection.json");

/// Of the form that Sensu's web UI sends for its page of events.
const PAGE: &str = "query EventsViewQuery($namespace: String!, $limit: Int) {\n  namespace(name: $namespace) {\n    id\n    name\n\
    ...Page\n    __typename\n  }\n}\nfragment Page on Namespace {\n  events(limit: $limit, orderBy: LASTOK) {\n    nodes { id namespace \
    timestamp isSilenced entity { name __typename } check { nodeId name status output __typename } silences { ...S } __typename }\n\
    pageInfo { totalCount }\n  }\n}\nfragment S on Silenced { id name __typename }";

criterion_group!(benches, batches);
criterion_main!(benches);
