//! What an etcd replicator would do now, asked of a gateway that need not be the one that replicates.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use fedgate::{
    corev2::Type,
    registry::{MemoryStore, Store, reflector},
    replication::Comparer,
    types::{Comparison, DifferenceAction, PlaceComparison, Snapshot},
};
use serde_json::json;
use tokio::{sync::watch, task::JoinHandle};

use crate::{
    etcd_server::Etcd,
    support::{
        delete, dump, eventually,
        federation::{BINDINGS, Federation, cluster},
        gateway::{Gateway, replicate, replicate_in, unregister},
        get,
        objects::{cluster_role, cluster_role_binding, object, role},
        put, revision,
    },
};

const ROLES: &str = "/sensu.io/rbac/clusterroles/";

/// A gateway that only compares.
struct Other {
    comparer: Comparer,
    registry: watch::Receiver<Arc<fedgate::registry::Registry>>,
    reflector: JoinHandle<()>,
}

impl Other {
    fn of(source: &Etcd, store: &MemoryStore) -> Self {
        let (_, config) = watch::channel(Arc::new(Snapshot::new([])));
        let (reflector, views) = reflector(config);
        let store: Arc<dyn Store> = Arc::new(store.clone());
        let comparer = Comparer::new(views.registry.clone(), Arc::clone(&store), source.config());
        let reflector = tokio::spawn(async move { reflector.run(store).await });
        Self { comparer, registry: views.registry, reflector }
    }

    async fn compare(&self, name: &str) -> Comparison {
        let mut registry = self.registry.clone();
        let kind = fedgate::types::Kind::EtcdReplicator;
        registry.wait_for(|view| view.get(kind, name).is_some()).await.unwrap();
        self.comparer.compare(name).await.unwrap()
    }

    async fn place(&self, name: &str) -> PlaceComparison {
        self.compare(name).await.places.remove(0)
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        self.reflector.abort();
    }
}

fn brief(place: &PlaceComparison) -> Vec<String> {
    assert_eq!(place.error, None);
    let of = |it: &fedgate::types::Difference| format!("{} {} {}", it.action.as_str(), it.kind, it.name);
    place.differences.iter().map(of).collect()
}

#[tokio::test]
async fn it_is_seen_before_equal_after_and_neither_etcd_is_written() {
    let ((source, local), (alpha, a)) = tokio::join!(cluster("local"), cluster("alpha"));
    put(&local, &format!("{BINDINGS}new"), &cluster_role_binding("new", "view", "ops")).await;
    put(&local, &format!("{BINDINGS}both"), &cluster_role_binding("both", "view", "ops")).await;
    put(&a, &format!("{BINDINGS}both"), &cluster_role_binding("both", "edit", "ops")).await;
    put(&a, &format!("{BINDINGS}own"), &cluster_role_binding("own", "edit", "ops")).await;
    let store = MemoryStore::new();
    replicate(&store, "r", Type::ClusterRoleBinding, &alpha).await;
    let other = Other::of(&source, &store);
    let before = (revision(&local).await, revision(&a).await);
    let place = other.place("r").await;
    assert_eq!(brief(&place), ["update ClusterRoleBinding both", "create ClusterRoleBinding new"]);
    assert_eq!(place.differences[0].why, "the follower's own is overwritten");
    let field = &place.differences[0].fields[0];
    assert_eq!((&*field.path, &field.values), ("role_ref.name", &Some((json!("view"), json!("edit")))));
    assert_eq!(place.compared, 5, "with the seeds");
    assert!(place.name.contains(&alpha.endpoint().port.to_string()));
    assert_eq!((revision(&local).await, revision(&a).await), before);
    assert_eq!(dump(&a, "/fedgate/").await.len(), 0);

    let gateway = Gateway::alone(&source, &store);
    gateway.follows("r").await;
    let place = other.place("r").await;
    assert_eq!((brief(&place), &*place.warnings), (Vec::new(), &[][..]));

    gateway.stop().await;
    delete(&local, &format!("{BINDINGS}new")).await;
    delete(&a, &format!("{BINDINGS}both")).await;
    let place = other.place("r").await;
    assert_eq!(brief(&place), ["delete ClusterRoleBinding new", "create ClusterRoleBinding both"]);
    assert_eq!(place.differences[0].why, "the local cluster has none any more");
}

