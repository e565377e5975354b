//! Sends the exchanges of a group one after the other.

use std::{
    collections::BTreeMap,
    io,
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::{
    bindings::Bindings,
    compare::{Difference, compare},
    fixture::{EtcdDelete, Exchange, Group, Request, Response},
    http::{self, Answer},
    report::Report,
    target::{ADMIN, MAIN, Step, Target},
    token::{self, Signer},
};

/// A target and what was learnt from it so far.
pub(crate) struct Replay<'a, T> {
    target: &'a T,
    bindings: Bindings,
    /// Access tokens of the administrator, per cluster.
    admin: BTreeMap<String, (String, Instant)>,
}

/// Why an exchange was not compared.
enum Stop {
    /// The target lacks something the exchange needs.
    Skip(&'static str),
    Broken(String),
}

// === impl Replay ===

impl<'a, T: Target> Replay<'a, T> {
    pub(crate) fn new(target: &'a T) -> Self {
        Self { target, bindings: Bindings::default(), admin: BTreeMap::new() }
    }

    /// Replays `group`. What it binds is known to later groups too, as they may build on the seed.
    pub(crate) async fn run(&mut self, group: &Group) -> Report {
        let mut report = Report::new(&group.name);
        for exchange in &group.exchanges {
            pause(exchange.wait_before_ms).await;
            match self.one(exchange).await {
                Ok(differences) => report.record(exchange, differences),
                Err(Stop::Skip(reason)) => report.skip(&exchange.name, reason),
                Err(Stop::Broken(error)) => {
                    report.record(exchange, vec![Difference::new("exchange", "an answer", error)]);
                }
            }
        }
        pause(group.settle_ms).await;
        report
    }

    /// The administrator's view of `path` on `cluster`.
    pub(crate) async fn get(&mut self, cluster: &str, path: &str) -> io::Result<Value> {
        let token = self.admin_token(cluster).await?;
        let headers = [("Authorization".to_owned(), format!("Bearer {token}"))];
        let request = http::encode("GET", path, "sensu.example.com:8080", &headers, None);
        self.json(cluster, &request).await
    }

    async fn one(&mut self, exchange: &Exchange) -> Result<Vec<Difference>, Stop> {
        let cluster = exchange.cluster.as_deref().unwrap_or(MAIN);
        let (Some(request), Some(response)) = (&exchange.request, &exchange.response) else {
            self.etcd_step(exchange, cluster).await?;
            return Ok(Vec::new());
        };
        let bytes = self.encode(exchange, request, cluster).await?;
        let io = self.target.connect(cluster).await?;
        match http::exchange(io, &request.method, &bytes).await? {
            Answer::Dropped if response.dropped => Ok(Vec::new()),
            Answer::Dropped => {
                Ok(vec![Difference::new("connection", "an answer", "closed without an answer")])
            }
            Answer::Response(actual) if response.dropped => {
                let actual = format!("{}: {}", actual.status, actual.text());
                Ok(vec![Difference::new("connection", "closed without an answer", actual)])
            }
            Answer::Response(actual) => Ok(self.judge(exchange, response, &actual)),
        }
    }

    fn judge(
        &mut self,
        exchange: &Exchange,
        recorded: &Response,
        actual: &http::Received,
    ) -> Vec<Difference> {
        let mut differences = self.bindings.learn(exchange, recorded, actual);
        differences.extend(compare(exchange, recorded, actual, &self.bindings));
        differences
    }

    async fn encode(
        &mut self,
        exchange: &Exchange,
        request: &Request,
        cluster: &str,
    ) -> Result<Vec<u8>, Stop> {
        let body = request.body();
        if request.headers.iter().any(|(_, value)| value.contains("<access:admin>")) {
            let token = self.admin_token(cluster).await?;
            self.bindings.bind_token("<access:admin>", &token);
        }
        let minted = self.mint(request, cluster).await?;
        let fill = |name: &str, value: &str| {
            let value = self.bindings.fill_header(name, value);
            minted.as_ref().map_or(value.clone(), |token| value.replace("<minted>", token))
        };
        let headers: Vec<_> =
            request.headers.iter().map(|(name, value)| (name.clone(), fill(name, value))).collect();
        let host = host(exchange.cluster.as_deref());
        let path = self.bindings.fill_path(&request.path);
        let body = body.map(|body| self.bindings.fill(&body));
        Ok(http::encode(&request.method, &path, &host, &headers, body.as_deref()))
    }

