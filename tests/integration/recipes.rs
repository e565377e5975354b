//! The load balancers' files in `config/`, run by the real `HAProxy` and nginx in front of whole gateways.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use bytes::Bytes;
use fedgate::sim::{Recorded, SharedKeys};
use http::{Request, Version};
use http_body_util::{BodyExt, Full};
use hyper::client::conn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};

use crate::support::{Balancer, Certificate, Running, read};

const USERS: &str = "/api/core/v2/users";

/// A gateway as the files want it.
async fn gateway(
    keys: &Arc<SharedKeys>,
    certificate: &Certificate,
    address: &str,
    settings: &Value,
) -> Running {
    let mut listen = json!({
        "address": address, "workers": 1, "cert-file": certificate.cert(), "key-file": certificate.key(),
    });
    for (key, value) in settings.as_object().unwrap() {
        listen[key] = value.clone();
    }
    let shutdown = json!({"announce": "1s", "drain": "10s"});
    Running::with_keys(Arc::clone(keys), json!({"listen": listen, "shutdown": shutdown})).await
}

async fn gateways(
    keys: &Arc<SharedKeys>,
    certificate: &Certificate,
    settings: &Value,
) -> ([Running; 2], [SocketAddr; 2]) {
    let one = gateway(keys, certificate, "127.0.0.1:0", settings).await;
    let two = gateway(keys, certificate, "127.0.0.1:0", settings).await;
    let addresses = [one.main, two.main];
    ([one, two], addresses)
}

/// What one of the clusters was asked by a client.
fn asked(gateways: &[Running]) -> Vec<Recorded> {
    let requests = gateways.iter().flat_map(|gateway| gateway.sensu.requests());
    requests.filter(|request| request.path_and_query == USERS).collect()
}

fn request(token: &str, host: &str) -> http::request::Builder {
    Request::get(USERS).header("host", host).header("authorization", format!("Bearer {token}"))
}

/// Asks over HTTP/1.1 and HTTP/2, and pretends to be somebody else.
async fn ask_both_ways(balancer: &Balancer, certificate: &Certificate, token: &str) -> String {
    let host = format!("gateway.example.com:{}", balancer.address.port());
    let io = TokioIo::new(certificate.connect(balancer.address, "http/1.1").await.unwrap());
    let (mut sender, connection) = conn::http1::handshake(io).await.unwrap();
    tokio::spawn(connection);
    let first = request(token, &host).header("x-forwarded-for", "203.0.113.9").body(Full::<Bytes>::default());
    let (status, body) = read(sender.send_request(first.unwrap()).await.unwrap()).await;
    assert_eq!(status, 200, "{body:?}\n{}", balancer.log());

    let io = TokioIo::new(certificate.connect(balancer.address, "h2").await.unwrap());
    let (mut sender, connection) = conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    let second = Request::get(format!("https://{host}{USERS}"))
        .version(Version::HTTP_2)
        .header("authorization", format!("Bearer {token}"))
        .header("x-forwarded-for", "203.0.113.9");
    let answer = sender.send_request(second.body(Full::<Bytes>::default()).unwrap()).await.unwrap();
    assert_eq!(read(answer).await.0, 200, "{}", balancer.log());
    host
}

#[tokio::test]
async fn haproxy_passes_tls_through_and_says_who_the_client_is() {
    let (keys, certificate) = (Arc::new(SharedKeys::generate().unwrap()), Certificate::new());
    let (gateways, addresses) = gateways(&keys, &certificate, &json!({"proxy-protocol": "required"})).await;
    let balancer = Balancer::haproxy(addresses, &certificate).await;
    let host = ask_both_ways(&balancer, &certificate, &gateways[0].token).await;
    let requests = asked(&gateways);
    assert_eq!(requests.len(), 2);
    for request in requests {
        assert_eq!(request.headers["x-forwarded-for"], "127.0.0.2");
        assert_eq!(request.headers["x-forwarded-proto"], "https");
        assert_eq!(request.headers["host"], host);
    }
}

#[tokio::test]
async fn nginx_has_a_certificate_of_its_own_and_says_who_the_client_is() {
    let (keys, certificate) = (Arc::new(SharedKeys::generate().unwrap()), Certificate::new());
    let settings = json!({"trusted-proxies": ["127.0.0.1"]});
    let (gateways, addresses) = gateways(&keys, &certificate, &settings).await;
    let balancer = Balancer::nginx(addresses, &certificate).await;
    let host = ask_both_ways(&balancer, &certificate, &gateways[0].token).await;
    let requests = asked(&gateways);
    assert_eq!(requests.len(), 2);
    for request in requests {
        assert_eq!(request.headers["x-forwarded-for"], "127.0.0.2, 127.0.0.1");
        assert_eq!(request.headers["x-forwarded-proto"], "https");
        assert_eq!(request.headers["x-forwarded-host"], host);
        assert_eq!(request.headers["host"], host);
    }
}

/// What clients have seen.
#[derive(Default)]
struct Seen {
    answered: AtomicUsize,
    lost: parking_lot::Mutex<Vec<String>>,
    is_over: AtomicBool,
}

impl Seen {
    fn lose(&self, what: &dyn ToString) {
        self.lost.lock().push(what.to_string());
    }
}

/// One end of a connection in either version.
enum Sender {
    Http1(conn::http1::SendRequest<Full<Bytes>>),
    Http2(conn::http2::SendRequest<Full<Bytes>>),
}

