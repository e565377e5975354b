use clap::Args;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};

use super::{ConfigFile, Failure, demo, environment};
use crate::{
    app::{BuildError, Server, Source},
    config, telemetry,
};

/// `fedgate serve`.
#[derive(Debug, Args)]
pub(super) struct Serve {
    #[command(flatten)]
    file: ConfigFile,
    /// Address to listen on, in place of `listen.address`
    #[arg(long, value_name = "ADDRESS")]
    address: Option<std::net::SocketAddr>,
    /// Least severe level to log, in place of `log.level`
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
}

/// `fedgate demo`.
#[derive(Debug, Args)]
pub(super) struct Demo {
    /// Port of the gateway; when it is taken, a free one
    #[arg(long, default_value_t = demo::PORT)]
    port: u16,
}

// === impl Serve ===

impl Serve {
    pub(super) fn run(self) -> Result<(), Failure> {
        let mut env = environment();
        // A flag is the environment's own spelling of a key, so that it is checked the same way.
        if let Some(address) = self.address {
            env.insert("FEDGATE_LISTEN__ADDRESS".into(), address.to_string());
        }
        if let Some(level) = self.log_level {
            env.insert("FEDGATE_LOG__LEVEL".into(), level);
        }
        let root = config::load(&self.file.config, &env)?;
        let logs = telemetry::init(&root.log);
        let source = Source { path: self.file.config, env };
        let runtime = control_runtime()?;
        let served = runtime.block_on(async move {
            let server = Server::build(&root, Some(source), logs).await?;
            let (main, admin) = server.addresses().map_err(BuildError::from)?;
            tracing::info!(%main, %admin, clusters = root.clusters.len() + 1, "listening");
            server.run(stop_signals()?).await?;
            tracing::info!("stopped");
            Ok(())
        });
        // A file system that hangs must not keep the process.
        runtime.shutdown_background();
        served
    }
}

// === impl Demo ===

impl Demo {
    pub(super) fn run(self) -> Result<(), Failure> {
        control_runtime()?.block_on(demo::run(self.port))
    }
}

/// The control plane's runtime, on the main thread. Workers have their own.
pub(super) fn control_runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(1, format!("cannot start a runtime: {error}")))
}

/// One message for each SIGTERM or SIGINT.
pub(super) fn stop_signals() -> Result<mpsc::Receiver<()>, Failure> {
    let handler = |kind| signal(kind).map_err(|e| Failure::new(1, format!("cannot handle signals: {e}")));
    let mut terminate = handler(SignalKind::terminate())?;
    let mut interrupt = handler(SignalKind::interrupt())?;
    let (sender, receiver) = mpsc::channel(2);
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if sender.send(()).await.is_err() {
                return;
            }
        }
    });
    Ok(receiver)
}
