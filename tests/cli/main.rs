//! The commands for resources, run as a user runs them against a server in this process.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod comparing;
mod core;
mod corpus;
mod deleting;
mod dumping;
mod edit;
mod federation;
mod field_files;
mod files;
mod login;
mod output;
mod proxied;
mod proxy;
mod redacted;
mod sensuctl;
mod server;
mod session;
mod terminal;
mod tls;
mod user;
