//! What compression, tracing and counting cost, against the same gateway without them.
//!
//! Client, gateway and clusters are on one thread, connected in memory, as in `proxy_e2e`. What counts is the CPU time of
//! that thread, so that other processes do not show, and the kinds of gateway take turns, so that a slower while of the
//! machine is one for all of them. A cost is the least of all rounds, and a ratio that of two costs of one run.
//!
//! Measured 2026-11-30 on a VM with 2 vCPUs (AMD EPYC, first generation) beside compilers, without LTO:
//!
//! | compression | µs per kB | ratio | smaller by |
//! |---|---|---|---|
//! | off | 1.15 | 1.00 | 1.0 |
//! | zstd | 2.07 | 1.80 | 7.0 |
//! | br | 7.18 | 6.23 | 6.6 |
//! | gzip | 3.50 | 3.03 | 5.4 |
//!
//! | tracing, sample-ratio | µs per request | ratio |
//! |---|---|---|
//! | off | 17.18 | 1.000 |
//! | off, again | 17.18 | 0.999 |
//! | 0 | 17.92 | 1.043 |
//! | 0.01 | 17.89 | 1.041 |
//! | 1 | 21.41 | 1.246 |
//!
//! What is counted of such a request takes 29 ns, 0.17 % of it.
//!
//! The exporter of the spans runs on the same thread, with a collector that takes everything: a gateway has it on another.
//! The client does not decompress. The events of the list differ in their numbers, ids and outputs.

use std::{hint::black_box, time::Duration};

use bytes::Bytes;
use fedgate::{
    proxy::{Compression, Settings},
    telemetry::{
        metrics::{ByStatus, Count, Durations, PerWorker},
        trace::{self, Ratio},
    },
};
use http::{
    StatusCode,
    header::{ACCEPT_ENCODING, HeaderName},
};
use rustix::time::{ClockId, clock_gettime};
use tokio::runtime::{Builder, Runtime};

#[expect(dead_code, reason = "the other benches use the rest")]
mod support;

use support::{Client, Served};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ITEM: &str = "/api/core/v2/namespaces/default/events/web-1/disk-usage";
const LIST: &str = "/api/core/v2/events";

/// Clusters of a list, and items of each.
const MEMBERS: usize = 3;
const ITEMS: usize = 400;

/// One kind of gateway with its client, and what it has cost at least.
struct Kind {
    name: &'static str,
    client: Client,
    // Its tasks would end with it.
    _served: Served,
    bytes: u64,
    least: Duration,
}

fn main() {
    // `cargo test` runs benches, too: for a look at whether they work.
    let (rounds, lists, gets) =
        if std::env::args().any(|arg| arg == "--bench") { (40, 8, 1_000) } else { (1, 1, 10) };
    let runtime = Builder::new_current_thread().enable_all().build().expect("the system gives a runtime");

    let list = varied_list(ITEMS);
    let plain = u32::try_from(MEMBERS * list.len()).expect("some megabytes");
    let api =
        Settings { compression: Compression { api: true, ..Compression::default() }, ..Settings::default() };
    let mut kinds = vec![kind(&runtime, "off", Settings::default(), &list, LIST, None)];
    for coding in ["identity", "zstd", "br", "gzip"] {
        kinds.push(kind(&runtime, coding, api.clone(), &list, LIST, Some((ACCEPT_ENCODING, coding))));
    }
    measure(&runtime, &mut kinds, rounds, lists);
    println!("lists of {MEMBERS} x {} kB, {lists} a round, the best of {rounds}", list.len() / 1000);
    println!("| compression | µs per kB | ratio | smaller by |\n|---|---|---|---|");
    let base = kinds[0].least;
    for kind in &kinds {
        let each = kind.least.as_secs_f64() / f64::from(lists) / (f64::from(plain) / 1e9);
        let smaller = f64::from(plain) / f64::from(u32::try_from(kind.bytes).expect("some megabytes"));
        println!("| {} | {each:.2} | {:.2} | {smaller:.1} |", kind.name, ratio(kind.least, base));
    }

    let event = Bytes::from(support::event(1));
    let counting = counting(rounds);
    let mut kinds = vec![kind(&runtime, "off", Settings::default(), &event, ITEM, None)];
    // A second one of the same kind: what two of them differ by is the noise.
    kinds.push(kind(&runtime, "off, again", Settings::default(), &event, ITEM, None));
    for (name, part) in [("0", 0.0), ("0.01", 0.01), ("1", 1.0)] {
        kinds.push(kind(&runtime, name, traced(&runtime, part), &event, ITEM, None));
    }
    measure(&runtime, &mut kinds, rounds, gets);
    println!("\none event of {} bytes, {gets} requests a round, the best of {rounds}", event.len());
    println!("| tracing, sample-ratio | µs per request | ratio |\n|---|---|---|");
    let base = kinds[0].least;
    for kind in &kinds {
        let each = kind.least.as_secs_f64() * 1e6 / f64::from(gets);
        println!("| {} | {each:.2} | {:.3} |", kind.name, ratio(kind.least, base));
    }

    let request = base.as_secs_f64() / f64::from(gets);
    let part = 100.0 * counting.as_secs_f64() / request;
    println!(
        "\nwhat is counted of such a request: {:.0} ns, {part:.2} % of it",
        counting.as_secs_f64() * 1e9
    );
}

