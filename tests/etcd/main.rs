//! The etcd client against a real etcd, from the distribution's package: calls, leases, watches, the
//! registry's store, and what breaks.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod authz;
mod calls;
mod gateways;
mod lifetimes;
mod mirror;
mod policy;
mod proxy;
mod store;
mod tls;

#[path = "../support/etcd_server.rs"]
mod etcd_server;
#[path = "../support/secure_etcd.rs"]
mod secure_etcd;
#[path = "../support/store_suite.rs"]
mod store_suite;
#[path = "../support/usage.rs"]
mod usage;
#[path = "../support/wait.rs"]
mod wait;
