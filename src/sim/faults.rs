use std::{
    collections::VecDeque,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use parking_lot::{Mutex, MutexGuard};

/// Ways to make a cluster misbehave. All are off at first, and may be changed at any time.
#[derive(Debug, Default)]
pub struct Faults {
    knobs: Mutex<Knobs>,
    log: Mutex<VecDeque<Recorded>>,
    connections: AtomicU64,
}

/// One request as it arrived.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// Its method.
    pub method: Method,
    /// Path and query, percent-encoded as they came.
    pub path_and_query: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, up to 4 MiB.
    pub body: Bytes,
    /// Which connection it came on; 0 when it came on none.
    pub connection: u64,
}

/// The number of a connection, among a request's extensions.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ConnectionId(pub(super) u64);

#[derive(Clone, Debug, Default)]
pub(super) struct Knobs {
    pub(super) hang: bool,
    pub(super) body: Option<Bytes>,
    pub(super) status: Option<StatusCode>,
    pub(super) truncate: Option<usize>,
    pub(super) delay: Option<Duration>,
}

const LOG_LENGTH: usize = 1000;
const LOG_BYTES: usize = 64 << 20;

// === impl Faults ===

impl Faults {
    /// Never answer.
    pub fn set_hang(&self, hang: bool) {
        self.lock().hang = hang;
    }

    /// Answer every GET that would succeed with these bytes.
    pub fn set_body(&self, body: Option<Bytes>) {
        self.lock().body = body;
    }

    /// Answer every request with this status and a body in Sensu's router dialect. A number that is no
    /// status counts as 500.
    pub fn set_status(&self, status: Option<u16>) {
        self.lock().status =
            status.map(|s| StatusCode::from_u16(s).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR));
    }

    /// Break the connection after so many bytes of a body. Without a connection (`Sensu::handle`) the body is
    /// just cut short.
    pub fn set_truncate(&self, bytes: Option<usize>) {
        self.lock().truncate = bytes;
    }

    /// Wait before every answer.
    pub fn set_delay(&self, delay: Option<Duration>) {
        self.lock().delay = delay;
    }

    /// Forgets the requests recorded so far.
    pub fn clear_requests(&self) {
        self.log().clear();
    }

    pub(super) fn next_connection(&self) -> ConnectionId {
        ConnectionId(self.connections.fetch_add(1, Relaxed) + 1)
    }

    pub(super) fn requests(&self) -> Vec<Recorded> {
        self.log().iter().cloned().collect()
    }

    pub(super) fn record(&self, request: Recorded) {
        let mut log = self.log();
        log.push_back(request);
        let mut bytes: usize = log.iter().map(|r| r.body.len()).sum();
        while log.len() > LOG_LENGTH || bytes > LOG_BYTES {
            bytes -= log.pop_front().map_or(bytes, |r| r.body.len());
        }
    }

    pub(super) fn knobs(&self) -> Knobs {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Knobs> {
        self.knobs.lock()
    }

    fn log(&self) -> MutexGuard<'_, VecDeque<Recorded>> {
        self.log.lock()
    }
}
