mod denied;
mod fences;

use super::{
    fence::{LONGEST_CONTEST, OUTLIVED},
    retry::LONGEST_RETRY,
    *,
};
use crate::{
    corev2::Type,
    etcd::{
        Event,
        proto::{Compare, CompareResult, CompareWith, KeyValue},
    },
    replication::{
        cache::{ReplicaCache, tests::cache_of},
        decide::Scope,
        record::{FENCE_TTL, Federation, FoundFence, federation_key},
    },
    types::Backend,
};

const ROLES: &str = "/sensu.io/rbac/clusterroles/";

/// A machine between two sides that the test sets.
struct Script {
    machine: Machine,
    source: Vec<(String, Vec<u8>)>,
    dest: Arc<ReplicaCache>,
    now: Instant,
}

fn role(name: &str) -> (String, Vec<u8>) {
    let length = u8::try_from(name.len()).unwrap();
    (format!("{ROLES}{name}"), [&[0x1a, length + 2, 0x0a, length], name.as_bytes()].concat())
}

fn fence(store: &str, term: u64, gateway: &str) -> Vec<u8> {
    Fence { place: "p".into(), store: store.into(), term, gateway: gateway.into(), home: HOME.into() }
        .to_bytes()
}

const HOME: &str = "home";

/// A fence that hangs on a lease, and the record of the place.
fn found(revision: i64, value: Vec<u8>) -> Input {
    let place = Fence::parse(&value).map_or("p".to_owned(), |fence| fence.place);
    let fence = Some(FoundFence { revision, value, lease: 1 });
    Input::Fence(Found { fence, place: Some(place), owned: 1, is_recorded: true })
}

/// A fence without a lease, as earlier versions wrote it, and nothing else.
fn unleased(revision: i64, value: Vec<u8>) -> Input {
    let fence = Some(FoundFence { revision, value, lease: 0 });
    Input::Fence(Found { fence, owned: 1, ..Found::default() })
}

fn proof(source: Option<Vec<u8>>) -> Input {
    Input::Proof { source, source_id: "source".to_owned(), endpoints: Vec::new() }
}

fn timeout() -> Error {
    let endpoint: Backend = "http://a:1".parse().unwrap();
    Error::Timeout { endpoint }
}

fn unreachable() -> Error {
    let endpoint: Backend = "http://a:1".parse().unwrap();
    Error::Unreachable { endpoint, source: std::io::ErrorKind::ConnectionRefused.into() }
}

impl Script {
    fn new(roles: usize) -> Self {
        let now = Instant::now();
        let mut machine = Machine::new("ours", FENCE_TTL, now, fastrand::Rng::with_seed(1));
        let scope = Scope { name: "r".into(), kind: Type::ClusterRole, namespace: None, held: false };
        machine.assign(Arc::new(assignment(vec![scope])), now);
        let source = (0..roles).map(|n| role(&format!("r{n:03}"))).collect();
        Self { machine, source, dest: ReplicaCache::new(), now }
    }

    fn lead(&mut self, term: u64) {
        self.machine.lead(Some(Term::forever(term, "me", HOME)));
    }

    fn step(&mut self, input: Input) -> Command {
        let source =
            cache_of(&[RBAC], self.source.iter().map(|(key, value)| (key.as_bytes(), &value[..], 1)));
        let (source, dest) = (source.read(), self.dest.read());
        self.machine.step(input, Sides { source: &source, dest: &dest }, self.now)
    }

    /// The destination is read: it holds the fence and more.
    fn read(&mut self, fence_revision: i64, entries: &[(String, Vec<u8>)]) {
        self.read_place("p", fence_revision, entries);
    }

    fn read_place(&mut self, place: &str, fence_revision: i64, entries: &[(String, Vec<u8>)]) {
        let federation =
            Federation { gateway: "me".to_owned(), source: Some("source".to_owned()) }.to_bytes();
        let key = federation_key("ours");
        let records = [
            (FENCE.as_bytes(), &b"{}"[..], fence_revision),
            (PLACE.as_bytes(), place.as_bytes(), 1),
            (key.as_bytes(), &federation[..], 1),
        ];
        let entries = entries.iter().map(|(key, value)| (key.as_bytes(), &value[..], 1));
        self.dest = cache_of(&[RBAC, RECORDS], entries.chain(records).collect::<Vec<_>>());
    }

