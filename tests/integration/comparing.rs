//! What a replicator would do now, asked of a whole gateway.

use fedgate::sim::Sensu;
use http::Method;
use serde_json::{Value, json};

use crate::{
    support::{Running, claims, now, request_of},
    wait::eventually,
};

const FEDERATION: &str = "/api/enterprise/federation/v1";

fn write(sensu: &Sensu, path: &str, body: &Value) {
    let status = sensu.apply(&Method::PUT, &format!("/api/core/v2/{path}"), body);
    assert!(status.is_success(), "{path}: {status}");
}

fn role(verb: &str) -> Value {
    json!({"metadata": {"name": "ops"}, "rules": [{"verbs": [verb], "resources": ["checks"]}]})
}

async fn register(server: &Running, dry_run: bool) {
    let spec = json!({
        "resources": ["ClusterRole"], "clusters": ["*"], "replication_interval_seconds": 1, "dry_run": dry_run,
    });
    let body = json!({"type": "Replicator", "api_version": "federation/v1", "metadata": {"name": "rbac"}, "spec": spec});
    server.call(Method::PUT, &format!("{FEDERATION}/replicators/rbac"), &body, 201).await;
}

async fn diff(server: &Running, query: &str) -> Value {
    let path = format!("{FEDERATION}/replicators/rbac/diff{query}");
    serde_json::from_slice(&server.call(Method::GET, &path, &Value::Null, 200).await).unwrap()
}

fn writes(sensu: &Sensu) -> usize {
    sensu.requests().into_iter().filter(|it| it.method != Method::GET).count()
}

#[tokio::test]
async fn a_replicator_is_seen_before_and_verified_after() {
    let server = Running::with(json!({"private-key": true})).await;
    let (alpha, beta) = (server.register("alpha").await, server.register("beta").await);
    write(&server.sensu, "clusterroles/ops", &role("get"));
    register(&server, true).await;
    let before = diff(&server, "").await;
    assert_eq!(
        (&before["type"], &before["name"], &before["dry_run"]),
        (&"Replicator".into(), &"rbac".into(), &true.into())
    );
    assert_eq!(
        (&before["complete"], &before["equal"], &before["detailed"]),
        (&true.into(), &false.into(), &true.into())
    );
    let clusters = before["clusters"].as_array().unwrap();
    assert_eq!(clusters.iter().map(|it| it["name"].clone()).collect::<Vec<_>>(), ["alpha", "beta"]);
    let expected = json!([{
        "kind": "ClusterRole", "namespace": "", "name": "ops", "action": "create", "why": "the cluster has none",
    }]);
    assert_eq!(clusters[0]["differences"], expected);
    assert_eq!(
        clusters[0]["counts"],
        json!({"create": 1, "update": 0, "delete": 0, "conflict": 0, "blocked": 0})
    );
    assert_eq!((writes(&alpha), writes(&beta)), (0, 0), "it only reads");

    register(&server, false).await;
    eventually("everything is equal", async || diff(&server, "").await["equal"] == true).await;
    let after = diff(&server, "?cluster=beta").await;
    assert_eq!(after["clusters"].as_array().unwrap().len(), 1);
    assert_eq!(after["clusters"][0]["differences"], json!([]));

    write(&alpha, "clusterroles/ops", &role("*"));
    write(&beta, "clusterroles/ops", &role("get"));
    let conflicts = diff(&server, "").await;
    let found = &conflicts["clusters"][0]["differences"][0];
    assert_eq!(found["action"], "conflict", "it bears no label any more: {conflicts}");
    assert_eq!(found["fields"], json!([{"path": "rules[0].verbs", "source": ["get"], "copy": ["*"]}]));
    assert_eq!(
        conflicts["clusters"][1]["differences"][0]["action"], "conflict",
        "a change would not reach it"
    );
}

