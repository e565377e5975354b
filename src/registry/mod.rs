//! The registered clusters and replicators: where they are stored, and the views of them that the gateway uses.
//!
//! ```text
//!  api ──put, delete──► Store (embedded file | etcd | memory)
//!                         │ watch: everything once, then each change; everything again after a gap
//!                         ▼
//!                      Reflector ◄── clusters of the configuration file (they win, and cannot be changed by API)
//!                         │
//!          ┌──────────────┴───────────────┐
//!          ▼                              ▼
//!    Arc<Snapshot>: data plane      Arc<Registry>: API, replication, status
//! ```
//!
//! A store gives every write a version, and versions only increase. A write is acknowledged once it is durable, and states
//! what it expects to find, so that concurrent editors do not overwrite each other. While a store is down, the last view
//! stays in use and says so.

mod config;
mod embedded;
mod error;
mod etcd;
mod file;
pub mod fuzzing;
mod identity;
mod memory;
mod metrics;
mod reflector;
pub mod resource;
mod secret;
mod store;
mod table;
mod traced;
mod view;

#[cfg(test)]
mod tests;

pub use config::{Config, EmbeddedConfig, EtcdConfig, LocalCluster, StaticCluster};
pub use embedded::{EmbeddedStore, Found};
pub use error::StoreError;
pub use etcd::EtcdStore;
pub use identity::{STORE_ID, store_id};
pub use memory::MemoryStore;
pub use metrics::register_metrics;
pub use reflector::{Reflector, Views, reflector};
pub use secret::Secret;
pub use store::{Entry, Event, Events, Precondition, Store, key_of};
pub use traced::TracedStore;
pub use view::{Health, Item, Registry};
