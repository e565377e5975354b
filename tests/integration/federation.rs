//! Clusters that are registered while the gateway runs.

use std::time::Duration;

use fedgate::sim::Sensu;
use http::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{
    Running, World, asked, certificate, claims, h1, now, plain, read, request_of, send, simulated,
};

const CLUSTERS: &str = "/api/enterprise/federation/v1/clusters";
const STATUS: &str = "/api/enterprise/federation/v1/status";

fn resource(name: &str, url: &str) -> Value {
    json!({
        "type": "Cluster", "api_version": "federation/v1",
        "metadata": {"name": name}, "spec": {"api_urls": [url]}
    })
}

#[tokio::test]
async fn a_registered_cluster_is_routed_to_by_every_worker_once_the_put_is_answered() {
    let server = Running::start().await;
    for round in 0..5 {
        let name = format!("c{round}");
        server.call(Method::GET, &format!("/c/{name}/version"), &Value::Null, 404).await;
        server.register(&name).await;
        // Connections are spread over the workers by the kernel.
        for _ in 0..8 {
            server.call(Method::GET, &format!("/c/{name}/version"), &Value::Null, 200).await;
        }
    }
    let list = server.call(Method::GET, CLUSTERS, &Value::Null, 200).await;
    let list: Value = serde_json::from_slice(&list).unwrap();
    assert_eq!(list.as_array().unwrap().len(), 5);
    let merged = server.send(server.request("/api/core/v2/namespaces")).await;
    let asked = merged.1["fedgate-clusters"].to_str().unwrap();
    assert!(asked.contains(r#""c4";status=200"#), "{asked}");
}

#[tokio::test]
async fn a_deleted_cluster_is_404_at_once_while_its_requests_finish_and_other_connections_stay() {
    let server = Running::start().await;
    let alpha = server.register("alpha").await;
    let beta = server.register("beta").await;
    // One connection, so one worker: it keeps its connection to beta.
    let mut client = h1(server.main).await;
    let version = server.request("/c/beta/version");
    assert_eq!(read(send(&mut client, version).await).await.0, 200);

    alpha.faults().set_delay(Some(Duration::from_millis(300)));
    let mut slow = h1(server.main).await;
    let in_flight = tokio::spawn(slow.send_request(server.request("/c/alpha/api/core/v2/namespaces")));
    asked(&alpha).await;
    server.call(Method::DELETE, &format!("{CLUSTERS}/alpha"), &Value::Null, 204).await;
    for _ in 0..8 {
        let gone = server.call(Method::GET, "/c/alpha/version", &Value::Null, 404).await;
        assert!(gone.starts_with(br#"{"message":"cluster \"alpha\" is not registered""#), "{gone:?}");
    }
    assert!(!in_flight.is_finished(), "the cluster answered too early for this test");
    assert_eq!(read(in_flight.await.unwrap().unwrap()).await.0, 200);
    assert_eq!(read(send(&mut client, server.request("/c/beta/version")).await).await.0, 200);
    let forwarded =
        beta.requests().into_iter().filter(|request| request.headers.contains_key("x-forwarded-for"));
    let connections: Vec<_> = forwarded.map(|request| request.connection).collect();
    assert_eq!(connections.len(), 2);
    assert_eq!(connections[0], connections[1], "beta's connection was opened again");
}

#[tokio::test]
async fn a_gateway_registered_as_a_cluster_is_refused_after_one_hop_and_reported_as_unhealthy() {
    let health = json!({"health": {"interval": "1s", "timeout": "1s", "unhealthy-after": 1}});
    let server = Running::with(json!({ "upstream": health })).await;
    let itself = resource("itself", &format!("http://{}", server.main));
    server.call(Method::PUT, &format!("{CLUSTERS}/itself"), &itself, 201).await;

    let (status, headers, _) = server.send(server.request("/api/core/v2/namespaces")).await;
    assert_eq!((status, &headers["fedgate-complete"]), (200, &"false".parse().unwrap()));
    let lists = server.sensu.requests().into_iter().filter(|r| r.path_and_query.contains("namespaces"));
    assert_eq!(lists.count(), 1, "the request came round");
    loop {
        let status = server.call(Method::GET, STATUS, &Value::Null, 200).await;
        let status: Value = serde_json::from_slice(&status).unwrap();
        let cluster = status["clusters"].as_array().unwrap().iter().find(|c| c["name"] == "itself").unwrap();
        if cluster["error"].as_str().is_some_and(|error| error.contains("a fedgate, not a Sensu backend")) {
            assert_eq!(cluster["state"], "down");
            return;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn everyone_reads_and_only_administrators_write() {
    let server = Running::start().await;
    server.register("alpha").await;
    let viewer = server.keys.mint(&claims("viewer", &["viewers", "system:users"], now() + 60));
    let alpha = format!("{CLUSTERS}/alpha");
    let (status, _, body) = server.send(request_of(&viewer, Method::GET, &alpha, "")).await;
    assert_eq!(status, 200, "{body:?}");
    for (method, target) in [(Method::PUT, alpha.as_str()), (Method::DELETE, alpha.as_str())] {
        let body = resource("alpha", "https://elsewhere.example.com").to_string();
        let (status, _, body) = server.send(request_of(&viewer, method, target, body)).await;
        assert_eq!(
            (status, &body[..]),
            (403, &br#"{"Code":4,"Message":"unauthorized to perform action"}"#[..])
        );
    }
    let (status, ..) = server.send(request_of("no token", Method::GET, CLUSTERS, "")).await;
    assert_eq!(status, 401);
}

#[tokio::test]
async fn what_was_registered_is_there_after_a_restart() {
    let server = Running::start().await;
    server.register("alpha").await;
    let path = server.directory.path().join("state/registry.redb");
    server.stop.send(()).await.unwrap();
    server.done.await.unwrap().unwrap();
    let again = Running::with(json!({"store": {"embedded": {"path": path}}})).await;
    let list = again.call(Method::GET, CLUSTERS, &Value::Null, 200).await;
    let list: Value = serde_json::from_slice(&list).unwrap();
    assert_eq!(list[0]["metadata"], json!({"name": "alpha", "created_by": "admin"}));
}

#[tokio::test]
async fn a_caller_who_may_not_write_is_refused_before_the_body_is_read() {
    let server = Running::start().await;
    let viewer = server.keys.mint(&claims("viewer", &["viewers"], now() + 60));
    let mut request = request_of(&viewer, Method::PUT, &format!("{CLUSTERS}/alpha"), "");
    // It announces a body that never comes.
    request.headers_mut().insert("content-length", "400000".parse().unwrap());
    let (parts, _) = request.into_parts();
    let fields = parts.headers.iter().map(|(name, value)| format!("{name}: {}\r\n", value.to_str().unwrap()));
    let head = format!("{} {} HTTP/1.1\r\n{}", parts.method, parts.uri, fields.collect::<String>());
    let mut stream = tokio::net::TcpStream::connect(server.main).await.unwrap();
    stream.write_all(format!("{head}\r\n").as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 403");
}

#[tokio::test]
async fn a_body_over_the_limit_is_413_and_nothing_is_registered() {
    let server = Running::start().await;
    let mut body = resource("alpha", "http://127.0.0.1:1");
    body["metadata"]["labels"] = json!({"big": "x".repeat(600_000)});
    server.call(Method::PUT, &format!("{CLUSTERS}/alpha"), &body, 413).await;
    assert_eq!(server.call(Method::GET, CLUSTERS, &Value::Null, 200).await, "[]");
}

#[tokio::test]
async fn a_gateway_that_starts_without_its_etcd_says_that_it_does_not_know_all_clusters() {
    let store = json!({"etcd": {"endpoints": ["http://127.0.0.1:1"]}});
    let server = Running::with(json!({ "store": store })).await;
    let mut admin = h1(server.admin).await;
    let (ready, reason) = read(send(&mut admin, server.request("/readyz")).await).await;
    assert_eq!((ready, &reason[..]), (503, &b"the registry has not been read yet: see the log\n"[..]));
    let replicators = CLUSTERS.replace("clusters", "etcd-replicators");
    for target in [CLUSTERS, &format!("{CLUSTERS}/alpha"), &replicators, "/c/alpha/version"] {
        let answer = server.call(Method::GET, target, &Value::Null, 503).await;
        assert!(String::from_utf8_lossy(&answer).contains("registry"), "{answer:?}");
    }
    server.call(Method::GET, "/api/core/v2/namespaces/default@alpha/checks", &Value::Null, 503).await;
    server.call(Method::POST, "/api/core/v2/namespaces", &json!({"name": "ops@alpha"}), 503).await;
    server.call(Method::PUT, &format!("{CLUSTERS}/alpha"), &resource("alpha", "http://a"), 503).await;

    let local = server.send(server.request("/api/core/v2/namespaces?clusters=local-cluster")).await;
    assert_eq!((local.0, &local.1["fedgate-complete"]), (200, &"true".parse().unwrap()));
    let all = server.send(server.request("/api/core/v2/namespaces")).await;
    assert_eq!((all.0, &all.1["fedgate-complete"]), (200, &"false".parse().unwrap()));
    let unread = r#""local-cluster";status=200, "*";error=unreachable"#;
    assert_eq!(all.1["fedgate-clusters"], unread);
    server.call(Method::GET, "/api/core/v2/namespaces?partial=false", &Value::Null, 503).await;
    let query = json!({"query": "{ viewer { namespaces { name } } }"});
    let switcher = request_of(&server.token, Method::POST, "/graphql", query.to_string());
    let (status, headers, body) = server.send(switcher).await;
    assert_eq!((status, &headers["fedgate-complete"]), (200, &"false".parse().unwrap()), "{body:?}");
    assert_eq!(headers["fedgate-clusters"], unread);
    let answer: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(answer["extensions"]["fedgate"]["clusters"]["*"], "unreachable");
    let page = json!({"query": "{ namespace(name: \"default@alpha\") { name } }"});
    server.call(Method::POST, "/graphql", &page, 502).await;
}

#[tokio::test]
async fn a_gateway_is_not_ready_before_it_has_read_its_registry() {
    let world = World::new();
    let reason = "the registry has not been read yet: see the log\n";
    world.send(plain(Method::GET, "/readyz", "")).await.is(503, reason);
    world.send(plain(Method::GET, "/livez", "")).await.is(200, "ok\n");
    world.ready().await;
    world.send(plain(Method::GET, "/readyz", "")).await.is(200, "ok\n");
}

/// A gateway with the private key, whose local cluster has an administrator's and a viewer's API key.
async fn with_api_keys() -> (Running, Sensu, [String; 2]) {
    let server = Running::with(json!({"private-key": true})).await;
    let alpha = server.register("alpha").await;
    let mut keys = Vec::new();
    for (user, group) in [("root", "cluster-admins"), ("eve", "viewers")] {
        let body = json!({"username": user, "password": "P@ssw0rd!", "groups": [group]});
        let status = server.sensu.apply(&Method::PUT, &format!("/api/core/v2/users/{user}"), &body);
        assert!(status.is_success(), "{status}");
        let body = json!({"username": user}).to_string();
        let grant = request_of(&server.token, Method::POST, "/api/core/v2/apikeys", body);
        let (status, headers, body) = server.send(grant).await;
        assert_eq!(status, 201, "{body:?}");
        let location = headers["location"].to_str().unwrap();
        keys.push(location.rsplit('/').next().unwrap().to_owned());
    }
    for sensu in [&server.sensu, &alpha] {
        let binding = json!({
            "metadata": {"name": "viewers"}, "role_ref": {"type": "ClusterRole", "name": "view"},
            "subjects": [{"type": "Group", "name": "viewers"}]
        });
        let status = sensu.apply(&Method::PUT, "/api/core/v2/clusterrolebindings/viewers", &binding);
        assert!(status.is_success(), "{status}");
    }
    (server, alpha, keys.try_into().unwrap())
}

fn with_key(
    key: &str,
    method: Method,
    target: &str,
    body: &Value,
) -> http::Request<http_body_util::Full<bytes::Bytes>> {
    let mut request =
        request_of("", method, target, if body.is_null() { String::new() } else { body.to_string() });
    request.headers_mut().insert("authorization", format!("Key {key}").parse().unwrap());
    request
}

#[tokio::test]
async fn an_api_key_of_the_local_cluster_works_in_every_cluster_when_it_can_be_exchanged() {
    let (server, alpha, [_, viewer]) = with_api_keys().await;
    let null = Value::Null;
    let list = server.send(with_key(&viewer, Method::GET, "/api/core/v2/namespaces", &null)).await;
    assert_eq!((list.0, &list.1["fedgate-complete"]), (200, &"true".parse().unwrap()), "{list:?}");
    let one = "/api/core/v2/namespaces/default@alpha/checks";
    assert_eq!(server.send(with_key(&viewer, Method::GET, one, &null)).await.0, 200);
    let check =
        json!({"metadata": {"name": "x", "namespace": "default@alpha"}, "interval": 60, "command": "x"});
    let refused = server.send(with_key(&viewer, Method::PUT, &format!("{one}/x"), &check)).await;
    assert_eq!(refused.0, 403, "{refused:?}");
    let keys_seen = alpha.requests().iter().any(|request| {
        request.headers.get("authorization").is_some_and(|value| value.as_bytes().starts_with(b"Key "))
    });
    assert!(!keys_seen, "a remote cluster was shown the key");
    let unknown = "8c5ee6f7-5d2b-4a5e-9d3f-0d1a8cf2a003";
    let refused = server.send(with_key(unknown, Method::GET, one, &null)).await;
    assert_eq!((refused.0, &refused.2[..]), (401, &br#"{"Code":5,"Message":"invalid credentials"}"#[..]));
}

#[tokio::test]
async fn an_administrators_api_key_may_register_clusters_and_a_viewers_may_list_them() {
    let (server, _alpha, [admin, viewer]) = with_api_keys().await;
    let beta = format!("{CLUSTERS}/beta");
    let body = resource("beta", "http://127.0.0.1:1");
    assert_eq!(server.send(with_key(&viewer, Method::GET, CLUSTERS, &Value::Null)).await.0, 200);
    assert_eq!(server.send(with_key(&viewer, Method::PUT, &beta, &body)).await.0, 403);
    assert_eq!(server.send(with_key(&admin, Method::PUT, &beta, &body)).await.0, 201);
    let plain = Running::start().await;
    let refused = plain.send(with_key(&admin, Method::GET, CLUSTERS, &Value::Null)).await;
    assert_eq!(refused.0, 401, "without the private key no API key can be judged: {refused:?}");
}

const OLGAS_BINDING: &str = "/api/core/v2/clusterrolebindings/olga";

/// What olga, who is in no group of administrators, gets for registering alpha.
async fn put_by_olga(server: &Running) -> u16 {
    let olga = server.keys.mint(&claims("olga", &["system:users"], now() + 300));
    let body = resource("alpha", "http://127.0.0.1:1").to_string();
    server.send(request_of(&olga, Method::PUT, &format!("{CLUSTERS}/alpha"), body)).await.0
}

/// Waits until the gateway has read the rules by which olga gets this status.
async fn until_olga_gets(server: &Running, status: u16) {
    let begun = std::time::Instant::now();
    while put_by_olga(server).await != status {
        assert!(begun.elapsed() < Duration::from_secs(60), "the changed rules do not count");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A gateway that decides by a role of the local cluster, with which olga may update alpha.
async fn with_a_role_for_olga() -> Running {
    let server = Running::with(json!({"private-key": true})).await;
    assert_eq!(put_by_olga(&server).await, 403);
    let role = json!({
        "metadata": {"name": "federators"},
        "rules": [{"verbs": ["update"], "resources": ["clusters"], "resource_names": ["alpha"]}]
    });
    let binding = json!({
        "metadata": {"name": "olga"}, "role_ref": {"type": "ClusterRole", "name": "federators"},
        "subjects": [{"type": "User", "name": "olga"}]
    });
    let role_path = "/api/core/v2/clusterroles/federators";
    assert!(server.sensu.apply(&Method::PUT, role_path, &role).is_success());
    assert!(server.sensu.apply(&Method::PUT, OLGAS_BINDING, &binding).is_success());
    until_olga_gets(&server, 201).await;
    server
}

#[tokio::test]
async fn with_the_private_key_sensus_own_roles_decide_who_may_register() {
    let server = with_a_role_for_olga().await;
    let operator = server.keys.mint(&claims("olga", &["system:users"], now() + 300));
    // Only the verb and the name that the role has.
    let delete = request_of(&operator, Method::DELETE, &format!("{CLUSTERS}/alpha"), "");
    assert_eq!(server.send(delete).await.0, 403);
    let other = request_of(
        &operator,
        Method::PUT,
        &format!("{CLUSTERS}/beta"),
        resource("beta", "http://127.0.0.1:1").to_string(),
    );
    assert_eq!(server.send(other).await.0, 403);
}

#[tokio::test]
async fn a_caller_who_loses_the_right_while_the_body_arrives_is_refused() {
    let server = with_a_role_for_olga().await;
    let olga = server.keys.mint(&claims("olga", &["system:users"], now() + 300));
    let body = resource("alpha", "http://127.0.0.1:2").to_string();
    let (first, rest) = body.split_at(10);
    let head = format!(
        "PUT {CLUSTERS}/alpha HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer {olga}\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    let mut stream = tokio::net::TcpStream::connect(server.main).await.unwrap();
    stream.write_all(format!("{head}{first}").as_bytes()).await.unwrap();
    assert!(server.sensu.apply(&Method::DELETE, OLGAS_BINDING, &Value::Null).is_success());
    until_olga_gets(&server, 403).await;
    stream.write_all(rest.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 403");
}

#[tokio::test]
async fn the_status_says_which_cluster_is_unhealthy_and_why_to_those_who_may_know() {
    let server = Running::start().await;
    server.register("alpha").await;
    let beta = resource("beta", "http://127.0.0.1:1");
    server.call(Method::PUT, &format!("{CLUSTERS}/beta"), &beta, 201).await;
    let status = loop {
        let status = server.call(Method::GET, STATUS, &Value::Null, 200).await;
        let status: Value = serde_json::from_slice(&status).unwrap();
        if status["complete"] == true {
            break status;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    let seen: Vec<_> = status["clusters"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| (&c["name"], &c["source"], &c["state"]))
        .collect();
    let wanted = json!([["local-cluster", "local", "up"], ["alpha", "api", "up"], ["beta", "api", "down"]]);
    assert_eq!(json!(seen), wanted);
    assert_eq!(status["clusters"][1]["version"], "6.12.0");
    assert!(status["clusters"][2]["error"].as_str().unwrap().starts_with("unreachable"), "{status}");
    assert_eq!((&status["authorization"], &status["replicators"]), (&json!("admin-groups"), &json!([])));
    let viewer = server.keys.mint(&claims("viewer", &["viewers"], now() + 60));
    let (_, _, status) = server.send(request_of(&viewer, Method::GET, STATUS, "")).await;
    let status: Value = serde_json::from_slice(&status).unwrap();
    assert_eq!(
        (&status["clusters"][2]["state"], &status["clusters"][2]["error"]),
        (&json!("down"), &Value::Null)
    );
}

#[tokio::test]
async fn settings_are_tried_before_they_are_registered() {
    let server = Running::start().await;
    let (_alpha, address) = simulated("alpha", &server.keys).await;
    let directory = tempfile::tempdir().unwrap();
    let (cert, ..) = certificate(directory.path());
    let test = async |urls: &[String], more: Value| {
        let mut body = resource("alpha", "");
        body["spec"]["api_urls"] = json!(urls);
        body["spec"].as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let answer = server.call(Method::POST, &format!("{CLUSTERS}/alpha/test"), &body, 200).await;
        serde_json::from_slice::<Value>(&answer).unwrap()
    };
    let good = test(&[format!("http://{address}")], json!({})).await;
    assert_eq!((&good["ok"], &good["backends"][0]["version"]), (&json!(true), &json!("6.12.0")), "{good}");
    assert!(good["backends"][0]["latency_ms"].is_number(), "{good}");

    let urls = [
        format!("http://{address}"),
        "http://127.0.0.1:1".to_owned(),
        format!("http://{}", server.main),
        format!("https://{address}"),
    ];
    let mixed = test(&urls, json!({"ca_cert": cert})).await;
    assert_eq!(mixed["ok"], false);
    for (index, words) in [(1, "unreachable: "), (2, "a fedgate, not a Sensu backend"), (3, "tls: ")] {
        let error = mixed["backends"][index]["error"].as_str().unwrap();
        assert!(error.starts_with(words), "{mixed}");
    }
    assert!(mixed["backends"][3]["error"].as_str().unwrap().ends_with("is https right?"), "{mixed}");
    // Nothing of it has become a cluster.
    server.call(Method::GET, &format!("{CLUSTERS}/alpha"), &Value::Null, 404).await;

    let spec = json!({"url": "http://127.0.0.1:1", "resource": "Role"});
    let replicator = json!({"type": "EtcdReplicator", "api_version": "federation/v1", "metadata": {"name": "r"}, "spec": spec});
    let path = "/api/enterprise/federation/v1/etcd-replicators/r/test";
    let answer = server.call(Method::POST, path, &replicator, 200).await;
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    assert_eq!(answer["backends"][0]["state"], "down", "{answer}");
}
