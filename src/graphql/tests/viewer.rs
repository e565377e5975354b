//! Lists of namespaces from all clusters, and what is known without asking.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Value as Json, json};
use tokio::time::Instant;

use super::world::{Mood, SWITCHER, World, listed, names, user};
use crate::{graphql::GraphQlError, types::FailureClass};

#[tokio::test(start_paused = true)]
async fn namespaces_of_all_clusters_are_one_list() {
    let world = World::new();
    let (head, answer) = world.ask_as(&user("u"), &json!({"query": SWITCHER})).await.unwrap();
    assert_eq!(names(&answer), listed(&["local-cluster", "alpha", "beta"]));
    assert_eq!(answer["errors"], Json::Null);
    assert_eq!(
        answer["extensions"]["fedgate"]["clusters"],
        json!({"local-cluster": "ok", "alpha": "ok", "beta": "ok"})
    );
    assert_eq!(head.headers()["fedgate-complete"], "true");
    assert_eq!(
        head.headers()["fedgate-clusters"],
        "\"local-cluster\";status=200, \"alpha\";status=200, \"beta\";status=200"
    );
    let clusters = world.ask("{viewer{namespaces{where:cluster}}}").await;
    let clusters = clusters["data"]["viewer"]["namespaces"].as_array().unwrap().clone();
    let at = |cluster: &str| clusters.iter().filter(|item| item["where"] == cluster).count();
    for cluster in ["local-cluster", "alpha", "beta"] {
        assert_eq!(at(cluster), listed(&[cluster]).len());
    }
}

