//! GraphQL over three clusters, through the complete gateway.

use std::{sync::Arc, time::Duration};

use fedgate::sim::{Sensu, SharedKeys};
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper::client::conn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::Instant};

use crate::support::{Answer, Line, Running, World, check, entity, plain, read, request_of, simulated};

const SWITCHER: &str = "query NamespacesQuery{viewer{namespaces{name __typename} __typename}}";

const CYCLE: &str = "{versions{...F}} fragment F on Versions{...F}";

async fn post(world: &World, body: &Value) -> Answer {
    world.call(Method::POST, "/graphql", body.to_string()).await
}

async fn query(world: &World, text: &str) -> Value {
    let answer = post(world, &json!({"query": text})).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

async fn post_as(world: &World, authorization: Option<&str>, target: &str, body: &Value) -> Answer {
    let mut request = plain(Method::POST, target, body.to_string());
    if let Some(authorization) = authorization {
        request.headers_mut().insert("authorization", authorization.parse().unwrap());
    }
    world.send(request).await
}

#[tokio::test]
async fn a_slash_at_the_end_of_a_clients_url_reaches_no_cluster() {
    let world = World::new();
    let body = json!({ "query": SWITCHER });
    let once = post(&world, &body).await.json();
    for target in ["//graphql", "///graphql?a=b", "/c/alpha//graphql", "//c/alpha//graphql"] {
        world.forget();
        let answer = world.call(Method::POST, target, body.to_string()).await;
        assert_eq!(answer.status, 200, "{target}: {}", answer.text());
        if !target.contains("alpha") {
            assert_eq!(answer.json(), once, "{target}");
        }
        for sensu in [&world.local, &world.alpha] {
            for asked in sensu.requests() {
                assert!(asked.path_and_query.starts_with("/graphql"), "{target}: {}", asked.path_and_query);
            }
        }
    }
}

/// What a cluster itself says.
async fn direct(world: &World, sensu: &Sensu, authorization: &str, body: &Value) -> Value {
    let mut request = plain(Method::POST, "/graphql", body.to_string());
    request.headers_mut().insert("authorization", authorization.parse().unwrap());
    let body = sensu.handle(request).await.into_body().collect().await.unwrap().to_bytes();
    world.forget();
    serde_json::from_slice(&body).unwrap()
}

/// How often a cluster's GraphQL was asked anything but for its schema.
fn asked(sensu: &Sensu) -> usize {
    let requests = sensu.requests();
    let of_clients = requests.iter().filter(|request| {
        request.path_and_query == "/graphql" && memchr::memmem::find(&request.body, b"__schema").is_none()
    });
    of_clients.count()
}

fn names(answer: &Value) -> Vec<&str> {
    let list = answer["data"]["viewer"]["namespaces"].as_array().unwrap_or_else(|| panic!("{answer}"));
    list.iter().map(|namespace| namespace["name"].as_str().unwrap()).collect()
}

/// A line is a document that Sensu refuses, with `N` for a namespace. The same are asked of real backends by
/// `graphql::tests::differential`, where `FEDGATE_TEST_SENSU` names some.
#[tokio::test]
async fn documents_that_break_a_rule_get_a_clusters_own_answer_whatever_namespace_they_name() {
    let world = World::new();
    let authorization = format!("Bearer {}", world.token("admin", &["cluster-admins"]));
    let (mut count, mut accepted) = (0, Vec::new());
    for document in include_str!("../data/graphql/invalid.txt").lines().filter(|line| !line.starts_with('#'))
    {
        for namespace in ["default", "default@local-cluster", "default@alpha", "default@nowhere"] {
            let text = document
                .replace("\"N\"", &format!("\"{namespace}\""))
                .replace(":N:", &format!(":{namespace}:"));
            let body = json!({"query": text});
            let own = direct(&world, &world.local, &authorization, &body).await;
            if own["errors"].as_array().is_none_or(Vec::is_empty) {
                accepted.push(text.clone());
            }
            assert_eq!(query(&world, &text).await, own, "{text}");
            assert_eq!([&world.alpha, &world.beta].map(asked), [0, 0], "{text}");
            count += 1;
        }
    }
    assert_eq!(accepted, Vec::<String>::new());
    assert!(count >= 3 * 4 * 20, "{count}");
}

#[tokio::test(start_paused = true)]
async fn the_namespace_switcher_opens_in_any_state_of_the_clusters() {
    let world = World::new();
    let well =
        post(&world, &json!([{"operationName": "NamespacesQuery", "variables": {}, "query": SWITCHER}]))
            .await;
    let all = [
        "default",
        "sensu-system",
        "default@alpha",
        "sensu-system@alpha",
        "default@beta",
        "sensu-system@beta",
    ];
    assert_eq!(names(&well.json()[0]), all);
    assert_eq!((well.header("fedgate-complete"), &well.json()[0]["errors"]), ("true", &Value::Null));

    world.alpha.faults().set_hang(true);
    world.net.set("beta", Line::Refused);
    world.beta.faults().set_status(Some(503));
    let begun = Instant::now();
    let partial = post(&world, &json!([{"query": SWITCHER}])).await;
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    let answer = &partial.json()[0];
    assert_eq!(
        (partial.status.as_u16(), names(answer), &answer["errors"]),
        (200, all.to_vec(), &Value::Null)
    );
    let clusters = &answer["extensions"]["fedgate"]["clusters"];
    assert_eq!((&clusters["local-cluster"], &clusters["alpha"]), (&json!("ok"), &json!("timeout")));
    assert_ne!(clusters["beta"], "ok");
    assert_eq!(partial.header("fedgate-complete"), "false");
    assert!(
        partial.header("fedgate-clusters").contains("\"alpha\";error=timeout"),
        "{}",
        partial.header("fedgate-clusters")
    );

    // A user for whom the unhealthy ones have no last answer sees the others.
    let other = format!("Bearer {}", world.token("eve", &["cluster-admins"]));
    let answer = post_as(&world, Some(&other), "/graphql", &json!({"query": SWITCHER})).await.json();
    assert_eq!((names(&answer), &answer["errors"]), (vec!["default", "sensu-system"], &Value::Null));

    world.alpha.faults().set_hang(false);
    world.beta.faults().set_status(None);
    world.net.set("beta", Line::Up);
    let answer = post_as(&world, Some(&other), "/graphql", &json!({"query": SWITCHER})).await.json();
    assert!(names(&answer).contains(&"default@alpha"), "{answer}");
}

#[tokio::test]
async fn one_operation_for_several_clusters_has_one_answer() {
    let world = World::new();
    for (sensu, name) in [(&world.local, "of-local"), (&world.alpha, "of-alpha"), (&world.beta, "of-beta")] {
        world.put_check(sensu, name).await;
    }
    world.forget();
    let answer = query(
        &world,
        "{b:namespace(name:\"default@beta\"){...N} l:namespace(name:\"default\"){...N} a:namespace(name:\"default@alpha\"){...N}\
         gone:namespace(name:\"default@gone\"){...N}} fragment N on Namespace{id name cluster checks{nodes{id name namespace}}}",
    )
    .await;
    let one = |cluster: &str, suffix: &str| {
        json!({
            "id": format!("srn:namespaces:default{suffix}"), "name": format!("default{suffix}"), "cluster": cluster,
            "checks": {"nodes": [{
                "id": format!("srn:checks:default{suffix}:of-{}", cluster.trim_end_matches("-cluster")),
                "name": format!("of-{}", cluster.trim_end_matches("-cluster")), "namespace": format!("default{suffix}"),
            }]},
        })
    };
    let expected = json!({"b": one("beta", "@beta"), "l": one("local-cluster", ""), "a": one("alpha", "@alpha"), "gone": null});
    assert_eq!((&answer["data"], &answer["errors"]), (&expected, &Value::Null));
    let keys: Vec<&String> = answer["data"].as_object().unwrap().keys().collect();
    assert_eq!(keys, ["b", "l", "a", "gone"]);
    assert_eq!(world.sensus().map(asked), [1, 1, 1]);
}

#[tokio::test]
async fn mutations_run_in_their_order_and_ids_lead_back() {
    let world = World::new();
    for sensu in world.sensus() {
        for name in ["a", "b", "c"] {
            world
                .put(
                    sensu,
                    &format!("/api/core/v2/namespaces/default/entities/{name}"),
                    &entity("default", name),
                )
                .await;
        }
    }
    let list = "{namespace(name:\"default@alpha\"){entities{nodes{id}}}}";
    let ids: Vec<String> = query(&world, list).await["data"]["namespace"]["entities"]["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|node| node["id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(ids[0], "srn:entities:default@alpha:a");
    world.forget();
    let body = json!({
        "query": "mutation($x:ID!,$y:ID!,$z:ID!){x:deleteEntity(input:{id:$x}){deletedId} y:deleteEntity(input:{id:$y}){deletedId} \
                  z:deleteEntity(input:{id:$z}){deletedId} again:deleteEntity(input:{id:$x}){deletedId}}",
        "variables": {"x": ids[0], "y": "srn:entities:default@beta:b", "z": ids[2]},
    });
    let answer = post(&world, &body).await.json();
    let data = &answer["data"];
    assert_eq!(data["x"], json!({"deletedId": "srn:entities:default@alpha:a"}), "{answer}");
    assert_eq!(data["y"], json!({"deletedId": "srn:entities:default@beta:b"}));
    assert_eq!(data["z"], json!({"deletedId": "srn:entities:default@alpha:c"}));
    // The last is too late, because the first was before it.
    assert_eq!((&data["again"], answer["errors"].as_array().unwrap().len()), (&Value::Null, 1));
    assert_eq!(answer["errors"][0]["path"], json!(["again"]));
    assert_eq!(world.sensus().map(asked), [0, 2, 1]);
    let left = |sensu| world.direct(sensu, "/api/core/v2/namespaces/default/entities");
    assert_eq!(left(&world.local).await.each("/metadata/name"), ["a", "b", "c"]);
    assert_eq!(left(&world.alpha).await.each("/metadata/name"), ["b"]);
    assert_eq!(left(&world.beta).await.each("/metadata/name"), ["a", "c"]);
}

#[tokio::test]
async fn ten_operations_are_answered_in_order_and_eleven_refused() {
    let world = World::new();
    world.put(&world.alpha, "/api/core/v2/namespaces/default/checks/disk", &check("default", "disk")).await;
    let page = |namespace: &str| json!({"query": "query($n:String!){namespace(name:$n){id}}", "variables": {"n": namespace}});
    let ten: Vec<Value> =
        (0..10).map(|n| page(["default", "default@alpha", "default@beta"][n % 3])).collect();
    world.forget();
    let answers = post(&world, &json!(ten)).await.json();
    let ids: Vec<&str> =
        answers.as_array().unwrap().iter().map(|a| a["data"]["namespace"]["id"].as_str().unwrap()).collect();
    for (n, id) in ids.iter().enumerate() {
        let suffix = ["", "@alpha", "@beta"][n % 3];
        assert_eq!(*id, format!("srn:namespaces:default{suffix}"));
    }
    assert_eq!(world.sensus().map(asked), [1, 1, 1], "equal queries are asked once");
    world.forget();
    let eleven: Vec<Value> = std::iter::repeat_n(page("default@alpha"), 11).collect();
    let answer = post(&world, &json!(eleven)).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()[0]["errors"][0]["message"], "the request holds more than 10 operations");
    assert_eq!(world.sensus().map(asked), [0, 0, 0]);
}

#[tokio::test]
async fn what_is_over_a_limit_reaches_no_cluster() {
    let world = World::new();
    let repeated = |count: usize, field: &dyn Fn(usize) -> String| {
        format!("{{{}}}", (0..count).map(field).collect::<Vec<_>>().join(" "))
    };
    let deep = |levels: usize| {
        let inner = "handlers{".repeat(levels - 2);
        format!("{{handler(namespace:\"default\",name:\"x\"){{{inner}name{}}}}}", "}".repeat(levels - 2))
    };
    query(&world, "{__typename}").await;
    world.forget();
    for (text, message) in [
        (deep(33), "the operation is deeper than 32 levels"),
        (
            repeated(201, &|n| format!("a{n}:versions{{backend{{version}}}}")),
            "the operation has more than 200 root fields",
        ),
        (
            format!("{{namespace(name:\"default@alpha\"){}}}", repeated(201, &|n| format!("a{n}:name"))),
            "the operation has more than 200 aliases, those in fragments counted at each use",
        ),
        (repeated(15_001, &|_| "versions".to_owned()), "the document has more than 15000 tokens"),
        (CYCLE.to_owned(), "a fragment of the document contains itself"),
    ] {
        let answer = post(&world, &json!({"query": text})).await;
        assert_eq!(answer.status, 200);
        let answer = answer.json();
        assert_eq!((&answer["data"], &answer["errors"][0]["message"]), (&Value::Null, &json!(message)));
        assert_eq!(answer["errors"].as_array().unwrap().len(), 1);
    }
    let large =
        post(&world, &json!({"query": "{__typename}", "variables": {"x": "y".repeat(1024 * 1024)}})).await;
    assert_eq!(large.status, 413);
    world.nothing_was_forwarded("over a limit");
    // As much as that is allowed.
    for text in [
        repeated(200, &|n| format!("a{n}:__typename")),
        format!("{{namespace(name:\"default@alpha\"){}}}", repeated(200, &|n| format!("a{n}:name"))),
    ] {
        assert_eq!(query(&world, &text).await["errors"], Value::Null);
    }
}

#[tokio::test]
async fn a_viewer_sees_and_is_refused_as_in_a_single_cluster() {
    let world = World::new();
    let binding = json!({
        "metadata": {"name": "viewers"}, "role_ref": {"type": "ClusterRole", "name": "view"},
        "subjects": [{"type": "Group", "name": "viewers"}],
    });
    for sensu in world.sensus() {
        world.put_check(sensu, "disk").await;
        world.put(sensu, "/api/core/v2/clusterrolebindings/viewers", &binding).await;
    }
    let (viewer, nobody) = (world.token("bob", &["viewers"]), world.token("eve", &["nothing"]));
    for token in [viewer, nobody] {
        let token = format!("Bearer {token}");
        for (text, variables) in [
            (
                "query($n:String!){namespace(name:$n){id name checks{nodes{id namespace}}}}",
                json!({"n": "default#"}),
            ),
            ("query($n:String!){check(namespace:$n,name:\"disk\"){id command}}", json!({"n": "default#"})),
            (
                "mutation($i:ID!){executeCheck(input:{id:$i}){errors{code input}}}",
                json!({"i": "srn:checks:default#:disk"}),
            ),
            (
                "mutation($i:ID!){updateCheck(input:{id:$i,props:{publish:false}}){check{publish}}}",
                json!({"i": "srn:checks:default#:disk"}),
            ),
            (
                "mutation($n:String!){createSilence(input:{namespace:$n,check:\"disk\",subscription:\"*\",props:{}}){silence{id}}}",
                json!({"n": "default#"}),
            ),
        ] {
            let of = |suffix: &str| {
                let variables: Value =
                    serde_json::from_str(&variables.to_string().replace('#', suffix)).unwrap();
                json!({"query": text, "variables": variables})
            };
            let own = direct(&world, &world.alpha, &token, &of("")).await;
            let through = post_as(&world, Some(&token), "/graphql", &of("@alpha")).await;
            let plain =
                through.text().replace("@alpha", "").replace(",\"extensions\":{\"cluster\":\"alpha\"}", "");
            assert_eq!(serde_json::from_str::<Value>(&plain).unwrap(), own, "{text}");
        }
        let changed = world.direct(&world.alpha, "/api/core/v2/namespaces/default/checks/disk").await.json();
        assert_eq!(changed["publish"], true);
    }
}

#[tokio::test]
async fn an_api_key_works_in_its_cluster_and_is_shown_to_no_other() {
    let world = World::new();
    let key = "83abef1e-e7d7-4beb-91fc-79ad90084d5b";
    let value = json!({"metadata": {"name": key}, "username": "admin", "created_at": 1});
    world.local.etcd_put(&format!("/sensu.io/apikeys/{key}"), value.to_string().as_bytes());
    world.forget();
    let key = format!("Key {key}");
    let body =
        json!({"query": "{a:namespace(name:\"default@alpha\"){id} l:namespace(name:\"default\"){id}}"});
    let answer = post_as(&world, Some(&key), "/graphql", &body).await.json();
    assert_eq!(answer["data"], json!({"a": null, "l": {"id": "srn:namespaces:default"}}));
    assert_eq!(answer["errors"][0]["extensions"], json!({"cluster": "alpha"}));
    let switcher = post_as(&world, Some(&key), "/graphql", &json!({"query": SWITCHER})).await.json();
    assert_eq!((names(&switcher), &switcher["errors"]), (vec!["default", "sensu-system"], &Value::Null));
    assert_eq!((asked(&world.alpha), asked(&world.beta)), (0, 0));
    assert!(world.alpha.requests().iter().all(|request| !request.headers.contains_key("authorization")));
    let unknown = post_as(&world, Some("Key k"), "/graphql", &json!({"query": SWITCHER})).await;
    assert_eq!(unknown.status, 401);
}

#[tokio::test(start_paused = true)]
async fn an_unhealthy_clusters_failure_is_passed_on_after_a_delay() {
    let world = World::new();
    query(&world, SWITCHER).await;
    let page = json!([{"query": "{namespace(name:\"default@alpha\"){id checks{nodes{id}}}}"}]);
    let wait = Duration::from_millis(300);
    let timed = async |body: &Value| {
        let begun = Instant::now();
        let answer = post(&world, body).await;
        (answer.status.as_u16(), begun.elapsed(), answer)
    };
    let (status, took, _) = timed(&page).await;
    assert_eq!((status, took), (200, Duration::ZERO));

    for fault in [500, 503, 401] {
        world.alpha.faults().set_status(Some(fault));
        let (status, took, answer) = timed(&page).await;
        assert_eq!((status, took >= wait && took < 2 * wait), (502, true), "{fault}: {took:?}");
        assert!(answer.json()["message"].as_str().unwrap().contains("\"alpha\""), "{}", answer.text());
        // What the gateway knows is there before the failure, and other clusters have none.
        let route = json!([{"query": "query NamespaceRouteQuery($n:String!){namespace(name:$n){name __typename}}", "variables": {"n": "default@alpha"}}]);
        let (status, took, answer) = timed(&route).await;
        assert_eq!((status, took), (200, Duration::ZERO));
        assert_eq!(answer.json()[0]["data"]["namespace"]["id"], "srn:namespaces:default@alpha");
        let (status, took, _) = timed(&json!([{"query": "{namespace(name:\"default@beta\"){id}}"}])).await;
        assert_eq!((status, took), (200, Duration::ZERO));
    }
    world.alpha.faults().set_status(None);

    // Next to other clusters it is null, with an error.
    world.alpha.faults().set_status(Some(503));
    let both = json!({"query": "{a:check(namespace:\"default@alpha\",name:\"x\"){id} b:namespace(name:\"default@beta\"){id}}"});
    let (status, took, answer) = timed(&both).await;
    assert_eq!((status, took), (200, Duration::ZERO));
    assert_eq!(answer.json()["data"], json!({"a": null, "b": {"id": "srn:namespaces:default@beta"}}));
    assert_eq!(answer.json()["errors"][0]["extensions"]["cluster"], "alpha");
    world.alpha.faults().set_status(None);

    // One that was slow to fail does not wait again.
    world.alpha.faults().set_hang(true);
    let (status, took, _) = timed(&page).await;
    assert_eq!(status, 504);
    assert_eq!(took.as_millis() % 1000, 0, "{took:?}");
    world.alpha.faults().set_hang(false);

    // The local cluster's own words are passed on.
    world.local.faults().set_status(Some(503));
    let (status, took, answer) = timed(&json!([{"query": "{versions{backend{version}}}"}])).await;
    assert_eq!((status, took >= wait), (503, true), "{took:?} {}", answer.text());
    world.nothing_is_held();
}

#[tokio::test]
async fn without_a_token_the_local_cluster_answers() {
    let world = World::new();
    let body = json!({"query": "{namespace(name:\"default\"){name} versions{backend{version}}}"});
    let own = world.local.handle(plain(Method::POST, "/graphql", body.to_string())).await;
    let (status, own) = (own.status(), own.into_body().collect().await.unwrap().to_bytes());
    let through = post_as(&world, None, "/graphql", &body).await;
    assert_eq!((through.status, &through.body), (status, &own));
    world.forget();
    let answer = post_as(&world, None, "/graphql", &json!([{"query": CYCLE}])).await;
    assert_eq!(answer.json()[0]["errors"][0]["message"], "a fragment of the document contains itself");
    world.nothing_was_forwarded("a cycle");
    let expired = format!(
        "Bearer {}",
        world.keys.mint(&crate::support::claims("admin", &[], crate::support::now() - 1))
    );
    assert_eq!(post_as(&world, Some(&expired), "/graphql", &body).await.status, 401);
    world.nothing_was_forwarded("an expired token");
}

#[tokio::test]
async fn raw_requests_are_passed_on_byte_for_byte_unless_they_harm_the_cluster() {
    let world = World::new();
    let raw = "/c/alpha/graphql";
    for (query, variables) in [
        (CYCLE, json!({})),
        ("{check(namespace:\"a\",name:\"../b/c\"){id}}", json!({})),
        ("query($n:String!){check(namespace:\"a\",name:$n){id}}", json!({"n": "x/../../b/c"})),
        ("query($n:ID!){node(id:$n){id}}", json!({"n": "srn:checks:a:..%2Fb%2Fc"})),
        ("{check(namespace:\"a\",name:\"\\ud800/../../b/c\"){id}}", json!({})),
        ("{check(namespace:\"/\",name:\"b/c\"){id}}", json!({})),
        ("{event(namespace:\"a\",entity:\"..\",check:\"b/c/d\"){id}}", json!({})),
        (
            "mutation{deleteEvent(input:{id:\"srn:events:a:check/WyJcdWQ4MDAvLi4vLi4vYi9lIiwiZCJd\"}){deletedId}}",
            json!({}),
        ),
    ] {
        for body in [
            json!({"query": query, "variables": variables}),
            json!([{"query": query, "variables": variables}]),
        ] {
            let answer = world.call(Method::POST, raw, body.to_string()).await;
            assert_eq!((answer.status.as_u16(), &answer.json()["code"]), (400, &json!(1)), "{body}");
            let answer = world.call(Method::POST, "/c/~/graphql", body.to_string()).await;
            assert_eq!(answer.status, 400, "{body}");
        }
    }
    let odd = format!("{} x", json!({"query": CYCLE}));
    assert_eq!(world.call(Method::POST, raw, odd).await.status, 400);
    let other = world.call(Method::PUT, "/graphql", json!({"query": CYCLE}).to_string()).await;
    assert_eq!(other.status, 400);
    assert_eq!(world.call(Method::POST, raw, vec![b' '; 600_000]).await.status, 413);
    world.nothing_was_forwarded("harm");
    let bytes = "[ {\"variables\": {\"c\": \"./run.sh\"}, \"query\":\"{namespace(name:\\\"default@beta\\\"){id}}\"},7 ]";
    let answer = world.call(Method::POST, raw, bytes).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()[0]["data"], json!({"namespace": null}));
    assert_eq!(world.alpha.requests()[0].body, bytes);
}

