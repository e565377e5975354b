//! The configuration: one YAML file, any key of which the environment may override.
//!
//! ```text
//! file ──> node (values that know their line) ──┐
//! FEDGATE_… ──> env ────────────────────────────┴─> typed ──> Root ──> check
//! ```
//!
//! The structs in `root` are the only list of keys and defaults: the names of all keys are read from them, so
//! nothing can be known to one part and unknown to another.

mod certificates;
mod check;
mod env;
mod error;
mod etcd;
mod keys;
mod load;
mod node;
mod root;
mod typed;
mod units;
mod web;

pub use error::{ConfigError, Place};
pub use etcd::{EmbeddedStore, EtcdSource, EtcdStore, Replication, Store};
pub use keys::known_keys;
pub use load::{load, parse};
pub use root::{
    Admin, Auth, Cors, FanOut, Health, Limits, Listen, LocalCluster, Log, LogFormat, LogLevel, Root,
    Shutdown, StaticCluster, TokenCache, Upstream,
};
pub use units::{UnitError, parse_duration, parse_size, show_duration, show_size};
pub use web::WebUi;

#[cfg(test)]
mod tests;
