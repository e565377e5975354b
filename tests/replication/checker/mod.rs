//! The checker: random changes of source and followers while everything breaks, then the question whether all is as it
//! must be. `FEDGATE_REPLICATION_ROUNDS` sets how long, `FEDGATE_REPLICATION_SEED` repeats.

mod model;

use std::{collections::BTreeMap, env, sync::Arc, time::Duration};

use fastrand::Rng;
use fedgate::{
    corev2::Type,
    etcd::{
        Client,
        proto::{DeleteRangeRequest, PutRequest, RangeRequest},
    },
    registry::{EtcdStore, STORE_ID, Store as _},
};
use model::{Follower, SCOPES, State};
use tokio::time::{Instant, sleep};

use crate::{
    etcd_server::Etcd,
    support::{
        federation::cluster,
        gateway::{definition, register, unregister},
        guarded::Guarded,
        process::Process,
        proxy::{Link, Proxy},
    },
};

const ROUNDS: u32 = 200;

/// What the first follower lets the gateway do. Roles and bindings are read as one.
const RIGHTS: [(&str, &str); 7] = [
    ("read", "/sensu.io/rbac/"),
    ("write", "/sensu.io/rbac/clusterroles/"),
    ("write", "/sensu.io/rbac/clusterrolebindings/"),
    ("write", "/sensu.io/rbac/roles/"),
    ("write", "/sensu.io/rbac/rolebindings/"),
    ("readwrite", "/sensu.io/checks/"),
    ("readwrite", "/fedgate/replication/"),
];

/// Longest time for everything to be right again.
const QUIET: Duration = Duration::from_secs(60);

struct World {
    random: Rng,
    source: Etcd,
    local: Arc<Client>,
    gateways: Etcd,
    store: EtcdStore,
    /// For copies of the gateways' store.
    copies: Etcd,
    processes: [Process; 2],
    /// Over TLS, with access control.
    first: Guarded,
    /// Through the proxy.
    second: Etcd,
    clients: [Arc<Client>; 2],
    proxy: Proxy,
    /// What the source holds, but for its seeds.
    content: State,
    seeds: [State; 2],
    models: [Follower; 2],
    faults: BTreeMap<&'static str, u32>,
}

/// What is done to the source: a key gets a value, or goes.
type Change = (String, Option<Vec<u8>>);

