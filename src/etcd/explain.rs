//! Errors in words that an operator can act on.

use std::error::Error as _;

use super::Error;

/// An error of etcd, with its cause and what to check.
pub fn explain(error: &Error) -> String {
    let mut text = error.to_string();
    if let Some(source) = error.source() {
        text = format!("{text} ({source})");
    }
    if matches!(error, Error::Disconnected { .. } | Error::Timeout { .. }) {
        text.push_str(CHECK_THE_PORT);
    }
    if matches!(error, Error::Denied { .. }) {
        text.push_str(RIGHTS);
    }
    text
}

/// All rights that replication needs, so that they are not found out one by one.
const RIGHTS: &str = " (in all: read /sensu.io/ and /fedgate/replication/ in the source, readwrite both in a destination; \
     docs/operations.md has the least)";

/// What a connection that closes at once usually means.
const CHECK_THE_PORT: &str = ": if this persists, check that the URL is that of etcd's client port (2379, not the peer \
     port 2380, not the Sensu API) and that http or https is right";
