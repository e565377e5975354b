//! Real backends, named by environment variables.
//!
//! They are shared by all groups and keep what was written, so the groups run once, in a fixed order, and each test
//! reads its part of the result.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::{Arc, OnceLock},
};

use aws_lc_rs::signature::{EcdsaKeyPair, KeyPair};
use base64::{Engine, engine::general_purpose::STANDARD};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, pem::PemObject},
};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::{
    fixture::Group,
    http::{self, Answer, Io},
    replay::Replay,
    report::Report,
    target::{MAIN, Step, Target},
    token::{self, Signer},
};

/// Fails when `group` differs on the real backends; passes when there are none, or when they cannot run it.
pub(crate) fn check(group: &str) {
    let Some(urls) = variable("FEDGATE_TEST_SENSU") else {
        println!("skipped: FEDGATE_TEST_SENSU is not set");
        return;
    };
    let outcomes = OUTCOMES.get_or_init(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(run_all(&Backends::from_environment(&urls)))
    });
    match outcomes.get(group) {
        Some(Outcome::Ran(report)) => report.check(&BTreeSet::new()),
        Some(Outcome::Skipped(reason)) => println!("skipped: {reason}"),
        None => panic!("{group} is not in the order of groups"),
    }
}

enum Outcome {
    Ran(Report),
    Skipped(&'static str),
}

struct Backends {
    /// `host:port` of the API, by name of the cluster.
    apis: BTreeMap<&'static str, String>,
    /// `host:port` of etcd; empty when not given.
    etcds: BTreeMap<&'static str, String>,
    tls: TlsConnector,
    key: EcdsaKeyPair,
}

async fn run_all(backends: &Backends) -> BTreeMap<&'static str, Outcome> {
    let mut replay = Replay::new(backends);
    for &cluster in backends.apis.keys() {
        assert_fresh(cluster, &replay.get(cluster, "/api/core/v2/namespaces").await.expect(cluster));
    }
    let mut outcomes = BTreeMap::new();
    for name in ORDER {
        let group = Group::load(name);
        let outcome = match name {
            "startup" => Outcome::Skipped("it needs a backend in its first seconds"),
            _ if group.needs_etcd() && !backends.has_etcd() => {
                Outcome::Skipped("it needs FEDGATE_TEST_SENSU_ETCD")
            }
            "federation" if backends.apis.len() < NAMES.len() => Outcome::Skipped("it needs three backends"),
            // Its ids are numbered independently of the seed's.
            "federation" => Outcome::Ran(Replay::new(backends).run(&group).await),
            _ => Outcome::Ran(replay.run(&group).await),
        };
        outcomes.insert(name, outcome);
    }
    outcomes
}

