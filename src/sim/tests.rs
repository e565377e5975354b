//! Behaviour that the recorded exchanges do not cover.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};

use super::{Dropped, Options, Sensu};

fn admin(sensu: &Sensu) -> String {
    user(sensu, &["cluster-admins"])
}

fn user(sensu: &Sensu, groups: &[&str]) -> String {
    format!("Bearer {}", sensu.keys().mint(&json!({"sub": "tester", "groups": groups})))
}

fn request(method: Method, path: &str, authorization: &str, body: &Value) -> Request<Full<Bytes>> {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    Request::builder()
        .method(method)
        .uri(path)
        .header("host", "sensu.example.com:8080")
        .header("authorization", authorization)
        .header("content-type", "application/json")
        .body(Full::new(body.into()))
        .unwrap()
}

async fn get(sensu: &Sensu, path: &str, authorization: &str) -> (StatusCode, Value) {
    let answer = sensu.handle(request(Method::GET, path, authorization, &Value::Null)).await;
    read(answer).await
}

async fn read(answer: Response<Full<Bytes>>) -> (StatusCode, Value) {
    let status = answer.status();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
}

async fn login(sensu: &Sensu, user_and_password: &str) -> (StatusCode, Value) {
    get(sensu, "/auth", &format!("Basic {}", STANDARD.encode(user_and_password))).await
}

async fn refresh(sensu: &Sensu, pair: &Value) -> (StatusCode, Value) {
    let access = format!("Bearer {}", pair["access_token"].as_str().unwrap());
    let body = json!({"refresh_token": pair["refresh_token"]});
    read(sensu.handle(request(Method::POST, "/auth/token", &access, &body)).await).await
}

