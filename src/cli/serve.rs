use clap::Args;

use super::{
    ConfigFile, Failure, environment,
    runtime::{control_runtime, stop_signals},
};
use crate::{
    app::{BuildError, Server, Source},
    config, telemetry,
};

/// `fedgate serve`.
#[derive(Debug, Args)]
pub(super) struct Serve {
    #[command(flatten)]
    file: ConfigFile,
    /// Address to listen on instead of `listen.address`
    #[arg(long, value_name = "ADDRESS")]
    address: Option<std::net::SocketAddr>,
    /// Least severe level to log instead of `log.level`
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
}

// === impl Serve ===

impl Serve {
    pub(super) fn run(self) -> Result<(), Failure> {
        let mut env = environment();
        // A flag becomes the environment variable of its key, so that it is checked in the same way.
        if let Some(address) = self.address {
            env.insert("FEDGATE_LISTEN__ADDRESS".into(), address.to_string());
        }
        if let Some(level) = self.log_level {
            env.insert("FEDGATE_LOG__LEVEL".into(), level);
        }
        let source = Source { path: self.file.config, env };
        let runtime = control_runtime()?;
        let served = runtime.block_on(async move {
            // First of all: as process 1 of a container, it does not even get those that it does not handle.
            let mut stop = stop_signals()?;
            let server = tokio::select! {
                server = start(source) => server?,
                _ = stop.recv() => return Ok(()),
            };
            server.run(stop).await?;
            tracing::info!("stopped");
            Ok(())
        });
        // A hanging file system must not keep the process alive.
        runtime.shutdown_background();
        served
    }
}

async fn start(source: Source) -> Result<Server, Failure> {
    let root = config::load_in_time(&source.path, &source.env).await?;
    let logs = telemetry::init(&root.log);
    let server = Server::build(&root, Some(source), logs).await?;
    let (main, admin) = server.addresses().map_err(BuildError::from)?;
    tracing::info!(%main, %admin, clusters = root.clusters.len() + 1, "listening");
    Ok(server)
}
