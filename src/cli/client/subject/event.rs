use clap::{Args, Subcommand};

use super::located;
use crate::cli::{
    Failure,
    client::{http::Gateway, options::Connection, time::now},
    output::report,
};

/// `fedgate event …`.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum EventCommand {
    /// Set the status of an event to 0
    Resolve(Resolve),
}

/// `fedgate event resolve`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Resolve {
    /// The event's entity
    #[arg(value_name = "ENTITY")]
    entity: String,
    /// The event's check
    #[arg(value_name = "CHECK")]
    check: String,
    #[command(flatten)]
    connection: Connection,
}

// === impl EventCommand ===

impl EventCommand {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let Self::Resolve(resolve) = self;
        resolve.run().await
    }
}

// === impl Resolve ===

impl Resolve {
    /// As sensuctl does: the event as it is, with a passing result.
    async fn run(self) -> Result<(), Failure> {
        let title = format!("event {:?}", format!("{}/{}", self.entity, self.check));
        let (settings, path) = located(&self.connection, "event", &[self.entity, self.check])?;
        let gateway = Gateway::open(settings).await?;
        let resolved = async {
            let mut event = gateway.get(&path).await?.json()?;
            if let Some(event) = event.as_object_mut() {
                event.shift_remove("cluster");
            }
            let instant = now();
            event["timestamp"] = instant.into();
            event["check"]["status"] = 0.into();
            event["check"]["output"] = "Resolved manually by fedgate".into();
            event["check"]["executed"] = instant.into();
            gateway.put(&path, &event).await
        };
        resolved.await.map_err(|failure| failure.with_context(&title))?;
        report(&format!("resolved {title}\n"));
        Ok(())
    }
}
