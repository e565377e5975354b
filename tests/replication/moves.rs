//! Replicators that move, end, and share destinations.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use fedgate::{
    corev2::Type,
    leadership::Election,
    registry::{EtcdStore, MemoryStore, Precondition, Store as _},
    types::{GivenUp, ReplicatorState, ReplicatorStatus, TlsFiles},
};

use crate::{
    etcd_server::Etcd,
    support::{
        becomes, delete, dump, eventually, expire,
        federation::{BINDINGS, Federation, cluster},
        gateway::{CLEANUP_GRACE, Gateway, definition, register, replicate, unregister},
        get, metric,
        objects::cluster_role_binding,
        put, revision,
    },
};

fn binding() -> (String, Vec<u8>) {
    (format!("{BINDINGS}b"), cluster_role_binding("b", "view", "g"))
}

#[tokio::test]
async fn another_url_cleans_the_old_destination_first() {
    let (key, value) = binding();
    let starting = Federation::of_bindings().at_source(&key, &value).start();
    let (f, (beta, b)) = tokio::join!(starting, cluster("beta"));
    becomes(&f.a, &key, Some(&value)).await;
    replicate(&f.store, "r", Type::ClusterRoleBinding, &beta).await;
    eventually("the old place is clean first", async || {
        let new = get(&b, &key).await;
        let old = get(&f.a, &key).await;
        assert!(new.is_none() || old.is_none(), "both have it");
        new.is_some()
    })
    .await;
    f.gateway.follows("r").await;
    assert_eq!(dump(&f.a, "/fedgate/replication/owned/").await.len(), 0);
}

#[tokio::test]
async fn another_address_of_the_same_etcd_changes_nothing_there() {
    let (key, value) = binding();
    let f = Federation::of_bindings().at_source(&key, &value).start().await;
    becomes(&f.a, &key, Some(&value)).await;
    f.gateway.follows("r").await;
    let before = revision(&f.a).await;
    let url = f.alpha.endpoint().to_string().replace("127.0.0.1", "localhost");
    register(&f.store, &definition("r", Type::ClusterRoleBinding, &url, &f.alpha.config().tls)).await;
    eventually("only the new address is known", async || {
        let known = f.store.list("replication/destinations/").await.unwrap();
        known.len() == 1 && String::from_utf8_lossy(&known[0].value).contains("localhost")
    })
    .await;
    f.gateway.follows("r").await;
    assert_eq!(revision(&f.a).await, before);
    assert_eq!(f.gateway.status("r").unwrap().keys, 1);
    // It works on: with two addresses in use, with other certificates, and to the end.
    replicate(&f.store, "s", Type::ClusterRole, &f.alpha).await;
    f.gateway.follows("s").await;
    delete(&f.local, &key).await;
    becomes(&f.a, &key, None).await;
    put(&f.local, &key, &value).await;
    becomes(&f.a, &key, Some(&value)).await;
    unregister(&f.store, "r").await;
    becomes(&f.a, &key, None).await;
}

#[tokio::test]
async fn what_was_deleted_while_no_gateway_ran_is_cleaned_by_the_next() {
    let (key, value) = binding();
    let (own, own_value) = (format!("{BINDINGS}own"), cluster_role_binding("own", "view", "g"));
    let bindings = Federation::of_bindings().at_source(&key, &value);
    let mut f = bindings.at_follower(&own, &own_value).start().await;
    f.gateway.until("r", "owns it", |status| status.keys == 1).await;
    drop(f.gateway);
    unregister(&f.store, "r").await;
    f.alpha.kill();
    f.gateway = Gateway::alone(&f.source, &f.store);
    f.gateway.says("r", "cannot be removed").await;
    // All of it is known though this gateway has never reached the follower.
    let status = f.gateway.status("r").unwrap();
    assert!(status.is_deleted && status.state == ReplicatorState::Retrying, "{status:?}");
    let [left] = &status.left_behind[..] else { panic!("{status:?}") };
    assert_eq!((&*left.destination, left.keys), (&*f.alpha.endpoint().to_string(), 1));
    assert!(left.error.is_some() && status.error.unwrap().contains("delete etcd-replicator r --give-up"));
    f.alpha.restart().await;
    becomes(&f.a, &key, None).await;
    eventually("it is forgotten", async || f.gateway.status("r").is_none()).await;
    assert!(get(&f.a, &format!("{BINDINGS}own")).await.is_some());
    assert_eq!(f.store.list("replication/destinations/").await.unwrap().len(), 0);
}

