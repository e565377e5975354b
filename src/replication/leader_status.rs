//! The status that the leading gateway publishes for the others, so that each of them can show it.

use std::{
    borrow::Cow,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::leadership::{Leadership, Topic};
use crate::types::{LeftBehind, Orphans, ReplicatorState, ReplicatorStatus};

/// Publishes changes at once, and the rest at intervals.
#[derive(Debug, Default)]
pub(super) struct StatusPublisher {
    last: Option<(Instant, Vec<ReplicatorStatus>)>,
}

/// A [`ReplicatorStatus`] as it is stored. Times are in milliseconds.
#[derive(Debug, Serialize, Deserialize)]
struct Stored<'a> {
    name: Cow<'a, str>,
    state: Cow<'a, str>,
    since: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<Cow<'a, str>>,
    #[serde(default)]
    keys: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lag: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_sync: Option<u64>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    is_deleted: bool,
    /// Destination, keys, error.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    left_behind: Vec<(Cow<'a, str>, u64, Option<Cow<'a, str>>)>,
    /// Federation, gateway, keys.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    orphans: Vec<(Cow<'a, str>, Cow<'a, str>, u64)>,
}

// === impl StatusPublisher ===

impl StatusPublisher {
    pub(super) fn publish(&mut self, leadership: &dyn Leadership, statuses: &[ReplicatorStatus]) {
        let now = Instant::now();
        let is_same = |old: &ReplicatorStatus, new: &ReplicatorStatus| {
            let said = |it: &ReplicatorStatus| {
                (
                    it.name.clone(),
                    it.state,
                    it.error.clone(),
                    it.keys,
                    it.left_behind.clone(),
                    it.orphans.clone(),
                )
            };
            said(old) == said(new)
        };
        if let Some((at, last)) = &self.last {
            let is_new =
                last.len() != statuses.len() || !last.iter().zip(statuses).all(|(a, b)| is_same(a, b));
            if !is_new && now.duration_since(*at) < REFRESH {
                return;
            }
        }
        leadership.publish_status(Topic::EtcdReplicators, to_bytes(statuses));
        self.last = Some((now, statuses.to_vec()));
    }

    /// Another leadership: nothing has been published in it.
    pub(super) fn reset(&mut self) {
        self.last = None;
    }
}

/// Reads what the leader published.
pub(super) fn parse(published: &[u8]) -> Option<Vec<ReplicatorStatus>> {
    let stored: Vec<Stored<'_>> = serde_json::from_slice(published).ok()?;
    stored.into_iter().map(status).collect()
}

fn to_bytes(statuses: &[ReplicatorStatus]) -> Bytes {
    let stored = |status: &ReplicatorStatus| -> Vec<u8> {
        let stored = Stored {
            name: Cow::from(&*status.name).into_owned().into(),
            state: status.state.as_str().into(),
            since: millis(status.since),
            error: status.error.as_deref().map(cut),
            keys: status.keys,
            lag: status.lag.map(|lag| u64::try_from(lag.as_millis()).unwrap_or(u64::MAX)),
            last_sync: status.last_sync.map(millis),
            is_deleted: status.is_deleted,
            left_behind: status
                .left_behind
                .iter()
                .map(|it| (cut(&it.destination), it.keys, it.error.as_deref().map(cut)))
                .collect(),
            orphans: status
                .orphans
                .iter()
                .map(|it| (cut(&it.federation), cut(&it.gateway), it.keys))
                .collect(),
        };
        serde_json::to_vec(&stored).expect("texts and numbers always serialize")
    };
    let mut text = vec![b'['];
    for item in statuses.iter().map(stored) {
        if text.len() + item.len() > MAX_BYTES {
            break;
        }
        if text.len() > 1 {
            text.push(b',');
        }
        text.extend(item);
    }
    text.push(b']');
    text.into()
}

/// As much of a text as is published.
pub(super) fn cut(text: &str) -> Cow<'static, str> {
    text.chars().take(MAX_ERROR_CHARS).collect::<String>().into()
}

