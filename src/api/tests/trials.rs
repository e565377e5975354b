use std::{sync::Arc, time::Duration};

use http::{Method, StatusCode};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::{Rig, admin, cluster_body, replicator_body, viewer};
use crate::{
    api::{Api, Found, Tried},
    authz::{Authorizer, AuthzError, Mode, Verb},
    registry::resource::Checked,
    types::{Backend, Principal, Spec},
};

/// A rig where every host but `dead` answers, and what was tried.
fn trying() -> (Rig, Arc<Mutex<Vec<String>>>) {
    let tried = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&tried);
    let mut rig = Rig::new();
    rig.api = rig.api.with_trials(Arc::new(move |checked: Checked| {
        seen.lock().push(checked.resource.metadata.name.clone());
        let backends = match checked.spec {
            Spec::Cluster(spec) => spec.backends,
            Spec::EtcdReplicator(spec) => spec.endpoints,
            Spec::Replicator(_) => Vec::new(),
        };
        Box::pin(async move { backends.into_iter().map(outcome).collect() })
    }));
    (rig, tried)
}

fn outcome(backend: Backend) -> Tried {
    let found = Found { version: "6.12.0".to_owned(), latency: Duration::from_micros(1_540) };
    let result = match backend.to_string() {
        url if url.contains("dead") => Err("unreachable: connection refused".to_owned()),
        _ => Ok(found),
    };
    Tried { backend, result }
}

#[tokio::test]
async fn a_test_says_of_each_backend_how_it_is_and_stores_nothing() {
    let (rig, _) = trying();
    let body = cluster_body("alpha", &["https://a:8080", "http://dead:8080"]);
    let answer = rig.call(Method::POST, "clusters/alpha/test", &body).await;
    let expected = json!({
        "ok": false,
        "backends": [
            {"url": "https://a:8080", "state": "up", "version": "6.12.0", "error": null, "latency_ms": 1.5},
            {"url": "http://dead:8080", "state": "down", "version": null,
             "error": "unreachable: connection refused", "latency_ms": null},
        ],
        "warnings": ["http://dead:8080 is spoken to in plain HTTP"],
    });
    assert_eq!((answer.status, answer.json()), (StatusCode::OK, expected));
    assert_eq!(rig.get("clusters/alpha").await.status, StatusCode::NOT_FOUND);
    let answer =
        rig.call(Method::POST, "clusters/alpha/test", &cluster_body("alpha", &["https://a:8080"])).await;
    assert_eq!(answer.json()["ok"], true);
}

#[tokio::test]
async fn a_test_refuses_what_a_write_refuses_and_tries_nothing() {
    let (rig, tried) = trying();
    let spec = |resource: &str| json!({"url": "https://a:2379", "resource": resource});
    rig.call(Method::PUT, "etcd-replicators/r", &replicator_body("r", &spec("Role"))).await;
    for (path, body) in [
        ("clusters/alpha", cluster_body("alpha", &["https://a/path"])),
        ("clusters/alpha", cluster_body("beta", &["https://a:8080"])),
        ("clusters/alpha", json!({"type": "Cluster"})),
        ("clusters/gamma", cluster_body("gamma", &["https://a:8080"])),
        ("clusters/local-cluster", cluster_body("local-cluster", &["https://a:8080"])),
        ("etcd-replicators/r", replicator_body("r", &spec("ClusterRole"))),
        ("etcd-replicators/s", replicator_body("s", &spec("Nothing"))),
    ] {
        let put = rig.call(Method::PUT, path, &body).await;
        let test = rig.call(Method::POST, &format!("{path}/test"), &body).await;
        assert!(put.status.is_client_error(), "{put:?}");
        assert_eq!((test.status, test.body), (put.status, put.body), "{path}");
    }
    assert!(tried.lock().is_empty());
}

