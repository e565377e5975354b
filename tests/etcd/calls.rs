use std::{net::TcpListener, sync::Arc, time::Duration};

use fedgate::{
    etcd::{
        Client, Config, Error, Event, Mirror,
        proto::{
            Compare, CompareResult, CompareWith, DeleteRangeRequest, Op, OpResult, PutRequest, RangeRequest,
            TxnRequest, WatchCreateRequest,
        },
    },
    replication::probe,
    types::{Backend, TlsFiles},
};
use tokio::io::AsyncWriteExt as _;

use crate::{etcd_server::Etcd, wait::PATIENCE};

fn local(port: u16) -> Backend {
    format!("http://127.0.0.1:{port}").parse().unwrap()
}

/// A loopback port without a listener.
fn dead_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[tokio::test]
async fn keys_are_written_read_and_deleted() {
    let etcd = Etcd::start().await;
    let client = etcd.client();
    let first = client.put(PutRequest::new("/a/1", "one")).await.unwrap().header.unwrap().revision;
    let put = PutRequest { prev_kv: true, ..PutRequest::new("/a/1", "two") };
    let before = client.put(put).await.unwrap().prev_kv.unwrap();
    assert_eq!((before.value, before.mod_revision, before.version), (b"one".to_vec(), first, 1));

    let now = client.range(RangeRequest::key("/a/1")).await.unwrap();
    assert_eq!((now.count, now.kvs[0].value.as_slice()), (1, &b"two"[..]));
    let then = RangeRequest { revision: first, serializable: true, ..RangeRequest::key("/a/1") };
    assert_eq!(client.range(then.clone()).await.unwrap().kvs[0].value, b"one");

    client.compact(first + 1).await.unwrap();
    let error = client.range(then).await.unwrap_err();
    assert!(matches!(error, Error::Compacted { .. }), "{error:?}");

    let delete = DeleteRangeRequest { prev_kv: true, ..DeleteRangeRequest::prefix(b"/a/") };
    let deleted = client.delete_range(delete).await.unwrap();
    assert_eq!((deleted.deleted, deleted.prev_kvs[0].value.as_slice()), (1, &b"two"[..]));
    let status = client.status().await.unwrap();
    assert!(status.version.starts_with("3."), "{status:?}");
}

#[tokio::test]
async fn a_destination_is_one_that_sensu_has_written_to() {
    let etcd = Etcd::start().await;
    let tls = TlsFiles::default();
    let foreign = probe(&etcd.endpoint(), &tls, PATIENCE).await.unwrap_err();
    assert!(foreign.contains("is this the etcd of a Sensu cluster?"), "{foreign}");
    etcd.client().put(PutRequest::new("/sensu.io/namespaces/default", "x")).await.unwrap();
    let reached = probe(&etcd.endpoint(), &tls, PATIENCE).await.unwrap();
    assert!(reached.version.starts_with("3."), "{reached:?}");
    let dead = probe(&local(dead_port()), &tls, Duration::from_secs(5)).await.unwrap_err();
    assert!(dead.contains("is unreachable: check that etcd runs there"), "{dead}");
}

#[tokio::test]
async fn ranges_come_in_pages() {
    let etcd = Etcd::start().await;
    let client = etcd.client();
    for key in ["/p/a", "/p/b", "/p/c", "/q"] {
        client.put(PutRequest::new(key, "value")).await.unwrap();
    }
    let page = RangeRequest { limit: 2, keys_only: true, ..RangeRequest::prefix(b"/p/") };
    let first = client.range(page.clone()).await.unwrap();
    let keys: Vec<_> = first.kvs.iter().map(|kv| kv.key.as_slice()).collect();
    assert_eq!((keys, first.more, first.count), (vec![&b"/p/a"[..], b"/p/b"], true, 3));
    assert!(first.kvs.iter().all(|kv| kv.value.is_empty()));
    let second = client.range(RangeRequest { key: b"/p/b\0".to_vec(), ..page.clone() }).await.unwrap();
    assert_eq!((second.kvs[0].key.as_slice(), second.more), (&b"/p/c"[..], false));
    let count = client.range(RangeRequest { count_only: true, limit: 0, ..page }).await.unwrap();
    assert_eq!((count.count, count.kvs.len()), (3, 0));
    assert_eq!(client.range(RangeRequest::prefix(b"")).await.unwrap().count, 4);
}

