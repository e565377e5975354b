//! The connection to a cluster: a TCP proxy that can be cut, silent or slow.

use std::{
    hash::{BuildHasher, RandomState},
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
    time::Instant,
};

/// The state of the line, for old and new connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// Bytes pass at once.
    Up,
    /// What the cluster sends is delayed by this, and at random by up to as much again.
    Slow(Duration),
    /// Connections stay open, but nothing passes.
    Silent,
    /// Connections are closed.
    Cut,
}

pub(crate) struct Link {
    pub(crate) address: SocketAddr,
    line: watch::Sender<Line>,
}

// === impl Link ===

impl Link {
    pub(crate) async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (line, seen) = watch::channel(Line::Up);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, target, seen.clone()));
            }
        });
        Self { address, line }
    }

    pub(crate) fn set(&self, line: Line) {
        self.line.send_replace(line);
    }
}

/// Carries one connection until either side ends it or it is cut.
async fn carry(client: TcpStream, target: SocketAddr, line: watch::Receiver<Line>) {
    let mut cut = line.clone();
    let both = async {
        let Ok(server) = TcpStream::connect(target).await else { return };
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
        let asked = flow(from_client, to_server, line.clone(), false);
        tokio::join!(asked, flow(from_server, to_client, line, true));
    };
    tokio::select! {
        () = both => {}
        _ = cut.wait_for(|line| *line == Line::Cut) => {}
    }
}

/// One direction. Delayed bytes do not hold up later ones: a slow line has latency, not little bandwidth.
async fn flow(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut line: watch::Receiver<Line>,
    delayed: bool,
) {
    let (sender, mut chunks) = mpsc::channel::<(Instant, Vec<u8>)>(64);
    let now = line.clone();
    let read = async move {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(length @ 1..) = from.read(&mut buffer).await {
            let wait = match *now.borrow() {
                Line::Slow(least) if delayed => least + least.mul_f64(random()),
                _ => Duration::ZERO,
            };
            if sender.send((Instant::now() + wait, buffer[..length].to_vec())).await.is_err() {
                return;
            }
        }
    };
    let write = async {
        while let Some((due, chunk)) = chunks.recv().await {
            tokio::time::sleep_until(due).await;
            if line.wait_for(|line| *line != Line::Silent).await.is_err()
                || to.write_all(&chunk).await.is_err()
            {
                return;
            }
        }
        let _ = to.shutdown().await;
    };
    tokio::join!(read, write);
}

/// At least 0, below 1.
fn random() -> f64 {
    f64::from(u16::try_from(RandomState::new().hash_one(0) >> 48).unwrap_or_default()) / 65_536.0
}
