//! Generated queries, asked of a cluster and through the gateway: the answers must be equal once the cluster's name is taken
//! out. Runs against the URLs in `FEDGATE_TEST_SENSU` (two or three backends with one key pair, the first is the local
//! cluster), and does nothing without them.

use std::{collections::HashMap, sync::Arc, time::Duration};

use base64::Engine as _;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, header};
use http_body_util::BodyExt;
use serde_json::{Value as Json, json};

use super::{
    RAW,
    generate::{Generator, Pool},
    invalid_documents, rewriting,
};
use crate::{
    graphql::{Call, Config, Engine},
    net::TlsConfigs,
    types::{Caller, Cluster, Principal, Snapshot, Source, TlsFiles},
    upstream::{self, Connector, Manager},
};

static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Backends, an engine in front of them, and a token that all accept.
struct Lab {
    /// The tests seed the same objects.
    _alone: tokio::sync::MutexGuard<'static, ()>,
    engine: Engine,
    manager: Manager,
    snapshot: Snapshot,
    token: HeaderValue,
}

// === impl Lab ===

impl Lab {
    async fn open() -> Option<Self> {
        let urls = std::env::var("FEDGATE_TEST_SENSU").ok()?;
        let ca = std::env::var_os("FEDGATE_TEST_SENSU_CA").map(Into::into);
        let clusters = urls.split(',').zip(["local-cluster", "alpha", "beta"]).map(|(url, name)| Cluster {
            name: super::name(name),
            backends: vec![url.trim().parse().unwrap()],
            tls: TlsFiles { trusted_ca_file: ca.clone(), ..TlsFiles::default() },
            source: Source::Config,
        });
        let snapshot = Snapshot::new(clusters);
        let files = TlsConfigs::new();
        assert!(files.prepare(&snapshot).await.is_empty());
        let connector = Arc::new(Connector::new(files, Duration::from_secs(2)));
        let manager = Manager::new(upstream::Config::default(), connector);
        manager.apply(&snapshot);
        let config = Config { member_timeout: Duration::from_secs(10), max_members: 16 };
        let mut lab = Self {
            _alone: ALONE.lock().await,
            engine: Engine::new(config),
            manager,
            snapshot,
            token: HeaderValue::from_static(""),
        };
        let login = base64::engine::general_purpose::STANDARD.encode("admin:P@ssw0rd!");
        lab.token = format!("Basic {login}").parse().unwrap();
        let answer = lab.send("local-cluster", Method::GET, "/auth", &Json::Null).await;
        lab.token = format!("Bearer {}", answer["access_token"].as_str().unwrap()).parse().unwrap();
        Some(lab)
    }

    fn request(&self, method: Method, path: &str) -> Request<()> {
        let mut request = Request::new(());
        *request.method_mut() = method;
        *request.uri_mut() = path.parse().unwrap();
        let headers = request.headers_mut();
        headers.insert(header::HOST, HeaderValue::from_static("gw.example.com"));
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::AUTHORIZATION, self.token.clone());
        request
    }

    /// Asks one cluster directly.
    async fn send(&self, cluster: &str, method: Method, path: &str, body: &Json) -> Json {
        let client = self.manager.cluster(cluster).unwrap();
        let (head, ()) = self.request(method, path).into_parts();
        let body = if body.is_null() { Bytes::new() } else { body.to_string().into() };
        let response = client.send(Request::from_parts(head, body)).await.unwrap();
        let status = response.status();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        assert!(status.is_success(), "{path}: {status} {bytes:?}");
        serde_json::from_slice(&bytes).unwrap_or_default()
    }

    /// Asks through the gateway.
    async fn federated(&self, body: &Json) -> Json {
        let head = self.request(Method::POST, "/graphql");
        let principal =
            Principal { subject: "admin".into(), groups: vec!["cluster-admins".into()], expires_at: 0 };
        let caller = Caller::Token(Arc::new(principal));
        let call = Call {
            head: &head,
            body: body.to_string().into(),
            caller: &caller,
            clusters: &self.manager,
            snapshot: &self.snapshot,
        };
        let answer = self.engine.handle(call).await.unwrap().response.into_body();
        serde_json::from_slice(&answer.collect().await.unwrap().to_bytes()).unwrap()
    }

    /// Puts a few objects of each kind into a cluster.
    async fn seed(&self, cluster: &str) {
        for namespace in ["default", "diff-ops"] {
            self.send(
                cluster,
                Method::PUT,
                &format!("/api/core/v2/namespaces/{namespace}"),
                &json!({"name": namespace}),
            )
            .await;
            for (path, mut object) in objects() {
                object["metadata"]["namespace"] = namespace.into();
                for part in ["entity", "check"] {
                    if object[part].is_object() {
                        object[part]["metadata"]["namespace"] = namespace.into();
                    }
                }
                self.send(
                    cluster,
                    Method::PUT,
                    &format!("/api/core/v2/namespaces/{namespace}/{path}"),
                    &object,
                )
                .await;
            }
        }
    }
}