#[tokio::test]
async fn a_reader_learns_how_much_differs_and_an_administrator_what() {
    let server = Running::with(json!({"private-key": true})).await;
    server.register("alpha").await;
    write(&server.sensu, "clusterroles/ops", &role("get"));
    register(&server, true).await;
    let path = format!("{FEDERATION}/replicators/rbac/diff");
    let viewer = server.keys.mint(&claims("viewer", &["viewers"], now() + 60));
    let (status, headers, body) = server.send(request_of(&viewer, Method::GET, &path, "")).await;
    assert_eq!((status, &headers["fedgate-complete"]), (200, &"true".parse().unwrap()));
    let found: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((&found["detailed"], &found["equal"]), (&false.into(), &false.into()));
    assert_eq!(found["clusters"][0]["counts"]["create"], 1);
    assert_eq!(found["clusters"][0]["differences"], json!([]));
    assert!(!String::from_utf8_lossy(&body).contains("ops"), "{body:?}");
    // One who may update this replicator, and nothing else, sees what it does.
    let rule = json!({"metadata": {"name": "policy"}, "rules": [
        {"verbs": ["update"], "resources": ["replicators"], "resource_names": ["rbac"]}]});
    let binding = json!({"metadata": {"name": "policy"}, "role_ref": {"type": "ClusterRole", "name": "policy"},
        "subjects": [{"type": "Group", "name": "policy"}]});
    write(&server.sensu, "clusterroles/policy", &rule);
    write(&server.sensu, "clusterrolebindings/policy", &binding);
    let editor = server.keys.mint(&claims("ed", &["policy"], now() + 60));
    eventually("the right is known", async || {
        let (_, _, body) = server.send(request_of(&editor, Method::GET, &path, "")).await;
        serde_json::from_slice::<Value>(&body).unwrap()["detailed"] == true
    })
    .await;
    let (status, ..) = server.send(request_of("", Method::GET, &path, "")).await;
    assert_eq!(status, 401);
}

#[tokio::test]
async fn what_cannot_be_compared_is_refused_with_the_reason() {
    let server = Running::with(json!({"private-key": true})).await;
    server.register("alpha").await;
    register(&server, true).await;
    let etcd = json!({"type": "EtcdReplicator", "api_version": "federation/v1", "metadata": {"name": "r"},
        "spec": {"url": "http://127.0.0.1:1", "insecure": true, "resource": "Role"}});
    server.call(Method::PUT, &format!("{FEDERATION}/etcd-replicators/r"), &etcd, 201).await;
    for (path, status, text) in [
        ("replicators/other/diff", 404, "replicator other is not registered"),
        ("replicators/rbac/diff?cluster=gamma", 400, "it does not copy to cluster gamma"),
        ("replicators/rbac/diff?cluster=a%20b", 400, "the query parameter cluster is not valid"),
        ("etcd-replicators/r/diff", 400, "replication.source"),
        ("etcd-replicators/r/diff?cluster=alpha", 400, "has one destination"),
        ("clusters/alpha/diff", 404, "not found"),
        ("replicators/diff/x", 404, "not found"),
    ] {
        let body = server.call(Method::GET, &format!("{FEDERATION}/{path}"), &Value::Null, status).await;
        let body = String::from_utf8_lossy(&body);
        assert!(body.contains(text), "{path}: {body}");
    }
    for method in [Method::POST, Method::PUT, Method::DELETE] {
        server.call(method, &format!("{FEDERATION}/replicators/rbac/diff"), &Value::Null, 405).await;
    }
    let without = Running::start().await;
    without.call(Method::GET, &format!("{FEDERATION}/replicators/rbac/diff"), &Value::Null, 404).await;
}

#[tokio::test]
async fn a_cluster_that_is_away_is_named_and_the_answer_is_not_complete() {
    let server = Running::with(json!({"private-key": true})).await;
    server.register("alpha").await;
    register(&server, true).await;
    let away = json!({"type": "Cluster", "api_version": "federation/v1", "metadata": {"name": "away"},
        "spec": {"api_urls": ["http://127.0.0.1:1"]}});
    server.call(Method::PUT, &format!("{FEDERATION}/clusters/away"), &away, 201).await;
    let path = format!("{FEDERATION}/replicators/rbac/diff");
    let (status, headers, body) = server.send(server.request(&path)).await;
    assert_eq!((status, &headers["fedgate-complete"]), (200, &"false".parse().unwrap()));
    let found: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((&found["complete"], &found["equal"]), (&false.into(), &false.into()));
    let clusters = found["clusters"].as_array().unwrap();
    assert_eq!((&clusters[0]["name"], &clusters[0]["complete"]), (&"alpha".into(), &true.into()));
    assert_eq!((&clusters[1]["name"], &clusters[1]["complete"]), (&"away".into(), &false.into()));
    assert!(clusters[1]["error"].is_string(), "{found}");
}
