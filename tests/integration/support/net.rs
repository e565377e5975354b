//! The network between the gateway and its clusters.

use std::{collections::HashMap, io, sync::Arc, time::Duration};

use fedgate::{
    net,
    sim::Sensu,
    types::{Backend, Cluster},
    upstream::{self, BoxFuture, BoxIo, Connect, ConnectError},
};
use parking_lot::Mutex;
use rustls::{ClientConfig, ServerConfig};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;

use super::peer::{self, Act};

/// What becomes of new connections to a cluster.
#[derive(Clone, Debug)]
pub(crate) enum Line {
    /// They reach it.
    Up,
    /// Nothing listens.
    Refused,
    /// The certificate is refused.
    BadCertificate,
    /// They open, and something else answers every request with these bytes, then closes.
    Scripted(String),
    /// As `Scripted`, but what follows never comes.
    Stalls(String),
    /// Every packet is lost.
    Silent,
    /// They open, and the peer does this with each of them.
    Peer(Vec<Act>),
    /// They reach it over TLS.
    Tls(Secure),
}

/// A cluster behind TLS.
#[derive(Clone, Debug)]
pub(crate) struct Secure {
    pub(crate) server: Arc<ServerConfig>,
    pub(crate) client: Arc<ClientConfig>,
    /// How long its side of the handshake takes.
    pub(crate) takes: Duration,
}

/// Connects in memory.
pub(crate) struct Net {
    sensus: Vec<Sensu>,
    lines: Mutex<HashMap<String, Line>>,
}

// === impl Net ===

impl Net {
    pub(super) fn new(sensus: impl Into<Vec<Sensu>>) -> Self {
        Self { sensus: sensus.into(), lines: Mutex::default() }
    }

    pub(crate) fn set(&self, cluster: &str, line: Line) {
        self.lines.lock().insert(cluster.to_owned(), line);
    }

    /// Has a cluster answer every request with this head and body.
    pub(crate) fn script(&self, cluster: &str, head: &str, body: &str) {
        let length = body.len();
        let answer =
            format!("HTTP/1.1 {head}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}");
        self.set(cluster, Line::Scripted(answer));
    }

    fn line(&self, name: &str) -> Line {
        self.lines.lock().get(name).cloned().unwrap_or(Line::Up)
    }

    fn sensu(&self, name: &str) -> Sensu {
        self.sensus.iter().find(|sensu| sensu.name() == name).unwrap().clone()
    }

    async fn open(&self, name: &str) -> Result<BoxIo, ConnectError> {
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        match self.line(name) {
            Line::Refused => return Err(ConnectError::Tcp(io::ErrorKind::ConnectionRefused.into())),
            Line::BadCertificate => return Err(ConnectError::Tls(io::ErrorKind::InvalidData.into())),
            Line::Up => {
                let sensu = self.sensu(name);
                tokio::spawn(async move { sensu.serve_connection(theirs).await });
            }
            Line::Scripted(answer) => drop(tokio::spawn(play(theirs, answer, false))),
            Line::Stalls(answer) => drop(tokio::spawn(play(theirs, answer, true))),
            Line::Silent => std::future::pending().await,
            Line::Peer(acts) => return Ok(Box::new(peer::connect(acts))),
            Line::Tls(Secure { server, client, takes }) => {
                let sensu = self.sensu(name);
                tokio::spawn(async move {
                    sleep(takes).await;
                    if let Ok(stream) = TlsAcceptor::from(server).accept(theirs).await {
                        sensu.serve_connection(stream).await;
                    }
                });
                return net::secure(ours, name.to_owned(), client).await;
            }
        }
        Ok(Box::new(ours))
    }
}

impl Connect for Net {
    fn connect(&self, cluster: &Cluster, _: &Backend) -> BoxFuture<'_, Result<BoxIo, ConnectError>> {
        let name = cluster.name.clone();
        Box::pin(async move {
            let opened = timeout(upstream::Config::default().connect_timeout, self.open(name.as_str())).await;
            opened.unwrap_or(Err(ConnectError::Timeout))
        })
    }
}

/// Reads a request's head and answers; then closes, or stays.
async fn play(mut io: DuplexStream, answer: String, stays: bool) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match io.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    // The gateway may have hung up, which is what some tests are about.
    drop(io.write_all(answer.as_bytes()).await);
    if stays {
        std::future::pending::<()>().await;
    }
}
