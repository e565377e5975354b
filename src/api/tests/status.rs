use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::{Method, StatusCode};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::{Rig, cluster_body, replicator_body, viewer};
use crate::{
    api::Api,
    authz::{Authorizer, AuthzError, Mode, Verb},
    registry::{Health, MemoryStore, Precondition, Store as _},
    types::{
        BackendHealth, BackendState, Caller, ClusterHealth, ForeignCopies, GivenUp, Kind, LeftBehind,
        LeftCopies, Orphans, PolicyClusterStatus, PolicyStatus, Principal, ReplicatorState, ReplicatorStatus,
    },
};

/// 2026-01-02T03:04:05Z, and some seconds and a fraction later.
fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_323_045 + seconds) + Duration::from_millis(900)
}

fn backend(url: &str, state: BackendState, since: u64, error: Option<&str>) -> BackendHealth {
    let latency = (state == BackendState::Up).then_some(Duration::from_micros(12_340));
    BackendHealth {
        backend: url.parse().unwrap(),
        state,
        since: at(since),
        error: error.map(Into::into),
        latency,
        etcd_cluster: None,
    }
}

fn health(name: &str, backends: Vec<BackendHealth>) -> ClusterHealth {
    ClusterHealth { name: name.parse().unwrap(), version: Some("6.12.0".into()), backends }
}

fn up(name: &str) -> ClusterHealth {
    health(name, vec![backend(&format!("https://{name}.example.com:8080"), BackendState::Up, 0, None)])
}

fn replicator(name: &str, state: ReplicatorState) -> ReplicatorStatus {
    ReplicatorStatus {
        name: name.into(),
        state,
        since: at(0),
        error: Some("timeout".into()),
        keys: 7,
        lag: Some(Duration::from_millis(1250)),
        last_sync: Some(at(5)),
        leader: true,
        is_deleted: false,
        left_behind: Vec::new(),
        orphans: Vec::new(),
    }
}

impl Rig {
    fn knowing(self, health: Vec<ClusterHealth>, replicators: Vec<ReplicatorStatus>) -> Self {
        let health = watch::channel(Arc::new(health)).1;
        let replicators = watch::channel(Arc::new(replicators)).1;
        Self { api: self.api.with_status(health, replicators), ..self }
    }

    /// As the administrator.
    async fn status(&self) -> Value {
        self.call(Method::GET, "status", &Value::Null).await.json()
    }
}

