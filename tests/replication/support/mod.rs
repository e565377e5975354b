//! Clusters, gateways and objects for the tests.

pub(crate) mod federation;
pub(crate) mod gateway;
pub(crate) mod guarded;
pub(crate) mod leadership;
pub(crate) mod objects;
pub(crate) mod process;
pub(crate) mod proxy;

use std::{collections::BTreeMap, time::Duration};

use fedgate::etcd::{
    Client,
    proto::{DeleteRangeRequest, PutRequest, RangeRequest},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::etcd_server::Etcd;
pub(crate) use crate::wait::eventually;

/// Everything under a prefix: value and revision.
pub(crate) async fn dump(client: &Client, prefix: &str) -> BTreeMap<String, (Vec<u8>, i64)> {
    let answer = client.range(RangeRequest::prefix(prefix.as_bytes())).await.unwrap();
    let text = |key: Vec<u8>| String::from_utf8(key).unwrap();
    answer.kvs.into_iter().map(|kv| (text(kv.key), (kv.value, kv.mod_revision))).collect()
}

pub(crate) async fn get(client: &Client, key: &str) -> Option<Vec<u8>> {
    let answer = client.range(RangeRequest::key(key)).await.unwrap();
    answer.kvs.into_iter().next().map(|kv| kv.value)
}

pub(crate) async fn put(client: &Client, key: &str, value: &[u8]) -> i64 {
    client.put(PutRequest::new(key, value)).await.unwrap().header.unwrap().revision
}

pub(crate) async fn delete(client: &Client, key: &str) {
    assert_eq!(
        client.delete_range(DeleteRangeRequest::key(key)).await.unwrap().deleted,
        1,
        "{key} is not there"
    );
}

/// The lease of the fence; 0 when it hangs on none, or is not there.
pub(crate) async fn fence_lease(client: &Client) -> i64 {
    let answer = client.range(RangeRequest::key("/fedgate/replication/fence")).await.unwrap();
    answer.kvs.first().map_or(0, |kv| kv.lease)
}

/// Ends the lease of the fence, as time does when nobody keeps it alive.
pub(crate) async fn expire(client: &Client) {
    client.lease_revoke(fence_lease(client).await).await.unwrap();
}

/// The store's revision.
pub(crate) async fn revision(client: &Client) -> i64 {
    client.range(RangeRequest::key("/")).await.unwrap().header.unwrap().revision
}

/// Waits until a key has a value, or is gone.
pub(crate) async fn becomes(client: &Client, key: &str, value: Option<&[u8]>) -> Duration {
    eventually(&format!("{key} is {value:?}"), async || get(client, key).await.as_deref() == value).await
}

/// The sum of an etcd's own metrics of a name.
pub(crate) async fn metric(etcd: &Etcd, name: &str) -> u64 {
    labelled(etcd, name, "").await
}

/// Calls of a method that an etcd has served, whatever came of them.
pub(crate) async fn served(etcd: &Etcd, method: &str) -> u64 {
    labelled(etcd, "grpc_server_handled_total", &format!("grpc_method=\"{method}\"")).await
}

async fn labelled(etcd: &Etcd, name: &str, label: &str) -> u64 {
    let endpoint = etcd.endpoint();
    let mut stream = TcpStream::connect((endpoint.host.as_str(), endpoint.port)).await.unwrap();
    stream.write_all(b"GET /metrics HTTP/1.0\r\nhost: a\r\n\r\n").await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    let lines = text.lines().filter(|line| line.starts_with(name) && line.contains(label));
    let values = lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap());
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counters are whole numbers")]
    let sum = values.sum::<f64>() as u64;
    sum
}

/// Watches that are open at an etcd.
pub(crate) const WATCHES: &str = "etcd_debugging_mvcc_watcher_total";
/// Calls of any method that an etcd has begun to serve.
pub(crate) const CALLS: &str = "grpc_server_started_total";
