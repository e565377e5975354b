//! The commands that talk to a gateway, or to a Sensu backend, as a user.
//!
//! ```text
//!  options ── flags, SENSU_…, sensuctl's files (saved) ──► Settings
//!                                                            │
//!  files ── YAML, JSON ──► Document ──► create, delete       ▼
//!                          Document ◄── edit ──────────► http::Gateway ── crate::upstream ──► server
//!                          print ◄──── list, info, dump, status
//! ```
//!
//! What is sent and shown is that of sensuctl, so that both can be used side by side on the same login. What Sensu
//! does not have comes on top: clusters in tables, qualified namespaces, answers that lack a part, `federation/v1`.

mod answer;
mod base;
mod columns;
mod create;
mod document;
mod edit;
mod files;
mod http;
mod kind;
mod list;
mod missing;
mod options;
mod print;
mod progress;
mod prompt;
mod saved;
mod status;
mod table;
mod time;
mod yaml;

use clap::Subcommand;

use super::{Failure, runtime::control_runtime};

/// The commands for resources.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Create or replace the resources in files
    Create(create::Create),
    /// Change a resource in $EDITOR
    Edit(edit::Edit),
    /// Delete a resource, or those in files
    Delete(create::Delete),
    /// Print resources so that create -f takes them again
    Dump(list::Dump),
    /// List resources, those of other clusters too
    List(list::List),
    /// Show one resource
    Info(list::Info),
    /// Show which clusters and replicators are well
    Status(status::Status),
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
                Self::Status(status) => status.run().await,
            }
        })
    }
}
