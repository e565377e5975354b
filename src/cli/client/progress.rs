use std::{
    io::{self, IsTerminal, Write},
    time::Duration,
};

use tokio::time::{Instant, interval_at};

use super::base::Base;

/// Tells a user at a terminal what a request that takes more than a second waits for.
pub(super) struct Progress {
    server: String,
    is_shown: bool,
}

// === impl Progress ===

impl Progress {
    /// For requests to this server.
    pub(super) fn new(base: &Base) -> Self {
        Self { server: base.to_string(), is_shown: io::stderr().is_terminal() }
    }

    /// Runs the work, and says so when it takes long.
    pub(super) async fn during<T>(&self, work: impl Future<Output = T>) -> T {
        if !self.is_shown {
            return work.await;
        }
        let start = Instant::now();
        let mut ticks = interval_at(start + SECOND, SECOND);
        let mut work = std::pin::pin!(work);
        let mut was_shown = false;
        loop {
            tokio::select! {
                done = &mut work => {
                    if was_shown {
                        clear();
                    }
                    return done;
                }
                _ = ticks.tick() => {
                    was_shown = true;
                    show(&format!("waiting for {} ({} s)", self.server, start.elapsed().as_secs()));
                }
            }
        }
    }
}

fn show(text: &str) {
    let mut stderr = io::stderr().lock();
    let _ = write!(stderr, "\r\x1b[K{text}");
    let _ = stderr.flush();
}

fn clear() {
    show("");
}

const SECOND: Duration = Duration::from_secs(1);