fn objects() -> Vec<(&'static str, Json)> {
    let named = |name: &str, mut object: Json| {
        object["metadata"] =
            json!({"name": name, "labels": {"namespace": "x"}, "annotations": {"a": "\"<\u{1f600}"}});
        object
    };
    let entity =
        |name: &str| named(name, json!({"entity_class": "proxy", "subscriptions": ["linux", "web"]}));
    vec![
        (
            "assets/diff%2Fasset",
            named("diff/asset", json!({"url": "https://x.example/a", "sha512": "0".repeat(128)})),
        ),
        (
            "handlers/slack",
            named(
                "slack",
                json!({"type": "pipe", "command": "true", "mutator": "upper", "filters": ["nights"]}),
            ),
        ),
        ("handlers/everyone", named("everyone", json!({"type": "set", "handlers": ["slack", "gone"]}))),
        ("mutators/upper", named("upper", json!({"command": "tr a-z A-Z"}))),
        ("filters/nights", named("nights", json!({"action": "allow", "expressions": ["true"]}))),
        ("hooks/look", named("look", json!({"command": "ps", "timeout": 5}))),
        (
            "checks/disk",
            named(
                "disk",
                json!({"command": "d", "interval": 60, "subscriptions": ["linux"], "publish": false,
            "handlers": ["slack", "everyone"], "runtime_assets": ["diff/asset"], "check_hooks": [{"critical": ["look"]}]}),
            ),
        ),
        (
            "checks/http",
            named(
                "http",
                json!({"command": "h", "cron": "* * * * *", "subscriptions": ["web"], "publish": false}),
            ),
        ),
        ("entities/web-1", entity("web-1")),
        ("entities/web-2", entity("web-2")),
        (
            "events/web-1/disk",
            json!({"timestamp": 1_700_000_000, "entity": entity("web-1"),
            "check": named("disk", json!({"interval": 60, "status": 2, "output": "full", "handlers": ["slack"]}))}),
        ),
        (
            "events/web-2/http",
            json!({"timestamp": 1_700_000_100, "entity": entity("web-2"),
            "check": named("http", json!({"interval": 60, "status": 0}))}),
        ),
        (
            "silenced/linux:disk",
            named("linux:disk", json!({"subscription": "linux", "check": "disk", "reason": "x"})),
        ),
        ("silenced/web:*", named("web:*", json!({"subscription": "web", "reason": "y"}))),
    ]
}

fn pool() -> Pool {
    let ids = [
        "checks:default%%:disk",
        "checks:diff-ops%%:gone",
        "entities:default%%:web-1",
        "namespaces:default%%",
        "namespaces:gone%%",
        "handlers:default%%:everyone",
        "events:default%%:check/WyJ3ZWItMSIsImRpc2siXQ==",
        "silences:default%%:linux:disk",
        "assets:default%%:diff%2Fasset",
        "bogus:default%%:x",
        "core/v3.EntityConfig:default%%:web-2",
        "silences:default%%:web:%2A",
    ];
    Pool {
        namespaces: vec!["default", "default", "diff-ops", "no-such"],
        names: HashMap::from([
            ("event", vec!["web-1/disk", "web-2/http", "web-1/gone"]),
            ("entity", vec!["web-1", "gone"]),
            ("mutator", vec!["upper"]),
            ("check", vec!["disk", "http", "gone"]),
            ("eventFilter", vec!["nights"]),
            ("handler", vec!["slack", "everyone"]),
        ]),
        ids: ids.iter().map(|id| format!("srn:{id}")).collect(),
        own_field: false,
    }
}

/// What may differ: the order of errors; the label; locations that the gateway has left out.
fn comparable(answer: &mut Json, other: &Json) {
    let left_out =
        other["errors"].as_array().is_some_and(|all| all.iter().all(|e| e["locations"] == json!([])));
    if let Some(errors) = answer["errors"].as_array_mut() {
        for error in errors.iter_mut() {
            let members = error.as_object_mut().unwrap();
            members.shift_remove("extensions");
            if left_out {
                members.insert("locations".into(), json!([]));
            }
        }
        errors.sort_by_key(ToString::to_string);
    }
}

fn without(answer: &Json, suffix: &str) -> Json {
    if suffix.is_empty() {
        answer.clone()
    } else {
        serde_json::from_str(&answer.to_string().replace(suffix, "")).unwrap()
    }
}

const ROOTS: &[&str] = &[
    "namespace",
    "namespace",
    "namespace",
    "event",
    "entity",
    "mutator",
    "check",
    "eventFilter",
    "handler",
    "suggest",
    "node",
    "node",
    "wrappedNode",
];

