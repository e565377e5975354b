//! Connections through a proxy.

use std::{future::ready, io, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, StatusCode, Uri, header};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::{client::legacy::connect::proxy::SocksV5, rt::TokioIo};
use rustls::ClientConfig;
use tokio::time::{Instant, timeout_at};
use tower::{Service as _, service_fn};

use super::{
    Proxy, ProxyError,
    address::{Scheme, User},
};
use crate::{
    cli::client::manners::{USER_AGENT, deepest},
    net::{self, BoxIo, ConnectError, TlsConfigs},
    types::{Backend, Cluster, TlsFiles},
    upstream::{BoxFuture, Connect},
};

/// Opens connections through a proxy, by a tunnel where the server is spoken to over TLS.
pub(in super::super) struct Through {
    proxy: Proxy,
    tls: TlsConfigs,
    timeout: Duration,
}

// === impl Through ===

impl Through {
    /// A connection takes at most `timeout`. One set of certificates is for both, as in Go: the proxy's and the server's.
    pub(in super::super) fn new(proxy: Proxy, tls: TlsConfigs, timeout: Duration) -> Self {
        Self { proxy, tls, timeout }
    }

    async fn open(
        &self,
        files: &TlsFiles,
        server: &Backend,
        deadline: Instant,
    ) -> Result<BoxIo, ConnectError> {
        let proxy = &self.proxy;
        let to_proxy = self.config(proxy.server(), files).await?;
        let to_server = self.config(server, files).await?;
        let io = match net::connect(proxy.server(), to_proxy, deadline).await {
            Err(ConnectError::Timeout) => return Err(ConnectError::Timeout),
            connected => connected.map_err(|error| failed(no_connection(proxy, &error)))?,
        };
        let io = match proxy.scheme() {
            Scheme::Socks => socks(proxy, io, server).await.map_err(failed)?,
            Scheme::Http if proxy.takes_requests_for(server) => io,
            Scheme::Http => tunnel(proxy, io, server).await.map_err(failed)?,
        };
        match to_server {
            Some(config) => net::secure(io, server.host.clone(), config).await,
            None => Ok(io),
        }
    }

    async fn config(
        &self,
        peer: &Backend,
        files: &TlsFiles,
    ) -> Result<Option<Arc<ClientConfig>>, ConnectError> {
        if !peer.tls {
            return Ok(None);
        }
        self.tls.get(files).await.map(Some).map_err(ConnectError::Files)
    }
}

impl Connect for Through {
    fn connect(&self, cluster: &Cluster, backend: &Backend) -> BoxFuture<'_, Result<BoxIo, ConnectError>> {
        let (files, server) = (cluster.tls.clone(), backend.clone());
        Box::pin(async move {
            let deadline = Instant::now() + self.timeout;
            let opening = self.open(&files, &server, deadline);
            timeout_at(deadline, opening).await.unwrap_or(Err(ConnectError::Timeout))
        })
    }
}

/// Asks an HTTP proxy for a connection to a server.
async fn tunnel(proxy: &Proxy, io: BoxIo, server: &Backend) -> Result<BoxIo, ProxyError> {
    let no_proxy = |_| ProxyError::NoProxy { proxy: proxy.to_string() };
    let authority = server.authority();
    let mut request =
        Request::connect(&authority).header(header::HOST, &authority).header(header::USER_AGENT, USER_AGENT);
    if let Some(value) = proxy.authorization() {
        request = request.header(header::PROXY_AUTHORIZATION, value);
    }
    let request =
        request.body(Empty::<Bytes>::new()).map_err(|_| ProxyError::NoProxy { proxy: proxy.to_string() })?;
    let (mut sender, connection) =
        http1::Builder::new().max_buf_size(MAX_HEAD).handshake(TokioIo::new(io)).await.map_err(no_proxy)?;
    tokio::spawn(connection.with_upgrades());
    let response = sender.send_request(request).await.map_err(no_proxy)?;
    match response.status() {
        status if status.is_success() => {
            let io = hyper::upgrade::on(response).await.map_err(no_proxy)?;
            Ok(Box::new(TokioIo::new(io)))
        }
        StatusCode::PROXY_AUTHENTICATION_REQUIRED => Err(proxy.unauthorized(response.headers())),
        status => Err(ProxyError::Refused {
            proxy: proxy.to_string(),
            server: authority,
            cause: status.to_string(),
        }),
    }
}

/// Asks a SOCKS proxy for a connection to a server.
async fn socks(proxy: &Proxy, io: BoxIo, server: &Backend) -> Result<BoxIo, ProxyError> {
    let mut connected = Some(TokioIo::new(io));
    let dial = service_fn(move |_: Uri| ready(connected.take().ok_or(io::ErrorKind::NotConnected)));
    let mut socks = SocksV5::new(Uri::from_static("socks5://proxy"), dial);
    if let Some(User { name, password }) = proxy.user() {
        socks = socks.with_auth(name.clone(), password.clone());
    }
    let refused =
        |cause: String| ProxyError::Refused { proxy: proxy.to_string(), server: server.authority(), cause };
    let target: Uri = server.authority().parse().map_err(|_| refused("no such name".to_owned()))?;
    let io = socks.call(target).await.map_err(|error| {
        // The type has no public name.
        let said = error.to_string();
        match said.strip_prefix("SOCKS error: ").unwrap_or(&said) {
            "io error during SOCKS handshake" | "failed parsing server response" => {
                ProxyError::NoProxy { proxy: proxy.to_string() }
            }
            // The library's own words for what does not fit into a message.
            "failed serialize request" => {
                refused("the user, the password and the name of the host are too long for SOCKS".to_owned())
            }
            cause => refused(cause.to_owned()),
        }
    })?;
    Ok(io.into_inner())
}

fn no_connection(proxy: &Proxy, error: &ConnectError) -> ProxyError {
    let (proxy, variable, cause) = (proxy.to_string(), proxy.variable(), deepest(error));
    match error {
        ConnectError::Tls(_) => ProxyError::Untrusted { proxy, cause },
        _ => ProxyError::Unreachable { proxy, variable, cause },
    }
}

/// For those who connect, a proxy's refusal is a connection that was not accepted.
fn failed(error: ProxyError) -> ConnectError {
    ConnectError::Tcp(io::Error::other(error))
}

/// Longest head of a proxy's answer, in bytes.
const MAX_HEAD: usize = 64 * 1024;
