//! The life of a request, from the parsed head to the answer's last byte. Outermost first; [`stack()`] is the same list as
//! code:
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
//!
//! It knows neither the configuration nor how it is composed: `app` builds a [`Gateway`] for each worker.

mod body;
mod config;
mod credentials;
mod dispatch;
mod federation;
mod forward;
mod graphql;
mod guard;
mod readiness;
mod rescue;
mod stack;
mod stall;

pub use config::{Cors, Settings};
pub use dispatch::Gateway;
pub use federation::{Federation, Routed};
pub use guard::{Guard, GuardError, GuardLayer};
pub use readiness::Readiness;
pub use rescue::{Rescue, RescueLayer};
pub use stack::{Stack, stack};
