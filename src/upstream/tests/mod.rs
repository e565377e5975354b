//! Scripted peers over in-memory streams, under paused time.

mod failover;
mod health;
mod limits;
mod pooling;
mod tls;

use std::{
    collections::{HashMap, VecDeque},
    io,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures::FutureExt as _;
use http::{Method, Request, Response};
use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream},
    sync::mpsc,
};

use super::{
    BoxFuture, BoxIo, ClusterClient, Config, Connect, ConnectError, Error, HealthBoard, Manager,
    board::BackendKey,
};
use crate::{
    types::{Backend, Cluster, Snapshot, Source, TlsFiles},
    wire::{Body, read_limited},
};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// How a backend, told by its port, takes connections. One that is not listed accepts them.
#[derive(Clone, Copy)]
enum Door {
    Refuses,
    Swallows,
    /// Accepts and closes at once.
    Slams,
    /// Shows a certificate that is not trusted.
    Untrusted,
}

/// A network of backends in memory.
struct Net {
    doors: Mutex<HashMap<u16, Door>>,
    dialed: Mutex<Vec<u16>>,
    accepted: mpsc::UnboundedSender<Peer>,
}

/// The backend's side of one connection.
struct Peer {
    port: u16,
    io: DuplexStream,
    read: Vec<u8>,
}

impl Net {
    fn new(doors: impl IntoIterator<Item = (u16, Door)>) -> (Arc<Self>, mpsc::UnboundedReceiver<Peer>) {
        let (accepted, peers) = mpsc::unbounded_channel();
        let doors = Mutex::new(doors.into_iter().collect());
        (Arc::new(Self { doors, dialed: Mutex::default(), accepted }), peers)
    }

    /// Changes how a backend takes connections; `None` accepts them.
    fn set(&self, port: u16, door: Option<Door>) {
        let mut doors = self.doors.lock();
        doors.remove(&port);
        doors.extend(door.map(|door| (port, door)));
    }

    /// The ports of all attempts to connect, in order.
    fn dialed(&self) -> Vec<u16> {
        self.dialed.lock().clone()
    }
}

impl Connect for Net {
    fn connect(&self, _: &Cluster, backend: &Backend) -> BoxFuture<'_, Result<BoxIo, ConnectError>> {
        let port = backend.port;
        async move {
            self.dialed.lock().push(port);
            let (client, server) = tokio::io::duplex(64 * 1024);
            let door = self.doors.lock().get(&port).copied();
            match door {
                Some(Door::Refuses) => {
                    return Err(ConnectError::Tcp(io::ErrorKind::ConnectionRefused.into()));
                }
                Some(Door::Swallows) => std::future::pending::<()>().await,
                Some(Door::Untrusted) => {
                    return Err(ConnectError::Tls(io::Error::other("invalid peer certificate")));
                }
                Some(Door::Slams) => {}
                None => self.accepted.send(Peer { port, io: server, read: Vec::new() }).unwrap(),
            }
            Ok(Box::new(client) as BoxIo)
        }
        .boxed()
    }
}

impl Peer {
    /// Reads one request; `None` when the gateway closed the connection.
    async fn request(&mut self) -> Option<String> {
        loop {
            if let Some(head) = self.read.windows(4).position(|w| w == b"\r\n\r\n") {
                let text = String::from_utf8(self.read[..head].to_vec()).unwrap().to_ascii_lowercase();
                let body = text
                    .split("content-length: ")
                    .nth(1)
                    .map_or(0, |rest| rest.split("\r\n").next().unwrap().parse::<usize>().unwrap());
                if self.read.len() >= head + 4 + body {
                    let rest = self.read.split_off(head + 4 + body);
                    return Some(String::from_utf8(std::mem::replace(&mut self.read, rest)).unwrap());
                }
            }
            let read = self.io.read_buf(&mut self.read);
            let read = tokio::time::timeout(Duration::from_secs(60), read);
            if read.await.expect("a minute without a byte").unwrap_or(0) == 0 {
                return None;
            }
        }
    }

    async fn write(&mut self, text: &str) {
        self.io.write_all(text.as_bytes()).await.unwrap();
    }

    /// Answers requests from a script, then closes. Returns the requests.
    async fn play(mut self, script: impl IntoIterator<Item = &'static str>) -> Vec<String> {
        let mut script: VecDeque<_> = script.into_iter().collect();
        let mut seen = Vec::new();
        while let Some(answer) = script.pop_front() {
            let Some(request) = self.request().await else { break };
            seen.push(request);
            self.write(answer).await;
        }
        seen
    }
}

fn cluster(name: &str, ports: &[u16]) -> Cluster {
    let backend = |port: &u16| Backend { tls: false, host: "sensu.example.com".into(), port: *port };
    Cluster {
        name: name.parse().unwrap(),
        backends: ports.iter().map(backend).collect(),
        tls: TlsFiles::default(),
        source: Source::Api,
    }
}

fn client(net: &Arc<Net>, config: Config, ports: &[u16]) -> Arc<ClusterClient> {
    let manager = Manager::new(config, net.clone());
    manager.apply(&Snapshot::new([cluster("alpha", ports)]));
    manager.cluster("alpha").unwrap()
}

/// Like [`client`], but the first backend is always preferred to the others.
fn ordered(net: &Arc<Net>, config: Config, ports: &[u16]) -> Arc<ClusterClient> {
    let board = Arc::new(HealthBoard::new());
    let cluster = cluster("alpha", ports);
    let manager = Manager::with_health(config, net.clone(), board.clone());
    manager.apply(&Snapshot::new([cluster.clone()]));
    for backend in &cluster.backends[1..] {
        board.of(&BackendKey::new(&cluster, backend)).avoid();
    }
    manager.cluster("alpha").unwrap()
}

fn request(method: Method, target: &str, body: &'static str) -> Request<Bytes> {
    Request::builder()
        .method(method)
        .uri(target)
        .header("host", "sensu.example.com")
        .body(Bytes::from_static(body.as_bytes()))
        .unwrap()
}

fn get(target: &str) -> Request<Bytes> {
    request(Method::GET, target, "")
}

/// The whole body as text, or the error that it ended with.
async fn text(response: Response<Body>) -> Result<String, Error> {
    match read_limited(response.into_body(), 1 << 20).await {
        Ok(bytes) => Ok(String::from_utf8(bytes.to_vec()).unwrap()),
        Err(crate::wire::ReadError::Broken(error)) => Err(*error.downcast().unwrap()),
        Err(error) => panic!("{error}"),
    }
}

/// Lets every other task run until nothing is left to do.
async fn settle() {
    // Paused time moves on only when no task can run.
    tokio::time::sleep(Duration::from_millis(1)).await;
}

#[test]
fn futures_can_move_between_threads() {
    fn check<T: Send>(_: T) {}
    let (net, _peers) = Net::new([]);
    let client = client(&net, Config::default(), &[1]);
    check(client.send(get("/")));
}
