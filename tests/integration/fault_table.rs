//! Every fault of a member in every position: status, headers and time, and the items of the others.
//!
//! `cargo test --test integration fault_table -- --nocapture` prints what each combination gave.

use std::{fmt::Write as _, sync::Arc, time::Duration};

use fedgate::{net::ClientFiles, types::TlsFiles};
use http::{Method, StatusCode};
use http_body_util::BodyExt;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{ClientConfig, ServerConfig, pki_types::PrivatePkcs8KeyDer};
use tokio::time::Instant;

use crate::support::{Act, Line, Secure, Setup, World};

const CHECKS: &str = "/api/core/v2/namespaces/default/checks";

const CLUSTERS: [&str; 3] = ["local-cluster", "alpha", "beta"];

/// Above `fan-out.buffer-bytes`, so that the head of a list may be out when a body proves too large.
const MAX_MEMBER_BYTES: u64 = 2 << 20;

struct Fault {
    name: &'static str,
    line: Line,
    result: Outcome,
    /// How long the gateway waits for it.
    seconds: u64,
}

/// What becomes of the member.
#[derive(Clone, Copy, PartialEq)]
enum Outcome {
    /// It is only slow.
    Answers,
    /// It is reported with this class.
    Fails(&'static str),
    /// The head of the answer is out already: the client must not take what follows for a list.
    Cuts,
}

struct Position {
    name: &'static str,
    /// The members with the fault.
    ill: &'static [&'static str],
    query: &'static str,
}

const POSITIONS: &[Position] = &[
    Position { name: "one of three", ill: &["alpha"], query: "" },
    Position { name: "the local one", ill: &["local-cluster"], query: "" },
    Position { name: "two of three", ill: &["alpha", "beta"], query: "" },
    Position { name: "all", ill: &CLUSTERS, query: "" },
    Position { name: "alone", ill: &["alpha"], query: "?clusters=alpha" },
    Position { name: "partial=false", ill: &["alpha"], query: "?partial=false" },
];

fn connections() -> Vec<Fault> {
    let peer = |acts: &[Act]| Line::Peer(acts.to_vec());
    let secure = |names: &Certificates, takes| Line::Tls(names.secure(Duration::from_millis(takes)));
    let year = |first, last| Certificates::new(first, last);
    let (good, expired, stranger) = (year(2020, 4000), year(2020, 2021), year(2020, 4000));
    let strange = Secure { client: Arc::clone(&good.client), ..stranger.secure(Duration::ZERO) };
    vec![
        fails("refused", "unreachable", 0, Line::Refused),
        fails("hangs at connect", "timeout", 2, Line::Silent),
        fails("hangs after connect", "timeout", 10, peer(&[Act::Hang])),
        fails("hangs before the head", "timeout", 10, peer(&[Act::Read, Act::Hang])),
        fails(
            "hangs within the head",
            "timeout",
            10,
            peer(&[Act::Read, write("HTTP/1.1 200 OK\r\n"), Act::Hang]),
        ),
        fails("closes at once", "unreachable", 0, peer(&[])),
        fails("closes before the head", "unreachable", 0, peer(&[Act::Read])),
        fails("resets at once", "unreachable", 0, peer(&[Act::Reset])),
        fails("resets before the head", "unreachable", 0, peer(&[Act::Read, Act::Reset])),
        fails("stranger's certificate", "tls", 0, Line::Tls(strange)),
        fails("expired certificate", "tls", 0, secure(&expired, 0)),
        fails("TLS too slow", "timeout", 2, secure(&good, 3000)),
        Fault { name: "slow TLS", line: secure(&good, 1500), result: Outcome::Answers, seconds: 1 },
    ]
}

