//! What the process says about itself: logs, one access line per request, request ids, metrics, traces.

mod access;
#[cfg(test)]
mod capture;
mod logs;
pub mod metrics;
mod request_id;
mod requests;
pub mod trace;

pub use access::{Access, AccessInfo, AccessLog, AccessLogLayer, AccessNote, Change, Lines, Unreadable};
#[cfg(test)]
pub(crate) use capture::Capture;
pub use logs::{Config, Format, Level, LogHandle, init, init_quiet};
pub use metrics::Metrics;
pub use request_id::RequestId;
pub use requests::RouteKind;