    /// Leads, has the fence, and has read a destination without anything.
    fn holding(roles: usize) -> (Self, Command) {
        let mut script = Self::new(roles);
        script.lead(3);
        assert!(matches!(script.step(Input::Woke), Command::ReadFence));
        script.read(7, &[]);
        assert!(matches!(script.step(found(7, fence("ours", 3, "me"))), Command::Prove));
        let command = script.step(proof(None));
        (script, command)
    }
}

fn assignment(scopes: Vec<Scope>) -> Assignment {
    Assignment {
        generation: 1,
        leaves: scopes.is_empty(),
        scopes,
        interval: Duration::from_secs(30),
        recorded: Some("p".to_owned()),
        ..Assignment::default()
    }
}

fn keys(command: &Command) -> usize {
    let Command::Write(batch) = command else { panic!("{command:?}") };
    batch.ops.len()
}

fn waits(command: &Command) -> Instant {
    let Command::Wait { until: Some(until) } = command else { panic!("{command:?}") };
    *until
}

#[tokio::test(start_paused = true)]
async fn nothing_is_done_without_leading_and_nothing_more_after_it() {
    let mut script = Script::new(1);
    assert!(matches!(script.step(Input::Woke), Command::Wait { until: None }));
    assert_eq!(script.machine.follows(), Some(vec![]));
    let (mut script, command) = Script::holding(1);
    assert_eq!(keys(&command), 1);
    script.machine.lead(None);
    assert!(matches!(script.step(Input::Written), Command::Wait { until: None }));
    // Another term begins with the fence.
    script.lead(4);
    assert!(matches!(script.step(Input::Woke), Command::ReadFence));
}

