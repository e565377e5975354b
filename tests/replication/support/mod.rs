//! Clusters, gateways and objects for the tests.

pub(crate) mod gateway;
pub(crate) mod objects;
pub(crate) mod process;
pub(crate) mod proxy;
pub(crate) mod shared;

use std::{collections::BTreeMap, time::Duration};

use fedgate::etcd::{
    Client,
    proto::{DeleteRangeRequest, PutRequest, RangeRequest},
};

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

/// The store's revision.
pub(crate) async fn revision(client: &Client) -> i64 {
    client.range(RangeRequest::key("/")).await.unwrap().header.unwrap().revision
}

/// Waits until a key has a value, or is gone.
pub(crate) async fn becomes(client: &Client, key: &str, value: Option<&[u8]>) -> Duration {
    eventually(&format!("{key} is {value:?}"), async || get(client, key).await.as_deref() == value).await
}
