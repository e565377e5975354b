//! Connections to a server, directly or through the proxy that the environment names.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, Uri, header};

use super::{
    base::Base,
    manners::{deepest, untrusted},
    proxy::{Proxies, Proxy, Through},
};
use crate::{
    cli::{CONFIG, Failure, UNAVAILABLE},
    error::Chain,
    net::TlsConfigs,
    types::{Cluster, ClusterName, Snapshot, Source, TlsFiles},
    upstream::{self, ClusterClient, Connect, Connector, Manager, Phase},
    wire::Body,
};

/// A server that requests are sent to.
pub(super) struct Server {
    client: Arc<ClusterClient>,
    base: Base,
    /// On the way to it.
    proxy: Option<Proxy>,
    timeout: Duration,
}

// === impl Server ===

impl Server {
    /// Prepares connections; none is opened yet.
    pub(super) async fn prepare(
        base: &Base,
        files: &TlsFiles,
        timeout: Duration,
        environment: &BTreeMap<String, String>,
    ) -> Result<Self, Failure> {
        let proxy = Proxies::of(environment)
            .to(&base.backend)
            .map_err(|error| Failure::new(CONFIG, format!("cannot reach {base}: {error}")))?;
        let tls = TlsConfigs::new();
        if base.backend.tls || proxy.as_ref().is_some_and(|proxy| proxy.server().tls) {
            tls.get(files)
                .await
                .map_err(|error| Failure::new(CONFIG, format!("--trusted-ca-file: {}", Chain(&*error))))?;
        }
        let connector: Arc<dyn Connect> = match &proxy {
            Some(proxy) => Arc::new(Through::new(proxy.clone(), tls, timeout)),
            None => Arc::new(Connector::new(tls, timeout)),
        };
        let client = client(base, files, timeout, connector)
            .ok_or_else(|| Failure::new(1, "no connection was prepared"))?;
        Ok(Self { client, base: base.clone(), proxy, timeout })
    }

    /// Sends a request, whose target is a path.
    pub(super) async fn send(&self, mut request: Request<Bytes>) -> Result<Response<Body>, Failure> {
        let takes_it = |proxy: &&Proxy| proxy.takes_requests_for(&self.base.backend);
        let forwarder = self.proxy.as_ref().filter(takes_it);
        if let Some(proxy) = forwarder {
            let target = format!("http://{}{}", self.base.host(), request.uri());
            *request.uri_mut() = target.parse::<Uri>().map_err(|error| Failure::new(1, error))?;
            if let Some(value) = proxy.authorization() {
                request.headers_mut().insert(header::PROXY_AUTHORIZATION, value);
            }
        }
        let is_read = request.method() == Method::GET;
        let response = self
            .client
            .send(request)
            .await
            .map_err(|error| Failure::new(UNAVAILABLE, self.unanswered(&error, is_read)))?;
        match forwarder {
            Some(proxy) if response.status() == StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
                let why = proxy.unauthorized(response.headers());
                Err(Failure::new(UNAVAILABLE, format!("cannot reach {}: {why}", self.base)))
            }
            _ => Ok(response),
        }
    }

    /// Why there was no answer, and what that leaves open.
    fn unanswered(&self, error: &upstream::Error, is_read: bool) -> String {
        let (base, timeout) = (&self.base, self.timeout);
        let by_way_of = self.proxy.as_ref().map(|proxy| format!(" through {proxy}")).unwrap_or_default();
        match error {
            upstream::Error::Timeout { phase: Phase::Connect, .. } => {
                format!("cannot reach {base}{by_way_of}: no connection within {timeout:?}")
            }
            upstream::Error::Timeout { .. } => {
                let doubt = if is_read { "" } else { "; the change may still have been made" };
                format!("no answer from {base}{by_way_of} within {timeout:?}: give a longer --timeout{doubt}")
            }
            upstream::Error::Tls { .. } => untrusted(&format!("{base}{by_way_of}"), &deepest(error)),
            // What a proxy says has its name in it.
            upstream::Error::Connect { .. } => format!("cannot reach {base}: {}", deepest(error)),
            _ => {
                format!(
                    "{base}{by_way_of} did not answer in HTTP: {}: is it the API's URL, and not https?",
                    deepest(error)
                )
            }
        }
    }
}

fn client(
    base: &Base,
    files: &TlsFiles,
    timeout: Duration,
    connector: Arc<dyn Connect>,
) -> Option<Arc<ClusterClient>> {
    let cluster = Cluster {
        name: ClusterName::local(),
        backends: vec![base.backend.clone()],
        tls: files.clone(),
        source: Source::Local,
    };
    let config = upstream::Config {
        connect_timeout: timeout,
        head_timeout: timeout,
        idle_body_timeout: timeout,
        ..upstream::Config::default()
    };
    let manager = Manager::new(config, connector);
    manager.apply(&Snapshot::new([cluster]));
    manager.cluster(ClusterName::local().as_str())
}
