//! One cluster of several that are asked the same thing: the request it gets, the time it has, what became of it, and the
//! two response headers that say so.
//!
//! Lists ([`crate::fanout`]) and GraphQL ([`crate::graphql`]) both stand on this. What they do with the answers differs, a
//! stream of bytes here and a tree of values there; how a member is chosen, asked, timed and reported does not.

mod ask;
mod outcome;

use std::sync::Arc;

use bytes::Bytes;
use futures::{FutureExt, future::BoxFuture};
use http::{Request, Response};

use crate::{
    types::{ClusterName, FailureClass},
    upstream::{ClusterClient, Manager},
    wire::Body,
};

pub use ask::{Answers, Ask, ask_all, ask_in_turn, within};
pub use outcome::{Outcome, body_failure, insert_headers, mark_incomplete};

pub use crate::upstream::{Openings, Repeatable};

/// A cluster that can be asked. Tests script it.
pub trait Member: Send + Sync {
    /// Its name: the label of its items.
    fn name(&self) -> &ClusterName;

    /// Sends it a request with its whole body. The answer has any status.
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response<Body>, FailureClass>>;

    /// Its part is missing in the answer, although it was asked: for the metrics.
    fn count_missing(&self, _why: FailureClass) {}
}

/// The clusters that can be asked.
pub trait Members: Send + Sync {
    /// The registered cluster of that name.
    fn get(&self, name: &ClusterName) -> Option<Arc<dyn Member>>;
}

/// A member of a fan-out, as far as it is decided before anything is sent.
pub enum Candidate {
    /// Send it the request.
    Send(Arc<dyn Member>),
    /// Send it nothing and report this.
    Skip(ClusterName, FailureClass),
}

// === impl Member ===

impl Member for ClusterClient {
    fn name(&self) -> &ClusterName {
        ClusterClient::name(self)
    }

    fn send(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response<Body>, FailureClass>> {
        ClusterClient::send(self, request).map(|answer| answer.map_err(|error| error.class())).boxed()
    }

    fn count_missing(&self, why: FailureClass) {
        ClusterClient::count_missing(self, why);
    }
}

// === impl Members ===

impl Members for Manager {
    fn get(&self, name: &ClusterName) -> Option<Arc<dyn Member>> {
        self.cluster(name.as_str()).map(|client| client as Arc<dyn Member>)
    }
}

// === impl Candidate ===

impl Candidate {
    /// Which cluster it is.
    pub fn name(&self) -> &ClusterName {
        match self {
            Self::Send(member) => member.name(),
            Self::Skip(name, _) => name,
        }
    }
}
