//! fedgate: a federation gateway in front of several Sensu Go clusters.
//!
//! One process verifies the tokens that the clusters' shared key signs, routes each request to the cluster that it
//! names, and merges lists from all of them.
//!
//! # The life of a request
//!
//! ```text
//!  client
//!    │ TCP
//!    ▼
//!  listener   accept ─ connection limit ─ TLS ─ HTTP/1.1 or HTTP/2        one deadline to the first head
//!    ▼
//!  proxy::stack (one page, outermost first)
//!    access log   request id; one line when the answer has ended
//!    cors         preflights, when origins are configured
//!    rescue       every error below → one reply                           the only error → HTTP place
//!    guard        Host, header count, aliasing header names
//!    auth         token → Caller                                          cached verification
//!    ▼ proxy::dispatch: routing::route(method, target, snapshot) → Route
//!    ├─ Gateway   /livez, /readyz
//!    ├─ Forward   body rules ─► upstream (one cluster) ─► rewrite (namespaces qualified again)
//!    ├─ Web       webui (files in memory, or the dashboard)
//!    ├─ List      fanout ─► upstream × N ─► rewrite (labels) ─► merged stream
//!    └─ GraphQL   graphql: plan ─► upstream × N ─► namespaces and ids qualified ─► one answer
//! ```
//!
//! # How it runs
//!
//! One worker thread per core, each with a current-thread runtime, its own listening socket, service stack and upstream
//! pools: a request never changes threads. The control plane (signals, reload, health checks, admin listener) has a
//! runtime of its own on the main thread. Between them are only immutable snapshots and atomics.
//!
//! # Layers
//!
//! Imports point down only; `tests/layering.rs` is the law.
//!
//! | Layer | Modules |
//! |---|---|
//! | 0 | [`types`], [`error`], [`wire`], [`corev2`] |
//! | 1 | [`net`], [`etcd`], [`telemetry`] |
//! | 2 | [`auth`], [`routing`], [`rewrite`], [`upstream`], [`listener`], [`registry`] |
//! | 3 | [`fanout`], [`authz`], [`replication`] |
//! | 4 | [`api`], [`graphql`] |
//! | 5 | [`config`], [`sim`], [`webui`] |
//! | 6 | [`proxy`] |
//! | 7 | [`app`] |
//! | 8 | [`cli`] |

pub mod api;
pub mod app;
pub mod auth;
pub mod authz;
pub mod cli;
pub mod config;
pub mod corev2;
pub mod error;
pub mod etcd;
pub mod fanout;
pub mod graphql;
pub mod listener;
pub mod net;
pub mod proxy;
pub mod registry;
pub mod replication;
pub mod rewrite;
pub mod routing;
pub mod sim;
pub mod telemetry;
pub mod types;
pub mod upstream;
pub mod webui;
pub mod wire;
