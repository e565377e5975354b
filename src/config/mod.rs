//! The configuration: one YAML file, any key of which the environment may override.
//!
//! ```text
//! file ──> node (values with their lines) ──┐
//! FEDGATE_… ──> env ────────────────────────┴─> keys ──> de ──> Root ──> check
//! ```
//!
//! Each module owns its section, with the defaults; [`Root`] lists the sections. The names of all keys are read from
//! these structs, so that the file, the environment and the error messages cannot disagree about them.

mod check;
mod de;
mod env;
mod error;
pub mod fuzzing;
mod keys;
mod load;
mod node;
mod root;

pub use error::{ConfigError, Place};
pub use keys::known_keys;
pub use load::{load, load_in_time, parse};
pub use root::Root;

#[cfg(test)]
mod tests;
