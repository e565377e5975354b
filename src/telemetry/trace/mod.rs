//! Traces: spans of requests, of what they cause in clusters and in the store, and of replication, sent to a collector
//! (OTLP over HTTP).
//!
//! ```text
//! request ─ TraceLayer ─ "GET" ─┬ "list" (the route) ─┬ "cluster" (alpha)
//!                               │                     └ "cluster" (beta)
//!                               └ "federation" ─ "store"
//! ended spans ─► bounded queue ─► Exporter (control plane) ─► collector
//! ```
//!
//! What runs now is known per thread, so nothing has to be handed down: [`within`] sets it for a future, and [`child`] begins
//! a part of it. Work that moves to another task takes [`current`] along. Without a tracer there is nothing on any thread,
//! and a child is nothing.

mod config;
mod context;
mod export;
mod layer;
pub mod proto;
mod span;
#[cfg(test)]
mod tests;

pub use config::{Config, Ratio};
pub use context::{SpanContext, TRACEPARENT, TRACESTATE};
pub use export::{Exporter, tracing};
pub use layer::{TraceLayer, Traced};
pub use proto::SpanKind;
pub use span::{Counts, Parent, Span, Tracer, Value, Within, child, current, enter, within};
