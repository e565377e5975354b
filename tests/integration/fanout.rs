//! Lists: what is merged, in which order, and what is said about it.

use fedgate::sim::Sensu;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{Answer, Line, Setup, World, check, claims, entity, now, plain};

const CHECKS: &str = "/api/core/v2/namespaces/default/checks";
const ALL: &str = r#""local-cluster";status=200, "alpha";status=200, "beta";status=200"#;

/// Something of many kinds in every cluster; more in some than in others.
async fn seed(world: &World) {
    for (count, sensu) in (1..).zip(world.sensus()) {
        world.put(sensu, "/api/core/v2/namespaces/ops", &json!({"name": "ops"})).await;
        for n in 0..count {
            for namespace in ["default", "ops"] {
                seed_namespace(world, sensu, namespace, &format!("x{n}")).await;
            }
        }
    }
    world.forget();
}

async fn seed_namespace(world: &World, sensu: &Sensu, namespace: &str, name: &str) {
    let metadata =
        json!({"name": name, "namespace": namespace, "labels": {"namespace": namespace, "ä": "\"]},[{"}});
    let objects = [
        ("checks", check(namespace, name)),
        ("entities", entity(namespace, name)),
        ("handlers", json!({"type": "pipe", "command": "true", "metadata": metadata})),
        ("filters", json!({"action": "allow", "expressions": ["true"], "metadata": metadata})),
        ("mutators", json!({"command": "true", "metadata": metadata})),
        ("hooks", json!({"command": "true", "timeout": 1, "metadata": metadata})),
        ("roles", json!({"rules": [{"verbs": ["get"], "resources": ["checks"]}], "metadata": metadata})),
        ("assets", json!({"url": "https://x/a", "sha512": "0".repeat(128), "metadata": metadata})),
    ];
    for (kind, object) in objects {
        world.put(sensu, &format!("/api/core/v2/namespaces/{namespace}/{kind}/{name}"), &object).await;
    }
    let silence = json!({"subscription": "linux", "check": name, "metadata": {"name": format!("linux:{name}"), "namespace": namespace}});
    world.put(sensu, &format!("/api/core/v2/namespaces/{namespace}/silenced/linux:{name}"), &silence).await;
    let event = json!({"entity": entity(namespace, name), "check": check(namespace, "disk"), "metadata": {"namespace": namespace}});
    world.put(sensu, &format!("/api/core/v2/namespaces/{namespace}/events/{name}/disk"), &event).await;
}

/// What the answer must be: every cluster's own list with labels and qualified namespaces, nothing else changed.
async fn expected(world: &World, target: &str) -> String {
    let mut items = Vec::new();
    for sensu in world.sensus() {
        let own = world.direct(sensu, target).await;
        let raw: Vec<Box<serde_json::value::RawValue>> = serde_json::from_slice(&own.body).unwrap();
        items.extend(raw.iter().map(|item| label(item.get(), sensu.name(), target)));
    }
    format!("[{}]", items.join(","))
}

