//! The composition root: everything is built once, here, and wired together. What happens to a request is in
//! [`crate::proxy`].

mod admin;
mod authority;
mod build;
mod certificates;
mod clusters;
mod comparing;
mod control;
mod error;
mod metrics;
mod notify;
mod reload;
mod shared;
mod sockets;
mod store;
mod tracing;
mod trial;
mod web;
mod worker;

pub use build::Server;
pub use error::BuildError;
pub use reload::Source;
pub use sockets::{Sockets, worker_count};
