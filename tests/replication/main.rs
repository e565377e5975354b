//! Replication between real etcds, from the distribution's package.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod basics;
mod checker;
mod comparing;
mod faults;
mod leaders;
mod least_rights;
mod lifetimes;
mod lost;
mod moves;
mod names;
mod order;
mod rights;
mod strays;
mod support;
mod traces;

#[path = "../support/collector.rs"]
#[expect(dead_code, reason = "the tests of requests use the rest")]
mod collector;
#[path = "../support/etcd_server.rs"]
mod etcd_server;
#[path = "../support/secure_etcd.rs"]
mod secure_etcd;
#[path = "../support/usage.rs"]
mod usage;
#[path = "../support/wait.rs"]
mod wait;
