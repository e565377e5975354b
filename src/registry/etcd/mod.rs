//! A store in etcd that several gateways share.
//!
//! ```text
//!   EtcdStore ── get, list, put, delete: one call to etcd each
//!       └─ watch: Mirror (etcd's events) ──► Follow (pure) ──► the store's events
//!   Layout: which keys are the registry's, and which schema it has
//! ```

pub(super) mod follow;
pub(super) mod layout;
mod store;
mod watch;

pub use store::EtcdStore;
