//! Whole requests over made-up clusters.

use std::{collections::HashMap, time::Duration};

use http::StatusCode;
use http_body::Body as _;
use http_body_util::BodyExt;
use serde_json::{Value as Json, json};
use tokio::time::Instant;

use super::{
    RAW,
    generate::{Generator, Pool},
    mock::Server,
    rewriting, schema,
    world::{Mood, SWITCHER, World, listed, names, says, user},
};
use crate::{
    graphql::GraphQlError,
    types::{Caller, FailureClass},
};

#[tokio::test(start_paused = true)]
async fn generated_operations_over_several_clusters_answer_as_each_cluster_would() {
    let world = World::new();
    let pool = Pool {
        namespaces: vec!["default", "a@alpha", "b@beta", "c@local-cluster", "d@gone"],
        ids: ["srn:checks:x:y", "srn:checks:x@alpha:y", "srn:events:x@beta:check/y"]
            .map(str::to_owned)
            .into(),
        ..rewriting::pool()
    };
    let roots = ["namespace", "event", "entity", "check", "handler", "node", "wrappedNode", "versions"];
    let schema = schema();
    for seed in 0..150 {
        let query = Generator::new(&RAW, &pool, seed).query(&roots);
        let (text, variables) = (query.text(""), query.variables(""));
        let mut expected = serde_json::Map::new();
        let all: HashMap<&str, Json> = ["local-cluster", "alpha", "beta"]
            .map(|cluster| {
                (cluster, Server { schema: &schema, cluster, qualified: true }.answer(&text, &variables))
            })
            .into();
        for (key, value) in all["local-cluster"].as_object().unwrap() {
            let placed = query.placed.iter().find(|(placed, _)| placed == key).map_or("", |(_, named)| named);
            let cluster =
                ["alpha", "beta"].into_iter().find(|cluster| placed.contains(&format!("@{cluster}")));
            let value = match cluster {
                Some(cluster) => all[cluster][key].clone(),
                None if placed.contains("@gone") => Json::Null,
                None => value.clone(),
            };
            expected.insert(key.clone(), value);
        }
        // Now and then, a generated query gives one key to two fields of a type.
        let body = json!({"query": text, "variables": variables, "skip_validation": true});
        let (_, got) = world.ask_as(&user("u"), &body).await.unwrap();
        assert_eq!(got, json!({"auth": true, "data": expected, "errors": null}), "{text} {variables}");
    }
}

