//! What follows a failed command: smaller batches, or a pause.

use std::time::Duration;

use tokio::time::Instant;

use super::{Machine, State, settle::Writing};
use crate::{
    etcd::Error,
    net::Backoff,
    replication::{explain, work::Sides},
};

// === impl Machine ===

impl Machine {
    pub(super) fn failed(&mut self, state: &State, error: &Error, sides: Sides<'_>, now: Instant) -> State {
        self.tally.errors += 1;
        let batch = std::mem::take(&mut self.in_flight);
        let mut text = explain::of_etcd(error);
        if let State::Proving { .. } = state {
            text = format!("{UNPROVEN}: {text}");
        }
        let fence = match state {
            State::Holding { fence } => Some(*fence),
            State::Waiting { fence, .. } => *fence,
            _ => None,
        };
        let was_settling = std::mem::take(&mut self.records.writing) != Writing::Nothing;
        if let (Some(fence), Error::TooLarge { .. } | Error::Rejected { .. }) = (fence, error) {
            match &batch[..] {
                [] if was_settling && self.most > 1 => {
                    self.most = self.most / 4 + 1;
                    return State::Holding { fence };
                }
                [] => {}
                [key] => {
                    self.work.refuse(&self.assignment, sides, key, text);
                    return State::Holding { fence };
                }
                keys => {
                    // Fewer at once: the etcd may accept fewer operations, or one of the objects may be the cause.
                    self.most = keys.len() / 4 + 1;
                    return State::Holding { fence };
                }
            }
        }
        let was_writing = was_settling || !batch.is_empty();
        self.unresolved |= was_writing && error.leaves_write_unknown();
        let fence = fence.filter(|_| !self.unresolved);
        let may_delete = matches!(error, Error::NoSpace) && !self.work.queue.begins_with_deletion();
        let pause = self.backoff();
        let State::Waiting { until, fence, .. } = self.wait(now, pause, fence, text) else {
            return State::Asking;
        };
        State::Waiting { until, fence, may_delete }
    }

    pub(super) fn wait(&mut self, now: Instant, pause: Duration, fence: Option<i64>, text: String) -> State {
        self.trouble = Some(text.into());
        State::Waiting { until: now + pause, fence, may_delete: false }
    }

    /// Doubles up to a maximum; half of it is random, so that many destinations are not retried at once.
    pub(super) fn backoff(&mut self) -> Duration {
        let pause = RETRY.delay(self.failures, &mut self.random);
        self.failures = self.failures.saturating_add(1);
        pause
    }
}

const UNPROVEN: &str = "cannot check that this is not the local cluster's own etcd, which does not answer";

/// Pauses after errors.
const RETRY: Backoff = Backoff { first: Duration::from_millis(500), longest: LONGEST_RETRY, jitter: 0.5 };

/// Longest pause after an error.
pub(super) const LONGEST_RETRY: Duration = Duration::from_secs(10);
