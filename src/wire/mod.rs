//! Bytes on the wire: the one body type, header names, and replies in Sensu's own spelling.

mod body;
pub mod header;
mod reply;

pub use body::{Body, ReadError, read_limited};
pub use reply::{json, reply, text};
