//! How fast lists are merged, against what a JSON tree costs: 3 lists of 10 MB, events of 2.3 KB each.
//!
//! Measured 2026-11-24 on a VM with 2 vCPUs (AMD EPYC, first generation), one thread, the best of 60 passes of
//! the same functions without LTO, before stray backslashes were refused; copies included:
//!
//! | what | MB/s |
//! |---|---|
//! | `copy_only` | 9,100 |
//! | `label` | 2,180 |
//! | `label_and_qualify` | 1,170 |
//! | `validate_list` | 710 |

use std::{hint::black_box, time::Duration};

use bytes::BytesMut;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use fedgate::{
    rewrite::{Brackets, Rewriter, validate_list},
    types::{ClusterName, Shape},
};

/// Clusters, and bytes of each one's list.
const MEMBERS: usize = 3;
const MEMBER_BYTES: usize = 10_000_000;
/// As much as one read from a connection gives.
const CHUNK: usize = 64 * 1024;

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10).measurement_time(Duration::from_secs(5));
    targets = json_merge
}
criterion_main!(benches);

fn json_merge(c: &mut Criterion) {
    let lists: Vec<Vec<u8>> = (0..MEMBERS).map(|member| events(member, MEMBER_BYTES)).collect();
    let total = lists.iter().map(Vec::len).sum::<usize>();
    let mut group = c.benchmark_group("json_merge");
    group.throughput(Throughput::Bytes(total.try_into().expect("fits")));
    group.bench_function("label", |b| b.iter(|| merge(&lists, false)));
    group.bench_function("label_and_qualify", |b| b.iter(|| merge(&lists, true)));
    group.bench_function("validate_list", |b| {
        b.iter(|| lists.iter().for_each(|list| validate_list(black_box(list)).expect("valid")));
    });
    group.bench_function("copy_only", |b| b.iter(|| copy(&lists)));
    group.bench_function("serde_json_value", |b| {
        b.iter(|| {
            for list in &lists {
                let value: serde_json::Value = serde_json::from_slice(black_box(list)).expect("valid");
                black_box(serde_json::to_vec(&value).expect("serializable"));
            }
        });
    });
    group.finish();
}

/// Merges the lists chunk by chunk, as the fan-out does; the output is thrown away.
fn merge(lists: &[Vec<u8>], qualify: bool) {
    let name: ClusterName = "alpha".parse().expect("a valid name");
    let mut out = BytesMut::with_capacity(2 * CHUNK);
    for list in lists {
        let mut rewriter =
            Rewriter::new(Shape::Resource, Some(&name), qualify.then_some(&name), Brackets::Strip);
        for chunk in list.chunks(CHUNK) {
            rewriter.push(black_box(chunk), &mut out).expect("well formed");
            black_box(&out);
            out.clear();
        }
        rewriter.finish(&mut out).expect("complete");
    }
}

/// The floor: the same bytes copied, nothing inspected.
fn copy(lists: &[Vec<u8>]) {
    let mut out = BytesMut::with_capacity(2 * CHUNK);
    for chunk in lists.iter().flat_map(|list| list.chunks(CHUNK)) {
        out.extend_from_slice(black_box(chunk));
        black_box(&out);
        out.clear();
    }
}

/// A compact list of about `len` bytes of events of 2.5 KB each, as Sensu writes them.
fn events(member: usize, len: usize) -> Vec<u8> {
    let mut list = b"[".to_vec();
    for n in 0.. {
        if list.len() >= len {
            break;
        }
        if n > 0 {
            list.push(b',');
        }
        list.extend_from_slice(event(member, n).as_bytes());
    }
    list.push(b']');
    list
}

fn event(member: usize, n: usize) -> String {
    let history: Vec<String> = (0..n % 12)
        .map(|k| format!(r#"{{"status":{},"executed":{}}}"#, (n + k) % 3, 1_700_000_000 + k * 60))
        .collect();
    EVENT
        .replace("<host>", &format!("web-{member}-{n}"))
        .replace("<namespace>", if n.is_multiple_of(3) { "default" } else { "fix-web" })
        .replace("<history>", &history.join(","))
        .replace(
            "<id>",
            &format!("{:08x}-0000-4000-8000-{n:012x}", n.wrapping_mul(2_654_435_761) & 0xffff_ffff),
        )
        .replace("<output>", OUTPUTS[n % OUTPUTS.len()])
}

const OUTPUTS: [&str; 3] = [
    r"CheckDisk OK: All disk usage under 80% and inode usage under 85%\n",
    r#"CRITICAL: /var 97% \u001b[31mred\u001b[0m ✓ \u003cb\u003e\u0026\"\\ {\"used\":[97]}\t\n"#,
    r"OK - load average: 0.10, 0.05, 0.01 | load1=0.100;5.000;10.000;0; load5=0.050;4.000;6.000;0; load15=0.010;3.000;4.000;0;\n",
];

const EVENT: &str = concat!(
    r#"{"check":{"command":"check-disk-usage.rb -w 80 -c 90 -x tmpfs,devtmpfs","handlers":["slack","pagerduty"],"#,
    r#""high_flap_threshold":0,"interval":60,"low_flap_threshold":0,"publish":true,"runtime_assets":["sensu/check-disk"],"#,
    r#""subscriptions":["linux","web"],"proxy_entity_name":"","check_hooks":[{"critical":["ps"]}],"stdin":false,"#,
    r#""subdue":null,"ttl":0,"timeout":10,"round_robin":false,"duration":0.1234567,"executed":1700000001,"#,
    r#""history":[<history>],"issued":1700000000,"output":"<output>","state":"passing","status":0,"#,
    r#""total_state_change":0,"last_ok":1700000001,"occurrences":1,"occurrences_watermark":1,"#,
    r#""output_metric_format":"nagios_perfdata","output_metric_handlers":["influx"],"env_vars":null,"#,
    r#""metadata":{"name":"disk-usage","namespace":"<namespace>","labels":{"region":"eu-central-1","team":"plattform-ä","#,
    r#""tier":"1"},"annotations":{"runbook":"https://wiki.example.com/disk?host=<host>","note":"a \"quoted\" word"},"#,
    r#""created_by":"admin"},"secrets":null,"is_silenced":false,"scheduler":"memory","processed_by":"backend-01","#,
    r#""pipelines":[]},"entity":{"entity_class":"agent","system":{"hostname":"<host>","os":"linux","platform":"debian","#,
    r#""platform_family":"debian","platform_version":"12.5","network":{"interfaces":[{"name":"lo","#,
    r#""addresses":["127.0.0.1/8","::1/128"]},{"name":"eth0","mac":"02:00:00:00:00:01","addresses":["192.0.2.10/24"]}]},"#,
    r#""arch":"amd64","libc_type":"glibc","vm_system":"kvm","vm_role":"guest","cloud_provider":"","processes":null},"#,
    r#""subscriptions":["linux","web","entity:<host>"],"last_seen":1700000001,"deregister":true,"#,
    r#""deregistration":{"handler":"slack"},"user":"agent","redact":["password","passwd","pass","api_key","api_token","#,
    r#""access_key","secret_key","private_key","secret"],"metadata":{"name":"<host>","namespace":"<namespace>","#,
    r#""labels":{"region":"eu-central-1","team":"plattform-ä","tier":"1"},"annotations":null},"#,
    r#""sensu_agent_version":"6.12.0","keepalive_handlers":["slack"]},"id":"<id>","metadata":{"namespace":"<namespace>","#,
    r#""created_by":"admin"},"pipelines":null,"sequence":9007199254740993,"timestamp":1700000002}"#,
);
