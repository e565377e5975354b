//! The gateway from end to end, in memory: requests go into the real service stack, which speaks HTTP over in-memory
//! streams to simulated clusters.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod alerts;
mod auth;
mod balancers;
mod comparing;
mod compression;
mod cors;
mod drain;
mod early;
mod fanout;
mod fault_table;
mod faults;
mod federation;
mod graphql;
mod logins;
mod logs;
mod metrics;
mod outage;
mod paging;
mod policy;
mod recipes;
mod refusals;
mod rewriting;
mod routing;
mod stores;
mod support;
mod tls;
mod tracing;
mod webui;

#[path = "../support/collector.rs"]
mod collector;
#[path = "../support/store_suite.rs"]
mod store_suite;
#[path = "../support/wait.rs"]
mod wait;
