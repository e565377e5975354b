//! The composition root: everything is built once, here, and wired together.
//!
//! The life of a request, outermost first ([`stack()`] is the same list as code):
//!
//! ```text
//! listener   accept, TLS, HTTP/1.1 or HTTP/2                    one worker thread, never left
//!  └ access log   request id, one line when the answer has ended
//!     └ cors      answers preflights (off without allowed origins)
//!        └ rescue the only place where errors become HTTP
//!           └ guard   Host, header count, aliasing names         refused before anything is read
//!              └ auth    token → Caller, or Sensu's 401
//!                 └ dispatch   route, then
//!                      ├ Gateway   answered here; federation/v1 by the control plane
//!                      ├ Web       the web UI, from memory or from the dashboard
//!                      ├ Forward   body rules → one cluster → re-qualified answer
//!                      ├ List      fan-out → merged answer
//!                      └ GraphQL   plan → clusters → one answer
//! ```

mod admin;
mod authority;
mod body;
mod build;
mod clusters;
mod control;
mod credentials;
mod dispatch;
mod federation;
mod forward;
mod graphql;
mod guard;
mod readiness;
mod reload;
mod rescue;
mod settings;
mod stack;
mod stall;
mod store;
mod web;
mod worker;

pub use body::Budget;
pub use build::{BuildError, Server};
pub use dispatch::{Gateway, Settings};
pub use federation::{Federation, Routed};
pub use guard::{Guard, GuardError, GuardLayer};
pub use readiness::Readiness;
pub use reload::{Source, log_level};
pub use rescue::{Rescue, RescueLayer};
pub use stack::{Stack, stack};
