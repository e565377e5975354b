use clap::{Args, Subcommand};
use serde_json::json;

use super::located;
use crate::cli::{
    Failure,
    client::{http::Gateway, options::Connection},
    output::report,
};

/// `fedgate tessen …`.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum TessenCommand {
    /// Let the cluster send figures about itself to Sensu's makers
    OptIn(Opt),
    /// Do not let it
    OptOut(Opt),
}

/// `fedgate tessen opt-in`, `fedgate tessen opt-out`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Opt {
    /// Accepted, as fedgate does not ask
    #[arg(long, hide = true)]
    skip_confirm: bool,
    #[command(flatten)]
    connection: Connection,
}

// === impl TessenCommand ===

impl TessenCommand {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let (opt, is_out) = match self {
            Self::OptIn(opt) => (opt, false),
            Self::OptOut(opt) => (opt, true),
        };
        let (settings, path) = located(&opt.connection, "tessen", &[])?;
        let gateway = Gateway::open(settings).await?;
        gateway.put(&path, &json!({"opt_out": is_out})).await?;
        report(if is_out { "opted out of tessen\n" } else { "opted in to tessen\n" });
        Ok(())
    }
}
