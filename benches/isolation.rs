//! What a hung cluster costs the requests to the others.
//!
//! One client asks a healthy cluster, one request after the other, and the time of each is taken: first with nothing else
//! going on, then while 1,000 requests wait for a cluster that takes them and answers none. Client, gateway and clusters
//! are on one thread, connected in memory, as in `proxy_e2e`, so whatever the waiting ones cost shows.
//!
//! It prints a table and the ratios; a ratio is that of the medians over all rounds.
//!
//! On a loaded machine the high percentiles are those of the scheduler: look at several runs.

use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::{runtime::Builder, task::JoinSet};

#[expect(dead_code, reason = "the other benches use the rest")]
mod support;

use support::{Client, Served};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const HEALTHY: &str = "/api/core/v2/namespaces/default@cluster-001/events/web-1/disk-usage";
const HUNG: &str = "/api/core/v2/namespaces/default@cluster-002/events/web-1/disk-usage";

fn main() {
    // `cargo test` runs benches, too: for a look at whether they work.
    let (rounds, requests, waiting) =
        if std::env::args().any(|arg| arg == "--bench") { (9, 1_500, 1_000) } else { (1, 50, 20) };
    let runtime = Builder::new_current_thread().enable_all().build().expect("the system gives a runtime");
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let (first, second) = runtime.block_on(round(requests, waiting));
        alone.push(first);
        beside.push(second);
    }
    println!("{requests} requests a round, {rounds} rounds, medians of the rounds");
    println!("| percentile | alone | beside {waiting} that wait | ratio |\n|---|---|---|---|");
    for (index, name) in ["p50", "p90", "p99"].into_iter().enumerate() {
        let median = |rounds: &[[Duration; 3]]| {
            let mut all: Vec<Duration> = rounds.iter().map(|round| round[index]).collect();
            all.sort();
            all[all.len() / 2]
        };
        let (alone, beside) = (median(&alone), median(&beside));
        println!("| {name} | {alone:?} | {beside:?} | {:.2} |", beside.as_secs_f64() / alone.as_secs_f64());
    }
}

/// The percentiles without and with requests that wait, in a gateway of their own.
async fn round(requests: usize, waiting: usize) -> ([Duration; 3], [Duration; 3]) {
    let served = Served::new(3, Bytes::from(support::event(1)), Some("cluster-002"));
    let mut client = served.client(HEALTHY).await;
    times(&mut client, requests).await;
    let alone = times(&mut client, requests).await;
    let mut tasks = JoinSet::new();
    for _ in 0..waiting {
        let mut client = served.client(HUNG).await;
        tasks.spawn(async move { client.get().await });
    }
    // Each of them gets as far as it will.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let beside = times(&mut client, requests).await;
    assert_eq!(tasks.len(), waiting);
    assert!(tasks.try_join_next().is_none(), "one did not wait");
    (alone, beside)
}

async fn times(client: &mut Client, requests: usize) -> [Duration; 3] {
    let mut times = Vec::with_capacity(requests);
    for _ in 0..requests {
        let begun = Instant::now();
        client.get().await;
        times.push(begun.elapsed());
    }
    times.sort();
    [50, 90, 99].map(|percent| times[times.len() * percent / 100])
}