/// As long as the string with the name is not read, on `/graphql` nothing is planned; what is left to Sensu is judged all the
/// same, whatever the type of the body is said to be.
#[tokio::test]
async fn a_name_that_cannot_be_read_reaches_no_cluster() {
    let world = World::new();
    let hostile = [
        r#"{check(namespace:"a",name:"\ud800/../../b/c"){id}}"#,
        r#"{check(namespace:"a@alpha",name:"\udc00/../../b/c"){id}}"#,
        r#"query($n:String="\ud800/../../b/c"){check(namespace:"a",name:$n){id}}"#,
        r#"mutation{updateCheck(input:{id:"srn:checks:a:\ud800%2F..%2F..%2Fb%2Fc",props:{}}){check{id}}}"#,
        r#"{node(id:"srn:events:a@alpha:check/WyJcdWQ4MDAvLi4vLi4vYi9lIiwiZCJd"){id}}"#,
        r#"{node(id:"srn:events:a:check/WyIuLi9iL2MiLCJkIiw1XQ=="){id}}"#,
    ];
    for query in hostile {
        let answer = world.call(Method::POST, "/graphql", json!({ "query": query }).to_string()).await;
        assert_eq!(answer.status, 200, "{query}");
        let shown = answer.text();
        assert!(!shown.contains("srn:"), "{query}: {shown}");
        for request in world.local.requests().iter().chain(&world.alpha.requests()) {
            assert!(String::from_utf8_lossy(&request.body).contains("__schema"), "{query}: {request:?}");
        }
    }
}

