//! The status that the leading gateway publishes for the others, so that each of them can show it.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::{
    leadership::{LeaderStatus, Leadership, Topic},
    types::{ForeignCopies, LeftCopies, PendingChanges, PolicyClusterStatus, PolicyStatus, ReplicatorState},
};

/// Publishes changes at once, and the rest at intervals.
#[derive(Debug, Default)]
pub(super) struct Publisher {
    last: Option<(Instant, Vec<PolicyStatus>)>,
}

/// A [`PolicyStatus`] as it is stored. Times are in milliseconds.
#[derive(Serialize, Deserialize)]
struct Stored {
    name: String,
    state: String,
    since: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    dry_run: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    clusters: Vec<InCluster>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    is_deleted: bool,
    /// Cluster, keys, error.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    left_behind: Vec<(String, Option<u64>, Option<String>)>,
}

#[derive(Serialize, Deserialize)]
struct InCluster {
    cluster: String,
    state: String,
    since: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(default)]
    keys: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lag: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_sync: Option<u64>,
    /// To be created, updated, deleted.
    #[serde(default)]
    pending: (u64, u64, u64),
    #[serde(default)]
    conflicts: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    examples: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    changes: Vec<String>,
    /// Federation, keys.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    orphans: Vec<(String, u64)>,
}

// === impl Publisher ===

impl Publisher {
    pub(super) fn publish(&mut self, leadership: &dyn Leadership, statuses: &[PolicyStatus]) {
        let now = Instant::now();
        let said: Vec<PolicyStatus> = statuses.iter().map(without_progress).collect();
        if self.last.as_ref().is_some_and(|(at, last)| *last == said && now.duration_since(*at) < REFRESH) {
            return;
        }
        leadership.publish_status(Topic::Replicators, to_bytes(statuses));
        self.last = Some((now, said));
    }

    /// Another leadership: nothing has been published in it.
    pub(super) fn reset(&mut self) {
        self.last = None;
    }
}

/// What the leader published; nothing where that is not known.
pub(super) fn published(leader: Option<&LeaderStatus>) -> Vec<PolicyStatus> {
    leader.and_then(|leader| parse(leader.about(Topic::Replicators)?)).unwrap_or_default()
}

/// What is worth being published at once: not how much time has passed.
fn without_progress(status: &PolicyStatus) -> PolicyStatus {
    let mut status = status.clone();
    for cluster in &mut status.clusters {
        (cluster.lag, cluster.last_sync) = (None, None);
    }
    status
}

fn parse(published: &[u8]) -> Option<Vec<PolicyStatus>> {
    let stored: Vec<Stored> = serde_json::from_slice(published).ok()?;
    stored.into_iter().map(Stored::status).collect()
}

/// As many as there is room for, all with less detail if that makes room for more.
fn to_bytes(statuses: &[PolicyStatus]) -> Bytes {
    let whole = fitting(statuses.iter().map(Stored::of));
    let bytes = match whole {
        (bytes, false) => bytes,
        (_, true) => fitting(statuses.iter().map(|status| Stored::of(status).without_examples())).0,
    };
    bytes.into()
}

/// Whether something was left out, too.
fn fitting(all: impl Iterator<Item = Stored>) -> (Vec<u8>, bool) {
    let mut text = vec![b'['];
    for stored in all {
        let item = serde_json::to_vec(&stored).expect("texts and numbers always serialize");
        if text.len() + item.len() > MAX_BYTES {
            text.push(b']');
            return (text, true);
        }
        if text.len() > 1 {
            text.push(b',');
        }
        text.extend(item);
    }
    text.push(b']');
    (text, false)
}

// === impl Stored ===

impl Stored {
    fn of(status: &PolicyStatus) -> Self {
        let left = status.left_behind.iter();
        Self {
            name: status.name.to_string(),
            state: status.state.as_str().to_owned(),
            since: millis(status.since),
            error: status.error.as_ref().map(cut),
            dry_run: status.dry_run,
            clusters: status.clusters.iter().map(InCluster::of).collect(),
            is_deleted: status.is_deleted,
            left_behind: left
                .map(|it| (it.cluster.to_string(), it.keys, it.error.as_ref().map(cut)))
                .collect(),
        }
    }

    fn without_examples(mut self) -> Self {
        for cluster in &mut self.clusters {
            cluster.examples.clear();
            cluster.changes.clear();
        }
        self
    }

    fn status(self) -> Option<PolicyStatus> {
        let left = self.left_behind.into_iter();
        Some(PolicyStatus {
            name: self.name.into(),
            state: state(&self.state)?,
            since: at(self.since)?,
            error: self.error.map(Arc::from),
            leader: false,
            dry_run: self.dry_run,
            clusters: self.clusters.into_iter().map(InCluster::status).collect::<Option<_>>()?,
            is_deleted: self.is_deleted,
            left_behind: left
                .map(|(cluster, keys, error)| LeftCopies {
                    cluster: cluster.into(),
                    keys,
                    error: error.map(Arc::from),
                })
                .collect(),
        })
    }
}

// === impl InCluster ===

