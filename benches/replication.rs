//! How fast and how large replication is, between real etcds of one member each. Skipped where etcd is not installed.
//!
//! Measured 2026-11-24 on a VM with 2 vCPUs (AMD EPYC), shared, with nothing else running (`cargo bench`):
//!
//! | what | goal | measured |
//! |---|---|---|
//! | 10,000 bindings, first copy | < 10 s | 0.84 s |
//! | growth of memory by that | < 32 MiB | 23.3 MiB |
//! | a restart with nothing to do | | 0.27 s |
//! | change to visible on the follower, median and p99 of 200 | p99 < 200 ms | 3.0 ms, 6.9 ms |
//!
//! `FEDGATE_BENCH_KEYS` sets another number of bindings.

#![expect(clippy::unwrap_used, reason = "a bench that cannot run shall say where")]

use std::{
    env, fs,
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use fedgate::{
    corev2::{ClusterRoleBinding, ObjectMeta, RoleRef, Subject, Type},
    etcd::{
        Client,
        proto::{Op, PutRequest, RangeRequest, TxnRequest, WatchCreateRequest},
    },
    leadership::Alone,
    registry::{MemoryStore, Precondition, Store as _, reflector},
    replication::{Handle, Settings, supervisor},
    types::{ReplicatorState, Snapshot},
};
use prost::Message as _;
use serde_json::json;
use tokio::{runtime::Builder, sync::watch, task::JoinHandle, time::sleep};

#[path = "../tests/support/etcd_server.rs"]
#[expect(dead_code, reason = "shared with the tests, which use more of it")]
mod etcd_server;
#[path = "../tests/support/wait.rs"]
#[expect(dead_code, reason = "shared with the tests, which use more of it")]
mod wait;

use etcd_server::Etcd;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let etcd = Command::new("etcd").arg("--version").stdout(Stdio::null()).status();
    if !etcd.is_ok_and(|status| status.success()) {
        println!("skipped: etcd is not installed");
        return;
    }
    // As in the gateway: one thread for everything that is not proxying.
    Builder::new_current_thread().enable_all().build().unwrap().block_on(run());
}

async fn run() {
    let keys = env::var("FEDGATE_BENCH_KEYS").ok().map_or(10_000, |text| text.parse().unwrap());
    let (source, alpha) = tokio::join!(Etcd::start(), Etcd::start());
    let (local, a) = (source.client(), alpha.client());
    fill(&local, keys).await;
    let store = MemoryStore::new();
    register(&store, &alpha).await;
    let before = resident();

    let begun = Instant::now();
    let running = Running::start(&source, &store);
    running.until(keys).await;
    println!("first copy of {keys} bindings: {:?}", begun.elapsed());
    println!("growth of memory: {:.1} MiB", (resident() - before) / 1024.0);
    assert_eq!(count(&a).await, i64::try_from(keys).unwrap());
    running.stop().await;

    let revision = revision(&a).await;
    let begun = Instant::now();
    let running = Running::start(&source, &store);
    running.until(keys).await;
    println!("restart with nothing to do: {:?}", begun.elapsed());
    assert_eq!(self::revision(&a).await, revision, "a restart wrote something");

    let mut latencies = latencies(&local, &a, 200).await;
    latencies.sort();
    println!("change to visible: median {:?}, p99 {:?}", latencies[100], latencies[197]);
    println!("memory at the end: {:.1} MiB more", (resident() - before) / 1024.0);
    running.stop().await;
}

struct Running {
    handle: Handle,
    stop: tokio::sync::oneshot::Sender<()>,
    tasks: [JoinHandle<()>; 2],
}

impl Running {
    fn start(source: &Etcd, store: &MemoryStore) -> Self {
        let (_, config) = watch::channel(Arc::new(Snapshot::new([])));
        let (reflector, views) = reflector(config);
        let store: Arc<dyn fedgate::registry::Store> = Arc::new(store.clone());
        let settings = Settings::new(source.config());
        let reflecting = tokio::spawn(reflector.run(Arc::clone(&store)));
        let (supervisor, handle) =
            supervisor(settings, views.registry, store, Alone::new("bench", "here")).unwrap();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let running = tokio::spawn(supervisor.run(async move { drop(stopped.await) }));
        Self { handle, stop, tasks: [running, reflecting] }
    }

    /// Until everything is copied.
    async fn until(&self, keys: usize) {
        let mut statuses = self.handle.statuses.clone();
        let is_done = |status: &fedgate::types::ReplicatorStatus| {
            status.state == ReplicatorState::Following && status.keys == keys as u64
        };
        statuses.wait_for(|all| all.iter().any(is_done)).await.unwrap();
    }

    async fn stop(self) {
        drop(self.stop);
        let [running, reflecting] = self.tasks;
        running.await.unwrap();
        reflecting.abort();
    }
}

/// From the write in the source to the follower's watch.
async fn latencies(local: &Client, follower: &Client, count: usize) -> Vec<Duration> {
    let from = revision(follower).await + 1;
    let prefix = Type::ClusterRoleBinding.prefix();
    let mut watch = follower.watch(WatchCreateRequest::prefix(prefix.as_bytes(), from)).await.unwrap();
    let mut latencies = Vec::new();
    for n in 0..count {
        let begun = Instant::now();
        local.put(put(&format!("change-{n}"))).await.unwrap();
        while watch.message().await.unwrap().events.is_empty() {}
        latencies.push(begun.elapsed());
        // Changes come one by one.
        sleep(Duration::from_millis(5)).await;
    }
    latencies
}

async fn fill(client: &Client, keys: usize) {
    let names: Vec<String> = (0..keys).map(|n| format!("binding-{n:06}")).collect();
    for names in names.chunks(100) {
        let success = names.iter().map(|name| Op::Put(put(name)).into()).collect();
        client.txn(TxnRequest { success, ..TxnRequest::default() }).await.unwrap();
    }
}

fn put(name: &str) -> PutRequest {
    let subject = |n: usize| Subject { kind: "Group".into(), name: format!("team-{n}-of-{name}") };
    let binding = ClusterRoleBinding {
        subjects: (0..3).map(subject).collect(),
        role_ref: Some(RoleRef { kind: "ClusterRole".into(), name: "view".into() }),
        metadata: Some(ObjectMeta { name: name.into(), created_by: "admin".into(), ..ObjectMeta::default() }),
    };
    PutRequest::new(Type::ClusterRoleBinding.key(None, name), binding.encode_to_vec())
}

async fn register(store: &MemoryStore, to: &Etcd) {
    let spec = json!({"url": to.endpoint().to_string(), "resource": "ClusterRoleBinding"});
    let definition = json!({"type": "EtcdReplicator", "api_version": "federation/v1", "metadata": {"name": "r"}, "spec": spec});
    let value = serde_json::to_vec(&definition).unwrap();
    store.put("etcd-replicators/r", value.into(), Precondition::Any).await.unwrap();
}

async fn count(client: &Client) -> i64 {
    let prefix = Type::ClusterRoleBinding.prefix();
    let request = RangeRequest { count_only: true, ..RangeRequest::prefix(prefix.as_bytes()) };
    client.range(request).await.unwrap().count
}

async fn revision(client: &Client) -> i64 {
    client.range(RangeRequest::key("/")).await.unwrap().header.unwrap().revision
}

/// Resident memory of this process in KiB.
fn resident() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
