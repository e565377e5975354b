use std::{
    io,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::time::{Instant, interval_at};

use super::base::Base;
use crate::cli::{
    look::is_capable,
    output::{erase_progress, progress},
};

/// Tells a user at a terminal how far a command is that takes more than a second.
pub(super) struct Progress {
    server: String,
    is_shown: AtomicBool,
    work: Mutex<Option<Work>>,
    drawn: Mutex<Option<Instant>>,
}

/// What takes several requests.
struct Work {
    what: String,
    done: usize,
    total: Option<usize>,
    since: Instant,
}

// === impl Progress ===

impl Progress {
    /// For requests to this server.
    pub(super) fn new(base: &Base) -> Self {
        Self {
            server: base.to_string(),
            is_shown: AtomicBool::new(is_capable(&io::stderr())),
            work: Mutex::default(),
            drawn: Mutex::default(),
        }
    }

    /// From now on nothing is shown: something else draws on the terminal.
    pub(super) fn hush(&self) {
        self.is_shown.store(false, Ordering::Relaxed);
        erase_progress();
    }

    /// Begins something that takes several requests, or another part of it.
    pub(super) fn begin(&self, what: impl Into<String>, total: Option<usize>) {
        let mut work = self.work.lock();
        let since = work.as_ref().map_or_else(Instant::now, |work| work.since);
        *work = Some(Work { what: what.into(), done: 0, total, since });
    }

    /// So many more are done.
    pub(super) fn advance(&self, by: usize) {
        if let Some(work) = &mut *self.work.lock() {
            work.done += by;
        }
    }

    /// Runs one request, and says so when it, or the work that it is part of, takes long.
    pub(super) async fn during<T>(&self, request: impl Future<Output = T>) -> T {
        if !self.is_shown.load(Ordering::Relaxed) {
            return request.await;
        }
        let start = Instant::now();
        let since = self.work.lock().as_ref().map_or(start, |work| work.since);
        let mut ticks = interval_at(start.max(since + SECOND), SECOND);
        let mut request = std::pin::pin!(request);
        loop {
            tokio::select! {
                done = &mut request => {
                    if self.work.lock().is_none() {
                        erase_progress();
                    }
                    return done;
                }
                _ = ticks.tick() => self.draw(start),
            }
        }
    }

    fn draw(&self, start: Instant) {
        let now = Instant::now();
        let mut drawn = self.drawn.lock();
        if drawn.is_some_and(|drawn| now - drawn < PAUSE) {
            return;
        }
        *drawn = Some(now);
        let work = self.work.lock();
        progress(&line(work.as_ref(), &self.server, now - start, now));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        erase_progress();
    }
}

fn line(work: Option<&Work>, server: &str, waiting: Duration, now: Instant) -> String {
    let Some(Work { what, done, total, since }) = work else {
        return format!("waiting for {server} ({} s)", waiting.as_secs());
    };
    let seconds = (now - *since).as_secs();
    let how_far = match (done, total) {
        (_, Some(total)) => format!(": {done} of {total}"),
        (0, None) => String::new(),
        (_, None) => format!(": {done} so far"),
    };
    let waiting = if waiting >= SECOND { format!(", waiting for {server}") } else { String::new() };
    format!("{what}{how_far} ({seconds} s){waiting}")
}

const SECOND: Duration = Duration::from_secs(1);
/// Between two lines: more often, nobody can read them.
const PAUSE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_far_the_work_is_and_what_it_waits_for() {
        let since = Instant::now();
        let said = |done, total, waiting| {
            let work = Work { what: "applying".to_owned(), done, total, since };
            line(Some(&work), "https://a", Duration::from_millis(waiting), since + Duration::from_secs(7))
        };
        assert_eq!(said(0, Some(9), 10), "applying: 0 of 9 (7 s)");
        assert_eq!(said(3, None, 10), "applying: 3 so far (7 s)");
        assert_eq!(said(0, None, 1000), "applying (7 s), waiting for https://a");
        assert_eq!(
            line(None, "https://a", Duration::from_millis(2500), since),
            "waiting for https://a (2 s)"
        );
    }
}
