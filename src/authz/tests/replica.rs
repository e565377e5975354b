use std::time::Duration;

use super::{binding, role, rule, who};
use crate::{
    authz::{
        Rules, Verb,
        etcd_source::{Replica, Step},
    },
    etcd::{Error, Event, proto::KeyValue},
};

const ROLE: &str = "/sensu.io/rbac/clusterroles/r";
const BINDING: &str = "/sensu.io/rbac/clusterrolebindings/b";

fn kv(key: &str, value: Vec<u8>) -> KeyValue {
    KeyValue { key: key.into(), value, ..KeyValue::default() }
}

fn grants() -> KeyValue {
    kv(ROLE, role(&[rule(&["*"], &["clusters"], &[])]))
}

fn ann() -> KeyValue {
    kv(BINDING, binding(&[("User", "ann")], "r"))
}

fn may(rules: &Rules) -> bool {
    rules.decide(&who("ann", &[]), Verb::Update, "clusters", "alpha").unwrap()
}

/// The rules that the last of the events publishes; the others must publish none.
fn published(replica: &mut Replica, events: impl IntoIterator<Item = Event>) -> Option<Rules> {
    let mut events = events.into_iter().peekable();
    while let Some(event) = events.next() {
        match replica.step(event) {
            Step::Publish(rules) if events.peek().is_none() => return Some(rules),
            Step::Wait => {}
            other => panic!("{other:?}"),
        }
    }
    None
}

#[test]
fn rules_come_with_the_end_of_a_load_and_of_each_batch() {
    let mut replica = Replica::default();
    let load = [Event::Reset, Event::Item(ann()), Event::Item(grants()), Event::ResetDone { revision: 5 }];
    assert!(may(&published(&mut replica, load).unwrap()));
    assert!(published(&mut replica, [Event::Progress { revision: 6 }]).is_none(), "nothing has changed");
    // A role and its binding deleted at once: between the two the binding would dangle.
    let batch = [
        Event::Delete { key: ROLE.into(), revision: 7 },
        Event::Delete { key: BINDING.into(), revision: 7 },
        Event::Progress { revision: 7 },
    ];
    assert!(!may(&published(&mut replica, batch).unwrap()));
    let batch = [Event::Put(grants()), Event::Put(ann()), Event::Progress { revision: 8 }];
    assert!(may(&published(&mut replica, batch).unwrap()));
}

#[test]
fn a_new_load_forgets_what_it_does_not_have() {
    let mut replica = Replica::default();
    let load = [Event::Reset, Event::Item(ann()), Event::Item(grants()), Event::ResetDone { revision: 5 }];
    published(&mut replica, load);
    let lost = || Error::NoEndpoints;
    let retry_in = Duration::ZERO;
    let compacted = Error::Compacted { oldest: None };
    assert!(matches!(replica.step(Event::Interrupted { error: lost(), retry_in }), Step::Lost(_)));
    assert!(matches!(replica.step(Event::Resumed { revision: 5 }), Step::Found));
    assert!(matches!(replica.step(Event::Interrupted { error: compacted, retry_in }), Step::Wait));
    // Interrupted, and started again.
    published(&mut replica, [Event::Reset, Event::Item(grants())]);
    replica.step(Event::Interrupted { error: lost(), retry_in });
    let load = [Event::Reset, Event::Item(grants()), Event::ResetDone { revision: 9 }];
    assert!(!may(&published(&mut replica, load).unwrap()));
}

#[test]
fn keys_that_only_share_the_prefix_are_ignored() {
    let mut replica = Replica::default();
    let value = || binding(&[("User", "ann")], "r");
    let unrelated = [
        "/sensu.io/rbac/clusterrolebindingsx/b",
        "/sensu.io/rbac/clusterrolebinding",
        "/sensu.io/rbac/clusters/b",
        "/sensu.io/rbac/rolebindings/default/b",
        "/fedgate/sensu.io/rbac/clusterrolebindings/b",
    ];
    let mut load = vec![Event::Reset, Event::Item(grants())];
    load.extend(unrelated.map(|key| Event::Item(kv(key, value()))));
    load.extend(unrelated.map(|key| Event::Item(kv(key, b"\xff".to_vec()))));
    load.push(Event::ResetDone { revision: 1 });
    assert!(!may(&published(&mut replica, load).unwrap()));
    let batch = unrelated.map(|key| Event::Delete { key: key.into(), revision: 2 });
    assert!(published(&mut replica, batch.into_iter().chain([Event::Progress { revision: 2 }])).is_none());
}

#[test]
fn a_load_stops_where_it_becomes_too_large() {
    let mut replica = Replica::default();
    replica.step(Event::Reset);
    let item = |n: u32| Event::Item(kv(&format!("{ROLE}{n}"), vec![b'x'; 1 << 20]));
    let stopped = (0..100).take_while(|n| matches!(replica.step(item(*n)), Step::Wait)).count();
    assert_eq!(stopped, 7);
}
