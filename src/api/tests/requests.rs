use std::sync::Arc;

use http::{Method, StatusCode, header};
use serde_json::{Value, json};

use super::{Rig, admin, cluster_body, replicator_body, rigs, user, viewer};
use crate::{
    api::{Api, MAX_BODY},
    authz::{AdminGroups, Authorizer, AuthzError, Mode, Verb},
    registry::{Health, MemoryStore, Precondition, Store},
    telemetry::Capture,
    types::{Caller, Principal},
};

const URL: &[&str] = &["https://a.example.com:8080"];

fn replicator(name: &str) -> Value {
    replicator_body(name, &json!({"url": "https://a:2379", "resource": "Role"}))
}

#[tokio::test]
async fn a_write_is_answered_as_sensu_does_and_routed_at_once() {
    let (_directory, rigs) = rigs();
    for rig in rigs {
        let put = rig.call(Method::PUT, "clusters/alpha", &cluster_body("alpha", URL)).await;
        assert_eq!((put.status, put.body.as_str()), (StatusCode::CREATED, ""));
        assert_eq!(rig.routed(), ["local-cluster", "alpha", "gamma"]);
        let got = rig.get("clusters/alpha").await;
        assert_eq!((got.status, got.header("content-type")), (StatusCode::OK, "application/json"));
        assert_eq!(got.header("etag"), put.header("etag"));
        let mut expected = cluster_body("alpha", URL);
        expected["metadata"]["created_by"] = json!("admin");
        assert_eq!(got.body, expected.to_string());
        let deleted = rig.call(Method::DELETE, "clusters/alpha", &Value::Null).await;
        assert_eq!((deleted.status, deleted.body.as_str()), (StatusCode::NO_CONTENT, ""));
        assert_eq!(rig.routed(), ["local-cluster", "gamma"]);
        let missing = rig.get("clusters/alpha").await;
        assert_eq!(missing.body, r#"{"message":"cluster alpha is not registered","code":2}"#);
        assert_eq!(missing.header("x-content-type-options"), "nosniff");
        assert_eq!(
            rig.call(Method::DELETE, "clusters/alpha", &Value::Null).await.status,
            StatusCode::NOT_FOUND
        );
    }
}

#[tokio::test]
async fn the_same_again_changes_no_version() {
    let rig = Rig::new();
    let first = rig.call(Method::PUT, "clusters/alpha", &cluster_body("alpha", URL)).await;
    let again = rig.call(Method::PUT, "clusters/alpha", &cluster_body("alpha", URL)).await;
    assert_eq!((again.status, again.header("etag")), (StatusCode::CREATED, first.header("etag")));
    let echoed = rig.get("clusters/alpha").await.json();
    let round_trip = rig.call(Method::PUT, "clusters/alpha", &echoed).await;
    assert_eq!(round_trip.header("etag"), first.header("etag"));
}

/// What a replicator's http exposes, and where, is in its status.
#[tokio::test]
async fn only_of_a_cluster_is_it_said_that_http_shows_tokens() {
    let log = Capture::default();
    let _guard = tracing::subscriber::set_default(
        tracing_subscriber::fmt().with_writer(log.clone()).with_ansi(false).finish(),
    );
    let rig = Rig::new();
    let spec = json!({"url": "http://127.0.0.1:2379", "resource": "Role"});
    let put = rig.call(Method::PUT, "etcd-replicators/r", &replicator_body("r", &spec)).await;
    assert_eq!(put.status, StatusCode::CREATED);
    assert!(!log.take().contains("plain HTTP"));
    let put = rig.call(Method::PUT, "clusters/a", &cluster_body("a", &["http://a:8080"])).await;
    assert_eq!(put.status, StatusCode::CREATED);
    assert!(log.take().contains("read the tokens kind=\"cluster\" name=\"a\""));
}

#[tokio::test]
async fn replicators_are_created_once_by_post() {
    let rig = Rig::new();
    assert_eq!(rig.get("etcd-replicators").await.body, "[]");
    let created = rig.call(Method::POST, "etcd-replicators", &replicator("r:1")).await;
    assert_eq!((created.status, created.body.as_str()), (StatusCode::CREATED, ""));
    let again = rig.call(Method::POST, "etcd-replicators", &replicator("r:1")).await;
    assert_eq!(again.status, StatusCode::CONFLICT);
    assert_eq!(again.body, r#"{"message":"etcd replicator r:1 exists already","code":3}"#);
    assert_eq!(rig.get("etcd-replicators/r%3A1").await.header("etag"), created.header("etag"));
    let changed = replicator_body("r:1", &json!({"url": "https://a:2379", "resource": "User"}));
    let refused = rig.call(Method::PUT, "etcd-replicators/r:1", &changed).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert!(refused.body.contains("spec.resource: cannot change from Role to User"), "{}", refused.body);
}

#[tokio::test]
async fn other_methods_and_paths_are_refused() {
    let rig = Rig::new();
    let cases = [
        (Method::POST, "clusters", 405, "GET, HEAD"),
        (Method::PUT, "clusters", 405, "GET, HEAD"),
        (Method::DELETE, "etcd-replicators", 405, "GET, HEAD, POST"),
        (Method::POST, "clusters/alpha", 405, "GET, HEAD, PUT, DELETE"),
        (Method::PATCH, "etcd-replicators/a", 405, "GET, HEAD, PUT, DELETE"),
        (Method::GET, "", 404, ""),
        (Method::GET, "members", 404, ""),
        (Method::GET, "clusters/a/b", 404, ""),
        (Method::GET, "clusters/%ff", 404, ""),
        (Method::GET, "clusters/a%2Fb", 404, ""),
    ];
    for (method, path, status, allow) in cases {
        let answer = rig.call(method.clone(), path, &cluster_body("alpha", URL)).await;
        assert_eq!(answer.status.as_u16(), status, "{method} {path}");
        if status == 405 {
            assert_eq!((answer.header("allow"), answer.body.as_str()), (allow, ""));
        }
    }
}

#[tokio::test]
async fn a_bad_body_names_its_field() {
    let rig = Rig::new();
    let spec = |spec: Value| json!({"type": "Cluster", "api_version": "federation/v1", "metadata": {"name": "alpha"}, "spec": spec});
    let cases = [
        (json!("x"), "body: "),
        (cluster_body("beta", URL), "metadata.name: "),
        (replicator("alpha"), "type: "),
        (spec(json!({"api_urls": ["https://a/x"]})), "spec.api_urls[0]: "),
        (
            spec(json!({"api_urls": URL, "ca_cert": "/root/ca.pem"})),
            "spec.ca_cert: cannot be read on the gateway",
        ),
        (
            spec(json!({"api_urls": URL, "cert": "/etc/sensu/c.pem", "key": "/root/k.pem"})),
            "spec.key: cannot be read on the gateway",
        ),
    ];
    for (body, start) in cases {
        let answer = rig.call(Method::PUT, "clusters/alpha", &body).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{body}");
        let error = answer.json();
        assert_eq!(error["code"], 1);
        assert!(error["message"].as_str().unwrap().starts_with(start), "{error}");
    }
    let large = rig.send(&admin(), Method::PUT, "clusters/alpha", &[], &vec![b' '; MAX_BODY + 1]).await;
    assert_eq!(large.status, StatusCode::PAYLOAD_TOO_LARGE);
    let not_json = rig.send(&admin(), Method::PUT, "clusters/alpha", &[], b"api_urls: []").await;
    assert_eq!(not_json.status, StatusCode::BAD_REQUEST);
    assert_eq!(rig.routed(), ["local-cluster", "gamma"]);
}

#[tokio::test]
async fn of_two_editors_the_second_learns_of_the_first() {
    let (_directory, rigs) = rigs();
    for rig in rigs {
        rig.call(Method::PUT, "clusters/alpha", &cluster_body("alpha", URL)).await;
        let seen = rig.get("clusters/alpha").await;
        let seen = [(header::IF_MATCH, seen.header("etag"))];
        let edit = async |url: &str| {
            let body = cluster_body("alpha", &[url]).to_string();
            rig.send(&admin(), Method::PUT, "clusters/alpha", &seen, body.as_bytes()).await
        };
        assert_eq!(edit("https://first").await.status, StatusCode::CREATED);
        let second = edit("https://second").await;
        assert_eq!((second.status, &second.json()["code"]), (StatusCode::PRECONDITION_FAILED, &json!(7)));
        let deleted = rig.send(&admin(), Method::DELETE, "clusters/alpha", &seen, b"").await;
        assert_eq!(deleted.status, StatusCode::PRECONDITION_FAILED);
        assert_eq!(rig.get("clusters/alpha").await.json()["spec"]["api_urls"], json!(["https://first"]));

        let only_new = [(header::IF_NONE_MATCH, "*")];
        for (name, status) in [("alpha", StatusCode::PRECONDITION_FAILED), ("beta", StatusCode::CREATED)] {
            let body = cluster_body(name, URL).to_string();
            let path = format!("clusters/{name}");
            let put = rig.send(&admin(), Method::PUT, &path, &only_new, body.as_bytes()).await;
            assert_eq!(put.status, status);
        }
        let broken = [(header::IF_MATCH, "unquoted")];
        let body = cluster_body("a", URL).to_string();
        let put = rig.send(&admin(), Method::PUT, "clusters/a", &broken, body.as_bytes()).await;
        assert_eq!(put.status, StatusCode::BAD_REQUEST);
    }
}

#[tokio::test]
async fn concurrent_edits_from_one_version_have_one_winner() {
    let (_directory, rigs) = rigs();
    for rig in rigs {
        let put = rig.call(Method::PUT, "clusters/alpha", &cluster_body("alpha", URL)).await;
        let tag = put.header("etag");
        let edit = |n: usize| {
            let rig = &rig;
            async move {
                let body = cluster_body("alpha", &[&format!("https://h{n}")]).to_string();
                let conditions = [(header::IF_MATCH, tag)];
                rig.send(&admin(), Method::PUT, "clusters/alpha", &conditions, body.as_bytes()).await.status
            }
        };
        let statuses = futures::future::join_all((0..10).map(edit)).await;
        assert_eq!(statuses.iter().filter(|status| **status == StatusCode::CREATED).count(), 1);
        assert_eq!(statuses.iter().filter(|status| **status == StatusCode::PRECONDITION_FAILED).count(), 9);
    }
}

#[tokio::test]
async fn configured_clusters_are_listed_and_cannot_be_changed() {
    let rig = Rig::new();
    let listed = rig.get("clusters").await.json();
    assert_eq!(listed.as_array().unwrap().len(), 1, "the local cluster is not registered");
    assert_eq!(listed[0]["metadata"], json!({"name": "gamma", "labels": {"fedgate/source": "config"}}));
    let got = rig.get("clusters/gamma").await;
    assert_eq!(got.json(), listed[0]);
    assert!(got.header("etag").starts_with('"'));
    assert_eq!(rig.get("clusters/local-cluster").await.status, StatusCode::NOT_FOUND);
    for (name, key) in [("gamma", "under clusters"), ("local-cluster", "under local-cluster")] {
        let path = format!("clusters/{name}");
        for method in [Method::PUT, Method::DELETE] {
            let answer = rig.call(method, &path, &cluster_body(name, URL)).await;
            assert_eq!(answer.status, StatusCode::CONFLICT);
            assert!(
                answer.body.contains("configuration file") && answer.body.contains(key),
                "{}",
                answer.body
            );
        }
    }
    let replicator = rig.call(Method::PUT, "etcd-replicators/gamma", &replicator("gamma")).await;
    assert_eq!(replicator.status, StatusCode::CREATED, "another kind, another name");
}

#[tokio::test]
async fn lists_page_by_name() {
    let rig = Rig::new();
    for name in ["beta", "alpha", "zeta"] {
        rig.call(Method::PUT, &format!("clusters/{name}"), &cluster_body(name, URL)).await;
    }
    let mut names = Vec::new();
    let mut target = "clusters?limit=3".to_owned();
    loop {
        let page = rig.get(&target).await;
        let items = page.json();
        names.extend(items.as_array().unwrap().iter().map(|item| item["metadata"]["name"].clone()));
        let Some(next) = page.headers.get("sensu-continue") else { break };
        target = format!("clusters?limit=3&continue={}", next.to_str().unwrap());
    }
    assert_eq!(names, ["alpha", "beta", "gamma", "zeta"]);
    assert!(!rig.get("clusters?limit=4").await.headers.contains_key("sensu-continue"));
    let sensus_own = "continue=YWxwaGEA";
    for bad in ["limit=-1", "limit=%2D1", "limit=x", "limit=", "continue=a", "continue=%ff", sensus_own] {
        let answer = rig.get(&format!("clusters?{bad}")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{bad}");
    }
    assert_eq!(rig.get("clusters?limit=0").await.json().as_array().unwrap().len(), 4);
}

#[tokio::test]
async fn writes_between_two_pages_repeat_nothing_and_skip_nothing() {
    let rig = Rig::new();
    for name in ["b", "d", "f"] {
        rig.call(Method::PUT, &format!("clusters/{name}"), &cluster_body(name, URL)).await;
    }
    let first = rig.get("clusters?limit=2").await;
    assert_eq!(first.names(), ["b", "d"]);
    let rest = format!("clusters?limit=9&continue={}", first.header("sensu-continue"));
    for name in ["a", "e"] {
        rig.call(Method::PUT, &format!("clusters/{name}"), &cluster_body(name, URL)).await;
    }
    rig.call(Method::DELETE, "clusters/d", &json!(null)).await;
    assert_eq!(rig.get(&rest).await.names(), ["e", "f", "gamma"]);
}

#[tokio::test]
async fn tokens_of_another_list_or_store_are_refused() {
    let (rig, other) = (Rig::new(), Rig::new());
    let mut tokens = Vec::new();
    for rig in [&rig, &other] {
        rig.call(Method::PUT, "clusters/alpha", &cluster_body("alpha", URL)).await;
        tokens.push(rig.get("clusters?limit=1").await.header("sensu-continue").to_owned());
    }
    let ask = |list: &'static str, token: &str| format!("{list}?continue={token}");
    assert_eq!(rig.get(&ask("clusters", &tokens[0])).await.names(), ["gamma"]);
    let mut changed = tokens[0].clone();
    changed.replace_range(20..21, if &changed[20..21] == "A" { "B" } else { "A" });
    for refused in
        [ask("clusters", &tokens[1]), ask("clusters", &changed), ask("etcd-replicators", &tokens[0])]
    {
        let answer = rig.get(&refused).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{refused}");
        assert_eq!(answer.json()["code"], 1);
    }
}

#[tokio::test]
async fn without_the_stores_secret_there_are_no_pages() {
    let store = MemoryStore::new();
    store
        .put("clusters/alpha", cluster_body("alpha", URL).to_string().into(), Precondition::Any)
        .await
        .unwrap();
    store.break_down("no disk");
    let rig = Rig::over(Arc::new(store));
    rig.views.registry.clone().wait_for(|view| matches!(view.health(), Health::Down { .. })).await.unwrap();
    assert_eq!(rig.get("clusters").await.names(), ["alpha", "gamma"]);
    assert_eq!(rig.get("clusters?limit=2").await.names(), ["alpha", "gamma"]);
    for paged in ["clusters?limit=1", "clusters?continue=x"] {
        let answer = rig.get(paged).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{paged}");
        assert_eq!(answer.header("retry-after"), "5");
    }
}

#[tokio::test]
async fn the_secret_is_no_resource() {
    let rig = Rig::new();
    rig.views.registry.clone().wait_for(|view| view.secret().is_some()).await.unwrap();
    for method in [Method::GET, Method::PUT, Method::DELETE] {
        for path in ["secrets", "secrets/continue", "clusters/..%2Fsecrets%2Fcontinue"] {
            let answer = rig.call(method.clone(), path, &cluster_body("continue", URL)).await;
            assert!(answer.status.is_client_error(), "{method} {path}: {answer:?}");
        }
    }
    assert_eq!(rig.get("clusters").await.names(), ["gamma"]);
    assert!(rig.get("etcd-replicators").await.names().is_empty());
}

#[tokio::test]
async fn everybody_reads_and_only_admins_write() {
    let rig = Rig::new();
    assert_eq!(rig.get("clusters").await.status, StatusCode::OK);
    let body = cluster_body("alpha", URL).to_string();
    for method in [Method::PUT, Method::DELETE] {
        let refused = rig.send(&viewer(), method, "clusters/alpha", &[], body.as_bytes()).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN);
        assert_eq!(refused.body, r#"{"Code":4,"Message":"unauthorized to perform action"}"#);
        assert!(!refused.headers.contains_key("x-content-type-options"));
    }
    let refused = rig.send(&viewer(), Method::PUT, "clusters/gamma", &[], b"nonsense").await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN, "nothing else is disclosed");
    for caller in [Caller::Anonymous, Caller::ApiKey] {
        let refused = rig.send(&caller, Method::GET, "clusters", &[], b"").await;
        assert_eq!((refused.status, &refused.json()["Code"]), (StatusCode::UNAUTHORIZED, &json!(5)));
    }
}

#[tokio::test]
async fn rules_are_asked_in_sensus_words() {
    struct Rule(&'static str);
    impl Authorizer for Rule {
        fn decide(
            &self,
            who: &Principal,
            verb: Verb,
            resource: &str,
            name: &str,
        ) -> Result<bool, AuthzError> {
            Ok(format!("{} {verb} {resource} {name}", who.subject) == self.0)
        }

        fn mode(&self) -> Mode {
            Mode::Rbac
        }
    }
    let cases = [
        (Method::PUT, "clusters/alpha", "ann update clusters alpha"),
        (Method::DELETE, "clusters/alpha", "ann delete clusters alpha"),
        (Method::POST, "etcd-replicators", "ann create etcd-replicators "),
        (Method::DELETE, "etcd-replicators/a%3Ab", "ann delete etcd-replicators a%3Ab"),
    ];
    for (method, path, rule) in cases {
        let mut rig = Rig::new();
        for (authorizer, is_allowed) in
            [(Arc::new(Rule(rule)) as Arc<dyn Authorizer>, true), (Arc::new(AdminGroups(Vec::new())), false)]
        {
            rig.api = Api { authorizer, ..rig.api };
            let answer = rig.send(&user("ann", "dev"), method.clone(), path, &[], b"{}").await;
            assert_eq!(answer.status != StatusCode::FORBIDDEN, is_allowed, "{method} {path}");
        }
    }
}

#[tokio::test]
async fn the_author_is_the_caller_whatever_the_body_says() {
    let rig = Rig::new();
    let mut body = cluster_body("alpha", URL);
    body["metadata"]["created_by"] = json!("somebody");
    let bob = user("bob", "cluster-admins");
    rig.send(&bob, Method::PUT, "clusters/alpha", &[], body.to_string().as_bytes()).await;
    assert_eq!(rig.get("clusters/alpha").await.json()["metadata"]["created_by"], "bob");
}

#[tokio::test]
async fn two_administrators_who_want_the_same_do_not_take_turns() {
    for rig in rigs().1 {
        let body = cluster_body("alpha", URL).to_string();
        let put = async |name: &str, body: &str| {
            let who = user(name, "cluster-admins");
            let answer = rig.send(&who, Method::PUT, "clusters/alpha", &[], body.as_bytes()).await;
            assert_eq!(answer.status, StatusCode::CREATED);
            answer.header("etag").to_owned()
        };
        let first = put("ann", &body).await;
        assert_eq!(put("bob", &body).await, first, "written again");
        assert_eq!(rig.get("clusters/alpha").await.json()["metadata"]["created_by"], "ann");
        let other = cluster_body("alpha", &["https://other"]).to_string();
        assert_ne!(put("bob", &other).await, first);
        assert_eq!(rig.get("clusters/alpha").await.json()["metadata"]["created_by"], "bob");
    }
}

#[tokio::test]
async fn with_the_store_down_reads_go_on_and_writes_say_so() {
    let store = MemoryStore::new();
    let rig = Rig::over(Arc::new(store.clone()));
    rig.call(Method::PUT, "clusters/alpha", &cluster_body("alpha", URL)).await;
    let before = rig.get("clusters/alpha").await;
    store.break_down("no quorum");
    for wait in [false, true] {
        if wait {
            let mut registry = rig.views.registry.clone();
            registry.wait_for(|view| matches!(view.health(), Health::Down { .. })).await.unwrap();
        }
        let got = rig.get("clusters/alpha").await;
        assert_eq!((got.body, &got.headers["etag"]), (before.body.clone(), &before.headers["etag"]));
        assert_eq!(rig.get("clusters").await.json().as_array().unwrap().len(), 2);
        for method in [Method::PUT, Method::DELETE] {
            let refused = rig.call(method, "clusters/alpha", &cluster_body("alpha", URL)).await;
            assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
            assert!(refused.body.contains("cannot be written at present"), "{}", refused.body);
            assert!(!refused.body.contains("quorum"), "an inner error's text");
            assert_eq!(refused.header("retry-after"), "5");
        }
    }
    let bad = rig.call(Method::PUT, "clusters/alpha", &json!({})).await;
    assert_eq!(bad.status, StatusCode::BAD_REQUEST, "bad input is reported first");
    store.recover();
    let put = rig.call(Method::PUT, "clusters/beta", &cluster_body("beta", URL)).await;
    assert_eq!(put.status, StatusCode::CREATED);
}