#[tokio::test]
async fn a_destination_that_never_comes_back_can_be_given_up() {
    let (key, value) = binding();
    let mut f = Federation::of_bindings().at_source(&key, &value).start().await;
    becomes(&f.a, &key, Some(&value)).await;
    f.alpha.kill();
    unregister(&f.store, "r").await;
    f.gateway.says("r", "they can be given up").await;
    assert_eq!(f.gateway.handle.give_up("r"), GivenUp::Begun);
    eventually("it is forgotten", async || f.gateway.status("r").is_none()).await;
    assert_eq!(f.store.list("replication/destinations/").await.unwrap().len(), 0);
    assert_eq!(f.gateway.handle.give_up("r"), GivenUp::Unknown);
}

#[tokio::test]
async fn what_a_moved_replicator_leaves_where_it_cannot_be_cleaned_is_shown() {
    let (key, value) = binding();
    let starting = Federation::of_bindings().at_source(&key, &value).start();
    let (mut f, (beta, b)) = tokio::join!(starting, cluster("beta"));
    becomes(&f.a, &key, Some(&value)).await;
    f.alpha.kill();
    replicate(&f.store, "r", Type::ClusterRoleBinding, &beta).await;
    // It waits for the old place to be cleaned, but not forever.
    becomes(&b, &key, Some(&value)).await;
    f.gateway.says("r", "moved, but its keys at").await;
    let status = f.gateway.status("r").unwrap();
    assert_eq!((status.state, status.is_deleted), (ReplicatorState::Following, false));
    assert_eq!((status.left_behind.len(), status.left_behind[0].keys), (1, 1));
    f.alpha.restart().await;
    becomes(&f.alpha.client(), &key, None).await;
    eventually("nothing is left to say", async || f.gateway.status("r").unwrap().error.is_none()).await;
}

/// An address where nothing answers.
async fn nowhere() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

#[tokio::test]
async fn what_never_reached_its_destination_leaves_nothing_behind() {
    let (key, value) = binding();
    let f = Federation::of_bindings().at_source(&key, &value).start().await;
    let to = async |url: &str| {
        let definition = definition("s", Type::ClusterRole, url, &f.alpha.config().tls);
        register(&f.store, &definition).await;
    };
    let wrong = nowhere().await;
    to(&wrong).await;
    f.gateway.until("s", "is in trouble", |status| status.state == ReplicatorState::Retrying).await;
    // A typing error, corrected: it waits for nothing, and nothing is said of the wrong place.
    to(&f.alpha.endpoint().to_string()).await;
    let since = f.gateway.until("s", "follows", |status| status.state == ReplicatorState::Following).await;
    assert!(since < CLEANUP_GRACE, "{since:?}");
    let status = f.gateway.status("s").unwrap();
    assert!(status.error.is_none() && status.left_behind.is_empty(), "{status:?}");
    // Or deleted: it is gone at once.
    to(&wrong).await;
    f.gateway.until("s", "is in trouble", |status| status.state == ReplicatorState::Retrying).await;
    unregister(&f.store, "s").await;
    eventually("only the one that has written is left", async || {
        let names = f.gateway.handle.statuses.borrow().iter().map(|it| it.name.clone()).collect::<Vec<_>>();
        let known = f.store.list("replication/destinations/").await.unwrap();
        names == ["r".into()] && known.len() == 1
    })
    .await;
}

#[tokio::test]
async fn what_another_federation_keeps_out_leaves_nothing_behind() {
    let (key, value) = binding();
    let starting = Federation::of_bindings().at_source(&key, &value).start();
    let (f, (other_source, _)) = tokio::join!(starting, cluster("other"));
    becomes(&f.a, &key, Some(&value)).await;
    let other_store = MemoryStore::new();
    replicate(&other_store, "r", Type::ClusterRoleBinding, &f.alpha).await;
    let second = Gateway::alone(&other_source, &other_store);
    second.says("r", "another federation").await;
    unregister(&other_store, "r").await;
    eventually("it is forgotten", async || second.status("r").is_none()).await;
    assert_eq!(other_store.list("replication/destinations/").await.unwrap().len(), 0);
    f.gateway.compares_twice("r").await;
    assert_eq!(get(&f.a, &key).await, Some(value));
}

