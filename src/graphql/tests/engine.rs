//! Whole requests over made-up clusters.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value as Json, json};
use tokio::time::Instant;

use super::{
    RAW, RECORDED,
    generate::{Generator, Pool},
    mock::{self, Server},
    rewriting, schema, snapshot,
};
use crate::{
    fanout::{Failure, Member},
    graphql::{Answered, Call, Clusters, Config, Engine, GraphQlError, schema::INTROSPECTION},
    types::{Caller, ClusterName, Principal, Snapshot},
    wire::Body,
};

/// How a cluster behaves.
#[derive(Clone, Debug)]
enum Mood {
    Answers,
    Hangs,
    Fails(Failure),
    Says(StatusCode, &'static str),
    /// Answers with an error beside its data.
    Complains,
    /// Breaks off in the middle of its body.
    BreaksOff,
}

struct Cluster {
    name: ClusterName,
    mood: Mutex<Mood>,
    /// Bodies that it got, introspection left out.
    got: Mutex<Vec<String>>,
}

struct All(HashMap<ClusterName, Arc<Cluster>>);

struct World {
    engine: Engine,
    clusters: All,
    snapshot: Snapshot,
}

// === impl Cluster ===

impl Cluster {
    fn reply(&self, body: &[u8]) -> Response<Body> {
        let (query, variables) = mock::request(body);
        if query == INTROSPECTION {
            return Response::new(Body::full(RECORDED));
        }
        let schema = schema();
        let server = Server { schema: &schema, cluster: self.name.as_str(), qualified: false };
        let data = if query.contains("__schema") {
            json!({"__schema": {"types": types()}})
        } else {
            server.answer(&query, &variables)
        };
        let mut answer = json!({"auth": true, "data": data, "errors": null});
        if matches!(*self.mood.lock().unwrap(), Mood::Complains) {
            answer["errors"] =
                json!([{"message": "m", "locations": [], "path": ["viewer", "namespaces", 0, "events"]}]);
        }
        let text = answer.to_string();
        match *self.mood.lock().unwrap() {
            Mood::BreaksOff => Response::new(Body::full(text[..text.len() / 2].to_owned())),
            _ => Response::new(Body::full(text)),
        }
    }
}

fn types() -> Json {
    json!([
        {"A": "Namespace", "n": "Namespace", "fields": [{"name": "id"}]},
        {"A": "Entity", "n": "Entity", "fields": [{"name": "id"}]},
    ])
}

impl Member for Cluster {
    fn name(&self) -> &ClusterName {
        &self.name
    }

    fn get(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response<Body>, Failure>> {
        Box::pin(async move {
            let text = String::from_utf8_lossy(request.body()).into_owned();
            let introspects = text.contains("includeDeprecated:true){name args");
            if !introspects {
                self.got.lock().unwrap().push(text);
            }
            let mood = self.mood.lock().unwrap().clone();
            match mood {
                Mood::Hangs => std::future::pending().await,
                Mood::Fails(failure) => Err(failure),
                Mood::Says(status, text) => {
                    Ok(Response::builder().status(status).body(Body::full(text)).unwrap())
                }
                Mood::Answers | Mood::Complains | Mood::BreaksOff => Ok(self.reply(request.body())),
            }
        })
    }
}

impl Clusters for All {
    fn get(&self, name: &ClusterName) -> Option<Arc<dyn Member>> {
        self.0.get(name).map(|cluster| Arc::clone(cluster) as Arc<dyn Member>)
    }
}

// === impl World ===

impl World {
    fn new() -> Self {
        let names = ["local-cluster", "alpha", "beta"];
        let cluster = |name: &&str| {
            let name = super::name(name);
            let (mood, got) = (Mutex::new(Mood::Answers), Mutex::default());
            (name.clone(), Arc::new(Cluster { name, mood, got }))
        };
        let config = Config { member_timeout: Duration::from_secs(10), max_members: 256 };
        Self {
            engine: Engine::new(config),
            clusters: All(names.iter().map(cluster).collect()),
            snapshot: snapshot(&names),
        }
    }

    fn set(&self, cluster: &str, mood: Mood) {
        *self.clusters.0[cluster].mood.lock().unwrap() = mood;
    }

    fn got(&self, cluster: &str) -> Vec<String> {
        std::mem::take(&mut self.clusters.0[cluster].got.lock().unwrap())
    }

    async fn call(
        &self,
        caller: &Caller,
        content: Option<&str>,
        body: &str,
    ) -> Result<Answered, GraphQlError> {
        let mut head = Request::new(());
        *head.method_mut() = http::Method::POST;
        *head.uri_mut() = "/graphql".parse().unwrap();
        if let Some(content) = content {
            head.headers_mut().insert(http::header::CONTENT_TYPE, content.parse().unwrap());
        }
        let body = Bytes::copy_from_slice(body.as_bytes());
        let call = Call { head: &head, body, caller, clusters: &self.clusters, snapshot: &self.snapshot };
        self.engine.handle(call).await
    }

    async fn ask_as(&self, caller: &Caller, body: &Json) -> Result<(Response<()>, Json), GraphQlError> {
        let answered = self.call(caller, Some("application/json"), &body.to_string()).await?;
        let (parts, body) = answered.response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let json = serde_json::from_slice(&bytes).unwrap_or_else(|_| panic!("{bytes:?}"));
        Ok((Response::from_parts(parts, ()), json))
    }

    async fn ask(&self, text: &str) -> Json {
        self.ask_as(&user("u"), &json!({"query": text})).await.unwrap().1
    }

