//! What a request costs from end to end: client, gateway and clusters on one thread, connected in memory.
//!
//! Both hops are real HTTP/1.1, and all layers run but the access log's output, since nothing subscribes to it.
//! `direct` is the same client and the same peer without the gateway; a list's bytes are those that the client
//! gets. No sockets, no TLS, no kernel: what they cost comes on top.
//!
//! Measured 2026-11-24 on a VM with 2 vCPUs (AMD EPYC), shared and noisy: compilers ran beside it (load average
//! about 6). In a profile taken just after, this process had about half a core, so take these wall times for
//! twice those of an idle machine or so, and compare them only with each other. `--warm-up-time 1
//! --measurement-time 3`, thin LTO and 8 codegen units in place of the profile's own. Medians:
//!
//! | what | time | MiB/s |
//! |---|---|---|
//! | `direct/get_2_5kb_http1` | 7.8 µs | 277 |
//! | `direct/get_100kb_http1` | 20 µs | 4,800 |
//! | `direct/get_10mb_http1` | 2.3 ms | 4,200 |
//! | `get_2_5kb_cached_token_http1` | 76 µs | 29 |
//! | `get_2_5kb_qualified_cached_token_http1` | 96 µs | 23 |
//! | `get_100kb_cached_token_http1` | 143 µs | 683 |
//! | `get_100kb_qualified_cached_token_http1` | 275 µs | 355 |
//! | `list_3_members_x_100_items` | 3.7 ms | 178 |
//! | `list_50_members_x_100_items` | 65 ms | 173 |
//! | `list_3_members_x_10mb` | 91 ms | 323 |
//!
//! The events had 2.3 kB when this was measured.

use std::time::Instant;

use bytes::Bytes;
use criterion::{
    BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main, measurement::WallTime,
};
use tokio::runtime::{Builder, Runtime};

#[expect(dead_code, reason = "the other benches use the rest")]
mod support;

use support::Client;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ITEM: &str = "/api/core/v2/namespaces/default/events/web-1/disk-usage";
const QUALIFIED: &str = "/api/core/v2/namespaces/default@cluster-001/events/web-1/disk-usage";
const LIST: &str = "/api/core/v2/events";

fn bench(c: &mut Criterion) {
    let small = Bytes::from(support::event(1));
    let large = support::large_event(100_000);
    let hundred = support::list(100);
    let ten_mb = support::list(10_000_000 / (small.len() + 1));

    let mut group = c.benchmark_group("direct");
    direct(&mut group, "get_2_5kb_http1", &small);
    direct(&mut group, "get_100kb_http1", &large);
    group.sample_size(20);
    direct(&mut group, "get_10mb_http1", &ten_mb);
    group.finish();

    let mut group = c.benchmark_group("gateway");
    through(&mut group, "get_2_5kb_cached_token_http1", 3, &small, ITEM);
    through(&mut group, "get_2_5kb_qualified_cached_token_http1", 3, &small, QUALIFIED);
    through(&mut group, "get_100kb_cached_token_http1", 3, &large, ITEM);
    through(&mut group, "get_100kb_qualified_cached_token_http1", 3, &large, QUALIFIED);
    group.sample_size(20);
    through(&mut group, "list_3_members_x_100_items", 3, &hundred, LIST);
    through(&mut group, "list_50_members_x_100_items", 50, &hundred, LIST);
    through(&mut group, "list_3_members_x_10mb", 3, &ten_mb, LIST);
    group.finish();
}

/// The client and one backend, without the gateway.
fn direct(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, body: &Bytes) {
    let runtime = runtime();
    let client = runtime.block_on(Client::of_peer(body.clone()));
    run(group, name, &runtime, client, body.len());
}

/// Through a gateway in front of `members` clusters that all answer `body`.
fn through(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, members: usize, body: &Bytes, target: &str) {
    let runtime = runtime();
    let client = runtime.block_on(Client::of_gateway(members, body.clone(), target));
    // What a list gains is more than the brackets that it loses.
    let least = if target == LIST { members * body.len() } else { body.len() };
    run(group, name, &runtime, client, least);
}

fn run(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    runtime: &Runtime,
    mut client: Client,
    least: usize,
) {
    // Also opens the connections and fills the token cache.
    let (headers, bytes) = runtime.block_on(client.get());
    assert!(bytes >= least as u64, "{name}: {bytes} bytes of {least}");
    assert!(headers.get("fedgate-complete").is_none_or(|complete| complete == "true"), "{name}: {headers:?}");
    group.throughput(Throughput::Bytes(bytes));
    group.bench_function(name, |b| {
        b.iter_custom(|iterations| {
            runtime.block_on(async {
                let begun = Instant::now();
                for _ in 0..iterations {
                    let (_, read) = client.get().await;
                    assert_eq!(read, bytes);
                }
                begun.elapsed()
            })
        });
    });
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("the system gives a runtime")
}

criterion_group!(benches, bench);
criterion_main!(benches);