#[tokio::test]
async fn a_transaction_compares_and_does_one_or_the_other() {
    let etcd = Etcd::start().await;
    let client = etcd.client();
    let put = |value: &str| Op::Put(PutRequest::new("/t", value)).into();
    let create = TxnRequest {
        compare: vec![Compare::absent("/t")],
        success: vec![put("first")],
        failure: vec![Op::Range(RangeRequest::key("/t")).into()],
    };
    let done = client.txn(create.clone()).await.unwrap();
    assert!(done.succeeded);
    let revision = done.header.unwrap().revision;
    let refused = client.txn(create).await.unwrap();
    let Some(OpResult::Range(there)) = &refused.responses[0].response else { panic!("{refused:?}") };
    assert_eq!((refused.succeeded, there.kvs[0].value.as_slice()), (false, &b"first"[..]));

    let holds = [
        Compare::unchanged("/t", revision),
        Compare::new("/t", CompareResult::Equal, CompareWith::Value(b"first".to_vec())),
        Compare::new("/t", CompareResult::Less, CompareWith::Version(2)),
        Compare::new("/t", CompareResult::Greater, CompareWith::CreateRevision(revision - 1)),
    ];
    let change = TxnRequest { compare: holds.into(), success: vec![put("second")], failure: Vec::new() };
    assert!(client.txn(change.clone()).await.unwrap().succeeded);
    assert!(!client.txn(change).await.unwrap().succeeded, "the fence has moved");

    let delete = TxnRequest {
        success: vec![Op::DeleteRange(DeleteRangeRequest::key("/t")).into()],
        ..TxnRequest::default()
    };
    assert!(client.txn(delete).await.unwrap().succeeded);
    let twice = TxnRequest { success: vec![put("a"), put("b")], ..TxnRequest::default() };
    let error = client.txn(twice).await.unwrap_err();
    assert!(matches!(error, Error::Rejected { .. }), "{error:?}");
}

#[tokio::test]
async fn the_keys_of_a_lease_end_with_it() {
    let etcd = Etcd::start().await;
    let client = etcd.client();
    let lease = client.lease_grant(Duration::from_secs(1)).await.unwrap();
    let put = PutRequest { lease: lease.id, ..PutRequest::new("/l", "value") };
    let revision = client.put(put).await.unwrap().header.unwrap().revision;
    let mut keep_alive = client.keep_alive(lease.id);
    assert_eq!((keep_alive.lease(), keep_alive.renew().await.unwrap()), (lease.id, lease.ttl));

    let mut watch = client.watch(WatchCreateRequest::prefix(b"/l", revision + 1)).await.unwrap();
    let gone = tokio::time::timeout(PATIENCE, watch.message()).await.unwrap().unwrap();
    assert_eq!(gone.events[0].kv.as_ref().unwrap().key, b"/l");
    assert!(matches!(keep_alive.renew().await, Err(Error::LeaseNotFound)));

    let lease = client.lease_grant(Duration::from_secs(600)).await.unwrap();
    client.put(PutRequest { lease: lease.id, ..PutRequest::new("/l", "value") }).await.unwrap();
    client.lease_revoke(lease.id).await.unwrap();
    assert_eq!(client.range(RangeRequest::key("/l")).await.unwrap().count, 0);
    assert!(matches!(client.lease_revoke(lease.id).await, Err(Error::LeaseNotFound)));
    let late = PutRequest { lease: lease.id, ..PutRequest::new("/l", "value") };
    assert!(matches!(client.put(late).await, Err(Error::LeaseNotFound)));
}