/// What is under Sensu's root, by what happened between two looks.
fn changes(
    before: &BTreeMap<String, (Vec<u8>, i64)>,
    after: &BTreeMap<String, (Vec<u8>, i64)>,
) -> BTreeSet<String> {
    let keys: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let changed = keys.into_iter().filter_map(|key| {
        let action = match (before.get(key), after.get(key)) {
            (None, Some(_)) => "create",
            (Some(_), None) => "delete",
            (Some((old, _)), Some((new, _))) if old != new => "update",
            _ => return None,
        };
        Some(format!("{action} {key}"))
    });
    changed.collect()
}

fn named(place: &PlaceComparison) -> BTreeSet<String> {
    assert_eq!(place.error, None);
    let done = place.differences.iter().filter(|it| it.action != DifferenceAction::Blocked);
    let named = done.map(|it| {
        let kind = Type::of_name(it.kind).unwrap();
        format!("{} {}", it.action.as_str(), kind.key(None, &it.name))
    });
    named.collect()
}

#[tokio::test]
async fn each_write_that_follows_was_named_and_no_other() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let ((source, local), (alpha, a)) = tokio::join!(cluster("local"), cluster("alpha"));
    let store = MemoryStore::new();
    replicate(&store, "roles", Type::ClusterRole, &alpha).await;
    replicate(&store, "bindings", Type::ClusterRoleBinding, &alpha).await;
    let other = Other::of(&source, &store);
    let names = ["a", "b", "c", "view"];
    for _ in 0..ROUNDS {
        for _ in 0..random.usize(1..12) {
            let (name, role) = (names[random.usize(..4)], names[random.usize(..4)]);
            let side = if random.u8(..3) == 0 { &a } else { &local };
            let (key, value) = if random.bool() {
                (format!("{ROLES}{name}"), cluster_role(name, &[role]))
            } else {
                (format!("{BINDINGS}{name}"), cluster_role_binding(name, role, "ops"))
            };
            if random.u8(..4) > 0 {
                put(side, &key, &value).await;
            } else if get(side, &key).await.is_some() {
                delete(side, &key).await;
            }
        }
        let found = [other.place("roles").await, other.place("bindings").await];
        let expected: BTreeSet<String> = found.iter().flat_map(named).collect();
        let before = dump(&a, "/sensu.io/").await;
        let gateway = Gateway::alone(&source, &store);
        for replicator in ["roles", "bindings"] {
            gateway.follows(replicator).await;
            gateway.compares_twice(replicator).await;
        }
        gateway.stop().await;
        assert_eq!(changes(&before, &dump(&a, "/sensu.io/").await), expected, "{found:#?}");
        for replicator in ["roles", "bindings"] {
            assert_eq!(named(&other.place(replicator).await), BTreeSet::new(), "nothing is left");
        }
    }
}

#[tokio::test]
async fn what_leads_to_no_write_is_said() {
    let f = Federation::builder().start().await;
    // Equal already, and seeded.
    put(&f.local, &format!("{ROLES}same"), &cluster_role("same", &["get"])).await;
    put(&f.a, &format!("{ROLES}same"), &cluster_role("same", &["get"])).await;
    // Nobody could repair the follower.
    put(&f.local, &format!("{BINDINGS}all"), &cluster_role_binding("all", "nowhere", "system:users")).await;
    put(&f.local, &format!("{BINDINGS}bad"), b"\xff\xff").await;
    let store = MemoryStore::new();
    replicate(&store, "roles", Type::ClusterRole, &f.alpha).await;
    replicate(&store, "bindings", Type::ClusterRoleBinding, &f.alpha).await;
    let other = Other::of(&f.source, &store);
    let roles = other.place("roles").await;
    // The seeds differ from cluster to cluster.
    assert!(brief(&roles).iter().all(|it| it.starts_with("update") && !it.ends_with("same")), "{roles:?}");
    assert!(roles.warnings.iter().any(|it| it.contains("equal already")), "{roles:?}");
    let bindings = other.place("bindings").await;
    assert_eq!(brief(&bindings), ["blocked ClusterRoleBinding all", "blocked ClusterRoleBinding bad"]);
    assert!(bindings.differences[0].why.starts_with("it gives administrators"), "{bindings:?}");
    assert_eq!(bindings.counts.of(DifferenceAction::Blocked), 2);
}

