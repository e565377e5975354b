//! RBAC rules followed in a real etcd, written into it as Sensu's backends write them.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use fedgate::{
    authz::{Authorizer, AuthzError, Feeder, Mode, Rbac, Verb},
    corev2::{ClusterRole, ClusterRoleBinding, ObjectMeta, RoleRef, Rule, Subject},
    etcd::{
        Client,
        proto::{DeleteRangeRequest, PutRequest},
    },
    types::Principal,
};
use prost::Message;
use tokio::task::AbortHandle;

use crate::{etcd_server::Etcd, wait::eventually};

const ROLES: &str = "/sensu.io/rbac/clusterroles/";
const BINDINGS: &str = "/sensu.io/rbac/clusterrolebindings/";

/// An etcd with what `sensu-backend init` leaves of RBAC, and an authorizer that follows it.
struct Rig {
    etcd: Etcd,
    client: Arc<Client>,
    rbac: Arc<Rbac>,
    following: AbortHandle,
}

impl Rig {
    async fn start() -> Self {
        let etcd = Etcd::start().await;
        let client = etcd.client();
        let (rbac, feeder) = Rbac::new(vec!["fallback".to_owned()]);
        let following = follow(feeder, etcd.client());
        let rig = Self { etcd, client, rbac, following };
        rig.grant("cluster-admin", ("Group", "cluster-admins"), &[("*", "*", "")]).await;
        rig.until("the rules are read", || rig.may("admin", &["cluster-admins"]) == Ok(true)).await;
        assert_eq!(rig.rbac.mode(), Mode::Rbac);
        rig
    }

    async fn put(&self, key: String, value: Vec<u8>) {
        self.client.put(PutRequest::new(key, value)).await.unwrap();
    }

    async fn delete(&self, key: &str) {
        self.client.delete_range(DeleteRangeRequest::key(key)).await.unwrap();
    }

    /// A role of rules (verb, resource, name or empty), and a binding of it, both called `name`.
    async fn grant(&self, name: &str, (kind, subject): (&str, &str), rules: &[(&str, &str, &str)]) {
        let metadata = Some(ObjectMeta { name: name.into(), ..ObjectMeta::default() });
        let rule = |(verb, resource, name): &(&str, &str, &str)| Rule {
            verbs: vec![(*verb).into()],
            resources: vec![(*resource).into()],
            resource_names: if name.is_empty() { Vec::new() } else { vec![(*name).into()] },
        };
        let granted = ClusterRole { rules: rules.iter().map(rule).collect(), metadata: metadata.clone() };
        let binding = ClusterRoleBinding {
            subjects: vec![Subject { kind: kind.into(), name: subject.into() }],
            role_ref: Some(RoleRef { kind: "ClusterRole".into(), name: name.into() }),
            metadata,
        };
        self.put(format!("{ROLES}{name}"), granted.encode_to_vec()).await;
        self.put(format!("{BINDINGS}{name}"), binding.encode_to_vec()).await;
    }

    fn may(&self, user: &str, groups: &[&str]) -> Result<bool, AuthzError> {
        let groups = groups.iter().map(ToString::to_string).collect();
        let who = Principal { subject: user.into(), groups, expires_at: 0 };
        self.rbac.decide(&who, Verb::Update, "clusters", "alpha")
    }

    /// Waits until something holds; how long it took.
    async fn until(&self, what: &str, holds: impl Fn() -> bool) -> Duration {
        eventually(what, async || holds()).await
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.following.abort();
    }
}

fn follow(mut feeder: Feeder, client: Arc<Client>) -> AbortHandle {
    tokio::spawn(async move { feeder.follow_etcd(client).await }).abort_handle()
}

