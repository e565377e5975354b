//! The mirror against scripted answers, under paused time; and what texts of etcd's mean.

#![expect(clippy::unnecessary_wraps, reason = "answers of a script are results")]

use std::{collections::VecDeque, sync::Arc, time::Duration};

use futures::FutureExt as _;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};
use tonic::Code;

use super::{
    machine::{Command, Input},
    mirror::{Engine, LONGEST_SILENCE, Source},
    proto::{
        Compare, CompareResult, CompareWith, EventType, KeyValue, PutRequest, RangeResponse, ResponseHeader,
        WatchEvent, WatchResponse, prefix_range,
    },
    *,
};
use crate::{
    error::{Classify as _, ErrorKind},
    types::Backend,
};

type Answer = Result<Input, Error>;

/// Answers commands from a list; when it is used up, for ever later.
struct Script {
    answers: VecDeque<Answer>,
    /// Each command and the time since the last one.
    commands: Arc<Mutex<Vec<(Command, Duration)>>>,
    last: Instant,
}

impl Source for Script {
    async fn perform(&mut self, command: Command) -> Answer {
        if let Command::Connect { at } = &command {
            sleep_until(*at).await;
        }
        if let Command::Verify { .. } = &command
            && !matches!(self.answers.front(), Some(Ok(Input::Verified(_))))
        {
            return Ok(Input::Verified(true));
        }
        let Some(answer) = self.answers.pop_front() else { return std::future::pending().await };
        self.commands.lock().push((command, self.last.elapsed()));
        self.last = Instant::now();
        answer
    }
}

/// The events that these answers lead to, in short, and the commands other than those to receive.
async fn play(answers: impl IntoIterator<Item = Answer>) -> (Vec<String>, Vec<(Command, Duration)>) {
    let commands = Arc::new(Mutex::new(Vec::new()));
    let answers = answers.into_iter().collect();
    let script = Script { answers, commands: commands.clone(), last: Instant::now() };
    let mut engine = Engine::new(b"/p/".to_vec(), script, fastrand::Rng::with_seed(1));
    let mut seen = Vec::new();
    // Paused time jumps to the deadline when there is no event left.
    while let Ok(event) = tokio::time::timeout(Duration::from_secs(60), engine.next()).await {
        seen.push(brief(&event));
    }
    let mut commands = std::mem::take(&mut *commands.lock());
    commands.retain(|(command, _)| *command != Command::Receive);
    (seen, commands)
}

fn brief(event: &Event) -> String {
    let text = |key: &[u8]| String::from_utf8_lossy(key).into_owned();
    match event {
        Event::Reset => "reset".into(),
        Event::Item(kv) => format!("item {}@{}", text(&kv.key), kv.mod_revision),
        Event::ResetDone { revision } => format!("done {revision}"),
        Event::Put(kv) => format!("put {}@{}", text(&kv.key), kv.mod_revision),
        Event::Delete { key, revision } => format!("delete {}@{revision}", text(key)),
        Event::Progress { revision } => format!("progress {revision}"),
        Event::Interrupted { error, .. } => format!("interrupted {}", error.class()),
        Event::Resumed { revision } => format!("resumed {revision}"),
    }
}

fn header(revision: i64) -> ResponseHeader {
    ResponseHeader { cluster_id: 7, revision, ..ResponseHeader::default() }
}

fn connected(revision: i64) -> Answer {
    Ok(Input::Connected(header(revision)))
}

fn kv(key: &str, mod_revision: i64) -> KeyValue {
    KeyValue { key: key.into(), mod_revision, ..KeyValue::default() }
}

fn page(revision: i64, keys: &[(&str, i64)], more: bool) -> Answer {
    let kvs = keys.iter().map(|(key, at)| kv(key, *at)).collect();
    Ok(Input::Page(RangeResponse { header: Some(header(revision)), kvs, more, count: 0 }))
}

/// A message; revisions below 0 are deletions.
fn changes(keys: &[(&str, i64)]) -> WatchResponse {
    let event = |(key, at): &(&str, i64)| WatchEvent {
        r#type: i32::from(if *at < 0 { EventType::Delete } else { EventType::Put }),
        kv: Some(kv(key, at.abs())),
        prev_kv: None,
    };
    WatchResponse {
        header: Some(header(1000)),
        events: keys.iter().map(event).collect(),
        ..Default::default()
    }
}

fn message(keys: &[(&str, i64)]) -> Answer {
    Ok(Input::Message(changes(keys)))
}

fn progress(revision: i64) -> Answer {
    Ok(Input::Message(WatchResponse { header: Some(header(revision)), ..Default::default() }))
}

fn endpoint() -> Backend {
    "http://etcd.example.com:2379".parse().unwrap()
}