/// Repeats a write until it is known to be done.
async fn write(client: &Client, (key, value): &Change) {
    loop {
        let done = match value {
            Some(value) => client.put(PutRequest::new(&**key, &value[..])).await.map(drop),
            None => client.delete_range(DeleteRangeRequest::key(&**key)).await.map(drop),
        };
        match done {
            Ok(()) => return,
            Err(_) => sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn read(client: &Client, prefix: &str) -> Option<State> {
    let answer = client.range(RangeRequest::prefix(prefix.as_bytes())).await.ok()?;
    Some(answer.kvs.into_iter().map(|kv| (String::from_utf8(kv.key).unwrap(), kv.value)).collect())
}

/// Everything of the types that are replicated.
async fn read_objects(client: &Client) -> Option<State> {
    let mut all = read(client, "/sensu.io/rbac/").await?;
    all.extend(read(client, "/sensu.io/checks/").await?);
    Some(all)
}

/// Deletes everything of the gateways' store.
async fn wipe(client: &Client) {
    let (key, range_end) = (b"/fedgate/".to_vec(), b"/fedgate0".to_vec());
    client.delete_range(DeleteRangeRequest { key, range_end, prev_kv: false }).await.unwrap();
}

/// Ends the lease of the fence, if it is there to be ended.
async fn expire_quietly(client: &Client) {
    let fence = client.range(RangeRequest::key("/fedgate/replication/fence")).await;
    if let Some(lease) = fence.ok().and_then(|fence| Some(fence.kvs.first()?.lease)) {
        let _ = client.lease_revoke(lease).await;
    }
}

impl World {
    async fn new(seed_number: u64) -> Self {
        let (source, second, gateways, copies, first) = tokio::join!(
            cluster("local"),
            cluster("beta"),
            Etcd::start(),
            Etcd::start(),
            Guarded::cluster("alpha")
        );
        for (right, prefix) in RIGHTS {
            first.grant(right, prefix);
        }
        let clients = [Arc::clone(&first.root), second.1];
        let proxy = Proxy::to(second.0.endpoint()).await;
        let processes =
            ["one", "two"].map(|name| Process::start(name, &source.0, &gateways, Duration::from_secs(2)));
        let mut seeds = [State::new(), State::new()];
        for (client, seeds) in clients.iter().zip(&mut seeds) {
            *seeds = read_objects(client).await.unwrap();
            // These are updated, and stay so.
            for name in ["admin", "edit", "view"] {
                let key = Type::ClusterRole.key(None, name);
                let value = read(&source.1, &key).await.unwrap().remove(&key).unwrap();
                seeds.insert(key, value);
            }
        }
        let world = Self {
            random: Rng::with_seed(seed_number),
            source: source.0,
            local: source.1,
            store: EtcdStore::new(gateways.client(), "/fedgate/"),
            gateways,
            copies,
            processes,
            first,
            second: second.0,
            clients,
            proxy,
            content: State::new(),
            seeds,
            models: [Follower::default(), Follower::default()],
            faults: BTreeMap::new(),
        };
        world.register_all().await
    }

    async fn register_all(mut self) -> Self {
        for index in 0..2 {
            for (kind, _) in SCOPES {
                self.register(index, kind).await;
            }
        }
        self
    }

    fn follower(&mut self, index: usize) -> &mut Etcd {
        if index == 0 { &mut self.first.etcd } else { &mut self.second }
    }

    async fn register(&mut self, index: usize, kind: Type) {
        let follower = self.follower(index);
        let (url, tls) = (follower.endpoint().to_string(), follower.config().tls);
        let url = if index == 1 { self.proxy.url.clone() } else { url };
        let mut definition = definition(&format!("{}-{index}", kind.name()), kind, &url, &tls);
        definition["spec"]["replication_interval_seconds"] = 1.into();
        if let Some((_, Some(namespace))) = SCOPES.iter().find(|(it, _)| *it == kind) {
            definition["spec"]["namespace"] = (*namespace).into();
        }
        register(&self.store, &definition).await;
        self.models[index].register(kind);
    }

    /// Changes of the source, each of another key.
    fn changes(&mut self) -> Vec<Change> {
        let mut changes: BTreeMap<String, Option<Vec<u8>>> = BTreeMap::new();
        for _ in 0..self.random.usize(1..8) {
            let key = model::any_key(&mut self.random);
            let value = (self.random.u8(..3) > 0).then(|| model::any_value(&mut self.random, &key));
            changes.insert(key, value);
        }
        for (key, value) in &changes {
            match value {
                Some(value) => drop(self.content.insert(key.clone(), value.clone())),
                None => drop(self.content.remove(key)),
            }
        }
        changes.into_iter().collect()
    }

    /// Edits and deletions on a follower, of what replication has brought and what does not change now.
    fn edits(&mut self, index: usize, changes: &[Change]) -> Vec<Change> {
        let model = &self.models[index];
        let stays = |key: &&String| {
            let good = self.content.get(*key) == model.brought.get(*key);
            good && model.wants(key)
                && !model.is_delicate(key)
                && !changes.iter().any(|(changed, _)| changed == *key)
        };
        let keys: Vec<String> = model.brought.keys().filter(stays).cloned().collect();
        let mut edits = BTreeMap::new();
        for _ in 0..self.random.usize(..4).min(keys.len()) {
            let key = keys[self.random.usize(..keys.len())].clone();
            let value = self.random.bool().then(|| model::any_value(&mut self.random, &key));
            edits.insert(key, value);
        }
        edits.into_iter().collect()
    }

    /// The followers' own bindings, and the replicators, change only when nothing else does: in which order they meet
    /// other changes would decide what is right.
    async fn settings(&mut self) {
        let index = self.random.usize(..2);
        if self.random.bool() {
            let (key, value) = model::own_binding(&mut self.random);
            let value = self.random.bool().then_some(value);
            match &value {
                Some(value) => drop(self.models[index].own.insert(key.clone(), value.clone())),
                None => drop(self.models[index].own.remove(&key)),
            }
            write(&self.clients[index], &(key, value)).await;
            self.make_known(index).await;
            return;
        }
        let (kind, _) = SCOPES[self.random.usize(..SCOPES.len())];
        if self.models[index].types.remove(&kind) {
            unregister(&self.store, &format!("{}-{index}", kind.name())).await;
        } else {
            self.register(index, kind).await;
        }
    }

    /// A follower's own binding, and the deletion of the role that it names, must not meet: their order would be
    /// undefined. What is put back shows that everything before it was seen.
    async fn make_known(&self, index: usize) {
        let model = &self.models[index];
        let settled = |(key, value): &(&String, &Vec<u8>)| {
            self.content.get(*key) == Some(*value) && model.wants(key) && !model.is_delicate(key)
        };
        match model.brought.iter().find(settled) {
            Some((key, _)) => write(&self.clients[index], &(key.clone(), None)).await,
            None => sleep(Duration::from_millis(500)).await,
        }
    }

    async fn break_something(&mut self) {
        let pause = Duration::from_millis(self.random.u64(20..400));
        let index = self.random.usize(..2);
        let fault = self.random.usize(..18);
        let name = match fault {
            0 | 1 => {
                self.processes[index].restart();
                "gateway killed"
            }
            2 => {
                self.processes[index].pause();
                sleep(pause).await;
                self.processes[index].resume();
                "gateway stopped for a moment"
            }
            3 => {
                // Until all is right without it.
                self.processes[index].pause();
                "gateway stopped"
            }
            4 => {
                self.source.kill();
                self.source.restart().await;
                "source killed"
            }
            5 => {
                self.follower(index).kill();
                sleep(pause).await;
                self.follower(index).restart().await;
                "follower killed"
            }
            6 => {
                self.source.signal("STOP");
                sleep(pause).await;
                self.source.signal("CONT");
                "source stopped"
            }
            7 => {
                self.follower(index).signal("STOP");
                sleep(pause).await;
                self.follower(index).signal("CONT");
                "follower stopped"
            }
            8 => {
                for client in [&self.local, &self.clients[0], &self.clients[1]] {
                    if let Ok(answer) = client.range(RangeRequest::key("/")).await {
                        let _ = client.compact(answer.header.unwrap().revision).await;
                    }
                }
                "history forgotten"
            }
            9 => {
                self.proxy.set(Link::Cut);
                sleep(pause).await;
                self.proxy.set(Link::Up);
                "partition, noticed"
            }
            10 => {
                self.proxy.set(Link::Silent);
                sleep(pause).await;
                self.proxy.set(Link::Up);
                "partition, silent"
            }
            11 | 12 => {
                expire_quietly(&self.clients[index]).await;
                "lease ended"
            }
            13 => {
                self.run_a_copy(pause).await;
                "store copied"
            }
            14 if self.random.u8(..3) == 0 => {
                self.lose_the_store().await;
                "store lost"
            }
            15 => {
                self.first.certify(false);
                self.first.etcd.kill();
                self.first.etcd.start_again();
                sleep(pause).await;
                self.first.certify(true);
                "certificates swapped"
            }
            _ => {
                // What is left of a right on checks is none, or to read.
                let (right, prefix) = RIGHTS[self.random.usize(..RIGHTS.len())];
                if right == "readwrite" && self.random.bool() {
                    self.first.grant("read", prefix);
                } else {
                    self.first.revoke(prefix);
                }
                sleep(pause * 4).await;
                self.first.grant(right, prefix);
                "rights taken away"
            }
        };
        *self.faults.entry(name).or_default() += 1;
    }

    /// A gateway with a copy of the gateways' store runs for a moment.
    async fn run_a_copy(&mut self, pause: Duration) {
        let (from, to) = (self.gateways.client(), self.copies.client());
        let Some(content) = read(&from, "/fedgate/").await else { return };
        wipe(&to).await;
        // What is attached to a lease is not a copy's: it would lead for ever.
        let lives = |key: &str| key.ends_with("/leader") || key.ends_with("/status");
        for (key, value) in content.into_iter().filter(|(key, _)| !lives(key)) {
            write(&to, &(key, Some(value))).await;
        }
        let copy = Process::start("copy", &self.source, &self.copies, Duration::from_secs(2));
        sleep(pause * 5).await;
        drop(copy);
    }

    /// The gateways' store is empty, and what was registered is registered again.
    async fn lose_the_store(&mut self) {
        wipe(&self.gateways.client()).await;
        sleep(Duration::from_millis(self.random.u64(..500))).await;
        for index in 0..2 {
            for kind in self.models[index].types.clone() {
                self.register(index, kind).await;
            }
            self.models[index].lose_the_store();
        }
    }

    async fn round(&mut self) {
        if self.random.u8(..5) == 0 {
            self.settings().await;
        } else {
            let changes = self.changes();
            let edits = [self.edits(0, &changes), self.edits(1, &changes)];
            let half = self.random.usize(..=changes.len());
            for change in &changes[..half] {
                write(&self.local, change).await;
            }
            let later = (self.local.clone(), changes[half..].to_vec(), self.clients.clone(), edits);
            let writing = tokio::spawn(async move {
                let (local, changes, clients, edits) = later;
                for change in &changes {
                    write(&local, change).await;
                }
                for (client, edits) in clients.iter().zip(&edits) {
                    for edit in edits {
                        write(client, edit).await;
                    }
                }
            });
            for _ in 0..self.random.usize(..3) {
                self.break_something().await;
            }
            writing.await.unwrap();
        }
        for model in &mut self.models {
            model.settle(&self.content);
        }
    }

    /// Waits until both followers hold what they must, records included.
    async fn quiet(&mut self, what: &str) {
        let begun = Instant::now();
        let mut paused = begun;
        loop {
            let Some(difference) = self.difference().await else { break };
            // Two of them may be stopped: one must go on.
            if paused.elapsed() > Duration::from_secs(6) {
                self.processes.iter_mut().for_each(Process::resume);
                paused = Instant::now();
            }
            if begun.elapsed() >= QUIET {
                let (source, actual) = (model::show(&self.content), self.actual().await);
                panic!(
                    "{what}: {difference}{:?}
source{source}
followers{actual}",
                    self.models
                );
            }
            sleep(Duration::from_millis(10)).await;
        }
        self.processes.iter_mut().for_each(Process::resume);
    }

    /// What the followers hold, to read.
    async fn actual(&self) -> String {
        let mut text = String::new();
        for client in &self.clients {
            for prefix in ["/sensu.io/rbac/", "/sensu.io/checks/", "/fedgate/"] {
                text.push_str(&model::show(&read(client, prefix).await.unwrap_or_default()));
            }
            text.push_str("\n  --");
        }
        text
    }

    async fn difference(&self) -> Option<String> {
        for (index, (client, model)) in self.clients.iter().zip(&self.models).enumerate() {
            let Some(actual) = read_objects(client).await else {
                return Some("no answer".to_owned());
            };
            if let Some(difference) = model.difference(&self.seeds[index], &actual) {
                return Some(format!("follower {index}: {difference}"));
            }
            let Some(records) = read(client, "/fedgate/replication/owned/").await else {
                return Some("no answer".to_owned());
            };
            let owned = records.keys().map(|record| record.splitn(6, '/').last().unwrap());
            let mut owned: Vec<String> = owned.map(|rest| format!("/sensu.io/{rest}")).collect();
            // After a store was lost, the records of a kind that is not copied any more are still the old federation's.
            // All others must be of the new one before anything else is asked of it: what it does not own it leaves.
            let Ok(ours) = self.store.get(STORE_ID).await else { return Some("no answer".to_owned()) };
            let ours = ours.map(|entry| String::from_utf8_lossy(&entry.value).into_owned());
            let is_taken_over = |(record, replicator): (&String, &Vec<u8>)| {
                let is_of = |kind: &Type| replicator.starts_with(format!("{}-", kind.name()).as_bytes());
                !model.types.iter().any(is_of) || record.split('/').nth(4) == ours.as_deref()
            };
            if !records.iter().all(is_taken_over) {
                return Some(format!("follower {index} has records of another federation"));
            }
            owned.sort();
            let seeded = ["admin", "edit", "view"].map(|name| Type::ClusterRole.key(None, name));
            let seeded = seeded.into_iter().filter(|_| model.types.contains(&Type::ClusterRole));
            let mut expected: Vec<String> = model.brought.keys().cloned().chain(seeded).collect();
            expected.sort();
            if owned != expected {
                return Some(format!("follower {index} owns {owned:?} and not {expected:?}"));
            }
        }
        None
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_breaks_the_followers_end_up_equal_to_the_source() {
    let number = |name: &str| env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let seed = number("FEDGATE_REPLICATION_SEED").unwrap_or_else(|| fastrand::u64(..));
    let rounds = number("FEDGATE_REPLICATION_ROUNDS").unwrap_or(ROUNDS.into());
    eprintln!("FEDGATE_REPLICATION_SEED={seed}");
    let mut world = Box::pin(World::new(seed)).await;
    // A replicator that the first round takes away has then made its first copy: the model counts on it.
    world.quiet(&format!("the start of FEDGATE_REPLICATION_SEED={seed}")).await;
    let begun = Instant::now();
    let mut slowest = Duration::ZERO;
    for round in 0..rounds {
        let at = Instant::now();
        world.round().await;
        world.quiet(&format!("round {round} of FEDGATE_REPLICATION_SEED={seed}")).await;
        slowest = slowest.max(at.elapsed());
    }
    eprintln!("{rounds} rounds in {:?}, the slowest {slowest:?}; {:?}", begun.elapsed(), world.faults);
    // It comes to rest: nothing is written any more, once what the last faults have left to the fence is done.
    let revisions = async || {
        let ask = |client: Arc<Client>| async move { crate::support::revision(&client).await };
        [ask(world.clients[0].clone()).await, ask(world.clients[1].clone()).await]
    };
    let mut before = revisions().await;
    let mut rests = false;
    for _ in 0..10 {
        sleep(Duration::from_secs(3)).await;
        let now = revisions().await;
        rests = now == before;
        if rests {
            break;
        }
        before = now;
    }
    assert!(rests, "written without an end: {before:?}");
    assert!(world.gateways.client().status().await.is_ok());
}