#[tokio::test]
async fn a_grant_and_its_end_take_effect_within_seconds() {
    let rig = Rig::start().await;
    assert_eq!(rig.may("x", &["fallback"]), Ok(false), "the groups of the configuration no longer count");
    rig.grant("carols", ("User", "carol"), &[("update", "clusters", "alpha")]).await;
    let granted = rig.until("carol may", || rig.may("carol", &[]) == Ok(true)).await;
    assert_eq!(rig.may("viewer", &["viewers"]), Ok(false));
    rig.delete(&format!("{ROLES}carols")).await;
    rig.until("carol's binding dangles", || rig.may("carol", &[]).is_err()).await;
    assert_eq!(rig.may("viewer", &["viewers"]), Ok(false));
    rig.delete(&format!("{BINDINGS}carols")).await;
    let revoked = rig.until("carol may not", || rig.may("carol", &[]) == Ok(false)).await;
    assert!(granted.max(revoked) < Duration::from_secs(5), "{granted:?} {revoked:?}");
}

#[tokio::test]
async fn one_value_that_cannot_be_read_stops_everybody_until_it_is_gone() {
    let rig = Rig::start().await;
    rig.put(format!("{BINDINGS}zz"), b"\xff\xffgarbage".to_vec()).await;
    rig.until("admins are stopped", || {
        matches!(rig.may("admin", &["cluster-admins"]), Err(AuthzError::UnreadableBinding { .. }))
    })
    .await;
    assert!(rig.may("viewer", &[]).is_err());
    // What only begins like the directory is not a binding, whatever it holds.
    rig.put("/sensu.io/rbac/clusterrolebindingszz".into(), b"\xff".to_vec()).await;
    rig.delete(&format!("{BINDINGS}zz")).await;
    rig.until("admins may again", || rig.may("admin", &["cluster-admins"]) == Ok(true)).await;
}

#[tokio::test]
async fn the_last_rules_outlive_etcd_and_what_was_missed_is_read() {
    let mut rig = Rig::start().await;
    rig.etcd.kill();
    // Long enough to be noticed.
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(2) {
        assert_eq!(rig.may("admin", &["cluster-admins"]), Ok(true));
        assert_eq!(rig.may("x", &["fallback"]), Ok(false));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    rig.etcd.restart().await;
    rig.grant("carols", ("User", "carol"), &[("*", "*", "")]).await;
    rig.until("what was written meanwhile is read", || rig.may("carol", &[]) == Ok(true)).await;
}

#[tokio::test]
async fn a_revocation_that_was_compacted_away_is_not_missed() {
    let mut rig = Rig::start().await;
    rig.grant("carols", ("User", "carol"), &[("*", "*", "")]).await;
    rig.until("carol may", || rig.may("carol", &[]) == Ok(true)).await;
    rig.etcd.kill();
    rig.etcd.restart().await;
    rig.delete(&format!("{BINDINGS}carols")).await;
    let header = rig.client.put(PutRequest::new("/elsewhere", "x")).await.unwrap().header.unwrap();
    rig.client.compact(header.revision).await.unwrap();
    rig.until("carol may not", || rig.may("carol", &[]) == Ok(false)).await;
    assert_eq!(rig.may("admin", &["cluster-admins"]), Ok(true));
}

#[tokio::test]
async fn a_feeder_that_was_stopped_continues_when_started_again() {
    let rig = Rig::start().await;
    let (rbac, mut feeder) = Rbac::new(vec!["fallback".to_owned()]);
    let admin = Principal { subject: "a".into(), groups: vec!["cluster-admins".into()], expires_at: 0 };
    let may = || rbac.decide(&admin, Verb::Delete, "etcd-replicators", "x");
    assert_eq!((rbac.mode(), may()), (Mode::AdminGroups, Ok(false)));
    for expected in [Ok(true), Ok(false)] {
        let reached = rig.until("the rules are read", || may() == expected);
        tokio::select! {
            () = feeder.follow_etcd(rig.etcd.client()) => unreachable!("it never ends"),
            _ = reached => {}
        }
        assert_eq!((rbac.mode(), may()), (Mode::Rbac, expected), "what was read stays in force");
        rig.delete(&format!("{BINDINGS}cluster-admin")).await;
    }
}
