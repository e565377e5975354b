//! Replication between real etcds, from the distribution's package.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod basics;
mod checker;
mod faults;
mod leaders;
mod moves;
mod order;
#[path = "../etcd/server.rs"]
mod server;
mod strays;
mod support;
