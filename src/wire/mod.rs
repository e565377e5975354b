//! Bytes on the wire: the one body type and what is made of bodies, content codings, budgets for bytes in memory, header
//! names, tokens for paging, and replies in Sensu's own spelling.

mod body;
pub mod budget;
mod coding;
mod concat;
pub mod forwarded;
pub mod fuzzing;
pub mod header;
mod reply;
#[cfg(test)]
mod tests;
pub mod token;
mod transform;

pub use body::{Body, ReadError, read_limited};
pub use budget::{Budget, Held};
pub use coding::{Accepted, Coding, is_compressible};
pub use concat::ConcatBody;
pub use reply::{json, reply, text};
pub use transform::{Transform, TransformBody};
