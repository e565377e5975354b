//! fedgate: a federation gateway in front of several Sensu Go clusters.
//!
//! One process verifies the tokens that the clusters' shared key signs, forwards each request to the cluster that it
//! names, and merges the lists and GraphQL answers of all of them. It also keeps the registry of clusters and
//! replicators (`federation/v1`), and replicates resources of the local cluster into the etcd of others.
//!
//! # The life of a request
//!
//! ```text
//!  client
//!    │ TCP
//!    ▼
//!  listener   accept ─ connection limit ─ PROXY header ─ TLS ─ HTTP       one deadline until the first head
//!    ▼
//!  proxy::stack, outermost first
//!    access log   request id; one line when the answer has ended
//!    cors         other origins, when they are configured
//!    rescue       every error below → one answer                          the only place where errors become HTTP
//!    guard        Host, header count, aliasing header names               before anything is read
//!    route        routing::route(method, target, snapshot) → Routed       the one reading of the path
//!    auth         token → Caller                                          cached verification
//!    logins       too many failed passwords or API keys → 429             a request with a token passes by
//!    compress     answers, by their route and what the client accepts     the API's only on request
//!    ▼ dispatch: what answers the route, or why there is none
//!    ├─ Probe       liveness and readiness
//!    ├─ Federation  authz ─► body ─► api, on the control plane ─► registry
//!    ├─ Web         webui (files in memory, or the dashboard)
//!    ├─ Forward     body rules ─► upstream (one cluster) ─► rewrite (namespaces qualified again)
//!    ├─ List        fanout ─► member × N (upstream) ─► rewrite (labels) ─► merged stream
//!    └─ GraphQl     graphql: plan ─► member × N (upstream) ─► namespaces and ids qualified ─► one answer
//! ```
//!
//! [docs/architecture.md](../../../docs/architecture.md) follows a list, an object, a write, a GraphQL poll and a
//! replicated change through these modules: what each adds and what it may refuse.
//!
//! # How it runs
//!
//! There is one worker thread per core, with a current-thread runtime, a listening socket, a service stack and upstream
//! pools of its own: a request never changes threads. The control plane (signals, reload, health checks, registry,
//! replication, admin listener) has a runtime on the main thread. It shares only immutable snapshots and atomics with
//! the workers, and answers `federation/v1` for them.
//!
//! # Layers
//!
//! Imports point down only, and no two files import each other; `tests/layering.rs` enforces both.
//!
//! | Layer | Modules |
//! |---|---|
//! | 0 | [`types`], [`error`], [`wire`], [`corev2`] |
//! | 1 | [`net`], [`etcd`], [`telemetry`] |
//! | 2 | [`auth`], [`routing`], [`rewrite`], [`upstream`], [`listener`], [`registry`], [`leadership`] |
//! | 3 | [`member`], [`authz`], [`replication`], [`policy`] |
//! | 4 | [`api`], [`fanout`], [`graphql`] |
//! | 5 | [`sim`], [`webui`] |
//! | 6 | [`proxy`] |
//! | 7 | [`config`] |
//! | 8 | [`app`] |
//! | 9 | [`cli`] |

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
pub mod leadership;
pub mod listener;
pub mod member;
pub mod net;
pub mod policy;
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
