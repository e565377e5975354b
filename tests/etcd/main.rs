//! The etcd client against a real etcd, from the distribution's package: calls, leases, watches, and what breaks.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod calls;
mod mirror;
mod server;
mod tls;