impl InCluster {
    fn of(status: &PolicyClusterStatus) -> Self {
        let PendingChanges { create, update, delete } = status.pending;
        let millis_of = |lag: Duration| u64::try_from(lag.as_millis()).unwrap_or(u64::MAX);
        Self {
            cluster: status.cluster.to_string(),
            state: status.state.as_str().to_owned(),
            since: millis(status.since),
            error: status.error.as_ref().map(cut),
            keys: status.keys,
            lag: status.lag.map(millis_of),
            last_sync: status.last_sync.map(millis),
            pending: (create, update, delete),
            conflicts: status.conflicts,
            examples: status.examples.iter().map(cut).collect(),
            changes: status.changes.iter().map(cut).collect(),
            orphans: status.orphans.iter().map(|it| (cut(&it.federation), it.keys)).collect(),
        }
    }

    fn status(self) -> Option<PolicyClusterStatus> {
        let (create, update, delete) = self.pending;
        let orphans = self.orphans.into_iter();
        Some(PolicyClusterStatus {
            keys: self.keys,
            lag: self.lag.map(Duration::from_millis),
            last_sync: self.last_sync.and_then(at),
            pending: PendingChanges { create, update, delete },
            conflicts: self.conflicts,
            examples: self.examples.into_iter().map(Arc::from).collect(),
            changes: self.changes.into_iter().map(Arc::from).collect(),
            orphans: orphans
                .map(|(federation, keys)| ForeignCopies { federation: federation.into(), keys })
                .collect(),
            ..PolicyClusterStatus::new(
                self.cluster.into(),
                state(&self.state)?,
                at(self.since)?,
                self.error.map(Arc::from),
            )
        })
    }
}

fn state(name: &str) -> Option<ReplicatorState> {
    ReplicatorState::ALL.into_iter().find(|state| state.as_str() == name)
}

fn cut(text: &Arc<str>) -> String {
    text.chars().take(MAX_CHARS).collect()
}

fn millis(at: SystemTime) -> u64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn at(millis: u64) -> Option<SystemTime> {
    UNIX_EPOCH.checked_add(Duration::from_millis(millis))
}

/// How old the published status of what does not change may be.
const REFRESH: Duration = Duration::from_secs(30);

/// Longer texts are cut.
const MAX_CHARS: usize = 500;

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
    struct Recorder(Mutex<Vec<(Topic, Bytes)>>);

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

        fn publish_status(&self, topic: Topic, status: Bytes) {
            self.0.lock().push((topic, status));
        }
    }

    fn example(state: ReplicatorState) -> PolicyStatus {
        let since = UNIX_EPOCH + Duration::from_millis(1_700_000_000_123);
        let cluster = PolicyClusterStatus {
            keys: 7,
            lag: Some(Duration::from_millis(1500)),
            last_sync: Some(since),
            pending: PendingChanges { create: 1, update: 2, delete: 3 },
            conflicts: 4,
            examples: vec!["Role n/\"r\": why".into()],
            changes: vec!["create Role n/a".into()],
            orphans: vec![ForeignCopies { federation: "f".into(), keys: 5 }],
            ..PolicyClusterStatus::new("alpha".into(), state, since, Some("it\nfails".into()))
        };
        let left = LeftCopies { cluster: "beta".into(), keys: None, error: Some("away".into()) };
        PolicyStatus {
            name: "rbac".into(),
            state,
            since,
            error: None,
            leader: true,
            dry_run: state == ReplicatorState::Following,
            clusters: vec![cluster],
            is_deleted: state == ReplicatorState::Retrying,
            left_behind: vec![left],
        }
    }

    #[test]
    fn what_is_published_is_what_is_read_but_for_who_leads() {
        let all = ReplicatorState::ALL.map(example);
        let read = parse(&to_bytes(&all)).unwrap();
        assert_eq!(read, all.map(|status| PolicyStatus { leader: false, ..status }));
        for bad in [&b""[..], b"{}", b"[{}]", br#"[{"name":"a","state":"else","since":1}]"#] {
            assert_eq!(parse(bad), None);
        }
    }

    #[test]
    fn what_is_published_has_bounds_and_loses_details_first() {
        let mut one = example(ReplicatorState::Retrying);
        one.clusters[0].examples = vec!["\u{1}".repeat(10_000).into(); 10];
        let bytes = to_bytes(&vec![one.clone(); 100]);
        assert!(bytes.len() <= MAX_BYTES + 1);
        assert_eq!(parse(&bytes).unwrap().len(), 100, "without the examples there is room for all");
        one.error = Some("\u{1}".repeat(10_000).into());
        let bytes = to_bytes(&vec![one; 1000]);
        assert!(bytes.len() <= MAX_BYTES + 1 && parse(&bytes).unwrap().len() > 100);
    }

    #[tokio::test(start_paused = true)]
    async fn changes_are_published_at_once_and_progress_seldom() {
        let (recorder, mut publisher) = (Recorder::default(), Publisher::default());
        let count = |publisher: &mut Publisher, status: &PolicyStatus| {
            publisher.publish(&recorder, std::slice::from_ref(status));
            assert!(recorder.0.lock().iter().all(|(topic, _)| *topic == Topic::Replicators));
            recorder.0.lock().len()
        };
        let one = example(ReplicatorState::Following);
        assert_eq!(count(&mut publisher, &one), 1);
        let mut later = one.clone();
        later.clusters[0].last_sync = Some(SystemTime::now());
        assert_eq!(count(&mut publisher, &later), 1);
        let mut more = one.clone();
        more.clusters[0].keys = 8;
        assert_eq!(count(&mut publisher, &more), 2);
        advance(REFRESH).await;
        assert_eq!(count(&mut publisher, &more), 3);
        publisher.reset();
        assert_eq!(count(&mut publisher, &more), 4);
    }
}
