use std::{collections::HashMap, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::FutureExt as _;
use http::Method;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    task::AbortHandle,
    time::{Instant, sleep},
};

use super::{Local, may, who};
use crate::{
    authz::{Authorizer, AuthzError, Feeder, Minter, Mode, Rbac, Verb, api_source::poll},
    telemetry::Capture,
    types::{Backend, Cluster, Snapshot, Source, TlsFiles},
    upstream::{self, BoxFuture, BoxIo, Connect, ConnectError, Manager},
};

const ADMIN: (&str, &[&str]) = ("admin", &["cluster-admins"]);

/// A gateway's authorizer that follows a simulated cluster. Stops on drop.
pub(super) struct Rig {
    pub(super) local: Local,
    pub(super) rbac: Arc<Rbac>,
    following: AbortHandle,
}

impl Rig {
    fn new(local: Local) -> Self {
        let (rbac, feeder) = Rbac::new(vec!["fallback".to_owned()]);
        let following = follow(feeder, local.manager.clone(), local.minter.clone());
        Self { local, rbac, following }
    }

    pub(super) async fn following() -> Self {
        let rig = Self::new(Local::new());
        until(|| rig.rbac.mode() == Mode::Rbac).await;
        rig
    }

    fn put(&self, collection: &str, object: &Value) {
        let name = object["metadata"]["name"].as_str().unwrap();
        let path = format!("/api/core/v2/{collection}/{name}");
        let status = self.local.sensu.apply(&Method::PUT, &path, object);
        assert!(status.is_success(), "{path}: {status}");
    }

    pub(super) fn grant(&self, name: &str, subject: &Value, rules: &Value) {
        self.put("clusterroles", &json!({"rules": rules, "metadata": {"name": name}}));
        let role = json!({"type": "ClusterRole", "name": name});
        self.put(
            "clusterrolebindings",
            &json!({"subjects": [subject], "role_ref": role, "metadata": {"name": name}}),
        );
    }

    pub(super) fn may(&self, user: &str, groups: &[&str]) -> Result<bool, AuthzError> {
        may(&*self.rbac, user, groups)
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.following.abort();
    }
}

fn follow(mut feeder: Feeder, manager: Manager, minter: Minter) -> AbortHandle {
    tokio::spawn(async move { feeder.follow_api(manager, minter).await }).abort_handle()
}

/// Waits until a condition holds. Returns how long it took.
pub(super) async fn until(holds: impl Fn() -> bool) -> Duration {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(120), "it never held");
        sleep(Duration::from_millis(10)).await;
    }
    begun.elapsed()
}

#[tokio::test(start_paused = true)]
async fn each_caller_may_do_what_the_rules_of_the_cluster_grant() {
    let rig = Rig::following().await;
    rig.grant(
        "carols",
        &json!({"type": "User", "name": "carol"}),
        &json!([{"verbs": ["*"], "resources": ["*"], "resource_names": null}]),
    );
    rig.grant(
        "registrars",
        &json!({"type": "Group", "name": "registrars"}),
        &json!([{"verbs": ["update"], "resources": ["clusters"], "resource_names": ["alpha", "beta"]},
                {"verbs": ["create"], "resources": ["etcd-replicators"], "resource_names": null}]),
    );
    until(|| rig.may("dave", &["registrars"]) == Ok(true)).await;
    let users = "system:users";
    let admin = who("admin", &["cluster-admins", users]);
    let carol = who("carol", &[users]);
    let dave = who("dave", &["registrars", users]);
    let viewer = who("viewer", &["viewers", users]);
    let cases = [
        (Verb::Update, "clusters", "alpha", [true, true, true, false]),
        (Verb::Delete, "clusters", "alpha", [true, true, false, false]),
        (Verb::Update, "clusters", "gamma", [true, true, false, false]),
        (Verb::Create, "etcd-replicators", "", [true, true, true, false]),
        (Verb::Update, "etcd-replicators", "roles", [true, true, false, false]),
        (Verb::Delete, "etcd-replicators", "roles", [true, true, false, false]),
    ];
    for (verb, resource, name, expected) in cases {
        let decided =
            [&admin, &carol, &dave, &viewer].map(|who| rig.rbac.decide(who, verb, resource, name).unwrap());
        assert_eq!(decided, expected, "{verb} {resource} {name}");
    }
    assert_eq!(
        rig.may("fallback", &["fallback"]),
        Ok(false),
        "the groups of the configuration no longer count"
    );
}

