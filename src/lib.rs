//! fedgate: a federation gateway in front of several Sensu Go clusters.
//!
//! (The picture of a request's life and the table of layers are filled in with the modules.)

pub mod app;
pub mod auth;
pub mod cli;
pub mod config;
pub mod error;
pub mod fanout;
pub mod listener;
pub mod rewrite;
pub mod routing;
pub mod sim;
pub mod telemetry;
pub mod types;
pub mod upstream;
pub mod wire;