fn lost() -> Answer {
    Err(Error::Disconnected { endpoint: endpoint(), source: None })
}

fn compacted() -> Answer {
    Err(Error::Compacted { oldest: Some(50) })
}

/// What loads an empty prefix at revision 10.
fn loaded() -> [Answer; 3] {
    [connected(10), Ok(Input::Opened), page(10, &[], false)]
}

#[tokio::test(start_paused = true)]
async fn the_watch_opens_before_the_pages_are_read() {
    let (seen, commands) = play([
        connected(10),
        Ok(Input::Opened),
        page(10, &[("/p/a", 3), ("/p/b", 9)], true),
        page(12, &[("/p/c", 12)], false),
        message(&[("/p/b", 11)]),
        message(&[("/p/a", -13), ("/p/d", 13)]),
    ])
    .await;
    assert_eq!(
        seen,
        [
            "reset",
            "item /p/a@3",
            "item /p/b@9",
            "item /p/c@12",
            "done 10",
            "put /p/b@11",
            "progress 11",
            "delete /p/a@13",
            "put /p/d@13",
            "progress 13"
        ]
    );
    let commands: Vec<_> = commands.into_iter().map(|(command, _)| command).skip(1).collect();
    let page = |key: &str| Command::Page { key: key.into(), limit: 500 };
    assert_eq!(commands, [Command::Open { from: 11 }, page("/p/"), page("/p/b\0")]);
}

#[tokio::test(start_paused = true)]
async fn what_a_page_has_already_is_not_seen_again() {
    let (seen, _) = play([
        connected(10),
        Ok(Input::Opened),
        page(12, &[("/p/b", 12)], true),
        page(14, &[("/p/d", 14)], false),
        // b and a were read at 12, d and c at 14.
        message(&[("/p/b", 11), ("/p/b", 12), ("/p/a", 13), ("/p/c", -13), ("/p/d", 14), ("/p/d", 15)]),
    ])
    .await;
    assert_eq!(seen[4..], ["put /p/a@13", "put /p/d@15", "progress 15"]);
}

#[tokio::test(start_paused = true)]
async fn a_lost_watch_goes_on_after_the_last_revision() {
    let again = |revision| [connected(revision), Ok(Input::Opened)];
    let split = WatchResponse { fragment: true, ..changes(&[("/p/a", 30)]) };
    let answers = [
        Vec::from(loaded()),
        vec![message(&[("/p/a", 20)]), lost()],
        again(20).into(),
        // The quiet prefix: nothing of it happened up to 25.
        vec![progress(25), lost()],
        again(25).into(),
        // Half of a message: its revision is asked for again.
        vec![Ok(Input::Message(split)), lost()],
        again(30).into(),
    ];
    let (seen, commands) = play(answers.into_iter().flatten()).await;
    assert_eq!(
        seen[2..],
        [
            "put /p/a@20",
            "progress 20",
            "interrupted disconnected",
            "resumed 20",
            "progress 25",
            "interrupted disconnected",
            "resumed 25",
            "put /p/a@30",
            "interrupted disconnected",
            "resumed 29"
        ]
    );
    let opened = commands.iter().filter_map(|(command, _)| match command {
        Command::Open { from } => Some(*from),
        _ => None,
    });
    // To resume, one earlier than needed.
    assert_eq!(opened.collect::<Vec<_>>(), [11, 20, 25, 29]);
}

#[tokio::test(start_paused = true)]
async fn a_compaction_at_any_time_is_followed_by_a_load() {
    let reload = || [connected(60), Ok(Input::Opened), page(60, &[("/p/z", 55)], false)];
    let loaded_again = ["reset", "item /p/z@55", "done 60"];

    let watching = loaded().into_iter().chain([compacted()]).chain(reload());
    let (seen, _) = play(watching).await;
    assert_eq!(seen[2..3], ["interrupted compacted"]);
    assert_eq!(seen[3..], loaded_again);

    let opening = loaded().into_iter().chain([lost(), connected(60), compacted()]).chain(reload());
    let (seen, _) = play(opening).await;
    assert_eq!(seen[2..4], ["interrupted disconnected", "interrupted compacted"]);
    assert_eq!(seen[4..], loaded_again);

    let before_the_load = [connected(10), compacted()].into_iter().chain(reload());
    let (seen, _) = play(before_the_load).await;
    assert_eq!(seen[0], "interrupted compacted");
    assert_eq!(seen[1..], loaded_again);
}