impl Sender {
    async fn connect(
        certificate: &Certificate,
        balancer: SocketAddr,
        is_http_2: bool,
    ) -> std::io::Result<Self> {
        let protocol = if is_http_2 { "h2" } else { "http/1.1" };
        let io = TokioIo::new(certificate.connect(balancer, protocol).await?);
        if is_http_2 {
            let (sender, connection) = conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
            tokio::spawn(connection);
            return Ok(Self::Http2(sender));
        }
        let (sender, connection) = conn::http1::handshake(io).await.unwrap();
        tokio::spawn(connection);
        Ok(Self::Http1(sender))
    }

    async fn is_kept(&mut self) -> bool {
        match self {
            Self::Http1(sender) => sender.ready().await.is_ok(),
            Self::Http2(sender) => sender.ready().await.is_ok(),
        }
    }

    async fn ask(&mut self, token: &str) -> hyper::Result<(u16, Bytes)> {
        let answer = match self {
            Self::Http1(sender) => {
                let asked = request(token, "gateway.example.com").body(Full::default()).unwrap();
                sender.send_request(asked).await?
            }
            Self::Http2(sender) => {
                let asked = Request::get(format!("https://gateway.example.com{USERS}"))
                    .version(Version::HTTP_2)
                    .header("authorization", format!("Bearer {token}"));
                sender.send_request(asked.body(Full::default()).unwrap()).await?
            }
        };
        let status = answer.status().as_u16();
        Ok((status, answer.into_body().collect().await?.to_bytes()))
    }
}

/// A client that keeps its connection as long as it is kept, and asks again and again.
async fn keep_asking(
    certificate: Arc<Certificate>,
    balancer: SocketAddr,
    is_http_2: bool,
    token: String,
    seen: Arc<Seen>,
) {
    let mut kept: Option<Sender> = None;
    while !seen.is_over.load(SeqCst) {
        tokio::time::sleep(Duration::from_millis(10)).await;
        if let Some(sender) = &mut kept
            && !sender.is_kept().await
        {
            kept = None;
        }
        let sender = match &mut kept {
            Some(sender) => sender,
            None => match Sender::connect(&certificate, balancer, is_http_2).await {
                Ok(new) => kept.insert(new),
                Err(error) => {
                    seen.lose(&error);
                    continue;
                }
            },
        };
        match sender.ask(&token).await {
            Ok((200, _)) => drop(seen.answered.fetch_add(1, SeqCst)),
            Ok((status, body)) => seen.lose(&format!("{status}: {body:?}")),
            // It was closed before the request was sent.
            Err(error) if error.is_canceled() => kept = None,
            Err(error) => {
                seen.lose(&format!("{error:?}"));
                kept = None;
            }
        }
    }
}

/// Restarts both gateways one after the other, while clients ask.
async fn restart_under_load(
    keys: &Arc<SharedKeys>,
    certificate: Certificate,
    settings: &Value,
    running: [Running; 2],
    balancer: &Balancer,
) {
    let (certificate, seen) = (Arc::new(certificate), Arc::new(Seen::default()));
    let clients: Vec<_> = (0..6)
        .map(|client| {
            let (certificate, token) = (Arc::clone(&certificate), running[0].token.clone());
            let seen = Arc::clone(&seen);
            tokio::spawn(keep_asking(certificate, balancer.address, client % 2 == 0, token, seen))
        })
        .collect();
    let until = async |more: usize| {
        let enough = seen.answered.load(SeqCst) + more;
        while seen.answered.load(SeqCst) < enough {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    until(100).await;
    let mut restarted = Vec::new();
    for old in running {
        let address = old.main.to_string();
        old.stop.send(()).await.unwrap();
        old.done.await.unwrap().unwrap();
        until(50).await;
        let new = gateway(keys, &certificate, &address, settings).await;
        // Until the balancer has noticed, too. The clients keep their connections to the other one, so ask on new ones.
        while asked(std::slice::from_ref(&new)).is_empty() {
            ask_both_ways(balancer, &certificate, &new.token).await;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        restarted.push(new);
    }
    until(100).await;
    seen.is_over.store(true, SeqCst);
    for client in clients {
        client.await.unwrap();
    }
    let lost = std::mem::take(&mut *seen.lost.lock());
    assert!(lost.is_empty(), "{lost:?} of {:?}\n{}", seen.answered, balancer.log());
}

#[tokio::test]
async fn a_rolling_restart_behind_haproxy_loses_nothing() {
    let (keys, certificate) = (Arc::new(SharedKeys::generate().unwrap()), Certificate::new());
    let settings = json!({"proxy-protocol": "required"});
    let (running, addresses) = gateways(&keys, &certificate, &settings).await;
    let balancer = Balancer::haproxy(addresses, &certificate).await;
    restart_under_load(&keys, certificate, &settings, running, &balancer).await;
}

#[tokio::test]
async fn a_rolling_restart_behind_nginx_loses_nothing() {
    let (keys, certificate) = (Arc::new(SharedKeys::generate().unwrap()), Certificate::new());
    let settings = json!({"trusted-proxies": ["127.0.0.1"]});
    let (running, addresses) = gateways(&keys, &certificate, &settings).await;
    let balancer = Balancer::nginx(addresses, &certificate).await;
    restart_under_load(&keys, certificate, &settings, running, &balancer).await;
}