#[tokio::test]
async fn large_batches_of_a_watch_come_in_fragments() {
    let etcd = Etcd::start().await;
    let client = etcd.client();
    let mut start = 0;
    for key in 0..5 {
        let put = PutRequest::new(format!("/f/{key}"), vec![b'x'; 1 << 20]);
        let revision = client.put(put).await.unwrap().header.unwrap().revision;
        start = if key == 0 { revision } else { start };
    }
    let mut watch = client.watch(WatchCreateRequest::prefix(b"/f/", start)).await.unwrap();
    let (mut events, mut fragments) = (0, 0);
    while events < 5 {
        let message = watch.message().await.unwrap();
        events += message.events.len();
        fragments += usize::from(message.fragment);
    }
    assert!(fragments > 0, "the last answer shows that they belong together");
}

#[tokio::test]
async fn a_store_without_space_says_so() {
    let etcd = Etcd::with(&["--quota-backend-bytes", "1"], TlsFiles::default()).await;
    let error = etcd.client().put(PutRequest::new("/n", "value")).await.unwrap_err();
    assert!(matches!(error, Error::NoSpace), "{error:?}");
    assert!(error.to_string().contains("etcdctl alarm disarm"), "{error}");
    let large = PutRequest::new("/n", vec![0; 2 << 20]);
    let error = etcd.client().put(large).await.unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }), "{error:?}");
}

#[tokio::test]
async fn a_client_without_rights_is_told_so() {
    let etcd = Etcd::start().await;
    etcd.ctl(&["user", "add", "root:password"]);
    etcd.ctl(&["auth", "enable"]);
    let client = etcd.client();
    let denied = |error: &Error| matches!(error, Error::Denied { .. });
    assert!(client.put(PutRequest::new("/d", "value")).await.is_err_and(|error| denied(&error)));
    assert!(client.range(RangeRequest::key("/d")).await.is_err_and(|error| denied(&error)));
    assert!(client.watch(WatchCreateRequest::prefix(b"/d", 0)).await.is_err_and(|error| denied(&error)));
    let event = Mirror::new(client, "/d").next().await;
    assert!(matches!(&event, Event::Interrupted { error, .. } if denied(error)), "{event:?}");
}

#[tokio::test]
async fn an_endpoint_that_is_down_is_left_for_the_next() {
    let mut etcd = Etcd::start().await;
    let config = Config::new(vec![local(dead_port()), etcd.endpoint()], TlsFiles::default());
    let client = Client::new(config).unwrap();
    client.put(PutRequest::new("/e", "value")).await.unwrap();
    etcd.kill();
    let error = client.range(RangeRequest::key("/e")).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    etcd.restart().await;
    assert_eq!(client.range(RangeRequest::key("/e")).await.unwrap().count, 1);
}

#[tokio::test]
async fn something_else_on_the_port_is_an_error_at_once() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let other = tokio::spawn(async move {
        loop {
            let (mut io, _) = listener.accept().await.unwrap();
            io.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await.unwrap();
        }
    });
    let client = Client::new(Config::new(vec![local(port)], TlsFiles::default())).unwrap();
    let error = client.status().await.unwrap_err();
    assert!(matches!(error, Error::Disconnected { .. } | Error::Protocol { .. }), "{error:?}");
    other.abort();
}

#[tokio::test]
async fn a_peer_that_says_nothing_times_out() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let config = Config {
        request_timeout: Duration::from_millis(100),
        ..Config::new(vec![local(listener.local_addr().unwrap().port())], TlsFiles::default())
    };
    let client = Arc::new(Client::new(config).unwrap());
    for _ in 0..2 {
        let error = client.put(PutRequest::new("/s", "value")).await.unwrap_err();
        assert!(matches!(error, Error::Timeout { .. }), "{error:?}");
        assert!(matches!(client.keep_alive(1).renew().await, Err(Error::Timeout { .. })));
        let watch = client.watch(WatchCreateRequest::prefix(b"/s", 0)).await;
        assert!(matches!(watch, Err(Error::Timeout { .. })));
    }
}