#[tokio::test(start_paused = true)]
async fn a_load_that_breaks_begins_again() {
    let broken = [connected(10), Ok(Input::Opened), page(10, &[("/p/a", 1)], true), lost()];
    let (seen, _) = play(broken.into_iter().chain(loaded())).await;
    assert_eq!(seen, ["reset", "item /p/a@1", "interrupted disconnected", "reset", "done 10"]);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_was_replaced_or_went_back_is_loaded() {
    let went_back =
        loaded().into_iter().chain([lost(), connected(9), Ok(Input::Opened), page(9, &[], false)]);
    let (seen, commands) = play(went_back).await;
    assert_eq!(seen[2..], ["interrupted disconnected", "reset", "done 9"]);
    assert!(commands.iter().any(|(command, _)| *command == Command::Open { from: 10 }));

    let other = Ok(Input::Connected(ResponseHeader { cluster_id: 8, ..header(90) }));
    let (seen, _) =
        play(loaded().into_iter().chain([lost(), other, Ok(Input::Opened), page(90, &[], false)])).await;
    assert_eq!(seen[2..], ["interrupted disconnected", "reset", "done 90"]);
}

#[tokio::test(start_paused = true)]
async fn a_store_with_another_history_is_loaded_although_its_revision_is_high_enough() {
    let newest = |change: Option<&[(&str, i64)]>| {
        [connected(10), Ok(Input::Opened), page(10, &[("/p/a", 9), ("/p/b", 8)], false)]
            .into_iter()
            .chain(change.map(message))
            .chain([lost(), connected(60)])
    };
    let verify = |key: &str, revision| Command::Verify { key: key.into(), revision };
    let expected = [
        (None, verify("/p/a", 9)),
        (Some(&[("/p/b", 12), ("/p/a", 11)][..]), verify("/p/b", 12)),
        (Some(&[("/p/b", -12)][..]), verify("/p/b", 0)),
    ];
    for (change, verify) in expected {
        let again = [Ok(Input::Verified(true)), Ok(Input::Opened)];
        let (seen, commands) = play(newest(change).chain(again)).await;
        assert!(commands.iter().any(|(command, _)| *command == verify), "{commands:?}");
        assert!(seen.last().unwrap().starts_with("resumed"), "{seen:?}");
        let loaded = [Ok(Input::Verified(false)), Ok(Input::Opened), page(60, &[], false)];
        let (seen, commands) = play(newest(change).chain(loaded)).await;
        assert!(commands.iter().any(|(command, _)| *command == Command::Open { from: 61 }), "{commands:?}");
        assert_eq!(seen[seen.len() - 2..], ["reset", "done 60"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_watch_is_opened_again_and_progress_keeps_it_open() {
    let answers = loaded().into_iter().chain([progress(11)]).collect();
    let script = Script { answers, commands: Arc::default(), last: Instant::now() };
    let mut engine = Engine::new(b"/p/".to_vec(), script, fastrand::Rng::with_seed(1));
    let begun = Instant::now();
    let event = loop {
        // The caller may stop waiting and start again in between.
        match tokio::time::timeout(Duration::from_secs(100), engine.next()).await {
            Ok(event @ Event::Interrupted { .. }) => break event,
            _ => assert!(begun.elapsed() < LONGEST_SILENCE * 2),
        }
    };
    assert!(matches!(event, Event::Interrupted { error: Error::Protocol { .. }, .. }), "{event:?}");
    assert_eq!(begun.elapsed(), LONGEST_SILENCE);
}

#[tokio::test(start_paused = true)]
async fn attempts_grow_apart_to_two_seconds_and_start_over_after_a_success() {
    let failures = (0..10).map(|_| lost());
    let answers = failures.chain(loaded()).chain([progress(11), lost(), connected(11)]);
    let (_, commands) = play(answers).await;
    let waits: Vec<u128> = commands
        .iter()
        .filter(|(command, _)| matches!(command, Command::Connect { .. }))
        .map(|(_, wait)| wait.as_millis())
        .collect();
    assert_eq!(waits[0], 0);
    for (attempt, wait) in waits[1..=10].iter().enumerate() {
        let longest = (100 << attempt).min(2000);
        // Timers have a resolution of one millisecond.
        assert!((longest / 2..=longest + 1).contains(wait), "attempt {attempt}: {wait} ms");
    }
    assert!(waits[11] <= 101, "{waits:?}");
}

#[tokio::test(start_paused = true)]
async fn pages_shrink_until_they_fit() {
    let large = || Err(Error::TooLarge { reason: String::new() });
    let load = [connected(10), Ok(Input::Opened), large(), large(), page(10, &[("/p/a", 1)], false)];
    let (seen, commands) = play(load).await;
    assert_eq!(seen, ["reset", "item /p/a@1", "done 10"]);
    let limits = commands.iter().filter_map(|(command, _)| match command {
        Command::Page { limit, .. } => Some(*limit),
        _ => None,
    });
    assert_eq!(limits.collect::<Vec<_>>(), [500, 126, 32]);
}

#[tokio::test(start_paused = true)]
async fn pages_that_lead_nowhere_do_not_loop() {
    for nowhere in [page(10, &[], true), page(10, &[("/a", 1)], true)] {
        let (seen, _) = play([connected(10), Ok(Input::Opened), nowhere]).await;
        assert_eq!(seen.last().unwrap(), "interrupted protocol");
    }
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_wait_loses_nothing() {
    let commands = Arc::default();
    let answers = [lost()].into_iter().chain(loaded()).collect();
    let script = Script { answers, commands, last: Instant::now() };
    let mut engine = Engine::new(b"/p/".to_vec(), script, fastrand::Rng::with_seed(1));
    assert_eq!(brief(&engine.next().await), "interrupted disconnected");
    assert!(engine.next().now_or_never().is_none());
    assert_eq!(brief(&engine.next().await), "reset");
}

#[test]
fn the_texts_of_etcd_become_typed_errors() {
    let class = |code, text| Error::from_text(endpoint(), code, text).class();
    for (code, text, expected) in [
        (Code::ResourceExhausted, "etcdserver: mvcc: database space exceeded", "no-space"),
        (Code::OutOfRange, "etcdserver: mvcc: required revision has been compacted", "compacted"),
        (Code::PermissionDenied, "etcdserver: permission denied", "denied"),
        (Code::InvalidArgument, "etcdserver: user name is empty", "denied"),
        (Code::Unauthenticated, "etcdserver: invalid auth token", "denied"),
        (Code::NotFound, "etcdserver: requested lease not found", "lease"),
        (Code::InvalidArgument, "etcdserver: request is too large", "too-large"),
        (Code::OutOfRange, "Error, decoded message length too large: found 9 bytes", "too-large"),
        (Code::InvalidArgument, "etcdserver: duplicate key given in txn request", "rejected"),
        (Code::Unavailable, "etcdserver: no leader", "unavailable"),
        (Code::ResourceExhausted, "etcdserver: too many requests", "unavailable"),
        (Code::DeadlineExceeded, "context deadline exceeded", "timeout"),
        (Code::Unimplemented, "unknown service", "protocol"),
        (
            Code::Unavailable,
            "rpc error: code = PermissionDenied desc = etcdserver: permission denied",
            "denied",
        ),
    ] {
        assert_eq!(class(code, text), expected, "{text}");
    }
    let long = Error::from_text(endpoint(), Code::Internal, &"a\n".repeat(1000)).to_string();
    assert!(long.len() < 400 && !long.contains('\n'), "{long}");
}

#[test]
fn clients_learn_nothing_of_the_endpoints() {
    let error = Error::Timeout { endpoint: endpoint() };
    assert!(error.to_string().contains("etcd.example.com"));
    let reply = error.reply();
    assert_eq!((reply.status.as_u16(), reply.retry_after), (503, Some(5)));
    assert!(!reply.message.contains("example"));
    assert_eq!(error.kind(), ErrorKind::Upstream);
}

#[test]
fn clients_learn_whether_a_write_may_have_happened() {
    let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
    for (error, unknown) in [
        (Error::Timeout { endpoint: endpoint() }, true),
        (Error::Disconnected { endpoint: endpoint(), source: None }, true),
        (Error::Unreachable { endpoint: endpoint(), source: refused }, false),
        (Error::NoSpace, false),
    ] {
        let reply = error.reply();
        assert_eq!(reply.message.contains("may or may not have happened"), unknown, "{error}");
        assert_eq!(reply.message.contains("nothing was changed"), !unknown, "{error}");
    }
}

#[test]
fn a_prefix_ends_where_the_next_one_begins() {
    assert_eq!(prefix_range(b"/a/"), (b"/a/".to_vec(), b"/a0".to_vec()));
    assert_eq!(prefix_range(b"a\xff\xff"), (b"a\xff\xff".to_vec(), b"b".to_vec()));
    assert_eq!(prefix_range(b"\xff"), (b"\xff".to_vec(), vec![0]));
    assert_eq!(prefix_range(b""), (vec![0], vec![0]));
}

#[test]
fn values_are_not_printed() {
    let kv = KeyValue { key: b"/k\n".to_vec(), value: b"secret".to_vec(), ..KeyValue::default() };
    let compare = Compare::new("/k", CompareResult::Equal, CompareWith::Value(b"secret".to_vec()));
    for text in [format!("{kv:?}"), format!("{:?}", PutRequest::new("/k", "secret")), format!("{compare:?}")]
    {
        assert!(!text.contains("secret") && !text.contains("115"), "{text}");
        assert!(!text.contains('\n'), "{text}");
    }
}

#[test]
fn a_client_needs_an_endpoint() {
    let config = Config::new(Vec::new(), crate::types::TlsFiles::default());
    assert!(matches!(Client::new(config), Err(Error::NoEndpoints)));
}