    async fn mint(&self, request: &Request, cluster: &str) -> Result<Option<String>, Stop> {
        let Some(mut claims) = request.token_claims.clone() else { return Ok(None) };
        token::fill_claims(&mut claims, &|text: &str| self.bindings.fill(text));
        let header = request.token_header.clone().unwrap_or_else(|| json!({"alg": "ES256", "typ": "JWT"}));
        let sign = |signer: &Signer<'_>| Ok(Some(token::mint(&header, &claims, signer)));
        let Some(key) = request.token_key.as_deref() else { return sign(&Signer::Es256(self.target.key())) };
        match key {
            "none: empty signature" => sign(&Signer::Nothing),
            "another P-256 key" => sign(&Signer::Es256(&token::generate_key())),
            _ if !self.target.has_etcd() => Err(Stop::Skip("it needs the secret the cluster keeps in etcd")),
            _ => {
                let owner = key.strip_prefix("the 32 raw bytes at /sensu.io/authentication/secret of ");
                let owner = owner.ok_or_else(|| Stop::Broken(format!("no such key: {key}")))?;
                let owner = if owner == "the cluster asked" { cluster } else { owner };
                Ok(Some(self.target.mint_hs256(owner, &header, &claims).await?))
            }
        }
    }

    async fn etcd_step(&self, exchange: &Exchange, cluster: &str) -> Result<(), Stop> {
        if !self.target.has_etcd() {
            return Err(Stop::Skip("it needs etcd"));
        }
        if let Some(put) = &exchange.etcd_put {
            let value = STANDARD.decode(&put.value_base64).map_err(io::Error::other)?;
            self.target.etcd(cluster, Step::Put(&self.bindings.fill(&put.key), value)).await?;
        }
        if let Some(copy) = &exchange.etcd_copy {
            let key = self.bindings.fill(&copy.key);
            let value = self.target.etcd(&copy.from, Step::Get(&key)).await?;
            let value = value.ok_or_else(|| Stop::Broken(format!("{} has no {key}", copy.from)))?;
            self.target.etcd(&copy.to, Step::Put(&key, value)).await?;
        }
        for key in exchange.etcd_delete.iter().flat_map(EtcdDelete::keys) {
            self.target.etcd(cluster, Step::Delete(&self.bindings.fill(key))).await?;
        }
        Ok(())
    }

    async fn admin_token(&mut self, cluster: &str) -> io::Result<String> {
        if let Some((token, since)) = self.admin.get(cluster)
            && since.elapsed() < RELOGIN
        {
            return Ok(token.clone());
        }
        let (user, password) = ADMIN;
        let basic = STANDARD.encode(format!("{user}:{password}"));
        let headers = [("Authorization".to_owned(), format!("Basic {basic}"))];
        let request = http::encode("GET", "/auth", "sensu.example.com:8080", &headers, None);
        let pair = self.json(cluster, &request).await?;
        let token =
            pair["access_token"].as_str().ok_or_else(|| io::Error::other("no access token"))?.to_owned();
        self.admin.insert(cluster.to_owned(), (token.clone(), Instant::now()));
        Ok(token)
    }

    async fn json(&self, cluster: &str, request: &[u8]) -> io::Result<Value> {
        match http::exchange(self.target.connect(cluster).await?, "GET", request).await? {
            Answer::Response(answer) if answer.status == 200 => {
                serde_json::from_slice(&answer.body).map_err(io::Error::other)
            }
            Answer::Response(answer) => {
                Err(io::Error::other(format!("{}: {}", answer.status, answer.text())))
            }
            Answer::Dropped => Err(io::Error::other("closed without an answer")),
        }
    }
}

// === impl Stop ===

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Broken(error.to_string())
    }
}

/// The `Host` the exchanges were recorded with: it comes back in tokens.
fn host(cluster: Option<&str>) -> String {
    format!("{}.example.com:8080", cluster.unwrap_or("sensu"))
}

async fn pause(milliseconds: u64) {
    if milliseconds > 0 {
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
    }
}

/// Access tokens live for 300 s.
const RELOGIN: Duration = Duration::from_secs(200);