#[tokio::test]
async fn every_gateway_of_a_store_shows_what_is_left_behind_and_any_of_them_gives_it_up() {
    let ((source, local), (mut alpha, a), gateways) =
        tokio::join!(cluster("local"), cluster("alpha"), Etcd::start());
    let shared = gateways.client();
    let store = EtcdStore::new(Arc::clone(&shared), "/fedgate/");
    replicate(&store, "r", Type::ClusterRoleBinding, &alpha).await;
    let start = |name| {
        let election = Election::new(Arc::clone(&shared), "/fedgate", name, Duration::from_secs(2));
        Gateway::start(source.config(), Arc::new(EtcdStore::new(Arc::clone(&shared), "/fedgate/")), election)
    };
    let (key, value) = binding();
    put(&local, &key, &value).await;
    let one = start("one");
    becomes(&a, &key, Some(&value)).await;
    one.follows("r").await;
    let two = start("two");
    two.until("r", "is seen", |status| status.keys == 1).await;
    alpha.kill();
    unregister(&store, "r").await;
    for gateway in [&one, &two] {
        gateway.says("r", "they can be given up").await;
        let status = gateway.status("r").unwrap();
        assert!(status.is_deleted && status.left_behind[0].keys == 1, "{status:?}");
    }
    // The next leader knows it, too.
    drop(one);
    two.until("r", "is led", |status| status.leader && status.left_behind.len() == 1).await;
    let three = start("three");
    three.says("r", "they can be given up").await;
    assert_eq!(three.handle.give_up("r"), GivenUp::Begun);
    eventually("it is forgotten by all", async || two.status("r").is_none() && three.status("r").is_none())
        .await;
    assert_eq!(store.list("replication/destinations/").await.unwrap().len(), 0);
}

#[tokio::test]
async fn the_last_replicator_of_a_destination_leaves_nothing_of_ours_there() {
    let (key, value) = binding();
    let bindings = Federation::of_bindings().at_source(&key, &value);
    let f = bindings.replicate("s", Type::ClusterRole).start().await;
    becomes(&f.a, &key, Some(&value)).await;
    f.gateway.follows("s").await;
    f.gateway.follows("r").await;
    unregister(&f.store, "s").await;
    eventually("s is gone", async || f.gateway.status("s").is_none()).await;
    assert!(!dump(&f.a, "/fedgate/").await.is_empty(), "the other one is still there");
    unregister(&f.store, "r").await;
    eventually("r is gone", async || f.gateway.status("r").is_none()).await;
    assert_eq!((dump(&f.a, "/fedgate/").await, get(&f.a, &key).await), (BTreeMap::new(), None));
    eventually("its leases have ended", async || {
        let of = async |what| metric(&f.alpha, &format!("etcd_debugging_lease_{what}_total")).await;
        let granted = of("granted").await;
        granted > 0 && of("revoked").await == granted
    })
    .await;
    assert_eq!(f.store.list("replication/destinations/").await.unwrap().len(), 0);
    // And comes back when asked to.
    replicate(&f.store, "r", Type::ClusterRoleBinding, &f.alpha).await;
    becomes(&f.a, &key, Some(&value)).await;
}

#[tokio::test]
async fn other_certificates_that_do_not_work_take_nothing_away() {
    let (key, value) = binding();
    let f = Federation::of_bindings().at_source(&key, &value).start().await;
    becomes(&f.a, &key, Some(&value)).await;
    f.gateway.follows("r").await;
    // The right address, the wrong scheme.
    let url = f.alpha.endpoint().to_string().replace("http:", "https:");
    register(&f.store, &definition("r", Type::ClusterRoleBinding, &url, &f.alpha.config().tls)).await;
    f.gateway.until("r", "is in trouble", |status| status.state == ReplicatorState::Retrying).await;
    // The old place is not cleaned, however long that lasts.
    tokio::time::sleep(CLEANUP_GRACE + Duration::from_secs(1)).await;
    assert_eq!(get(&f.a, &key).await, Some(value));
    delete(&f.local, &key).await;
    replicate(&f.store, "r", Type::ClusterRoleBinding, &f.alpha).await;
    becomes(&f.a, &key, None).await;
}

#[tokio::test]
async fn a_store_that_loses_everything_takes_nothing_from_the_followers() {
    let (key, value) = binding();
    let f = Federation::of_bindings().at_source(&key, &value).start().await;
    becomes(&f.a, &key, Some(&value)).await;
    f.gateway.follows("r").await;
    for entry in f.store.list("replication/").await.unwrap() {
        f.store.delete(&entry.key, Precondition::Any).await.unwrap();
    }
    unregister(&f.store, "r").await;
    eventually("it is not registered any more", async || f.gateway.status("r").is_none()).await;
    // Who writes there next does not take it away either: nobody has asked for that.
    replicate(&f.store, "s", Type::ClusterRole, &f.alpha).await;
    f.gateway.says("s", "another federation").await;
    expire(&f.a).await;
    f.gateway.says("s", "no replicator copies").await;
    assert_eq!(get(&f.a, &key).await, Some(value));
    assert!(f.gateway.status("r").is_none());
}