#[tokio::test(start_paused = true)]
async fn the_fence_is_taken_from_nobody_and_from_earlier_terms_only() {
    for (there, expected) in [
        (None, Some(0)),
        (Some(fence("ours", 2, "other")), Some(7)),
        (Some(fence("ours", 3, "other")), Some(7)),
        (Some(fence("ours", 4, "other")), None),
        (Some(fence("theirs", 1, "other")), None),
        (Some(b"what".to_vec()), None),
    ] {
        let mut script = Script::new(1);
        script.lead(3);
        script.step(Input::Woke);
        let input = match &there {
            Some(value) => found(7, value.clone()),
            None => Input::Fence(Found::default()),
        };
        match (script.step(input), expected) {
            (Command::TakeFence { expected, fence, lease: None, replaces }, Some(revision)) => {
                assert_eq!((expected, fence.term, &*fence.gateway), (revision, 3, "me"));
                assert_eq!(fence.place == "p", there.is_some(), "a place keeps its name");
                assert_eq!(replaces, i64::from(there.is_some()), "the old lease is not needed any more");
                // Another writer was faster.
                assert!(matches!(script.step(Input::Taken(None)), Command::ReadFence));
            }
            (Command::Wait { until: Some(until) }, None) => {
                assert!(until > script.now && script.machine.trouble.is_some());
                assert_eq!(script.machine.follows(), None);
            }
            (command, _) => panic!("{there:?} {command:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_written_before_the_destination_is_read() {
    let mut script = Script::new(1);
    script.lead(3);
    script.step(Input::Woke);
    script.step(found(7, fence("ours", 3, "me")));
    waits(&script.step(proof(Some(b"what".to_vec()))));
    assert!(script.machine.follows().unwrap().contains(&RECORDS));
    // What was read before the fence was ours does not count.
    script.read(6, &[]);
    waits(&script.step(Input::Woke));
    script.read(7, &[]);
    assert_eq!(keys(&script.step(Input::Woke)), 1);
}

#[tokio::test(start_paused = true)]
async fn a_lost_fence_is_noticed_in_an_answer_and_by_sight_and_an_equal_is_not_fought() {
    let (mut script, _) = Script::holding(1);
    assert!(matches!(script.step(Input::Fenced), Command::ReadFence));
    let mut pauses = Vec::new();
    for _ in 0..8 {
        // Another gateway with the same term.
        let command = script.step(found(9, fence("ours", 3, "double")));
        let until = waits(&command);
        pauses.push(until - script.now);
        script.now = until;
        assert!(matches!(script.step(Input::Woke), Command::ReadFence));
        let Command::TakeFence { .. } = script.step(found(9, fence("ours", 3, "double"))) else {
            panic!("the pause is over")
        };
        script.read(10, &[]);
        script.step(Input::Taken(Some((10, 2))));
        // It is gone again, which the watch shows.
        script.read(11, &[]);
        assert!(matches!(script.step(Input::Woke), Command::ReadFence));
    }
    assert!(pauses[0] >= Duration::from_secs(4), "{pauses:?}");
    assert!(pauses[7] >= Duration::from_secs(150) && pauses[7] <= LONGEST_CONTEST, "{pauses:?}");
}

#[tokio::test(start_paused = true)]
async fn an_error_is_followed_by_a_pause_that_grows() {
    let (mut script, command) = Script::holding(1);
    assert_eq!(keys(&command), 1);
    let mut last = Duration::ZERO;
    for n in 0..12 {
        let until = waits(&script.step(Input::Failed(unreachable())));
        let pause = until - script.now;
        assert!(pause <= LONGEST_RETRY && (n < 2 || pause >= last / 3), "{pause:?} after {last:?}");
        assert!(!script.machine.unresolved && script.machine.trouble.is_some());
        last = pause;
        // Not earlier, whatever wakes it.
        waits(&script.step(Input::Woke));
        script.now = until;
        assert_eq!(keys(&script.step(Input::Woke)), 1);
    }
    assert!(last >= LONGEST_RETRY / 2);
    script.step(Input::Written);
    assert!(script.machine.trouble.is_none());
}

#[tokio::test(start_paused = true)]
async fn after_a_write_of_unknown_outcome_the_fence_changes_before_the_next_one() {
    let (mut script, command) = Script::holding(1);
    assert_eq!(keys(&command), 1);
    script.now = waits(&script.step(Input::Failed(timeout())));
    assert!(script.machine.unresolved);
    for expected in [7, 8] {
        assert!(matches!(script.step(Input::Woke), Command::ReadFence));
        // To read that it is ours says nothing about what is still under way.
        match script.step(found(expected, fence("ours", 3, "me"))) {
            Command::TakeFence { expected: at, fence, lease: Some(1), .. } => {
                assert_eq!((at, &*fence.place), (expected, "p"));
            }
            command => panic!("{command:?}"),
        }
        assert!(script.machine.unresolved);
        // Nor does an attempt to change it.
        script.now = waits(&script.step(Input::Failed(timeout())));
    }
    script.step(Input::Woke);
    script.step(found(9, fence("ours", 3, "me")));
    script.read(10, &[]);
    let Command::Write(batch) = script.step(Input::Taken(Some((10, 2)))) else { panic!() };
    assert!(batch.request.compare.contains(&Compare::unchanged(FENCE, 10)));
    assert!(!script.machine.unresolved);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_takes_the_place_of_another_is_read_and_proven_again() {
    for there in [None, Some(fence("ours", 3, "me"))] {
        let (mut script, _) = Script::holding(1);
        assert!(matches!(script.step(Input::Fenced), Command::ReadFence));
        let other =
            there.map(|value| Fence { place: "q".into(), ..Fence::parse(&value).unwrap() }.to_bytes());
        let input = other.clone().map_or(Input::Fence(Found::default()), |value| found(3, value));
        let mut command = script.step(input);
        assert_eq!(script.machine.follows(), Some(vec![]), "nothing of the old one is kept");
        let mut place = "q".to_owned();
        if other.is_none() {
            let Command::TakeFence { expected: 0, fence, .. } = command else { panic!("{command:?}") };
            place = fence.place;
            command = script.step(Input::Taken(Some((3, 2))));
        }
        assert!(matches!(command, Command::Prove));
        script.dest = ReplicaCache::new();
        waits(&script.step(proof(None)));
        script.read_place(&place, 3, &[]);
        // Not before it is recorded that something may be there.
        waits(&script.step(Input::Woke));
        assert!(script.machine.awaits_record());
        let recorded = Assignment { recorded: Some(place), ..Assignment::clone(&script.machine.assignment) };
        script.machine.assign(Arc::new(recorded), script.now);
        assert_eq!(keys(&script.step(Input::Woke)), 1);
    }
}

/// The source's churn while the destination is away does not pile up, and none of it is forgotten.
#[tokio::test(start_paused = true)]
async fn what_changes_while_the_destination_is_away_is_kept_within_bounds() {
    let (mut script, _) = Script::holding(0);
    let source = ReplicaCache::new();
    let keyspace = source.open(RBAC);
    let kv = |n: usize| {
        let (key, value) = role(&format!("r{n:05}"));
        KeyValue {
            key: key.into(),
            value,
            mod_revision: i64::try_from(n + 2).unwrap(),
            ..KeyValue::default()
        }
    };
    source.apply(keyspace, [Event::Reset, Event::Item(kv(0)), Event::ResetDone { revision: 2 }]);
    let step = |script: &mut Script, input| {
        let (source, dest) = (source.read(), script.dest.read());
        script.machine.step(input, Sides { source: &source, dest: &dest }, script.now)
    };
    step(&mut script, Input::Woke);
    let until = waits(&step(&mut script, Input::Failed(unreachable())));
    for round in 0..10 {
        source.apply(keyspace, (0..4000).map(|n| Event::Put(kv(round * 4000 + n + 1))));
        step(&mut script, Input::Woke);
        assert!(script.machine.work.noted() <= 16_384 + 4096, "{}", script.machine.work.noted());
    }
    script.now = until;
    let mut command = step(&mut script, Input::Woke);
    let mut written = 0;
    while let Command::Write(batch) = command {
        written += batch.ops.len();
        // The end of it all is what counts here.
        for (key, _) in &batch.ops {
            script.machine.work.done(key);
        }
        command = step(&mut script, Input::Written);
    }
    assert_eq!((written, script.machine.work.noted()), (40_001, 0));
}

#[tokio::test(start_paused = true)]
async fn a_url_of_several_stores_is_refused() {
    let mut script = Script::new(1);
    script.lead(3);
    script.step(Input::Woke);
    let ours = || fence("ours", 3, "me");
    script.step(found(7, ours()));
    let endpoint = |name: &str| format!("http://{name}:2379").parse::<Backend>().unwrap();
    for other in [None, Some(b"what".to_vec())] {
        let endpoints = vec![(endpoint("a"), Some(ours())), (endpoint("b"), other)];
        script.now =
            waits(&script.step(Input::Proof { source: None, source_id: "source".to_owned(), endpoints }));
        assert!(script.machine.is_refused());
        let text = script.machine.trouble.clone().unwrap();
        assert!(text.starts_with("spec.url: http://b:2379 is of another etcd cluster"), "{text}");
        script.step(Input::Woke);
        script.step(found(7, ours()));
    }
    script.read(7, &[]);
    let endpoints = vec![(endpoint("a"), Some(ours())), (endpoint("b"), Some(ours()))];
    assert_eq!(
        keys(&script.step(Input::Proof { source: None, source_id: "source".to_owned(), endpoints })),
        1
    );
}

#[tokio::test(start_paused = true)]
async fn a_later_term_that_nobody_leads_under_is_outlived() {
    let mut script = Script::new(1);
    script.lead(3);
    script.step(Input::Woke);
    let later = || unleased(7, fence("ours", 9, "lost"));
    let begun = script.now;
    loop {
        match script.step(later()) {
            Command::Wait { until: Some(until) } => script.now = until,
            Command::TakeFence { expected: 7, fence, .. } => {
                assert_eq!((fence.term, &*fence.gateway), (3, "me"));
                break;
            }
            command => panic!("{command:?}"),
        }
        assert!(matches!(script.step(Input::Woke), Command::ReadFence));
    }
    assert!(script.now - begun >= OUTLIVED);
    // A new leadership waits again.
    script.lead(4);
    script.step(Input::Woke);
    waits(&script.step(later()));
}

#[tokio::test(start_paused = true)]
async fn what_is_too_much_at_once_is_split_and_what_is_too_large_is_left_out() {
    let (mut script, command) = Script::holding(100);
    assert_eq!(keys(&command), MAX_KEYS);
    let too_large = || Error::TooLarge { reason: "x".into() };
    let mut count = MAX_KEYS;
    while count > 1 {
        let next = keys(&script.step(Input::Failed(too_large())));
        assert!(next < count);
        count = next;
    }
    // The one to blame is left out, the others go on, as many at once as before.
    let command = script.step(Input::Failed(too_large()));
    assert_eq!(keys(&command), MAX_KEYS);
    assert_eq!(script.machine.work.problems_of("r").0, 1);
    let mut written = 0;
    let mut command = command;
    while let Command::Write(batch) = command {
        written += batch.ops.len();
        command = script.step(Input::Written);
    }
    assert_eq!(written, 99);
    // With the next comparison it is tried again.
    script.now = waits(&command);
    let Command::Write(batch) = script.step(Input::Woke) else { panic!("it is tried") };
    assert!(batch.ops[0].0.ends_with(b"/r000"));
}

#[tokio::test(start_paused = true)]
async fn a_full_destination_still_takes_deletions() {
    let (mut script, _) = Script::holding(1);
    let until = waits(&script.step(Input::Failed(Error::NoSpace)));
    assert_eq!(waits(&script.step(Input::Woke)), until);
    // Something owned is not in the source any more.
    let gone = role("gone");
    let record = ("/fedgate/replication/owned/ours/rbac/clusterroles/gone".to_owned(), b"r".to_vec());
    script.read(7, &[gone, record]);
    let command = script.step(Input::Woke);
    let Command::Write(batch) = &command else { panic!("{command:?}") };
    assert!(matches!(&batch.ops[..], [(_, Op::Delete)]), "{batch:?}");
    assert!(matches!(script.step(Input::Failed(Error::NoSpace)), Command::Wait { .. }));
}

#[tokio::test(start_paused = true)]
async fn every_write_compares_the_fence_and_is_within_etcds_bounds() {
    let (mut script, mut command) = Script::holding(300);
    let mut batches = 0;
    while let Command::Write(batch) = command {
        let value = CompareWith::Value(fence("ours", 3, "me"));
        let same = Compare::new(FENCE, CompareResult::Equal, value);
        assert_eq!(batch.request.compare, [Compare::unchanged(FENCE, 7), same]);
        assert!(batch.request.success.len() <= 128);
        batches += 1;
        command = script.step(Input::Written);
    }
    assert_eq!(batches, 5);
}

#[tokio::test(start_paused = true)]
async fn ten_idle_minutes_ask_and_write_nothing() {
    let (mut script, _) = Script::holding(3);
    let equal: Vec<_> = script.source.clone();
    let record = |(key, _): &(String, Vec<u8>)| {
        (key.replace("/sensu.io/", "/fedgate/replication/owned/ours/"), b"r".to_vec())
    };
    let owned: Vec<_> = equal.iter().map(record).chain(equal.clone()).collect();
    script.read(7, &owned);
    let end = script.now + Duration::from_secs(600);
    let mut until = waits(&script.step(Input::Written));
    let mut wakes = 0;
    while script.now < end {
        script.now = until;
        until = waits(&script.step(Input::Woke));
        wakes += 1;
    }
    assert_eq!(wakes, 20, "once in an interval");
    assert!(!script.machine.synced.is_empty() && !script.machine.last_sync.is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_source_itself_is_no_destination() {
    let mut script = Script::new(1);
    script.lead(3);
    script.step(Input::Woke);
    let ours = || fence("ours", 3, "me");
    assert!(matches!(script.step(found(7, ours())), Command::Prove));
    // As long as that is not known, nothing is done.
    let until = waits(&script.step(Input::Failed(timeout())));
    assert_eq!(script.machine.follows(), None);
    script.now = until;
    assert!(matches!(script.step(Input::Woke), Command::ReadFence));
    script.step(found(7, ours()));
    waits(&script.step(proof(Some(ours()))));
    assert!(script.machine.is_refused() && script.machine.follows().is_none());
}
