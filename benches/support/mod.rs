//! The gateway between a client and scripted peers, all in memory and on one thread.
//!
//! ```text
//!  Client ─ HTTP/1.1 ─ duplex ─ stack ─ HTTP/1.1 ─ duplex ─ Peers (one fixed body)
//! ```

mod clusters;

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use bytes::Bytes;
use fedgate::{
    api::Api,
    auth::{self, Authenticator, Curve, Keys, MintClaims, SigningKey, SystemClock},
    authz::AdminGroups,
    fanout,
    listener::{Limits, Phase},
    proxy::{Federation, Gateway, Readiness, Resources, Settings, Stack, stack},
    registry::{self, MemoryStore},
    types::{Backend, Cluster},
    upstream::{self, BoxFuture, BoxIo, Connect, ConnectError, Manager},
    webui::WebUi,
    wire::Body,
};
use http::{HeaderMap, HeaderValue, Request, Response, header};
use http_body_util::{BodyExt, Empty, Full};
use hyper::{
    body::Incoming,
    client::conn::http1::{SendRequest, handshake},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{io::DuplexStream, sync::watch};
use tower::ServiceExt;

/// One connection to the gateway, or straight to a peer, with the request that it repeats.
pub(crate) struct Client {
    sender: SendRequest<Empty<Bytes>>,
    request: Request<Empty<Bytes>>,
    // Never used, but the gateway's end must not find it closed.
    _phase: Option<watch::Sender<Phase>>,
}

/// A gateway that any number of clients can connect to.
pub(crate) struct Served {
    stack: Stack,
    limits: Limits,
    token: String,
    // Never used, but the gateway's end must not find it closed.
    phase: watch::Sender<Phase>,
}

/// Backends that answer every request with the same body, its length declared.
#[derive(Clone)]
struct Peers {
    body: Bytes,
    /// The cluster that takes requests and answers none.
    hung: Option<&'static str>,
}

// === impl Served ===

impl Served {
    /// A gateway in front of `members` clusters whose backends answer `body` to everything, but for the one that hangs.
    pub(crate) fn new(members: usize, body: Bytes, hung: Option<&'static str>) -> Self {
        Self::with(Settings::default(), members, body, hung)
    }

    /// The same with settings of its own.
    pub(crate) fn with(settings: Settings, members: usize, body: Bytes, hung: Option<&'static str>) -> Self {
        let clusters = clusters::snapshot(members);
        let peers: Arc<dyn Connect> = Arc::new(Peers { body, hung });
        let upstream = Manager::new(upstream::Config::default(), Arc::clone(&peers));
        upstream.apply(&clusters);
        let (phase, phase_seen) = watch::channel(Phase::Running);
        let limits = settings.limits.clone();
        let fan_outs = fanout::Shared::new(limits.fan_outs, limits.read_ahead_bytes);
        let clusters = Arc::new(clusters);
        let (_, configured) = watch::channel(Arc::clone(&clusters));
        let (_, views) = registry::reflector(configured);
        let store = Arc::new(MemoryStore::new());
        let api = Api::new(store, views.registry.clone(), Arc::new(AdminGroups(Vec::new())));
        let gateway = Gateway {
            resources: Arc::new(Resources {
                graphql: fedgate::graphql::Engine::new(settings.graphql()),
                logins: Arc::new(fedgate::proxy::Logins::new(settings.limits.login_failures)),
                compressor: Arc::new(fedgate::proxy::Compressor::new(settings.compression)),
                settings,
                access: Arc::default(),
                fan_outs,
                bodies: fedgate::wire::Budget::new(fedgate::wire::budget::REQUEST_BODY_BYTES),
                readiness: Readiness::new(phase_seen, views.registry.clone()),
                registry: views.registry,
                federation: Federation::new(tokio::runtime::Handle::current(), api),
                outage_sessions: None,
            }),
            clusters: Arc::new(ArcSwap::new(clusters)),
            upstream,
            exchange: None,
            web: WebUi::new(Arc::default(), Manager::new(upstream::Config::default(), peers)),
        };
        let (authenticator, token) = authenticator();
        Self { stack: stack(gateway, authenticator, &[]), limits, token, phase }
    }

    /// A new connection for requests of this target.
    pub(crate) async fn client(&self, target: &str) -> Client {
        let service = self.stack.clone().map_request(|request: Request<Incoming>| request.map(Body::from));
        let (near, far) = duplex();
        // As the listener sets it up.
        let served = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(Duration::from_secs(60))
            .max_headers(self.limits.headers)
            .max_buf_size(self.limits.head_bytes)
            .serve_connection(TokioIo::new(far), TowerToHyperService::new(service));
        tokio::spawn(served);
        Client::over(near, target, &self.token).await
    }
}

// === impl Client ===

impl Client {
    /// The only client of a gateway in front of `members` clusters whose backends answer `body` to everything.
    pub(crate) async fn of_gateway(members: usize, body: Bytes, target: &str) -> Self {
        let served = Served::new(members, body, None);
        let client = served.client(target).await;
        Self { _phase: Some(served.phase), ..client }
    }

    /// A client of such a backend itself, with nothing in between: what the harness costs by itself.
    pub(crate) async fn of_peer(body: Bytes) -> Self {
        let (near, far) = duplex();
        Peers { body, hung: None }.serve(far);
        Self::over(near, "/", "none").await
    }

    async fn over(io: DuplexStream, target: &str, token: &str) -> Self {
        let (sender, connection) = handshake(TokioIo::new(io)).await.expect("the peer is there");
        tokio::spawn(connection);
        let request = Request::get(target)
            .header(header::HOST, "gateway.example.com")
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .header(header::ACCEPT, "application/json")
            .header(header::USER_AGENT, "bench/1.0")
            .body(Empty::new())
            .expect("the request is well formed");
        Self { sender, request, _phase: None }
    }

    /// The same, with another field in the head of its requests.
    pub(crate) fn asking(mut self, name: header::HeaderName, value: &'static str) -> Self {
        self.request.headers_mut().insert(name, HeaderValue::from_static(value));
        self
    }

    /// One request and its complete answer: the head's fields and the body's length.
    pub(crate) async fn get(&mut self) -> (HeaderMap, u64) {
        self.sender.ready().await.expect("the connection is kept");
        let response = self.sender.send_request(self.request.clone()).await.expect("there is an answer");
        assert_eq!(response.status(), 200);
        let (head, mut body) = response.into_parts();
        let mut read = 0;
        while let Some(frame) = body.frame().await {
            let frame = frame.expect("the body is complete");
            read += frame.data_ref().map_or(0, |data| data.len() as u64);
        }
        (head.headers, read)
    }
}

// === impl Peers ===

impl Peers {
    fn serve(&self, io: DuplexStream) {
        let body = self.body.clone();
        let answer = service_fn(move |_: Request<Incoming>| {
            let mut response = Response::new(Full::new(body.clone()));
            let json = HeaderValue::from_static("application/json");
            response.headers_mut().insert(header::CONTENT_TYPE, json);
            std::future::ready(Ok::<_, std::convert::Infallible>(response))
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(io), answer));
    }
}

impl Connect for Peers {
    fn connect(&self, cluster: &Cluster, _: &Backend) -> BoxFuture<'_, Result<BoxIo, ConnectError>> {
        let (near, far) = duplex();
        if self.hung == Some(cluster.name.as_str()) {
            // Its end stays open, and nobody reads from it.
            tokio::spawn(async move {
                let _far = far;
                std::future::pending::<()>().await;
            });
        } else {
            self.serve(far);
        }
        Box::pin(std::future::ready(Ok(Box::new(near) as BoxIo)))
    }
}

