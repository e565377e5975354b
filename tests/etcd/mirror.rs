use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use fedgate::{
    etcd::{
        Client, Error, Event, Mirror,
        proto::{DeleteRangeRequest, PutRequest},
    },
    types::TlsFiles,
};

use crate::{etcd_server::Etcd, wait::PATIENCE};

async fn next(mirror: &mut Mirror) -> Event {
    tokio::time::timeout(PATIENCE, mirror.next()).await.expect("no event")
}

/// A mirror of `/m/`, and its content once it is loaded.
async fn load(etcd: &Etcd) -> (Mirror, BTreeMap<String, String>) {
    let mut mirror = Mirror::new(etcd.client(), "/m/");
    assert!(matches!(next(&mut mirror).await, Event::Reset));
    let items = items(&mut mirror).await;
    (mirror, items)
}

/// The items up to the end of the load.
async fn items(mirror: &mut Mirror) -> BTreeMap<String, String> {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let mut items = BTreeMap::new();
    loop {
        match next(mirror).await {
            Event::Item(kv) => assert!(items.insert(text(kv.key), text(kv.value)).is_none()),
            Event::ResetDone { .. } => return items,
            other => panic!("{other:?}"),
        }
    }
}

async fn put(client: &Client, key: &str) -> i64 {
    client.put(PutRequest::new(key, "value")).await.unwrap().header.unwrap().revision
}

/// The next event must be this key's.
async fn expect_put(mirror: &mut Mirror, key: &str) {
    match next(mirror).await {
        Event::Put(kv) => assert_eq!(kv.key, key.as_bytes()),
        other => panic!("{other:?}"),
    }
    assert!(matches!(next(mirror).await, Event::Progress { .. }));
}

/// Interruptions up to the first other event, which is returned.
async fn after_interruptions(mirror: &mut Mirror) -> (Vec<&'static str>, Event) {
    let mut errors = Vec::new();
    loop {
        match next(mirror).await {
            Event::Interrupted { error, .. } => errors.push(error.class()),
            other => return (errors, other),
        }
    }
}

#[tokio::test]
async fn a_load_of_several_pages_is_followed_by_changes() {
    let etcd = Etcd::start().await;
    let client = etcd.client();
    let keys: Vec<_> = (0..1201).map(|key| format!("/m/{key:05}")).collect();
    for key in &keys {
        put(&client, key).await;
    }
    put(&client, "/m0").await;
    let (mut mirror, items) = load(&etcd).await;
    assert!(items.keys().eq(&keys));
    put(&client, "/m/new").await;
    expect_put(&mut mirror, "/m/new").await;
    client.delete_range(DeleteRangeRequest::key("/m/new")).await.unwrap();
    assert!(matches!(next(&mut mirror).await, Event::Delete { key, .. } if key == b"/m/new"));
}

#[tokio::test]
async fn a_quiet_prefix_still_advances() {
    let etcd =
        Etcd::with(&["--experimental-watch-progress-notify-interval", "100ms"], TlsFiles::default()).await;
    let (mut mirror, _) = load(&etcd).await;
    let revision = put(&etcd.client(), "/elsewhere").await;
    loop {
        match next(&mut mirror).await {
            Event::Progress { revision: reached } if reached >= revision => break,
            Event::Progress { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_watch_resumes_after_etcd_was_killed() {
    let mut etcd = Etcd::start().await;
    put(&etcd.client(), "/m/a").await;
    let (mut mirror, items) = load(&etcd).await;
    assert_eq!(items.len(), 1);
    put(&etcd.client(), "/m/b").await;
    expect_put(&mut mirror, "/m/b").await;

    etcd.kill();
    let Event::Interrupted { error, .. } = next(&mut mirror).await else { panic!("not noticed") };
    assert!(matches!(error, Error::Disconnected { .. }), "{error:?}");
    let Event::Interrupted { error, .. } = next(&mut mirror).await else { panic!("not noticed") };
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    etcd.restart().await;
    // Written while the mirror is away.
    put(&etcd.client(), "/m/c").await;
    let (_, event) = after_interruptions(&mut mirror).await;
    assert!(matches!(event, Event::Resumed { .. }), "{event:?}");
    expect_put(&mut mirror, "/m/c").await;
}

#[tokio::test]
async fn what_was_compacted_while_away_is_loaded() {
    let mut etcd = Etcd::start().await;
    put(&etcd.client(), "/m/old").await;
    // Of the newest one, a change is noticed without the watch.
    put(&etcd.client(), "/m/newest").await;
    let (mut mirror, _) = load(&etcd).await;
    etcd.kill();
    assert!(matches!(next(&mut mirror).await, Event::Interrupted { .. }));
    etcd.restart().await;
    let client = etcd.client();
    client.delete_range(DeleteRangeRequest::key("/m/old")).await.unwrap();
    let revision = put(&client, "/m/new").await;
    client.compact(revision).await.unwrap();

    let (errors, event) = after_interruptions(&mut mirror).await;
    // The watch opens before etcd finds that its beginning is gone.
    assert!(matches!(event, Event::Resumed { .. }) && errors.is_empty(), "{errors:?} {event:?}");
    let (errors, event) = after_interruptions(&mut mirror).await;
    assert_eq!(errors, ["compacted"]);
    assert!(matches!(event, Event::Reset), "{event:?}");
    assert_eq!(items(&mut mirror).await.into_keys().collect::<Vec<_>>(), ["/m/new", "/m/newest"]);
    put(&client, "/m/newer").await;
    expect_put(&mut mirror, "/m/newer").await;
}

#[tokio::test]
async fn a_store_that_was_lost_is_loaded_from_its_successor() {
    let mut etcd = Etcd::start().await;
    for _ in 0..3 {
        put(&etcd.client(), "/m/lost").await;
    }
    let (mut mirror, _) = load(&etcd).await;
    etcd.kill();
    etcd.wipe();
    etcd.restart().await;
    put(&etcd.client(), "/m/successor").await;
    let (_, event) = after_interruptions(&mut mirror).await;
    assert!(matches!(event, Event::Reset), "{event:?}");
    assert_eq!(items(&mut mirror).await.into_keys().collect::<Vec<_>>(), ["/m/successor"]);
}

#[tokio::test]
async fn an_etcd_that_hangs_is_noticed_within_twenty_seconds() {
    let etcd = Etcd::start().await;
    let (mut mirror, _) = load(&etcd).await;
    let client = etcd.client();
    put(&client, "/m/a").await;
    expect_put(&mut mirror, "/m/a").await;

    etcd.signal("STOP");
    let stopped = Instant::now();
    let (noticed, call) = tokio::join!(
        async {
            let event = next(&mut mirror).await;
            (event, stopped.elapsed())
        },
        client.put(PutRequest::new("/m/b", "value"))
    );
    assert!(matches!(call, Err(Error::Timeout { .. })), "{call:?}");
    let (event, after) = noticed;
    assert!(matches!(&event, Event::Interrupted { error: Error::Disconnected { .. }, .. }), "{event:?}");
    assert!(after < Duration::from_secs(20), "{after:?}");

    etcd.signal("CONT");
    let (_, event) = after_interruptions(&mut mirror).await;
    assert!(matches!(event, Event::Resumed { .. }), "{event:?}");
    put(&client, "/m/c").await;
    // The write whose outcome was unknown may have been done.
    while !matches!(next(&mut mirror).await, Event::Put(kv) if kv.key == b"/m/c") {}
}
