use std::{
    sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use tokio::time::Instant;

use super::board::Epoch;
use crate::net::Backoff;

/// Keeps one worker from waiting, request after request, for a backend that accepts no connections.
///
/// Only attempts to open a connection count. What happens to a request that was sent says little about the backend: a
/// slow list times out on a healthy one, and a client could send such requests on purpose.
///
/// The atomics are not read together: on several threads a count may be off by one, which does no harm.
#[derive(Debug)]
pub(super) struct Breaker {
    epoch: Epoch,
    /// How long a trial that does not report back excludes others.
    trial: Duration,
    /// Failures in a row.
    failures: AtomicU32,
    /// [`CLOSED`], or until when no attempt is allowed.
    until: AtomicU64,
    /// The backend's passed health checks when it opened: another one allows a trial at once.
    passes: AtomicU32,
}

/// Permission to try a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Permit {
    /// Whether the breaker is open and this attempt decides whether it closes.
    pub(super) trial: bool,
}

// === impl Breaker ===

impl Breaker {
    pub(super) fn new(trial: Duration) -> Self {
        Self {
            epoch: Epoch::now(),
            trial,
            failures: AtomicU32::new(0),
            until: AtomicU64::new(CLOSED),
            passes: AtomicU32::new(0),
        }
    }

    /// Whether [`Breaker::enter`] would grant a permit.
    pub(super) fn admits(&self, now: Instant, passes: u32) -> bool {
        let until = self.until.load(Relaxed);
        until == CLOSED || self.epoch.millis(now) >= until || self.passes.load(Relaxed) != passes
    }

    /// A permit to try, if attempts are allowed. Once the cool-down is over, one at a time is.
    pub(super) fn enter(&self, now: Instant, passes: u32) -> Option<Permit> {
        if !self.admits(now, passes) {
            return None;
        }
        let until = self.until.load(Relaxed);
        if until == CLOSED {
            return Some(Permit { trial: false });
        }
        // A trial that is cancelled leaves nothing to clean up: the next one is allowed when its time is over.
        let over = self.epoch.millis(now + self.trial);
        self.until.compare_exchange(until, over, Relaxed, Relaxed).ok()?;
        self.passes.store(passes, Relaxed);
        Some(Permit { trial: true })
    }

    /// A connection was opened.
    pub(super) fn opened(&self) {
        self.failures.store(0, Relaxed);
        self.until.store(CLOSED, Relaxed);
    }

    /// No connection could be opened.
    pub(super) fn failed(&self, permit: Permit, now: Instant, passes: u32) {
        // Of concurrent requests, the first ones open the breaker; the others add nothing.
        if !permit.trial && self.until.load(Relaxed) != CLOSED {
            return;
        }
        let failures = self.failures.load(Relaxed).saturating_add(1);
        self.failures.store(failures, Relaxed);
        if let Some(doublings) = failures.checked_sub(MAX_FAILURES) {
            self.passes.store(passes, Relaxed);
            self.until.store(self.epoch.millis(now + COOL_DOWN.ceiling(doublings)), Relaxed);
        }
    }
}

const CLOSED: u64 = 0;

/// Failures in a row that open it.
const MAX_FAILURES: u32 = 5;

/// The longest is how long a backend that is back may go unnoticed when there are no health checks. Without jitter: the
/// breakers of different workers open at different times anyway.
const COOL_DOWN: Backoff =
    Backoff { first: Duration::from_secs(1), longest: Duration::from_secs(30), jitter: 0.0 };

#[cfg(test)]
mod tests {
    use super::*;

    const CONNECT: Duration = Duration::from_secs(2);
    const FIRST: Permit = Permit { trial: false };
    const TRIAL: Permit = Permit { trial: true };

    fn opened(start: Instant) -> Breaker {
        let breaker = Breaker::new(CONNECT);
        for _ in 0..MAX_FAILURES {
            assert_eq!(breaker.enter(start, 0), Some(FIRST));
            breaker.failed(FIRST, start, 0);
        }
        breaker
    }

    fn after(start: Instant, millis: u64) -> Instant {
        start + Duration::from_millis(millis)
    }

    #[tokio::test(start_paused = true)]
    async fn the_cool_down_doubles_with_each_failed_trial_up_to_its_bound() {
        let start = Instant::now();
        let breaker = opened(start);
        let mut now = start;
        for seconds in [1, 2, 4, 8, 16, 30, 30] {
            assert_eq!(breaker.enter(after(now, seconds * 1000 - 1), 0), None);
            now = after(now, seconds * 1000);
            assert!(breaker.admits(now, 0));
            assert_eq!(breaker.enter(now, 0), Some(TRIAL));
            assert_eq!(breaker.enter(now, 0), None, "one trial at a time");
            breaker.failed(TRIAL, now, 0);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_closes_it() {
        let start = Instant::now();
        let breaker = opened(start);
        breaker.enter(after(start, 1000), 0).unwrap();
        breaker.opened();
        // And what went before is forgotten.
        for _ in 1..MAX_FAILURES {
            breaker.failed(FIRST, start, 0);
            assert_eq!(breaker.enter(start, 0), Some(FIRST));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn requests_that_were_under_way_when_it_opened_do_not_prolong_it() {
        let start = Instant::now();
        let breaker = opened(start);
        for _ in 0..100 {
            breaker.failed(FIRST, after(start, 900), 0);
        }
        assert_eq!(breaker.enter(after(start, 1000), 0), Some(TRIAL));
    }

    #[tokio::test(start_paused = true)]
    async fn a_trial_that_never_ends_gives_way_to_another() {
        let start = Instant::now();
        let breaker = opened(start);
        let trial = after(start, 1000);
        breaker.enter(trial, 0).unwrap();
        assert_eq!(breaker.enter(after(trial, 1999), 0), None);
        assert_eq!(breaker.enter(after(trial, 2000), 0), Some(TRIAL));
    }

    #[tokio::test(start_paused = true)]
    async fn a_passed_health_check_allows_a_trial_at_once_and_only_one() {
        let start = Instant::now();
        let breaker = opened(start);
        assert_eq!(breaker.enter(start, 1), Some(TRIAL));
        assert_eq!(breaker.enter(start, 1), None);
        breaker.failed(TRIAL, start, 1);
        assert_eq!(breaker.enter(after(start, 1999), 1), None);
        assert_eq!(breaker.enter(after(start, 1999), 2), Some(TRIAL));
    }
}