#[tokio::test]
async fn who_may_not_write_may_not_have_the_gateway_connect_anywhere() {
    let (rig, tried) = trying();
    for path in ["clusters/alpha/test", "etcd-replicators/r/test"] {
        let answer = rig.send(&viewer(), Method::POST, path, &[], b"{}").await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN);
        for method in [Method::GET, Method::PUT, Method::DELETE] {
            let answer = rig.send(&admin(), method, path, &[], b"{}").await;
            assert_eq!((answer.status, answer.header("allow")), (StatusCode::METHOD_NOT_ALLOWED, "POST"));
        }
    }
    for path in ["clusters/test", "clusters//test", "clusters/a/b/test"] {
        let answer = rig.send(&admin(), Method::POST, path, &[], b"{}").await;
        assert!([StatusCode::METHOD_NOT_ALLOWED, StatusCode::NOT_FOUND].contains(&answer.status), "{path}");
    }
    assert!(tried.lock().is_empty());
}

#[tokio::test]
async fn a_backend_of_another_cluster_is_warned_of() {
    let (rig, _) = trying();
    let url = "https://local-cluster.example.com:8080";
    let answer = rig.call(Method::POST, "clusters/alpha/test", &cluster_body("alpha", &[url])).await;
    let warning = format!("{url} is also of cluster local-cluster: everything in it will be listed twice");
    assert_eq!(answer.json()["warnings"], json!([warning]));
}

#[tokio::test]
async fn few_tests_run_at_once_and_the_others_are_told_to_wait() {
    let gate = Arc::new(Semaphore::new(0));
    let closed = Arc::clone(&gate);
    let mut rig = Rig::new();
    rig.api = rig.api.with_trials(Arc::new(move |_| {
        let closed = Arc::clone(&closed);
        Box::pin(async move {
            let _ = closed.acquire().await;
            Vec::new()
        })
    }));
    let rig = Arc::new(rig);
    let body = cluster_body("alpha", &["https://a:8080"]);
    let test = async |rig: Arc<Rig>, body: Value| rig.call(Method::POST, "clusters/alpha/test", &body).await;
    let running: Vec<_> = (0..4).map(|_| tokio::spawn(test(Arc::clone(&rig), body.clone()))).collect();
    tokio::task::yield_now().await;
    let refused = loop {
        tokio::select! {
            biased;
            answer = test(Arc::clone(&rig), body.clone()) => break answer,
            () = tokio::task::yield_now() => {}
        }
    };
    assert_eq!(
        (refused.status, refused.header("retry-after")),
        (StatusCode::SERVICE_UNAVAILABLE, "5"),
        "{refused:?}"
    );
    gate.add_permits(4);
    for answer in running {
        // Nothing was found that works.
        assert_eq!(answer.await.unwrap().json()["ok"], false);
    }
    assert_eq!(test(rig, body).await.status, StatusCode::OK);
}

#[tokio::test]
async fn everybody_is_told_what_they_may_change() {
    let rig = Rig::new();
    let all = ["create", "update", "delete"];
    let answer = rig.call(Method::GET, "permissions", &Value::Null).await;
    assert_eq!(answer.json(), json!({"clusters": all, "replicators": all, "etcd-replicators": all}));
    let answer = rig.get("permissions").await;
    assert_eq!(answer.json(), json!({"clusters": [], "replicators": [], "etcd-replicators": []}));
    let mut rig = rig;
    rig.api = Api { authorizer: Arc::new(OfSomeNames), ..rig.api };
    assert_eq!(
        rig.get("permissions").await.json(),
        json!({"clusters": ["create"], "replicators": [], "etcd-replicators": [],
            "names": {"clusters": {"update": ["alpha", "a%3Ab"]}}})
    );
    let answer = rig.call(Method::PUT, "permissions", &Value::Null).await;
    assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
}

/// May create any cluster, and update two.
struct OfSomeNames;

impl Authorizer for OfSomeNames {
    fn decide(&self, _: &Principal, verb: Verb, resource: &str, name: &str) -> Result<bool, AuthzError> {
        Ok(resource == "clusters" && verb == Verb::Create && name.is_empty())
    }

    fn names(&self, _: &Principal, verb: Verb, resource: &str) -> Result<Vec<String>, AuthzError> {
        assert_ne!(verb, Verb::Create);
        let names = ["alpha", "a%3Ab"].map(str::to_owned);
        Ok(if resource == "clusters" && verb == Verb::Update { names.to_vec() } else { Vec::new() })
    }

    fn mode(&self) -> Mode {
        Mode::Rbac
    }
}