#[tokio::test(start_paused = true)]
async fn a_change_takes_effect_within_seconds() {
    let rig = Rig::following().await;
    rig.grant(
        "carols",
        &json!({"type": "User", "name": "carol"}),
        &json!([{"verbs": ["*"], "resources": ["clusters"]}]),
    );
    let granted = until(|| rig.may("carol", &[]) == Ok(true)).await;
    rig.local.sensu.etcd_delete("/sensu.io/rbac/clusterroles/carols");
    let dangling = until(|| rig.may("carol", &[]).is_err()).await;
    rig.local.sensu.etcd_delete("/sensu.io/rbac/clusterrolebindings/carols");
    let revoked = until(|| rig.may("carol", &[]) == Ok(false)).await;
    assert!(granted.max(dangling).max(revoked) < Duration::from_secs(4));
}

#[tokio::test(start_paused = true)]
async fn until_rules_are_read_the_configured_groups_decide() {
    let local = Local::new();
    local.set_down(true);
    let rig = Rig::new(local);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(rig.rbac.mode(), Mode::AdminGroups);
    assert_eq!(rig.may("x", &["fallback"]), Ok(true));
    assert_eq!(rig.may(ADMIN.0, ADMIN.1), Ok(false));
    rig.local.set_down(false);
    let took = until(|| rig.rbac.mode() == Mode::Rbac).await;
    assert!(took < Duration::from_secs(30), "{took:?}");
    assert_eq!((rig.may("x", &["fallback"]), rig.may(ADMIN.0, ADMIN.1)), (Ok(false), Ok(true)));
}

#[tokio::test(start_paused = true)]
async fn the_last_rules_stay_in_force_while_the_source_fails() {
    let rig = Rig::following().await;
    let faults = rig.local.sensu.faults();
    let holds = || (rig.may(ADMIN.0, ADMIN.1), rig.may("viewer", &[])) == (Ok(true), Ok(false));
    let hostile: [&[u8]; 8] =
        [b"", b"{}", b"[", b"[\"\\u0001\"]", b"[1,null]", b"\xff\xfe", b"[[[[[[]]]]]]", b"[{}{}]"];
    for body in hostile {
        faults.set_body(Some(Bytes::copy_from_slice(body)));
        sleep(Duration::from_secs(40)).await;
        assert!(holds(), "{}", body.escape_ascii());
    }
    faults.set_body(None);
    for status in [401, 403, 404, 500, 503] {
        faults.set_status(Some(status));
        sleep(Duration::from_secs(40)).await;
        assert!(holds(), "{status}");
    }
    faults.set_status(None);
    faults.set_truncate(Some(10));
    sleep(Duration::from_secs(40)).await;
    faults.set_truncate(None);
    faults.set_hang(true);
    sleep(Duration::from_secs(40)).await;
    faults.set_hang(false);
    rig.local.set_down(true);
    sleep(Duration::from_secs(40)).await;
    assert!(holds());
    assert_eq!(rig.rbac.mode(), Mode::Rbac);
    rig.local.set_down(false);
    rig.local.sensu.etcd_delete("/sensu.io/rbac/clusterrolebindings/cluster-admin");
    // That binding gave the gateway its own right to read: the last rules stay in force.
    sleep(Duration::from_secs(40)).await;
    assert!(holds());
}

#[tokio::test(start_paused = true)]
async fn a_list_that_is_too_large_denies_every_write() {
    let rig = Rig::following().await;
    let large = format!("[{{\"metadata\":{{\"name\":\"{}\"}}}}]", "x".repeat(9 << 20));
    rig.local.sensu.faults().set_body(Some(large.into()));
    until(|| matches!(rig.may(ADMIN.0, ADMIN.1), Err(AuthzError::TooLarge { .. }))).await;
    rig.local.sensu.faults().set_body(None);
    until(|| rig.may(ADMIN.0, ADMIN.1) == Ok(true)).await;
}

#[tokio::test(start_paused = true)]
async fn unchanged_answers_do_not_build_new_rules() {
    let local = Local::new();
    let (digest, _) = poll(&local.manager, &local.minter, None).await.unwrap().unwrap();
    assert!(poll(&local.manager, &local.minter, Some(digest)).await.unwrap().is_none());
    local.sensu.etcd_delete("/sensu.io/rbac/clusterroles/view");
    let (other, _) = poll(&local.manager, &local.minter, Some(digest)).await.unwrap().unwrap();
    assert_ne!(digest, other);
}

#[tokio::test(start_paused = true)]
async fn requests_carry_a_short_lived_token_of_the_gateways_own() {
    let local = Local::new();
    poll(&local.manager, &local.minter, None).await.unwrap();
    assert_eq!(local.asked(), ["/api/core/v2/clusterrolebindings", "/api/core/v2/clusterroles"]);
    for request in local.sensu.requests() {
        assert_eq!(request.headers["host"], "sensu.example.com:8080");
        let claims = super::exchange::claims(&request.headers["authorization"]);
        assert_eq!((&claims["sub"], &claims["groups"]), (&json!("fedgate"), &json!(["cluster-admins"])));
    }
}