/// An event of about 2.5 kB, as Sensu spells it.
pub(crate) fn event(number: usize) -> String {
    let output = "disk usage of /var/lib is at 71 %, threshold 80 %\\n".repeat(20);
    let history = (0..12).map(|n| format!(r#"{{"status":0,"executed":{}}}"#, NOW + n));
    let history: Vec<String> = history.collect();
    format!(
        concat!(
            r#"{{"entity":{{"entity_class":"agent","system":{{"hostname":"web-{n}","os":"linux","#,
            r#""platform":"debian","platform_version":"12.5","network":{{"interfaces":[{{"name":"lo","#,
            r#""addresses":["127.0.0.1/8","::1/128"]}},{{"name":"eth0","mac":"02:00:00:00:00:01","#,
            r#""addresses":["192.0.2.10/24"]}}]}},"arch":"amd64"}},"subscriptions":["linux","web"],"#,
            r#""last_seen":{now},"deregister":true,"metadata":{{"name":"web-{n}","namespace":"default","#,
            r#""labels":{{"region":"eu-central-1","tier":"1"}}}},"sensu_agent_version":"6.12.0"}},"#,
            r#""check":{{"command":"check-disk-usage -w 80 -c 90","handlers":["slack"],"interval":60,"#,
            r#""publish":true,"subscriptions":["linux"],"duration":0.013,"executed":{now},"#,
            r#""history":[{history}],"issued":{now},"output":"{output}","state":"passing","status":0,"#,
            r#""total_state_change":0,"last_ok":{now},"occurrences":12,"metadata":{{"name":"disk-usage","#,
            r#""namespace":"default","labels":{{"team":"platform"}},"annotations":{{"runbook":"#,
            r#""https://wiki.example.com/disk"}}}}}},"metadata":{{"namespace":"default"}},"#,
            r#""id":"3a5948f3-6ffd-4ea2-a41e-334f4a72ca2f","sequence":{n},"timestamp":{now}}}"#,
        ),
        n = number,
        now = NOW,
        history = history.join(","),
        output = output,
    )
}

/// One event whose check has an output of `bytes` bytes.
pub(crate) fn large_event(bytes: usize) -> Bytes {
    let output = format!(r#""output":"{}"#, "0123456789abcde ".repeat(bytes / 16));
    event(1).replacen(r#""output":""#, &output, 1).into()
}

/// A list of events.
pub(crate) fn list(items: usize) -> Bytes {
    let items: Vec<String> = (0..items).map(event).collect();
    format!("[{}]", items.join(",")).into()
}

/// A stream in memory; each direction holds about what a socket's buffer does.
fn duplex() -> (DuplexStream, DuplexStream) {
    tokio::io::duplex(256 * 1024)
}

/// An authenticator and a token that it accepts for a day, on the system's clock.
fn authenticator() -> (Arc<Authenticator>, String) {
    let signing = SigningKey::generate(Curve::P256).expect("the random source works");
    let keys = Keys::new(vec![signing.public_key().clone()]);
    let groups: Vec<String> = (0..10).map(|number| format!("team-{number}")).collect();
    let now = auth::Clock::unix_seconds(&SystemClock);
    let claims = MintClaims { exp: now + 24 * 60 * 60, sub: "jane.doe", groups: &groups };
    let token = signing.mint(&claims).expect("plain claims can be signed");
    (Arc::new(Authenticator::new(&auth::Config::default(), keys)), token)
}

const NOW: i64 = 1_700_000_000;
