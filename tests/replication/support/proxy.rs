//! A TCP proxy that can be cut.

use std::{sync::Arc, time::Duration};

use fedgate::types::Backend;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy, copy_bidirectional, sink},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
    time::sleep,
};

/// What the proxy does with connections, old and new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    /// Passes everything.
    Up,
    /// Closes them.
    Cut,
    /// Keeps them open and passes nothing.
    Silent,
    /// Keeps what clients send; it arrives when it is released, whether they are still there or not.
    Late,
}

pub(crate) struct Proxy {
    pub(crate) url: String,
    link: Arc<watch::Sender<Link>>,
    released: Arc<watch::Sender<bool>>,
    task: JoinHandle<()>,
}

impl Proxy {
    pub(crate) async fn to(target: Backend) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let link = Arc::new(watch::Sender::new(Link::Up));
        let links = Arc::clone(&link);
        let released = Arc::new(watch::Sender::new(false));
        let letting_go = Arc::clone(&released);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(serve(client, target.clone(), links.subscribe(), letting_go.subscribe()));
            }
        });
        Self { url, link, released, task }
    }

    pub(crate) fn set(&self, link: Link) {
        self.link.send_replace(link);
    }

    /// Lets go what came late.
    pub(crate) fn release(&self) {
        self.released.send_replace(true);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    mut client: TcpStream,
    target: Backend,
    mut links: watch::Receiver<Link>,
    release: watch::Receiver<bool>,
) {
    if links
        .wait_for(|link| !matches!(link, Link::Silent | Link::Late))
        .await
        .is_ok_and(|link| *link == Link::Cut)
    {
        return;
    }
    let Ok(mut server) = TcpStream::connect((target.host.as_str(), target.port)).await else { return };
    let broken = tokio::select! {
        _ = copy_bidirectional(&mut client, &mut server) => return,
        broken = async { *links.wait_for(|link| *link != Link::Up).await.unwrap() } => broken,
    };
    // What was on its way is lost, as the connection is; only when that is noticed differs.
    if broken == Link::Silent {
        let _ = links.wait_for(|link| *link != Link::Silent).await;
    }
    if broken == Link::Late {
        deliver_late(&mut client, &mut server, release).await;
    }
}

/// Keeps what a client sends until it is released. Then it arrives in the steps in which it was sent: a request that comes
/// together with its cancellation would not be served at all.
async fn deliver_late(client: &mut TcpStream, server: &mut TcpStream, mut release: watch::Receiver<bool>) {
    let mut steps = Vec::new();
    loop {
        let mut step = vec![0; 64 << 10];
        tokio::select! {
            read = client.read(&mut step) => match read {
                Ok(length @ 1..) => steps.push(step[..length].to_vec()),
                _ => break,
            },
            _ = release.wait_for(|is_released| *is_released) => break,
        }
    }
    let _ = release.wait_for(|is_released| *is_released).await;
    for step in steps {
        let _ = server.write_all(&step).await;
        sleep(Duration::from_millis(50)).await;
    }
    let _ = copy(server, &mut sink()).await;
}