fn statuses() -> Vec<Fault> {
    vec![
        fails("401", "unauthorized", 0, answer("401 Unauthorized", UNAUTHORIZED)),
        fails(
            "403",
            "forbidden",
            0,
            answer("403 Forbidden", r#"{"message":"request unauthorized","code":4}"#),
        ),
        fails("404", "not-found", 0, answer("404 Not Found", r#"{"message":"not found","code":2}"#)),
        fails("500", "server-error", 0, answer("500 Internal Server Error", r#"{"message":"x","code":1}"#)),
        fails("503", "server-error", 0, answer("503 Service Unavailable", "")),
    ]
}

fn bodies() -> Vec<Fault> {
    let peer = |acts: &[Act]| Line::Peer([&[Act::Read], acts].concat());
    let second = Duration::from_secs(1);
    let partial = || write(&framed(1000, r#"[{"metadata":"#));
    let chunk = format!("{:x}\r\n{}\r\n", ITEM.len() + 1, format_args!("{ITEM},"));
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\n[\r\n";
    let chunks = usize::try_from(MAX_MEMBER_BYTES).unwrap() / ITEM.len() + 100;
    vec![
        fails("hangs within the body", "timeout", 10, peer(&[partial(), Act::Hang])),
        fails("drips its head", "timeout", 10, peer(&[Act::Drip(framed(2, "[]").into(), second)])),
        fails(
            "drips its body",
            "timeout",
            10,
            peer(&[write(&framed(ITEM.len() + 2, "[")), Act::Drip(ITEM.into(), second)]),
        ),
        fails("closes within the body", "bad-body", 0, peer(&[partial()])),
        fails("resets within the body", "bad-body", 0, peer(&[partial(), Act::Reset])),
        fails("bad JSON", "bad-body", 0, answer("200 OK", r#"[{"metadata":}]"#)),
        fails("not an array", "bad-body", 0, answer("200 OK", r#"{"metadata":{}}"#)),
        fails("Content-Length too short", "bad-body", 0, peer(&[write(&framed(10, &format!("[{ITEM}]")))])),
        fails(
            "Content-Length too long",
            "bad-body",
            0,
            peer(&[write(&framed(1 << 20, &format!("[{ITEM}]")))]),
        ),
        fails(
            "2 GB",
            "too-large",
            0,
            peer(&[write(&framed(2 << 30, "[")), Act::Repeat(ITEM.into(), 2 << 20)]),
        ),
        Fault {
            name: "too large, of unknown length",
            line: peer(&[write(chunked), Act::Repeat(chunk.into(), chunks), Act::Hang]),
            result: Outcome::Cuts,
            seconds: 0,
        },
    ]
}

fn fails(name: &'static str, class: &'static str, seconds: u64, line: Line) -> Fault {
    Fault { name, line, result: Outcome::Fails(class), seconds }
}

fn write(text: &str) -> Act {
    Act::Write(text.to_owned().into())
}

/// An answer whose length may not be true.
fn framed(length: usize, body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}")
}

fn answer(status: &str, body: &str) -> Line {
    let length = body.len();
    Line::Peer(vec![
        Act::Read,
        write(&format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n{body}")),
    ])
}

/// A certificate for all clusters, and a client that trusts its issuer.
struct Certificates {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

// === impl Certificates ===

impl Certificates {
    /// Valid from the beginning of one year to the beginning of another.
    fn new(first: i32, last: i32) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(CLUSTERS.map(ToOwned::to_owned)).unwrap();
        params.not_before = rcgen::date_time_ymd(first, 1, 1);
        params.not_after = rcgen::date_time_ymd(last, 1, 1);
        let cert = params.signed_by(&key, &ca).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let server = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], PrivatePkcs8KeyDer::from(key.serialize_der()).into())
            .unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), ca.pem()).unwrap();
        let files = TlsFiles { trusted_ca_file: Some(file.path().to_owned()), ..TlsFiles::default() };
        let client = ClientFiles::read(&files).unwrap().config(b"http/1.1").unwrap();
        Self { server: Arc::new(server), client: Arc::new(client) }
    }

    fn secure(&self, takes: Duration) -> Secure {
        Secure { server: Arc::clone(&self.server), client: Arc::clone(&self.client), takes }
    }
}

// === impl Position ===

impl Position {
    fn asked(&self) -> &'static [&'static str] {
        if self.query.contains("clusters=") { self.ill } else { &CLUSTERS }
    }

    fn well(&self) -> Vec<&'static str> {
        self.asked().iter().copied().filter(|cluster| !self.ill.contains(cluster)).collect()
    }

    /// `Fedgate-Clusters`.
    fn clusters(&self, outcome: Outcome) -> String {
        let mut text = String::new();
        for cluster in self.asked() {
            let comma = if text.is_empty() { "" } else { ", " };
            let state = match outcome {
                Outcome::Fails(class) if self.ill.contains(cluster) => format!("error={class}"),
                _ => "status=200".to_owned(),
            };
            write!(text, "{comma}\"{cluster}\";{state}").unwrap();
        }
        text
    }

    fn status(&self, outcome: Outcome) -> u16 {
        let Outcome::Fails(class) = outcome else { return 200 };
        if !self.well().is_empty() && self.query != "?partial=false" {
            return 200;
        }
        match class {
            "timeout" => 504,
            "unauthorized" if self.well().is_empty() => 401,
            "forbidden" if self.well().is_empty() => 403,
            "not-found" if self.well().is_empty() => 404,
            _ => 502,
        }
    }
}

async fn try_one(fault: &Fault, position: &Position) {
    let what = format!("{}, {}", fault.name, position.name);
    let mut setup = Setup::default();
    setup.settings.fan_out.max_member_bytes = MAX_MEMBER_BYTES;
    let world = World::with(setup);
    for sensu in world.sensus() {
        world.put_check(sensu, "disk").await;
    }
    for cluster in position.ill {
        world.net.set(cluster, fault.line.clone());
    }
    let begun = Instant::now();
    let target = format!("{CHECKS}{}", position.query);
    let (head, body) = world.open(world.request(Method::GET, &target, "")).await.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes);
    let taken = begun.elapsed();

    let header = |name: &str| head.headers.get(name).map_or("", |value| value.to_str().unwrap());
    println!("{what}: {}, {} in {taken:.1?}", head.status, header("fedgate-clusters"));
    assert_eq!(taken.as_secs(), fault.seconds, "{what}");
    assert_eq!(head.status.as_u16(), position.status(fault.result), "{what}: {body:?}");
    assert_eq!(header("fedgate-clusters"), position.clusters(fault.result), "{what}");
    let is_complete = !matches!(fault.result, Outcome::Fails(_));
    assert_eq!(header("fedgate-complete"), is_complete.to_string(), "{what}");
    match fault.result {
        Outcome::Cuts => assert!(body.is_err(), "{what}: {body:?}"),
        Outcome::Answers => assert_eq!(clusters_of(&body.unwrap()), position.asked(), "{what}"),
        Outcome::Fails(_) if head.status == StatusCode::OK => {
            assert_eq!(clusters_of(&body.unwrap()), position.well(), "{what}");
        }
        Outcome::Fails(class) => says_why(head.status, &body.unwrap(), class, position, &what),
    }
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    world.nothing_is_held();
}

/// The cluster of every item.
fn clusters_of(body: &[u8]) -> Vec<String> {
    let items: Vec<serde_json::Value> = serde_json::from_slice(body).unwrap();
    items.iter().map(|item| item["cluster"].as_str().unwrap().to_owned()).collect()
}

/// A refusal is in the clusters' own words, and a failure names every member that failed.
fn says_why(status: StatusCode, body: &[u8], class: &str, position: &Position, what: &str) {
    let body: serde_json::Value = serde_json::from_slice(body).unwrap();
    if status == StatusCode::UNAUTHORIZED {
        assert_eq!(body.to_string(), UNAUTHORIZED, "{what}");
    } else if status.is_server_error() {
        let clusters: serde_json::Map<_, _> =
            position.ill.iter().map(|cluster| ((*cluster).to_owned(), class.into())).collect();
        assert_eq!(body["clusters"], serde_json::Value::Object(clusters), "{what}");
    }
}

async fn try_all(faults: Vec<Fault>) {
    for fault in &faults {
        for position in POSITIONS {
            try_one(fault, position).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn connections_that_fail() {
    try_all(connections()).await;
}

#[tokio::test(start_paused = true)]
async fn answers_that_refuse() {
    try_all(statuses()).await;
}

#[tokio::test(start_paused = true)]
async fn bodies_that_are_broken() {
    try_all(bodies()).await;
}

const ITEM: &str = r#"{"metadata":{"name":"disk","namespace":"default","labels":{"pad":"pppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppp"}}}"#;

/// In Sensu's words.
const UNAUTHORIZED: &str = r#"{"Code":5,"Message":"invalid credentials"}"#;
