//! Qualified namespaces going in and coming out.

use bytes::Bytes;
use http::{Method, StatusCode};
use serde_json::json;

use crate::support::{World, check, entity};

const AT_ALPHA: &str = "/api/core/v2/namespaces/default@alpha/checks/disk";
const IN_ALPHA: &str = "/api/core/v2/namespaces/default/checks/disk";

#[tokio::test]
async fn an_item_of_a_remote_cluster_comes_out_qualified_and_otherwise_unchanged() {
    let world = World::new();
    world.put_check(&world.alpha, "disk").await;
    let own = world.direct(&world.alpha, IN_ALPHA).await;
    let expected = own.text().replace(r#""namespace":"default""#, r#""namespace":"default@alpha""#);
    assert_ne!(expected, own.text());
    for target in [AT_ALPHA, "/api/core/v2/namespaces/default%40alpha/checks/disk"] {
        let answer = world.get(target).await;
        answer.is(200, &expected);
        assert_eq!(answer.header("etag"), own.header("etag"));
    }
    assert!(world.local.requests().is_empty() && world.beta.requests().is_empty());
}

#[tokio::test]
async fn writes_reach_the_cluster_of_the_path_un_qualified() {
    let world = World::new();
    let qualified = check("default@alpha", "disk").to_string();
    let plain = check("default", "disk").to_string();
    for (method, target) in
        [(Method::PUT, AT_ALPHA), (Method::POST, "/api/core/v2/namespaces/default%40alpha/checks")]
    {
        world.call(Method::DELETE, AT_ALPHA, "").await;
        world.forget();
        let answer = world.call(method, target, qualified.clone()).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
        assert_eq!(world.requests().len(), 1);
        assert_eq!(world.alpha.requests()[0].body, plain);
    }
    let patched = world.call(Method::PATCH, AT_ALPHA, r#"{"interval":7}"#).await;
    assert_eq!(patched.status, StatusCode::OK, "{patched:?}");
    assert_eq!(patched.json()["metadata"]["namespace"], "default@alpha");
    assert_eq!(patched.json()["interval"], 7);
    assert_eq!(world.call(Method::DELETE, AT_ALPHA, "").await.status, StatusCode::NO_CONTENT);
    assert_eq!(world.get(AT_ALPHA).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn an_edit_that_changes_nothing_leaves_the_stored_object_as_it_was() {
    let world = World::new();
    world.put_check(&world.alpha, "disk").await;
    let key = "/sensu.io/checks/default/disk";
    let before = world.alpha.etcd_get(key).unwrap();
    let shown = world.get(AT_ALPHA).await.body;
    let written = world.call(Method::PUT, AT_ALPHA, shown).await;
    assert_eq!(written.status, StatusCode::CREATED, "{written:?}");
    assert_eq!(world.alpha.etcd_get(key).unwrap(), before);
}

#[tokio::test]
async fn an_item_of_a_list_can_be_written_back() {
    let world = World::new();
    world.put_check(&world.alpha, "disk").await;
    world.put_check(&world.local, "disk").await;
    let list = world.get("/api/core/v2/namespaces/default/checks").await.json();
    let items = list.as_array().unwrap();
    assert_eq!(items.len(), 2);
    world.forget();
    for item in items {
        let namespace = item["metadata"]["namespace"].as_str().unwrap();
        let target = format!("/api/core/v2/namespaces/{namespace}/checks/disk");
        let answer = world.call(Method::PUT, &target, item.to_string()).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    }
    for sensu in [&world.local, &world.alpha] {
        let body = sensu.requests()[0].body.clone();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert!(body.get("cluster").is_none(), "{body}");
        assert_eq!(body["metadata"]["namespace"], "default");
    }
}

#[tokio::test]
async fn all_other_bytes_of_a_body_survive() {
    let world = World::new();
    let sent = "{ \"interval\" : 60.0e0,\"zz\":[1e400, {\"namespace\":\"a@alpha\"}],\n \"cluster\":\"alpha\", \
        \"metadata\":{\"labels\":{\"namespace\":\"x@alpha\"} , \"namespace\" : \"default@alpha\",\"name\":\"disk\"}}";
    world.call(Method::PUT, AT_ALPHA, sent).await;
    let expected = sent.replace(" \"cluster\":\"alpha\",", "").replace("default@alpha", "default");
    let got = world.alpha.requests()[0].body.clone();
    let squeeze = |text: &str| text.replace([' ', '\n'], "");
    assert_eq!(squeeze(std::str::from_utf8(&got).unwrap()), squeeze(&expected));
}

#[tokio::test]
async fn path_and_body_must_name_the_same_cluster() {
    let world = World::new();
    let cases = [
        (AT_ALPHA, check("default@beta", "disk")),
        (AT_ALPHA, check("default", "disk")),
        (IN_ALPHA, check("default@alpha", "disk")),
        (IN_ALPHA, check("@alpha", "disk")),
        (IN_ALPHA, check("default@", "disk")),
        (AT_ALPHA, check("a@b@alpha", "disk")),
        ("/c/alpha/api/core/v2/namespaces/default/entities/a", entity("default@alpha", "a")),
    ];
    for (target, body) in cases {
        for method in [Method::PUT, Method::POST] {
            let answer = world.call(method, target, body.to_string()).await;
            assert_eq!((answer.status.as_u16(), &answer.json()["code"]), (400, &json!(1)), "{target} {body}");
        }
    }
    world.nothing_was_forwarded("mismatch");
    let same = world.call(Method::PUT, IN_ALPHA, check("default@local-cluster", "disk").to_string()).await;
    assert_eq!(same.status, StatusCode::CREATED, "{same:?}");
    assert_eq!(world.local.requests()[0].body, check("default", "disk").to_string());
}

#[tokio::test]
async fn namespaces_are_created_read_and_deleted_by_their_qualified_name() {
    let world = World::new();
    let created = world.call(Method::POST, "/api/core/v2/namespaces", r#"{"name":"ops@alpha"}"#).await;
    assert!(created.status.is_success(), "{created:?}");
    assert_eq!(world.alpha.requests()[0].body, r#"{"name":"ops"}"#);
    assert!(world.local.requests().is_empty());
    let one = "/api/core/v2/namespaces/ops@alpha";
    world.get(one).await.is(200, r#"{"name":"ops@alpha"}"#);
    let put = world.call(Method::PUT, one, r#"{"name":"ops@alpha"}"#).await;
    assert!(put.status.is_success(), "{put:?}");
    assert_eq!(world.get("/api/core/v2/namespaces/ops").await.status, StatusCode::NOT_FOUND);
    assert_eq!(world.call(Method::DELETE, one, "").await.status, StatusCode::NO_CONTENT);
    assert_eq!(world.get(one).await.status, StatusCode::NOT_FOUND);
    world.forget();
    let unknown = world.call(Method::POST, "/api/core/v2/namespaces", r#"{"name":"ops@nobody"}"#).await;
    unknown.is(404, r#"{"message":"cluster \"nobody\" is not registered","code":2}"#);
    let other = world.call(Method::PUT, "/api/core/v2/namespaces/ops@alpha", r#"{"name":"ops@beta"}"#).await;
    assert_eq!(other.status, StatusCode::BAD_REQUEST);
    world.nothing_was_forwarded("unknown or other cluster");
}

#[tokio::test]
async fn a_namespace_is_not_written_under_another_name_than_its_paths() {
    let world = World::new();
    for target in ["/api/core/v2/namespaces/ops", "/api/core/v2/namespaces/ops@alpha"] {
        let cluster = if target.ends_with("alpha") { "@alpha" } else { "" };
        let answer = world.call(Method::PUT, target, format!(r#"{{"name":"other{cluster}"}}"#)).await;
        assert!(answer.status.is_client_error(), "{target}: {answer:?}");
    }
    for sensu in world.sensus() {
        assert!(sensu.etcd_get("/sensu.io/namespaces/other").is_none());
    }
}

#[tokio::test]
async fn an_entity_that_says_it_lives_elsewhere_is_refused_on_every_path() {
    let world = World::new();
    let spellings = [
        entity("other", "a").to_string(),
        entity("default", "b").to_string(),
        r#"{"entity_class":"proxy","Metadata":{"Namespace":"other","name":"a"}}"#.to_owned(),
        r#"{"entity_class":"proxy","metadata":{"namespace":"default","name":"a"},"METADATA":{"namespace":"other"}}"#.to_owned(),
        r#"{"entity_class":"proxy","metadata":{"namespace":"default","name":"a","nameſpace":"other"}}"#.to_owned(),
        r#"{"entity_class":"proxy","metadata":{"namespace":"default","namespace":"other","name":"a"}}"#.to_owned(),
        r#"{"entity_class":"proxy","metadata":{"\u006eamespace":"other","name":"a"}}"#.to_owned(),
        r#"{"entity_class":"proxy","metadata":{"namespace":"default","name":"a","NAME":"b"}}"#.to_owned(),
    ];
    for prefix in ["", "/c/alpha", "/c/~"] {
        let target = format!("{prefix}/api/core/v2/namespaces/default/entities/a");
        for body in &spellings {
            let answer = world.call(Method::PUT, &target, body.clone()).await;
            assert_eq!((answer.status.as_u16(), &answer.json()["code"]), (400, &json!(1)), "{target} {body}");
        }
    }
    let qualified = world.call(
        Method::PUT,
        "/api/core/v2/namespaces/default@alpha/entities/a",
        r#"{"metadata":{"namespace":"default@alpha","name":"a"},"Metadata":{"namespace":"other@alpha"}}"#,
    );
    assert_eq!(qualified.await.status, 400);
    world.nothing_was_forwarded("entities");
    let good = world.call(
        Method::PUT,
        "/api/core/v2/namespaces/default@alpha/entities/a",
        entity("default@alpha", "a").to_string(),
    );
    let good = good.await;
    assert_eq!(good.json()["metadata"]["namespace"], "default@alpha", "{good:?}");
    assert!(world.alpha.etcd_get("/sensu.io/entity_configs/default/a").is_some());
}

#[tokio::test]
async fn events_are_rewritten_in_entity_and_check() {
    let world = World::new();
    let event = |namespace: &str| json!({"entity": entity(namespace, "host"), "check": check(namespace, "disk"), "metadata": {"namespace": namespace}});
    let target = "/api/core/v2/namespaces/default@alpha/events/host/disk";
    let written = world.call(Method::PUT, target, event("default@alpha").to_string()).await;
    assert!(written.status.is_success(), "{written:?}");
    assert_eq!(world.alpha.requests()[0].body, event("default").to_string());
    let read = world.get(target).await.json();
    for pointer in ["/metadata/namespace", "/entity/metadata/namespace", "/check/metadata/namespace"] {
        assert_eq!(read.pointer(pointer).unwrap(), "default@alpha", "{pointer}");
    }
    let again = world.call(Method::PUT, target, read.to_string()).await;
    assert!(again.status.is_success(), "{again:?}");
    world.forget();
    let mut mixed = event("default@alpha");
    mixed["entity"]["metadata"]["namespace"] = "other@alpha".into();
    assert_eq!(world.call(Method::PUT, target, mixed.to_string()).await.status, 400);
    let raw = world.call(
        Method::POST,
        "/c/alpha/api/core/v2/namespaces/default/events",
        event("other").to_string(),
    );
    assert_eq!(raw.await.status, 400);
    world.nothing_was_forwarded("events");
}

#[tokio::test]
async fn an_error_of_a_remote_cluster_is_its_own_bytes() {
    let world = World::new();
    let own = world.direct(&world.alpha, IN_ALPHA).await;
    world.get(AT_ALPHA).await.is(404, own.text());
    let nobody =
        world.keys.mint(&crate::support::claims("nobody", &["system:users"], crate::support::now() + 60));
    let mut request = world.request(Method::GET, AT_ALPHA, Bytes::new());
    request.headers_mut().insert("authorization", format!("Bearer {nobody}").parse().unwrap());
    world.send(request).await.is(403, r#"{"Code":4,"Message":"unauthorized to perform action"}"#);
}
