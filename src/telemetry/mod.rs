//! What the process says about itself: logs, one access line per request, request ids.

mod access;
mod logs;
mod metrics;
mod request_id;

pub use access::{AccessInfo, AccessLog, AccessLogLayer, AccessNote};
pub use logs::{Format, LogHandle, init};
pub use metrics::label_value;
pub use request_id::RequestId;