#[tokio::test]
async fn protobuf_written_to_the_store_reads_as_over_rest() {
    let samples: Value = serde_json::from_str(include_str!("../../tests/data/sensu-6.12/etcd.json")).unwrap();
    let sensu = Sensu::new(Options::default());
    let mut checked = 0;
    for sample in samples["samples"].as_array().unwrap() {
        let kinds =
            ["Namespace", "User", "APIKey", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"];
        if !kinds.contains(&sample["kind"].as_str().unwrap()) {
            continue;
        }
        let value = STANDARD.decode(sample["value_base64"].as_str().unwrap()).unwrap();
        sensu.etcd_put(sample["key"].as_str().unwrap(), &value);
        let (status, body) = get(&sensu, sample["rest_path"].as_str().unwrap(), &admin(&sensu)).await;
        assert_eq!((status, &body), (StatusCode::OK, &sample["rest_json"]), "{}", sample["key"]);
        checked += 1;
    }
    assert!(checked > 20);
}

#[test]
fn objects_can_be_applied_without_a_connection() {
    let sensu = Sensu::new(Options::default());
    let check = json!({
        "metadata": {"name": "c", "namespace": "default"}, "command": "true", "interval": 1,
    });
    let path = "/api/core/v2/namespaces/default/checks";
    assert_eq!(sensu.apply(&Method::POST, path, &check), StatusCode::CREATED);
    assert_eq!(sensu.apply(&Method::POST, path, &check), StatusCode::CONFLICT);
    assert!(sensu.etcd_get("/sensu.io/checks/default/c").is_some());
}

#[tokio::test]
async fn a_session_ends_six_minutes_after_its_last_refresh() {
    let sensu = Sensu::new(Options::default());
    let (_, pair) = login(&sensu, "admin:P@ssw0rd!").await;
    sensu.clock().advance(335);
    let (status, pair) = refresh(&sensu, &pair).await;
    assert_eq!(status, StatusCode::OK);
    sensu.clock().advance(364);
    assert_eq!(refresh(&sensu, &pair).await.0, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn an_access_token_expires_after_five_minutes() {
    let sensu = Sensu::new(Options::default());
    let (_, pair) = login(&sensu, "admin:P@ssw0rd!").await;
    let access = format!("Bearer {}", pair["access_token"].as_str().unwrap());
    sensu.clock().advance(290);
    assert_eq!(get(&sensu, "/api/core/v2/users", &access).await.0, StatusCode::OK);
    sensu.clock().advance(15);
    assert_eq!(get(&sensu, "/api/core/v2/users", &access).await.0, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn silences_disappear_when_they_expire() {
    let sensu = Sensu::new(Options::default());
    let path = "/api/core/v2/namespaces/default/silenced";
    let body = json!({"metadata": {"namespace": "default"}, "subscription": "linux", "expire": 60});
    let answer = sensu.handle(request(Method::POST, path, &admin(&sensu), &body)).await;
    assert_eq!(answer.status(), StatusCode::CREATED);
    assert_eq!(get(&sensu, path, &admin(&sensu)).await.1.as_array().unwrap().len(), 1);
    sensu.clock().advance(61);
    assert_eq!(get(&sensu, path, &admin(&sensu)).await.1, json!([]));
}

#[tokio::test]
async fn the_demo_has_something_of_everything_and_the_same_seed_gives_the_same_names() {
    let (one, two) = (Sensu::new(Options::default()), Sensu::new(Options::default()));
    one.seed_demo(7);
    two.seed_demo(7);
    for list in [
        "assets",
        "checks",
        "entities",
        "events",
        "filters",
        "handlers",
        "hooks",
        "mutators",
        "pipelines",
        "silenced",
        "namespaces",
    ] {
        let path = format!("/api/core/v2/{list}");
        let (status, items) = get(&one, &path, &admin(&one)).await;
        assert_eq!(status, StatusCode::OK, "{list}");
        assert!(!items.as_array().unwrap().is_empty(), "{list}");
    }
    let names = async |sensu: &Sensu| {
        let entities = get(sensu, "/api/core/v2/entities", &admin(sensu)).await.1;
        let name = |entity: &Value| entity["metadata"]["name"].as_str().map(ToOwned::to_owned);
        entities.as_array().unwrap().iter().map(name).collect::<Vec<_>>()
    };
    assert_eq!(names(&one).await, names(&two).await);
    let (status, _) = login(&one, "viewer:P@ssw0rd!").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(get(&one, "/api/core/v2/checks", &user(&one, &["viewers"])).await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_tick_moves_events_on() {
    let sensu = Sensu::new(Options::default());
    sensu.seed_demo(1);
    let (_, before) = get(&sensu, "/api/core/v2/events", &admin(&sensu)).await;
    sensu.clock().advance(30);
    for _ in 0..5 {
        sensu.tick();
    }
    let (_, after) = get(&sensu, "/api/core/v2/events", &admin(&sensu)).await;
    assert_eq!(before.as_array().unwrap().len(), after.as_array().unwrap().len());
    let longest = |events: &Value| {
        let events = events.as_array().unwrap().clone();
        events.iter().map(|e| e["check"]["history"].as_array().unwrap().len()).max().unwrap()
    };
    assert!(longest(&after) > longest(&before));
}

#[tokio::test]
async fn the_demo_says_warning_and_critical_where_the_status_does() {
    let sensu = Sensu::new(Options::default());
    sensu.seed_demo(1);
    let mut seen = [0; 3];
    for _ in 0..5 {
        let (_, events) = get(&sensu, "/api/core/v2/events", &admin(&sensu)).await;
        for event in events.as_array().unwrap() {
            let (output, status) = (event["check"]["output"].as_str().unwrap(), &event["check"]["status"]);
            let status = usize::try_from(status.as_u64().unwrap()).unwrap();
            seen[status] += 1;
            for (said, word) in [" OK: ", "WARNING", "CRITICAL"].iter().enumerate() {
                assert!(said == status || !output.contains(word), "{status}: {output}");
            }
        }
        sensu.tick();
    }
    assert!(seen.iter().all(|count| *count > 0), "{seen:?}");
}

#[tokio::test]
async fn a_status_that_no_check_of_the_demo_has_outlives_a_tick() {
    let sensu = Sensu::new(Options::default());
    sensu.seed_demo(1);
    let path = "/api/core/v2/namespaces/default/events";
    let (_, events) = get(&sensu, path, &admin(&sensu)).await;
    for mut event in events.as_array().unwrap().clone() {
        event["check"]["status"] = json!(127);
        let stored = sensu.handle(request(Method::POST, path, &admin(&sensu), &event)).await;
        assert!(stored.status().is_success(), "{}", stored.status());
    }
    (0..5).for_each(|_| sensu.tick());
    let (_, events) = get(&sensu, path, &admin(&sensu)).await;
    assert!(events.as_array().unwrap().iter().any(|event| event["check"]["status"] == json!(127)));
}

#[tokio::test]
async fn requests_are_remembered_with_headers_and_body() {
    let sensu = Sensu::new(Options::default());
    let body = json!({"name": "x"});
    sensu.handle(request(Method::PUT, "/api/core/v2/namespaces/x?a=b", "Key zzz", &body)).await;
    let requests = sensu.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].method, Method::PUT);
    assert_eq!(requests[0].path_and_query, "/api/core/v2/namespaces/x?a=b");
    assert_eq!(requests[0].headers["authorization"], "Key zzz");
    assert_eq!(requests[0].body, body.to_string());
    sensu.faults().clear_requests();
    assert!(sensu.requests().is_empty());
}

#[tokio::test(start_paused = true)]
async fn faults_hang_delay_fail_and_replace() {
    let sensu = Sensu::new(Options::default());
    let path = "/api/core/v2/checks";
    let faults = sensu.faults();
    faults.set_status(Some(503));
    assert_eq!(get(&sensu, path, &admin(&sensu)).await.0, StatusCode::SERVICE_UNAVAILABLE);
    faults.set_status(None);
    faults.set_body(Some(Bytes::from_static(b"[1]")));
    assert_eq!(get(&sensu, path, &admin(&sensu)).await.1, json!([1]));
    faults.set_body(None);
    faults.set_delay(Some(Duration::from_secs(5)));
    let start = tokio::time::Instant::now();
    get(&sensu, path, &admin(&sensu)).await;
    assert_eq!(start.elapsed(), Duration::from_secs(5));
    faults.set_hang(true);
    let hung = tokio::time::timeout(Duration::from_secs(3600), get(&sensu, path, &admin(&sensu))).await;
    assert!(hung.is_err());
}

#[tokio::test]
async fn a_truncated_body_breaks_the_connection() {
    let sensu = Sensu::new(Options::default());
    sensu.faults().set_truncate(Some(10));
    let (client, server) = tokio::io::duplex(1 << 16);
    let serving = sensu.clone();
    tokio::spawn(async move { serving.serve_connection(server).await });
    let io = hyper_util::rt::TokioIo::new(client);
    let (mut sender, connection) = hyper::client::conn::http1::handshake::<_, Full<Bytes>>(io).await.unwrap();
    tokio::spawn(connection);
    let path = "/api/core/v2/clusterroles";
    let answer = sender.send_request(request(Method::GET, path, &admin(&sensu), &Value::Null)).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert!(answer.into_body().collect().await.is_err());
}

#[tokio::test]
async fn a_crash_is_marked_for_callers_without_a_connection() {
    let sensu = Sensu::new(Options::default());
    let path = "/api/core/v2/namespaces/default/hooks?limit=-1";
    let answer = sensu.handle(request(Method::GET, path, &admin(&sensu), &Value::Null)).await;
    assert!(answer.extensions().get::<Dropped>().is_some());
}

#[tokio::test]
async fn what_one_cluster_keeps_can_be_written_to_another() {
    let (one, two) = (Sensu::new(Options::default()), Sensu::new(Options::default()));
    one.seed_demo(3);
    let key = "/sensu.io/rbac/clusterrolebindings/viewers";
    two.etcd_put(key, &one.etcd_get(key).unwrap());
    assert_eq!(get(&two, "/api/core/v2/checks", &user(&two, &["viewers"])).await.0, StatusCode::OK);
    assert!(two.etcd_delete(key));
    assert_eq!(get(&two, "/api/core/v2/checks", &user(&two, &["viewers"])).await.0, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_listener_is_served_until_shutdown() {
    let sensu = Sensu::new(Options::default());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(sensu.clone().serve(listener, stopped));
    let io = hyper_util::rt::TokioIo::new(tokio::net::TcpStream::connect(address).await.unwrap());
    let (mut sender, connection) = hyper::client::conn::http1::handshake::<_, Full<Bytes>>(io).await.unwrap();
    tokio::spawn(connection);
    let answer = sender.send_request(request(Method::GET, "/ready", "", &Value::Null)).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    drop(sender);
    stop.send(()).unwrap();
    serving.await.unwrap();
}

#[tokio::test]
async fn http2_is_served_on_any_stream() {
    let sensu = Sensu::new(Options::default());
    let (client, server) = tokio::io::duplex(1 << 16);
    let serving = sensu.clone();
    tokio::spawn(async move { serving.serve_connection(server).await });
    let io = hyper_util::rt::TokioIo::new(client);
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(hyper_util::rt::TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    let path = "http://sensu.example.com/api/core/v2/clusterroles";
    let answer = sender.send_request(request(Method::GET, path, &admin(&sensu), &Value::Null)).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert!(answer.into_body().collect().await.is_ok());
}

#[tokio::test]
async fn demo_events_know_the_silences_that_match_them() {
    let sensu = Sensu::new(Options::default());
    sensu.seed_demo(5);
    let (_, events) = get(&sensu, "/api/core/v2/events", &admin(&sensu)).await;
    let silenced = |e: &&Value| e["check"]["is_silenced"] == json!(true);
    let events = events.as_array().unwrap().clone();
    let names: Vec<_> = events.iter().filter(silenced).map(|e| &e["check"]["silenced"][0]).collect();
    assert!(names.iter().any(|n| n.as_str().unwrap().ends_with("-router-02:*")), "{names:?}");
}

#[tokio::test]
async fn no_request_makes_it_panic() {
    let sensu = Sensu::new(Options::default());
    sensu.seed_demo(2);
    let mut random = fastrand::Rng::with_seed(11);
    let methods = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
    let parts = [
        "namespaces",
        "default",
        "checks",
        "cpu",
        "hooks",
        "critical",
        "hook",
        "events",
        "entities",
        "silenced",
        "subscriptions",
        "users",
        "admin",
        "groups",
        "password",
        "apikeys",
        "clusterroles",
        "view",
        "execute",
        "roles",
        "..%2F..",
        "%00",
        "%C3%A4",
        "tessen",
        "cluster",
        "members",
        "assets",
        "pipelines",
        "a:b",
    ];
    let queries = ["", "?limit=-1", "?limit=2&continue=Li4vYQ", "?continue=eyJhIjoxfQ", "?a;b", "?timeout=x"];
    let text = [
        "",
        "null",
        "[]",
        "{}",
        "{",
        r#"{"metadata":{"name":"x","namespace":"default"}}"#,
        r#"{"name":"x","username":"x","password":"12345678","groups":[null]}"#,
        r#"{"entity":{"metadata":{"labels":{"a":null}}},"check":{"history":[null],"status":1}}"#,
        r#"{"entity":{},"metrics":{}}"#,
        r#"{"check_hooks":[1],"subjects":[null],"role_ref":null}"#,
        r#"{"subscription":"x","expire":-1,"begin":9223372036854775807,"metadata":{"namespace":"default"}}"#,
    ];
    let authorization = admin(&sensu);
    for _ in 0..10_000 {
        let mut path = "/api/core/v2".to_owned();
        for _ in 0..random.usize(1..7) {
            path.push('/');
            path.push_str(parts[random.usize(..parts.len())]);
        }
        path.push_str(queries[random.usize(..queries.len())]);
        let content_type = if random.bool() { "application/merge-patch+json" } else { "application/json" };
        let request = Request::builder()
            .method(&methods[random.usize(..methods.len())])
            .uri(path)
            .header("authorization", &authorization)
            .header("content-type", content_type)
            .body(Full::new(Bytes::from(text[random.usize(..text.len())])))
            .unwrap();
        sensu.handle(request).await;
    }
}
