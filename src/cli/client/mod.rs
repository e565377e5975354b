//! The commands that talk to a gateway, or to a Sensu backend, as a user.
//!
//! ```text
//!  options ── flags, SENSU_…, sensuctl's files (saved) ──► Settings
//!                                                            │
//!  files ── YAML, JSON ──► Document ──► create, delete       ▼
//!                          Document ◄── edit ──────────► http::Gateway ── Server (proxy) ── crate::upstream ──► server
//!                          print ◄──── list, info, dump, status, diff, verify
//! ```
//!
//! Requests and output match sensuctl's, so that both can be used with the same login. Added to it is what Sensu does not
//! have: clusters in tables, qualified namespaces, incomplete lists, `federation/v1`.

mod adopt;
mod answer;
mod base;
mod columns;
mod create;
mod delete;
mod describe;
mod diff;
mod document;
mod edit;
mod fetch;
mod files;
mod http;
mod kind;
mod list;
mod login;
mod make;
mod manners;
mod missing_clusters;
mod options;
mod print;
mod progress;
mod prompt;
mod proxy;
mod redacted;
mod saved;
mod selector;
mod server;
mod sink;
mod status;
mod subject;
mod table;
mod time;
mod tree;
mod value;
mod verify;
mod watch;
mod yaml;

use clap::Subcommand;

use super::{Failure, runtime::control_runtime};

/// The word for a type of resource, however it is spelled.
pub(super) fn word_for(text: &str) -> Option<&'static str> {
    kind::Kind::named(text).ok().map(|kind| kind.word)
}

/// What files call it.
pub(super) fn type_for(text: &str) -> Option<&'static str> {
    kind::Kind::named(text).ok().map(|kind| kind.type_name)
}

/// The commands for resources.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Create or replace the resources in files, or create one from options
    Create(create::Create),
    /// Change a resource in $EDITOR
    Edit(edit::Edit),
    /// Delete a resource, or those in files
    Delete(delete::Delete),
    /// Print resources so that create -f takes them again
    Dump(list::Dump),
    /// List resources, also those of other clusters
    List(list::List),
    /// Show one resource
    Info(list::Info),
    /// Let a replicator take over what a federation that is gone has left where it copies to
    Adopt(adopt::Adopt),
    /// Show the health of clusters and replicators
    Status(status::Status),
    /// Show what a replicator would create, change and delete now, and what is in its way
    Diff(diff::Diff),
    /// Check that the copies of every replicator equal their originals now
    Verify(verify::Verify),
    /// Log in, and save that for this and the next commands
    #[command(visible_alias = "login")]
    Configure(login::Configure),
    /// End the saved login
    Logout(login::Logout),
    /// Show or change what is saved with the login
    #[command(subcommand)]
    Config(login::Config),
    /// Print the login as variables for a shell
    Env(login::Env),
    /// Print which types there are
    DescribeType(describe::DescribeType),
    #[command(flatten)]
    Subject(subject::Subject),
}

// === impl Command ===

impl Command {
    pub(super) fn run(self) -> Result<(), Failure> {
        control_runtime()?.block_on(async {
            match self {
                Self::Create(create) => create.run().await,
                Self::Edit(edit) => edit.run().await,
                Self::Delete(delete) => delete.run().await,
                Self::Dump(dump) => dump.run().await,
                Self::List(list) => list.run().await,
                Self::Info(info) => info.run().await,
                Self::Adopt(adopt) => adopt.run().await,
                Self::Status(status) => status.run().await,
                Self::Diff(diff) => diff.run().await,
                Self::Verify(verify) => verify.run().await,
                Self::Configure(configure) => configure.run().await,
                Self::Logout(logout) => logout.run().await,
                Self::Config(config) => config.run(),
                Self::Env(env) => env.run().await,
                Self::DescribeType(describe) => describe.run(),
                Self::Subject(subject) => subject.run().await,
            }
        })
    }
}
