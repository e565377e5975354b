//! What `route()` costs for each kind of path, among 3 and among 256 clusters.
//!
//! Measured 2026-11-24 on a VM with 2 vCPUs (AMD EPYC), shared and noisy: compilers ran beside it (load average
//! about 6), so that these wall times are two to three times what an idle machine would show; compare them only
//! with each other. `--warm-up-time 1 --measurement-time 3`, thin LTO and 8 codegen units in place of the
//! profile's own. Medians in µs:
//!
//! | path | 3 clusters | 256 clusters |
//! |---|---|---|
//! | `raw_prefix` | 5.6 | 9.4 |
//! | `qualified_item` | 6.7 | 9.3 |
//! | `plain_item` | 3.6 | 3.5 |
//! | `list_of_one_cluster` | 3.9 | 10.5 |
//! | `list_of_all_clusters` | 3.5 | 27.6 |
//! | `list_of_all_namespaces` | 1.9 | 7.8 |
//! | `refused_traversal` | 0.72 | 0.74 |
//!
//! Rows do not compare exactly, since the load changed during the run: a second, shorter one gave about half of
//! these times for the first four rows.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use fedgate::{listener::encode_first, routing::route, types::ListScope};
use http::Method;

#[path = "support/clusters.rs"]
mod clusters;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// In each set of clusters `{}` stands for the last one's name, the worst case of a linear search.
const PATHS: [(&str, &str); 7] = [
    ("raw_prefix", "/c/{}/api/core/v2/namespaces/default/checks/disk-usage"),
    ("qualified_item", "/api/core/v2/namespaces/default@{}/checks/disk-usage"),
    ("plain_item", "/api/core/v2/namespaces/default/checks/disk-usage"),
    ("list_of_one_cluster", "/api/core/v2/namespaces/default@{}/checks"),
    ("list_of_all_clusters", "/api/core/v2/namespaces/default/checks?limit=100"),
    ("list_of_all_namespaces", "/api/core/v2/events?limit=100"),
    ("refused_traversal", "/api/core/v2/namespaces/default/checks/..%2Fops%2Fsecret"),
];

fn bench(c: &mut Criterion) {
    for (name, path) in PATHS {
        let mut group = c.benchmark_group(format!("route/{name}"));
        for count in [3, 256] {
            let clusters = clusters::snapshot(count);
            let target = path.replace("{}", &format!("cluster-{:03}", count - 1));
            let found = route(&Method::GET, &target, &clusters, ListScope::All).route;
            assert_eq!(found.is_err(), name.starts_with("refused"), "{target}: {found:?}");
            group.bench_function(BenchmarkId::new("clusters", count), |b| {
                b.iter(|| route(&Method::GET, black_box(&target), &clusters, ListScope::All));
            });
        }
        group.finish();
    }
}

/// What is looked at and changed of a request before hyper reads it.
fn queries(c: &mut Criterion) {
    let token = "x".repeat(700);
    let mut group = c.benchmark_group("query");
    for (name, target, changes) in [
        ("none", "/api/core/v2/namespaces/default/checks/disk-usage", false),
        ("plain", "/api/core/v2/events?limit=100&fieldSelector=event.check.status%3E0", false),
        ("encoded", "/api/core/v2/events?limit=100&fieldSelector=event.check.status>0", true),
    ] {
        let head = format!(
            "GET {target} HTTP/1.1\r\nHost: gateway.example.com\r\nAuthorization: Bearer {token}\r\n\
             Accept: application/json\r\nUser-Agent: bench/1.0\r\n\r\n"
        );
        assert_eq!(encode_first(head.as_bytes()).is_some(), changes, "{target}");
        group.bench_function(name, |b| b.iter(|| encode_first(black_box(head.as_bytes()))));
    }
    group.finish();
}

criterion_group!(benches, bench, queries);
criterion_main!(benches);