#[tokio::test]
async fn what_was_merged_counts_until_its_client_has_read_it() {
    let world = World::new();
    world.ask("{__typename}").await;
    let body = json!({"query": "{a:check(namespace:\"x\",name:\"c\"){command} b:check(namespace:\"x@alpha\",name:\"c\"){command}}"});
    for (size, counts) in [(1 << 20, true), (1 << 10, false)] {
        let text = json!({"data": {"b": {"command": "x".repeat(size)}}}).to_string();
        world.set("alpha", Mood::Says(StatusCode::OK, text.leak()));
        for reads in [true, false] {
            let answered = world.call(&user("u"), Some("application/json"), &body.to_string()).await.unwrap();
            assert_eq!(world.held() > size, counts);
            let answer = answered.response.into_body();
            assert!(answer.size_hint().exact().is_some_and(|length| length > size as u64));
            if reads {
                assert!(answer.collect().await.unwrap().to_bytes().len() > size);
            } else {
                drop(answer);
            }
            assert_eq!(world.held(), 0);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_for_one_failed_cluster_fails_as_a_whole() {
    let world = World::new();
    world.ask("{__typename}").await;
    let page = "{namespace(name:\"x@alpha\"){id}}";
    for (mood, status) in [
        (Mood::Fails(FailureClass::Unreachable), 502),
        (Mood::Fails(FailureClass::Timeout), 504),
        (Mood::Says(StatusCode::GATEWAY_TIMEOUT, "{\"message\":\"deadline exceeded\",\"code\":8}"), 504),
        (Mood::Says(StatusCode::UNAUTHORIZED, "{}"), 502),
        (Mood::Says(StatusCode::INTERNAL_SERVER_ERROR, "{}"), 502),
    ] {
        use crate::error::Classify;
        world.set("alpha", mood);
        for body in [
            json!({"query": page}),
            json!([{"query": page}]),
            json!([{"query": page}, {"query": "{check(namespace:\"y@alpha\",name:\"c\"){id}}"}]),
        ] {
            assert_eq!(world.failure(&body).await.reply().status, status);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn beside_other_clusters_a_failed_one_is_null_and_an_error() {
    let world = World::new();
    world.set("alpha", Mood::Fails(FailureClass::Timeout));
    let text = "{a:namespace(name:\"x@alpha\"){name} b:namespace(name:\"x@beta\"){name} c:namespace(name:\"x@gone\"){name}}";
    let answer = world.ask(text).await;
    assert_eq!(answer["data"], json!({"a": null, "b": says("beta", text)["b"], "c": null}));
    assert_eq!(
        answer["errors"],
        json!([{"message": "cluster \"alpha\" did not answer in time", "locations": [], "path": ["a"], "extensions": {"cluster": "alpha"}}])
    );
    let batch = json!([{"query": "{namespace(name:\"x@alpha\"){id}}"}, {"query": "{namespace(name:\"x@beta\"){id}}"}]);
    let (_, answers) = world.ask_as(&user("u"), &batch).await.unwrap();
    assert_eq!(answers[0]["data"], json!({"namespace": null}));
    assert_eq!(answers[0]["errors"][0]["extensions"]["cluster"], "alpha");
    assert_eq!(answers[1]["data"], says("beta", "{namespace(name:\"x@beta\"){id}}"));
}

#[tokio::test(start_paused = true)]
async fn a_broken_body_is_a_failure_while_nothing_was_sent() {
    let world = World::new();
    world.set("alpha", Mood::BreaksOff);
    let batch = json!([{"query": "{namespace(name:\"x@alpha\"){id checks{nodes{id}}}}"}, {"query": "{versions{backend{version}}}"}]);
    let (_, answers) = world.ask_as(&user("u"), &batch).await.unwrap();
    assert_eq!(answers[0]["data"], json!({"namespace": null}));
    assert!(answers[1]["errors"].is_null());
    assert!(matches!(
        world.failure(&batch[0]).await,
        GraphQlError::Cluster { failure: FailureClass::BadBody, .. }
    ));
}

#[tokio::test(start_paused = true)]
async fn the_local_clusters_own_refusals_are_passed_on() {
    let world = World::new();
    world.ask("{__typename}").await;
    world.set(
        "local-cluster",
        Mood::Says(StatusCode::UNAUTHORIZED, "{\"Code\":5,\"Message\":\"invalid credentials\"}"),
    );
    for body in [json!({"query": "{versions{backend{version}}}"}), json!([{"query": "{nope}"}])] {
        let (head, answer) = world.ask_as(&user("u"), &body).await.unwrap();
        assert_eq!((head.status(), &answer["Code"]), (StatusCode::UNAUTHORIZED, &json!(5)));
    }
}

#[tokio::test(start_paused = true)]
async fn lists_keep_their_order_and_equal_queries_are_asked_once() {
    let world = World::new();
    let page = |n: &str| json!({"query": "query($n:String!){namespace(name:$n){id}}", "variables": {"n": n}});
    let body = json!([page("x@alpha"), page("x@beta"), page("x@alpha"), 1, null, page("x"), page("x@alpha")]);
    let (_, answers) = world.ask_as(&user("u"), &body).await.unwrap();
    let expected = |cluster: &str| json!({"auth": true, "data": says(cluster, "{namespace(name:\"x\"){id}}"), "errors": null});
    let (alpha, beta, local) = (expected("alpha"), expected("beta"), expected("local-cluster"));
    assert_eq!(answers, json!([alpha, beta, alpha, local, alpha]));
    assert_eq!((world.got("alpha").len(), world.got("beta").len()), (1, 1));
    let (_, none) = world.ask_as(&user("u"), &json!([])).await.unwrap();
    assert_eq!(none, json!([]));
    let (_, none) = world.ask_as(&user("u"), &json!([1, "x"])).await.unwrap();
    assert_eq!(none, json!([]));
    // Mutations are never taken together.
    let delete = json!({"query": "mutation{deleteCheck(input:{id:\"srn:checks:x@beta:y\"}){deletedId}}"});
    world.ask_as(&user("u"), &json!([delete, delete])).await.unwrap();
    assert_eq!(world.got("beta").len(), 2);
}

#[tokio::test(start_paused = true)]
async fn mutations_run_one_after_the_other_and_go_on_after_a_failure() {
    let world = World::new();
    world.set("alpha", Mood::Fails(FailureClass::Unreachable));
    let text = "mutation{a:deleteCheck(input:{id:\"srn:checks:x@beta:1\"}){deletedId} b:deleteCheck(input:{id:\"srn:checks:x@alpha:2\"}){deletedId} \
        c:deleteCheck(input:{id:\"srn:checks:x@beta:3\"}){deletedId} d:deleteCheck(input:{id:\"srn:checks:x@gone:3\"}){deletedId}}";
    let answer = world.ask(text).await;
    let keys: Vec<&String> = answer["data"].as_object().unwrap().keys().collect();
    assert_eq!(keys, ["a", "b", "c", "d"]);
    assert_eq!(answer["data"]["b"], Json::Null);
    let errors: Vec<&str> =
        answer["errors"].as_array().unwrap().iter().map(|e| e["path"][0].as_str().unwrap()).collect();
    assert_eq!(errors, ["d", "b"]);
    let got = world.got("beta");
    assert!(got.len() == 2 && got[0].contains("a:") && got[1].contains("c:"), "{got:?}");
    // What may have been carried out is not repeated.
    world.set("alpha", Mood::Fails(FailureClass::ServerError));
    world.got("alpha");
    let _ = world
        .failure(&json!({"query": "mutation{deleteCheck(input:{id:\"srn:checks:x@alpha:1\"}){deletedId}}"}))
        .await;
    assert_eq!((world.got("alpha").len(), world.was_repeatable("alpha")), (1, false));
    let _ = world.failure(&json!({"query": "{namespace(name:\"x@alpha\"){id}}"})).await;
    assert_eq!((world.got("alpha").len(), world.was_repeatable("alpha")), (1, true));
}

const ALONE: &str = "{namespace(name:\"x@alpha\"){id}}";

#[tokio::test(start_paused = true)]
async fn one_cluster_asked_alone_has_the_deadline_of_a_member() {
    let world = World::new();
    world.ask("{__typename}").await;
    for cluster in ["alpha", "local-cluster"] {
        world.set(cluster, Mood::Hangs);
    }
    let mutation = "mutation{deleteCheck(input:{id:\"srn:checks:x@alpha:1\"}){deletedId}}";
    for text in [
        ALONE,
        mutation,
        "{nope}",
        "{versions{backend{version}}}",
        "{a:namespace(name:\"x@alpha\"){id} b:namespace(name:\"x\"){id}}",
    ] {
        let begun = Instant::now();
        let answer = world.ask_as(&user("u"), &json!({"query": text})).await;
        assert_eq!(begun.elapsed(), Duration::from_secs(10), "{text}: {answer:?}");
    }
    let begun = Instant::now();
    let anonymous = world.call(&Caller::Anonymous, Some("application/json"), "{\"query\":\"{nope}\"}").await;
    assert!(matches!(anonymous, Err(GraphQlError::Cluster { failure: FailureClass::Timeout, .. })));
    assert_eq!(begun.elapsed(), Duration::from_secs(10));
}

#[tokio::test(start_paused = true)]
async fn what_no_graphql_server_would_answer_is_a_bad_body() {
    let world = World::new();
    world.ask("{__typename}").await;
    let long: &str = format!("{{\"auth\":true,\"data\":[{}]}}", "1,".repeat(50_000) + "1").leak();
    for said in [
        "[]",
        "\"x\"",
        "1",
        "null",
        "",
        "{}",
        "[{\"data\":{}}]",
        "{\"data\":[]}",
        "{\"data\":\"x\"}",
        "{\"data\":1}",
        "{\"data\":true}",
        "{\"message\":\"m\",\"code\":0}",
        "{\"errors\":[{\"message\":\"m\"}]}",
        "{\"data\":{}",
        "<html>",
        long,
    ] {
        for (cluster, text) in
            [("alpha", ALONE), ("local-cluster", "{namespace(name:\"x\"){id}}"), ("local-cluster", "{nope}")]
        {
            world.set(cluster, Mood::Says(StatusCode::OK, said));
            let answer = world.ask_as(&user("u"), &json!({"query": text})).await;
            let failed = matches!(answer, Err(GraphQlError::Cluster { failure: FailureClass::BadBody, .. }));
            assert!(failed, "{cluster}: {said:.60}: {answer:?}");
            world.set(cluster, Mood::Answers);
        }
    }
    let null = "{\"auth\":true,\"data\":null,\"errors\":[{\"message\":\"m\"}]}";
    world.set("alpha", Mood::Says(StatusCode::OK, null));
    assert_eq!(world.ask(ALONE).await["errors"][0]["message"], "m");
}

#[tokio::test(start_paused = true)]
async fn an_answer_without_data_takes_nothing_from_the_other_clusters() {
    let world = World::new();
    world.ask("{__typename}").await;
    let own = r#"{"message":"m","extensions":{"cluster":"alpha"}}"#;
    let text = "{v:versions{backend{version}} a:namespace(name:\"x@alpha\"){id} b:namespace(name:\"x@beta\"){id} c:namespace(name:\"x\"){id}}";
    for (said, errors) in [
        ("{\"data\":null,\"errors\":[{\"message\":\"m\"}]}", vec!["m"]),
        ("{\"errors\":[{\"message\":\"m\"}]}", vec!["m"]),
        ("{\"data\":null}", vec!["cluster \"alpha\" answered with a body that is not valid"]),
        ("{\"data\":null,\"errors\":[]}", vec!["cluster \"alpha\" answered with a body that is not valid"]),
        ("{\"message\":\"m\"}", vec!["cluster \"alpha\" answered with a body that is not valid"]),
        ("[]", vec!["cluster \"alpha\" answered with a body that is not valid"]),
    ] {
        world.set("alpha", Mood::Says(StatusCode::OK, said));
        let answer = world.ask(text).await;
        let (local, beta) = (says("local-cluster", text), says("beta", text));
        assert_eq!(
            answer["data"],
            json!({"v": local["v"], "a": null, "b": beta["b"], "c": local["c"]}),
            "{said}"
        );
        let found: Vec<&str> =
            answer["errors"].as_array().unwrap().iter().map(|e| e["message"].as_str().unwrap()).collect();
        assert_eq!(found, errors, "{said} {own}");
    }
    // The local cluster is a cluster like the others, even where its fields may not be null.
    world.set("alpha", Mood::Answers);
    for mood in [
        Mood::Says(StatusCode::OK, "{\"data\":null,\"errors\":[{\"message\":\"m\"}]}"),
        Mood::Fails(FailureClass::Unreachable),
    ] {
        world.set("local-cluster", mood);
        let answer = world.ask(text).await;
        assert_eq!(
            answer["data"],
            json!({"v": null, "a": says("alpha", text)["a"], "b": says("beta", text)["b"], "c": null})
        );
        assert!(!answer["errors"].as_array().unwrap().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn the_schema_is_asked_of_all_clusters_under_one_deadline() {
    for (moods, took) in [
        ([("local-cluster", Mood::Hangs), ("alpha", Mood::Hangs)], 1),
        ([("local-cluster", Mood::Fails(FailureClass::Unreachable)), ("alpha", Mood::Hangs)], 0),
        ([("local-cluster", Mood::Slow(3)), ("beta", Mood::Slow(2))], 1),
    ] {
        let world = World::new();
        for (cluster, mood) in moods {
            world.set(cluster, mood);
        }
        let begun = Instant::now();
        // Needs a schema, and no cluster.
        let answer = world.ask("{namespace(name:\"x@gone\"){id}}").await;
        assert_eq!(answer["data"], json!({"namespace": null}));
        assert_eq!(begun.elapsed(), Duration::from_secs(took));
    }
}

#[tokio::test(start_paused = true)]
async fn an_api_key_goes_to_the_local_cluster_only() {
    let world = World::new();
    let (_, answer) = world
        .ask_as(
            &Caller::ApiKey,
            &json!({"query": "{a:namespace(name:\"x@alpha\"){id} b:namespace(name:\"x\"){id}}"}),
        )
        .await
        .unwrap();
    assert_eq!(answer["data"]["b"], says("local-cluster", "{b:namespace(name:\"x\"){id}}")["b"]);
    assert!(answer["errors"][0]["message"].as_str().unwrap().contains("API key"));
    let (head, answer) = world.ask_as(&Caller::ApiKey, &json!({"query": SWITCHER})).await.unwrap();
    assert_eq!(names(&answer), listed(&["local-cluster"]));
    assert!(head.headers()["fedgate-clusters"].to_str().unwrap().contains("\"alpha\";error=unauthorized"));
    let (_, alone) =
        world.ask_as(&Caller::ApiKey, &json!({"query": "{namespace(name:\"x@beta\"){id}}"})).await.unwrap();
    assert_eq!(alone["data"], json!({"namespace": null}));
    assert!(world.got("alpha").is_empty() && world.got("beta").is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_is_not_the_gateways_goes_to_the_local_cluster_as_it_is() {
    let world = World::new();
    let body = r#"{"query":"{namespace(name:\"x\"){id}}"}"#;
    world.call(&Caller::Anonymous, Some("application/json"), body).await.unwrap();
    world.call(&user("u"), None, body).await.unwrap();
    world.call(&user("u"), Some("application/x-www-form-urlencoded; charset=x"), body).await.unwrap();
    assert_eq!(world.got("local-cluster"), [body; 3]);
    for body in ["null", "{\"query\":", ""] {
        world.set("local-cluster", Mood::Says(StatusCode::INTERNAL_SERVER_ERROR, "{}"));
        let answered = world.call(&user("u"), Some("text/plain"), body).await.unwrap();
        assert_eq!(answered.response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(world.got("local-cluster"), [body]);
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_schema_documents_go_to_the_local_cluster() {
    let world = World::new();
    for cluster in ["local-cluster", "alpha", "beta"] {
        world.set(cluster, Mood::Says(StatusCode::OK, "{\"data\":{\"odd\":1}}"));
    }
    let answer = world.ask("{namespace(name:\"x@alpha\"){id}}").await;
    assert_eq!(answer, json!({"data": {"odd": 1}}));
    assert!(world.got("alpha").is_empty());
    // It is asked for again after a while, of the others when the local cluster is down.
    world.set("local-cluster", Mood::Hangs);
    world.set("alpha", Mood::Answers);
    tokio::time::advance(Duration::from_secs(6)).await;
    let answer = world.ask("{namespace(name:\"x@alpha\"){id}}").await;
    assert_eq!(answer["data"], says("alpha", "{namespace(name:\"x@alpha\"){id}}"));
}

#[tokio::test(start_paused = true)]
async fn limits_are_answered_with_one_error() {
    let world = World::new();
    let many = json!(vec![json!({"query": "{__typename}"}); 11]);
    let (head, answer) = world.ask_as(&user("u"), &many).await.unwrap();
    assert_eq!(head.status(), StatusCode::OK);
    assert_eq!(answer[0]["data"], Json::Null);
    assert_eq!(
        answer[0]["errors"],
        json!([{"message": "the request holds more than 10 operations", "locations": []}])
    );
    let (_, ten) =
        world.ask_as(&user("u"), &json!(vec![json!({"query": "{__typename}"}); 10])).await.unwrap();
    assert_eq!(ten.as_array().unwrap().len(), 10);
    let deep = format!("{{namespace(name:\"x\"){}}}", "{...".repeat(101) + "name" + &"}".repeat(101));
    let answer = world.ask(&deep).await;
    assert_eq!(answer["errors"][0]["message"], "the operation is deeper than 32 levels");
    assert!(answer["data"].is_null() && world.got("local-cluster").len() == 1);
}

#[tokio::test(start_paused = true)]
async fn introspection_shows_the_gateways_field() {
    let world = World::new();
    let answer = world.ask("{__schema{types{n:name fields{name}}}}").await;
    assert_eq!(
        answer["data"]["__schema"]["types"],
        json!([{"n": "Namespace", "fields": [{"name": "id"}, {"name": "cluster"}]}, {"n": "Entity", "fields": [{"name": "id"}]}])
    );
    let sent = world.got("local-cluster").pop().unwrap();
    assert!(sent.contains("types{A:name n:name fields"), "{sent}");
}

#[tokio::test(start_paused = true)]
async fn what_is_passed_on_unread_leads_nowhere_either() {
    let world = World::new();
    let deep = (0..126).fold(json!("../b"), |inner, _| json!([inner]));
    for (text, variables) in [
        ("{nope check(namespace:\"a\",name:\"../b/c\"){id}}", json!({})),
        ("{nope check(namespace:\"a\",name:\"\\u002e./b/c\"){id}}", json!({})),
        ("query($n:String!){nope check(namespace:\"a\",name:$n){id}}", json!({"n": "x/../b"})),
        ("query($n:[X]){nope node(id:$n){id}}", json!({"n": [{"a": "srn:checks:a:..%2Fb%2Fc"}]})),
        ("query($n:[X]){nope}", json!({"n": deep})),
    ] {
        let body = json!({"query": text, "variables": variables, "skip_validation": true});
        let (_, answer) = world.ask_as(&user("u"), &body).await.unwrap();
        assert_eq!((&answer["data"], answer["errors"].as_array().unwrap().len()), (&Json::Null, 1), "{body}");
    }
    for odd in [
        r#"{"query":"{check(namespace:\"a\",name:\"../b/c\"){id}}"} x"#,
        r#"{"query":"{a(b:\"\ud800\u002e./c\")}"}"#,
    ] {
        let answered = world.call(&user("u"), Some("application/json"), odd).await.unwrap();
        assert_eq!(answered.response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    }
    assert!(world.got("local-cluster").is_empty());
}