#[tokio::test]
async fn http1_and_http2_carry_it_alike() {
    let keys = Arc::new(SharedKeys::generate().unwrap());
    let (alpha, address) = simulated("alpha", &keys).await;
    let sections = json!({"clusters": [{"name": "alpha", "api-urls": [format!("http://{address}")]}]});
    let federated = Running::with_keys(keys, sections).await;
    let body =
        json!([{"query": "{a:namespace(name:\"default@alpha\"){id} l:namespace(name:\"default\"){id}}"}])
            .to_string();
    let expected =
        json!({"a": {"id": "srn:namespaces:default@alpha"}, "l": {"id": "srn:namespaces:default"}});
    let request = request_of(&federated.token, Method::POST, "/graphql", body.clone());
    let (status, _, first) = federated.send(request).await;
    let first: Value = serde_json::from_slice(&first).unwrap();
    assert_eq!((status, &first[0]["data"]), (200, &expected));

    let stream = TcpStream::connect(federated.main).await.unwrap();
    let (client, connection) =
        conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let many = (0..20).map(|_| {
        let mut client = client.clone();
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("http://gw:{}/graphql", federated.main.port()))
            .header("content-type", "application/json")
            .header("authorization", format!("Bearer {}", federated.token))
            .body(Full::new(bytes::Bytes::from(body.clone())))
            .unwrap();
        async move { read(client.send_request(request).await.unwrap()).await }
    });
    for (status, answer) in futures::future::join_all(many).await {
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        assert_eq!((status, answer), (200, first.clone()));
    }
    assert!(asked(&alpha) >= 1);
}
