//! The callers of `federation/v1` through the API itself, with the rules of a simulated cluster.

use std::sync::Arc;

use http::{HeaderMap, Method, StatusCode};
use serde_json::json;
use tokio::sync::watch;

use super::{
    api_source::{Rig, until},
    who,
};
use crate::{
    api::Api,
    error::Classify as _,
    registry::{MemoryStore, reflector},
    types::{Caller, Snapshot},
    wire,
};

/// Status and body of an answer.
async fn send(api: &Api, method: Method, path: &str, caller: &Caller) -> (StatusCode, String) {
    let body = match path.split_once('/') {
        Some(("clusters", name)) => json!({
            "type": "Cluster", "api_version": "federation/v1", "metadata": {"name": name.replace("%61", "a")},
            "spec": {"api_urls": ["https://sensu.example.com:8080"]},
        }),
        _ => json!({
            "type": "EtcdReplicator", "api_version": "federation/v1", "metadata": {"name": "roles"},
            "spec": {"url": "https://etcd.example.com:2379", "resource": "Role"},
        }),
    };
    let body = body.to_string();
    let answer = match api.admit(&method, path, caller) {
        Ok(admitted) => api.handle(admitted, None, &HeaderMap::new(), body.as_bytes()).await,
        Err(error) => Err(error),
    };
    let answer = answer.unwrap_or_else(|error| wire::reply(&error.reply()));
    let text = String::from_utf8(answer.body().as_full().unwrap().to_vec()).unwrap();
    (answer.status(), text)
}

#[tokio::test(start_paused = true)]
async fn each_caller_gets_what_their_rules_grant_and_sensus_own_refusal() {
    let rig = Rig::following().await;
    let all = json!([{"verbs": ["*"], "resources": ["*"]}]);
    rig.grant("carols", &json!({"type": "User", "name": "carol"}), &all);
    let some = json!([{"verbs": ["update"], "resources": ["clusters"], "resource_names": ["alpha"]}]);
    rig.grant("registrars", &json!({"type": "Group", "name": "registrars"}), &some);
    rig.grant("broken", &json!({"type": "User", "name": "erin"}), &all);
    rig.local.sensu.etcd_delete("/sensu.io/rbac/clusterroles/broken");
    until(|| rig.may("dave", &["registrars"]) == Ok(true)).await;

    let (reflector, views) = reflector(watch::channel(Arc::new(Snapshot::new([]))).1);
    let store = Arc::new(MemoryStore::new());
    tokio::spawn(reflector.run(Arc::clone(&store) as Arc<_>));
    let api = Api::new(store, views.registry.clone(), Arc::clone(&rig.rbac) as Arc<_>);
    let token = |user: &str, group: &str| Caller::Token(Arc::new(who(user, &[group, "system:users"])));
    let callers = [
        token("admin", "cluster-admins"),
        token("carol", "nobodies"),
        token("dave", "registrars"),
        token("viewer", "viewers"),
        token("erin", "nobodies"),
        Caller::Anonymous,
    ];
    let cases = [
        (Method::PUT, "clusters/alpha", [201, 201, 201, 403, 500, 401]),
        (Method::PUT, "clusters/%61lpha", [201, 201, 403, 403, 500, 401]),
        (Method::PUT, "clusters/beta", [201, 201, 403, 403, 500, 401]),
        (Method::GET, "clusters/alpha", [200, 200, 200, 200, 200, 401]),
        (Method::GET, "clusters", [200, 200, 200, 200, 200, 401]),
        (Method::POST, "etcd-replicators", [201, 409, 403, 403, 500, 401]),
        (Method::DELETE, "clusters/beta", [204, 404, 403, 403, 500, 401]),
    ];
    for (method, path, statuses) in cases {
        for (caller, expected) in callers.iter().zip(statuses) {
            let (status, text) = send(&api, method.clone(), path, caller).await;
            assert_eq!(status.as_u16(), expected, "{method} {path} {caller:?}: {text}");
            match expected {
                403 => assert_eq!(text, r#"{"Code":4,"Message":"unauthorized to perform action"}"#),
                500 => {
                    assert_eq!(
                        text,
                        r#"{"Code":0,"Message":"unexpected error occurred during authorization"}"#
                    );
                }
                _ => {}
            }
        }
    }
}