#[tokio::test(start_paused = true)]
async fn each_change_is_logged_once_and_no_secret_is() {
    let log = Capture::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(log.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let lines = || -> Vec<String> {
        let text = log.take();
        let ours = text.lines().filter(|line| line.contains("fedgate::authz"));
        ours.map(ToOwned::to_owned).collect()
    };
    let rig = Rig::following().await;
    let said = lines();
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[0].contains("admin-groups") && said[1].contains("rbac"), "{said:?}");
    for fault in [Some(500), None] {
        rig.local.sensu.faults().set_status(fault);
        sleep(Duration::from_secs(300)).await;
        let said = lines();
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(!said[0].contains("eyJ"), "{said:?}");
    }
    rig.local.sensu.apply(&Method::DELETE, "/api/core/v2/clusterroles/view", &json!(null));
    sleep(Duration::from_secs(300)).await;
    assert_eq!(lines(), [""; 0], "changed rules are no change of the mode");
}

/// A peer that answers each path from a table.
struct Script(HashMap<&'static str, &'static str>);

impl Connect for Script {
    fn connect(&self, _: &Cluster, _: &Backend) -> BoxFuture<'_, Result<BoxIo, ConnectError>> {
        let (near, mut far) = tokio::io::duplex(1 << 16);
        let answers = self.0.clone();
        tokio::spawn(async move {
            let mut read = Vec::new();
            while far.read_buf(&mut read).await.is_ok_and(|n| n > 0) {
                if !read.ends_with(b"\r\n\r\n") {
                    continue;
                }
                let request = String::from_utf8(std::mem::take(&mut read)).unwrap();
                let path = request.split(' ').nth(1).unwrap();
                let (head, body) = answers[path].split_once('|').unwrap();
                let answer = format!("HTTP/1.1 200 OK\r\n{head}Content-Length: {}\r\n\r\n{body}", body.len());
                far.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        async { Ok(Box::new(near) as BoxIo) }.boxed()
    }
}

fn scripted(answers: &[(&'static str, &'static str)]) -> Manager {
    let connect = Arc::new(Script(answers.iter().copied().collect()));
    let manager = Manager::new(upstream::Config::default(), connect);
    manager.apply(&Snapshot::new([Cluster {
        name: "local-cluster".parse().unwrap(),
        backends: vec!["http://sensu.example.com:8080".parse().unwrap()],
        tls: TlsFiles::default(),
        source: Source::Local,
    }]));
    manager
}

const ANN: &str =
    r#"|[{"subjects":[{"type":"User","name":"ann"}],"role_ref":{"type":"ClusterRole","name":"r"}}]"#;

#[tokio::test(start_paused = true)]
async fn pages_are_followed_to_the_last() {
    let manager = scripted(&[
        ("/api/core/v2/clusterrolebindings", "Sensu-Continue: Zm9v\r\n|[]"),
        ("/api/core/v2/clusterrolebindings?continue=Zm9v", ANN),
        ("/api/core/v2/clusterroles", "Sensu-Continue: a-_\r\n|null"),
        (
            "/api/core/v2/clusterroles?continue=a-_",
            r#"|[{"rules":[{"verbs":["*"],"resources":["*"],"resource_names":null}],"metadata":{"name":"r"}}]"#,
        ),
    ]);
    let (_, rules) = poll(&manager, &Local::new().minter, None).await.unwrap().unwrap();
    assert_eq!(rules.decide(&who("ann", &[]), Verb::Update, "clusters", "alpha"), Ok(true));
}

#[tokio::test(start_paused = true)]
async fn a_list_without_end_or_with_a_forged_cursor_is_given_up() {
    let endless = [
        ("/api/core/v2/clusterrolebindings", "Sensu-Continue: Zm9v\r\n|[]"),
        ("/api/core/v2/clusterrolebindings?continue=Zm9v", "Sensu-Continue: Zm9v\r\n|[]"),
    ];
    let forged = [("/api/core/v2/clusterrolebindings", "Sensu-Continue: a&limit=-1\r\n|[]")];
    for manager in [scripted(&endless), scripted(&forged)] {
        assert!(poll(&manager, &Local::new().minter, None).await.is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn two_roles_of_one_name_grant_nothing() {
    let manager = scripted(&[
        ("/api/core/v2/clusterrolebindings", ANN),
        (
            "/api/core/v2/clusterroles",
            r#"|[{"rules":[],"metadata":{"name":"r"}},{"rules":[{"verbs":["*"],"resources":["*"]}],"metadata":{"name":"r"}}]"#,
        ),
    ]);
    let (_, rules) = poll(&manager, &Local::new().minter, None).await.unwrap().unwrap();
    let decided = rules.decide(&who("ann", &[]), Verb::Update, "clusters", "alpha");
    assert!(matches!(decided, Err(AuthzError::UnreadableRole { .. })), "{decided:?}");
}
