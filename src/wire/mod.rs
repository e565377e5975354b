//! Bytes on the wire: the one body type, header names, tokens for paging, and replies in Sensu's own spelling.

mod body;
pub mod fuzzing;
pub mod header;
mod reply;
#[cfg(test)]
mod tests;
pub mod token;

pub use body::{Body, ReadError, read_limited};
pub use reply::{json, reply, text};