fn status(stored: Stored<'_>) -> Option<ReplicatorStatus> {
    let at = |millis| UNIX_EPOCH.checked_add(Duration::from_millis(millis));
    Some(ReplicatorStatus {
        name: (&*stored.name).into(),
        state: ReplicatorState::ALL.into_iter().find(|state| state.as_str() == stored.state)?,
        since: at(stored.since)?,
        error: stored.error.map(|error| (&*error).into()),
        keys: stored.keys,
        lag: stored.lag.map(Duration::from_millis),
        last_sync: stored.last_sync.and_then(at),
        leader: false,
        is_deleted: stored.is_deleted,
        left_behind: stored
            .left_behind
            .into_iter()
            .map(|(destination, keys, error)| LeftBehind {
                destination: (&*destination).into(),
                keys,
                error: error.map(|error| (&*error).into()),
            })
            .collect(),
        orphans: stored
            .orphans
            .into_iter()
            .map(|(federation, gateway, keys)| Orphans {
                federation: (&*federation).into(),
                gateway: (&*gateway).into(),
                keys,
            })
            .collect(),
    })
}

fn millis(at: SystemTime) -> u64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// How old the published status of a replicator without changes may be.
const REFRESH: Duration = Duration::from_secs(30);

/// Longer errors are cut.
const MAX_ERROR_CHARS: usize = 1000;

/// etcd accepts 1.5 MiB per request by default.
const MAX_BYTES: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use futures::future::{self, BoxFuture, FutureExt as _};
    use parking_lot::Mutex;
    use tokio::{sync::watch, time::advance};

    use super::*;
    use crate::leadership::Term;

    #[derive(Default)]
    struct Recorder(Mutex<Vec<Bytes>>);

    impl Leadership for Recorder {
        fn terms(&self) -> watch::Receiver<Option<Term>> {
            watch::channel(None).1
        }

        fn run(&self) -> BoxFuture<'_, ()> {
            future::pending().boxed()
        }

        fn resign(&self, _: bool) -> BoxFuture<'_, ()> {
            future::ready(()).boxed()
        }

        fn publish_status(&self, _: Topic, status: Bytes) {
            self.0.lock().push(status);
        }
    }

    fn example(state: ReplicatorState) -> ReplicatorStatus {
        ReplicatorStatus {
            name: "a \"name\"".into(),
            state,
            since: UNIX_EPOCH + Duration::from_millis(1_700_000_000_123),
            error: (state == ReplicatorState::Retrying).then(|| "it\nfails".into()),
            keys: 7,
            lag: Some(Duration::from_millis(1500)),
            last_sync: (state == ReplicatorState::Following).then_some(UNIX_EPOCH),
            leader: true,
            is_deleted: state == ReplicatorState::Retrying,
            left_behind: vec![LeftBehind {
                destination: "https://a".into(),
                keys: 3,
                error: Some("down".into()),
            }],
            orphans: vec![Orphans { federation: "f".into(), gateway: "g".into(), keys: 4 }],
        }
    }

    #[test]
    fn what_is_published_is_what_is_read_but_for_who_leads() {
        let all = ReplicatorState::ALL.map(example);
        let read = parse(&to_bytes(&all)).unwrap();
        assert_eq!(read, all.map(|status| ReplicatorStatus { leader: false, ..status }));
        for bad in [&b""[..], b"{}", b"[{}]", br#"[{"name":"a","state":"else","since":1}]"#] {
            assert_eq!(parse(bad), None);
        }
    }

    #[test]
    fn what_is_published_has_bounds() {
        let long = ReplicatorStatus {
            error: Some("\u{1}".repeat(10_000).into()),
            ..example(ReplicatorState::Retrying)
        };
        let bytes = to_bytes(&vec![long; 1000]);
        assert!(bytes.len() <= MAX_BYTES + 1);
        assert!(parse(&bytes).is_some_and(|read| read.len() > 100));
    }

    #[tokio::test(start_paused = true)]
    async fn changes_are_published_at_once_and_the_rest_seldom() {
        let (recorder, mut publisher) = (Recorder::default(), StatusPublisher::default());
        let count = |publisher: &mut StatusPublisher, status: ReplicatorStatus| {
            publisher.publish(&recorder, &[status]);
            recorder.0.lock().len()
        };
        let one = example(ReplicatorState::Following);
        assert_eq!(count(&mut publisher, one.clone()), 1);
        let later = ReplicatorStatus { last_sync: Some(SystemTime::now()), lag: None, ..one.clone() };
        assert_eq!(count(&mut publisher, later.clone()), 1);
        assert_eq!(count(&mut publisher, ReplicatorStatus { keys: 8, ..one }), 2);
        advance(REFRESH).await;
        assert_eq!(count(&mut publisher, later), 3);
        publisher.reset();
        assert_eq!(count(&mut publisher, example(ReplicatorState::Following)), 4);
    }
}