    async fn failure(&self, body: &Json) -> GraphQlError {
        self.ask_as(&user("u"), body).await.unwrap_err()
    }
}

fn user(subject: &str) -> Caller {
    let groups = vec!["ops".to_owned()];
    Caller::Token(Arc::new(Principal { subject: subject.to_owned(), groups, expires_at: 0 }))
}

/// What a cluster says, qualified.
fn says(cluster: &str, text: &str) -> Json {
    let schema = schema();
    Server { schema: &schema, cluster, qualified: true }.answer(text, &json!({}))
}

fn names(answer: &Json) -> Vec<String> {
    let items = answer["data"]["viewer"]["namespaces"].as_array().unwrap();
    items.iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect()
}

fn listed(clusters: &[&str]) -> Vec<String> {
    let one = |cluster: &&str| names(&json!({"data": says(cluster, SWITCHER)}));
    clusters.iter().flat_map(one).collect()
}

const SWITCHER: &str = "{viewer{namespaces{name __typename}}}";

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
        let (_, got) =
            world.ask_as(&user("u"), &json!({"query": text, "variables": variables})).await.unwrap();
        assert_eq!(got, json!({"auth": true, "data": expected, "errors": null}), "{text} {variables}");
    }
}

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
async fn the_switcher_opens_whatever_a_cluster_does() {
    for mood in [
        Mood::Hangs,
        Mood::Fails(Failure::Unreachable),
        Mood::Says(StatusCode::INTERNAL_SERVER_ERROR, "x"),
        Mood::Says(StatusCode::UNAUTHORIZED, "{}"),
        Mood::Says(StatusCode::OK, "<html>"),
        Mood::Says(StatusCode::OK, "{\"data\":null,\"errors\":[{\"message\":\"m\"}]}"),
        Mood::BreaksOff,
    ] {
        for ill in ["alpha", "local-cluster"] {
            let world = World::new();
            let healthy: Vec<&str> =
                ["local-cluster", "alpha", "beta"].into_iter().filter(|c| *c != ill).collect();
            // The schema is known from another question.
            world.ask("{__typename}").await;
            world.set(ill, mood.clone());
            let (head, answer) = world.ask_as(&user("u"), &json!({"query": SWITCHER})).await.unwrap();
            assert_eq!((names(&answer), &answer["errors"]), (listed(&healthy), &Json::Null), "{mood:?}");
            assert_eq!(head.headers()["fedgate-complete"], "false");
            assert_ne!(answer["extensions"]["fedgate"]["clusters"][ill], "ok");

            world.set(ill, Mood::Answers);
            world.ask(SWITCHER).await;
            world.set(ill, mood.clone());
            let begun = Instant::now();
            let answer = world.ask(SWITCHER).await;
            assert_eq!(names(&answer), listed(&["local-cluster", "alpha", "beta"]), "{mood:?}");
            assert!(begun.elapsed() < Duration::from_secs(2), "a list that is known is not waited for");
            let (_, other) = world.ask_as(&user("v"), &json!({"query": SWITCHER})).await.unwrap();
            assert_eq!(names(&other), listed(&healthy), "another user was told nothing");
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
    assert!(matches!(failure, GraphQlError::Cluster { failure: Failure::Timeout, .. }));
    for cluster in ["local-cluster", "alpha", "beta"] {
        world.set(cluster, Mood::Answers);
    }
    world.ask(SWITCHER).await;
    for cluster in ["local-cluster", "alpha", "beta"] {
        world.set(cluster, Mood::Fails(Failure::Unreachable));
    }
    let answer = world.ask("{viewer{namespaces{name id cluster} user{username} __typename}}").await;
    assert_eq!(names(&answer), listed(&["local-cluster", "alpha", "beta"]));
    assert_eq!(answer["data"]["viewer"]["__typename"], "Viewer");
    assert_eq!(answer["data"]["viewer"]["user"], Json::Null);
    assert_eq!(answer["errors"], Json::Null);
    // More than names tell is not made up.
    assert!(matches!(
        world.failure(&json!({"query": "{viewer{namespaces{name checks{nodes{id}}}}}"})).await,
        GraphQlError::Cluster { .. }
    ));
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
    assert_eq!(
        answer,
        json!([{"auth": true, "data": {"namespace": {"name": known, "__typename": "Namespace"}}, "errors": null}])
    );
    assert_eq!(begun.elapsed(), Duration::ZERO);
    assert!(world.got("alpha").is_empty());

    // Another user's is asked for.
    world.set("alpha", Mood::Fails(Failure::Timeout));
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
async fn a_request_for_one_failed_cluster_fails_as_a_whole() {
    let world = World::new();
    world.ask("{__typename}").await;
    let page = "{namespace(name:\"x@alpha\"){id}}";
    for (mood, status) in [
        (Mood::Fails(Failure::Unreachable), 502),
        (Mood::Fails(Failure::Timeout), 504),
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
    world.set("alpha", Mood::Fails(Failure::Timeout));
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
        GraphQlError::Cluster { failure: Failure::BadBody, .. }
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
    world.set("alpha", Mood::Fails(Failure::Unreachable));
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
    world.set("alpha", Mood::Fails(Failure::ServerError));
    world.got("alpha");
    let _ = world
        .failure(&json!({"query": "mutation{deleteCheck(input:{id:\"srn:checks:x@alpha:1\"}){deletedId}}"}))
        .await;
    assert_eq!(world.got("alpha").len(), 1);
    let _ = world.failure(&json!({"query": "{namespace(name:\"x@alpha\"){id}}"})).await;
    assert_eq!(world.got("alpha").len(), 2);
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
