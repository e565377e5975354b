//! What `route()` costs for each kind of path, among 3 and among 256 clusters.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use fedgate::routing::{Scope, route};
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
            let found = route(&Method::GET, &target, &clusters, Scope::All);
            assert_eq!(found.is_err(), name.starts_with("refused"), "{target}: {found:?}");
            group.bench_function(BenchmarkId::new("clusters", count), |b| {
                b.iter(|| route(&Method::GET, black_box(&target), &clusters, Scope::All));
            });
        }
        group.finish();
    }
}

criterion_group!(benches, bench);
criterion_main!(benches);