#[tokio::test]
async fn names_of_api_keys_and_passwords_are_never_shown() {
    let ((source, local), (alpha, a)) = tokio::join!(cluster("local"), cluster("alpha"));
    let key = Type::ApiKey.key(None, "5ec2e7-secret");
    put(&local, &key, &object(Type::ApiKey, "", "5ec2e7-secret")).await;
    let user = Type::User.key(None, "olga");
    put(&local, &user, &object(Type::User, "", "olga")).await;
    let store = MemoryStore::new();
    replicate(&store, "keys", Type::ApiKey, &alpha).await;
    replicate(&store, "users", Type::User, &alpha).await;
    let other = Other::of(&source, &store);
    let keys = other.place("keys").await;
    assert!(
        brief(&keys).iter().all(|it| it == "create APIKey …") && !keys.differences.is_empty(),
        "{keys:?}"
    );
    assert!(!format!("{keys:?}").contains("5ec2e7"));
    let users = other.place("users").await;
    assert!(brief(&users).contains(&"create User olga".to_owned()), "{users:?}");
    drop(a);
}

#[tokio::test]
async fn what_cannot_be_read_is_said_and_nothing_is_concluded() {
    let ((source, _), (alpha, _)) = tokio::join!(cluster("local"), cluster("alpha"));
    let store = MemoryStore::new();
    replicate(&store, "to-nowhere", Type::Role, &alpha).await;
    let empty = Etcd::start().await;
    let wrong = Other::of(&empty, &store);
    let place = wrong.place("to-nowhere").await;
    assert!(place.error.as_deref().is_some_and(|it| it.contains("it is the wrong one")), "{place:?}");
    assert_eq!(place.counts.total(), 0);
    // Its own etcd.
    let own = MemoryStore::new();
    replicate(&own, "to-itself", Type::Role, &source).await;
    let gateway = Gateway::alone(&source, &own);
    gateway.says("to-itself", "the local cluster's own etcd").await;
    let place = Other::of(&source, &own).place("to-itself").await;
    assert!(
        place.error.as_deref().is_some_and(|it| it.contains("the local cluster's own etcd")),
        "{place:?}"
    );
    gateway.stop().await;
    let other = Other::of(&source, &store);
    let fine = other.place("to-nowhere").await;
    assert_eq!(fine.error, None);
    drop(alpha);
    let place = other.place("to-nowhere").await;
    assert!(place.error.is_some(), "{place:?}");
    assert_eq!(other.comparer.compare("other").await, None);
}

#[tokio::test]
async fn what_it_no_longer_copies_is_named() {
    let f = Federation::builder().start().await;
    for namespace in ["dev", "ops"] {
        put(&f.local, &Type::Role.key(Some(namespace), "x"), &role(namespace, "x", &["get"])).await;
    }
    replicate(&f.store, "r", Type::Role, &f.alpha).await;
    f.gateway.follows("r").await;
    f.gateway.stop().await;
    replicate_in(&f.store, "r", Type::Role, "dev", &f.alpha).await;
    let other = Other::of(&f.source, &f.store);
    eventually("the narrowing is seen", async || !other.place("r").await.differences.is_empty()).await;
    let place = other.place("r").await;
    assert!(brief(&place).contains(&"delete Role x".to_owned()), "{place:?}");
    assert_eq!(
        (&*place.differences[0].namespace, &*place.differences[0].why),
        ("ops", "the replicator does not copy it any more")
    );
    unregister(&f.store, "r").await;
}

const ROUNDS: usize = 8;
