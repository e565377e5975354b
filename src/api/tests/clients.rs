//! The requests of the Ansible collection and the Puppet module, with what they make of the answers.

use http::{HeaderMap, Method, StatusCode, header};
use serde_json::{Value, json};

use super::{Answer, Rig, cluster_body, replicator_body, rigs};

/// Everything stored, with versions: what a second run must leave alone.
fn fingerprint(rig: &Rig) -> (u64, Vec<String>) {
    (rig.views.registry.borrow().revision(), rig.routed())
}

// The Ansible collection: GET one; PUT when anything that is sent differs; GET again.

fn ansible_read(answer: &Answer) -> Option<Value> {
    match answer.status {
        StatusCode::NOT_FOUND => None,
        StatusCode::OK => Some(answer.json()).filter(Value::is_object).or_else(|| panic!("not an object")),
        status => panic!("{status}"),
    }
}

/// A key that is missing differs from every value; of the metadata only the author may be more than was sent.
fn ansible_differs(sent: &Value, found: &Value) -> bool {
    let spec_differs =
        sent["spec"].as_object().unwrap().iter().any(|(key, value)| found["spec"].get(key) != Some(value));
    let mut metadata = found["metadata"].clone();
    metadata.as_object_mut().unwrap().remove("created_by");
    spec_differs || metadata != sent["metadata"]
}

async fn ansible_present(rig: &Rig, path: &str, body: &Value) -> bool {
    let found = ansible_read(&rig.get(path).await);
    if found.is_some_and(|found| !ansible_differs(body, &found)) {
        return false;
    }
    let written = rig.call(Method::PUT, path, body).await;
    assert!(matches!(written.status, StatusCode::OK | StatusCode::CREATED), "{written:?}");
    let found = ansible_read(&rig.get(path).await).unwrap();
    assert!(!ansible_differs(body, &found), "{found}");
    true
}

async fn ansible_absent(rig: &Rig, path: &str) -> bool {
    if ansible_read(&rig.get(path).await).is_none() {
        return false;
    }
    assert_eq!(rig.call(Method::DELETE, path, &Value::Null).await.status, StatusCode::NO_CONTENT);
    true
}

fn ansible_replicator() -> Value {
    let spec = json!({
        "ca_cert": "/etc/sensu/ca.pem",
        "cert": "/etc/sensu/cert.pem",
        "key": "/etc/sensu/key.pem",
        "insecure": false,
        "api_version": "core/v2",
        "resource": "CheckConfig",
        "namespace": "default",
        "replication_interval_seconds": 30,
        "url": "https://b.example.com:2379,https://a.example.com:2379",
    });
    replicator_body("demo", &spec)
}

#[tokio::test]
async fn ansible_runs_twice_and_changes_nothing_the_second_time() {
    let (_directory, rigs) = rigs();
    for rig in rigs {
        let cluster = cluster_body("alpha", &["https://b.example.com:8080", "https://a.example.com:8080"]);
        let insecure = json!({
            "insecure": true, "api_version": "core/v2", "resource": "Role", "replication_interval_seconds": 10,
            "url": "http://a.example.com:2379",
        });
        let tasks = [
            ("clusters/alpha", cluster),
            ("etcd-replicators/demo", ansible_replicator()),
            ("etcd-replicators/plain", replicator_body("plain", &insecure)),
        ];
        for (path, body) in &tasks {
            assert!(ansible_present(&rig, path, body).await, "{path}: created");
        }
        let after_first = fingerprint(&rig);
        for (path, body) in &tasks {
            assert!(!ansible_present(&rig, path, body).await, "{path}: changed again");
        }
        assert_eq!(fingerprint(&rig), after_first);

        let listed = rig.get("clusters").await.json();
        assert!(listed.as_array().unwrap().iter().all(Value::is_object));
        let reordered = cluster_body("alpha", &["https://a.example.com:8080", "https://b.example.com:8080"]);
        assert!(ansible_present(&rig, "clusters/alpha", &reordered).await, "the order counts");
        for (path, _) in &tasks {
            assert!(ansible_absent(&rig, path).await, "{path}: deleted");
            assert!(!ansible_absent(&rig, path).await, "{path}: deleted again");
        }
    }
}

// The Puppet module: GET list; what is there is compared property by property; POST, PUT or DELETE.

