//! What clients hold open at an etcd, as the etcd itself and the system count it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{etcd_server::Etcd, wait::PATIENCE};

/// What is open at one etcd.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// Streams that etcd serves, by method. A single call counts while it is under way.
    pub(crate) streams: BTreeMap<String, i64>,
    /// Watches.
    pub(crate) watches: i64,
    /// Connections of this process to its client port.
    pub(crate) connections: usize,
}

// === impl Usage ===

impl Usage {
    /// What is open now. The reader's own connection is not counted.
    pub(crate) async fn of(etcd: &Etcd) -> Self {
        let port = etcd.endpoint().port;
        let text = metrics(etcd).await;
        let mut streams = BTreeMap::new();
        for (line, sign) in [("grpc_server_started_total{", 1), ("grpc_server_handled_total{", -1)] {
            for (labels, value) in text.lines().filter_map(|text| text.strip_prefix(line)?.rsplit_once(' ')) {
                let method = labels.split("grpc_method=\"").nth(1).and_then(|text| text.split('"').next());
                *streams.entry(method.unwrap().to_owned()).or_default() += sign * whole(value);
            }
        }
        streams.retain(|_, open| *open != 0);
        Self {
            streams,
            watches: gauge(&text, "etcd_debugging_mvcc_watcher_total"),
            connections: connections(port),
        }
    }

    /// Waits until this much is open, and no more.
    pub(crate) async fn is_again(&self, etcd: &Etcd, what: &str) {
        let begun = Instant::now();
        loop {
            let now = Self::of(etcd).await;
            if now == *self {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "{what}: {now:?} instead of {self:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Open streams of a method.
    pub(crate) fn streams(&self, method: &str) -> i64 {
        self.streams.get(method).copied().unwrap_or_default()
    }
}

/// The page of an etcd's metrics.
async fn metrics(etcd: &Etcd) -> String {
    let endpoint = etcd.endpoint();
    let mut stream = TcpStream::connect((endpoint.host.as_str(), endpoint.port)).await.unwrap();
    stream.write_all(b"GET /metrics HTTP/1.0\r\nhost: a\r\n\r\n").await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

fn gauge(text: &str, name: &str) -> i64 {
    let found = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    whole(found.unwrap())
}

/// Connections of this process to a port of the loopback interface. etcd has one to itself.
pub(crate) fn connections(port: u16) -> usize {
    let remote = format!(":{port:04X}");
    let is_own: BTreeSet<_> = fs::read_dir("/proc/self/fd")
        .unwrap()
        .filter_map(|entry| {
            fs::read_link(entry.ok()?.path()).ok()?.to_str()?.strip_prefix("socket:[").map(str::to_owned)
        })
        .collect();
    let table = fs::read_to_string("/proc/self/net/tcp").unwrap();
    let is_counted = |line: &&str| {
        let fields: Vec<_> = line.split_whitespace().collect();
        fields[2].ends_with(&remote) && is_own.contains(&format!("{}]", fields[9]))
    };
    table.lines().skip(1).filter(is_counted).count()
}

fn whole(value: &str) -> i64 {
    let value: f64 = value.trim().parse().unwrap();
    #[expect(clippy::cast_possible_truncation, reason = "counts are whole numbers")]
    let whole = value as i64;
    whole
}