#[tokio::test]
async fn a_definition_that_cannot_be_read_is_shown_and_its_keys_stay() {
    let (key, value) = binding();
    let bindings = Federation::of_bindings().at_source(&key, &value);
    let f = bindings.replicate("s", Type::ClusterRole).start().await;
    becomes(&f.a, &key, Some(&value)).await;
    let mut unknown =
        definition("r", Type::ClusterRoleBinding, &f.alpha.endpoint().to_string(), &f.alpha.config().tls);
    unknown["spec"]["resource"] = "Anything".into();
    register(&f.store, &unknown).await;
    f.gateway.until("r", "is rejected", |status| status.state == ReplicatorState::Rejected).await;
    f.gateway.says("r", "resource").await;
    f.gateway.compares_twice("s").await;
    assert_eq!(get(&f.a, &key).await, Some(value));
    unregister(&f.store, "r").await;
    becomes(&f.a, &key, None).await;
}

#[tokio::test]
async fn another_federation_at_the_same_follower_is_shown_and_not_fought() {
    let (key, value) = binding();
    let starting = Federation::of_bindings().at_source(&key, &value).start();
    let (f, (other_source, other)) = tokio::join!(starting, cluster("other"));
    let other_store = MemoryStore::new();
    put(&other, &key, &cluster_role_binding("b", "edit", "others")).await;
    replicate(&other_store, "r", Type::ClusterRoleBinding, &f.alpha).await;
    becomes(&f.a, &key, Some(&value)).await;
    let second = Gateway::alone(&other_source, &other_store);
    second.says("r", "another federation").await;
    f.gateway.follows("r").await;
    assert_eq!(get(&f.a, &key).await, Some(value));
    drop(second);
    // The first one is gone for good.
    f.gateway.stop().await;
    expire(&f.a).await;
    let second = Gateway::alone(&other_source, &other_store);
    becomes(&f.a, &key, Some(&cluster_role_binding("b", "edit", "others"))).await;
    second.follows("r").await;
}

/// Addresses where nothing was ever written.
#[tokio::test]
async fn once_a_typing_error_in_the_url_is_corrected_nothing_is_said_of_the_wrong_place() {
    let (key, value) = binding();
    let f = Federation::builder().at_source(&key, &value).start().await;
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let wrong_scheme = f.alpha.endpoint().to_string().replace("http:", "https:");
    let wrong_cluster = f.source.endpoint().to_string();
    let none = TlsFiles::default();
    for url in [closed.as_str(), "http://nowhere.invalid:2379", &wrong_scheme, &wrong_cluster] {
        register(&f.store, &definition("r", Type::ClusterRoleBinding, url, &none)).await;
        f.gateway.until("r", "is in trouble", |status| status.error.is_some()).await;
        let mut statuses = f.gateway.handle.statuses.clone();
        statuses.mark_unchanged();
        let said = tokio::spawn(async move {
            let is_so = |status: &ReplicatorStatus| {
                status
                    .error
                    .as_deref()
                    .is_some_and(|error| error.contains("moved") || error.contains("old destination"))
            };
            let found = statuses.wait_for(|all| all.iter().any(is_so)).await;
            found.map(|all| format!("{all:?}"))
        });
        replicate(&f.store, "r", Type::ClusterRoleBinding, &f.alpha).await;
        assert!(
            becomes(&f.a, &key, Some(&value)).await < CLEANUP_GRACE,
            "{url}: it does not wait for the wrong place"
        );
        f.gateway.follows("r").await;
        eventually("the wrong place is forgotten", async || {
            f.store.list("replication/destinations/").await.unwrap().len() == 1
        })
        .await;
        f.gateway.compares_twice("r").await;
        assert_eq!(f.gateway.status("r").unwrap().error, None, "{url}");
        assert!(!said.is_finished(), "{url}: {:?}", said.await);
        said.abort();
        // Deleted, it is gone; so is one that never got anywhere.
        unregister(&f.store, "r").await;
        becomes(&f.a, &key, None).await;
        eventually("it is gone", async || f.gateway.status("r").is_none()).await;
        register(&f.store, &definition("r", Type::ClusterRoleBinding, url, &none)).await;
        f.gateway.until("r", "is in trouble", |status| status.error.is_some()).await;
        unregister(&f.store, "r").await;
        eventually("it is gone at once", async || f.gateway.status("r").is_none()).await;
    }
}
