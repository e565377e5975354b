//! Replication between real etcds, from the distribution's package.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod basics;
mod checker;
mod faults;
mod leaders;
mod moves;
mod names;
mod order;
mod rights;
mod strays;
mod support;

#[path = "../support/etcd_server.rs"]
mod etcd_server;
#[path = "../support/secure_etcd.rs"]
mod secure_etcd;
#[path = "../support/wait.rs"]
mod wait;