fn label(item: &str, cluster: &str, target: &str) -> String {
    let mut item = item.to_owned();
    if cluster != "local-cluster" {
        if target.ends_with("/core/v2/namespaces") {
            item = item.replace("\"}", &format!("@{cluster}\"}}"));
        } else {
            // The labels hold a namespace as well, which must stay.
            for name in ["default", "ops", "sensu-system"] {
                let labels = format!(r#""labels":{{"namespace":"{name}""#);
                let plain = format!(r#""namespace":"{name}""#);
                item = item
                    .replace(&labels, "\u{1}")
                    .replace(&plain, &format!(r#""namespace":"{name}@{cluster}""#))
                    .replace('\u{1}', &labels);
            }
        }
    }
    item.replacen('{', &format!(r#"{{"cluster":"{cluster}","#), 1)
}

#[tokio::test]
async fn a_merged_list_is_every_clusters_own_list_labelled_and_qualified() {
    let world = World::new();
    seed(&world).await;
    let silences = world.direct(&world.beta, "/api/core/v2/namespaces/ops/silenced/checks/x0").await;
    assert_eq!(silences.each("/metadata/name"), ["linux:x0"]);
    let kinds = [
        "assets", "checks", "entities", "events", "filters", "handlers", "hooks", "mutators", "roles",
        "silenced",
    ];
    let mut targets = vec!["/api/core/v2/namespaces".to_owned()];
    for kind in kinds {
        targets.push(format!("/api/core/v2/{kind}"));
        targets.push(format!("/api/core/v2/namespaces/default/{kind}"));
        targets.push(format!("/api/core/v2/namespaces/ops/{kind}"));
    }
    targets.push("/api/core/v2/namespaces/default/events/x1".into());
    targets.push("/api/core/v2/namespaces/default/silenced/checks/x0".into());
    targets.push("/api/core/v2/namespaces/default/silenced/subscriptions/linux".into());
    for target in targets {
        let expected = expected(&world, &target).await;
        let answer = world.get(&target).await;
        assert_eq!(answer.text(), expected, "{target}");
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.header("content-type"), "application/json");
        assert_eq!(
            (answer.header("fedgate-complete"), answer.header("fedgate-clusters")),
            ("true", ALL),
            "{target}"
        );
        world.nothing_is_held();
    }
}

#[tokio::test]
async fn a_qualified_list_is_labelled_and_comes_from_one_cluster() {
    let world = World::new();
    seed(&world).await;
    let answer = world.get("/api/core/v2/namespaces/default@beta/checks").await;
    assert_eq!(answer.each("/cluster"), ["beta"; 3]);
    assert_eq!(answer.each("/metadata/namespace"), ["default@beta"; 3]);
    assert_eq!(answer.header("fedgate-clusters"), r#""beta";status=200"#);
    assert_eq!(world.requests().len(), 1);
}

#[tokio::test]
async fn clusters_are_selected_by_a_comma_list_that_is_not_forwarded() {
    let world = World::new();
    seed(&world).await;
    for (query, members) in [
        ("clusters=beta,alpha", &["alpha", "alpha", "beta", "beta", "beta"][..]),
        ("clusters=beta&clusters=local-cluster", &["local-cluster", "beta", "beta", "beta"]),
        ("clusters=alpha,alpha", &["alpha", "alpha"]),
        ("clusters=local-cluster%2Calpha", &["local-cluster", "alpha", "alpha"]),
        ("%63lusters=alpha", &["alpha", "alpha"]),
    ] {
        world.forget();
        let answer = world.get(&format!("{CHECKS}?x=1&{query}&labelSelector=a%20b")).await;
        assert_eq!(answer.each("/cluster"), members, "{query}");
        for request in world.requests() {
            assert_eq!(request.path_and_query, format!("{CHECKS}?x=1&labelSelector=a%20b"));
        }
    }
}

#[tokio::test]
async fn the_parameters_of_a_page_are_the_gateways_own_in_any_spelling() {
    let world = World::new();
    seed(&world).await;
    world.forget();
    let all = world.get(&format!("{CHECKS}?limit=0")).await;
    assert_eq!((all.each("/cluster").len(), all.header("sensu-continue")), (6, ""));
    for request in world.requests() {
        assert_eq!(request.path_and_query, CHECKS);
    }
    world.forget();
    let page = world.get(&format!("{CHECKS}?%6cimit=1&x=1&c%6fntinue=")).await;
    assert_eq!(page.each("/cluster"), ["local-cluster"]);
    let asked: Vec<_> = world.requests().into_iter().map(|request| request.path_and_query).collect();
    assert_eq!(asked, [format!("{CHECKS}?x=1&limit=1")], "the others have no part of this page");
}

#[tokio::test]
async fn a_member_that_is_down_is_named_and_the_rest_answered() {
    let world = World::new();
    seed(&world).await;
    world.net.set("alpha", Line::Refused);
    world.net.set("beta", Line::BadCertificate);
    let answer = world.get(CHECKS).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.each("/cluster"), ["local-cluster"]);
    assert_eq!(answer.header("fedgate-complete"), "false");
    assert_eq!(
        answer.header("fedgate-clusters"),
        r#""local-cluster";status=200, "alpha";error=unreachable, "beta";error=tls"#
    );
}

#[tokio::test]
async fn who_refuses_partial_lists_gets_an_error_that_names_the_members() {
    let world = World::new();
    seed(&world).await;
    world.net.set("beta", Line::Refused);
    let by_query = world.get(&format!("{CHECKS}?partial=false")).await;
    let mut request = world.request(Method::GET, CHECKS, "");
    request.headers_mut().insert("fedgate-partial", "deny".parse().unwrap());
    let by_header = world.send(request).await;
    for answer in [by_query, by_header] {
        assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
        assert_eq!(answer.header("content-type"), "application/json");
        let body = answer.json();
        assert_eq!((&body["code"], &body["clusters"]), (&json!(0), &json!({"beta": "unreachable"})));
        assert!(body["message"].is_string());
        assert_eq!(answer.header("fedgate-complete"), "false");
    }
    for request in world.requests() {
        assert_eq!(request.path_and_query, CHECKS);
        assert!(!request.headers.contains_key("fedgate-partial"));
    }
    world.net.set("beta", Line::Up);
    assert_eq!(world.get(&format!("{CHECKS}?partial=false")).await.status, StatusCode::OK);
    world.nothing_is_held();
}

#[tokio::test]
async fn without_any_member_the_answer_is_502() {
    let world = World::new();
    for cluster in ["local-cluster", "alpha", "beta"] {
        world.net.set(cluster, Line::Refused);
    }
    let answer = world.get(CHECKS).await;
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    let all = json!({"local-cluster": "unreachable", "alpha": "unreachable", "beta": "unreachable"});
    assert_eq!(answer.json()["clusters"], all);
    // One cluster alone is no different, and its URL is not revealed.
    let answer = world.get("/api/core/v2/namespaces/default@alpha/checks/x").await;
    answer.is(502, r#"{"message":"cluster \"alpha\" is unreachable","code":0}"#);
}

async fn as_user(world: &World, user: &str, target: &str) -> Answer {
    let mut request = plain(Method::GET, target, "");
    let token = world.keys.mint(&claims(user, &["system:users"], now() + 60));
    request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    world.send(request).await
}

async fn bind(world: &World, sensu: &Sensu, user: &str) {
    let binding = json!({
        "subjects": [{"type": "User", "name": user}],
        "role_ref": {"type": "ClusterRole", "name": "view"},
        "metadata": {"name": user},
    });
    world.put(sensu, &format!("/api/core/v2/clusterrolebindings/{user}"), &binding).await;
}

#[tokio::test]
async fn a_refusal_by_all_is_sensus_own_403() {
    let world = World::new();
    let own = r#"{"Code":4,"Message":"unauthorized to perform action"}"#;
    let answer = as_user(&world, "nobody", CHECKS).await;
    answer.is(403, own);
    assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
    assert_eq!(
        answer.header("fedgate-clusters"),
        r#""local-cluster";error=forbidden, "alpha";error=forbidden, "beta";error=forbidden"#
    );
}

#[tokio::test]
async fn a_user_reads_where_a_binding_allows_it() {
    let world = World::new();
    seed(&world).await;
    bind(&world, &world.alpha, "viewer").await;
    let answer = as_user(&world, "viewer", CHECKS).await;
    assert_eq!(answer.each("/cluster"), ["alpha"; 2]);
    assert_eq!(
        answer.header("fedgate-clusters"),
        r#""local-cluster";error=forbidden, "alpha";status=200, "beta";error=forbidden"#
    );
    let refused = as_user(&world, "viewer", "/api/core/v2/namespaces/default@beta/checks").await;
    refused.is(403, r#"{"Code":4,"Message":"unauthorized to perform action"}"#);
}

#[tokio::test]
async fn who_may_see_no_namespace_of_a_cluster_has_an_empty_list_there() {
    let world = World::new();
    bind(&world, &world.alpha, "viewer").await;
    let answer = as_user(&world, "viewer", "/api/core/v2/namespaces").await;
    assert_eq!(answer.each("/name"), ["default@alpha", "sensu-system@alpha"]);
    assert_eq!((answer.header("fedgate-complete"), answer.header("fedgate-clusters")), ("true", ALL));
    as_user(&world, "nobody", "/api/core/v2/namespaces").await.is(200, "[]");
}

#[tokio::test]
async fn only_a_401_of_all_members_is_the_answer() {
    let world = World::new();
    for sensu in world.sensus() {
        sensu.faults().set_status(Some(401));
    }
    let answer = world.get(CHECKS).await;
    answer.is(401, r#"{"Code":5,"Message":"invalid credentials"}"#);
    let all = r#""local-cluster";error=unauthorized, "alpha";error=unauthorized, "beta";error=unauthorized"#;
    assert_eq!(answer.header("fedgate-clusters"), all);
    world.local.faults().set_status(None);
    let answer = world.get(CHECKS).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(
        answer.header("fedgate-clusters"),
        r#""local-cluster";status=200, "alpha";error=unauthorized, "beta";error=unauthorized"#
    );
}

#[tokio::test]
async fn a_404_by_all_is_passed_on() {
    let world = World::new();
    let target = "/api/core/v2/namespaces/default/nothings";
    let own = world.direct(&world.local, target).await;
    assert_eq!(own.status, StatusCode::NOT_FOUND);
    world.get(target).await.is(404, own.text());
}

#[tokio::test]
async fn empty_lists_merge_to_an_empty_list() {
    let world = World::new();
    world.get(CHECKS).await.is(200, "[]");
    for sensu in world.sensus() {
        sensu.faults().set_body(Some("null".into()));
    }
    let answer = world.get(CHECKS).await;
    answer.is(200, "[]");
}

#[tokio::test]
async fn without_a_default_scope_of_all_lists_are_local() {
    let mut setup = Setup::default();
    setup.settings.fan_out.default_scope = fedgate::types::ListScope::Local;
    let world = World::with(setup);
    seed(&world).await;
    let answer = world.get(CHECKS).await;
    assert_eq!(answer.each("/cluster"), ["local-cluster"]);
    assert_eq!(world.get(&format!("{CHECKS}?clusters=*")).await.each("/cluster").len(), 6);
    let namespaces: Vec<Value> =
        answer.json().as_array().unwrap().iter().map(|i| i["metadata"]["namespace"].clone()).collect();
    assert_eq!(namespaces, ["default"]);
}

#[tokio::test]
async fn a_selection_beyond_the_bound_is_refused() {
    let mut setup = Setup::default();
    setup.settings.fan_out.max_members = 2;
    let world = World::with(setup);
    world.get(CHECKS).await.is(
        400,
        r#"{"message":"the list would ask 3 clusters, and fan-out.max-members is 2: name those you want with clusters=","code":1}"#,
    );
    assert_eq!(world.get(&format!("{CHECKS}?clusters=alpha,beta")).await.status, StatusCode::OK);
}
