use clap::{Args, Subcommand};
use http::header;
use serde_json::json;

use super::super::kind::Kind;
use super::wrong;
use crate::cli::{
    Failure,
    client::{http::Gateway, options::Connection},
    output::print,
};

/// `fedgate api-key …`.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum KeyCommand {
    /// Make an API key for a user
    Grant(Grant),
}

/// `fedgate api-key grant`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Grant {
    /// The user that it stands for
    #[arg(value_name = "USERNAME")]
    username: String,
    #[command(flatten)]
    connection: Connection,
}

// === impl KeyCommand ===

impl KeyCommand {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let Self::Grant(grant) = self;
        grant.run().await
    }
}

// === impl Grant ===

impl Grant {
    /// Prints the key in sensuctl's words, which scripts take apart.
    async fn run(self) -> Result<(), Failure> {
        let kind = Kind::named("api-key").map_err(wrong)?;
        let gateway = Gateway::open(self.connection.settings()?).await?;
        let answer = gateway.post(&kind.list_path(None), &json!({"username": self.username})).await;
        let answer = answer.map_err(|failure| failure.with_context(&format!("user {:?}", self.username)))?;
        let location = answer.header(&header::LOCATION).unwrap_or_default();
        print(&format!("Created: {location}\n"))
    }
}
