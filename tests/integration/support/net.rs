//! The network between the gateway and its clusters.

use std::{collections::HashMap, io};

use fedgate::{
    sim::Sensu,
    types::{Backend, Cluster},
    upstream::{BoxFuture, BoxIo, Connect, ConnectError},
};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

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

    fn open(&self, name: &str) -> Result<BoxIo, ConnectError> {
        let line = self.lines.lock().get(name).cloned();
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        match line.unwrap_or(Line::Up) {
            Line::Refused => return Err(ConnectError::Tcp(io::ErrorKind::ConnectionRefused.into())),
            Line::BadCertificate => return Err(ConnectError::Tls(io::ErrorKind::InvalidData.into())),
            Line::Up => {
                let sensu = self.sensus.iter().find(|sensu| sensu.name() == name).unwrap().clone();
                tokio::spawn(async move { sensu.serve_connection(theirs).await });
            }
            Line::Scripted(answer) => drop(tokio::spawn(play(theirs, answer, false))),
            Line::Stalls(answer) => drop(tokio::spawn(play(theirs, answer, true))),
        }
        Ok(Box::new(ours))
    }
}

impl Connect for Net {
    fn connect(&self, cluster: &Cluster, _: &Backend) -> BoxFuture<'_, Result<BoxIo, ConnectError>> {
        let opened = self.open(cluster.name.as_str());
        Box::pin(async move { opened })
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