async fn puppet_instances(rig: &Rig, collection: &str) -> Vec<Value> {
    let headers = [(header::CONTENT_TYPE, "application/json")];
    let listed = rig.send(&super::admin(), Method::GET, collection, &headers, b"").await;
    assert_eq!(listed.status, StatusCode::OK);
    let Value::Array(items) = listed.json() else { panic!("not an array") };
    assert!(items.iter().all(|item| item["metadata"]["name"].is_string() && item["spec"].is_object()));
    items
}

async fn puppet_apply(rig: &Rig, collection: &str, body: &Value) -> bool {
    let name = &body["metadata"]["name"];
    let path = format!("{collection}/{}", name.as_str().unwrap());
    let instances = puppet_instances(rig, collection).await;
    let found = instances.iter().find(|item| item["metadata"]["name"] == *name);
    // Puppet reads what is missing as unset, and sends null for that.
    let is_same = |found: &Value| {
        let spec = body["spec"].as_object().unwrap();
        spec.iter().all(|(key, value)| found["spec"].get(key).unwrap_or(&Value::Null) == value)
    };
    let answer = match found {
        Some(found) if is_same(found) => return false,
        None if collection == "etcd-replicators" => rig.call(Method::POST, collection, body).await,
        _ => rig.call(Method::PUT, &path, body).await,
    };
    assert!(answer.status.is_success(), "{answer:?}");
    true
}

/// Adds a URL to a cluster, as one machine of it does.
async fn puppet_member(rig: &Rig, name: &str, url: &str) -> bool {
    let path = format!("clusters/{name}");
    let found = rig.get(&path).await;
    let mut urls = match found.status {
        StatusCode::NOT_FOUND => Vec::new(),
        _ => found.json()["spec"]["api_urls"].as_array().unwrap().clone(),
    };
    if urls.contains(&json!(url)) {
        return false;
    }
    urls.push(json!(url));
    let mut body = cluster_body(name, &[]);
    body["spec"]["api_urls"] = Value::Array(urls);
    assert_eq!(rig.call(Method::PUT, &path, &body).await.status, StatusCode::CREATED);
    true
}

#[tokio::test]
async fn puppet_runs_twice_and_changes_nothing_the_second_time() {
    let (_directory, rigs) = rigs();
    for rig in rigs {
        assert!(puppet_instances(&rig, "etcd-replicators").await.is_empty());
        let spec = json!({
            "ca_cert": "/etc/sensu/ca.pem", "cert": "/etc/sensu/cert.pem", "key": "/etc/sensu/key.pem",
            "insecure": false, "url": "https://a.example.com:2379", "api_version": "core/v2", "resource": "Role",
            "namespace": null, "replication_interval_seconds": 30,
        });
        let mut replicator = replicator_body("roles", &spec);
        let cluster = cluster_body("alpha", &["https://a.example.com:8080"]);
        assert!(puppet_apply(&rig, "etcd-replicators", &replicator).await);
        assert!(puppet_apply(&rig, "clusters", &cluster).await);
        assert!(puppet_member(&rig, "alpha", "https://b.example.com:8080").await);
        assert!(puppet_member(&rig, "beta", "https://c.example.com:8080").await);
        assert_eq!(rig.routed(), ["local-cluster", "alpha", "beta", "gamma"]);

        let after_first = fingerprint(&rig);
        assert!(!puppet_apply(&rig, "etcd-replicators", &replicator).await);
        assert!(!puppet_member(&rig, "alpha", "https://b.example.com:8080").await);
        assert!(!puppet_member(&rig, "beta", "https://c.example.com:8080").await);
        assert_eq!(fingerprint(&rig), after_first);

        replicator["spec"]["replication_interval_seconds"] = json!(60);
        assert!(puppet_apply(&rig, "etcd-replicators", &replicator).await, "changed by PUT");
        assert!(!puppet_apply(&rig, "etcd-replicators", &replicator).await);
        for path in ["etcd-replicators/roles", "clusters/alpha", "clusters/beta"] {
            let deleted = rig.call(Method::DELETE, path, &Value::Null).await;
            assert_eq!(deleted.status, StatusCode::NO_CONTENT);
            assert_eq!(deleted.headers.get(header::ETAG), HeaderMap::new().get(header::ETAG));
        }
        assert_eq!(rig.routed(), ["local-cluster", "gamma"]);
    }
}