#[tokio::test]
async fn answers_through_the_gateway_equal_the_clusters_own() {
    let Some(lab) = Lab::open().await else { return };
    for cluster in ["local-cluster", "alpha"] {
        lab.seed(cluster).await;
    }
    let (pool, mut asked, mut with_errors) = (pool(), 0, 0);
    for seed in 0..250 {
        let query = Generator::new(&RAW, &pool, seed).query(ROOTS);
        for (cluster, suffix) in [("local-cluster", ""), ("alpha", "@alpha")] {
            let plain = json!({"query": query.padded(suffix), "variables": query.variables("")});
            let qualified = json!({"query": query.text(suffix), "variables": query.variables(suffix)});
            // When several fields fail, it is chance which of the errors Sensu keeps.
            let mut tries = 0;
            let own = loop {
                let mut own = lab.send(cluster, Method::POST, "/graphql", &plain).await;
                let mut got = without(&lab.federated(&qualified).await, suffix);
                comparable(&mut own, &got);
                comparable(&mut got, &Json::Null);
                tries += 1;
                if got == own || tries > 8 {
                    assert_eq!(got, own, "seed {seed} of {cluster}: {qualified}");
                    break own;
                }
                assert!(!own["errors"].is_null(), "seed {seed} of {cluster}: {qualified}");
            };
            asked += 1;
            with_errors += usize::from(!own["errors"].is_null());
        }
    }
    println!("{asked} queries, {with_errors} of them with errors, no difference");
    assert!(with_errors > 5, "{with_errors}");
}

#[tokio::test]
async fn documents_that_break_a_rule_get_the_backends_own_answer_whatever_namespace_they_name() {
    let Some(lab) = Lab::open().await else { return };
    let mut asked = 0;
    for namespace in ["default", "default@local-cluster", "default@alpha", "default@nowhere"] {
        for text in invalid_documents(namespace) {
            let body = json!({"query": text});
            let own = lab.send("local-cluster", Method::POST, "/graphql", &body).await;
            assert!(own["errors"].as_array().is_some_and(|errors| !errors.is_empty()), "{text}: {own}");
            assert_eq!(lab.federated(&body).await, own, "{text}");
            asked += 1;
        }
    }
    println!("{asked} documents, no difference");
}

#[tokio::test]
async fn generated_documents_that_were_broken_get_the_local_clusters_errors() {
    let Some(lab) = Lab::open().await else { return };
    lab.seed("local-cluster").await;
    let pool = pool();
    for seed in 0..60 {
        let query = Generator::new(&RAW, &pool, 10_000 + seed).query(ROOTS);
        let text = query.text("@alpha");
        let broken = match seed % 4 {
            0 => text.replacen(" {", " { zq ", 1 + usize::try_from(seed).unwrap() % 3),
            1 => text.replacen('}', "", 1),
            2 => format!("{text} query Again {{ __typename }}"),
            _ => text.replacen("query Q", "subscription Q", 1),
        };
        let body = json!({"query": broken, "variables": query.variables("@alpha")});
        let mut own = lab.send("local-cluster", Method::POST, "/graphql", &body).await;
        let mut got = lab.federated(&body).await;
        comparable(&mut own, &Json::Null);
        comparable(&mut got, &Json::Null);
        assert_eq!(got, own, "{body}");
    }
}

#[tokio::test]
async fn the_fan_out_and_several_clusters_answer_together() {
    let Some(lab) = Lab::open().await else { return };
    for cluster in ["local-cluster", "alpha"] {
        lab.seed(cluster).await;
    }
    let query = json!({"query": "{viewer{namespaces{id name cluster} user{username}} a:namespace(name:\"diff-ops@alpha\"){cluster name \
        checks{nodes{id namespace}}} l:entity(namespace:\"default\",name:\"web-1\"){id} __schema{types{name fields{name}}}}"});
    let got = lab.federated(&query).await;
    let names: Vec<&str> = got["data"]["viewer"]["namespaces"]
        .as_array()
        .unwrap()
        .iter()
        .map(|n| n["name"].as_str().unwrap())
        .collect();
    assert!(names.contains(&"diff-ops") && names.contains(&"diff-ops@alpha"), "{names:?}");
    assert_eq!(got["data"]["a"]["cluster"], "alpha");
    assert_eq!(got["data"]["a"]["checks"]["nodes"][0]["namespace"], "diff-ops@alpha");
    assert_eq!(got["data"]["l"]["id"], "srn:entities:default:web-1");
    assert_eq!(got["errors"], Json::Null);
    let types = got["data"]["__schema"]["types"].as_array().unwrap();
    let namespace = types.iter().find(|ty| ty["name"] == "Namespace").unwrap();
    assert!(namespace["fields"].as_array().unwrap().contains(&json!({"name": "cluster"})));
    let _ = rewriting::pool();
}
