//! What only one type has: `check execute`, `event resolve`, `api-key grant`, `user add-group`, …

mod asset;
mod check;
mod cluster;
mod event;
mod key;
mod tessen;
mod user;

use clap::Subcommand;

use self::{
    asset::AssetCommand, check::CheckCommand, cluster::ClusterCommand, event::EventCommand, key::KeyCommand,
    tessen::TessenCommand, user::UserCommand,
};
use super::options::{Connection, Settings};
use crate::cli::{Failure, USAGE};

/// A type, and what is done with it. What all types have is arranged into `list check` before this is parsed.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Subject {
    /// What only assets have: add
    #[command(hide = true, subcommand)]
    Asset(AssetCommand),
    /// What only checks have: execute, set-…, remove-…
    #[command(hide = true, subcommand)]
    Check(CheckCommand),
    /// What only events have: resolve
    #[command(hide = true, subcommand)]
    Event(EventCommand),
    /// What only API keys have: grant
    #[command(hide = true, subcommand)]
    ApiKey(KeyCommand),
    /// What only users have: passwords and groups
    #[command(hide = true, subcommand)]
    User(UserCommand),
    /// What the cluster at the URL has: health, id, member-list
    #[command(hide = true, subcommand)]
    Cluster(ClusterCommand),
    /// What only tessen has: opt-in, opt-out
    #[command(hide = true, subcommand)]
    Tessen(TessenCommand),
}

// === impl Subject ===

impl Subject {
    pub(in crate::cli) async fn run(self) -> Result<(), Failure> {
        match self {
            Self::Asset(command) => command.run().await,
            Self::Check(command) => command.run().await,
            Self::Event(command) => command.run().await,
            Self::ApiKey(command) => command.run().await,
            Self::User(command) => command.run().await,
            Self::Cluster(command) => command.run().await,
            Self::Tessen(command) => command.run().await,
        }
    }
}

/// The settings, and the path of one resource.
fn located(connection: &Connection, word: &str, names: &[String]) -> Result<(Settings, String), Failure> {
    let kind = super::list::kind_named(word)?;
    super::list::check_names(kind, names)?;
    let settings = connection.settings()?;
    let path = kind.item_path(&settings.namespace, names);
    Ok((settings, path))
}

fn wrong(what: impl std::fmt::Display) -> Failure {
    Failure::new(USAGE, what)
}
