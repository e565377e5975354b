//! `Replicator`s through a whole gateway.

use fedgate::sim::Sensu;
use http::Method;
use serde_json::{Value, json};

use crate::{
    support::{Running, claims, now, request_of},
    wait::eventually,
};

const FEDERATION: &str = "/api/enterprise/federation/v1";

fn replicator(name: &str, spec: &Value) -> Value {
    json!({"type": "Replicator", "api_version": "federation/v1", "metadata": {"name": name}, "spec": spec})
}

fn rbac() -> Value {
    let resources = ["Namespace", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"];
    json!({"resources": resources, "clusters": ["*"], "replication_interval_seconds": 1})
}

fn write(sensu: &Sensu, path: &str, body: &Value) {
    let status = sensu.apply(&Method::PUT, &format!("/api/core/v2/{path}"), body);
    assert!(status.is_success(), "{path}: {status}");
}

async fn status(server: &Running) -> Value {
    let body = server.call(Method::GET, &format!("{FEDERATION}/status"), &Value::Null, 200).await;
    serde_json::from_slice(&body).unwrap()
}

/// What olga may do in a cluster, by a token of the local one.
async fn olga_lists_checks(server: &Running, cluster: &str) -> u16 {
    let olga = server.keys.mint(&claims("olga", &["ops"], now() + 60));
    let path = format!("/c/{cluster}/api/core/v2/namespaces/default/checks");
    server.send(request_of(&olga, Method::GET, &path, "")).await.0
}

#[tokio::test]
async fn one_resource_grants_and_revokes_in_every_cluster_and_leaves_their_own_roles() {
    let server = Running::with(json!({"private-key": true})).await;
    let (alpha, beta) = (server.register("alpha").await, server.register("beta").await);
    let role = json!({"metadata": {"name": "ops"}, "rules": [{"verbs": ["list"], "resources": ["checks"]}]});
    let binding = json!({
        "metadata": {"name": "ops"}, "role_ref": {"type": "ClusterRole", "name": "ops"},
        "subjects": [{"type": "Group", "name": "ops"}]
    });
    write(&server.sensu, "clusterroles/ops", &role);
    write(&server.sensu, "clusterrolebindings/ops", &binding);
    let own = json!({"metadata": {"name": "own"}, "rules": [{"verbs": ["get"], "resources": ["checks"]}]});
    write(&beta, "clusterroles/own", &own);
    assert_eq!(olga_lists_checks(&server, "alpha").await, 403);

    let path = format!("{FEDERATION}/replicators/rbac");
    server.call(Method::PUT, &path, &replicator("rbac", &rbac()), 201).await;
    for cluster in ["alpha", "beta"] {
        eventually("olga may", async || olga_lists_checks(&server, cluster).await == 200).await;
    }
    eventually("it follows", async || status(&server).await["replicators"][0]["state"] == "following").await;
    let found = &status(&server).await["replicators"][0];
    assert_eq!(
        (&found["type"], &found["name"], &found["keys"]),
        (&"Replicator".into(), &"rbac".into(), &4.into())
    );
    assert_eq!((&found["leader"], &found["dry_run"]), (&true.into(), &false.into()));
    let clusters: Vec<_> =
        found["clusters"].as_array().unwrap().iter().map(|it| it["name"].clone()).collect();
    assert_eq!(clusters, ["alpha", "beta"]);
    let page = crate::metrics::page(&server).await;
    assert!(
        page.contains(r#"fedgate_replication_cluster_keys{replicator="rbac",cluster="alpha"} 2"#),
        "{page}"
    );

    let gone = server.sensu.apply(&Method::DELETE, "/api/core/v2/clusterrolebindings/ops", &Value::Null);
    assert!(gone.is_success());
    for cluster in ["alpha", "beta"] {
        eventually("olga may no longer", async || olga_lists_checks(&server, cluster).await == 403).await;
    }
    server.call(Method::DELETE, &path, &Value::Null, 204).await;
    let role_in = |sensu: &Sensu, name: &str| sensu.etcd_get(&format!("/sensu.io/rbac/clusterroles/{name}"));
    eventually("the role leaves with its replicator", async || role_in(&alpha, "ops").is_none()).await;
    eventually("the role leaves with its replicator", async || role_in(&beta, "ops").is_none()).await;
    assert!(role_in(&beta, "own").is_some());
    let users = alpha.requests().into_iter().filter(|it| it.method != Method::GET);
    assert!(users.count() > 0, "it was written through the API");
}

#[tokio::test]
async fn a_replicator_is_a_resource_like_the_others() {
    let server = Running::with(json!({"private-key": true})).await;
    let list = format!("{FEDERATION}/replicators");
    let body = replicator("rbac", &json!({"resources": ["Role"], "clusters": ["gamma"]}));
    server.call(Method::POST, &list, &body, 201).await;
    server.call(Method::POST, &list, &body, 409).await;
    let found = server.call(Method::GET, &format!("{list}/rbac"), &Value::Null, 200).await;
    let found: Value = serde_json::from_slice(&found).unwrap();
    assert_eq!(found["spec"], body["spec"], "what was sent is read back");
    let listed = server.call(Method::GET, &list, &Value::Null, 200).await;
    assert_eq!(serde_json::from_slice::<Value>(&listed).unwrap(), json!([found]));
    let users = replicator("rbac", &json!({"resources": ["User"], "clusters": ["*"]}));
    let refused = server.call(Method::PUT, &format!("{list}/rbac"), &users, 400).await;
    assert!(String::from_utf8_lossy(&refused).contains("An EtcdReplicator copies users"), "{refused:?}");
    let viewer = server.keys.mint(&claims("viewer", &["viewers"], now() + 60));
    let (status, ..) = server.send(request_of(&viewer, Method::POST, &list, body.to_string())).await;
    assert_eq!(status, 403);
    server.call(Method::DELETE, &format!("{list}/rbac"), &Value::Null, 204).await;
    server.call(Method::DELETE, &format!("{list}/rbac"), &Value::Null, 404).await;
}

#[tokio::test]
async fn without_the_private_key_a_replicator_is_refused_with_the_reason() {
    let server = Running::start().await;
    let path = format!("{FEDERATION}/replicators/rbac");
    let refused = server.call(Method::PUT, &path, &replicator("rbac", &rbac()), 400).await;
    let text = String::from_utf8_lossy(&refused);
    assert!(text.contains("auth.jwt-private-key-file") && text.contains("EtcdReplicator"), "{text}");
    assert_eq!(server.call(Method::GET, &format!("{FEDERATION}/replicators"), &Value::Null, 200).await, "[]");
}
