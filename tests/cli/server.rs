//! A Sensu double with the gateway's `federation/v1` API on top, and rules that take precedence over both.

use std::{sync::Arc, thread, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use fedgate::{
    api::Api,
    authz::AdminGroups,
    error::Classify,
    registry::{MemoryStore, Store, reflector},
    sim::{Options, Sensu},
    types::{Caller, Cluster, ClusterName, Principal, Snapshot, Source, TlsFiles},
    wire,
};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::{net::TcpListener, runtime::Runtime, sync::watch};

pub(crate) const PASSWORD: &str = "P@ssw0rd!";

/// A request that was received.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

type Answer = Response<Full<Bytes>>;
type Rule = Box<dyn Fn(&Asked) -> Option<Answer> + Send>;

pub(crate) struct Server {
    pub(crate) url: String,
    pub(crate) sensu: Sensu,
    shared: Arc<Shared>,
    stop: Option<watch::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

struct Shared {
    sensu: Sensu,
    api: Api,
    asked: Mutex<Vec<Asked>>,
    rules: Mutex<Vec<Rule>>,
}

// === impl Asked ===

impl Asked {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// Method and target.
    pub(crate) fn line(&self) -> String {
        format!("{} {}", self.method, self.target)
    }
}

// === impl Server ===

impl Server {
    pub(crate) fn start() -> Self {
        let options = Options { name: "local-cluster".into(), tls: false, ..Options::default() };
        let sensu = Sensu::new(options);
        let (ready, started) = std::sync::mpsc::channel();
        let (stop, mut stopped) = watch::channel(());
        let served = sensu.clone();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                let url = format!("http://{}", listener.local_addr().unwrap());
                let shared = Arc::new(Shared::new(served));
                ready.send((url, Arc::clone(&shared))).unwrap();
                tokio::select! {
                    () = accept(listener, shared) => {}
                    _ = stopped.changed() => {}
                }
            });
        });
        let (url, shared) = started.recv_timeout(Duration::from_secs(30)).unwrap();
        Self { url, sensu, shared, stop: Some(stop), thread: Some(thread) }
    }

    /// From now on, asks this first. The last rule comes first.
    pub(crate) fn rule(&self, rule: impl Fn(&Asked) -> Option<Answer> + Send + 'static) {
        self.shared.rules.lock().insert(0, Box::new(rule));
    }

    /// Answers every request to a target with this prefix.
    pub(crate) fn always(
        &self,
        target: &'static str,
        status: u16,
        headers: &'static [(&str, &str)],
        body: &str,
    ) {
        let body = body.to_owned();
        self.rule(move |asked| asked.target.starts_with(target).then(|| answer(status, headers, &body)));
    }

    /// Takes the requests so far.
    pub(crate) fn take_asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.shared.asked.lock())
    }

    pub(crate) fn take_lines(&self) -> Vec<String> {
        self.take_asked().iter().map(Asked::line).collect()
    }

    /// What the double holds, read without a command.
    pub(crate) fn read(&self, target: &str, tokens: &Value) -> Value {
        let bearer = format!("Bearer {}", tokens["access_token"].as_str().unwrap());
        let request = Request::get(target)
            .header(header::HOST, "localhost")
            .header(header::AUTHORIZATION, bearer)
            .body(Full::<Bytes>::default())
            .unwrap();
        let body = Runtime::new().unwrap().block_on(async {
            self.sensu.handle(request).await.into_body().collect().await.unwrap().to_bytes()
        });
        serde_json::from_slice(&body).unwrap()
    }

    /// A fresh login of the administrator, as Sensu answers it.
    pub(crate) fn log_in(&self) -> Value {
        let basic = base64::engine::general_purpose::STANDARD.encode(format!("admin:{PASSWORD}"));
        let request = Request::get("/auth")
            .header(header::HOST, "localhost")
            .header(header::AUTHORIZATION, format!("Basic {basic}"))
            .body(Full::<Bytes>::default())
            .unwrap();
        let body = Runtime::new().unwrap().block_on(async {
            self.sensu.handle(request).await.into_body().collect().await.unwrap().to_bytes()
        });
        serde_json::from_slice(&body).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

pub(crate) fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    response.body(Full::from(body.to_owned())).unwrap()
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let service = service_fn(|request: Request<Incoming>| {
                let shared = Arc::clone(&shared);
                async move { Ok::<_, std::convert::Infallible>(shared.handle(request).await) }
            });
            let server = hyper::server::conn::http1::Builder::new();
            drop(server.serve_connection(TokioIo::new(stream), service).await);
        });
    }
}

// === impl Shared ===

impl Shared {
    fn new(sensu: Sensu) -> Self {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let cluster = |name: &str, source| Cluster {
            name: name.parse::<ClusterName>().unwrap(),
            backends: vec!["http://127.0.0.1:1".parse().unwrap()],
            tls: TlsFiles::default(),
            source,
        };
        let configured =
            Snapshot::new([cluster("local-cluster", Source::Local), cluster("from-file", Source::Config)]);
        let (_config, config) = watch::channel(Arc::new(configured));
        let (reflector, views) = reflector(config);
        tokio::spawn(reflector.run(Arc::clone(&store)));
        let admins = AdminGroups(vec!["cluster-admins".into()]);
        let api = Api::new(store, views.registry, Arc::new(admins)).with_files(|_| Ok(()));
        Self { sensu, api, asked: Mutex::default(), rules: Mutex::default() }
    }

    async fn handle(&self, request: Request<Incoming>) -> Answer {
        let (head, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let asked = Asked {
            method: head.method.to_string(),
            target: head.uri.to_string(),
            headers: head.headers.clone(),
            body: String::from_utf8(body.to_vec()).unwrap(),
        };
        self.asked.lock().push(asked.clone());
        if let Some(answer) = self.rules.lock().iter().find_map(|rule| rule(&asked)) {
            return answer;
        }
        if let Some(path) = head.uri.path().strip_prefix("/api/enterprise/federation/v1/") {
            let caller = caller(&head.headers);
            let (method, query) = (&head.method, head.uri.query());
            let answer = match self.api.admit(method, path, &caller) {
                Ok(admitted) => self.api.handle(admitted, query, &head.headers, &body).await,
                Err(error) => Err(error),
            };
            let response = answer.unwrap_or_else(|error| wire::reply(&error.reply()));
            let (head, body) = response.into_parts();
            return Response::from_parts(head, Full::from(wire::read_limited(body, 1 << 20).await.unwrap()));
        }
        let mut response = self.sensu.handle(Request::from_parts(head, Full::<Bytes>::from(body))).await;
        if response.status() == StatusCode::OK {
            // As the gateway marks complete lists.
            response
                .headers_mut()
                .insert(fedgate::wire::header::FEDGATE_COMPLETE, HeaderValue::from_static("true"));
        }
        response
    }
}

/// The caller that a token names. It is not verified, since the double has issued all of them.
fn caller(headers: &HeaderMap) -> Caller {
    let token = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let Some(token) = token.and_then(|value| value.strip_prefix("Bearer ")) else { return Caller::Anonymous };
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    let groups = claims["groups"].as_array().unwrap();
    Caller::Token(Arc::new(Principal {
        subject: claims["sub"].as_str().unwrap().to_owned(),
        groups: groups.iter().map(|group| group.as_str().unwrap().to_owned()).collect(),
        expires_at: claims["exp"].as_i64().unwrap(),
    }))
}
