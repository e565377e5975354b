//! The composition root: everything is built once, here, and wired together. What happens to a request is in
//! [`crate::proxy`].

mod admin;
mod authority;
mod build;
mod clusters;
mod control;
mod reload;
mod store;
mod web;
mod worker;

pub use build::{BuildError, Server};
pub use reload::Source;