#[tokio::test(start_paused = true)]
async fn the_namespace_switcher_opens_in_any_state_of_a_cluster() {
    for mood in [
        Mood::Hangs,
        Mood::Fails(FailureClass::Unreachable),
        Mood::Says(StatusCode::INTERNAL_SERVER_ERROR, "x"),
        Mood::Says(StatusCode::UNAUTHORIZED, "{}"),
        Mood::Says(StatusCode::OK, "<html>"),
        Mood::Says(StatusCode::OK, "{\"data\":null,\"errors\":[{\"message\":\"m\"}]}"),
        Mood::BreaksOff,
    ] {
        for faulty in ["alpha", "local-cluster"] {
            let world = World::new();
            let healthy: Vec<&str> =
                ["local-cluster", "alpha", "beta"].into_iter().filter(|c| *c != faulty).collect();
            // The schema is known from an earlier request.
            world.ask("{__typename}").await;
            world.set(faulty, mood.clone());
            let (head, answer) = world.ask_as(&user("u"), &json!({"query": SWITCHER})).await.unwrap();
            assert_eq!((names(&answer), &answer["errors"]), (listed(&healthy), &Json::Null), "{mood:?}");
            assert_eq!(head.headers()["fedgate-complete"], "false");
            assert_ne!(answer["extensions"]["fedgate"]["clusters"][faulty], "ok");

            world.set(faulty, Mood::Answers);
            world.ask(SWITCHER).await;
            world.set(faulty, mood.clone());
            let begun = Instant::now();
            let answer = world.ask(SWITCHER).await;
            assert_eq!(names(&answer), listed(&["local-cluster", "alpha", "beta"]), "{mood:?}");
            assert!(begun.elapsed() < Duration::from_secs(2), "a list that is known is not waited for");
            let (_, other) = world.ask_as(&user("v"), &json!({"query": SWITCHER})).await.unwrap();
            assert_eq!(names(&other), listed(&healthy), "another user does not get this user's names");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn with_every_cluster_down_the_switcher_shows_what_is_known_or_fails_gently() {
    let world = World::new();
    world.ask("{__typename}").await;
    for cluster in ["local-cluster", "alpha", "beta"] {
        world.set(cluster, Mood::Hangs);
    }
    let failure = world.failure(&json!({"query": SWITCHER})).await;
    assert!(matches!(failure, GraphQlError::Cluster { failure: FailureClass::Timeout, .. }));
    for cluster in ["local-cluster", "alpha", "beta"] {
        world.set(cluster, Mood::Answers);
    }
    world.ask(SWITCHER).await;
    for cluster in ["local-cluster", "alpha", "beta"] {
        world.set(cluster, Mood::Fails(FailureClass::Unreachable));
    }
    let answer = world.ask("{viewer{namespaces{name id cluster} user{username} __typename}}").await;
    assert_eq!(names(&answer), listed(&["local-cluster", "alpha", "beta"]));
    assert_eq!(answer["data"]["viewer"]["__typename"], "Viewer");
    assert_eq!(answer["data"]["viewer"]["user"], Json::Null);
    assert_eq!(answer["errors"], Json::Null);
    // What does not follow from a name is not made up.
    assert!(matches!(
        world.failure(&json!({"query": "{viewer{namespaces{name checks{nodes{id}}}}}"})).await,
        GraphQlError::Cluster { .. }
    ));
}

#[tokio::test(start_paused = true)]
async fn what_one_user_is_refused_makes_no_cluster_unhealthy_for_others() {
    for (mood, is_outage) in [
        (Mood::Fails(FailureClass::Unauthorized), false),
        (Mood::Fails(FailureClass::Forbidden), false),
        (Mood::Fails(FailureClass::NotFound), false),
        (Mood::Fails(FailureClass::TooLarge), false),
        (Mood::Fails(FailureClass::ServerError), false),
        (Mood::Says(StatusCode::UNAUTHORIZED, "{}"), false),
        (Mood::Says(StatusCode::FORBIDDEN, "{}"), false),
        (Mood::Says(StatusCode::OK, "[]"), false),
        (Mood::Fails(FailureClass::Tls), true),
        (Mood::Fails(FailureClass::Unreachable), true),
        (Mood::Hangs, true),
    ] {
        let world = World::new();
        world.ask("{__typename}").await;
        world.set("alpha", mood.clone());
        world.ask_as(&user("one"), &json!({"query": SWITCHER})).await.unwrap();
        // It takes longer than a cluster that counts as unhealthy may.
        world.set("alpha", Mood::Slow(3));
        let (_, other) = world.ask_as(&user("other"), &json!({"query": SWITCHER})).await.unwrap();
        let all: &[&str] =
            if is_outage { &["local-cluster", "beta"] } else { &["local-cluster", "alpha", "beta"] };
        assert_eq!(names(&other), listed(all), "{mood:?}");
    }
    // Nor does the haste with one whose list is cached.
    let world = World::new();
    world.ask_as(&user("one"), &json!({"query": SWITCHER})).await.unwrap();
    world.set("alpha", Mood::Slow(3));
    world.ask_as(&user("one"), &json!({"query": SWITCHER})).await.unwrap();
    let (_, other) = world.ask_as(&user("other"), &json!({"query": SWITCHER})).await.unwrap();
    assert_eq!(names(&other), listed(&["local-cluster", "alpha", "beta"]));
}

#[tokio::test(start_paused = true)]
async fn clusters_beyond_the_bound_are_left_out_and_named() {
    let world = World::with_most(2);
    let (head, answer) = world.ask_as(&user("u"), &json!({"query": SWITCHER})).await.unwrap();
    // By name, after the local cluster.
    assert_eq!(names(&answer), listed(&["local-cluster", "alpha"]));
    assert_eq!(head.headers()["fedgate-complete"], "false");
    assert_eq!(
        head.headers()["fedgate-clusters"],
        r#""local-cluster";status=200, "alpha";status=200, "*";omitted=1"#
    );
    assert_eq!(answer["extensions"]["fedgate"]["clusters"]["beta"], "omitted");
    assert!(world.got("beta").is_empty());
    // Asked by name, it answers.
    assert!(world.ask("{namespace(name:\"x@beta\"){id}}").await["errors"].is_null());
}

#[tokio::test(start_paused = true)]
async fn errors_of_a_fan_out_point_into_the_merged_list() {
    let world = World::new();
    world.set("beta", Mood::Complains);
    let answer = world.ask("{viewer{namespaces{name events{nodes{id}}}}}").await;
    let before = listed(&["local-cluster", "alpha"]).len();
    assert_eq!(
        answer["errors"],
        json!([{"message": "m", "locations": [], "path": ["viewer", "namespaces", before, "events"], "extensions": {"cluster": "beta"}}])
    );
}

fn route(name: &str) -> Json {
    json!({"name": name, "__typename": "Namespace", "id": format!("srn:namespaces:{name}")})
}

const ROUTE: &str = "query NamespaceRouteQuery($n:String!){namespace(name:$n){name __typename}}";

#[tokio::test(start_paused = true)]
async fn the_route_query_is_answered_from_what_is_known() {
    let world = World::new();
    world.ask(SWITCHER).await;
    let known = listed(&["alpha"]).pop().expect("alpha lists a namespace");
    world.got("alpha");
    world.set("alpha", Mood::Hangs);
    let body = json!([{"operationName": "NamespaceRouteQuery", "query": ROUTE, "variables": {"n": known}}]);
    let begun = Instant::now();
    let (_, answer) = world.ask_as(&user("u"), &body).await.unwrap();
    assert_eq!(answer, json!([{"auth": true, "data": {"namespace": route(&known)}, "errors": null}]));
    assert_eq!(begun.elapsed(), Duration::ZERO);
    assert!(world.got("alpha").is_empty());

    // Another user's is asked for.
    world.set("alpha", Mood::Fails(FailureClass::Timeout));
    assert!(world.ask_as(&user("v"), &body).await.is_err());
    assert_eq!(world.got("alpha").len(), 1);

    // Long after, the cluster is asked again, and stands in for itself when it fails.
    tokio::time::advance(Duration::from_secs(600)).await;
    let (_, again) = world.ask_as(&user("u"), &body).await.unwrap();
    assert_eq!(again[0]["data"]["namespace"]["name"], known.as_str());
    assert_eq!(world.got("alpha").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_namespace_that_was_seen_once_is_known_afterwards() {
    let world = World::new();
    let body = json!({"query": ROUTE, "variables": {"n": "some@beta"}});
    let first = world.ask_as(&user("u"), &body).await.unwrap().1;
    assert_eq!(world.got("beta").len(), 1);
    let found = first["data"]["namespace"].is_object();
    world.ask_as(&user("u"), &body).await.unwrap();
    assert_eq!(world.got("beta").len(), usize::from(!found));
}

#[tokio::test(start_paused = true)]
async fn only_the_route_query_gets_an_id_that_it_did_not_select() {
    let world = World::new();
    for namespace in ["ns1", "ns1@alpha"] {
        let cluster = if namespace.contains('@') { "alpha" } else { "local-cluster" };
        for asked in [1, 0] {
            let body = json!([{"query": ROUTE, "variables": {"n": namespace}}]);
            let (_, answer) = world.ask_as(&user("u"), &body).await.unwrap();
            assert_eq!(
                answer,
                json!([{"auth": true, "data": {"namespace": route(namespace)}, "errors": null}])
            );
            assert_eq!(world.got(cluster).len(), asked, "{namespace}");
        }
        for other in [
            "query Other($n:String!){namespace(name:$n){name __typename}}",
            "query($n:String!){namespace(name:$n){name}}",
            "query NamespaceRouteQuery($n:String!){namespace(name:$n){a:name}}",
            "query NamespaceRouteQuery($n:String!){b:namespace(name:$n){name}}",
        ] {
            let (_, answer) = world
                .ask_as(&user("v"), &json!({"query": other, "variables": {"n": namespace}}))
                .await
                .unwrap();
            assert!(!answer.to_string().contains("srn:"), "{answer}");
        }
        world.got(cluster);
    }
    // What is not there, or in doubt, is passed on.
    for said in [
        r#"{"auth":true,"data":{"namespace":null},"errors":null}"#,
        r#"{"auth":true,"data":{"namespace":{"name":"x"}},"errors":[{"message":"m"}]}"#,
    ] {
        world.set("local-cluster", Mood::Says(http::StatusCode::OK, said));
        let body = json!({"query": ROUTE, "variables": {"n": "x"}});
        assert_eq!(world.ask_as(&user("u"), &body).await.unwrap().1.to_string(), said);
    }
}

#[tokio::test(start_paused = true)]
async fn suggestions_for_a_cluster_that_is_not_there_are_an_empty_list() {
    let world = World::new();
    let suggest = |what: &str| {
        format!("{{suggest(namespace:\"x@gone\",ref:\"core/v2/entity/metadata/name\"){{{what}}}}}")
    };
    let answer = world.ask(&suggest("v:values __typename")).await;
    assert_eq!(
        answer,
        json!({"auth": true, "data": {"suggest": {"v": [], "__typename": "SuggestionResultSet"}}, "errors": null})
    );
    let both = suggest("values").replacen('{', "{versions{backend{version}} ", 1);
    assert_eq!(world.ask(&both).await["data"]["suggest"], json!({"values": []}));
    assert!(world.got("alpha").is_empty());
}
