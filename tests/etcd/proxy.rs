//! A cable to an etcd that can be pulled out.

use std::io;

use fedgate::types::Backend;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};

/// Forwards connections while it is plugged in. Ends on drop.
pub(crate) struct Proxy {
    port: u16,
    is_plugged: watch::Sender<bool>,
    _tasks: JoinSet<()>,
}

impl Proxy {
    pub(crate) async fn to(target: &Backend) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (is_plugged, plug) = watch::channel(true);
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(listener, (target.host.clone(), target.port), plug));
        Self { port, is_plugged, _tasks: tasks }
    }

    pub(crate) fn endpoint(&self) -> Backend {
        format!("http://127.0.0.1:{}", self.port).parse().unwrap()
    }

    /// Breaks all connections, and those to come.
    pub(crate) fn unplug(&self) {
        self.is_plugged.send_replace(false);
    }

    pub(crate) fn plug_in(&self) {
        self.is_plugged.send_replace(true);
    }
}

async fn serve(listener: TcpListener, target: (String, u16), plug: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let (target, mut plug) = (target.clone(), plug.clone());
        if !*plug.borrow_and_update() {
            continue;
        }
        connections.spawn(async move {
            tokio::select! {
                _ = plug.changed() => {}
                _ = forward(client, target) => {}
            }
        });
    }
}

async fn forward(mut client: TcpStream, target: (String, u16)) -> io::Result<()> {
    let mut server = TcpStream::connect(target).await?;
    tokio::io::copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}
