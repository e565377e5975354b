//! The life of a request, from the parsed head to the answer's last byte. Outermost first; [`stack()`] is the same list as
//! code:
//!
//! ```text
//! listener   accept, PROXY header, TLS, HTTP/1.1 or HTTP/2      one worker thread, never left; who the client is
//!  └ access log   request id, one line when the answer has ended
//!     └ cors      answers preflights (off without allowed origins)
//!        └ rescue the only place where errors become HTTP
//!           └ guard   Host, header count, aliasing names         refused before anything is read
//!              └ route   path → how to authenticate, and where to go    the path is read here and nowhere else
//!                 └ auth    token → Caller, or Sensu's 401
//!                    └ logins   too many failures → 429; only for passwords and API keys
//!                     └ compress   only answers, and by their route
//!                      └ dispatch  the route, or why there is none
//!                         ├ Probe       readiness    answered here
//!                         ├ Federation  federation   admitted → body read → answered by the control plane
//!                         ├ Web         web          the web UI, from memory or from the dashboard
//!                         ├ Forward     forward      body rules → one cluster → re-qualified answer
//!                         ├ List        list         fan-out → merged answer
//!                         └ GraphQl     graphql      plan → clusters → one answer
//! ```
//!
//! What a cluster gets is made in `body`, `credentials` and `upstream_head`; `slow_client` keeps a client that reads
//! nothing from holding a cluster. The configuration and the composition are `app`'s, which builds a [`Gateway`] for each
//! worker.

mod body;
mod change;
mod compress;
mod config;
mod control_plane;
mod cors;
mod credentials;
mod dispatch;
mod federation;
mod forward;
mod gateway;
mod graphql;
mod guard;
mod hsts;
mod list;
mod logins;
mod outage;
mod readiness;
mod rescue;
mod route;
mod slow_client;
mod stack;
mod upstream_head;
mod web;

pub use compress::{Compression, Compressor};
pub use config::{Cors, Settings};
pub use control_plane::Federation;
pub use cors::{CorsLayer, CorsService};
pub use gateway::{Gateway, Resources};
pub use guard::{Guard, GuardError, GuardLayer};
pub use logins::{Kind, LoginLayer, LoginService, Logins, TooManyFailures};
pub use outage::OutageSessions;
pub use readiness::Readiness;
pub use rescue::{Rescue, RescueLayer};
pub use stack::{Stack, stack};