/// What a request counts: in the set of its worker, and for its cluster.
#[derive(Default)]
struct Counted {
    begun: Count,
    answers: ByStatus,
    durations: Durations,
    bytes: Count,
    ended: Count,
    accepted: Count,
    cached: Count,
}

/// The cost of counting one request.
fn counting(rounds: u32) -> Duration {
    const REQUESTS: u32 = 100_000;
    let (of_worker, of_cluster) = (PerWorker::<Counted>::default(), Counted::default());
    let mut least = Duration::MAX;
    for _ in 0..rounds {
        let begun = cpu();
        for request in 0..REQUESTS {
            let took = Duration::from_nanos(100 * u64::from(request));
            let set = of_worker.here();
            for counts in [set, &of_cluster] {
                black_box(&counts.begun).inc();
                counts.answers.inc(black_box(StatusCode::OK));
                counts.durations.observe(black_box(took));
                counts.ended.inc();
            }
            set.bytes.add(black_box(2500));
            // Its token, and that it was found in the cache.
            black_box(&of_worker.here().accepted).inc();
            black_box(&of_worker.here().cached).inc();
        }
        least = least.min(cpu().saturating_sub(begun));
    }
    least / REQUESTS
}

fn kind(
    runtime: &Runtime,
    name: &'static str,
    settings: Settings,
    body: &Bytes,
    target: &str,
    asking: Option<(HeaderName, &'static str)>,
) -> Kind {
    runtime.block_on(async {
        let served = Served::with(settings, MEMBERS, body.clone(), None);
        let mut client = served.client(target).await;
        if let Some((name, value)) = asking {
            client = client.asking(name, value);
        }
        // Also opens the connections and fills the token cache.
        let (headers, bytes) = client.get().await;
        let coding = headers.get("content-encoding").map_or("", |value| value.to_str().unwrap_or_default());
        assert!(coding.is_empty() || coding == name, "{name}: {headers:?}");
        Kind { name, client, _served: served, bytes, least: Duration::MAX }
    })
}

/// A gateway's settings with traces to a collector that takes everything.
fn traced(runtime: &Runtime, part: f64) -> Settings {
    let (tracer, exporter, _counts) = trace::tracing(Ratio::new(part).expect("a part of 1"));
    let send = |batch: Bytes| {
        black_box(batch);
        std::future::ready(Ok(()))
    };
    runtime.spawn(exporter.run(send, std::future::pending()));
    Settings { tracer: Some(tracer), ..Settings::default() }
}

/// The kinds take turns.
fn measure(runtime: &Runtime, kinds: &mut [Kind], rounds: u32, requests: u32) {
    for _ in 0..rounds {
        for kind in &mut *kinds {
            let begun = cpu();
            runtime.block_on(async {
                for _ in 0..requests {
                    let (_, read) = kind.client.get().await;
                    // What is compressed differs by where the coder had to wait.
                    assert!(read.abs_diff(kind.bytes) <= kind.bytes / 20, "{read} and {}", kind.bytes);
                }
            });
            kind.least = kind.least.min(cpu().saturating_sub(begun));
        }
    }
}

/// CPU time of this thread.
fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.try_into().unwrap_or_default())
}

fn ratio(cost: Duration, base: Duration) -> f64 {
    cost.as_secs_f64() / base.as_secs_f64()
}

/// Events that differ as real ones do.
fn varied_list(items: usize) -> Bytes {
    let mut random = fastrand::Rng::with_seed(1);
    let mut event = |number: usize| {
        let output: String = std::iter::repeat_with(|| random.alphanumeric()).take(160).collect();
        let output = output.replace(['a', 'e', 'i'], " ");
        let repeated = "disk usage of /var/lib is at 71 %, threshold 80 %\\n".repeat(20);
        let id = format!("{:032x}", random.u128(..));
        let mut event = support::event(number).replace(&repeated, &output);
        event = event.replace("3a5948f3-6ffd-4ea2-a41e-334f4a72ca2f", &id);
        // The history's times.
        let (start, history) = event.split_once("\"executed\":17").unwrap_or((&event, ""));
        let mut parts = vec![start.to_owned()];
        for part in history.split("\"executed\":17") {
            parts.push(format!("\"executed\":17{:08}{}", random.u32(..100_000_000), &part[8..]));
        }
        parts.concat()
    };
    let items: Vec<String> = (0..items).map(&mut event).collect();
    format!("[{}]", items.join(",")).into()
}
