//! Whether a destination can be reached, asked before anything is replicated to it.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use crate::{
    corev2::ROOT,
    etcd::{Client, Config, Error, explain, proto::RangeRequest},
    types::{Backend, TlsFiles},
};

/// An etcd that Sensu uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reached {
    /// Of etcd; empty when it does not say.
    pub version: String,
    /// Of the first request, the connection included.
    pub latency: Duration,
}

/// Reads how many of Sensu's keys an endpoint has. Writes nothing, so the right to write is not tried.
pub async fn probe(endpoint: &Backend, tls: &TlsFiles, limit: Duration) -> Result<Reached, String> {
    match timeout(limit, ask(endpoint, tls)).await {
        Ok(Ok(Some(reached))) => Ok(reached),
        Ok(Ok(None)) => Err("it has none of Sensu's keys: is this the etcd of a Sensu cluster?".to_owned()),
        Ok(Err(error)) => Err(explain(&error)),
        Err(_) => Err(format!("no answer within {} s", limit.as_secs())),
    }
}

async fn ask(endpoint: &Backend, tls: &TlsFiles) -> Result<Option<Reached>, Error> {
    let start = Instant::now();
    let client = Client::new(Config::new(vec![endpoint.clone()], tls.clone()))?;
    let keys = RangeRequest { count_only: true, ..RangeRequest::prefix(ROOT.as_bytes()) };
    let count = client.range(keys).await?.count;
    let latency = start.elapsed();
    // A version is nice to have; its right is another one.
    let version = client.status().await.map(|status| status.version).unwrap_or_default();
    Ok((count > 0).then_some(Reached { version: version.chars().take(MAX_VERSION).collect(), latency }))
}

const MAX_VERSION: usize = 64;