#[tokio::test]
async fn the_status_has_exactly_this_shape() {
    let rig = Rig::new().knowing(
        vec![
            up("local-cluster"),
            health(
                "alpha",
                vec![
                    backend("https://a:8080", BackendState::Up, 10, None),
                    backend("http://b:8080", BackendState::Down, 20, Some("tls: no")),
                ],
            ),
            up("gamma"),
        ],
        vec![replicator("roles", ReplicatorState::Retrying)],
    );
    rig.call(Method::PUT, "clusters/alpha", &cluster_body("alpha", &["https://a:8080", "http://b:8080"]))
        .await;
    let spec = json!({"url": "https://a:2379", "resource": "Role"});
    rig.call(Method::POST, "etcd-replicators", &replicator_body("roles", &spec)).await;
    rig.call(Method::POST, "etcd-replicators", &replicator_body("idle", &spec)).await;

    let expected = concat!(
        r#"{"complete":true,"clusters":["#,
        r#"{"name":"local-cluster","source":"local","version":"6.12.0","state":"up","since":"2026-01-02T03:04:05Z","#,
        r#""error":null,"backends":[{"url":"https://local-cluster.example.com:8080","state":"up","#,
        r#""since":"2026-01-02T03:04:05Z","error":null,"latency_ms":12.3}]},"#,
        r#"{"name":"alpha","source":"api","version":"6.12.0","state":"degraded","since":"2026-01-02T03:04:25Z","#,
        r#""error":"tls: no","backends":[{"url":"https://a:8080","state":"up","since":"2026-01-02T03:04:15Z","#,
        r#""error":null,"latency_ms":12.3},{"url":"http://b:8080","state":"down","since":"2026-01-02T03:04:25Z","#,
        r#""error":"tls: no","latency_ms":null}],"warnings":["http://b:8080 is spoken to in plain HTTP"]},"#,
        r#"{"name":"gamma","source":"config","version":"6.12.0","state":"up","since":"2026-01-02T03:04:05Z","#,
        r#""error":null,"backends":[{"url":"https://gamma.example.com:8080","state":"up","#,
        r#""since":"2026-01-02T03:04:05Z","error":null,"latency_ms":12.3}]}],"#,
        r#""replicators":[{"name":"idle","state":"stopped","since":null,"#,
        r#""error":"replication is off on this gateway","keys":0,"lag_seconds":null,"last_sync":null,"leader":false},"#,
        r#"{"name":"roles","state":"retrying","since":"2026-01-02T03:04:05Z","error":"timeout","keys":7,"#,
        r#""lag_seconds":1.3,"last_sync":"2026-01-02T03:04:10Z","leader":true}],"authorization":"admin-groups"}"#,
    );
    let status = rig.call(Method::GET, "status", &Value::Null).await;
    assert_eq!((status.status, status.header("content-type")), (StatusCode::OK, "application/json"));
    assert_eq!(status.body, expected);

    // Others see how everything is, but no error text.
    let seen = rig.get("status").await.body;
    let hidden = [r#""tls: no""#, r#""timeout""#, r#""replication is off on this gateway""#];
    assert_eq!(seen, hidden.iter().fold(expected.to_owned(), |text, error| text.replace(error, "null")));
}

#[tokio::test]
async fn what_a_replicator_has_left_behind_is_seen_until_it_is_gone() {
    let left = |error: Option<&str>| LeftBehind {
        destination: "https://b:2379".into(),
        keys: 3,
        error: error.map(Into::into),
    };
    let deleted = ReplicatorStatus {
        is_deleted: true,
        left_behind: vec![left(Some("down"))],
        ..replicator("gone", ReplicatorState::Retrying)
    };
    let orphans = vec![Orphans { federation: "f".into(), gateway: "g".into(), keys: 4 }];
    let moved = ReplicatorStatus {
        left_behind: vec![left(None)],
        orphans,
        ..replicator("moved", ReplicatorState::Following)
    };
    let rig = Rig::new().knowing(vec![up("local-cluster"), up("gamma")], vec![deleted, moved]);
    let spec = json!({"url": "https://a:2379", "resource": "Role"});
    rig.call(Method::POST, "etcd-replicators", &replicator_body("moved", &spec)).await;
    let status = rig.status().await;
    let [moved, gone] = &status["replicators"].as_array().unwrap()[..] else { panic!("{status}") };
    assert_eq!((&moved["name"], &moved["deleted"]), (&json!("moved"), &Value::Null));
    assert_eq!(moved["left_behind"], json!([{"destination": "https://b:2379", "keys": 3, "error": null}]));
    assert_eq!(moved["orphans"], json!([{"federation": "f", "gateway": "g", "keys": 4}]));
    assert_eq!((&gone["name"], &gone["deleted"]), (&json!("gone"), &json!(true)));
    assert_eq!((&gone["error"], &gone["left_behind"][0]["error"]), (&json!("timeout"), &json!("down")));
    // Others see that, but no error text.
    let seen: Value = serde_json::from_str(&rig.get("status").await.body).unwrap();
    assert_eq!(seen["replicators"][1]["left_behind"][0]["keys"], 3);
    assert_eq!(seen["replicators"][1]["left_behind"][0]["error"], Value::Null);
}

#[tokio::test]
async fn rules_that_cannot_decide_are_reported_to_everybody_without_names() {
    /// Whose rules have this fault.
    struct Broken(AuthzError);

    impl Authorizer for Broken {
        fn decide(&self, _: &Principal, _: Verb, _: &str, _: &str) -> Result<bool, AuthzError> {
            Err(self.0.clone())
        }

        fn mode(&self) -> Mode {
            Mode::Rbac
        }
    }

    let (binding, role) = (|| Box::from("secret-binding"), || Box::from("secret-role"));
    for (fault, said) in [
        (AuthzError::UnreadableBinding { binding: binding() }, "so nobody is an administrator"),
        (AuthzError::TooLarge { limit: 1 }, "so nobody is an administrator"),
        (AuthzError::UnreadableRole { binding: binding(), role: role() }, "so you may change nothing"),
        (
            AuthzError::Dangling { binding: binding(), kind: "ClusterRole".into(), role: role() },
            "so you may change nothing",
        ),
    ] {
        let mut rig = Rig::new().knowing(vec![up("local-cluster"), up("gamma")], Vec::new());
        rig.api = Api { authorizer: Arc::new(Broken(fault)), ..rig.api };
        for answer in [rig.get("status").await, rig.call(Method::GET, "status", &Value::Null).await] {
            let status = answer.json();
            assert_eq!(status["authorization"], "rbac");
            let error = status["authorization_error"].as_str().unwrap();
            assert!(error.contains(said) && !error.contains("secret"), "{error}");
        }
    }
}

#[tokio::test]
async fn a_clusters_state_is_that_of_its_backends() {
    use BackendState::{Down, Unknown, Up};
    for (backends, state, since, complete) in [
        (&[(Up, 1), (Up, 5), (Up, 3)][..], "up", 5, true),
        (&[(Down, 1), (Down, 5), (Down, 3)], "down", 5, true),
        // It was up until the first one went.
        (&[(Up, 1), (Down, 5), (Down, 3)], "degraded", 3, true),
        // It was down until the first one came.
        (&[(Down, 1), (Down, 2), (Up, 7), (Up, 5)], "degraded", 5, true),
        (&[(Unknown, 1)], "down", 1, false),
        (&[(Unknown, 1), (Up, 2)], "degraded", 2, false),
    ] {
        let urls: Vec<String> = (1..=backends.len()).map(|port| format!("https://a:{port}")).collect();
        let found = urls.iter().zip(backends).map(|(url, (state, since))| backend(url, *state, *since, None));
        let rig = Rig::new()
            .knowing(vec![up("local-cluster"), health("alpha", found.collect()), up("gamma")], Vec::new());
        let urls: Vec<_> = urls.iter().map(String::as_str).collect();
        rig.call(Method::PUT, "clusters/alpha", &cluster_body("alpha", &urls)).await;
        let status = rig.status().await;
        let since = format!("2026-01-02T03:04:{:02}Z", 5 + since);
        assert_eq!(status["clusters"][1]["state"], state, "{backends:?}");
        assert_eq!(status["clusters"][1]["since"], since, "{backends:?}");
        assert_eq!(status["complete"], complete, "{backends:?}");
    }
}

#[tokio::test]
async fn what_was_not_checked_yet_is_reported_as_such() {
    // Findings about what is not registered are left out; `local-cluster` has moved since it was looked at.
    let rig = Rig::new().knowing(
        vec![health("local-cluster", vec![backend("https://old:1", BackendState::Up, 0, None)]), up("gone")],
        vec![replicator("gone", ReplicatorState::Following)],
    );
    rig.get("clusters").await;
    let status = rig.status().await;
    assert_eq!(status["complete"], false);
    assert_eq!(status["replicators"], json!([]));
    let names: Vec<_> = status["clusters"].as_array().unwrap().iter().map(|c| c["name"].clone()).collect();
    assert_eq!(names, ["local-cluster", "gamma"]);
    for cluster in status["clusters"].as_array().unwrap() {
        assert_eq!(cluster["state"], "down");
        assert_eq!(cluster["error"], "not checked yet");
        assert_eq!(cluster["backends"][0]["since"], Value::Null);
    }
}

#[tokio::test]
async fn what_is_stored_and_cannot_be_used_is_shown() {
    let store = MemoryStore::new();
    for (key, value) in [
        ("clusters/alpha", r#"{"type":"Cluster","spec":{"from":"the future"}}"#.to_owned()),
        ("clusters/gamma", cluster_body("gamma", &["https://other:1"]).to_string()),
        ("etcd-replicators/roles", "{".to_owned()),
    ] {
        store.put(key, value.into(), Precondition::Any).await.unwrap();
    }
    let rig = Rig::over(Arc::new(store)).knowing(vec![up("local-cluster"), up("gamma")], Vec::new());
    rig.views.registry.clone().wait_for(|view| view.unreadable().len() == 2).await.unwrap();
    let status = rig.status().await;
    assert_eq!(status["complete"], false);
    let (gamma, alpha, roles) = (&status["clusters"][1], &status["clusters"][2], &status["replicators"][0]);
    assert_eq!((&gamma["source"], &gamma["state"]), (&json!("config"), &json!("up")));
    assert_eq!(gamma["warnings"], json!(["it hides a registered cluster of the same name"]));
    assert_eq!(
        (&alpha["name"], &alpha["source"], &alpha["state"]),
        (&json!("alpha"), &json!("api"), &json!("down"))
    );
    assert_eq!((&roles["name"], &roles["state"]), (&json!("roles"), &json!("rejected")));
    let error = json!("the stored resource cannot be read by this version of the gateway");
    assert_eq!((&alpha["error"], &roles["error"]), (&error, &error));
    assert!(!rig.get("status").await.body.contains("cannot be read"));
}

#[tokio::test]
async fn a_store_that_is_down_is_shown_with_the_last_that_was_seen() {
    let store = MemoryStore::new();
    let rig = Rig::over(Arc::new(store.clone())).knowing(vec![up("local-cluster"), up("gamma")], Vec::new());
    let mut registry = rig.views.registry.clone();
    registry.wait_for(|view| *view.health() == Health::Following).await.unwrap();
    let before = rig.status().await;
    assert_eq!((&before["complete"], before.get("store")), (&json!(true), None));
    store.break_down("no quorum");
    registry.wait_for(|view| matches!(view.health(), Health::Down { .. })).await.unwrap();
    let status = rig.status().await;
    assert_eq!((&status["complete"], &status["clusters"]), (&json!(false), &before["clusters"]));
    assert_eq!((&status["store"]["state"], &status["store"]["error"]), (&json!("down"), &json!("no quorum")));
    assert!(status["store"]["since"].as_str().unwrap().ends_with('Z'));
    assert_eq!(rig.get("status").await.json()["store"]["error"], Value::Null);
}

#[tokio::test]
async fn the_status_is_for_everybody_with_a_token_and_only_to_be_read() {
    let rig = Rig::new();
    for caller in [Caller::Anonymous, Caller::ApiKey] {
        assert_eq!(rig.send(&caller, Method::GET, "status", &[], b"").await.status, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(rig.send(&viewer(), Method::HEAD, "status", &[], b"").await.status, StatusCode::OK);
    for method in [Method::PUT, Method::POST, Method::DELETE] {
        let refused = rig.call(method, "status", &Value::Null).await;
        assert_eq!((refused.status, refused.header("allow")), (StatusCode::METHOD_NOT_ALLOWED, "GET, HEAD"));
    }
    assert_eq!(rig.get("status/x").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn clusters_that_get_in_each_others_way_are_named_there_and_as_a_whole() {
    let identified =
        |url: &str, id| BackendHealth { etcd_cluster: Some(id), ..backend(url, BackendState::Up, 0, None) };
    let (one, two) = (0xa, u64::MAX);
    let rig = Rig::new().knowing(
        vec![
            up("local-cluster"),
            health("alpha", vec![identified("https://a:8080", one), identified("https://b:8080", two)]),
            health("Alpha", vec![identified("https://c:8080", one)]),
            up("gamma"),
        ],
        Vec::new(),
    );
    for (name, urls) in [("alpha", &["https://a:8080", "https://b:8080"][..]), ("Alpha", &["https://c:8080"])]
    {
        let path = format!("clusters/{name}");
        rig.call(Method::PUT, &path, &cluster_body(name, urls)).await;
    }
    rig.call(Method::PUT, "clusters/delta", &cluster_body("delta", &["https://C:8080"])).await;
    // It is no secret: whoever may see the status may see the URLs.
    let seen: Value = serde_json::from_str(&rig.get("status").await.body).unwrap();
    assert_eq!(seen["conflicts"], rig.status().await["conflicts"]);
    let conflicts = seen["conflicts"].as_array().unwrap();
    let found: Vec<_> =
        conflicts.iter().map(|it| (it["kind"].as_str().unwrap(), it["clusters"].clone())).collect();
    assert_eq!(
        found,
        [
            ("mixed-urls", json!(["alpha"])),
            ("same-url", json!(["Alpha", "delta"])),
            ("similar-names", json!(["Alpha", "alpha"]))
        ]
    );
    let cluster =
        |name: &str| seen["clusters"].as_array().unwrap().iter().find(|it| it["name"] == name).unwrap();
    assert_eq!(cluster("alpha")["warnings"], json!([conflicts[0]["message"], conflicts[2]["message"]]));
    assert_eq!(cluster("Alpha")["warnings"], json!([conflicts[1]["message"], conflicts[2]["message"]]));
    assert_eq!(cluster("gamma")["warnings"], Value::Null);
    assert_eq!(cluster("alpha")["backends"][0]["etcd_cluster_id"], "000000000000000a");
    assert_eq!(cluster("gamma")["backends"][0]["etcd_cluster_id"], Value::Null);
}

/// What the status says of a `Replicator` in one cluster, and what it has left in another.
fn policy(name: &str, is_deleted: bool) -> PolicyStatus {
    let cluster = PolicyClusterStatus {
        keys: 7,
        changes: vec!["create Role web/dev".into()],
        orphans: vec![ForeignCopies { federation: "f".into(), keys: 4 }],
        ..PolicyClusterStatus::new("gamma".into(), ReplicatorState::Following, at(0), Some("secret".into()))
    };
    PolicyStatus {
        name: name.into(),
        state: ReplicatorState::Retrying,
        since: at(0),
        error: Some("secret".into()),
        leader: true,
        dry_run: !is_deleted,
        clusters: if is_deleted { vec![] } else { vec![cluster] },
        is_deleted,
        left_behind: vec![
            LeftCopies { cluster: "alpha".into(), keys: Some(3), error: Some("secret".into()) },
            LeftCopies { cluster: "beta".into(), keys: None, error: None },
        ],
    }
}

#[tokio::test]
async fn what_a_replicator_by_api_would_do_has_left_and_finds_is_seen_and_can_be_given_up() {
    let mut rig = Rig::new().knowing(vec![up("local-cluster"), up("gamma")], vec![]);
    let statuses = vec![policy("rbac", false), policy("gone", true)];
    let asked = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&asked);
    let give_up = move |kind, name: &str| {
        noted.lock().push((kind, name.to_owned()));
        if name == "gone" { GivenUp::Begun } else { GivenUp::Unknown }
    };
    rig.api = rig.api.with_policies(watch::channel(Arc::new(statuses)).1).with_give_up(Arc::new(give_up));
    let spec = json!({"resources": ["Role"], "clusters": ["gamma"], "dry_run": true});
    let body = json!({
        "type": "Replicator", "api_version": "federation/v1", "metadata": {"name": "rbac"}, "spec": spec,
    });
    assert_eq!(rig.call(Method::POST, "replicators", &body).await.status, StatusCode::CREATED);
    let status = rig.status().await;
    let [rbac, gone] = &status["replicators"].as_array().unwrap()[..] else { panic!("{status}") };
    assert_eq!((&rbac["name"], &rbac["deleted"], &rbac["keys"]), (&json!("rbac"), &Value::Null, &json!(7)));
    assert_eq!(rbac["clusters"][0]["changes"], json!(["create Role web/dev"]));
    assert_eq!(rbac["orphans"], json!([{"federation": "f", "cluster": "gamma", "keys": 4}]));
    assert_eq!((&gone["deleted"], &gone["keys"], &gone["clusters"]), (&json!(true), &json!(3), &json!([])));
    let left = json!([
        {"destination": "alpha", "keys": 3, "error": "secret"}, {"destination": "beta", "keys": null, "error": null},
    ]);
    assert_eq!((&gone["left_behind"], &rbac["left_behind"]), (&left, &left));
    // Others see no error text and no names of objects.
    let seen = rig.get("status").await.body;
    assert!(!seen.contains("secret") && !seen.contains("web/dev"), "{seen}");
    // A deletion may be sent again by anything on the way.
    for (target, answer) in [
        ("gone", StatusCode::NOT_FOUND),
        ("gone?give_up=false", StatusCode::NOT_FOUND),
        ("gone?give_up=yes", StatusCode::BAD_REQUEST),
        ("rbac?give_up=true", StatusCode::CONFLICT),
    ] {
        let path = format!("replicators/{target}");
        assert_eq!(rig.call(Method::DELETE, &path, &Value::Null).await.status, answer, "{target}");
    }
    assert_eq!(
        rig.call(Method::DELETE, "clusters/x?give_up=true", &Value::Null).await.status,
        StatusCode::BAD_REQUEST
    );
    assert_eq!(*asked.lock(), []);
    for (name, answer) in [("gone", StatusCode::NO_CONTENT), ("never", StatusCode::NOT_FOUND)] {
        let path = format!("replicators/{name}?give_up=true");
        assert_eq!(rig.call(Method::DELETE, &path, &Value::Null).await.status, answer, "{name}");
    }
    assert_eq!(*asked.lock(), ["gone", "never"].map(|name| (Kind::Replicator, name.to_owned())));
}
