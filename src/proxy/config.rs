use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Compression;
use crate::{fanout, graphql, listener::Limits, telemetry::trace::Tracer, types::Cidr};

/// `cors`: browsers on other origins.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
pub struct Cors {
    /// Origins as browsers write them, such as `https://dashboard.example.com`. Empty: CORS is off.
    pub allowed_origins: Vec<String>,
}

/// What the request path obeys from start to end.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// How lists are gathered.
    pub fan_out: fanout::Config,
    /// What a client may use.
    pub limits: Limits,
    /// Peers whose `X-Forwarded-*` headers are believed.
    pub trusted_proxies: Vec<Cidr>,
    /// Which answers are compressed.
    pub compression: Compression,
    /// Records requests.
    pub tracer: Option<Tracer>,
    /// How long browsers are to use TLS only.
    pub hsts: Option<Duration>,
}

// === impl Settings ===

impl Settings {
    /// The bounds that apply to GraphQL too.
    pub fn graphql(&self) -> graphql::Config {
        graphql::Config { member_timeout: self.fan_out.member_timeout, max_members: self.fan_out.max_members }
    }
}
