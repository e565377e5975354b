//! The etcd client against a real etcd, from the distribution's package: calls, leases, watches, the
//! registry's store, and what breaks.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod authz;
mod calls;
mod gateways;
mod mirror;
mod proxy;
mod server;
mod store;
#[path = "../../src/registry/tests/suite.rs"]
mod suite;
mod tls;
