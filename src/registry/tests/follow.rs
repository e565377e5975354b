use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use proptest::prelude::*;
use tokio::time::Instant;

use crate::{
    etcd::{self, proto::KeyValue},
    registry::{
        Event,
        etcd::{
            follow::{Follow, TooMuch},
            layout::Layout,
        },
    },
};

/// A watch and what its reader has seen.
struct Rig {
    follow: Follow,
    now: Instant,
    seen: BTreeMap<String, u64>,
    /// What a reflector would show.
    is_down: Option<bool>,
}

impl Rig {
    fn new() -> Self {
        let follow = Follow::new(Arc::new(Layout::new("/f")));
        Self { follow, now: Instant::now(), seen: BTreeMap::new(), is_down: None }
    }

    fn apply(&mut self, event: etcd::Event) -> Result<usize, TooMuch> {
        let mut events = VecDeque::new();
        let taken = self.follow.apply(event, self.now, &mut events);
        taken.map(|()| self.believe(events))
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
        if self.follow.deadline().is_some_and(|deadline| deadline <= self.now) {
            let mut events = VecDeque::new();
            self.follow.report_interruption(&mut events);
            self.believe(events);
        }
    }

    fn believe(&mut self, events: VecDeque<Event>) -> usize {
        let number = events.len();
        for event in events {
            match event {
                Event::Reset { entries, .. } => {
                    self.seen = entries.into_iter().map(|e| (e.key.to_string(), e.version)).collect();
                    self.is_down = Some(false);
                }
                Event::Put(entry) => drop(self.seen.insert(entry.key.to_string(), entry.version)),
                Event::Deleted { key, .. } => drop(self.seen.remove(&*key)),
                Event::Down(_) => self.is_down = Some(true),
            }
        }
        number
    }

    fn load(&mut self, keys: &BTreeMap<String, u64>, schema: &str, revision: u64) {
        self.apply(etcd::Event::Reset).unwrap();
        for (key, version) in keys {
            self.apply(etcd::Event::Item(kv(key, *version, b"x"))).unwrap();
        }
        self.apply(etcd::Event::Item(schema_kv(schema, 1))).unwrap();
        self.apply(etcd::Event::ResetDone { revision: revision.cast_signed() }).unwrap();
    }
}

fn kv(key: &str, version: u64, value: &[u8]) -> KeyValue {
    KeyValue {
        key: format!("/f/registry/{key}").into(),
        value: value.to_vec(),
        mod_revision: version.cast_signed(),
        ..KeyValue::default()
    }
}

fn schema_kv(value: &str, version: u64) -> KeyValue {
    KeyValue { key: b"/f/schema".to_vec(), ..kv("", version, value.as_bytes()) }
}

fn lost() -> etcd::Event {
    let endpoint = "http://etcd.example.com:2379".parse().unwrap();
    let error = etcd::Error::Disconnected { endpoint, source: None };
    etcd::Event::Interrupted { error, retry_in: Duration::ZERO }
}

#[test]
fn only_an_interruption_that_lasts_is_reported() {
    let mut rig = Rig::new();
    rig.load(&BTreeMap::from([("clusters/a".to_owned(), 3)]), "1", 3);
    assert_eq!(rig.apply(lost()), Ok(0));
    rig.wait(Duration::from_secs(1));
    assert_eq!(rig.apply(etcd::Event::Resumed { revision: 3 }), Ok(0));
    assert_eq!((rig.is_down, rig.follow.deadline()), (Some(false), None));
    rig.apply(lost()).unwrap();
    rig.wait(Duration::from_secs(1));
    // Another failed attempt does not put it off.
    rig.apply(lost()).unwrap();
    rig.wait(Duration::from_secs(1));
    assert_eq!((rig.is_down, rig.follow.deadline()), (Some(true), None));
    assert_eq!(rig.apply(lost()), Ok(0), "reported once");
    assert_eq!(rig.apply(etcd::Event::Resumed { revision: 3 }), Ok(1));
    assert_eq!((rig.is_down, rig.seen.len()), (Some(false), 1));
}

#[test]
fn what_no_registry_holds_is_given_up() {
    let mebibyte = vec![b'x'; 1 << 20];
    let item = |n: u64| kv(&format!("clusters/{n}"), n, &mebibyte);
    let mut rig = Rig::new();
    rig.apply(etcd::Event::Reset).unwrap();
    let taken = (1..100).take_while(|n| rig.apply(etcd::Event::Item(item(*n))).is_ok()).count();
    assert_eq!(taken, 63);
    // A smaller one is taken, until it grows.
    rig.load(&BTreeMap::new(), "1", 100);
    assert_eq!(rig.is_down, Some(false));
    for round in 0..100 {
        rig.apply(etcd::Event::Put(kv("clusters/same", 101 + round, &mebibyte))).unwrap();
    }
    let taken = (301..400).take_while(|n| rig.apply(etcd::Event::Put(item(*n))).is_ok()).count();
    assert_eq!(taken, 62);
}

proptest! {
    /// Whenever the watch says that it follows, and is connected, it has reported everything.
    #[test]
    fn who_believes_the_watch_sees_the_store(
        steps in prop::collection::vec((0..9_u8, 0..4_u8), 1..60)
    ) {
        let mut rig = Rig::new();
        let (mut store, mut schema, mut revision) = (BTreeMap::new(), "1", 1);
        let mut is_connected = false;
        // What the mirror reports when it is back.
        let mut missed = Vec::new();
        for (step, n) in steps {
            let mut events = Vec::new();
            let key = format!("clusters/{n}");
            match step {
                0..=2 => {
                    revision += 1;
                    store.insert(key.clone(), revision);
                    missed.push(etcd::Event::Put(kv(&key, revision, b"x")));
                }
                3 => {
                    revision += 1;
                    store.remove(&key);
                    let key = kv(&key, 0, b"").key;
                    missed.push(etcd::Event::Delete { key, revision: revision.cast_signed() });
                }
                4 => {
                    revision += 1;
                    schema = ["1", "2"][usize::from(n % 2)];
                    missed.push(etcd::Event::Put(schema_kv(schema, revision)));
                }
                5 => {
                    events.push(lost());
                    is_connected = false;
                }
                6 => rig.wait(Duration::from_secs(u64::from(n))),
                7 if !is_connected && rig.is_down.is_some() => {
                    events.push(etcd::Event::Resumed { revision: 0 });
                    is_connected = true;
                }
                8 => {
                    rig.load(&store, schema, revision);
                    missed.clear();
                    is_connected = true;
                }
                _ => {}
            }
            if is_connected {
                events.append(&mut missed);
            }
            for event in events {
                rig.apply(event).unwrap();
            }
            if is_connected {
                prop_assert_eq!(rig.is_down, Some(schema != "1"));
                if schema == "1" {
                    prop_assert_eq!(&rig.seen, &store);
                }
            }
        }
    }
}