fn assert_fresh(cluster: &str, namespaces: &Value) {
    let names = namespaces.as_array().into_iter().flatten().filter_map(|n| n["name"].as_str());
    let left: Vec<_> = names.filter(|name| name.starts_with("fix")).collect();
    assert!(left.is_empty(), "{cluster} is not freshly initialised: it has {left:?}");
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn required(name: &str) -> String {
    variable(name).unwrap_or_else(|| panic!("{name} must be set beside FEDGATE_TEST_SENSU"))
}

// === impl Backends ===

impl Backends {
    fn from_environment(urls: &str) -> Self {
        let mut roots = RootCertStore::empty();
        let ca = required("FEDGATE_TEST_SENSU_CA");
        for certificate in CertificateDer::pem_file_iter(&ca).expect(&ca) {
            roots.add(certificate.expect(&ca)).expect(&ca);
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider knows TLS 1.3")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let key = required("FEDGATE_TEST_SENSU_KEY");
        let key = token::read_key(&std::fs::read(&key).expect(&key));
        if let Some(public) = variable("FEDGATE_TEST_SENSU_PUB") {
            let info = SubjectPublicKeyInfoDer::from_pem_file(&public).expect(&public);
            // The point is what such a structure ends with (RFC 5480).
            assert!(
                info.ends_with(key.public_key().as_ref()),
                "{public} is not the private key's other half"
            );
        }
        Self {
            apis: by_name(urls, "https://"),
            etcds: by_name(&variable("FEDGATE_TEST_SENSU_ETCD").unwrap_or_default(), "http://"),
            tls: TlsConnector::from(Arc::new(tls)),
            key,
        }
    }
}

impl Target for Backends {
    async fn connect(&self, cluster: &str) -> io::Result<Box<dyn Io>> {
        let address = address(&self.apis, cluster)?;
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let stream = TcpStream::connect(address).await?;
        // A request follows the handshake at once; without this it waits for the peer's delayed acknowledgement.
        stream.set_nodelay(true)?;
        Ok(Box::new(self.tls.connect(name, stream).await?))
    }

    fn key(&self) -> &EcdsaKeyPair {
        &self.key
    }

    fn has_etcd(&self) -> bool {
        self.apis.keys().all(|name| self.etcds.contains_key(name))
    }

    async fn mint_hs256(&self, cluster: &str, header: &Value, claims: &Value) -> io::Result<String> {
        let secret = self.etcd(cluster, Step::Get("/sensu.io/authentication/secret")).await?;
        let secret = secret.ok_or_else(|| io::Error::other("the cluster has no secret"))?;
        Ok(token::mint(header, claims, &Signer::Hs256(secret)))
    }

    /// Through etcd's JSON gateway, which the embedded etcd offers on its client URL.
    async fn etcd(&self, cluster: &str, step: Step<'_>) -> io::Result<Option<Vec<u8>>> {
        let (path, body) = match &step {
            Step::Get(key) => ("/v3/kv/range", json!({"key": STANDARD.encode(key)})),
            Step::Put(key, value) => {
                ("/v3/kv/put", json!({"key": STANDARD.encode(key), "value": STANDARD.encode(value)}))
            }
            Step::Delete(key) => ("/v3/kv/deleterange", json!({"key": STANDARD.encode(key)})),
        };
        let address = address(&self.etcds, cluster)?;
        let request = http::encode("POST", path, address, &[], Some(&body.to_string()));
        let Answer::Response(answer) =
            http::exchange(TcpStream::connect(address).await?, "POST", &request).await?
        else {
            return Err(io::Error::other("etcd closed the connection"));
        };
        if answer.status != 200 {
            return Err(io::Error::other(format!("etcd: {} {}", answer.status, answer.text())));
        }
        let answer: Value = serde_json::from_slice(&answer.body)?;
        let value = answer["kvs"][0]["value"].as_str();
        value.map(|value| STANDARD.decode(value).map_err(io::Error::other)).transpose()
    }
}

fn by_name(urls: &str, scheme: &str) -> BTreeMap<&'static str, String> {
    let addresses = urls.split(',').map(str::trim).filter(|url| !url.is_empty()).map(|url| {
        let rest = url.strip_prefix(scheme).unwrap_or_else(|| panic!("{url} does not begin with {scheme}"));
        rest.trim_end_matches('/').to_owned()
    });
    NAMES.into_iter().zip(addresses).collect()
}

fn address<'a>(addresses: &'a BTreeMap<&str, String>, cluster: &str) -> io::Result<&'a str> {
    addresses
        .get(cluster)
        .map(String::as_str)
        .ok_or_else(|| io::Error::other(format!("no address of {cluster} was given")))
}

/// In the order of the variable's URLs.
const NAMES: [&str; 3] = [MAIN, "alpha", "beta"];

/// `federation` starts from fresh backends and cleans up; after the seed, first the groups that only read.
const ORDER: [&str; 15] = [
    "startup",
    "federation",
    "seed",
    "lists",
    "get",
    "pagination",
    "dispatch",
    "graphql-read",
    "tokens",
    "auth",
    "crud",
    "errors",
    "hazards",
    "graphql-write",
    "rbac",
];

static OUTCOMES: OnceLock<BTreeMap<&'static str, Outcome>> = OnceLock::new();
